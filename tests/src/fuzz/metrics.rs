//! Snapshots of metrics, as a host reads them from the bus.
//!
//! # Promises
//! - What was read and is written again is the same bytes.
//!
//! # Does not
//! - Show them; the text for Prometheus is made of numbers and fixed names only.
//!
//! # Trusts
//! - Nobody.

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

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let quiet = Snapshot::default();
    let mut busy = Snapshot { state: State::Online, simulated: true, grants: 7, receipts: 6, ..quiet };
    busy.decision.observe(&DECISION_BOUNDS_US, Duration::from_micros(120));
    busy.denials = [1, 2, 3, 4, 5, 6, 7, 8];
    vec![quiet.encode().to_vec(), busy.encode().to_vec()]
}
