//! Signed files: each refusal with its reason, and every byte that somebody may change.

use super::log::{Growth, LogProof, leaf};
use super::payload::tests::{measured, payload};
use super::*;
use crate::Timestamp;
use crate::ed25519::tests::signer;
use crate::transparency::tree::{leaf_hash, prove_consistency, prove_inclusion, root};
use crate::transparency::{Checkpoint, CheckpointRefusal, Forked, Hash, LogKey, TreeRefusal};

const NOW: Timestamp = Timestamp::from_secs(1_000_100);
const LOG: u8 = 9;

fn trust(seeds: &[u8], threshold: u32) -> Trust {
    let keys = seeds.iter().map(|seed| signer(*seed).public()).collect();
    Trust::new(Signers::new(keys, threshold).unwrap())
}

fn signed(payload: &Payload, seeds: &[u8]) -> ReferenceFile {
    let mut file = ReferenceFile::unsigned(payload.to_json().as_bytes()).unwrap();
    seeds.iter().for_each(|seed| file.sign(&signer(*seed)).unwrap());
    file
}

fn version(version: u64) -> Payload {
    Payload { version, ..payload() }
}

fn seen(file: &ReferenceFile) -> Seen {
    file.verify(&trust(&[1], 1), None, NOW).unwrap().seen().clone()
}

/// A log of `leaves`; the file's payload is put in as the last one.
fn logged(mut payload: Payload, leaves: &[Hash]) -> (ReferenceFile, Vec<Hash>) {
    let log = LogKey::new("log.example", signer(LOG).public()).unwrap();
    payload.log = Some(log.clone());
    let mut file = signed(&payload, &[1]);
    let mut leaves = leaves.to_vec();
    leaves.push(leaf_hash(&leaf(&payload.name, payload.version, &file.payload_sha256())));
    let growth = |from: usize| Growth { from: from as u64, proof: prove_consistency(&leaves, from).unwrap() };
    file.set_log(LogProof {
        checkpoint: Checkpoint { size: leaves.len() as u64, root: root(&leaves) }.sign(&log, &signer(LOG)),
        index: leaves.len() as u64 - 1,
        inclusion: prove_inclusion(&leaves, leaves.len() - 1).unwrap(),
        consistency: (1..leaves.len()).map(growth).collect(),
    });
    (file, leaves)
}

fn changed(file: &ReferenceFile, change: impl FnOnce(&mut LogProof)) -> ReferenceFile {
    let (mut file, mut log) = (file.clone(), file.log().unwrap().clone());
    change(&mut log);
    file.set_log(log);
    file
}

#[test]
fn a_signed_file_verifies_and_no_byte_of_it_can_change() {
    let (file, _) = logged(version(1), &[]);
    let text = file.to_json();
    let read = ReferenceFile::parse(text.as_bytes()).unwrap();
    assert_eq!(read, file);
    let verified = read.verify(&trust(&[1], 1), None, NOW).unwrap();
    assert_eq!(verified.values(), &payload().accepted().unwrap());
    let accepted = |bytes: &[u8]| {
        let read = ReferenceFile::parse(bytes).ok()?;
        read.verify(&trust(&[1], 1), None, NOW).ok().map(|verified| verified.payload().clone())
    };
    for at in 0..text.len() {
        for bit in [1, 2, 0x10, 0x20] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= bit;
            // Case of hexadecimal digits and white space say the same; nothing that is accepted says anything else.
            assert!(accepted(&bytes).is_none_or(|payload| payload == *file.payload()), "byte {at}");
        }
    }
}

#[test]
fn the_envelope_is_read_strictly() {
    let at = |at: &str| at.to_owned();
    let good = signed(&payload(), &[1, 2]).to_json();
    let with = |from: &str, to: &str| good.replacen(from, to, 1);
    let mut value: serde_json::Value = serde_json::from_str(&good).unwrap();
    value["payload"] = "e30=".into();
    let emptied = value.to_string();
    let again = good.replace(&signer(2).public().to_string(), &signer(1).public().to_string());
    for (text, expected) in [
        (with("\"payload\"", "\"Payload\""), ReferenceError::UnknownKey { at: at("Payload") }.into()),
        (with("{", "{\"log\":{},"), ReferenceError::Missing { at: at("log.checkpoint") }.into()),
        (
            with("\"signatures\"", "\"payload\":\"\",\"signatures\""),
            ReferenceError::Twice { at: at("payload") }.into(),
        ),
        (again, ReferenceError::Twice { at: at("signatures[1]") }.into()),
        (with("\"payload\": \"", "\"payload\": \"*"), FileError::NotBase64),
        (emptied, ReferenceFile::unsigned(b"{}").unwrap_err()),
        (" ".repeat(MAX_FILE + 1), FileError::TooLarge),
    ] {
        assert_eq!(ReferenceFile::parse(text.as_bytes()), Err(expected));
    }
    let mut value: serde_json::Value = serde_json::from_str(&good).unwrap();
    value["signatures"] = vec![serde_json::json!({}); MAX_SIGNERS + 1].into();
    let expected = ReferenceError::TooMany { at: at("signatures"), most: 16 };
    assert_eq!(ReferenceFile::parse(value.to_string().as_bytes()), Err(expected.into()));
    let mut full = signed(&payload(), &(1..=16).collect::<Vec<u8>>());
    assert_eq!(full.sign(&signer(17)), Err(FileError::Full));
    assert_eq!(full.sign(&signer(16)), Ok(()));
}

#[test]
fn what_is_signed_is_documented() {
    let file = signed(&payload(), &[1]);
    let mut message = b"\0\0\0\x13adyton/reference/v1".to_vec();
    message.extend_from_slice(&(file.payload_bytes().len() as u32).to_be_bytes());
    message.extend_from_slice(file.payload_bytes());
    assert_eq!(file.signatures()[0].signature, signer(1).sign(&message));
    let mut bytes =
        b"\0\0\0\x18adyton/reference-leaf/v1\0\0\0\x04acme\0\0\0\x08\0\0\0\0\0\0\0\x05\0\0\0\x20".to_vec();
    bytes.extend_from_slice(&[6; 32]);
    assert_eq!(leaf("acme", 5, &[6; 32]), bytes);
    let log = LogKey::new("log.example/releases", signer(1).public()).unwrap();
    let hash = leaf_hash(&bytes);
    let text = Checkpoint { size: 1, root: hash }.sign(&log, &signer(1));
    let document = include_str!("../../../docs/reference-values.md");
    for written in [hex::encode(&bytes), hex::encode(hash), signer(1).public().to_string(), text] {
        assert!(document.contains(&written), "docs/reference-values.md does not show {written}");
    }
}

#[test]
fn enough_of_the_right_signers_must_sign() {
    let refused = |valid, needed, authority| Err(FileRefusal::Signatures { valid, needed, authority });
    let (pinned, previous, same) = (Authority::Pinned, Authority::Previous, Authority::Same);
    let before = seen(&signed(&version(5), &[1])); // names 1 and 2 for the next, one of them is enough
    let rotated = |n: u64| Payload {
        signers: Signers::new(vec![signer(3).public(), signer(4).public()], 2).unwrap(),
        ..version(n)
    };
    let after = signed(&rotated(6), &[2]).verify(&trust(&[1], 1), Some(&before), NOW).unwrap().seen().clone();
    type Case<'a> = (ReferenceFile, Trust, Option<&'a Seen>, Result<(), FileRefusal>);
    let table: Vec<Case<'_>> = vec![
        (signed(&version(5), &[]), trust(&[1], 1), None, refused(0, 1, pinned)),
        (signed(&version(5), &[2]), trust(&[1], 1), None, refused(0, 1, pinned)),
        (signed(&version(5), &[1, 3]), trust(&[1, 2], 2), None, refused(1, 2, pinned)),
        (signed(&version(5), &[2, 1]), trust(&[1, 2], 2), None, Ok(())),
        // A newer version: whom the one before names, and no longer the pinned one alone.
        (signed(&version(6), &[2]), trust(&[1], 1), Some(&before), Ok(())),
        (signed(&version(6), &[3]), trust(&[1], 1), Some(&before), refused(0, 1, previous)),
        (signed(&version(7), &[1]), trust(&[1], 1), Some(&after), refused(0, 2, previous)),
        (signed(&version(7), &[1, 3]), trust(&[1], 1), Some(&after), refused(1, 2, previous)),
        (signed(&version(7), &[3, 4]), trust(&[1], 1), Some(&after), Ok(())),
        // The same version: those who had to sign it then.
        (signed(&rotated(6), &[2]), trust(&[1], 1), Some(&after), Ok(())),
        (signed(&rotated(6), &[3, 4]), trust(&[1], 1), Some(&after), refused(0, 1, same)),
        // Other pins begin anew.
        (signed(&version(7), &[3, 4]), trust(&[5], 1), Some(&after), refused(0, 1, pinned)),
        (signed(&version(7), &[5]), trust(&[5], 1), Some(&after), Ok(())),
        (
            signed(&version(5), &[5]),
            trust(&[5], 1),
            Some(&after),
            Err(FileRefusal::Rollback { version: 5, seen: 6 }),
        ),
    ];
    for (number, (file, trust, seen, expected)) in table.into_iter().enumerate() {
        assert_eq!(file.verify(&trust, seen, NOW).map(|_| ()), expected, "row {number}");
    }
    let renamed = trust(&[1], 1).named("acme-test");
    assert_eq!(signed(&version(5), &[1]).verify(&renamed, None, NOW).unwrap_err(), FileRefusal::Name);
    let named = trust(&[1], 1).named("acme-chat");
    assert!(signed(&version(5), &[1]).verify(&named, None, NOW).is_ok());
}

#[test]
fn versions_go_up_and_do_not_fork() {
    let trust = trust(&[1], 1);
    let before = seen(&signed(&version(5), &[1]));
    let check = |file: ReferenceFile| file.verify(&trust, Some(&before), NOW).map(|_| ());
    assert_eq!(check(signed(&version(5), &[1])), Ok(()));
    assert_eq!(check(signed(&version(9), &[1])), Ok(()));
    assert_eq!(check(signed(&version(4), &[1])), Err(FileRefusal::Rollback { version: 4, seen: 5 }));
    let other = Payload { deny: vec![measured(1)], ..version(5) };
    assert_eq!(check(signed(&other, &[1])), Err(FileRefusal::Equivocation { version: 5 }));
    // Nobody is accused by what he did not sign.
    let unsigned = FileRefusal::Signatures { valid: 0, needed: 1, authority: Authority::Same };
    assert_eq!(check(signed(&other, &[8])), Err(unsigned));
    // What was seen under another name says nothing.
    let elsewhere = Payload { name: "other".into(), ..version(1) };
    assert_eq!(check(signed(&elsewhere, &[1])), Ok(()));
}

#[test]
fn validity_has_two_ends_and_a_minute_of_leeway() {
    let (issued, expires) = (payload().issued, payload().expires);
    let at = |now| signed(&payload(), &[1]).verify(&trust(&[1], 1), None, now).map(|_| ());
    let earlier = |millis| Timestamp::from_millis(issued.as_millis() - millis);
    assert_eq!(at(earlier(60_000)), Ok(()));
    assert_eq!(at(earlier(60_001)), Err(FileRefusal::NotYet { issued, now: earlier(60_001) }));
    let later = expires.plus_millis(60_001);
    assert_eq!(at(expires.plus_millis(60_000)), Ok(()));
    assert_eq!(at(later), Err(FileRefusal::Expired { expires, now: later }));
    let nothing = Payload { minimum_release: 7, ..payload() };
    let refusal = signed(&nothing, &[1]).verify(&trust(&[1], 1), None, NOW).unwrap_err();
    assert_eq!(refusal, FileRefusal::NothingLeft(NothingLeft::NoImage));
}

#[test]
fn a_file_that_names_a_log_is_shown_to_be_in_it() {
    let trust = trust(&[1], 1);
    let (file, _) = logged(version(1), &[[1; 32], [2; 32], [3; 32]]);
    let check = |file: &ReferenceFile| match file.verify(&trust, None, NOW) {
        Ok(_) => None,
        Err(FileRefusal::Log(refusal)) => Some(refusal),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(check(&file), None);
    assert_eq!(check(&signed(file.payload(), &[1])), Some(LogRefusal::Absent));
    let mut unnamed = signed(&version(1), &[1]);
    unnamed.set_log(file.log().unwrap().clone());
    assert_eq!(check(&unnamed), Some(LogRefusal::Unnamed));
    let not_included = |refusal| Some(LogRefusal::NotIncluded(refusal));
    assert_eq!(check(&changed(&file, |log| log.index = 2)), not_included(TreeRefusal::Root));
    let beyond = TreeRefusal::NoSuchLeaf { index: 4, size: 4 };
    assert_eq!(check(&changed(&file, |log| log.index = 4)), not_included(beyond));
    assert_eq!(check(&changed(&file, |log| log.inclusion[0][0] ^= 1)), not_included(TreeRefusal::Root));
    let short = changed(&file, |log| log.inclusion.truncate(1));
    assert_eq!(check(&short), not_included(TreeRefusal::Length { hashes: 1 }));
    let forged = changed(&file, |log| log.checkpoint = log.checkpoint.replace("\n4\n", "\n5\n"));
    assert_eq!(check(&forged), Some(CheckpointRefusal::Signature.into()));
    let other_log = LogKey::new("log.example", signer(8).public()).unwrap();
    let mut elsewhere = signed(&Payload { log: Some(other_log), ..version(1) }, &[1]);
    elsewhere.set_log(file.log().unwrap().clone());
    assert_eq!(check(&elsewhere), Some(CheckpointRefusal::NotSigned.into()));
}

#[test]
fn a_log_that_was_seen_only_grows() {
    let trust = trust(&[1], 1);
    let (first, leaves) = logged(version(1), &[[1; 32], [2; 32]]);
    let before = seen(&first);
    let check = |file: &ReferenceFile| file.verify(&trust, Some(&before), NOW).map(|_| ());
    let forked = |fork: Forked| Err(FileRefusal::Log(fork.into()));
    assert_eq!(check(&first), Ok(()));
    let (second, more) = logged(version(2), &leaves);
    assert_eq!(check(&second), Ok(()));
    assert_eq!(check(&logged(version(3), &more).0), Ok(()));
    let (rewritten, _) = logged(version(2), &[[1; 32], [7; 32], [3; 32]]);
    assert_eq!(check(&rewritten), forked(Forked::NotKept { before: 3 }));
    let (twin, _) = logged(version(2), &[[1; 32], [2; 32]]);
    assert_eq!(check(&twin), forked(Forked::TwoRoots { size: 3 }));
    let (small, _) = logged(version(2), &[[1; 32]]);
    assert_eq!(check(&small), forked(Forked::Shrunk { before: 3, now: 2 }));
    let silent = changed(&second, |log| log.consistency.clear());
    assert_eq!(check(&silent), Err(FileRefusal::Log(LogRefusal::NoGrowthProof { before: 3 })));
    let bad = changed(&second, |log| log.consistency[2].proof[0][0] ^= 1);
    assert_eq!(check(&bad), forked(Forked::NotKept { before: 3 }));
    assert_eq!(check(&signed(&version(2), &[1])), Err(FileRefusal::LogDropped));
    let other = LogKey::new("other.example", signer(LOG).public()).unwrap();
    let mut moved = signed(&Payload { log: Some(other.clone()), ..version(2) }, &[1]);
    let leaf = leaf_hash(&leaf("acme-chat", 2, &moved.payload_sha256()));
    moved.set_log(LogProof {
        checkpoint: Checkpoint { size: 1, root: leaf }.sign(&other, &signer(LOG)),
        index: 0,
        inclusion: vec![],
        consistency: vec![],
    });
    assert_eq!(check(&moved), Err(FileRefusal::LogChanged));
}

#[test]
fn what_was_seen_is_kept_and_read_back() {
    let mut record = Record::default();
    record.put(seen(&logged(version(1), &[]).0)).unwrap();
    record.put(seen(&signed(&Payload { name: "other".into(), ..payload() }, &[1]))).unwrap();
    record.put(seen(&logged(version(2), &[[1; 32]]).0)).unwrap();
    let read = Record::parse(record.to_json().as_bytes()).unwrap();
    assert_eq!(read, record);
    let kept = read.get("acme-chat").unwrap();
    assert_eq!((kept.version(), kept.log_size()), (2, Some(2)));
    assert_eq!(read.get("other").unwrap().version(), 5);
    assert_eq!(read.get("third"), None);
    let twice = record.to_json().replace("\"other\"", "\"acme-chat\"");
    let expected: SeenError = ReferenceError::Twice { at: "seen[1]".into() }.into();
    assert_eq!(Record::parse(twice.as_bytes()), Err(expected));
    for bad in ["", "{}", "{\"seen\":[{}]}", "{\"seen\":[],\"x\":1}"] {
        assert!(Record::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    for number in 0..254 {
        record.put(seen(&signed(&Payload { name: format!("n{number}"), ..payload() }, &[1]))).unwrap();
    }
    let full = record.put(seen(&signed(&Payload { name: "one-more".into(), ..payload() }, &[1])));
    assert_eq!(full, Err(SeenError::Full));
}

#[test]
fn two_files_are_compared() {
    let other = Payload { deny: vec![measured(1)], ..version(5) };
    let (one, leaves) = logged(version(1), &[[1; 32]]);
    let rewritten = logged(version(2), &[[7; 32], [8; 32]]).0;
    let silent = changed(&rewritten, |log| log.consistency.clear());
    let neither = Compared { versions: false, logs: false };
    let versions = Compared { versions: true, logs: false };
    let both = Compared { versions: true, logs: true };
    let twin = logged(Payload { version: 1, ..other.clone() }, &[[1; 32]]).0;
    for (a, b, expected) in [
        (signed(&version(5), &[1]), signed(&version(6), &[1]), Ok(versions)),
        (signed(&version(5), &[1]), signed(&version(5), &[1, 2]), Ok(versions)),
        (signed(&version(5), &[1]), signed(&other, &[1]), Err(Contradiction::Versions { version: 5 })),
        (signed(&version(5), &[1]), signed(&other, &[2]), Ok(neither)),
        (one.clone(), logged(version(2), &leaves).0, Ok(both)),
        (one.clone(), silent, Ok(versions)),
        (one.clone(), rewritten, Err(Contradiction::Logs(Forked::NotKept { before: 2 }))),
        (
            one.clone(),
            logged(version(2), &[[1; 32]]).0,
            Err(Contradiction::Logs(Forked::TwoRoots { size: 2 })),
        ),
        (one.clone(), twin, Err(Contradiction::Versions { version: 1 })),
    ] {
        assert_eq!(compare(&a, &b), expected);
        assert_eq!(compare(&b, &a), expected);
    }
}
