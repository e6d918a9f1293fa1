//! Errors as OpenAI's API gives them: status, type, code, parameter, message. No message carries text of a request.

use crate::answer::{Body, whole};
use crate::generator::Refused;
use crate::session::SessionError;
use adyton_engine::StartError;
use adyton_retrieval::postgres::StoreError;
use adyton_wire::control::Denial;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use std::time::Duration;

/// Seconds that a refused client is asked to wait (`Retry-After`).
const RETRY_AFTER_S: u32 = 1;

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// OpenAI's error type.
    pub kind: &'static str,
    /// A word for programs.
    pub code: Option<&'static str>,
    /// The parameter at fault.
    pub param: Option<String>,
    /// For people.
    pub message: String,
    /// The hold on which the request waits, if it does.
    pub hold: Option<[u8; 16]>,
}

/// Header that names the hold, in hexadecimal.
pub const HOLD_HEADER: &str = "adyton-hold";

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: Option<&'static str>,
}

impl ApiError {
    fn new(
        status: StatusCode,
        kind: &'static str,
        code: &'static str,
        message: impl Into<String>,
    ) -> ApiError {
        ApiError { status, kind, code: Some(code), param: None, message: message.into(), hold: None }
    }

    /// A request that is wrong in itself.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_request_error", code, message)
    }

    /// A parameter that is wrong.
    pub fn parameter(param: &str, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { param: Some(param.to_owned()), ..ApiError::invalid(code, message) }
    }

    /// A path or method that does not exist.
    pub fn not_found() -> ApiError {
        let message = "unknown route; there are GET /v1/models, POST /v1/chat/completions, POST /v1/embeddings and GET /healthz";
        ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", "unknown_url", message)
    }

    /// A body over the limit.
    pub fn too_large(limit: usize) -> ApiError {
        let message = format!("the request body is larger than {limit} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", "request_too_large", message)
    }

    /// A connection on which no evidence was given.
    pub fn unattested() -> ApiError {
        let message =
            "ask for evidence on this connection first: a prompt must not go to an unverified enclave";
        ApiError::new(StatusCode::FORBIDDEN, "invalid_request_error", "attestation_required", message)
    }

    /// Too many requests are being read.
    pub fn busy() -> ApiError {
        let message = "too many requests are arriving at once";
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "busy", message)
    }

    /// There is no room for a document.
    pub fn full(message: String) -> ApiError {
        ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "server_error", "store_full", message)
    }

    /// The database gave nothing.
    pub fn store(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", code, message)
    }

    /// The AI is offline.
    pub fn offline() -> ApiError {
        let message = "the sentinel has taken the model offline";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "offline", message)
    }

    /// Persons must approve first. The same request may be sent again, and is answered once they have.
    pub fn held(hold: &[u8; 16], missing: u8, ends_in: Duration) -> ApiError {
        let minutes = ends_in.as_secs().div_ceil(60);
        let message = format!(
            "held for {missing} more to approve (hold {}, open for {minutes} min): send the same request again",
            hex::encode(hold)
        );
        let error = ApiError::new(StatusCode::CONFLICT, "permission_error", "approval_pending", message);
        ApiError { hold: Some(*hold), ..error }
    }

    /// The guardrail's refusal.
    pub fn blocked(message: String) -> ApiError {
        ApiError::invalid("content_filter", message)
    }

    /// The model stopped in the middle of an answer that was not streamed.
    pub fn cut() -> ApiError {
        let message = "the answer was cut short; nothing of it is to be relied on";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "answer_cut", message)
    }

    /// The error's JSON.
    pub fn json(&self) -> Vec<u8> {
        let error = Inner {
            message: &self.message,
            r#type: self.kind,
            param: self.param.as_deref(),
            code: self.code,
        };
        // A struct of strings always serialises; an empty body would still carry the status.
        serde_json::to_vec(&Envelope { error }).unwrap_or_default()
    }

    /// The error as a response.
    pub fn response(&self) -> Response<Body> {
        let mut response = whole(self.status, self.json());
        let later = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE, StatusCode::CONFLICT];
        if later.contains(&self.status) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
        }
        if let Some(hold) = self.hold.and_then(|hold| HeaderValue::from_str(&hex::encode(hold)).ok()) {
            response.headers_mut().insert(HOLD_HEADER, hold);
        }
        response
    }
}

impl From<Denial> for ApiError {
    fn from(denial: Denial) -> ApiError {
        let unauthorized = |code, message: &str| {
            ApiError::new(StatusCode::UNAUTHORIZED, "authentication_error", code, message)
        };
        let forbidden =
            |code, message: &str| ApiError::new(StatusCode::FORBIDDEN, "permission_error", code, message);
        match denial {
            Denial::TokenAbsent => {
                unauthorized("token_absent", "no bearer token: send `Authorization: Bearer <token>`")
            }
            Denial::TokenInvalid => unauthorized(
                "invalid_api_key",
                "the bearer token is not one of a known issuer for this enclave",
            ),
            Denial::TokenExpired => unauthorized(
                "token_expired",
                "the bearer token has expired or is not valid yet: get a new one",
            ),
            Denial::Forbidden => forbidden(
                "forbidden",
                "the policy does not permit this principal to do this for this purpose",
            ),
            Denial::UnknownModel => ApiError {
                param: Some("model".into()),
                ..ApiError::new(
                    StatusCode::NOT_FOUND,
                    "invalid_request_error",
                    "model_not_found",
                    "this enclave does not serve that model; see GET /v1/models",
                )
            },
            Denial::AuditUnavailable => ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "server_error",
                "audit_unavailable",
                "the host does not keep the audit log, and nothing is done without it; ask its operator",
            ),
            Denial::UnknownCollection => {
                let message = "this enclave has no such collection";
                ApiError::parameter("metadata.collection", "no_such_collection", message)
            }
            Denial::StoreLocked => ApiError::store(
                "store_locked",
                "nobody has handed the enclave the database's secrets since it started; ask an approver (`adyton provision`)",
            ),
            Denial::UnknownTool => {
                ApiError::parameter("metadata.tools", "no_such_tool", "this enclave has no such tool")
            }
            Denial::Unreachable => ApiError::new(
                StatusCode::BAD_GATEWAY,
                "server_error",
                "tool_unreachable",
                "the host does not connect the enclave to that tool; ask its operator (`adyton-host run --egress`)",
            ),
            Denial::Offline => ApiError::offline(),
            Denial::Deferred => ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_error",
                "deferred",
                "the policy does not permit this at the moment; try again later, or less at a time",
            ),
            Denial::Declined => forbidden("approval_declined", "a person has declined exactly this request"),
            Denial::Unanswered => forbidden(
                "approval_timeout",
                "not enough persons have approved in time; ask again to ask them again",
            ),
            Denial::HoldsFull => ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_error",
                "too_many_holds",
                "too many requests wait for persons already",
            ),
            Denial::Quarantined => forbidden(
                "principal_quarantined",
                "this principal is shut out for its behaviour until persons have let it in again",
            ),
            Denial::BallotRefused => forbidden(
                "ballot_refused",
                "the ballot was not counted: another key, boot, hold, request or state, too late, or one's own request",
            ),
            Denial::NoSuchHold => ApiError::new(
                StatusCode::NOT_FOUND,
                "invalid_request_error",
                "no_such_hold",
                "there is no such open hold; see `adyton approve list`",
            ),
            Denial::Busy => ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_error",
                "too_many_grants",
                "too many requests are in progress",
            ),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        match error {
            StoreError::TooMuch => ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_error",
                "volume_exceeded",
                error.to_string(),
            ),
            _ => ApiError::store("store_unavailable", error.to_string()),
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> ApiError {
        match refused {
            Refused::Full => ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_error",
                "queue_full",
                "too many requests are running and waiting",
            ),
            Refused::Stopped => ApiError::offline(),
            Refused::Nothing => Denial::Forbidden.into(),
            Refused::Memory(e) => ApiError::parameter("max_tokens", "memory_exceeded", e.to_string()),
            Refused::Start(e @ StartError::ContextExceeded { .. }) => {
                ApiError::parameter("messages", "context_length_exceeded", e.to_string())
            }
            Refused::Start(e @ StartError::Shape(_)) => {
                ApiError::parameter("response_format", "invalid_value", e.to_string())
            }
            Refused::Start(e) => ApiError::parameter("messages", "unsupported_messages", e.to_string()),
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> ApiError {
        let (status, kind, code) = match error {
            SessionError::TooOften => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "evidence_limit"),
            SessionError::Busy => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "security_module_busy"),
            SessionError::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "server_error", "offline"),
            SessionError::NoChallenge => (StatusCode::CONFLICT, "invalid_request_error", "no_challenge"),
            SessionError::Peer(_) => (StatusCode::FORBIDDEN, "permission_error", "evidence_refused"),
        };
        ApiError::new(status, kind, code, error.to_string())
    }
}
