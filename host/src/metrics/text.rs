//! Writes the Prometheus text format, version 0.0.4.
//!
//! By hand, because the kept-up crates write OpenMetrics, which is another format, and this is all of it that is
//! needed: names are of the source, and label values too or numbers, so nothing has to be escaped.
//!
//! Source: Prometheus documentation, "Exposition formats".

use adyton_wire::metrics::{BUCKETS, Histogram};
use std::fmt::{Display, Write};

/// What goes into `Content-Type`.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page that is written family by family.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// A number that goes up and down.
    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, "", None, value);
    }

    /// A number that only grows.
    pub(super) fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, "", None, value);
    }

    /// One number for each value of a label; `kind` is `gauge` or `counter`.
    pub(super) fn each(
        &mut self,
        (name, kind, help): (&'static str, &'static str, &'static str),
        label: &'static str,
        values: impl IntoIterator<Item = (impl AsRef<str>, u64)>,
    ) {
        self.family(name, kind, help);
        for (word, value) in values {
            self.sample(name, "", Some((label, word.as_ref())), value);
        }
    }

    /// A histogram in seconds. Buckets contain the ones below them here.
    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        bounds_us: &[u64; BUCKETS - 1],
        of: &Histogram,
    ) {
        self.family(name, "histogram", help);
        let bounds = bounds_us.iter().map(|us| seconds(us * 1000).to_string()).chain(["+Inf".to_owned()]);
        let mut count = 0u64;
        for (bound, bucket) in bounds.zip(of.buckets) {
            count = count.saturating_add(bucket);
            self.sample(name, "_bucket", Some(("le", &bound)), count);
        }
        self.sample(name, "_sum", None, seconds(of.sum_ns));
        self.sample(name, "_count", None, count);
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, suffix: &str, label: Option<(&str, &str)>, value: impl Display) {
        match label {
            None => self.line(format_args!("{name}{suffix} {value}")),
            Some((label, word)) => self.line(format_args!("{name}{suffix}{{{label}=\"{word}\"}} {value}")),
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
