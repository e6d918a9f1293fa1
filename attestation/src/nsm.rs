//! Speaks to a Nitro Security Module through a trait, so that who answers is the caller's choice.
//!
//! The real one is `/dev/nsm` in the sentinel; the mock is in `tests/`, which is another binary.
//!
//! # Promises
//! - A response of another kind than the request's is an error, never ignored.
//!
//! # Does not
//! - Open a device, retry, or wait.
//!
//! # Trusts
//! - The module: inside the enclave it is the root of what is measured.
//!
//! Source: aws-nitro-enclaves-nsm-api 0.5, `src/api/mod.rs`.

use std::collections::BTreeSet;

use aws_nitro_enclaves_nsm_api::api::{ErrorCode, Request, Response};

use crate::measurement::{Measurement, PcrIndex};

/// Most bytes that [`random`] fetches: 16 answers of 256 bytes. Whoever needs more seeds a generator with less.
const MAX_RANDOM: usize = 4096;

/// A security module: one request in, one response out.
pub trait Nsm: Send {
    /// Carries out one request. A transport that fails answers with `Response::Error(ErrorCode::InternalError)`.
    fn process(&mut self, request: Request) -> Response;
}

impl<N: Nsm + ?Sized> Nsm for Box<N> {
    fn process(&mut self, request: Request) -> Response {
        (**self).process(request)
    }
}

/// The module's error codes (`ErrorCode` of the API, which cannot be compared or copied).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the documentation: each is the API's variant of the same name
pub enum NsmCode {
    Success,
    InvalidArgument,
    InvalidIndex,
    InvalidResponse,
    ReadOnlyIndex,
    InvalidOperation,
    BufferTooSmall,
    InputTooLarge,
    InternalError,
}

impl From<&ErrorCode> for NsmCode {
    fn from(code: &ErrorCode) -> Self {
        match code {
            ErrorCode::Success => Self::Success,
            ErrorCode::InvalidArgument => Self::InvalidArgument,
            ErrorCode::InvalidIndex => Self::InvalidIndex,
            ErrorCode::InvalidResponse => Self::InvalidResponse,
            ErrorCode::ReadOnlyIndex => Self::ReadOnlyIndex,
            ErrorCode::InvalidOperation => Self::InvalidOperation,
            ErrorCode::BufferTooSmall => Self::BufferTooSmall,
            ErrorCode::InputTooLarge => Self::InputTooLarge,
            ErrorCode::InternalError => Self::InternalError,
        }
    }
}

/// Why the module gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NsmError {
    /// The module refused, with its own code.
    #[error(
        "the security module refused the request with {0:?}; see the operation's limits in its documentation"
    )]
    Refused(NsmCode),
    /// The response belongs to another kind of request.
    #[error("the security module answered another question than the one asked; restart the enclave")]
    UnexpectedResponse,
    /// A register's value has not 48 bytes.
    #[error("the security module does not measure with sha-384; this is no nitro module")]
    NotSha384,
    /// It returned no random bytes, or more were wanted than one should fetch.
    #[error("the security module gave no randomness, or more than 4096 bytes were asked of it")]
    NoRandomness,
}

/// What a module says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Major, minor and patch version.
    pub version: (u16, u16, u16),
    /// Instance and enclave.
    pub module_id: String,
    /// How many registers there are.
    pub max_pcrs: u16,
    /// Those that can no longer be extended.
    pub locked_pcrs: BTreeSet<u16>,
}

/// What the module says about itself.
pub fn describe<N: Nsm + ?Sized>(nsm: &mut N) -> Result<Description, NsmError> {
    match nsm.process(Request::DescribeNSM) {
        Response::DescribeNSM {
            version_major,
            version_minor,
            version_patch,
            module_id,
            max_pcrs,
            locked_pcrs,
            ..
        } => Ok(Description {
            version: (version_major, version_minor, version_patch),
            module_id,
            max_pcrs,
            locked_pcrs,
        }),
        other => Err(unexpected(&other)),
    }
}

/// A register's value, and whether it is locked.
pub fn read<N: Nsm + ?Sized>(nsm: &mut N, index: PcrIndex) -> Result<(Measurement, bool), NsmError> {
    match nsm.process(Request::DescribePCR { index: index.get().into() }) {
        Response::DescribePCR { lock, data } => Ok((sha384_value(&data)?, lock)),
        other => Err(unexpected(&other)),
    }
}

/// Extends a register by `data` and returns its new value.
pub fn extend<N: Nsm + ?Sized>(nsm: &mut N, index: PcrIndex, data: &[u8]) -> Result<Measurement, NsmError> {
    match nsm.process(Request::ExtendPCR { index: index.get().into(), data: data.to_vec() }) {
        Response::ExtendPCR { data } => sha384_value(&data),
        other => Err(unexpected(&other)),
    }
}

/// Locks one register until the enclave ends. A register is listed in documents only once it is locked.
pub fn lock<N: Nsm + ?Sized>(nsm: &mut N, index: PcrIndex) -> Result<(), NsmError> {
    match nsm.process(Request::LockPCR { index: index.get().into() }) {
        Response::LockPCR => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// Locks the registers `0..end`.
pub fn lock_range<N: Nsm + ?Sized>(nsm: &mut N, end: u16) -> Result<(), NsmError> {
    match nsm.process(Request::LockPCRs { range: end }) {
        Response::LockPCRs => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// Asks for a signed document with these three fields, each at most 1024 bytes.
pub fn attest<N: Nsm + ?Sized>(
    nsm: &mut N,
    user_data: Option<&[u8]>,
    nonce: Option<&[u8]>,
    public_key: Option<&[u8]>,
) -> Result<Vec<u8>, NsmError> {
    let request = Request::Attestation {
        user_data: user_data.map(|bytes| bytes.to_vec().into()),
        nonce: nonce.map(|bytes| bytes.to_vec().into()),
        public_key: public_key.map(|bytes| bytes.to_vec().into()),
    };
    match nsm.process(request) {
        Response::Attestation { document } => Ok(document),
        other => Err(unexpected(&other)),
    }
}

/// `count` random bytes, at most 4096.
pub fn random<N: Nsm + ?Sized>(nsm: &mut N, count: usize) -> Result<Vec<u8>, NsmError> {
    if count > MAX_RANDOM {
        return Err(NsmError::NoRandomness);
    }
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        match nsm.process(Request::GetRandom) {
            Response::GetRandom { random } if !random.is_empty() => {
                bytes.extend(random.into_iter().take(count.saturating_sub(bytes.len())));
            }
            Response::GetRandom { .. } => return Err(NsmError::NoRandomness),
            other => return Err(unexpected(&other)),
        }
    }
    Ok(bytes)
}

fn sha384_value(data: &[u8]) -> Result<Measurement, NsmError> {
    Measurement::from_slice(data).ok_or(NsmError::NotSha384)
}

fn unexpected(response: &Response) -> NsmError {
    match response {
        Response::Error(code) => NsmError::Refused(code.into()),
        _ => NsmError::UnexpectedResponse,
    }
}
