//! Snapshots of metrics, as a host reads them from the bus; and its page, as `adyton status` reads it.
//!
//! # Promises
//! - A snapshot that was read and is written again is the same bytes.
//! - No word of a page that is shown could move a cursor.
//!
//! # Does not
//! - Show them; the text for Prometheus is made of numbers and fixed names only.
//!
//! # Trusts
//! - Nobody.

use adyton_client::status::page::{MAX_PAGE, Page};
use adyton_client::status::view::View;
use adyton_wire::metrics::{DECISION_BOUNDS_US, SNAPSHOT_LEN, Snapshot, State};
use std::time::Duration;

/// A snapshot.
pub fn metrics_snapshot(data: &[u8]) {
    if let Some(bytes) = data.first_chunk::<SNAPSHOT_LEN>()
        && let Ok(snapshot) = Snapshot::decode(bytes)
    {
        assert_eq!(snapshot.encode(), *bytes);
        let mut decision = snapshot.decision;
        decision.observe(&DECISION_BOUNDS_US, Duration::from_nanos(snapshot.uptime_s));
        assert!(decision.sum_ns >= snapshot.decision.sum_ns);
    }
}

/// A page in Prometheus' text format.
pub fn metrics_page(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(page) = Page::parse(text) else { return };
    assert!(text.len() <= MAX_PAGE && page.len() <= text.lines().count());
    let Ok(view) = View::of(&page) else { return };
    let denials = view.enclave.iter().flat_map(|enclave| enclave.denials.keys());
    for word in denials.map(String::as_str).chain([view.state()]) {
        assert!(word.bytes().all(|byte| byte.is_ascii_graphic()), "{word:?}");
    }
    assert!(!serde_json::to_string(&view).unwrap().is_empty());
}

pub(super) fn page_seeds() -> Vec<Vec<u8>> {
    let gauges = [
        "up 1",
        "boots_total 1",
        "snapshot_age_seconds 0.5",
        "info{simulated=\"true\"} 1",
        "uptime_seconds 3",
        "state{state=\"online\"} 1",
        "workers_started_total 1",
        "evidence_requests_total 2",
        "receipts_total 3",
        "audit_entries_total 9",
        "audit_entries_pending 1",
        "grants_total 4",
        "grants_open 1",
        "holds_pending 0",
        "denials_total{code=\"forbidden\"} 2",
        "holds_total{outcome=\"approved\"} 0",
    ];
    let host =
        ["connections_open 1", "bytes_total{direction=\"up\"} 70", "audit_log_bytes 500", "audit_disk_ok 1"];
    let family = |prefix: &str, line: &str| {
        let name = line.split([' ', '{']).next().unwrap();
        format!("# HELP {prefix}{name} Words.\n# TYPE {prefix}{name} gauge\n{prefix}{line}\n")
    };
    let mut page: String = host.iter().map(|line| family("adyton_host_", line)).collect();
    page.extend(gauges.iter().map(|line| family("adyton_enclave_", line)));
    let down = page.replace("adyton_enclave_up 1", "adyton_enclave_up 0");
    page.push_str(
        "# TYPE adyton_enclave_decision_seconds histogram\nadyton_enclave_decision_seconds_bucket{le=\"0.1\"} 1\n\
         adyton_enclave_decision_seconds_bucket{le=\"+Inf\"} 2\nadyton_enclave_decision_seconds_sum 0.3\n\
         adyton_enclave_decision_seconds_count 2\n",
    );
    vec![page.into_bytes(), down.into_bytes()]
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let quiet = Snapshot::default();
    let mut busy = Snapshot { state: State::Online, simulated: true, grants: 7, receipts: 6, ..quiet };
    busy.decision.observe(&DECISION_BOUNDS_US, Duration::from_micros(120));
    busy.denials = std::array::from_fn(|n| n as u64);
    vec![quiet.encode().to_vec(), busy.encode().to_vec()]
}
