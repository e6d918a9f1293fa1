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
        /// The hold that persons approved, if it took any.
        hold: Option<[u8; 16]>,
    },
    /// Passages of protected documents were about to be told.
    Disclosed {
        /// To whom.
        principal: [u8; 32],
        /// Under the grant of which entry.
        grant: u64,
        /// Passages that he had not been told before.
        new: u64,
        /// Whether they left.
        allowed: bool,
    },
    /// A request waits for persons.
    Hold {
        /// Whose.
        principal: [u8; 32],
        /// Its name.
        hold: [u8; 16],
        /// SHA-256 of the request.
        request: [u8; 32],
        /// How many it takes.
        persons: u8,
        /// The policies that want them.
        policies: &'a str,
    },
    /// An approver's vote was counted.
    Vote {
        /// On which hold.
        hold: [u8; 16],
        /// Whose, by the name in `approvers.json`.
        by: &'a str,
        /// What it said.
        allow: bool,
        /// How many more are needed.
        missing: u8,
    },
    /// An approver's order was counted.
    Order {
        /// Which.
        order: &'static str,
        /// Whose.
        by: &'a str,
        /// How many more are needed.
        missing: u8,
    },
    /// An approver handed secrets over.
    Secret {
        /// Who.
        by: &'a str,
    },
    /// Somebody wanted something that is for approvers.
    Unheard {
        /// Who, if the token held.
        principal: Option<[u8; 32]>,
        /// Why not.
        denial: Denial,
    },
    /// A release of a metric was paid for.
    Spent {
        /// For whom.
        principal: [u8; 32],
        /// Which metric.
        metric: &'a str,
        /// The ledger's entry.
        entry: &'a [u8],
        /// How many entries the ledger has with it.
        number: u64,
        /// Their digest.
        chain: [u8; 32],
    },
    /// A release was asked for and not given.
    Unspent {
        /// To whom, if the token held.
        principal: Option<[u8; 32]>,
        /// Why not: a code.
        code: &'static str,
    },
    /// A principal was shut out.
    Quarantined {
        /// Who.
        principal: [u8; 32],
    },
    /// The state changed, or an order was carried out.
    State {
        /// Which state this is.
        epoch: u64,
        /// Why it is offline, if it is.
        offline: Option<&'static str>,
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
    /// A tool was called.
    Called {
        /// For whom.
        principal: [u8; 32],
        /// The index of its grant's entry.
        grant: u64,
        /// Bytes of the result.
        bytes: u32,
        /// Whether there was one.
        came: bool,
    },
    /// A collection was read, or written.
    LookedUp {
        /// For whom.
        principal: [u8; 32],
        /// The index of its grant's entry.
        grant: u64,
        /// SHA-256 over the passages' names, in their order.
        passages: [u8; 32],
        /// How many.
        count: u64,
        /// Bytes of them.
        bytes: u32,
        /// How many were read and not used.
        dropped: u32,
        /// Whether the store answered.
        came: bool,
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
            Event::Grant { principal, action, attested, hold } => {
                let mut details = asked(action, *attested);
                details.extend(hold.iter().map(|hold| bytes("hold", hold)));
                ("grant", Some(*principal), details)
            }
            Event::Hold { principal, hold, request, persons, policies } => (
                "hold",
                Some(*principal),
                vec![
                    bytes("hold", hold),
                    bytes("request", request),
                    number("persons", u64::from(*persons)),
                    text("policies", policies),
                ],
            ),
            Event::Vote { hold, by, allow, missing } => (
                "vote",
                None,
                vec![
                    bytes("hold", hold),
                    text("by", by),
                    flag("allow", *allow),
                    number("missing", u64::from(*missing)),
                ],
            ),
            Event::Order { order, by, missing } => {
                let missing = number("missing", u64::from(*missing));
                ("order", None, vec![text("order", order), text("by", by), missing])
            }
            Event::Secret { by } => ("secret", None, vec![text("by", by)]),
            Event::Unheard { principal, denial } => {
                ("unheard", *principal, vec![text("code", code(*denial))])
            }
            Event::Spent { principal, metric, entry, number: at, chain } => (
                "spent",
                Some(*principal),
                vec![
                    text("metric", metric),
                    bytes("entry", entry),
                    number("number", *at),
                    bytes("chain", chain),
                ],
            ),
            Event::Unspent { principal, code } => ("unspent", *principal, vec![text("code", code)]),
            Event::Quarantined { principal } => ("quarantined", Some(*principal), Vec::new()),
            Event::State { epoch, offline } => {
                let offline = text("offline", offline.unwrap_or_default());
                ("state", None, vec![number("epoch", *epoch), offline])
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
            Event::Called { principal, grant, bytes, came } => (
                "called",
                Some(*principal),
                vec![number("grant", *grant), number("bytes", u64::from(*bytes)), flag("came", *came)],
            ),
            Event::Disclosed { principal, grant, new, allowed } => (
                "disclosed",
                Some(*principal),
                vec![number("grant", *grant), number("new", *new), flag("allowed", *allowed)],
            ),
            Event::LookedUp { principal, grant, passages, count, bytes: size, dropped, came } => (
                "looked-up",
                Some(*principal),
                vec![
                    number("grant", *grant),
                    bytes("passages", passages),
                    number("count", *count),
                    number("bytes", u64::from(*size)),
                    number("dropped", u64::from(*dropped)),
                    flag("came", *came),
                ],
            ),
            Event::Unsealed { reason } => ("unsealed", None, vec![text("reason", reason)]),
            Event::Interrupted { refused } => ("interrupted", None, vec![number("refused", *refused)]),
            Event::Closed { code } => ("closed", None, vec![number("code", u64::from(*code))]),
        }
    }
}

/// What was asked for. The model's name is not recorded: a client may have written anything, and there is
/// only one.
fn asked(action: &Action, attested: bool) -> Vec<(String, Scalar)> {
    // A name that is longer was never permitted, and may be anything.
    let short = |text: &String| if text.len() <= MAX_PURPOSE { text.clone() } else { String::new() };
    match action {
        Action::ListModels => vec![text("action", "list-models"), flag("attested", attested)],
        Action::Generate { purpose, max_tokens, prompt_bytes, .. } => {
            vec![
                text("action", "generate"),
                text("purpose", &short(purpose)),
                number("max-tokens", u64::from(*max_tokens)),
                number("prompt-bytes", u64::from(*prompt_bytes)),
                flag("attested", attested),
            ]
        }
        Action::Embed { purpose, texts, text_bytes, .. } => vec![
            text("action", "embed"),
            text("purpose", &short(purpose)),
            number("texts", u64::from(*texts)),
            number("text-bytes", u64::from(*text_bytes)),
            flag("attested", attested),
        ],
        Action::Retrieve { collection, purpose, passages, query, request: _, connect: _ } => vec![
            text("action", "retrieve"),
            text("collection", &short(collection)),
            text("purpose", &short(purpose)),
            number("passages", u64::from(*passages)),
            bytes("query", query),
            flag("attested", attested),
        ],
        Action::Ingest { collection, purpose, passages, document_bytes, payload, connect: _ } => vec![
            text("action", "ingest"),
            text("collection", &short(collection)),
            text("purpose", &short(purpose)),
            number("passages", u64::from(*passages)),
            number("document-bytes", u64::from(*document_bytes)),
            bytes("payload", payload),
            flag("attested", attested),
        ],
        Action::CallTool { tool, purpose, request, argument_bytes } => {
            vec![
                text("action", "call-tool"),
                text("tool", &short(tool)),
                text("purpose", &short(purpose)),
                bytes("arguments", request),
                number("argument-bytes", u64::from(*argument_bytes)),
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
        Denial::UnknownTool => "no_such_tool",
        Denial::UnknownCollection => "no_such_collection",
        Denial::StoreLocked => "store_locked",
        Denial::Unreachable => "tool_unreachable",
        Denial::Deferred => "deferred",
        Denial::Declined => "approval_declined",
        Denial::Unanswered => "approval_timeout",
        Denial::HoldsFull => "too_many_holds",
        Denial::Quarantined => "principal_quarantined",
        Denial::Offline => "offline",
        Denial::BallotRefused => "ballot_refused",
        Denial::NoSuchHold => "no_such_hold",
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
