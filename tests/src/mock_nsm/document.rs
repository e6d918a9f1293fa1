//! Writes attestation documents byte for byte as the module does since the middle of 2025.
//!
//! # Promises
//! - `84 44 a1013822 a0 59 .. 58 60`; the payload map has indefinite length, its keys stand in the module's order, and
//!   absent optional fields are null.
//!
//! # Does not
//! - Refuse nonsense: tests seal what a verifier must refuse.
//!
//! # Trusts
//! - Its caller.

use std::collections::BTreeMap;

use adyton_attestation::cbor::Writer;

use crate::pki::Chain;

/// Protected header `{1: -35}` (ES384).
pub const PROTECTED: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];

/// The nine fields of a payload.
#[derive(Clone, Debug)]
pub struct Payload {
    /// Instance and enclave.
    pub module_id: String,
    /// `SHA384`.
    pub digest: String,
    /// Milliseconds since the epoch.
    pub timestamp: u64,
    /// Locked registers.
    pub pcrs: BTreeMap<u64, Vec<u8>>,
    /// The leaf.
    pub certificate: Vec<u8>,
    /// Root, region, zone, instance.
    pub cabundle: Vec<Vec<u8>>,
    /// As requested.
    pub public_key: Option<Vec<u8>>,
    /// As requested.
    pub user_data: Option<Vec<u8>>,
    /// As requested.
    pub nonce: Option<Vec<u8>>,
}

impl Payload {
    /// `bf .. ff`, in the module's order.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(&[0xbf]);
        writer.text("module_id").text(&self.module_id);
        writer.text("digest").text(&self.digest);
        writer.text("timestamp").unsigned(self.timestamp);
        writer.text("pcrs").map(self.pcrs.len() as u64);
        for (index, value) in &self.pcrs {
            writer.unsigned(*index).bytes(value);
        }
        writer.text("certificate").bytes(&self.certificate);
        writer.text("cabundle").array(self.cabundle.len() as u64);
        for certificate in &self.cabundle {
            writer.bytes(certificate);
        }
        for (key, value) in
            [("public_key", &self.public_key), ("user_data", &self.user_data), ("nonce", &self.nonce)]
        {
            writer.text(key);
            match value {
                Some(bytes) => writer.bytes(bytes),
                None => writer.null(),
            };
        }
        writer.raw(&[0xff]);
        writer.into_bytes()
    }
}

/// Signs a payload, whatever it is, with the chain's leaf key.
pub fn seal(payload: &[u8], chain: &Chain) -> Vec<u8> {
    let mut message = Writer::new();
    message.array(4).text("Signature1").bytes(&PROTECTED).bytes(&[]).bytes(payload);
    let signature = chain.key.sign_fixed(&message.into_bytes());
    let mut document = Writer::new();
    document.array(4).bytes(&PROTECTED).map(0).bytes(payload).bytes(&signature);
    document.into_bytes()
}
