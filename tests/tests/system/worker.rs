//! What the running worker may do, as the kernel tells it.

use crate::support::world;
use adyton_wire::ports::{AUDIT_PORT, BLOB_PORT, EGRESS_PORT, METRICS_PORT};
use std::collections::BTreeSet;
use std::fs;

/// The value of a line `Name:  value` in a file of `/proc`.
fn line(text: &str, name: &str) -> String {
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    found.unwrap_or_else(|| panic!("no line {name}")).split_whitespace().next().unwrap().to_owned()
}

#[test]
fn the_running_worker_is_locked_down() {
    let world = world();
    let worker = world.descendants("adyton-sim-worker").unwrap()[0];
    let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    assert_eq!(line(&status, "NoNewPrivs:"), "1");
    // 2 is SECCOMP_MODE_FILTER (proc(5)); one filter hides `clone3`, one kills, one allows.
    assert_eq!((line(&status, "Seccomp:"), line(&status, "Seccomp_filters:")), ("2".into(), "3".into()));
    let limits = fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
    assert_eq!(line(&limits, "Max core file size"), "0");
}

#[test]
fn each_thread_of_the_worker_is_under_the_filters() {
    let world = world();
    let worker = world.descendants("adyton-sim-worker").unwrap()[0];
    let threads: Vec<_> = fs::read_dir(format!("/proc/{worker}/task")).unwrap().flatten().collect();
    assert!(threads.len() > 1, "the engine has threads of its own");
    for thread in threads {
        let status = fs::read_to_string(thread.path().join("status")).unwrap();
        assert_eq!(line(&status, "Seccomp:"), "2");
    }
}

/// The sockets that a process holds, by inode.
fn sockets(pid: u32) -> BTreeSet<String> {
    let held = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let names = held.filter_map(|fd| fs::read_link(fd.path()).ok()?.to_str().map(str::to_owned));
    let inode = |name: String| Some(name.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
    names.filter_map(inode).collect()
}

/// A table of `/proc/net`, in columns.
fn table(name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    text.lines().skip(1).map(columns).collect()
}

#[test]
fn nobody_talks_to_whom_the_ports_do_not_name() {
    let mut world = world();
    let host = world.host().id();
    let enclave = world.descendants("adyton-sim-enclave").unwrap()[0];
    let worker = world.descendants("adyton-sim-worker").unwrap()[0];
    let inside: BTreeSet<String> = sockets(enclave).union(&sockets(worker)).cloned().collect();
    assert!(!inside.is_empty());
    // The tenth column of these is the inode (proc(5)).
    for protocol in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"] {
        let held =
            table(protocol).into_iter().filter(|row| row.get(9).is_some_and(|inode| inside.contains(inode)));
        assert_eq!(held.count(), 0, "the enclave holds a socket of {protocol}");
    }
    let bus = world.path("bus").display().to_string();
    // Num RefCount Protocol Flags Type St Inode Path; 03 is connected, 01 is not.
    let unix = table("unix");
    let of = |held: &BTreeSet<String>, state: &str| -> BTreeSet<String> {
        let ours = unix.iter().filter(|row| row[5] == state && held.contains(&row[6]));
        ours.filter_map(|row| row.get(7)?.strip_prefix(&bus).map(str::to_owned)).collect()
    };
    assert_eq!(
        of(&sockets(enclave), "01"),
        BTreeSet::from([String::new()]),
        "the sentinel listens on the bus alone"
    );
    assert!(of(&sockets(worker), "01").is_empty(), "the worker listens");
    let ports = [BLOB_PORT, AUDIT_PORT, METRICS_PORT, EGRESS_PORT].map(|port| format!("_{port}"));
    let reached = of(&sockets(host), "03");
    assert!(reached.iter().all(|end| ports.contains(end)), "{reached:?}");
    assert!(reached.contains(&format!("_{AUDIT_PORT}")));
}
