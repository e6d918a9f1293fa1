//! How answers leave: screened, committed to, sealed with a receipt.
//!
//! ```text
//! TokenStream -> OutputScreen -> Released -> JSON -> hash chain -> bytes ... -> receipt (HTTP trailer)
//! ```
//!
//! Promises
//! - Every byte of text in a body comes out of a [`Released`]; every byte of the body is in the hash chain.
//! - How likely tokens were is told of text only that the screen let pass unchanged, never before it did.
//! - A streamed answer ends with `data: [DONE]` only if it is whole. A cut one ends with an error event, and its
//!   receipt says `cut`. If no receipt can be had, the stream is reset.
//! - The last chunk of a whole answer leaves after its receipt is there: after its entry in the audit log is on disk.

use crate::api::envelope::{Choice, Ended, Envelope, Written};
use crate::api::error::ApiError;
use crate::api::openai::StreamOptions;
use crate::api::tools::{self, Call, Written as Calls};
use crate::gate::Spent;
use crate::generator::{Event, TokenStream};
use crate::library::Sources;
use crate::request::{House, told};
use adyton_attestation::receipt::{ResponseChain, commit_request};
use adyton_engine::{FinishReason, Likelihood, Usage};
use adyton_guardrail::{Disclosed, Guardrail, Output, OutputScreen, Released, Restore, Verdict, Watch};
use adyton_wire::control::{Account, Screened};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as B64};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
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

/// What is known of what came in.
#[derive(Debug)]
pub struct Inputs {
    /// The input screen's.
    pub verdict: Verdict,
    /// The passages that came into the prompt, if any were looked up.
    pub sources: Option<Sources>,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Whether to stream, and with what.
    pub stream: Option<StreamOptions>,
    /// How calls of tools show in the text, if there can be any.
    pub(crate) calls: Option<Calls>,
}

/// How the answers to one prompt leave: by which settings, and with what put back.
pub struct Exit {
    /// The settings of the section that the grant names.
    pub guardrail: Guardrail,
    /// What was masked in the prompt.
    pub restore: Restore,
    /// What was found in the prompt.
    pub input: Verdict,
    /// What looks for protected material.
    pub watch: Watch,
    /// The documents that the prompt was made of, if it was.
    pub sources: Option<Sources>,
}

impl Exit {
    /// A screen for one answer.
    pub fn screen(&self) -> OutputScreen {
        OutputScreen::restoring(self.guardrail.clone(), self.restore.clone())
    }
}

/// Answers with the tokens as they come, or whole.
///
/// # Errors
/// [`ApiError`] if an answer that is not streamed was cut.
pub async fn respond(
    house: &Arc<House>,
    tokens: TokenStream,
    exit: Exit,
    manner: Manner,
    request: &[u8],
) -> Result<Response<Body>, ApiError> {
    let salt = random().ok_or_else(ApiError::offline)?;
    let listed = exit.sources.as_ref().map(|sources| sources.listed.clone());
    let screens = (0..tokens.answers()).map(|_| Screen::new(&exit, manner.calls, listed.is_some())).collect();
    let answer = Answer {
        screens,
        envelope: Envelope::new(house.name.clone(), listed).ok_or_else(ApiError::offline)?,
        committed: Committed { chain: ResponseChain::new(&salt), request: commit_request(&salt, request) },
        inputs: Inputs { verdict: exit.input, sources: exit.sources },
        tokens,
        house: Arc::clone(house),
    };
    let (frames, body) = mpsc::channel(FRAMES);
    let content_type = match manner.stream {
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

/// Answers with one body that is ready, and its receipt.
///
/// # Errors
/// [`ApiError`] if no receipt can be had.
pub async fn sealed(
    house: &House,
    spent: Spent,
    input: &'static str,
    request: &[u8],
    body: Vec<u8>,
) -> Result<Response<Body>, ApiError> {
    let salt = random().ok_or_else(ApiError::offline)?;
    let mut committed =
        Committed { chain: ResponseChain::new(&salt), request: commit_request(&salt, request) };
    let body = Bytes::from(body);
    committed.chain.push(&body);
    let screened = Screened { findings: u8::from(input != "pass"), score: 0 };
    let account = committed.account(&[("input", input)], true, screened);
    let receipt = house.gate.seal(spent, account).await.ok().flatten().ok_or_else(ApiError::offline)?;
    let mut trailers = HeaderMap::new();
    trailers.insert(RECEIPT_TRAILER, header(&receipt).ok_or_else(ApiError::offline)?);
    let (frames, sent) = mpsc::channel(2);
    for frame in [Frame::data(body), Frame::trailers(trailers)] {
        frames.try_send(Ok(frame)).map_err(|_| ApiError::offline())?;
    }
    let mut response = Response::new(Frames(sent).boxed());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(SALT_HEADER, header(&salt).ok_or_else(ApiError::offline)?);
    Ok(response)
}

/// The answers to one request, under way.
struct Answer {
    house: Arc<House>,
    tokens: TokenStream,
    /// One for each answer.
    screens: Vec<Screen>,
    envelope: Envelope,
    committed: Committed,
    inputs: Inputs,
}

/// One answer's way through the output screen.
struct Screen {
    screen: OutputScreen,
    watch: Watch,
    /// What the text that leaves next would disclose of protected documents.
    disclosed: Vec<Disclosed>,
    /// It ended because it would have said too much of something protected.
    withheld: bool,
    /// Likelihoods, each with the length of the text that must have left before it may.
    likelihoods: VecDeque<(usize, Likelihood)>,
    /// Bytes of text that came from the engine, and that left.
    came: usize,
    left: usize,
    end: Option<Ended>,
    calls: Option<Calls>,
    /// Whether passages may be cited; then all that left.
    cites: bool,
    said: Released,
    /// Where there can be calls: all that was released, and how much of it was passed on.
    released: Released,
    passed: usize,
}

/// What the engine did next, screened.
enum Next {
    /// Text of one answer, which may be empty, and its end if this is it.
    Said { answer: usize, choice: Choice },
    /// Every answer has ended.
    Over,
    /// Cut short.
    Cut,
}

impl Screen {
    fn new(exit: &Exit, calls: Option<Calls>, cites: bool) -> Screen {
        Screen {
            screen: exit.screen(),
            watch: exit.watch.clone(),
            disclosed: Vec::new(),
            withheld: false,
            likelihoods: VecDeque::new(),
            came: 0,
            left: 0,
            end: None,
            calls,
            cites,
            said: Released::nothing(),
            released: Released::nothing(),
            passed: 0,
        }
    }

    /// What of an event may leave.
    fn pass(&mut self, event: Event) -> Option<Choice> {
        let output = match event {
            Event::Text(text, likelihoods) => {
                self.came += text.expose().len();
                self.likelihoods.extend(likelihoods.into_iter().map(|l| (self.came, l)));
                self.screen.push(text.expose())
            }
            Event::Finished(reason, usage) => {
                self.end = Some(Ended { reason: word(reason), usage });
                self.screen.finish()
            }
            Event::Cut => return None,
        };
        let text = match output {
            Output::Clear(released) => released,
            // A blocked answer is whole: it ends where the guardrail ended it, and says so.
            Output::Blocked => {
                let usage = self.end.map_or_else(Usage::default, |end| end.usage);
                self.end = Some(Ended { reason: "content_filter", usage });
                Released::nothing()
            }
        };
        self.disclosed = self.watch.push(text.expose());
        let text = if self.watch.repeats_instructions() { self.withhold() } else { text };
        self.left += text.expose().len();
        if self.cites {
            self.said = std::mem::replace(&mut self.said, Released::nothing()).and(&text);
        }
        let likelihoods = self.settled();
        let (text, calls) = match self.calls {
            Some(written) => self.tell_apart(&text, written),
            None => (text, Vec::new()),
        };
        Some(Choice { text, likelihoods, calls, end: self.end })
    }

    /// Ends the answer where it is: what came last does not leave.
    fn withhold(&mut self) -> Released {
        self.withheld = true;
        self.disclosed.clear();
        let usage = self.end.map_or_else(Usage::default, |end| end.usage);
        self.end = Some(Ended { reason: "content_filter", usage });
        Released::nothing()
    }

    /// Tells text from calls of tools. What may become a call waits until the end.
    fn tell_apart(&mut self, text: &Released, written: Calls) -> (Released, Vec<Call>) {
        self.released = std::mem::replace(&mut self.released, Released::nothing()).and(text);
        let (plain, calls) = match (&mut self.end, written) {
            (Some(end), _) => {
                let id = || Some(format!("call_{}", hex::encode(random()?.first_chunk::<12>()?)));
                let found = tools::find(&self.released, written, id);
                if !found.calls.is_empty() && end.reason == "stop" {
                    end.reason = "tool_calls";
                }
                (found.plain, found.calls)
            }
            (None, Calls::Bare) => (0, Vec::new()),
            (None, Calls::Tagged) => (tools::plain_length(self.released.expose()), Vec::new()),
        };
        let from = self.passed;
        self.passed = from.max(plain);
        (self.released.part(from..self.passed), calls)
    }

    /// The likelihoods of text that left, if all of it left as it came.
    fn settled(&mut self) -> Vec<Likelihood> {
        if !self.screen.is_unchanged() {
            self.likelihoods.clear();
        }
        let out = self.likelihoods.iter().take_while(|(end, _)| *end <= self.left).count();
        self.likelihoods.drain(..out).map(|(_, likelihood)| likelihood).collect()
    }
}

impl Answer {
    /// Writes events as the text is released.
    async fn stream(mut self, options: StreamOptions, frames: Sender) {
        let mut open = true;
        for answer in 0..self.screens.len() {
            open = open && self.write(self.envelope.opening(answer), &frames).await;
        }
        let mut whole = None;
        while open && whole.is_none() {
            let next = tokio::select! {
                next = self.advance() => next,
                // Nobody listens any more: the generation ends with this value.
                () = frames.closed() => Next::Cut,
            };
            match next {
                Next::Said { answer, choice } => {
                    if let Some(written) = self.envelope.piece(answer, &choice) {
                        open = self.write(written, &frames).await;
                    }
                    if let Some(written) = self.envelope.calls(answer, &choice.calls) {
                        open = open && self.write(written, &frames).await;
                    }
                    if let Some(end) = choice.end {
                        let closing = self.envelope.closing(answer, end.reason, self.said(answer));
                        open = open && self.write(closing, &frames).await;
                    }
                }
                Next::Over => whole = Some(true),
                Next::Cut => whole = Some(false),
            }
        }
        let last = if open && whole == Some(true) {
            self.close(options, &frames).await
        } else {
            let error = [b"data: ", ApiError::cut().json().as_slice(), b"\n\n"].concat();
            self.committed.send(error.into(), &frames).await;
            None
        };
        self.finish(last, &frames).await;
    }

    /// What is left to say at the end of a stream; returns its last chunk, or `None` if the client is gone.
    async fn close(&mut self, options: StreamOptions, frames: &Sender) -> Option<Bytes> {
        let usage = self.usage();
        let sent = !options.include_usage || self.write(self.envelope.usage(usage), frames).await;
        sent.then(|| Bytes::from_static(b"data: [DONE]\n\n"))
    }

    /// Collects the whole answers into one frame.
    async fn collect(mut self, frames: Sender) -> Result<(), ApiError> {
        let mut said: Vec<Vec<Choice>> = self.screens.iter().map(|_| Vec::new()).collect();
        loop {
            match self.advance().await {
                Next::Said { answer, choice } => {
                    if let Some(pieces) = said.get_mut(answer) {
                        pieces.push(choice);
                    }
                }
                Next::Over => break,
                Next::Cut => {
                    self.finish(None, &frames).await;
                    return Err(ApiError::cut());
                }
            }
        }
        let body = self.envelope.completion(&said, self.usage());
        self.finish(Some(body.0.to_string().into()), &frames).await;
        Ok(())
    }

    /// Waits for the next event of an answer that has not ended. Cancel-safe.
    async fn advance(&mut self) -> Next {
        loop {
            if self.screens.iter().all(|screen| screen.end.is_some()) {
                return Next::Over;
            }
            let Some((answer, event)) = self.tokens.next().await else { return Next::Cut };
            let Some(screen) = self.screens.get_mut(answer) else { return Next::Cut };
            // What a blocked answer still says is not looked at.
            if screen.end.is_none() {
                let Some(choice) = screen.pass(event) else { return Next::Cut };
                return Next::Said { answer, choice: self.permitted(answer, choice).await };
            }
        }
    }

    /// The choice, if the sentinel agrees to what it discloses; else the end of its answer.
    async fn permitted(&mut self, answer: usize, choice: Choice) -> Choice {
        let Some(screen) = self.screens.get_mut(answer) else { return choice };
        if screen.disclosed.is_empty()
            || self.house.gate.disclose(self.tokens.grant(), &screen.disclosed).await
        {
            return choice;
        }
        let text = screen.withhold();
        Choice { text, likelihoods: Vec::new(), calls: Vec::new(), end: screen.end }
    }

    fn usage(&self) -> Usage {
        let chosen = self.screens.iter().filter_map(|s| s.end).map(|end| end.usage.completion_tokens).sum();
        Usage { prompt_tokens: self.tokens.prompt_tokens(), completion_tokens: chosen }
    }

    /// What of an answer has left, where its citations are to be found.
    fn said(&self, answer: usize) -> &str {
        self.screens.get(answer).map_or("", |screen| screen.said.expose())
    }

    /// The strictest verdict of the answers' screens.
    fn verdict(&self) -> &'static str {
        let word = |screen: &Screen| if screen.withheld { "block" } else { screen.screen.verdict().word() };
        let words: Vec<&str> = self.screens.iter().map(word).collect();
        ["block", "redact"].into_iter().find(|word| words.contains(word)).unwrap_or("pass")
    }

    /// Writes one event. False if the client is gone.
    async fn write(&mut self, event: Written, frames: &Sender) -> bool {
        self.committed.send(format!("data: {}\n\n", event.0).into(), frames).await
    }

    /// Ends the generation, gets the receipt, sends the last chunk of a whole answer, and the receipt as a trailer.
    async fn finish(mut self, last: Option<Bytes>, frames: &Sender) {
        // Whoever is gone gets no last chunk, and the receipt says so.
        let last = last.filter(|_| !frames.is_closed());
        let complete = last.is_some();
        if let Some(last) = &last {
            self.committed.chain.push(last);
        }
        let mut verdicts = vec![("input", self.inputs.verdict.word()), ("output", self.verdict())];
        verdicts.extend(self.inputs.sources.iter().map(|sources| ("retrieval", sources.verdict)));
        let found = |screen: &Screen| screen.screen.verdict().findings.len() + usize::from(screen.withheld);
        let found = self.screens.iter().map(found).sum::<usize>();
        let prompt = told(&self.inputs.verdict);
        let findings = prompt.findings.saturating_add(u8::try_from(found).unwrap_or(u8::MAX));
        let screened = Screened { findings, ..prompt };
        let account = self.committed.account(&verdicts, complete, screened);
        let spent: Spent = self.tokens.into_spent();
        let receipt = self.house.gate.seal(spent, account).await.ok().flatten();
        let trailer = receipt.as_deref().and_then(header).map(|receipt| {
            let mut trailers = HeaderMap::new();
            trailers.insert(RECEIPT_TRAILER, receipt);
            Frame::trailers(trailers)
        });
        if let (Some(_), Some(last)) = (&trailer, last) {
            // Whoever leaves now does not get the trailer either.
            let _ = frames.send(Ok(Frame::data(last))).await;
        }
        // Without a receipt the stream must not end as if all were well.
        let end = trailer.ok_or_else(|| io::Error::other("no receipt"));
        let _ = frames.send(end).await;
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

    fn account(self, verdicts: &[(&str, &str)], complete: bool, screened: Screened) -> Account {
        let (chunks, response_bytes) = (self.chain.chunks(), self.chain.bytes());
        Account {
            request: self.request,
            response: self.chain.finish(),
            chunks,
            response_bytes,
            verdicts: verdicts.iter().map(|(stage, word)| ((*stage).into(), (*word).into())).collect(),
            complete,
            screened,
        }
    }
}

fn word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    }
}

pub(crate) fn random() -> Option<[u8; 32]> {
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
