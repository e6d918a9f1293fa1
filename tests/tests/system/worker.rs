//! What the running worker may do, as the kernel tells it.

use crate::support::world;
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
    // 2 is SECCOMP_MODE_FILTER (proc(5)); one filter kills, one allows.
    assert_eq!((line(&status, "Seccomp:"), line(&status, "Seccomp_filters:")), ("2".into(), "2".into()));
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
