//! Signed files of reference values, the record of those that were seen, and checkpoints of a log.

use std::sync::LazyLock;

use adyton_attestation::Timestamp;
use adyton_attestation::ed25519::Signer;
use adyton_attestation::measurement::Measurement;
use adyton_attestation::reference::{
    Image, LogProof, Owner, Payload, Record, ReferenceFile, ReleasedImage, Signers, Trust, leaf,
};
use adyton_attestation::transparency::{Checkpoint, LogKey, checkpoint, tree};

/// An Ed25519 key in PKCS#8 version 2 (RFC 8410, section 7): the seed is 32 bytes 0x01, and everybody knows it.
const KEY: &str = "3051020101300506032b657004220420\
                   0101010101010101010101010101010101010101010101010101010101010101\
                   812100\
                   8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
const NOW: Timestamp = Timestamp::from_secs(1_793_701_230);

/// What is honestly signed. Whatever else verifies must say the same.
struct Publisher {
    signer: Signer,
    log: LogKey,
    checkpoint: Checkpoint,
    text: String,
    file: ReferenceFile,
}

static PUBLISHER: LazyLock<Publisher> = LazyLock::new(Publisher::new);

impl Publisher {
    fn new() -> Publisher {
        let signer = Signer::from_pkcs8(&hex::decode(KEY).unwrap()).unwrap();
        let log = LogKey::new("log.example/releases", signer.public()).unwrap();
        let one = Measurement::new([0x11; 48]);
        let payload = Payload {
            name: "acme-chat".into(),
            version: 3,
            issued: NOW,
            expires: NOW.plus_millis(86_400_000),
            images: vec![ReleasedImage { image: Image { pcr0: one, pcr1: one, pcr2: one }, release: 1 }],
            minimum_release: 1,
            manifests: vec![one],
            deny: vec![Measurement::new([0x22; 48])],
            owner: Owner::Instance { pcr4: one },
            signers: Signers::new(vec![signer.public()], 1).unwrap(),
            log: Some(log.clone()),
        };
        let mut file = ReferenceFile::unsigned(payload.to_json().as_bytes()).unwrap();
        file.sign(&signer).unwrap();
        let hash = tree::leaf_hash(&leaf(&payload.name, payload.version, &file.payload_sha256()));
        let leaves = [[1; 32], hash, [2; 32]];
        let checkpoint = Checkpoint { size: 3, root: tree::root(&leaves) };
        let text = checkpoint.sign(&log, &signer);
        file.set_log(LogProof {
            checkpoint: text.clone(),
            index: 1,
            inclusion: tree::prove_inclusion(&leaves, 1).unwrap(),
            consistency: vec![],
        });
        Publisher { signer, log, checkpoint, text, file }
    }

    fn trust(&self) -> Trust {
        Trust::new(Signers::new(vec![self.signer.public()], 1).unwrap())
    }
}

/// A signed file, its payload, or the record of what was seen: each round-trips, and a file that verifies says what was
/// signed.
pub fn signed_reference(data: &[u8]) {
    if let Ok(payload) = Payload::parse(data) {
        assert_eq!(Payload::parse(payload.to_json().as_bytes()).as_ref(), Ok(&payload));
        if let Ok(values) = payload.accepted() {
            assert!(values.images().iter().all(|image| !payload.deny.contains(&image.pcr0)));
            assert!(values.manifests().iter().all(|manifest| !payload.deny.contains(manifest)));
        }
    }
    if let Ok(record) = Record::parse(data) {
        assert_eq!(Record::parse(record.to_json().as_bytes()).as_ref(), Ok(&record));
    }
    let Ok(file) = ReferenceFile::parse(data) else { return };
    assert_eq!(ReferenceFile::parse(file.to_json().as_bytes()).as_ref(), Ok(&file));
    if let Ok(verified) = file.verify(&PUBLISHER.trust(), None, NOW) {
        assert_eq!(file.payload_bytes(), PUBLISHER.file.payload_bytes(), "an altered payload is believed");
        assert!(file.verify(&PUBLISHER.trust(), Some(verified.seen()), NOW).is_ok());
    }
}

/// A checkpoint: the only one that verifies is the one that was signed.
pub fn log_checkpoint(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(verified) = checkpoint::verify(text, &PUBLISHER.log) {
        assert_eq!(verified.checkpoint(), &PUBLISHER.checkpoint, "an altered checkpoint is believed");
    }
}

pub(super) fn signed_seeds() -> Vec<Vec<u8>> {
    let file = &PUBLISHER.file;
    let mut record = Record::default();
    record.put(file.verify(&PUBLISHER.trust(), None, NOW).unwrap().seen().clone()).unwrap();
    let bare = ReferenceFile::unsigned(file.payload_bytes()).unwrap();
    let payload = file.payload().to_json();
    [file.to_json(), bare.to_json(), payload, record.to_json()].map(String::into_bytes).to_vec()
}

pub(super) fn checkpoint_seeds() -> Vec<Vec<u8>> {
    vec![PUBLISHER.text.clone().into_bytes()]
}
