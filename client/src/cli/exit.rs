//! Exit codes, and how a failure is told.

use crate::chat::ChatError;
use crate::session::{Broken, ConnectError};
use std::process::ExitCode;

/// The table in `adyton --help`.
pub const TABLE: &str = "\
Exit codes:
  0  done, and everything that was to be verified holds
  1  a file, a setting or this program is at fault
  2  the command line is wrong
  3  the enclave's evidence was refused; no prompt was sent
  4  the enclave cannot be reached, or the connection broke
  5  the enclave refused the request
  6  a receipt was refused
  7  the answer was cut short
  9  the reference values were refused";

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

    /// Code 3.
    pub fn evidence(message: impl ToString) -> Failure {
        let advice = "nothing was sent to it; see the failed step above, and check that the reference values are \
                      those of the release you mean";
        Failure::new(3, "evidence_refused", message, advice)
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
            ConnectError::Refused { refusal, .. } => Failure::evidence(refusal),
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
