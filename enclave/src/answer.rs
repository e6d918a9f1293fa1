//! How an answer leaves: screened, committed to, sealed with a receipt.
//!
//! ```text
//! TokenStream -> OutputScreen -> Released -> JSON -> hash chain -> bytes ... -> receipt (HTTP trailer)
//! ```
//!
//! Promises
//! - Every byte of text in a body comes out of a [`Released`]; every byte of the body is in the hash chain.
//! - A streamed answer ends with `data: [DONE]` only if it is whole. A cut one ends with an error event, and its
//!   receipt says `cut`. If no receipt can be had, the stream is reset.

use crate::api::error::ApiError;
use crate::api::openai::StreamOptions;
use crate::gate::Spent;
use crate::request::House;
use crate::scheduler::{Event, TokenStream};
use adyton_attestation::receipt::{ResponseChain, commit_request};
use adyton_engine::{FinishReason, Usage};
use adyton_guardrail::{Output, OutputScreen, Released, Verdict};
use adyton_wire::control::Account;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as B64};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// The body of every response.
pub type Body = BoxBody<Bytes, io::Error>;
/// Header with the salt of the receipt's commitments, base64url.
pub const SALT_HEADER: &str = "adyton-salt";
/// Trailer with the receipt, base64url of a COSE_Sign1.
pub const RECEIPT_TRAILER: &str = "adyton-receipt";
/// Frames that may wait for a slow client before the answer waits for it.
const FRAMES: usize = 32;

/// A response that is not streamed and has no receipt.
pub fn whole(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Full::from(body).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Answers with the tokens as they come, or whole.
///
/// # Errors
/// [`ApiError`] if an answer that is not streamed was cut.
pub async fn respond(
    house: &Arc<House>,
    tokens: TokenStream,
    input: Verdict,
    stream: Option<StreamOptions>,
    request: &[u8],
) -> Result<Response<Body>, ApiError> {
    let salt = random().ok_or_else(ApiError::offline)?;
    let answer = Answer {
        screen: OutputScreen::new(house.guardrail.clone()),
        frame: Envelope::new(house.name.clone()).ok_or_else(ApiError::offline)?,
        committed: Committed { chain: ResponseChain::new(&salt), request: commit_request(&salt, request) },
        input,
        tokens,
        house: Arc::clone(house),
    };
    let (frames, body) = mpsc::channel(FRAMES);
    let content_type = match stream {
        Some(options) => {
            tokio::spawn(answer.stream(options, frames));
            "text/event-stream"
        }
        None => {
            answer.collect(frames).await?;
            "application/json"
        }
    };
    let mut response = Response::new(Frames(body).boxed());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(SALT_HEADER, header(&salt).ok_or_else(ApiError::offline)?);
    Ok(response)
}

/// One answer under way.
struct Answer {
    house: Arc<House>,
    tokens: TokenStream,
    screen: OutputScreen,
    frame: Envelope,
    committed: Committed,
    input: Verdict,
}

/// How an answer ended.
enum End {
    /// Whole, with OpenAI's reason.
    Whole(&'static str, Usage),
    /// Cut short, or its client is gone.
    Cut,
}

impl Answer {
    /// Writes events as the text is released.
    async fn stream(mut self, options: StreamOptions, frames: Sender) {
        let opened = self.write(self.frame.opening(), &frames).await;
        let mut end = if opened { None } else { Some(End::Cut) };
        while end.is_none() {
            let (released, ended) = tokio::select! {
                advanced = self.advance() => advanced,
                // Nobody listens any more: the generation ends with this value.
                () = frames.closed() => (None, Some(End::Cut)),
            };
            end = ended;
            if let Some(released) = released.filter(|released| !released.is_empty())
                && !self.write(self.frame.text(&released), &frames).await
            {
                end = Some(End::Cut);
            }
        }
        let complete = match end {
            Some(End::Whole(reason, usage)) => self.close(reason, usage, options, &frames).await,
            Some(End::Cut) | None => {
                let error = [b"data: ", ApiError::cut().json().as_slice(), b"\n\n"].concat();
                self.committed.send(error.into(), &frames).await;
                false
            }
        };
        self.finish(complete, &frames).await;
    }

    async fn close(&mut self, reason: &str, usage: Usage, options: StreamOptions, frames: &Sender) -> bool {
        let mut sent = self.write(self.frame.closing(reason), frames).await;
        if options.include_usage {
            sent = sent && self.write(self.frame.usage(usage), frames).await;
        }
        sent && self.committed.send(Bytes::from_static(b"data: [DONE]\n\n"), frames).await
    }

    /// Collects the whole answer into one frame.
    async fn collect(mut self, frames: Sender) -> Result<(), ApiError> {
        let mut text = Vec::new();
        let (reason, usage) = loop {
            let (released, end) = self.advance().await;
            text.extend(released);
            match end {
                None => {}
                Some(End::Whole(reason, usage)) => break (reason, usage),
                Some(End::Cut) => {
                    self.finish(false, &frames).await;
                    return Err(ApiError::cut());
                }
            }
        };
        let body = self.frame.completion(&text, reason, usage);
        let sent = self.committed.send(body.to_string().into(), &frames).await;
        self.finish(sent, &frames).await;
        Ok(())
    }

    /// Waits for the next event: the text that the screen releases for it, and the end if it is one. Cancel-safe.
    async fn advance(&mut self) -> (Option<Released>, Option<End>) {
        let (output, end) = match self.tokens.next().await {
            Some(Event::Text(text)) => (self.screen.push(text.expose()), None),
            Some(Event::Finished(reason, usage)) => {
                (self.screen.finish(), Some(End::Whole(word(reason), usage)))
            }
            Some(Event::Cut) | None => return (None, Some(End::Cut)),
        };
        match output {
            Output::Clear(released) => (Some(released), end),
            Output::Blocked => (None, Some(self.blocked())),
        }
    }

    /// A blocked answer is whole: it ends where the guardrail ended it, and says so.
    fn blocked(&self) -> End {
        let usage = Usage { prompt_tokens: self.tokens.prompt_tokens(), completion_tokens: 0 };
        End::Whole("content_filter", usage)
    }

    /// Writes one event. False if the client is gone.
    async fn write(&mut self, event: Written, frames: &Sender) -> bool {
        self.committed.send(format!("data: {}\n\n", event.0).into(), frames).await
    }

    /// Ends the generation, gets the receipt and sends it as a trailer.
    async fn finish(self, complete: bool, frames: &Sender) {
        let verdicts = [("input", self.input.word()), ("output", self.screen.verdict().word())];
        let account = self.committed.account(&verdicts, complete);
        let spent: Spent = self.tokens.into_spent();
        let receipt = self.house.gate.seal(spent, account).await.ok().flatten();
        let trailer = receipt.as_deref().and_then(header).map(|receipt| {
            let mut trailers = HeaderMap::new();
            trailers.insert(RECEIPT_TRAILER, receipt);
            Frame::trailers(trailers)
        });
        // Without a receipt the stream must not end as if all were well.
        let last = trailer.ok_or_else(|| io::Error::other("no receipt"));
        let _ = frames.send(last).await;
    }
}

/// What the receipt commits to, as it goes out.
struct Committed {
    chain: ResponseChain,
    request: [u8; 32],
}

type Sender = mpsc::Sender<io::Result<Frame<Bytes>>>;

impl Committed {
    /// Sends a chunk and notes it. False if the client is gone.
    async fn send(&mut self, chunk: Bytes, frames: &Sender) -> bool {
        self.chain.push(&chunk);
        frames.send(Ok(Frame::data(chunk))).await.is_ok()
    }

    fn account(self, verdicts: &[(&str, &str)], complete: bool) -> Account {
        let (chunks, response_bytes) = (self.chain.chunks(), self.chain.bytes());
        Account {
            request: self.request,
            response: self.chain.finish(),
            chunks,
            response_bytes,
            verdicts: verdicts.iter().map(|(stage, word)| ((*stage).into(), (*word).into())).collect(),
            complete,
        }
    }
}

/// An event for the client. Made by [`Envelope`], whose only source of text is [`Released`].
struct Written(Value);

/// The fields that all objects of one answer share.
struct Envelope {
    id: String,
    created: u64,
    model: String,
}

impl Envelope {
    fn new(model: String) -> Option<Envelope> {
        let id: [u8; 32] = random()?;
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Some(Envelope { id: format!("chatcmpl-{}", hex::encode(id.first_chunk::<12>()?)), created, model })
    }

    fn opening(&self) -> Written {
        self.chunk(&json!({ "role": "assistant", "content": "" }), None)
    }

    fn text(&self, released: &Released) -> Written {
        self.chunk(&json!({ "content": released.expose() }), None)
    }

    fn closing(&self, reason: &str) -> Written {
        self.chunk(&json!({}), Some(reason))
    }

    fn chunk(&self, delta: &Value, reason: Option<&str>) -> Written {
        let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": reason });
        Written(self.object("chat.completion.chunk", json!([choice]), Value::Null))
    }

    fn usage(&self, usage: Usage) -> Written {
        Written(self.object("chat.completion.chunk", json!([]), counts(usage)))
    }

    fn completion(&self, text: &[Released], reason: &str, usage: Usage) -> Value {
        let text: String = text.iter().map(Released::expose).collect();
        let message = json!({ "role": "assistant", "content": text, "refusal": null });
        let choice = json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": reason });
        self.object("chat.completion", json!([choice]), counts(usage))
    }

    fn object(&self, kind: &str, choices: Value, usage: Value) -> Value {
        json!({
            "id": self.id, "object": kind, "created": self.created, "model": self.model,
            "choices": choices, "usage": usage,
        })
    }
}

fn counts(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens.saturating_add(usage.completion_tokens),
    })
}

fn word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    }
}

fn random() -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

fn header(bytes: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_str(&B64.encode(bytes)).ok()
}

/// The body's frames, as hyper wants them.
struct Frames(mpsc::Receiver<io::Result<Frame<Bytes>>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx)
    }
}
