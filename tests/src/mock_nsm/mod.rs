//! Answers like a Nitro Security Module, with keys from a seed and a clock that the caller brings.
//!
//! # Promises
//! - Registers, locks, limits and error codes are the real module's: 32 registers, 0 to 15 locked from the start,
//!   requests of up to 4096 bytes and responses of up to 12288, optional fields of up to 1024.
//! - A leaf lives three hours and is renewed when the clock has left its validity, forwards or backwards.
//! - The same seed, clock and requests give the same bytes.
//!
//! # Does not
//! - Panic: whatever goes wrong is `InternalError`, as the driver would say.
//!
//! # Trusts
//! - Its configuration. Nothing that it signs leads to AWS's root.
//!
//! Sources: aws-nitro-enclaves-nsm-api 0.5 (`src/api/mod.rs`, `src/driver/mod.rs`) and its `nsm-check`; QEMU's
//! `hw/virtio/virtio-nsm.c` for the codes.

pub mod document;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use adyton_attestation::anchor::{TrustAnchor, dangerous};
use adyton_attestation::measurement::{MAX_PCRS, MEASUREMENT_LEN, Measurement, ZERO, extend};
use adyton_attestation::nsm::Nsm;
use aws_nitro_enclaves_nsm_api::api::{Digest, ErrorCode, Request, Response};
use ring::digest::{SHA384, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use self::document::{Payload, seal};
use crate::pki::{Chain, Pki, PkiError, derive};

/// `NSM_REQUEST_MAX_SIZE` (`src/driver/mod.rs`).
const MAX_REQUEST: usize = 0x1000;
/// `NSM_RESPONSE_MAX_SIZE` (`src/driver/mod.rs`).
const MAX_RESPONSE: usize = 0x3000;
/// CBOR around the document in a response: `{"Attestation": {"document": h'..'}}`.
const RESPONSE_OVERHEAD: usize = 32;
/// Longest optional field (AWS "Nitro Enclaves attestation process", section 2.2).
const MAX_OPTIONAL: usize = 1024;
/// Registers that are locked before the enclave starts (`nsm-check`).
const LOCKED_AT_START: u8 = 16;
/// Bytes of one `GetRandom`.
const RANDOM_LEN: usize = 256;

/// Milliseconds since the epoch, as somebody else tells them.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The registers that Nitro fills before the enclave starts. All others are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitialPcrs {
    /// The whole image.
    pub pcr0: Measurement,
    /// Kernel and boot.
    pub pcr1: Measurement,
    /// The application.
    pub pcr2: Measurement,
    /// The parent's IAM role; zero if it has none.
    pub pcr3: Measurement,
    /// The parent's instance.
    pub pcr4: Measurement,
    /// The image's signer; zero if unsigned.
    pub pcr8: Measurement,
}

impl InitialPcrs {
    /// Six different values that depend on a name only.
    pub fn named(name: &str) -> Self {
        let value = |register: &str| {
            let hash = digest(&SHA384, format!("{name}/{register}").as_bytes());
            Measurement::from_slice(hash.as_ref()).unwrap_or(ZERO)
        };
        Self {
            pcr0: value("pcr0"),
            pcr1: value("pcr1"),
            pcr2: value("pcr2"),
            pcr3: value("pcr3"),
            pcr4: value("pcr4"),
            pcr8: value("pcr8"),
        }
    }

    /// The same, as a debug enclave has them: PCR0, 1 and 2 are zero.
    pub fn in_debug_mode(self) -> Self {
        Self { pcr0: ZERO, pcr1: ZERO, pcr2: ZERO, ..self }
    }
}

/// What a mock is made of.
#[derive(Clone)]
pub struct MockConfig {
    /// All keys come from it. Random for a simulator ([`MockConfig::fresh`]), fixed for a test.
    pub seed: [u8; 32],
    /// The module's clock.
    pub clock: Clock,
    /// The registers at the start.
    pub pcrs: InitialPcrs,
}

impl MockConfig {
    /// With a random seed, so that the root is new and nobody else can sign under it.
    pub fn fresh(clock: Clock, pcrs: InitialPcrs) -> Result<Self, PkiError> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| PkiError::Key)?;
        Ok(Self { seed, clock, pcrs })
    }
}

#[derive(Clone, Copy, Debug)]
struct Register {
    value: Measurement,
    locked: bool,
}

/// The module.
pub struct MockNsm {
    seed: [u8; 32],
    clock: Clock,
    pki: Pki,
    root_der: Vec<u8>,
    module_id: String,
    registers: Vec<Register>,
    chain: Option<Chain>,
    randoms: u64,
}

impl fmt::Debug for MockNsm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MockNsm({})", self.module_id)
    }
}

impl MockNsm {
    /// A module that has just been started.
    pub fn new(config: MockConfig) -> Result<Self, PkiError> {
        let pki = Pki::new(config.seed);
        let (root_der, module_id) = (pki.root_der()?, pki.module_id());
        let registers = (0..MAX_PCRS)
            .map(|index| Register { value: initial(&config.pcrs, index), locked: index < LOCKED_AT_START })
            .collect();
        let MockConfig { seed, clock, .. } = config;
        Ok(Self { seed, clock, pki, root_der, module_id, registers, chain: None, randoms: 0 })
    }

    /// The root that everything leads to, DER.
    pub fn root_der(&self) -> &[u8] {
        &self.root_der
    }

    /// The same as a trust anchor: all that verifies under it is SIMULATED.
    pub fn trust_anchor(&self) -> TrustAnchor {
        dangerous::development_anchor(self.root_der.clone())
    }

    /// What a document asked for now would say. Tests alter it and [`seal`] it with [`Self::chain`].
    pub fn payload(
        &mut self,
        user_data: Option<Vec<u8>>,
        nonce: Option<Vec<u8>>,
        public_key: Option<Vec<u8>>,
    ) -> Result<Payload, PkiError> {
        let timestamp = (self.clock)();
        let chain = self.chain_at(timestamp)?;
        let (certificate, cabundle) = (chain.certificate.clone(), chain.cabundle.clone());
        Ok(Payload {
            module_id: self.module_id.clone(),
            digest: "SHA384".to_owned(),
            timestamp,
            pcrs: self.locked().map(|(index, value)| (index.into(), value.as_bytes().to_vec())).collect(),
            certificate,
            cabundle,
            public_key,
            user_data,
            nonce,
        })
    }

    /// The chain in use at the module's clock.
    pub fn chain(&mut self) -> Result<&Chain, PkiError> {
        let now = (self.clock)();
        self.chain_at(now)
    }

    fn chain_at(&mut self, millis: u64) -> Result<&Chain, PkiError> {
        let now = i64::try_from(millis / 1000).map_err(|_| PkiError::Time)?;
        let chain = match self.chain.take() {
            Some(chain) if (chain.not_before..chain.not_after).contains(&now) => chain,
            _ => self.pki.issue(now)?,
        };
        Ok(self.chain.insert(chain))
    }

    fn locked(&self) -> impl Iterator<Item = (u16, &Measurement)> {
        self.registers.iter().zip(0u16..).filter(|(register, _)| register.locked).map(|(r, i)| (i, &r.value))
    }

    fn register(&mut self, index: u16) -> Result<&mut Register, ErrorCode> {
        self.registers.get_mut(usize::from(index)).ok_or(ErrorCode::InvalidIndex)
    }

    /// A register that may still be changed.
    fn writable(&mut self, index: u16) -> Result<&mut Register, ErrorCode> {
        match self.register(index)? {
            register if register.locked => Err(ErrorCode::ReadOnlyIndex),
            register => Ok(register),
        }
    }

    fn answer(&mut self, request: Request) -> Result<Response, ErrorCode> {
        let size = serde_cbor::to_vec(&request).map_err(|_| ErrorCode::InvalidArgument)?.len();
        if size > MAX_REQUEST {
            return Err(ErrorCode::InputTooLarge);
        }
        match request {
            Request::DescribePCR { index } => {
                let register = self.register(index)?;
                Ok(Response::DescribePCR { lock: register.locked, data: register.value.as_bytes().to_vec() })
            }
            Request::ExtendPCR { index, data } => {
                let register = self.writable(index)?;
                register.value = extend(&register.value, &data);
                Ok(Response::ExtendPCR { data: register.value.as_bytes().to_vec() })
            }
            Request::LockPCR { index } => {
                self.writable(index)?.locked = true;
                Ok(Response::LockPCR)
            }
            Request::LockPCRs { range } => self.lock_range(range),
            Request::DescribeNSM => Ok(self.describe()),
            Request::Attestation { user_data, nonce, public_key } => {
                let fields = [user_data, nonce, public_key].map(|field| field.map(|bytes| bytes.into_vec()));
                self.attest(fields)
            }
            Request::GetRandom => Ok(Response::GetRandom { random: self.random() }),
            _ => Err(ErrorCode::InvalidOperation),
        }
    }

    fn lock_range(&mut self, range: u16) -> Result<Response, ErrorCode> {
        if range > u16::from(MAX_PCRS) {
            return Err(ErrorCode::InvalidIndex);
        }
        self.registers.iter_mut().take(range.into()).for_each(|register| register.locked = true);
        Ok(Response::LockPCRs)
    }

    fn describe(&self) -> Response {
        Response::DescribeNSM {
            version_major: 1,
            version_minor: 0,
            version_patch: 0,
            module_id: self.module_id.clone(),
            max_pcrs: MAX_PCRS.into(),
            locked_pcrs: self.locked().map(|(index, _)| index).collect::<BTreeSet<u16>>(),
            digest: Digest::SHA384,
        }
    }

    fn attest(&mut self, fields: [Option<Vec<u8>>; 3]) -> Result<Response, ErrorCode> {
        if fields.iter().flatten().any(|field| field.len() > MAX_OPTIONAL) {
            return Err(ErrorCode::InputTooLarge);
        }
        let [user_data, nonce, public_key] = fields;
        let payload =
            self.payload(user_data, nonce, public_key).map_err(|_| ErrorCode::InternalError)?.encode();
        // The chain of the payload, even if the clock has moved on since.
        let chain = self.chain.as_ref().ok_or(ErrorCode::InternalError)?;
        let document = seal(&payload, chain);
        if document.len().saturating_add(RESPONSE_OVERHEAD) > MAX_RESPONSE {
            return Err(ErrorCode::BufferTooSmall);
        }
        Ok(Response::Attestation { document })
    }

    fn random(&mut self) -> Vec<u8> {
        let mut random = Vec::with_capacity(RANDOM_LEN.saturating_add(MEASUREMENT_LEN));
        while random.len() < RANDOM_LEN {
            random.extend(derive(&self.seed, "random", self.randoms));
            self.randoms = self.randoms.saturating_add(1);
        }
        random.truncate(RANDOM_LEN);
        random
    }
}

impl Nsm for MockNsm {
    fn process(&mut self, request: Request) -> Response {
        self.answer(request).unwrap_or_else(Response::Error)
    }
}

fn initial(pcrs: &InitialPcrs, index: u8) -> Measurement {
    let given: BTreeMap<u8, Measurement> =
        [(0, pcrs.pcr0), (1, pcrs.pcr1), (2, pcrs.pcr2), (3, pcrs.pcr3), (4, pcrs.pcr4), (8, pcrs.pcr8)]
            .into();
    given.get(&index).copied().unwrap_or(ZERO)
}
