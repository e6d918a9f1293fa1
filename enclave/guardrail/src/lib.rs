//! Text in, verdict out: the only maker of [`Screened`] and [`Released`].
//!
//! Promises
//! - A [`Screened<Prompt>`] exists only if every message of it passed every input detector of the [`Guardrail`].
//! - A [`Released`] chunk exists only if the output detectors saw it, with what came before it, and let it go.
//! - `Debug` of any text type prints a length, never the text; the text is wiped when dropped.
//!
//! Does not: remember what earlier turns disclosed. Detectors only tighten: a text that passes all of them has no right that its
//! principal has not.
//!
//! Trusts: its [`Settings`], which are part of the measured policy pack. No input is trusted.
//!
//! Skipping the screen does not compile, because the fields are private:
//!
//! ```compile_fail,E0423
//! let forged = adyton_guardrail::Screened("prompt");
//! ```

mod canonical;
mod detect;
pub mod injection;
mod input;
mod judge;
mod language;
pub mod meaning;
mod output;
mod personal;
mod protected;
mod secrets;
mod sections;
mod settings;
mod span;
mod text;
mod topics;
mod verdict;

pub use canonical::{Canonical, Evidence, Layer, View};
pub use input::{Examined, Guardrail, Guardrails, Held, Passed};
pub use language::{language, languages, likely_language};
pub use output::{Output, OutputScreen, Released};
pub use personal::{
    Masked, Restore, candidates as personal_candidates, find as find_personal, kinds as personal_kinds, mask,
};
pub use protected::{Disclosed, Documents, Instructions, Watch};
pub use secrets::{TooManyKeywords, find as find_secrets};
pub use sections::Sections;
pub use settings::{
    Action, AttackHandling, EncoderUse, Guarded, Handling, InputSettings, Kinds, Settings, SettingsError,
    StageSettings, WholeHandling,
};
pub use span::Span;
pub use text::{Message, Prompt, Role, Screened, Text};
pub use topics::{Known, Topic, background};
pub use verdict::{Finding, Refused, Stage, Verdict};
