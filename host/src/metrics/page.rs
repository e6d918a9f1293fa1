//! Which metrics there are. `docs/metrics.md` has a line for each, and a test compares.

use super::Board;
use super::text::Text;
use crate::pool::{Member, Pool};
use crate::relay::Counters;
use adyton_wire::metrics::{ANSWER_BOUNDS_US, DECISION_BOUNDS_US, DENIALS, Snapshot, State};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The whole page.
pub(super) fn write(board: &Board, now: Instant) -> String {
    let mut text = Text::default();
    host(&mut text, board, now);
    let (last, boots) = {
        let enclave = board.lock();
        (enclave.last, enclave.boots)
    };
    let age = last.map(|last| now.saturating_duration_since(last.at));
    let present = last.filter(|last| last.fresh(now));
    let up = u8::from(present.is_some());
    text.gauge("adyton_enclave_up", "Whether snapshots of the enclave arrive: 1 yes, 0 no.", up);
    text.counter(
        "adyton_enclave_boots_total",
        "Boots of the enclave of which this host had a snapshot.",
        boots,
    );
    if let Some(age) = age {
        let help = "How old the last snapshot of the enclave is.";
        text.gauge("adyton_enclave_snapshot_age_seconds", help, age.as_secs_f64());
    }
    if let Some(present) = present {
        enclave(&mut text, &present.snapshot);
        decisions(&mut text, &present.snapshot);
    }
    text.finish()
}

/// What the host knows of each of its enclaves, whichever the page is of.
pub(super) fn pool(pool: &Pool, now: Instant) -> String {
    let mut text = Text::default();
    let each = |of: &dyn Fn(&Member) -> u64| {
        pool.members().iter().map(|member| (member.number.to_string(), of(member))).collect::<Vec<_>>()
    };
    text.each(
        ("adyton_host_enclave_connections_open", "gauge", "Connections open at each enclave."),
        "enclave",
        each(&Member::open),
    );
    text.each(
        ("adyton_host_enclave_ready", "gauge", "Whether new connections go to it: 1 yes, 0 no."),
        "enclave",
        each(&|member| u64::from(pool.ready_member(member, now))),
    );
    text.each(
        ("adyton_host_enclave_starts_total", "counter", "How often this host started it."),
        "enclave",
        each(&Member::starts),
    );
    text.finish()
}

fn host(text: &mut Text, board: &Board, now: Instant) {
    let Counters { open, relayed, refused, unreachable, upward, downward } = &*board.relay;
    let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let uptime = now.saturating_duration_since(board.since).as_secs_f64();
    text.gauge("adyton_host_uptime_seconds", "How long this host has been running.", uptime);
    text.gauge("adyton_host_connections_open", "Connections that are relayed now.", get(open));
    text.each(
        ("adyton_host_connections_total", "counter", "Connections of clients, by what became of them."),
        "outcome",
        [("relayed", get(relayed)), ("refused", get(refused)), ("unreachable", get(unreachable))],
    );
    text.each(
        ("adyton_host_bytes_total", "counter", "Bytes relayed: up from clients, down to them."),
        "direction",
        [("up", get(upward)), ("down", get(downward))],
    );
    let (bytes, works) = board.disk.read();
    text.gauge("adyton_host_audit_log_bytes", "Size of the audit log of the enclave's current boot.", bytes);
    let help = "Whether the disk took the last of the audit log: 1 yes, 0 no.";
    text.gauge("adyton_host_audit_disk_ok", help, u8::from(works));
}

fn enclave(text: &mut Text, of: &Snapshot) {
    let simulated = if of.simulated { "true" } else { "false" };
    let info = ("adyton_enclave_info", "gauge", "Always 1; the label says whether it is a simulation.");
    text.each(info, "simulated", [(simulated, 1)]);
    text.gauge("adyton_enclave_uptime_seconds", "How long the enclave has been running.", of.uptime_s);
    let state =
        ("adyton_enclave_state", "gauge", "1 for the state that the enclave is in, 0 for the others.");
    text.each(state, "state", State::ALL.map(|state| (state.word(), u64::from(state == of.state))));
    let help = "Workers that became ready in this boot.";
    text.counter("adyton_enclave_workers_started_total", help, of.workers);
    let help = "Evidence asked for by clients.";
    text.counter("adyton_enclave_evidence_requests_total", help, of.evidence);
    text.counter("adyton_enclave_receipts_total", "Receipts signed.", of.receipts);
    let help = "Entries of the audit log that the host has acknowledged.";
    text.counter("adyton_enclave_audit_entries_total", help, of.entries_kept);
    let help = "Entries of the audit log that wait for the host.";
    text.gauge("adyton_enclave_audit_entries_pending", help, of.entries_pending);
}

fn decisions(text: &mut Text, of: &Snapshot) {
    text.counter("adyton_enclave_grants_total", "Grants given to workers.", of.grants);
    text.gauge("adyton_enclave_grants_open", "Grants that are open.", of.grants_open);
    let denials = ("adyton_enclave_denials_total", "counter", "Denials, by the code that clients see.");
    text.each(denials, "code", DENIALS.into_iter().zip(of.denials));
    text.gauge("adyton_enclave_holds_pending", "Requests that wait for a person.", of.holds_pending);
    text.each(
        (
            "adyton_enclave_holds_total",
            "counter",
            "Requests that waited for a person, by what became of them.",
        ),
        "outcome",
        [("approved", of.holds_approved), ("denied", of.holds_denied), ("expired", of.holds_expired)],
    );
    text.histogram(
        "adyton_enclave_decision_seconds",
        "How long decisions took inside the sentinel.",
        &DECISION_BOUNDS_US,
        &of.decision,
    );
    text.histogram(
        "adyton_enclave_grant_to_receipt_seconds",
        "How long it was from a grant to its receipt.",
        &ANSWER_BOUNDS_US,
        &of.answer,
    );
}
