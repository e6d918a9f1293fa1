//! What is looked for in a whole text of the input, after what hides was taken out of it.

use crate::canonical::Canonical;
use crate::injection;
use crate::input::{Guardrail, ROUNDS};
use crate::language::language;
use crate::personal::{self, Names, Restore};
use crate::secrets;
use crate::settings::{Action, AttackHandling, Handling, Kinds};
use crate::span::Span;
use crate::text::{Role, Text};
use crate::verdict::Verdict;

/// Stands where something was taken out of a prompt.
const REDACTED: &str = "[redacted]";

impl Guardrail {
    /// Whether a text is one that must not be read as a whole.
    pub(crate) fn judge(&self, role: Role, text: &Text, verdict: &mut Verdict) {
        let input = &self.detectors.settings.input;
        // What the application says is what there is to protect.
        let attack = match role {
            Role::System => None,
            Role::Data => attack(text.expose(), input.injection_in_data, verdict),
            Role::User | Role::Assistant => attack(text.expose(), input.injection, verdict),
        };
        if let Some(action) = attack {
            verdict.note("injection", action);
        }
        let foreign = |code: &&str| !input.languages.iter().any(|served| served == code);
        if !input.languages.is_empty() && language(text.expose()).filter(foreign).is_some() {
            verdict.note("languages", input.other_languages.action());
        }
    }

    /// Takes secrets and personal data out of the texts, in as many rounds as it takes: where something was taken out, what
    /// stood beside it may become a finding of its own. Returns what puts masked values back.
    pub(crate) fn without_findings(&self, texts: &mut [Text], verdict: &mut Verdict) -> Restore {
        let input = &self.detectors.settings.input;
        let kinds = &input.personal_data;
        let mut names = Names::over(texts.iter().map(Text::expose));
        for _ in 0..ROUNDS {
            if verdict.blocks() {
                return Restore::default();
            }
            let mut changed = false;
            if let Some(action) = input.secrets.action() {
                for text in texts.iter_mut() {
                    let next = without_secrets(text, action, verdict);
                    changed |= next != *text;
                    *text = next;
                }
            }
            if kinds.any() {
                changed |= without_personal_data(texts, kinds, &mut names, verdict);
            }
            if !changed {
                return names.restore(|kind| kinds.of(kind) == Handling::Mask);
            }
        }
        verdict.note("nested_findings", Action::Block);
        Restore::default()
    }
}

/// What is to be done about an attack, if the text is one.
fn attack(text: &str, handling: AttackHandling, verdict: &mut Verdict) -> Option<Action> {
    if handling == AttackHandling::Pass {
        return None;
    }
    let score = injection::score(text);
    verdict.score = verdict.score.max(score.percent());
    match handling {
        AttackHandling::Pass => None,
        AttackHandling::Block => score.is_attack().then_some(Action::Block),
        AttackHandling::BlockSuspected => score.is_suspected().then_some(Action::Block),
        AttackHandling::Hold => score.is_attack().then_some(Action::Hold),
        AttackHandling::HoldSuspected if score.is_attack() => Some(Action::Block),
        AttackHandling::HoldSuspected => score.is_suspected().then_some(Action::Hold),
    }
}

/// Personal data becomes placeholders, so that the model can still tell one person's address from another's. What waits
/// for persons stays as it is. True if a text has changed.
fn without_personal_data(
    texts: &mut [Text],
    kinds: &Kinds,
    names: &mut Names,
    verdict: &mut Verdict,
) -> bool {
    let wanted = |kind: &'static str| kinds.of(kind) != Handling::Pass;
    let cut = |span: &Span| kinds.of(span.kind).action() == Some(Action::Redact);
    let mut found = Vec::with_capacity(texts.len());
    for text in texts.iter() {
        let spans = personal::find(text.expose(), wanted);
        for action in spans.iter().filter_map(|span| kinds.of(span.kind).action()) {
            verdict.note("personal_data", action);
        }
        let forms = Canonical::of(text.expose());
        let hidden = |form: &str| personal::find(form, wanted).len() > spans.len();
        if hidden(forms.folded()) || forms.decoded().any(|view| hidden(view.text.expose())) {
            verdict.note("hidden_personal_data", Action::Block);
        }
        found.push((text.clone(), spans.into_iter().filter(cut).collect::<Vec<Span>>()));
    }
    let found: Vec<(&str, Vec<Span>)> =
        found.iter().map(|(text, spans)| (text.expose(), spans.clone())).collect();
    let (masked, changed) = names.mask(&found);
    for (text, masked) in texts.iter_mut().zip(masked) {
        *text = masked;
    }
    !changed.is_empty()
}

fn without_secrets(text: &Text, action: Action, verdict: &mut Verdict) -> Text {
    let Ok(spans) = secrets::find(text.expose()) else {
        verdict.note("too_many_keywords", Action::Block);
        return text.clone();
    };
    spans.iter().for_each(|_| verdict.note("secrets", action));
    // What only shows in another form cannot be cut out of this one.
    let forms = Canonical::of(text.expose());
    let more = |form: &str, than: usize| secrets::find(form).map_or(true, |found| found.len() > than);
    if more(forms.folded(), spans.len()) || forms.decoded().any(|view| more(view.text.expose(), 0)) {
        verdict.note("hidden_secrets", if action == Action::Hold { action } else { Action::Block });
    }
    if action == Action::Redact { replaced(text, &spans) } else { text.clone() }
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
