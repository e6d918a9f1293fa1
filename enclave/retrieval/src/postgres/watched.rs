//! The stream from the database, watched: message lengths, bytes in all, and how the password is asked for.
//!
//! The client library takes memory for as long a message as its header announces, answers a request for a clear password, and
//! iterates a hash as often as the server says. So headers are read here first.
//!
//! # Promises
//! - A message longer than the limit never reaches the library, nor does a byte beyond a call's limit.
//! - Before log-in only SCRAM passes, with 4,096 to 100,000 iterations.
//!
//! # Does not
//! - Understand messages after log-in; the library does.
//!
//! # Trusts
//! - Nobody.
//!
//! Source: PostgreSQL, "Message Formats"; RFC 7677 (4,096 iterations at least).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Limits;

/// Longest message before log-in, in bytes: those of SCRAM, and parameters.
const MAX_LOGIN_MESSAGE: u32 = 4096;
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=100_000;

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    Flood,
    Password,
    Tls,
    Form,
}

/// What a stream and its store tell each other.
pub(super) struct Alarms {
    raised: AtomicU8,
    left: AtomicU64,
    secured: AtomicBool,
    open: AtomicBool,
    limits: Limits,
}

impl Alarms {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            raised: AtomicU8::new(0),
            left: AtomicU64::new(limits.bytes),
            secured: AtomicBool::new(false),
            open: AtomicBool::new(false),
            limits,
        }
    }

    pub(super) fn raise(&self, alarm: Alarm) {
        // The first one counts.
        let _raised_before =
            self.raised.compare_exchange(0, alarm as u8 + 1, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(super) fn raised(&self) -> Option<Alarm> {
        let number = self.raised.load(Ordering::Acquire).checked_sub(1)?;
        [Alarm::Flood, Alarm::Password, Alarm::Tls, Alarm::Form]
            .into_iter()
            .find(|alarm| *alarm as u8 == number)
    }

    /// A call begins: it may read as much as any.
    pub(super) fn begin(&self) {
        self.left.store(self.limits.bytes, Ordering::Release);
    }

    /// The server agreed to speak TLS.
    pub(super) fn secure(&self) {
        self.secured.store(true, Ordering::Release);
    }

    pub(super) fn secured(&self) -> bool {
        self.secured.load(Ordering::Acquire)
    }

    pub(super) fn logged_in(&self) {
        self.open.store(true, Ordering::Release);
    }

    fn spend(&self, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let spent =
            self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes));
        spent.is_ok()
    }
}

/// Where in a message the next byte is.
#[derive(Default)]
struct Place {
    head: Vec<u8>,
    rest: u32,
    // Only of a message about the log-in.
    body: Option<Vec<u8>>,
}

/// A stream whose bytes are looked at.
pub(super) struct Watched<S> {
    inner: S,
    alarms: Arc<Alarms>,
    place: Place,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, alarms: Arc<Alarms>) -> Self {
        Self { inner, alarms, place: Place::default() }
    }
}

impl Place {
    /// Takes bytes as they come.
    fn take(&mut self, mut bytes: &[u8], alarms: &Alarms) -> Result<(), Alarm> {
        if !alarms.spend(bytes.len()) {
            return Err(Alarm::Flood);
        }
        while let Some((&first, after)) = bytes.split_first() {
            if self.rest == 0 {
                self.head.push(first);
                bytes = after;
                self.header(alarms)?;
            } else {
                let here = bytes.len().min(usize::try_from(self.rest).unwrap_or(usize::MAX));
                let (body, next) = bytes.split_at(here);
                if let Some(kept) = &mut self.body {
                    kept.extend_from_slice(body);
                }
                self.rest -= u32::try_from(here).map_err(|_| Alarm::Form)?;
                bytes = next;
            }
            if self.rest == 0
                && let Some(body) = self.body.take()
            {
                login(&body)?;
            }
        }
        Ok(())
    }

    /// One byte of kind, four of length, which counts itself.
    fn header(&mut self, alarms: &Alarms) -> Result<(), Alarm> {
        let &[kind, a, b, c, d] = self.head.as_slice() else { return Ok(()) };
        let rest = u32::from_be_bytes([a, b, c, d]).checked_sub(4).ok_or(Alarm::Form)?;
        let open = alarms.open.load(Ordering::Acquire);
        if rest > if open { alarms.limits.message } else { MAX_LOGIN_MESSAGE } {
            return Err(Alarm::Flood);
        }
        self.head.clear();
        self.rest = rest;
        self.body = (kind == b'R').then(Vec::new);
        Ok(())
    }
}

/// A message about the log-in: 0 done, 10 which mechanisms, 11 salt and iterations, 12 the server's proof.
fn login(body: &[u8]) -> Result<(), Alarm> {
    let (kind, rest) = body.split_at_checked(4).ok_or(Alarm::Form)?;
    match kind {
        [0, 0, 0, 0 | 10 | 12] => Ok(()),
        [0, 0, 0, 11] => {
            let text = std::str::from_utf8(rest).map_err(|_| Alarm::Form)?;
            let count = text.split(',').find_map(|part| part.strip_prefix("i="));
            let count: Option<u32> = count.and_then(|count| count.parse().ok());
            if count.is_some_and(|count| ITERATIONS.contains(&count)) { Ok(()) } else { Err(Alarm::Password) }
        }
        _ => Err(Alarm::Password),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let this = &mut *self;
        let new = buf.filled().get(before..).unwrap_or_default();
        if let Err(alarm) = this.place.take(new, &this.alarms) {
            this.alarms.raise(alarm);
            buf.set_filled(before);
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], length.as_slice(), body].concat()
    }

    fn seen(open: bool, pieces: &[&[u8]]) -> Option<Alarm> {
        let alarms = Alarms::new(Limits { message: 100, bytes: 1000, ..Limits::default() });
        if open {
            alarms.logged_in();
        }
        let mut place = Place::default();
        pieces.iter().find_map(|piece| place.take(piece, &alarms).err())
    }

    #[test]
    fn lengths_are_judged_before_the_bytes_come() {
        let fits = message(b'D', &[0; 100]);
        assert_eq!(seen(true, &[&fits, &fits]), None);
        assert_eq!(seen(true, &[&message(b'D', &[0; 101])]), Some(Alarm::Flood));
        assert_eq!(seen(true, &[&[b'D', 0x7f, 0xff], &[0xff, 0xff]]), Some(Alarm::Flood));
        assert_eq!(seen(true, &[&[b'D', 0, 0, 0, 3]]), Some(Alarm::Form));
        let many: Vec<&[u8]> = std::iter::repeat_n(fits.as_slice(), 10).collect();
        assert_eq!(seen(true, &many), Some(Alarm::Flood));
        let one_by_one: Vec<&[u8]> = fits.chunks(1).collect();
        assert_eq!(seen(true, &one_by_one), None);
    }

    #[test]
    fn the_password_leaves_in_one_way_only() {
        let ask = |kind: u8, rest: &[u8]| seen(false, &[&message(b'R', &[&[0, 0, 0, kind], rest].concat())]);
        assert_eq!(ask(10, b"SCRAM-SHA-256\0\0"), None);
        assert_eq!(ask(11, b"r=abc,s=xyz,i=4096"), None);
        for (kind, rest) in [
            (3, &b""[..]),
            (5, b"salt"),
            (7, b""),
            (11, b"r=abc,s=xyz,i=4294967295"),
            (11, b"r=abc,s=xyz,i=1"),
            (11, b"r=abc,s=xyz"),
        ] {
            assert_eq!(ask(kind, rest), Some(Alarm::Password), "{kind} {rest:?}");
        }
    }
}
