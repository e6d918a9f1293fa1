//! How much memory an appraisal takes at most, whatever it is given.
//!
//! # Promises
//! - The bound holds for every vector of the corpora and for inputs a thousand times as long as a document may be.
//!
//! # Does not
//! - Run beside other tests: it is the only one in its process, so that nobody else allocates.
//!
//! # Trusts
//! - The counting allocator.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

use std::path::Path;

use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::appraise_archived;
use adyton_attestation::cbor::{self, Form};
use adyton_attestation::corpus::{Case, judge};
use adyton_attestation::receipt;
use adyton_client::corpus::read;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes that one appraisal may hold at a time, beside its input: a document of 16 KiB is decoded once, its
/// certificates are read where they stand, and a report has two dozen lines.
const BOUND: usize = 64 * 1024;

/// The most that `work` held at a time.
fn most(work: impl FnOnce()) -> usize {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    work();
    MEMORY.peak_usage().saturating_sub(before)
}

#[test]
fn an_appraisal_stays_within_its_bound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/attestation");
    let mut worst = (0, String::new());
    for question in read(&folder, None).unwrap() {
        let mut case = question.case;
        case.as_object_mut().unwrap().remove("format");
        let case = Case::from_json(case.to_string().as_bytes()).unwrap();
        let held = most(|| drop(judge(&case).unwrap()));
        worst = worst.max((held, question.id));
    }
    println!("the most for a vector: {} bytes, {}", worst.0, worst.1);
    assert!(worst.0 <= BOUND, "{worst:?}");
    let anchor = TrustAnchor::aws_nitro_g1();
    for first in [0x84u8, 0xbf, 0x9b, 0x5b, 0xd2, 0x00, 0xff] {
        let long = vec![first; 16 << 20];
        let held = most(|| drop(appraise_archived(&long, &anchor)));
        assert!(held <= BOUND, "a document of 16 MiB of {first:02x}: {held} bytes");
        let held = most(|| drop(cbor::decode(&long, Form::OutermostMapMayBeIndefinite)));
        assert!(held <= BOUND, "CBOR of 16 MiB of {first:02x}: {held} bytes");
        let held = most(|| drop(receipt::verify(&long, &[0; 44])));
        assert!(held <= BOUND, "a receipt of 16 MiB of {first:02x}: {held} bytes");
        // As long as may be, and announcing as much as can be.
        let full = vec![first; 16 * 1024];
        let held = most(|| drop(appraise_archived(&full, &anchor)));
        assert!(held <= BOUND, "a document of 16 KiB of {first:02x}: {held} bytes");
    }
}
