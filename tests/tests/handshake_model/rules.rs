//! The rules of the protocol as switches, what may fail around it, and the scenarios that are explored.
//!
//! # Promises
//! - Every rule names the step of `docs/protocol.md` and the file that it stands for.
//!
//! # Does not
//! - Model what is checked before anything is compared: form, certificates and signatures (steps 1 to 10),
//!   debug mode (12), the form of the receipt key (18).
//!
//! Source: docs/protocol.md, sections 1, 5, 6 and 9.

/// One rule. Its number in [`Rule::ALL`] is its bit in [`Rules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Step 11, document age. `attestation/src/appraisal/steps.rs::freshness`.
    Age,
    /// Step 13, enclave image. `steps.rs::image`.
    Image,
    /// Step 14, whose enclave. `steps.rs::owner`.
    Owner,
    /// Step 15, release manifest: PCR16 is an accepted one. `steps.rs::manifest`.
    ManifestAccepted,
    /// Step 15 again: PCR16 is that of the manifest that was shown. `steps.rs::manifest`.
    ManifestShown,
    /// Step 16, nonce, on both sides. `steps.rs::nonce`.
    Nonce,
    /// Step 17, session binding: the role label. `attestation/src/binding.rs`.
    Role,
    /// Step 17: the exporter. `attestation/src/binding.rs`.
    Exporter,
    /// Step 17: the certificate's key. `attestation/src/binding.rs`.
    Spki,
    /// Step 17: the manifest. `attestation/src/binding.rs`.
    ManifestBound,
    /// Section 1: the nonce is the exporter's context. `attestation/src/tls/mod.rs::exporter`.
    Context,
    /// Section 6: every answer with evidence has a challenge of its own.
    /// `enclave/src/session.rs::give_evidence`.
    Challenge,
    /// Step 19: a receipt is signed by the key in its document. `attestation/src/receipt/bundle.rs`.
    ReceiptKey,
    /// Step 20: a receipt names the manifest that is beside it. `attestation/src/receipt/bundle.rs`.
    ReceiptManifest,
    /// Section 1: the client offers the hybrid group alone. `attestation/src/tls/mod.rs::provider`.
    HybridOnly,
    /// Section 1: no tickets, no resumption, no early data. `attestation/src/tls/mod.rs`.
    NoResumption,
}

impl Rule {
    pub(crate) const ALL: [Rule; 16] = [
        Rule::Age,
        Rule::Image,
        Rule::Owner,
        Rule::ManifestAccepted,
        Rule::ManifestShown,
        Rule::Nonce,
        Rule::Role,
        Rule::Exporter,
        Rule::Spki,
        Rule::ManifestBound,
        Rule::Context,
        Rule::Challenge,
        Rule::ReceiptKey,
        Rule::ReceiptManifest,
        Rule::HybridOnly,
        Rule::NoResumption,
    ];
}

/// Which rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rules(u32);

impl Rules {
    pub(crate) const ALL: Rules = Rules(u32::MAX);

    pub(crate) fn without(self, rule: Rule) -> Self {
        Rules(self.0 & !(1 << rule as u32))
    }

    pub(crate) fn hold(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u32) != 0
    }
}

/// What is the matter with B, the enclave that the attacker started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Other {
    /// Our image and manifest in the attacker's account.
    Account,
    /// Our image and owner, and a manifest that is not accepted: the operator starts it so.
    Release,
    /// Our owner, and a program that does what the attacker wants: the operator starts it so.
    Program,
    /// Our image and owner; PCR16 holds the accepted manifest and another one is in use.
    Unmeasured,
}

/// What TLS exporters are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Exporters {
    /// As RFC 8446 says.
    Separate,
    /// All connections have the same secret; only the context separates (as after a triple handshake).
    Synchronised,
    /// One value for everything.
    Constant,
}

/// When A ends. Honest clients come after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ends {
    Never,
    /// What it signed is still young when a client comes.
    Moments,
    /// What it signed is too old by then.
    Hours,
}

/// What may fail around the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Assumptions {
    /// The attacker holds the key of A's certificate.
    pub(crate) tls_key_leaked: bool,
    pub(crate) exporters: Exporters,
    /// The network can take a group out of an offer unseen, which TLS 1.3 forbids.
    pub(crate) offer_tampered: bool,
    /// The attacker knows the client's nonce before the client sends it.
    pub(crate) nonce_known: bool,
    pub(crate) ends: Ends,
}

/// Nothing fails.
pub(crate) const SOUND: Assumptions = Assumptions {
    tls_key_leaked: false,
    exporters: Exporters::Separate,
    offer_tampered: false,
    nonce_known: false,
    ends: Ends::Never,
};

/// One world to explore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) other: Other,
    /// B, and not P, is the client that shows evidence of its own.
    pub(crate) other_calls: bool,
    pub(crate) assumptions: Assumptions,
    pub(crate) rules: Rules,
}

impl Scenario {
    const fn new(name: &'static str, other: Other, assumptions: Assumptions) -> Self {
        Scenario { name, other, other_calls: false, assumptions, rules: Rules::ALL }
    }

    /// Everything around the protocol is as it should be.
    pub(crate) fn nothing_failed(&self) -> bool {
        self.assumptions == SOUND && self.other != Other::Unmeasured
    }

    /// The same world without some rules.
    pub(crate) fn without(self, off: &[Rule]) -> Self {
        let rules = off.iter().fold(self.rules, |rules, rule| rules.without(*rule));
        Scenario { rules, ..self }
    }

    pub(crate) fn named(name: &str) -> Scenario {
        let found = Scenario::all().into_iter().find(|scenario| scenario.name == name);
        found.unwrap_or_else(|| panic!("there is no scenario {name}"))
    }

    /// Every world in which all rules together must keep every promise.
    pub(crate) fn all() -> Vec<Scenario> {
        let sound = |name, other| Scenario::new(name, other, SOUND);
        let failed = |name, assumptions| Scenario::new(name, Other::Account, assumptions);
        let gone = Assumptions { tls_key_leaked: true, ends: Ends::Moments, ..SOUND };
        vec![
            sound("another account", Other::Account),
            Scenario { other_calls: true, ..sound("another account calls", Other::Account) },
            sound("another release", Other::Release),
            sound("another program", Other::Program),
            sound("unmeasured manifest", Other::Unmeasured),
            failed("leaked key", Assumptions { tls_key_leaked: true, ..SOUND }),
            failed("synchronised exporters", Assumptions { exporters: Exporters::Synchronised, ..SOUND }),
            failed("constant exporter", Assumptions { exporters: Exporters::Constant, ..SOUND }),
            failed("tampered offer", Assumptions { offer_tampered: true, ..SOUND }),
            failed("gone, synchronised", Assumptions { exporters: Exporters::Synchronised, ..gone }),
            failed("gone, constant", Assumptions { exporters: Exporters::Constant, ..gone }),
            failed(
                "long gone, constant, known nonce",
                Assumptions { exporters: Exporters::Constant, nonce_known: true, ends: Ends::Hours, ..gone },
            ),
        ]
    }

    /// Where no rule helps: the attacker has the key, and exporters say nothing. He is then A, as far as
    /// TLS can tell.
    pub(crate) fn lost(exporters: Exporters) -> Scenario {
        let assumptions = Assumptions { tls_key_leaked: true, exporters, ..SOUND };
        Scenario::new("leaked key and exporters that do not separate", Other::Account, assumptions)
    }
}
