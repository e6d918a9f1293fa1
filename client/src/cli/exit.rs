//! Exit codes, and how a failure is told.

use crate::chat::ChatError;
use crate::session::{Broken, ConnectError};
use adyton_attestation::appraisal::{Class, Refusal};
use adyton_attestation::audit::AuditRefusal;
use std::process::ExitCode;

/// The table in `adyton --help`.
pub const TABLE: &str = "\
Exit codes:
  0  done, and everything that was to be verified holds
  1  a file, a setting or this program is at fault
  2  the command line is wrong
  3  the enclave is not online (`adyton status --once`)
  4  the enclave cannot be reached, or the connection broke
  5  the enclave refused the request
  6  a receipt was refused
  7  the answer was cut short
  8  a corpus was answered wrongly
  9  the reference values were refused
The enclave's evidence was refused, and no prompt was sent:
  10 it is no document of a Nitro security module
  11 its root, a certificate or a signature is wrong
  12 a clock is wrong, or it is too old
  13 another program runs, or the host can look into it
  14 the program is right and the machine is somebody else's
  15 it was made for another connection, question or role
An audit log was refused:
  20 an entry was changed, or is none
  21 entries were reordered, added or taken out
  22 it is not signed by the enclave
  23 its tail is lost: a client has seen more
  24 the enclave signed two histories";

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    word: &'static str,
    message: String,
    advice: &'static str,
}

impl Failure {
    fn new(code: u8, word: &'static str, message: impl ToString, advice: &'static str) -> Failure {
        Failure { code, word, message: message.to_string(), advice }
    }

    /// Code 1.
    pub fn internal(message: impl ToString) -> Failure {
        Failure::new(1, "internal", message, "")
    }

    /// Codes 10 to 15.
    pub fn evidence(refusal: &Refusal) -> Failure {
        let (code, word) = match refusal.class() {
            Class::Form => (10, "evidence_form"),
            Class::Chain => (11, "evidence_chain"),
            Class::Time => (12, "evidence_time"),
            Class::Measurement => (13, "evidence_measurement"),
            Class::Owner => (14, "evidence_owner"),
            Class::Session => (15, "evidence_session"),
        };
        let advice = "nothing was sent to it; see the failed step above";
        Failure::new(code, word, format!("the evidence was refused: {refusal} ({})", refusal.code()), advice)
    }

    /// Code 8.
    pub fn corpus(wrong: usize, all: usize) -> Failure {
        Failure::new(8, "corpus_wrong", format!("{wrong} of {all} vectors were answered wrongly"), "")
    }

    /// Code 6.
    pub fn receipt(message: impl ToString) -> Failure {
        Failure::new(6, "receipt_refused", message, "do not rely on the answer")
    }

    /// Code 9.
    pub fn reference(message: impl ToString) -> Failure {
        let advice = "nothing was sent to an enclave; `adyton policy inspect` shows what the file says";
        Failure::new(9, "reference_refused", message, advice)
    }

    /// Code 3.
    pub fn not_online(state: &str) -> Failure {
        Failure::new(3, "not_online", format!("the enclave is {state}"), "")
    }

    /// Code 4.
    pub fn metrics(message: impl ToString) -> Failure {
        let advice = "start the host with --metrics, and name its address with --metrics URL";
        Failure::new(4, "no_metrics", message, advice)
    }

    /// Codes 20 to 24.
    pub fn audit(refusal: &AuditRefusal) -> Failure {
        let (code, word) = match refusal {
            AuditRefusal::Record { .. } | AuditRefusal::Changed { .. } => (20, "audit_changed"),
            AuditRefusal::Order { .. } | AuditRefusal::Count { .. } => (21, "audit_reordered"),
            AuditRefusal::Tail { .. } => (23, "audit_tail_lost"),
            AuditRefusal::Fork { .. } => (24, "audit_fork"),
            AuditRefusal::NoSuchEntry { .. } => (1, "audit_no_such_entry"),
            // Every other reason is that its signature is missing, or another's.
            _ => (22, "audit_unsigned"),
        };
        let advice = "keep the files as they are: they show what was done to the log";
        Failure::new(code, word, format!("the audit log was refused: {refusal} ({})", refusal.code()), advice)
    }

    /// Code 20, for a file that is no log of entries at all.
    pub fn audit_format(message: impl ToString) -> Failure {
        Failure::new(
            20,
            "audit_changed",
            message,
            "keep the file as it is: it shows what was done to the log",
        )
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do; where to look if nothing better is known.
    pub fn advice(&self) -> &str {
        if self.advice.is_empty() { "`adyton verify` shows each step" } else { self.advice }
    }

    /// Tells the failure on standard error (as JSON if asked for); returns its exit code.
    pub fn report(&self, json: bool) -> ExitCode {
        if json {
            let error = serde_json::json!({ "error": {
                "code": self.word, "exit": self.code, "message": self.message, "advice": self.advice,
            }});
            eprintln!("{error}");
        } else {
            anstream::eprintln!("{}error:{} {}", super::show::RED, super::show::RESET, self.message);
            if !self.advice.is_empty() {
                eprintln!("  {}", self.advice);
            }
        }
        ExitCode::from(self.code)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Failure {
        match error {
            ConnectError::Refused { refusal, .. } => Failure::evidence(&refusal),
            ConnectError::Unreachable { .. } => {
                Failure::new(4, "unreachable", error, "is the host running, and is this its address?")
            }
            ConnectError::Protocol(_) => {
                Failure::new(4, "protocol", error, "is this the address of an Adyton host?")
            }
        }
    }
}

impl From<Broken> for Failure {
    fn from(error: Broken) -> Failure {
        Failure::new(4, "broken", error, "what was shown so far is not a whole answer")
    }
}

impl From<ChatError> for Failure {
    fn from(error: ChatError) -> Failure {
        match error {
            ChatError::Broken(broken) => broken.into(),
            ChatError::Refused { .. } => Failure::new(5, "request_refused", error, ""),
            ChatError::Cut(_) => {
                Failure::new(7, "answer_cut", error, "what was shown so far is not a whole answer")
            }
            ChatError::Unreliable(_) => Failure::receipt(error),
        }
    }
}
