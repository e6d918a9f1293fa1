//! What is looked for in a whole text of the input, after what hides was taken out of it.

use crate::canonical::Canonical;
use crate::injection;
use crate::input::{Guardrail, ROUNDS};
use crate::language::language;
use crate::personal::{self, mask};
use crate::secrets;
use crate::settings::{Action, AttackHandling, Handling, Kinds};
use crate::span::Span;
use crate::text::{Role, Text};
use crate::verdict::Verdict;

/// Stands where something was taken out of a prompt.
const REDACTED: &str = "[redacted]";

impl Guardrail {
    /// The text with what was found in it redacted, or a verdict that blocks.
    pub(crate) fn judge(&self, role: Role, text: Text, verdict: &mut Verdict) -> Text {
        let input = &self.detectors.settings.input;
        // What the application says is what there is to protect.
        if role != Role::System && is_refused(text.expose(), input.injection) {
            verdict.note("injection", Action::Block);
        }
        let foreign = |code: &&str| !input.languages.iter().any(|served| served == code);
        if !input.languages.is_empty() && language(text.expose()).filter(foreign).is_some() {
            verdict.note("languages", Action::Block);
        }
        self.without_findings(text, verdict)
    }

    /// The text without secrets and personal data, in as many rounds as it takes: where something was taken out, what
    /// stood beside it may become a finding of its own.
    fn without_findings(&self, mut text: Text, verdict: &mut Verdict) -> Text {
        let input = &self.detectors.settings.input;
        for _ in 0..ROUNDS {
            if verdict.blocks() {
                return text;
            }
            let mut next = text.clone();
            if let Some(action) = input.secrets.action() {
                next = without_secrets(next, action, verdict);
            }
            if input.personal_data.any() {
                next = without_personal_data(next, &input.personal_data, verdict);
            }
            if next == text {
                return text;
            }
            text = next;
        }
        verdict.note("nested_findings", Action::Block);
        text
    }
}

fn is_refused(text: &str, handling: AttackHandling) -> bool {
    match handling {
        AttackHandling::Pass => false,
        AttackHandling::Block => injection::score(text).is_attack(),
        AttackHandling::BlockSuspected => injection::score(text).is_suspected(),
    }
}

/// Personal data becomes placeholders, so that the model can still tell one person's address from another's.
fn without_personal_data(text: Text, kinds: &Kinds, verdict: &mut Verdict) -> Text {
    let wanted = |kind: &'static str| kinds.of(kind) != Handling::Pass;
    let spans = personal::find(text.expose(), wanted);
    for action in spans.iter().filter_map(|span| kinds.of(span.kind).action()) {
        verdict.note("personal_data", action);
    }
    let forms = Canonical::of(text.expose());
    let hidden = |form: &str| personal::find(form, wanted).len() > spans.len();
    if hidden(forms.folded()) || forms.decoded().any(|view| hidden(view.text.expose())) {
        verdict.note("hidden_personal_data", Action::Block);
    }
    if spans.is_empty() { text } else { mask(text.expose(), &spans).text().clone() }
}

fn without_secrets(text: Text, action: Action, verdict: &mut Verdict) -> Text {
    let Ok(spans) = secrets::find(text.expose()) else {
        verdict.note("too_many_keywords", Action::Block);
        return text;
    };
    spans.iter().for_each(|_| verdict.note("secrets", action));
    // What only shows in another form cannot be cut out of this one.
    let forms = Canonical::of(text.expose());
    let more = |form: &str, than: usize| secrets::find(form).map_or(true, |found| found.len() > than);
    if more(forms.folded(), spans.len()) || forms.decoded().any(|view| more(view.text.expose(), 0)) {
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
