//! The messages between sentinel and worker. The sentinel treats every one from the worker as hostile.
//!
//! Encoding: postcard, one message a datagram ([`crate::channel`]), at most [`crate::channel::MAX_FRAME`] bytes.

use crate::lookup::SignedLookup;
use crate::stores::{Password, Stores};
use crate::tools::Tool;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest bearer token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 4096;
/// Longest purpose, in bytes.
pub const MAX_PURPOSE: usize = 64;

/// Matches an answer to its question. Chosen by the worker; the sentinel only repeats it.
pub type RequestId = u64;

/// From the sentinel to the worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// First message. Carries sealed memory files: the weights, the manifest's bytes, `protected.json` of the policy pack, and where
    /// the release has an encoder its weights and its tokenizer.
    Start {
        /// `guardrails.toml` of the measured policy pack.
        guardrails: String,
        /// `peers.json` of the measured policy pack: reference values for clients that are enclaves.
        peers: String,
        /// `tools.toml` of the measured policy pack, read and judged.
        tools: Vec<(String, Tool)>,
        /// `stores.toml` of the measured policy pack, read and judged.
        stores: Stores,
    },
    /// An accepted connection; its socket travels with the message.
    Connection,
    /// The right to generate, for so long from now; 0 ends it at once. Without a fresh one the worker must stop.
    Lease {
        /// Milliseconds.
        valid_for_ms: u32,
    },
    /// The answer to [`ToSentinel::Evidence`]: an attestation document, or `None` if the NSM gave none.
    Evidence(RequestId, Option<Vec<u8>>),
    /// The answer to [`ToSentinel::Ask`]. With a grant to call a tool comes the socket to call it over, and with one to look up, if
    /// it was asked to connect, the socket to the store.
    Decision(RequestId, Decision),
    /// The answer to [`ToSentinel::Seal`]: a signed receipt, or `None` if the grant was not good for one.
    Receipt(RequestId, Option<Vec<u8>>),
    /// The answer to [`ToSentinel::People`].
    People(RequestId, Result<Told, Denial>),
    /// The answer to [`ToSentinel::Disclose`]: whether the text may leave.
    Disclosed(RequestId, bool),
    /// The answer to [`ToSentinel::Statistic`]: figures with noise in them.
    Statistic(RequestId, Result<Statistic, NoStatistic>),
}

/// From the worker to the sentinel.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToSentinel {
    /// The model is loaded. Sent once, first.
    Ready {
        /// The SubjectPublicKeyInfo (DER) of the worker's TLS key.
        spki: Vec<u8>,
    },
    /// Asks for evidence for one TLS connection.
    Evidence {
        /// Repeated in the answer.
        id: RequestId,
        /// The client's nonce.
        nonce: [u8; 32],
        /// TLS exporter of the connection; 48 bytes.
        exporter: Vec<u8>,
    },
    /// Asks whether something may be done.
    Ask {
        /// Repeated in the answer.
        id: RequestId,
        /// The client's bearer token, unread.
        token: Token,
        /// True if the client proved that it is an enclave named in `peers.json`.
        attested: bool,
        /// Tells the client's connection from all others of this boot.
        session: u64,
        /// What is asked for.
        action: Action,
    },
    /// Asks for something that only approvers may have or do.
    People {
        /// Repeated in the answer.
        id: RequestId,
        /// The approver's bearer token, unread.
        token: Token,
        /// As in [`ToSentinel::Ask`].
        attested: bool,
        /// What is asked for.
        wish: Wish,
    },
    /// Gives a grant back that nothing will come of. No answer.
    Release {
        /// The grant.
        grant: GrantId,
        /// What the guardrail found, if that is why.
        screened: Screened,
    },
    /// Says what came of calling a tool; uses the grant up. No answer.
    Called {
        /// The grant.
        grant: GrantId,
        /// Bytes of the result; 0 if there was none.
        bytes: u32,
        /// Whether there was one.
        came: bool,
    },
    /// Asks whether text may leave that has passages of protected documents in it. Counted whether it then leaves or not.
    Disclose {
        /// Repeated in the answer.
        id: RequestId,
        /// The grant under which the text was made.
        grant: GrantId,
        /// Document and fingerprint, by their numbers in `protected.json`; at most [`MAX_DISCLOSED`].
        passages: Vec<(u16, u32)>,
    },
    /// Says what came of a look-up, or of writing; uses the grant up. No answer.
    LookedUp {
        /// The grant.
        grant: GrantId,
        /// Names of the passages that were read or written; at most [`crate::lookup::MAX_PASSAGES`].
        passages: Vec<[u8; 16]>,
        /// Bytes of them.
        bytes: u32,
        /// Passages that were read and not used: the guardrail found something.
        dropped: u32,
        /// Whether the store answered.
        came: bool,
    },
    /// Asks for a receipt; uses the grant up.
    Seal {
        /// Repeated in the answer.
        id: RequestId,
        /// The grant under which the answer was made.
        grant: GrantId,
        /// What the worker saw.
        account: Account,
    },
    /// Asks for a release of a metric, which costs.
    Statistic {
        /// Repeated in the answer.
        id: RequestId,
        /// The client's bearer token, unread.
        token: Token,
        /// As in [`ToSentinel::Ask`].
        attested: bool,
        /// The metric's name.
        metric: String,
        /// The declared purpose.
        purpose: String,
        /// What it may cost, in thousandths of epsilon.
        epsilon_milli: u32,
    },
}

/// A release of a metric: all that the sentinel tells of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistic {
    /// Its name.
    pub metric: String,
    /// Number of the ledger's entry that paid for it.
    pub number: u64,
    /// What it cost, taken alone.
    pub epsilon: f64,
    /// The delta at which epsilon counts.
    pub delta: f64,
    /// What was spent of this boot's budget so far, and the budget.
    pub spent: (f64, f64),
    /// From the day of the release before, or of the start, to today, in days since 1970.
    pub days: (u64, u64),
    /// The figures.
    pub rows: Vec<StatisticRow>,
}

/// One figure of a [`Statistic`], and between what the true one lies with 95 % by the noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatisticRow {
    /// A bin, a rank, or what the figure is.
    pub label: String,
    /// The figure.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Why there is no release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoStatistic {
    /// He may not, or it cannot be recorded.
    Denied(Denial),
    /// No such metric is declared.
    UnknownMetric,
    /// Not a price.
    Price,
    /// The budget does not allow it.
    Exhausted,
    /// There was no noise to be had. What was spent stays spent.
    NoNoise,
}

/// A bearer token. `Debug` prints its length.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token(pub Vec<u8>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} bytes)", self.0.len())
    }
}

/// Names one grant. Random, so that it cannot be guessed; good once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GrantId(pub [u8; 16]);

/// What the worker may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// To learn which models there are.
    ListModels,
    /// To generate text.
    Generate {
        /// The model's name.
        model: String,
        /// The declared purpose.
        purpose: String,
        /// Most tokens to generate.
        max_tokens: u32,
        /// Size of the prompt, in bytes.
        prompt_bytes: u32,
        /// SHA-256 of the request's body: what an approver approves.
        request: [u8; 32],
        /// True if the prompt has text that nobody vouches for: the result of a tool.
        untrusted: bool,
        /// The detectors whose findings persons must approve before the prompt is read; at most [`MAX_VERDICTS`] words.
        held: Vec<String>,
    },
    /// To call a tool of the enclave.
    CallTool {
        /// Its name.
        tool: String,
        /// The declared purpose.
        purpose: String,
        /// SHA-256 of name and arguments: what an approver approves.
        request: [u8; 32],
        /// Size of the arguments, in bytes.
        argument_bytes: u32,
    },
    /// To turn texts into vectors.
    Embed {
        /// The encoder's name.
        model: String,
        /// The declared purpose.
        purpose: String,
        /// How many texts.
        texts: u32,
        /// Their size together, in bytes.
        text_bytes: u32,
        /// SHA-256 of the request's body: what an approver approves.
        request: [u8; 32],
    },
    /// To read the passages of a collection that are nearest to a question.
    Retrieve {
        /// Its name.
        collection: String,
        /// The declared purpose.
        purpose: String,
        /// Most passages.
        passages: u32,
        /// SHA-256 of the question's vector ([`crate::lookup::vector_digest`]).
        query: [u8; 32],
        /// SHA-256 of the request's body: what an approver approves.
        request: [u8; 32],
        /// True if the worker has no connection to the store, should the collection be in one.
        connect: bool,
    },
    /// To write passages of one document.
    Ingest {
        /// The collection's name.
        collection: String,
        /// The declared purpose.
        purpose: String,
        /// How many passages.
        passages: u32,
        /// Size of the document, in bytes.
        document_bytes: u32,
        /// SHA-256 of what is written.
        payload: [u8; 32],
        /// As in [`Action::Retrieve`].
        connect: bool,
    },
}

/// What approvers may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// Whether the AI is online, and why not.
    State,
    /// The open holds.
    Holds,
    /// One hold.
    Hold([u8; 16]),
    /// A signed vote or order (`attestation::ballot`), unread.
    Ballot {
        /// At most 128 bytes.
        statement: Vec<u8>,
        /// Who says that he signed it.
        signer: [u8; 32],
        /// 64 bytes.
        signature: Vec<u8>,
    },
    /// A key to seal a secret to, good once.
    SecretKey,
    /// A signed statement about a secret (`attestation::ballot`), unread, and the secret, sealed (`attestation::secret`).
    Secret {
        /// At most 128 bytes.
        statement: Vec<u8>,
        /// Who says that he signed it.
        signer: [u8; 32],
        /// 64 bytes.
        signature: Vec<u8>,
        /// The sender's half of the agreement.
        encapsulated: [u8; 32],
        /// The rest of the box.
        ciphertext: Vec<u8>,
    },
}

/// What approvers are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// To [`Wish::State`].
    State(StateView),
    /// To [`Wish::Holds`]; at most [`MAX_HOLDS`].
    Holds(Vec<HoldView>),
    /// To [`Wish::Hold`].
    Hold(HoldView),
    /// To [`Wish::Ballot`]: it was counted, and so many more are needed. 0 means that it is done.
    Counted {
        /// How many more.
        missing: u8,
    },
    /// To [`Wish::SecretKey`].
    SecretKey {
        /// Which boot.
        boot: [u8; 16],
        /// The key.
        key: [u8; 32],
        /// The receipt key's signature over both; 64 bytes.
        signature: Vec<u8>,
    },
    /// To [`Wish::Secret`]: it was taken.
    Taken,
}

/// Most holds that are open at a time. Each fits into 1 KiB, so that a list fits into a frame.
pub const MAX_HOLDS: usize = 64;
/// Longest text of a [`HoldView`], in bytes.
pub const MAX_SHOWN: usize = 256;

/// The state of the AI, for approvers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateView {
    /// Which boot.
    pub boot: [u8; 16],
    /// Grows with each change of the state.
    pub epoch: u64,
    /// `None` while it is online, else why it is not.
    pub offline: Option<String>,
    /// When that became so, in milliseconds since 1970.
    pub since_ms: u64,
    /// Pseudonyms of the principals that are shut out.
    pub quarantined: Vec<[u8; 32]>,
    /// What normal has drifted by, if a person should look.
    pub drift: Option<String>,
    /// Whether behaviour is known already.
    pub cold: bool,
}

/// A request that waits for persons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// Its name.
    pub hold: [u8; 16],
    /// Which boot.
    pub boot: [u8; 16],
    /// Who asks: the subject, as its issuer names it.
    pub principal: String,
    /// Of which tenant.
    pub tenant: String,
    /// The declared purpose.
    pub purpose: String,
    /// SHA-256 of the request's body.
    pub request: [u8; 32],
    /// Most tokens.
    pub max_tokens: u32,
    /// Size of the request.
    pub prompt_bytes: u32,
    /// 0 to 100, by behaviour.
    pub risk: u8,
    /// The policies that want persons.
    pub policies: String,
    /// How many they want.
    pub persons: u8,
    /// Who has allowed it so far, by name.
    pub allowed: Vec<String>,
    /// When it was opened, and when it ends, in milliseconds since 1970.
    pub opened_ms: u64,
    /// As above.
    pub ends_ms: u64,
}

/// What the sentinel decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// It may be done, now; there is nothing to seal afterwards.
    Permitted,
    /// It may be done, once.
    Granted {
        /// To be named when the receipt is asked for.
        grant: GrantId,
        /// The principal's pseudonym: the same within one boot, meaningless outside it. Whoever shares the engine's time and
        /// memory fairly needs to tell principals apart, and nothing more of them.
        principal: [u8; 32],
        /// Most tokens that may be generated under it.
        max_tokens: u32,
        /// How long it is good, in milliseconds.
        valid_for_ms: u32,
        /// The section of `guardrails.toml` by which text under it is screened: 0 is the default, then as in the file.
        section: u16,
    },
    /// A look-up may be made, or a document written, once, as the signed text says.
    LookUp {
        /// To be named when it is told what came of it.
        grant: GrantId,
        /// The limits, for the store.
        signed: SignedLookup,
        /// The section of `guardrails.toml` by which passages are screened.
        section: u16,
        /// What a connection that comes with it is logged in with.
        password: Option<Password>,
    },
    /// It may if persons approve; the same request may be asked again.
    Held {
        /// Which hold.
        hold: [u8; 16],
        /// How many more must approve.
        missing: u8,
        /// How long it stays open, in milliseconds.
        ends_in_ms: u32,
    },
    /// It may not.
    Denied(Denial),
}

/// Why not: a code for the client. The reason in full stays in the sentinel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Denial {
    /// No token.
    TokenAbsent,
    /// Not a token of a known issuer for this audience.
    TokenInvalid,
    /// The token's time is over, or has not come.
    TokenExpired,
    /// The policy does not permit it, or could not be evaluated.
    Forbidden,
    /// No such model.
    UnknownModel,
    /// Too many grants are open.
    Busy,
    /// It would be permitted, but cannot be recorded: the host does not keep the audit log.
    AuditUnavailable,
    /// No such tool.
    UnknownTool,
    /// No such collection.
    UnknownCollection,
    /// The collection is in a store whose secrets nobody has handed over yet.
    StoreLocked,
    /// It was permitted, and the host does not connect to where it goes.
    Unreachable,
    /// Not now; perhaps later.
    Deferred,
    /// A person said no.
    Declined,
    /// Not enough persons said yes in time.
    Unanswered,
    /// Too many requests wait for persons.
    HoldsFull,
    /// The principal is shut out until persons let it in again.
    Quarantined,
    /// The AI is offline.
    Offline,
    /// An approver's ballot was not counted: not his signature, not his hold, too late, or another state.
    BallotRefused,
    /// There is no such hold.
    NoSuchHold,
}

/// What the worker states about one answer. The sentinel adds the rest of the receipt itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Salted commitment to the request's bytes.
    pub request: [u8; 32],
    /// Salted hash chain over the response's chunks.
    pub response: [u8; 32],
    /// Chunks in the chain.
    pub chunks: u64,
    /// Bytes in the chain.
    pub response_bytes: u64,
    /// Stage and word of each verdict; at most [`MAX_VERDICTS`].
    pub verdicts: Vec<(String, String)>,
    /// False if the answer was cut short.
    pub complete: bool,
    /// What the guardrail found in prompt and answer.
    pub screened: Screened,
}

/// What the guardrail saw of one request, for whoever watches behaviour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Screened {
    /// Detectors that found something.
    pub findings: u8,
    /// How near the prompt came to an attack, in percent; 50 is where it is taken for one. 0 also where nobody looked.
    pub score: u8,
}

/// Most fingerprints that are asked about at a time: no piece of an answer has more.
pub const MAX_DISCLOSED: usize = 4096;
/// Most verdicts in an [`Account`].
pub const MAX_VERDICTS: usize = 8;
/// Longest word of a verdict or a detector, in bytes.
pub const MAX_WORD: usize = 32;
