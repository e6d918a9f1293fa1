//! Which rule is needed where, and what happens without it.
//!
//! # Promises
//! - Every rule is in [`ONE`] or in [`TWO`], and a test says so.
//!
//! Source: the table in `docs/protocol.md`, section 13, is this one.

use crate::properties::{AGREEMENT, Attack, DESTINATION, HYBRID, ONCE, PEERS, RECEIPTS, SECRECY};
use crate::rules::Rule;

/// In this scenario, without these rules, this promise is broken by this attack.
pub(crate) struct Row {
    pub(crate) off: &'static [Rule],
    pub(crate) scenario: &'static str,
    pub(crate) broken: &'static str,
    pub(crate) attack: Attack,
}

const fn row(off: &'static [Rule], scenario: &'static str, broken: &'static str, attack: Attack) -> Row {
    Row { off, scenario, broken, attack }
}

/// One rule is off.
pub(crate) const ONE: [Row; 22] = [
    row(&[Rule::Age], "long gone, constant, known nonce", SECRECY, Attack::Replay),
    row(&[Rule::Image], "another program", SECRECY, Attack::Impersonation),
    row(&[Rule::Image], "another program", PEERS, Attack::Impersonation),
    row(&[Rule::Owner], "another account", DESTINATION, Attack::Diversion),
    row(&[Rule::Owner], "another account", RECEIPTS, Attack::Diversion),
    row(&[Rule::Owner], "another account calls", PEERS, Attack::Diversion),
    row(&[Rule::ManifestAccepted], "another release", DESTINATION, Attack::Substitution),
    row(&[Rule::ManifestShown], "unmeasured manifest", DESTINATION, Attack::Substitution),
    row(&[Rule::Nonce], "gone, constant", SECRECY, Attack::Replay),
    row(&[Rule::Nonce], "synchronised exporters", PEERS, Attack::Replay),
    row(&[Rule::Nonce], "constant exporter", PEERS, Attack::Replay),
    row(&[Rule::Role], "constant exporter", PEERS, Attack::Reflection),
    row(&[Rule::Exporter], "leaked key", SECRECY, Attack::Relay),
    row(&[Rule::Exporter], "leaked key", PEERS, Attack::Relay),
    row(&[Rule::Spki], "synchronised exporters", SECRECY, Attack::Relay),
    row(&[Rule::Spki], "synchronised exporters", PEERS, Attack::Relay),
    row(&[Rule::Spki], "constant exporter", AGREEMENT, Attack::Relay),
    row(&[Rule::Challenge], "synchronised exporters", PEERS, Attack::Replay),
    row(&[Rule::Challenge], "constant exporter", PEERS, Attack::Replay),
    row(&[Rule::ReceiptKey], "another account", RECEIPTS, Attack::Forgery),
    row(&[Rule::HybridOnly], "tampered offer", HYBRID, Attack::Downgrade),
    row(&[Rule::NoResumption], "another account", ONCE, Attack::Replay),
];

/// Two rules are off that stand in for one another. The first of each finds nothing alone in that scenario.
pub(crate) const TWO: [Row; 4] = [
    row(&[Rule::Context, Rule::Nonce], "gone, synchronised", SECRECY, Attack::Replay),
    row(&[Rule::Context, Rule::Role], "synchronised exporters", PEERS, Attack::Reflection),
    row(&[Rule::ManifestBound, Rule::ReceiptManifest], "unmeasured manifest", RECEIPTS, Attack::Substitution),
    row(&[Rule::Exporter, Rule::Spki], "another account", SECRECY, Attack::Relay),
];

/// Rules whose loss alone shows nowhere.
pub(crate) const SECOND: [Rule; 3] = [Rule::Context, Rule::ManifestBound, Rule::ReceiptManifest];

/// Rules whose loss shows only where something around the protocol has failed, in groups that can even be
/// lost together. Fewer rules allow more, so what holds without a group holds without each of it.
pub(crate) const IN_DEPTH: [&[Rule]; 3] = [
    &[Rule::Age, Rule::ManifestShown, Rule::Nonce, Rule::Challenge, Rule::HybridOnly],
    &[Rule::Role, Rule::Spki],
    &[Rule::Exporter],
];
