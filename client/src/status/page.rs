//! Reads a page in Prometheus' text format, version 0.0.4: as much of it as a host writes, and nothing else.
//!
//! Promises
//! - Names, labels and words are ASCII letters, digits and a few marks; anything else refuses the page. A hostile
//!   host cannot reach a terminal with it.
//! - A page is bounded; no series stands there twice, and each belongs to a family whose type was said before.
//!
//! Source: Prometheus documentation, "Exposition formats".

use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Longest page, in bytes. A host writes some six thousand.
pub const MAX_PAGE: usize = 256 * 1024;

/// Why a page was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PageError {
    /// Too long.
    #[error("it has more than {MAX_PAGE} bytes")]
    TooLong,
    /// A line is not of the format.
    #[error("line {0} is not of the text format")]
    Line(usize),
    /// A series stands there twice.
    #[error("line {0} repeats a series")]
    Repeated(usize),
    /// A sample is of no family.
    #[error("line {0} is of no family whose type was said")]
    Family(usize),
}

/// One label of a series, and its word.
type Label = (String, String);

/// What a page says: series and their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    series: BTreeMap<(String, Option<Label>), f64>,
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// [`PageError`]
    pub fn parse(text: &str) -> Result<Page, PageError> {
        if text.len() > MAX_PAGE {
            return Err(PageError::TooLong);
        }
        let mut page = Page::default();
        let mut families = BTreeSet::new();
        let mut family = None;
        for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
            let malformed = PageError::Line(number);
            if line.is_empty() || line.starts_with("# HELP ") {
                continue;
            }
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').filter(|(name, _)| is_word(name)).ok_or(malformed)?;
                if !families.insert(name.to_owned()) {
                    return Err(PageError::Repeated(number));
                }
                family = Some((name, kind == "histogram"));
                continue;
            }
            let (name, label, value) = sample(line).ok_or(malformed)?;
            if !family.is_some_and(|family| belongs(name, family)) {
                return Err(PageError::Family(number));
            }
            if page.series.insert((name.to_owned(), label), value).is_some() {
                return Err(PageError::Repeated(number));
            }
        }
        Ok(page)
    }

    /// The value of a series without a label.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.series.get(&(name.to_owned(), None)).copied()
    }

    /// The words of a label and their values, in the order of words.
    pub fn each<'a>(&'a self, name: &'a str, label: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let from = (name.to_owned(), None);
        let of_name = self.series.range(from..).take_while(move |((known, _), _)| known == name);
        of_name.filter_map(move |((_, known), value)| {
            let (known, word) = known.as_ref()?;
            (known == label).then_some((word.as_str(), *value))
        })
    }

    /// Series on the page.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}

fn sample(line: &str) -> Option<(&str, Option<Label>, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value: f64 = value.parse().ok().filter(|value: &f64| value.is_finite())?;
    let Some((name, rest)) = series.split_once('{') else {
        return is_word(series).then_some((series, None, value));
    };
    let (label, word) = rest.strip_suffix("\"}")?.split_once("=\"")?;
    let good = is_word(name) && is_word(label) && is_word(word);
    good.then(|| (name, Some((label.to_owned(), word.to_owned())), value))
}

/// What may be shown as it is.
fn is_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'-' | b':');
    !text.is_empty() && text.bytes().all(plain)
}

fn belongs(name: &str, (family, histogram): (&str, bool)) -> bool {
    match name.strip_prefix(family) {
        Some("") => !histogram,
        Some("_bucket" | "_sum" | "_count") => histogram,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let page = "# HELP a_total Of \u{1b}[31m anything.\n# TYPE a_total counter\na_total{code=\"x\"} 2\n\
                    a_total{code=\"b\"} 1\na_total{other=\"x\"} 4\n# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\n\
                    h_bucket{le=\"+Inf\"} 3\nh_sum 1e-3\nh_count 3\n";
        let page = Page::parse(page).unwrap();
        assert_eq!(page.each("a_total", "code").collect::<Vec<_>>(), [("b", 1.0), ("x", 2.0)]);
        assert_eq!(
            (page.value("h_sum"), page.value("h_count"), page.value("a_total")),
            (Some(0.001), Some(3.0), None)
        );
        assert_eq!(page.len(), 7);
    }

    #[test]
    fn other_pages_are_refused_with_their_line() {
        let typed = "# TYPE a gauge\n";
        let cases = [
            ("a 1\n", PageError::Family(1)),
            ("# TYPE a gauge\nb 1\n", PageError::Family(2)),
            ("# TYPE a gauge\na_count 1\n", PageError::Family(2)),
            ("# TYPE a gauge\na 1\na 1\n", PageError::Repeated(3)),
            ("# TYPE a gauge\n# TYPE a gauge\n", PageError::Repeated(2)),
            ("# a comment\n", PageError::Line(1)),
            ("# TYPE a\u{1b} gauge\n", PageError::Line(1)),
        ];
        for (text, expected) in cases {
            assert_eq!(Page::parse(text), Err(expected), "{text:?}");
        }
        for bad in [
            "a",
            "a ",
            "a x",
            "a NaN",
            "a inf",
            "a{l=\"w\"",
            "a{l=\"\u{1b}[2J\"} 1",
            "a{=\"w\"} 1",
            "a{l=\"w\",m=\"v\"} 1",
        ] {
            assert_eq!(Page::parse(&format!("{typed}{bad}\n")), Err(PageError::Line(2)), "{bad:?}");
        }
        assert_eq!(Page::parse(&"\n".repeat(MAX_PAGE + 1)), Err(PageError::TooLong));
    }
}
