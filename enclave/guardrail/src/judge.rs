//! What is looked for in a whole text of the input, after what hides was taken out of it.

use crate::canonical::Canonical;
use crate::injection;
use crate::input::{Guardrail, ROUNDS};
use crate::language::language;
use crate::meaning::{Unread, scores};
use crate::personal::{self, Names, Restore};
use crate::secrets;
use crate::settings::{Action, AttackHandling, Handling, Kinds};
use crate::span::Span;
use crate::text::{Role, Text};
use crate::topics::{self, About};
use crate::verdict::Verdict;

/// Stands where something was taken out of a prompt.
const REDACTED: &str = "[redacted]";

impl Guardrail {
    /// Whether a text is one that must not be read as a whole.
    pub(crate) fn judge(&self, role: Role, text: &Text, verdict: &mut Verdict) {
        let input = &self.detectors.settings.input;
        // What the application says is what there is to protect.
        let handling = match role {
            Role::System => AttackHandling::Pass,
            Role::Data => input.injection_in_data,
            Role::User | Role::Assistant => input.injection,
        };
        if handling != AttackHandling::Pass {
            self.judge_attack(text, handling, verdict);
        }
        if role == Role::Data {
            self.judge_orders(text, verdict);
        }
        if role == Role::User {
            self.judge_manners(text, verdict);
            self.judge_topic(text, verdict);
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

impl Guardrail {
    /// Whether a text is an attack by its n-grams.
    fn judge_attack(&self, text: &Text, handling: AttackHandling, verdict: &mut Verdict) {
        let score = injection::score(text.expose());
        verdict.score = verdict.score.max(score.percent());
        if let Some(action) = action_on(score, handling) {
            verdict.note("injection", action);
        }
    }

    /// Whether data orders or asks.
    fn judge_orders(&self, text: &Text, verdict: &mut Verdict) {
        let handling = self.detectors.settings.input.orders_in_data;
        if handling == AttackHandling::Pass {
            return;
        }
        let score = self.senses.as_ref().ok_or(Unread);
        match score.and_then(|senses| scores::orders(text.expose(), &senses.reader)) {
            Ok(score) => {
                action_on(score, handling).into_iter().for_each(|a| verdict.note("orders_in_data", a))
            }
            Err(Unread) => verdict.note(UNREAD, Action::Block),
        }
    }

    /// Insults, hatred, requests for help with harm.
    fn judge_manners(&self, text: &Text, verdict: &mut Verdict) {
        let handling = self.detectors.settings.input.inappropriate;
        if handling == AttackHandling::Pass {
            return;
        }
        let score = self.senses.as_ref().ok_or(Unread);
        match score.and_then(|senses| scores::manners(text.expose(), &senses.reader)) {
            Ok(score) => {
                action_on(score, handling).into_iter().for_each(|a| verdict.note("inappropriate", a))
            }
            Err(Unread) => verdict.note(UNREAD, Action::Block),
        }
    }

    /// What it is about.
    fn judge_topic(&self, text: &Text, verdict: &mut Verdict) {
        let input = &self.detectors.settings.input;
        if input.topics().next().is_none() {
            return;
        }
        let names = (input.allowed_topics.as_slice(), input.denied_topics.as_slice());
        let about = self.senses.as_ref().ok_or(Unread);
        match about.and_then(|senses| topics::about(text.expose(), &senses.topics, names, &senses.reader)) {
            Ok(About::Fine) => {}
            Ok(About::Denied | About::Other) => verdict.note("topics", input.other_topics.action()),
            Err(Unread) => verdict.note(UNREAD, Action::Block),
        }
    }
}

/// Says that a text could not be read by the encoder: it does not pass.
const UNREAD: &str = "encoder";

/// What is to be done about a score.
fn action_on(score: injection::Score, handling: AttackHandling) -> Option<Action> {
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
