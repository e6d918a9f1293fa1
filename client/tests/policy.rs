//! Reference values from draft to refusal, with the real `adyton` program.
//!
//! Where a relying party is meant, `adyton verify` is asked to reach an address at which nobody listens: exit code 4 then
//! says that the reference values were accepted, and 9 that they were refused.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

use adyton_attestation::Timestamp;
use adyton_attestation::ed25519::Signer;
use adyton_attestation::reference::{Payload, ReferenceFile};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400_000;

/// A folder of its own for one test, removed at its end.
struct Desk {
    folder: PathBuf,
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a command came to.
#[derive(Debug)]
struct Outcome {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Desk {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("adyton-policy-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let desk = Desk { folder };
        let measurements = json!({ "Measurements": {
            "HashAlgorithm": "Sha384 { ... }",
            "PCR0": "10".repeat(48), "PCR1": "11".repeat(48), "PCR2": "12".repeat(48), "PCR8": "18".repeat(48),
        }});
        fs::write(desk.path("build.json"), measurements.to_string()).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Runs `adyton` in the folder, with the words of `line` and then `more`.
    fn run(&self, line: &str, more: &[&str]) -> Outcome {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_adyton"))
            .args(line.split_whitespace())
            .args(more)
            .current_dir(&self.folder)
            .env_remove("ADYTON_SIGNER")
            .env("XDG_STATE_HOME", self.path("state"))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    fn good(&self, line: &str, more: &[&str]) -> String {
        let outcome = self.run(line, more);
        assert_eq!(outcome.code, 0, "{line}: {outcome:?}");
        outcome.out
    }

    fn refused(&self, line: &str, more: &[&str], code: i32, words: &str) {
        let outcome = self.run(line, more);
        assert_eq!(outcome.code, code, "{line}: {outcome:?}");
        assert!(outcome.err.contains(words), "{line}: {outcome:?} does not say {words:?}");
    }

    fn key(&self, name: &str) -> String {
        self.good("policy key --out", &[name]).trim().to_owned()
    }

    /// A draft for `signer`, with a log if its key is named.
    fn draft(&self, name: &str, signer: &str, log: Option<&str>, more: &[&str]) {
        let mut words = vec!["--out", name, "--signer-key", signer];
        if let Some(key) = log {
            words.extend(["--log-origin", "log.example/releases", "--log-key-public", key]);
        }
        words.extend(more);
        let manifest = "16".repeat(48);
        words.extend(["--manifest", &manifest]);
        self.good("policy new --name acme-chat --measurements build.json", &words);
    }

    /// What a relying party with this pin says to a file.
    fn relying(&self, file: &str, signer: &str, code: i32, words: &str) {
        self.refused("verify --enclave 127.0.0.1:1 --signer", &[signer, "--reference", file], code, words);
    }

    fn accepted(&self, file: &str, signer: &str) {
        self.relying(file, signer, 4, "127.0.0.1:1");
    }

    /// Signs a payload that the command line would not draft, as of another time.
    fn signed(&self, name: &str, key: &str, change: impl FnOnce(&mut Payload)) {
        let mut payload = Payload::parse(&fs::read(self.path("draft.json")).unwrap()).unwrap();
        change(&mut payload);
        let mut file = ReferenceFile::unsigned(payload.to_json().as_bytes()).unwrap();
        file.sign(&Signer::from_pkcs8(&fs::read(self.path(key)).unwrap()).unwrap()).unwrap();
        fs::write(self.path(name), file.to_json()).unwrap();
    }
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Timestamp::from_millis(u64::try_from(now).unwrap())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn from_a_build_to_a_client() {
    let desk = Desk::new();
    let (signer, log) = (desk.key("signer.key"), desk.key("log.key"));
    assert_eq!((signer.len(), mode(&desk.path("signer.key"))), (64, 0o600));
    desk.refused("policy key --out signer.key", &[], 1, "a key is not written over");
    desk.draft("draft.json", &signer, Some(&log), &[]);
    desk.refused("verify --enclave 127.0.0.1:1 --reference draft.json", &[], 9, "without signatures");
    desk.good("policy sign draft.json --key signer.key --out reference.json", &[]);
    desk.relying("reference.json", &signer, 9, "carries no proof that it is in it");
    let said = desk.good("policy publish reference.json --log log --log-key log.key", &[]);
    assert!(said.starts_with("appended as leaf 0 of 1"), "{said}");
    let published = fs::read(desk.path("reference.json")).unwrap();
    let again = desk.good("policy publish reference.json --log log --log-key log.key --json", &[]);
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again, serde_json::json!({ "appended": false, "index": 0, "size": 1 }));
    assert_eq!(fs::read(desk.path("reference.json")).unwrap(), published);
    let shown = desk.good("policy inspect reference.json", &[]);
    for words in ["acme-chat version 1", "verifies", "as leaf 0 of 1", "in 89 days", &"10".repeat(48)] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let shown: Value = serde_json::from_str(&desk.good("policy inspect reference.json --json", &[])).unwrap();
    assert_eq!(shown["signed_by"], json!([signer]));
    assert_eq!(shown["payload"]["owner"], json!({ "signer": { "pcr8": "18".repeat(48) } }));
    assert_eq!(shown["log"]["included"], true);
    let linted = desk.good("policy lint reference.json", &[]);
    assert!(linted.contains("one key alone") && linted.ends_with("0 errors, 1 warnings\n"), "{linted}");
    let record = desk.path("state/adyton/reference-seen.json");
    assert!(!record.exists());
    desk.accepted("reference.json", &signer);
    assert_eq!(mode(&record), 0o600);
    let seen: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    assert_eq!((&seen["seen"][0]["version"], &seen["seen"][0]["log"]["size"]), (&json!(1), &json!(1)));
}

#[test]
fn versions_follow_each_other_in_a_log() {
    let desk = Desk::new();
    let (signer, log) = (desk.key("signer.key"), desk.key("log.key"));
    let publish = "policy publish --log log --log-key log.key";
    desk.draft("draft.json", &signer, Some(&log), &[]);
    desk.good("policy sign draft.json --key signer.key --out v1.json", &[]);
    desk.good(publish, &["v1.json"]);
    desk.accepted("v1.json", &signer);
    let old = "10".repeat(48);
    let next = "policy new --previous v1.json --minimum-release 2 --out draft2.json --deny";
    let image = ["20", "21", "22"].map(|byte| byte.repeat(48));
    desk.good(next, &[&old, "--pcr0", &image[0], "--pcr1", &image[1], "--pcr2", &image[2]]);
    desk.good("policy sign draft2.json --key signer.key --out v2.json", &[]);
    assert!(desk.good(publish, &["v2.json"]).starts_with("appended as leaf 1 of 2"));
    let shown: Value = serde_json::from_str(&desk.good("policy inspect v2.json --json", &[])).unwrap();
    assert_eq!(
        (&shown["payload"]["version"], &shown["payload"]["images"][1]["release"]),
        (&json!(2), &json!(2))
    );
    let linted = desk.good("policy lint v2.json", &[]);
    assert!(linted.contains("images[0] is of release 1, below the minimum 2"), "{linted}");
    assert!(linted.contains("images[0] is listed and denied"), "{linted}");
    let compared = desk.good("policy inspect v1.json --against v2.json", &[]);
    assert!(compared.contains("versions do not contradict each other; logs do not contradict"), "{compared}");
    desk.accepted("v2.json", &signer);
    desk.relying("v1.json", &signer, 9, "version 1, and version 2 was seen before");
    desk.refused(publish, &["v1.json", "--out", "late.json", "--json"], 0, "");
    desk.refused("policy publish --log log --log-key signer.key v2.json", &[], 1, "another key");
}

#[test]
fn each_refusal_has_its_code_and_its_reason() {
    let desk = Desk::new();
    let (signer, other) = (desk.key("signer.key"), desk.key("other.key"));
    desk.draft("draft.json", &signer, None, &[]);
    desk.good("policy sign draft.json --key signer.key --out reference.json", &[]);
    desk.refused(
        "verify --enclave 127.0.0.1:1 --reference reference.json",
        &[],
        9,
        &format!("no signer is pinned; it is signed by {signer}; ask the publisher"),
    );
    desk.relying("reference.json", &other, 9, "0 of the signers that you pinned signed the file, and 1 must");
    let both = format!("{signer},{other}");
    desk.refused(
        "verify --enclave 127.0.0.1:1 --reference reference.json --signer-threshold 2 --signer",
        &[&both],
        9,
        "1 of the signers that you pinned signed the file, and 2 must",
    );
    let named = ["--reference", "reference.json", "--reference-name", "acme-test"];
    desk.refused(
        &format!("verify --enclave 127.0.0.1:1 --signer {signer}"),
        &named,
        9,
        "than the name that you pinned",
    );

    let text = fs::read_to_string(desk.path("reference.json")).unwrap();
    let digit = text.find(&signer).unwrap() + signer.len() + 20;
    let at = text[digit..].find(|c: char| c.is_ascii_digit()).unwrap() + digit;
    let flipped = if text.as_bytes()[at] == b'7' { "8" } else { "7" };
    let tampered = format!("{}{flipped}{}", &text[..at], &text[at + 1..]);
    fs::write(desk.path("tampered.json"), tampered).unwrap();
    desk.relying("tampered.json", &signer, 9, "0 of the signers that you pinned");
    let file = ReferenceFile::parse(text.as_bytes()).unwrap();
    let raised =
        String::from_utf8(file.payload_bytes().to_vec()).unwrap().replace("\"version\": 1", "\"version\": 2");
    let mut envelope: Value = serde_json::from_str(&text).unwrap();
    envelope["payload"] = base64(raised.as_bytes()).into();
    fs::write(desk.path("raised.json"), envelope.to_string()).unwrap();
    desk.relying("raised.json", &signer, 9, "0 of the signers that you pinned");
    desk.refused("policy new --previous raised.json --out next.json", &[], 9, "one that does not verify");
    desk.refused("policy lint raised.json", &[], 1, "clients would refuse this file");

    assert!(
        !desk.path("state/adyton/reference-seen.json").exists(),
        "nothing that was refused is remembered"
    );
    desk.accepted("reference.json", &signer);
    desk.signed("twin.json", "signer.key", |payload| payload.minimum_release = 1);
    desk.relying("twin.json", &signer, 9, "their signers equivocate");
    desk.refused("policy inspect reference.json --against twin.json", &[], 9, "their content differs");
    desk.signed("expired.json", "signer.key", |payload| {
        payload.version = 2;
        payload.issued = Timestamp::from_millis(now().as_millis() - 10 * DAY);
        payload.expires = payload.issued.plus_millis(9 * DAY);
    });
    desk.relying("expired.json", &signer, 9, "the file expired at");
    desk.refused("policy lint expired.json", &[], 1, "clients would refuse this file");
    desk.signed("early.json", "signer.key", |payload| {
        payload.version = 2;
        payload.issued = now().plus_millis(DAY);
    });
    desk.relying("early.json", &signer, 9, "the clock is behind");
    desk.signed("nothing.json", "signer.key", |payload| {
        payload.version = 2;
        payload.minimum_release = 9;
    });
    desk.relying("nothing.json", &signer, 9, "no image is left");
    desk.accepted("reference.json", &signer);
}

#[test]
fn signed_and_unsigned_do_not_stand_in_for_each_other() {
    let desk = Desk::new();
    let signer = desk.key("signer.key");
    let one = "11".repeat(48);
    let plain = json!({
        "images": [{ "pcr0": one, "pcr1": one, "pcr2": one }], "manifests": [one], "owner": "anyone-at-all",
    });
    fs::write(desk.path("plain.json"), plain.to_string()).unwrap();
    desk.refused("verify --enclave 127.0.0.1:1 --reference plain.json", &[], 4, "127.0.0.1:1");
    desk.relying("plain.json", &signer, 9, "a signer is pinned and the file is not signed");
    let output = Command::new(env!("CARGO_BIN_EXE_adyton"))
        .args(["verify", "--enclave", "127.0.0.1:1", "--reference", "plain.json"])
        .current_dir(&desk.folder)
        .env("ADYTON_SIGNER", format!("{signer},{signer}"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(9));
    desk.refused("policy sign plain.json --key signer.key", &[], 1, "cannot be signed");
    let linted = desk.good("policy lint plain.json", &[]);
    assert!(linted.contains("not signed") && linted.contains("anyone at all"), "{linted}");
    let lame = plain.to_string().replace(&format!(",\"pcr2\":\"{one}\""), "");
    fs::write(desk.path("lame.json"), lame).unwrap();
    let linted = desk.run("policy lint lame.json", &[]);
    assert_eq!((linted.code, linted.out.contains("images[0] leaves out pcr2")), (1, true), "{linted:?}");
    desk.refused("verify --enclave 127.0.0.1:1 --reference lame.json", &[], 9, "images[0] leaves out pcr2");
}

#[test]
fn a_record_that_cannot_be_read_is_not_nothing_seen() {
    let desk = Desk::new();
    let signer = desk.key("signer.key");
    desk.draft("draft.json", &signer, None, &[]);
    desk.good("policy sign draft.json --key signer.key", &[]);
    let seen =
        |file: &str| format!("verify --enclave 127.0.0.1:1 --reference draft.json --seen {file} --signer");
    desk.refused(&seen("own.json"), &[&signer], 4, "127.0.0.1:1");
    assert_eq!(mode(&desk.path("own.json")), 0o600);
    assert!(!desk.path("state").exists());
    fs::write(desk.path("own.json"), "{}").unwrap();
    desk.refused(&seen("own.json"), &[&signer], 1, "the record of versions seen");
    assert_eq!(fs::read(desk.path("own.json")).unwrap(), b"{}");
}

#[test]
fn a_log_folder_is_checked_before_it_is_signed_again() {
    let desk = Desk::new();
    let (signer, log) = (desk.key("signer.key"), desk.key("log.key"));
    let publish = "policy publish --log log --log-key log.key";
    desk.draft("draft.json", &signer, Some(&log), &[]);
    desk.refused(publish, &["draft.json"], 9, "");
    for version in 1..=3 {
        desk.signed(&format!("v{version}.json"), "signer.key", |payload| payload.version = version);
        desk.good(publish, &[&format!("v{version}.json")]);
    }
    desk.signed("twin.json", "signer.key", |payload| {
        payload.version = 3;
        payload.minimum_release = 1;
    });
    desk.refused(publish, &["twin.json"], 1, "version 3 is in the log with other content");
    desk.signed("late.json", "signer.key", |payload| payload.minimum_release = 1);
    desk.refused(publish, &["late.json"], 1, "version 1 is older than 3");
    // Another log under the same key: what a client saw of the first gives it away.
    desk.accepted("v3.json", &signer);
    desk.signed("forked.json", "signer.key", |payload| payload.version = 4);
    desk.good("policy publish --log fork --log-key log.key", &["forked.json"]);
    desk.relying("forked.json", &signer, 9, "the log had 3 leaves and now shows 1");
    desk.refused(publish, &["forked.json"], 1, "a log that this folder does not continue");
    desk.refused("policy inspect v3.json --against forked.json", &[], 9, "1 earlier leaves are kept");
    // A leaf that was written and not signed is dropped; one that was signed cannot be changed.
    let entries = desk.path("log/entries.jsonl");
    let text = fs::read_to_string(&entries).unwrap();
    let last = text.lines().last().unwrap().to_owned();
    fs::write(&entries, format!("{text}{last}\n")).unwrap();
    assert!(desk.good(publish, &["v1.json"]).starts_with("was in the log already, as leaf 0 of 3"));
    fs::write(&entries, text.replace("\"version\":2", "\"version\":7")).unwrap();
    desk.refused(publish, &["v3.json"], 1, "not those that its checkpoint was signed over");
    fs::write(&entries, text.lines().next().unwrap()).unwrap();
    desk.refused(publish, &["v3.json"], 1, "not those that its checkpoint was signed over");
}

#[test]
fn drafts_are_judged_as_clients_will() {
    let desk = Desk::new();
    let signer = desk.key("signer.key");
    let (one, zero) = ("31".repeat(48), "00".repeat(48));
    let new = "policy new --out draft.json";
    let image = ["--pcr0", &one, "--pcr1", &one, "--pcr2", &one];
    let with = |more: &[&str]| image.iter().chain(more).map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let whole = with(&["--name", "a", "--manifest", &one, "--signer-key", &signer, "--anyone-at-all"]);
    let without = |word: &str, and: usize| {
        let at = whole.iter().position(|w| w == word).unwrap();
        let mut left = whole.clone();
        left.drain(at..=at + and);
        left
    };
    let check = |words: Vec<String>, code, said: &str| {
        desk.refused(new, &words.iter().map(String::as_str).collect::<Vec<_>>(), code, said);
    };
    check(whole.clone(), 0, "");
    check(without("--name", 1), 1, "no name");
    check(without("--manifest", 1), 1, "no manifest");
    check(without("--signer-key", 1), 1, "no signer is named");
    check(without("--anyone-at-all", 0), 1, "whose enclave it may be is not answered");
    check(without("--pcr2", 1), 2, "--pcr2");
    check(with(&["--manifest", "no-such-file"]), 1, "no-such-file");
    check(with(&["--pcr0", "12"]), 2, "");
    check(with(&["--deny", "12"]), 2, "2 digits instead of 96");
    check(with(&["--valid-days", "401"]), 2, "401");
    check(whole.iter().map(|word| word.replace(&one, &zero)).collect(), 1, "pcr0 is all zero");
    fs::write(
        desk.path("old.json"),
        r#"{"Measurements":{"HashAlgorithm":"Sha256","PCR0":"","PCR1":"","PCR2":""}}"#,
    )
    .unwrap();
    check(with(&["--measurements", "old.json"]), 1, "96 hexadecimal digits");
}

#[test]
fn a_quorum_signs_and_names_the_next() {
    let desk = Desk::new();
    let (ann, bob, cy) = (desk.key("ann.key"), desk.key("bob.key"), desk.key("cy.key"));
    let pins = format!("{ann},{bob}");
    let verify =
        format!("verify --enclave 127.0.0.1:1 --signer {pins} --signer-threshold 2 --json --reference");
    desk.draft("draft.json", &ann, None, &["--signer-key", &bob, "--threshold", "2"]);
    desk.good("policy sign draft.json --key ann.key --out v1.json", &[]);
    let refused = desk.run(&verify, &["v1.json"]);
    let told: Value = serde_json::from_str(&refused.err).unwrap();
    assert_eq!(
        (refused.code, &told["error"]["code"], &told["error"]["exit"]),
        (9, &json!("reference_refused"), &json!(9))
    );
    desk.good("policy sign v1.json --key bob.key", &[]);
    desk.refused(&verify, &["v1.json"], 4, "127.0.0.1:1");
    desk.good(
        "policy new --previous v1.json --signer-key",
        &[&cy, "--threshold", "1", "--out", "draft2.json"],
    );
    desk.good("policy sign draft2.json --key cy.key --out v2.json", &[]);
    desk.refused(&verify, &["v2.json"], 9, "0 of the signers that the version seen last names for the next");
    desk.good("policy sign v2.json --key ann.key", &[]);
    desk.good("policy sign v2.json --key bob.key", &[]);
    desk.refused(&verify, &["v2.json"], 4, "127.0.0.1:1");
    desk.good("policy new --previous v2.json --out draft3.json", &[]);
    desk.good("policy sign draft3.json --key cy.key --out v3.json", &[]);
    desk.refused(&verify, &["v3.json"], 4, "127.0.0.1:1");
    desk.refused(&verify, &["v2.json"], 9, "version 2, and version 3 was seen before");
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(bytes)
}
