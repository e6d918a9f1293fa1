//! What is looked for in a whole text of the input, after what hides was taken out of it.

use crate::canonical::Canonical;
use crate::input::Guardrail;
use crate::secrets;
use crate::settings::Action;
use crate::span::Span;
use crate::text::Text;
use crate::verdict::Verdict;

/// Stands where something was taken out of a prompt.
const REDACTED: &str = "[redacted]";

impl Guardrail {
    /// The text with what was found in it redacted, or a verdict that blocks.
    pub(crate) fn judge(&self, text: Text, verdict: &mut Verdict) -> Text {
        match self.detectors.settings.input.secrets.action() {
            Some(action) => without_secrets(text, action, verdict),
            None => text,
        }
    }
}

fn without_secrets(text: Text, action: Action, verdict: &mut Verdict) -> Text {
    let Ok(spans) = secrets::find(text.expose()) else {
        verdict.note("too_many_keywords", Action::Block);
        return text;
    };
    spans.iter().for_each(|_| verdict.note("secrets", action));
    // What only shows in another form cannot be cut out of this one.
    let other = Canonical::of(text.expose());
    let hidden =
        |view: &crate::View| secrets::find(view.text.expose()).map_or(true, |found| !found.is_empty());
    if other.decoded().any(hidden) {
        verdict.note("hidden_secrets", Action::Block);
    }
    replaced(&text, &spans)
}

fn replaced(text: &Text, spans: &[Span]) -> Text {
    let (mut kept, mut from) = (String::with_capacity(text.expose().len()), 0);
    for span in spans {
        kept.push_str(text.expose().get(from..span.start).unwrap_or_default());
        kept.push_str(REDACTED);
        from = span.end;
    }
    kept.push_str(text.expose().get(from..).unwrap_or_default());
    Text::from(kept)
}
