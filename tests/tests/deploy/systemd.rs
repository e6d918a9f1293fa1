//! The unit, its user, its folders and the allocator's file.

use crate::{program, run, said, shipped, skipped};
use serde_json::Value;
use std::fs;
use std::process::Command;

const UNIT: &str = "adyton-host.service";
/// `systemd-analyze security` gives 0 (locked down) to 100; what it calls OK ends at 40. The unit has 20: what is
/// left is the network, the devices and the group, which it needs.
const MOST_EXPOSED: &str = "20";

fn unit() -> String {
    fs::read_to_string(shipped("systemd").join(UNIT)).unwrap()
}

/// Values of a key, in order.
fn values(unit: &str, key: &str) -> Vec<String> {
    let of = |line: &str| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
    unit.lines().filter_map(of).collect()
}

/// The command of the unit, as systemd splits it, but for the variable.
fn command() -> Vec<String> {
    let [line] = values(&unit(), "ExecStart").try_into().unwrap();
    let words = line.split_whitespace().filter(|word| !word.starts_with('$'));
    words.map(str::to_owned).collect()
}

/// What the host would do with the unit's command line.
fn plan() -> Value {
    let command = command();
    let (first, arguments) = command.split_first().unwrap();
    assert_eq!(first, "/usr/bin/adyton-host");
    let planned = Command::new(program("adyton-host")).args(arguments).arg("--dry-run").output().unwrap();
    assert!(planned.status.success(), "{}", said(&planned));
    serde_json::from_slice(&planned.stdout).unwrap()
}

#[test]
fn the_unit_uses_options_that_the_host_has() {
    let plan = plan();
    assert_eq!(plan["started_by"], "nitro-cli");
    assert_eq!(plan["enclaves"], serde_json::json!(["vsock:16", "vsock:17"]));
    // systemd must not kill what still drains.
    let stop: u64 = values(&unit(), "TimeoutStopSec")[0].parse().unwrap();
    assert!(stop >= plan["drain_s"].as_u64().unwrap() + 30);
    // And an option that it does not have is noticed.
    let mut wrong = command();
    wrong.push("--no-such-option".into());
    let planned = Command::new(program("adyton-host")).args(&wrong[1..]).arg("--dry-run").output().unwrap();
    assert_eq!(planned.status.code(), Some(2));
}

#[test]
fn the_allocator_has_what_the_unit_needs() {
    let yaml = fs::read_to_string(shipped("systemd").join("allocator.yaml")).unwrap();
    let number = |key: &str| -> u64 {
        let line = yaml.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).unwrap();
        line.parse().unwrap()
    };
    let plan = plan();
    let enclaves = plan["enclaves"].as_array().unwrap().len() as u64;
    assert!(number("memory_mib") >= enclaves * plan["memory_mib"].as_u64().unwrap());
    assert!(number("cpu_count") >= enclaves * plan["cpus"].as_u64().unwrap());
    let keys = yaml.lines().filter(|line| !line.starts_with(['#', '-'])).count();
    assert_eq!(keys, 2, "the allocator knows these two keys (and cpu_pool, which excludes cpu_count)");
}

/// A copy whose programs are those of this machine: `verify` looks whether they are there.
fn copy() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(UNIT);
    fs::write(&path, unit().replace("/usr/bin/adyton-host", &program("adyton-host").display().to_string()))
        .unwrap();
    (folder, path)
}

#[test]
fn systemd_reads_the_unit_without_a_complaint() {
    let (_folder, path) = copy();
    let Some(verified) = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path)) else {
        return skipped("systemd-analyze is not here; the unit was not verified");
    };
    // It also complains of units of this machine; ours must not be among them.
    let complaints = said(&verified);
    assert!(verified.status.success() && !complaints.contains(UNIT), "{complaints}");
    fs::write(&path, unit().replace("ProtectHome=yes", "ProtectHome=perhaps\nProtectHuose=yes")).unwrap();
    let verified = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path)).unwrap();
    assert!(said(&verified).contains("ProtectHuose"), "a wrong unit is not noticed");
}

#[test]
fn the_unit_is_locked_down() {
    let (_folder, path) = copy();
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--no-pager", "--offline=true", "--threshold", MOST_EXPOSED]).arg(&path);
    match run(&mut analyze) {
        None => skipped("systemd-analyze is not here; the unit's exposure was not judged"),
        Some(judged) => assert!(judged.status.success(), "{}", said(&judged)),
    }
    let text = unit();
    for (key, value) in [
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("DevicePolicy", "closed"),
        ("User", "adyton"),
        ("LimitCORE", "0"),
        ("MemoryDenyWriteExecute", "yes"),
    ] {
        assert_eq!(values(&text, key), [value], "{key}");
    }
}

#[test]
fn the_user_and_the_folders_can_be_made() {
    for (program, file) in
        [("systemd-sysusers", "adyton.sysusers.conf"), ("systemd-tmpfiles", "adyton.tmpfiles.conf")]
    {
        let root = tempfile::tempdir().unwrap();
        for folder in ["etc", "var/lib", "usr/lib"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        if file == "adyton.tmpfiles.conf" {
            // Users of the new root are those in its own files.
            fs::write(root.path().join("etc/passwd"), "root:x:0:0::/:\nadyton:x:990:990::/:\n").unwrap();
            fs::write(root.path().join("etc/group"), "root:x:0:\nadyton:x:990:\n").unwrap();
        }
        let mut command = Command::new(program);
        if program == "systemd-tmpfiles" {
            command.arg("--create");
        }
        command.arg(format!("--root={}", root.path().display())).arg(shipped("systemd").join(file));
        match run(&mut command) {
            None => skipped(&format!("{program} is not here; {file} was not tried")),
            Some(made) => {
                assert!(made.status.success(), "{}", said(&made));
                let expected = if program == "systemd-tmpfiles" {
                    root.path().join("var/lib/adyton/release").is_dir()
                } else {
                    fs::read_to_string(root.path().join("etc/passwd")).unwrap().contains("adyton:")
                        && fs::read_to_string(root.path().join("etc/group")).unwrap().contains("ne:")
                };
                assert!(expected, "{file} made nothing");
            }
        }
    }
}
