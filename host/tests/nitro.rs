//! What `nitro-cli` is told, and what becomes of its failures, with a FAKE in its place: `fake-nitro-cli` starts no enclave.
//!
//! # Does not
//! - Show that an enclave starts. That needs an instance with Nitro Enclaves.

#![allow(clippy::unwrap_used)] // a test that cannot go on ends

use adyton_host::enclave::Enclave;
use adyton_host::launch::{Launch, LaunchError};
use adyton_host::nitro::{Image, NitroCli, NitroError};
use std::fs;
use std::path::{Path, PathBuf};

const ID: &str = "i-05f6ed443aEXAMPLE-enc173dfe3eEXAMPLE";
const RUN: &str = "run-enclave --enclave-name adyton-16 --eif-path /images/a b.eif --cpu-count 2 --memory 4096 --enclave-cid 16";

/// A folder with the fake, and what it answers.
struct Fake(PathBuf);

impl Fake {
    fn new(name: &str, answers: &[(&str, &str)]) -> Fake {
        let folder = std::env::temp_dir().join(format!("adyton-fake-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-nitro-cli");
        std::os::unix::fs::symlink(fake, folder.join("nitro-cli")).unwrap();
        for (file, text) in answers {
            fs::write(folder.join(file), text).unwrap();
        }
        Fake(folder)
    }

    fn cli(&self) -> NitroCli {
        NitroCli::new(self.0.join("nitro-cli"))
    }

    async fn run(&self) -> Result<String, NitroError> {
        let image = Image { eif: "/images/a b.eif".into(), cpus: 2, memory_mib: 4096 };
        self.cli().run(&image, 16).await
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.0.join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn started() -> String {
    format!("Started enclave with enclave-cid: 16\n{{ \"EnclaveID\": \"{ID}\", \"EnclaveCID\": 16 }}\n")
}

fn listed(name: &str, cid: u32) -> String {
    format!(
        r#"[{{ "EnclaveName": "{name}", "EnclaveID": "{ID}", "EnclaveCID": {cid}, "State": "RUNNING", "Flags": "NONE" }}]"#
    )
}

#[tokio::test]
async fn it_is_told_the_image_its_size_and_its_address_and_never_the_debug_mode() {
    let fake = Fake::new("run", &[("describe-enclaves.out", "[]"), ("run-enclave.out", &started())]);
    assert_eq!(fake.run().await.unwrap(), ID);
    assert_eq!(fake.calls(), ["describe-enclaves", RUN]);
    fake.cli().terminate(ID).await.unwrap();
    assert_eq!(fake.calls().last().unwrap(), &format!("terminate-enclave --enclave-id {ID}"));
}

#[tokio::test]
async fn what_a_killed_host_left_behind_is_ended_first_and_what_is_not_ours_is_not() {
    let ours = Fake::new(
        "ours",
        &[("describe-enclaves.out", &listed("adyton-16", 16)), ("run-enclave.out", &started())],
    );
    ours.run().await.unwrap();
    let end = format!("terminate-enclave --enclave-id {ID}");
    assert_eq!(ours.calls(), ["describe-enclaves", &end, RUN]);

    let other = Fake::new("other", &[("describe-enclaves.out", &listed("payroll", 16))]);
    let error = other.run().await.unwrap_err();
    assert!(matches!(error, NitroError::Taken { cid: 16, .. }), "{error}");
    assert_eq!(other.calls(), ["describe-enclaves"]);
    let beside = Fake::new(
        "beside",
        &[("describe-enclaves.out", &listed("payroll", 17)), ("run-enclave.out", &started())],
    );
    beside.run().await.unwrap();
    assert_eq!(beside.calls(), ["describe-enclaves", RUN]);
}

#[tokio::test]
async fn each_failure_is_its_own_error() {
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], fn(&NitroError) -> bool);
    let table: [Case<'_>; 5] = [
        ("no-memory", &[("run-enclave.code", "39")], |e| matches!(e, NitroError::Failed("run-enclave", _))),
        ("no-answer", &[], |e| matches!(e, NitroError::Output("run-enclave"))),
        ("words", &[("run-enclave.out", "it is started")], |e| {
            matches!(e, NitroError::Output("run-enclave"))
        }),
        ("flood", &[("run-enclave.flood", "")], |e| {
            matches!(e, NitroError::Output(_) | NitroError::Failed(..))
        }),
        ("another", &[("run-enclave.out", r#"{"EnclaveID": "i-1-enc1", "EnclaveCID": 99}"#)], |e| {
            matches!(e, NitroError::Output("run-enclave"))
        }),
    ];
    for (name, answers, expected) in table {
        let fake = Fake::new(name, &[&[("describe-enclaves.out", "[]")], answers].concat());
        let error = fake.run().await.unwrap_err();
        assert!(expected(&error), "{name}: {error}");
    }
    let deaf = Fake::new("deaf", &[("describe-enclaves.code", "1")]);
    assert!(matches!(deaf.run().await, Err(NitroError::Failed("describe-enclaves", _))));
    assert_eq!(deaf.calls(), ["describe-enclaves"], "nothing is started where nothing can be seen");
}

#[tokio::test]
async fn an_enclave_that_is_no_longer_listed_has_ended() {
    let fake = Fake::new("ended", &[("describe-enclaves.out", "[]"), ("run-enclave.out", &started())]);
    let image = Image { eif: "/images/a b.eif".into(), cpus: 2, memory_mib: 4096 };
    let launch = Launch::Nitro(fake.cli(), image);
    let mut running = launch.start(&Enclave::Vsock(16)).await.unwrap();
    assert_eq!(running.ended().await.unwrap(), "nitro-cli no longer lists it");
    fs::write(fake.0.join("terminate-enclave.code"), "1").unwrap();
    let stopped = running.stop().await;
    assert!(matches!(stopped, Err(LaunchError::Nitro(NitroError::Failed("terminate-enclave", _)))));
}

/// The real program on a made-up instance: everything is as it should be, and then one thing is not.
#[test]
fn doctor_ends_with_0_where_all_is_well_and_with_1_where_something_is_wrong() {
    let fake = Fake::new("doctor", &[("describe-enclaves.out", "[]")]);
    let root = fake.0.join("root");
    for (file, text) in [
        ("dev/nitro_enclaves", ""),
        ("dev/vsock", ""),
        ("sys/module/nitro_enclaves/parameters/ne_cpus", "2-3"),
        ("etc/nitro_enclaves/allocator.yaml", "memory_mib: 2048"),
        ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "1024"),
        ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "1024"),
        ("run/chrony/chronyd.pid", "1"),
    ] {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let doctor = |memory: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_adyton-host"));
        command.args(["doctor", "--json", "--memory-mib", memory, "--root"]).arg(&root);
        let output = command.arg("--nitro-cli").arg(fake.0.join("nitro-cli")).output().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), said["checks"].as_array().unwrap().clone())
    };
    let (code, checks) = doctor("2048");
    assert_eq!(code, Some(0), "{checks:?}");
    assert!(checks.iter().all(|check| check["state"] == "good" || check["state"] == "skipped"), "{checks:?}");
    let (code, checks) = doctor("4096");
    let wrong: Vec<&str> =
        checks.iter().filter(|c| c["state"] == "wrong").map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!((code, wrong), (Some(1), vec!["allocator", "hugepages"]));
}
