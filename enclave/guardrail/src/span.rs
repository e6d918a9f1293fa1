//! A part of a text in which a detector found something.

/// Where something was found. Offsets are bytes, on character boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
    /// What it is, a fixed word.
    pub kind: &'static str,
    /// How sure its recogniser is, in percent; 0 if it says nothing of that.
    pub score: u8,
}

/// In order, each on character boundaries; spans that overlap are one, of the kind of the surer, or else longer, one.
pub(crate) fn settle(mut spans: Vec<Span>, text: &str) -> Vec<Span> {
    for span in &mut spans {
        span.start = text.floor_char_boundary(span.start);
        span.end = text.ceil_char_boundary(span.end);
    }
    spans.retain(|span| span.start < span.end);
    spans.sort_by_key(|s| (s.start, usize::MAX - s.end, u8::MAX - s.score, s.kind));
    let mut kept: Vec<Span> = Vec::new();
    for span in spans {
        match kept.last_mut().filter(|last| span.start < last.end) {
            Some(last) => *last = joined(last, &span),
            None => kept.push(span),
        }
    }
    kept
}

fn joined(one: &Span, other: &Span) -> Span {
    let rank = |span: &Span| (span.score, span.end - span.start);
    let surer = if rank(other) > rank(one) { other } else { one };
    Span { start: one.start.min(other.start), end: one.end.max(other.end), ..*surer }
}
