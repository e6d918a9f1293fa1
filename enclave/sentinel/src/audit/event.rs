//! What is recorded, and what of it. Every kind of entry that the sentinel writes is here.
//!
//! Promises
//! - No token, no key, and no text but what clients declare: the purpose, and words of the worker's verdicts.
//! - The principal is a pseudonym of this boot, as in receipts.

use adyton_attestation::cbor::Scalar;
use adyton_wire::control::{Account, Action, Denial, MAX_PURPOSE};

/// One thing that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The enclave started, with this.
    Boot {
        /// The model's name.
        model: &'a str,
        /// SHA-256 of the weights.
        weights: [u8; 32],
        /// SHA-384 of the manifest.
        manifest: [u8; 48],
        /// Digest of the policy pack.
        policy: [u8; 32],
        /// Whether it is a simulation.
        simulated: bool,
        /// How many auditors there are.
        auditors: u64,
    },
    /// A worker has loaded the model.
    WorkerReady {
        /// Digest of its TLS key.
        spki: [u8; 48],
    },
    /// A worker is gone.
    WorkerEnded {
        /// Why, in a word.
        reason: &'static str,
        /// Whether another is started.
        again: bool,
    },
    /// Evidence was asked for on a connection.
    Evidence,
    /// A principal was told of the models.
    Models {
        /// Who.
        principal: [u8; 32],
    },
    /// A generation was permitted.
    Grant {
        /// To whom.
        principal: [u8; 32],
        /// What.
        action: &'a Action,
        /// Whether the client is an enclave of `peers.json`, as the worker says.
        attested: bool,
    },
    /// Something was not permitted.
    Denial {
        /// To whom, if the token held.
        principal: Option<[u8; 32]>,
        /// Why.
        denial: Denial,
        /// What.
        action: &'a Action,
        /// As above.
        attested: bool,
    },
    /// A grant was given back: nothing came of it.
    Returned {
        /// Whose.
        principal: [u8; 32],
        /// The index of its entry.
        grant: u64,
    },
    /// An answer was given: a receipt was signed for it.
    Receipt {
        /// To whom.
        principal: [u8; 32],
        /// The index of its grant's entry.
        grant: u64,
        /// The receipt's number.
        sequence: u64,
        /// What the worker states.
        account: &'a Account,
    },
    /// A receipt was asked for and not signed.
    Unsealed {
        /// Why, in a word.
        reason: &'static str,
    },
    /// The log could not be kept for a while, and so many things were refused meanwhile without an entry of
    /// their own.
    Interrupted {
        /// How many.
        refused: u64,
    },
    /// The enclave ends.
    Closed {
        /// The exit code.
        code: u8,
    },
}

/// A kind, a principal, and details by name.
pub(super) type Parts = (&'static str, Option<[u8; 32]>, Vec<(String, Scalar)>);

impl Event<'_> {
    /// As an entry has it.
    pub(super) fn parts(&self) -> Parts {
        match self {
            Event::Boot { model, weights, manifest, policy, simulated, auditors } => (
                "boot",
                None,
                vec![
                    text("model", model),
                    bytes("weights", weights),
                    bytes("manifest", manifest),
                    bytes("policy", policy),
                    flag("simulated", *simulated),
                    number("auditors", *auditors),
                ],
            ),
            Event::WorkerReady { spki } => ("worker-ready", None, vec![bytes("spki", spki)]),
            Event::WorkerEnded { reason, again } => {
                ("worker-ended", None, vec![text("reason", reason), flag("again", *again)])
            }
            Event::Evidence => ("evidence", None, Vec::new()),
            Event::Models { principal } => ("models", Some(*principal), Vec::new()),
            Event::Grant { principal, action, attested } => {
                ("grant", Some(*principal), asked(action, *attested))
            }
            Event::Denial { principal, denial, action, attested } => {
                let mut details = vec![text("code", code(*denial))];
                details.extend(asked(action, *attested));
                ("denial", *principal, details)
            }
            Event::Returned { principal, grant } => {
                ("returned", Some(*principal), vec![number("grant", *grant)])
            }
            Event::Receipt { principal, grant, sequence, account } => {
                ("receipt", Some(*principal), receipt(*grant, *sequence, account))
            }
            Event::Unsealed { reason } => ("unsealed", None, vec![text("reason", reason)]),
            Event::Interrupted { refused } => ("interrupted", None, vec![number("refused", *refused)]),
            Event::Closed { code } => ("closed", None, vec![number("code", u64::from(*code))]),
        }
    }
}

/// What was asked for. The model's name is not recorded: a client may have written anything, and there is
/// only one.
fn asked(action: &Action, attested: bool) -> Vec<(String, Scalar)> {
    match action {
        Action::ListModels => vec![text("action", "list-models"), flag("attested", attested)],
        Action::Generate { purpose, max_tokens, prompt_bytes, .. } => {
            // One that is longer was never permitted, and may be anything.
            let purpose = if purpose.len() <= MAX_PURPOSE { purpose } else { "" };
            vec![
                text("action", "generate"),
                text("purpose", purpose),
                number("max-tokens", u64::from(*max_tokens)),
                number("prompt-bytes", u64::from(*prompt_bytes)),
                flag("attested", attested),
            ]
        }
    }
}

fn receipt(grant: u64, sequence: u64, account: &Account) -> Vec<(String, Scalar)> {
    let mut details = vec![
        number("grant", grant),
        number("sequence", sequence),
        bytes("request", &account.request),
        bytes("response", &account.response),
        number("chunks", account.chunks),
        number("response-bytes", account.response_bytes),
        flag("complete", account.complete),
    ];
    // Bounded where the account was taken.
    details.extend(account.verdicts.iter().map(|(stage, word)| text(&format!("verdict {stage}"), word)));
    details
}

/// The code of a denial, as clients see it.
pub(crate) fn code(denial: Denial) -> &'static str {
    match denial {
        Denial::TokenAbsent => "token_absent",
        Denial::TokenInvalid => "invalid_api_key",
        Denial::TokenExpired => "token_expired",
        Denial::Forbidden => "forbidden",
        Denial::UnknownModel => "model_not_found",
        Denial::Busy => "too_many_grants",
        Denial::AuditUnavailable => "audit_unavailable",
    }
}

fn text(name: &str, value: &str) -> (String, Scalar) {
    (name.to_owned(), Scalar::Text(value.to_owned()))
}

fn bytes(name: &str, value: &[u8]) -> (String, Scalar) {
    (name.to_owned(), Scalar::Bytes(value.to_vec()))
}

fn number(name: &str, value: u64) -> (String, Scalar) {
    (name.to_owned(), Scalar::Unsigned(value))
}

fn flag(name: &str, value: bool) -> (String, Scalar) {
    (name.to_owned(), Scalar::Boolean(value))
}
