//! What a Nitro machine measures of an image: PCR0, PCR1 and PCR2.
//!
//! A register starts at zero and is extended once: PCR = SHA-384(48 zero bytes, SHA-384(sections)). PCR0 is over the kernel, the
//! command line and all ramdisks; PCR1 over the kernel, the command line and the first ramdisk; PCR2 over the other ramdisks.
//! The metadata are in none of them.
//!
//! Source: AWS's crate `aws-nitro-enclaves-image-format` 0.8.1, `utils/mod.rs`; AWS Nitro Enclaves user guide, "Cryptographic
//! attestation".

use crate::eif::Parts;
use ring::digest::{Context, SHA384};
use serde::{Deserialize, Serialize};

/// The three registers of an image, as `nitro-cli` prints them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE", deny_unknown_fields)]
pub struct Registers {
    /// The whole image.
    #[serde(with = "hex::serde")]
    pub pcr0: [u8; 48],
    /// The kernel and the boot.
    #[serde(with = "hex::serde")]
    pub pcr1: [u8; 48],
    /// The application.
    #[serde(with = "hex::serde")]
    pub pcr2: [u8; 48],
}

/// Measures an image.
pub fn registers(parts: &Parts) -> Registers {
    let base = [parts.kernel.as_slice(), parts.command_line.as_bytes()];
    let ramdisks: Vec<&[u8]> = parts.ramdisks.iter().map(Vec::as_slice).collect();
    let (boot, application) = ramdisks.split_at(ramdisks.len().min(1));
    Registers {
        pcr0: extended(base.iter().copied().chain(ramdisks.iter().copied())),
        pcr1: extended(base.iter().copied().chain(boot.iter().copied())),
        pcr2: extended(application.iter().copied()),
    }
}

fn extended<'a>(sections: impl Iterator<Item = &'a [u8]>) -> [u8; 48] {
    let inner = sha384(sections);
    sha384([[0; 48].as_slice(), &inner].into_iter())
}

fn sha384<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> [u8; 48] {
    let mut context = Context::new(&SHA384);
    pieces.for_each(|piece| context.update(piece));
    let mut out = [0; 48];
    out.copy_from_slice(context.finish().as_ref());
    out
}
