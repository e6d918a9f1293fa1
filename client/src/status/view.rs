//! What a page of metrics says, as numbers under names of our own.

use super::page::Page;
use serde::Serialize;
use std::collections::BTreeMap;
use thiserror::Error;

/// A metric that every host has is not there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0} is missing")]
pub struct Incomplete(&'static str);

/// Host and enclave at one moment. As JSON it is what `adyton --json status` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// Whether the enclave's snapshots arrive.
    pub up: bool,
    /// Boots that the host has seen.
    pub boots: u64,
    /// Seconds since the last snapshot; none if there was none.
    pub snapshot_age_s: Option<f64>,
    /// The enclave, while snapshots arrive.
    pub enclave: Option<Enclave>,
    /// Seconds that the host has been running.
    pub host_uptime_s: f64,
    /// Connections.
    pub connections: Connections,
    /// Bytes relayed.
    pub bytes: Bytes,
    /// The log on the host's disk.
    pub audit_log: AuditLog,
}

/// What the enclave says of itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Enclave {
    /// `starting`, `online`, `quarantined`, `offline`.
    pub state: String,
    /// Whether it is a simulation.
    pub simulated: bool,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Workers that became ready.
    pub workers: u64,
    /// Evidence asked for.
    pub evidence: u64,
    /// Grants given and open.
    pub grants: Grants,
    /// Denials by code.
    pub denials: BTreeMap<String, u64>,
    /// Holds.
    pub holds: Holds,
    /// Receipts signed.
    pub receipts: u64,
    /// Entries of the log, acknowledged and not.
    pub entries: Entries,
    /// How long decisions took.
    pub decision: Times,
    /// How long it was from a grant to its receipt.
    pub grant_to_receipt: Times,
}

/// Grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grants {
    /// All that were given.
    pub given: u64,
    /// Those that are open.
    pub open: u64,
}

/// Holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holds {
    /// Waiting for a person.
    pub pending: u64,
    /// Approved.
    pub approved: u64,
    /// Denied.
    pub denied: u64,
    /// Decided by nobody in time.
    pub expired: u64,
}

/// Entries of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entries {
    /// Acknowledged by the host.
    pub kept: u64,
    /// Not yet.
    pub pending: u64,
}

/// Connections of clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connections {
    /// Open now.
    pub open: u64,
    /// Relayed so far.
    pub relayed: u64,
    /// Refused at the limit.
    pub refused: u64,
    /// Which the enclave did not take.
    pub unreachable: u64,
}

/// Bytes relayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// From clients.
    pub up: u64,
    /// To clients.
    pub down: u64,
}

/// The log on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditLog {
    /// Its size.
    pub bytes: u64,
    /// Whether the disk took the last of it.
    pub disk_ok: bool,
}

/// A histogram in short. Quantiles are interpolated within their bucket, as `histogram_quantile` does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// The median in seconds; none of none.
    pub p50_s: Option<f64>,
    /// 99 of a hundred took no longer.
    pub p99_s: Option<f64>,
    /// The highest bound there is. A quantile that is as high may be higher.
    #[serde(skip)]
    pub highest_s: f64,
}

impl View {
    /// Reads it from a page.
    ///
    /// # Errors
    /// [`Incomplete`] if a metric is missing that hosts have.
    pub fn of(page: &Page) -> Result<View, Incomplete> {
        let one = |name| number(page, name);
        let up = one("adyton_enclave_up")? == 1;
        let connections = |outcome| labelled(page, "adyton_host_connections_total", "outcome", outcome);
        let bytes = |direction| labelled(page, "adyton_host_bytes_total", "direction", direction);
        Ok(View {
            up,
            boots: one("adyton_enclave_boots_total")?,
            snapshot_age_s: page.value("adyton_enclave_snapshot_age_seconds"),
            enclave: if up { Some(Enclave::of(page)?) } else { None },
            host_uptime_s: page.value("adyton_host_uptime_seconds").unwrap_or_default(),
            connections: Connections {
                open: one("adyton_host_connections_open")?,
                relayed: connections("relayed"),
                refused: connections("refused"),
                unreachable: connections("unreachable"),
            },
            bytes: Bytes { up: bytes("up"), down: bytes("down") },
            audit_log: AuditLog {
                bytes: one("adyton_host_audit_log_bytes")?,
                disk_ok: one("adyton_host_audit_disk_ok")? == 1,
            },
        })
    }

    /// The state in a word: that of the enclave, or `down`.
    pub fn state(&self) -> &str {
        self.enclave.as_ref().map_or("down", |enclave| &enclave.state)
    }
}

impl Enclave {
    fn of(page: &Page) -> Result<Enclave, Incomplete> {
        let one = |name| number(page, name);
        let present =
            |name, label| page.each(name, label).find(|(_, value)| *value == 1.0).map(|(word, _)| word);
        let holds = |outcome| labelled(page, "adyton_enclave_holds_total", "outcome", outcome);
        let state = present("adyton_enclave_state", "state").ok_or(Incomplete("adyton_enclave_state"))?;
        let denials = page.each("adyton_enclave_denials_total", "code");
        Ok(Enclave {
            state: state.to_owned(),
            simulated: present("adyton_enclave_info", "simulated") == Some("true"),
            uptime_s: one("adyton_enclave_uptime_seconds")?,
            workers: one("adyton_enclave_workers_started_total")?,
            evidence: one("adyton_enclave_evidence_requests_total")?,
            grants: Grants {
                given: one("adyton_enclave_grants_total")?,
                open: one("adyton_enclave_grants_open")?,
            },
            denials: denials.map(|(code, value)| (code.to_owned(), whole(value))).collect(),
            holds: Holds {
                pending: one("adyton_enclave_holds_pending")?,
                approved: holds("approved"),
                denied: holds("denied"),
                expired: holds("expired"),
            },
            receipts: one("adyton_enclave_receipts_total")?,
            entries: Entries {
                kept: one("adyton_enclave_audit_entries_total")?,
                pending: one("adyton_enclave_audit_entries_pending")?,
            },
            decision: Times::of(page, "adyton_enclave_decision_seconds_bucket"),
            grant_to_receipt: Times::of(page, "adyton_enclave_grant_to_receipt_seconds_bucket"),
        })
    }
}

impl Times {
    fn of(page: &Page, buckets: &str) -> Times {
        let bounds = page.each(buckets, "le").filter_map(|(le, count)| Some((bound(le)?, count)));
        let mut bounds: Vec<(f64, f64)> = bounds.collect();
        bounds.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let all = bounds.last().map_or(0.0, |(_, count)| *count);
        let highest = bounds.iter().rev().map(|(bound, _)| *bound).find(|bound| bound.is_finite());
        let at = |share: f64| (all > 0.0).then(|| quantile(&bounds, share * all));
        Times { count: whole(all), p50_s: at(0.5), p99_s: at(0.99), highest_s: highest.unwrap_or_default() }
    }
}

/// Where the so-manieth lies: on the line between the bounds of its bucket, or at the highest bound there is.
fn quantile(bounds: &[(f64, f64)], rank: f64) -> f64 {
    let (mut below, mut counted) = (0.0, 0.0);
    for (bound, count) in bounds {
        if *count >= rank {
            let inside = count - counted;
            let share = if inside > 0.0 { (rank - counted) / inside } else { 0.0 };
            return if bound.is_finite() { below + (bound - below) * share } else { below };
        }
        (below, counted) = (*bound, *count);
    }
    below
}

fn bound(le: &str) -> Option<f64> {
    if le == "+Inf" { Some(f64::INFINITY) } else { le.parse().ok().filter(|bound: &f64| bound.is_finite()) }
}

fn number(page: &Page, name: &'static str) -> Result<u64, Incomplete> {
    page.value(name).map(whole).ok_or(Incomplete(name))
}

fn labelled(page: &Page, name: &str, label: &str, wanted: &str) -> u64 {
    page.each(name, label).find(|(word, _)| *word == wanted).map_or(0, |(_, value)| whole(value))
}

/// Conversion saturates: what is negative is 0.
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(buckets: &[(&str, u64)]) -> Times {
        let lines = buckets.iter().map(|(le, count)| format!("h_bucket{{le=\"{le}\"}} {count}\n"));
        let page = format!("# TYPE h histogram\n{}", lines.collect::<String>());
        Times::of(&Page::parse(&page).unwrap(), "h_bucket")
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let none = times(&[("1", 0), ("+Inf", 0)]);
        assert_eq!((none.count, none.p50_s, none.p99_s), (0, None, None));
        let even = times(&[("1", 50), ("2", 100), ("+Inf", 100)]);
        assert_eq!((even.count, even.p50_s, even.p99_s), (100, Some(1.0), Some(1.98)));
        let first = times(&[("10", 4), ("+Inf", 4)]);
        assert_eq!(first.p50_s, Some(5.0));
        let above = times(&[("1", 1), ("10", 1), ("+Inf", 9)]);
        assert_eq!((above.p50_s, above.p99_s, above.highest_s), (Some(10.0), Some(10.0), 10.0));
        // In the order of numbers, not of text.
        assert_eq!(times(&[("10", 2), ("2", 1), ("+Inf", 2)]).p99_s, Some(2.0 + 8.0 * 0.98));
    }

    #[test]
    fn an_enclave_that_is_down_has_no_state_of_its_own() {
        let base = "# TYPE adyton_enclave_up gauge\nadyton_enclave_up 0\n# TYPE adyton_enclave_boots_total counter\n\
                    adyton_enclave_boots_total 2\n# TYPE adyton_host_connections_open gauge\nadyton_host_connections_open 1\n\
                    # TYPE adyton_host_audit_log_bytes gauge\nadyton_host_audit_log_bytes 9\n\
                    # TYPE adyton_host_audit_disk_ok gauge\nadyton_host_audit_disk_ok 0\n";
        let view = View::of(&Page::parse(base).unwrap()).unwrap();
        assert_eq!((view.state(), view.boots, view.audit_log.disk_ok), ("down", 2, false));
        let up = base.replace("adyton_enclave_up 0", "adyton_enclave_up 1");
        assert_eq!(View::of(&Page::parse(&up).unwrap()), Err(Incomplete("adyton_enclave_state")));
        assert_eq!(View::of(&Page::default()), Err(Incomplete("adyton_enclave_up")));
    }
}
