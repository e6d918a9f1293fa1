//! `adyton status`: what a host's metrics say, once or again and again.

use super::exit::Failure;
use super::screen::{Line, Screen};
use super::show::{DIM, GREEN, RED, YELLOW};
use crate::status::view::{Enclave, Times, View};
use crate::status::{DEFAULT_URL, StatusError, Url, ask};
use clap::Args;
use serde_json::json;
use std::io::{self, ErrorKind};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

/// As many entries wait for the host in a moment only; more are a disk that lags.
const MANY_PENDING: u64 = 100;

#[derive(Debug, Args)]
pub(super) struct Status {
    /// Where the host serves metrics.
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL)]
    metrics: Url,
    /// Show it once, and end with 3 if the enclave is not online.
    #[arg(long)]
    once: bool,
    /// Seconds from one look to the next.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, conflicts_with = "once",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

impl From<StatusError> for Failure {
    fn from(error: StatusError) -> Failure {
        Failure::metrics(error)
    }
}

pub(super) async fn run(status: &Status, json: bool) -> Result<(), Failure> {
    let mut screen = Screen::new(!status.once && !json);
    // A host that never answered is an error; one that stops answering is shown.
    let first = ask(&status.metrics).await?;
    let shown = show(&mut screen, status, &Ok(first.clone()), json);
    if status.once {
        written(shown)?;
        return if first.state() == "online" { Ok(()) } else { Err(Failure::not_online(first.state())) };
    }
    let (mut interrupt, mut terminate) =
        (ended_by(SignalKind::interrupt())?, ended_by(SignalKind::terminate())?);
    let watched = tokio::select! {
        watched = watch(&mut screen, status, json, shown) => watched,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    screen.leave();
    written(watched)
}

async fn watch(screen: &mut Screen, status: &Status, json: bool, first: io::Result<()>) -> io::Result<()> {
    first?;
    let mut period = interval(Duration::from_secs(status.interval));
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    period.tick().await;
    loop {
        period.tick().await;
        let view = ask(&status.metrics).await.map_err(|e| e.to_string());
        show(screen, status, &view, json)?;
    }
}

fn ended_by(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(Failure::internal)
}

/// A reader that went away has seen enough.
fn written(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Failure::internal(e)),
        _ => Ok(()),
    }
}

fn show(screen: &mut Screen, status: &Status, view: &Result<View, String>, json: bool) -> io::Result<()> {
    if json {
        return screen.print(&as_json(view).to_string());
    }
    let mut lines = match view {
        Ok(view) => lines(view),
        Err(why) => vec![Line::of("enclave").styled(RED, "unknown").plain(format!("  {why}"))],
    };
    if !status.once {
        let every = format!("{}  each {} s, Ctrl-C ends", status.metrics, status.interval);
        lines.insert(0, Line::default().styled(DIM, every));
    }
    screen.draw(&lines)
}

fn as_json(view: &Result<View, String>) -> serde_json::Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let at_ms = u64::try_from(now).unwrap_or(u64::MAX);
    match view {
        Ok(view) => json!({ "at_ms": at_ms, "state": view.state(), "status": view }),
        Err(why) => json!({ "at_ms": at_ms, "state": "unknown", "error": why }),
    }
}

fn lines(view: &View) -> Vec<Line> {
    let mut lines = vec![state(view)];
    if let Some(enclave) = &view.enclave {
        lines.extend(inside(enclave));
    }
    lines.extend([connections(view), traffic(view), audit(view)]);
    lines
}

fn state(view: &View) -> Line {
    let style = match view.state() {
        "online" => GREEN,
        "starting" => YELLOW,
        _ => RED,
    };
    let line = Line::of("enclave").styled(style, view.state());
    let age = view.snapshot_age_s.map_or("never seen".into(), |age| format!("seen {age:.1} s ago"));
    let boots = format!("boots {}", view.boots);
    match &view.enclave {
        None => line.plain(format!("   {boots}   {age}")),
        Some(enclave) => {
            let line = if enclave.simulated { line.styled(YELLOW, " SIMULATED") } else { line };
            let up = lasted(enclave.uptime_s);
            line.plain(format!("   up {up}   {boots}   workers {}   {age}", enclave.workers))
        }
    }
}

fn inside(enclave: &Enclave) -> [Line; 5] {
    let grants = &enclave.grants;
    let (holds, pending) = (&enclave.holds, enclave.holds.pending);
    let ended =
        format!("   approved {}   denied {}   expired {}", holds.approved, holds.denied, holds.expired);
    [
        Line::of("decisions").plain(times(&enclave.decision)),
        Line::of("answers").plain(format!(
            "{}   open {}   grants {}",
            times(&enclave.grant_to_receipt),
            grants.open,
            grants.given
        )),
        denials(enclave),
        Line::of("holds").marked(pending > 0, YELLOW, format!("waiting {pending}")).plain(ended),
        Line::of("evidence").plain(enclave.evidence.to_string()),
    ]
}

fn denials(enclave: &Enclave) -> Line {
    let counted = enclave.denials.iter().filter(|(_, count)| **count > 0);
    let words: Vec<String> = counted.map(|(code, count)| format!("{code} {count}")).collect();
    let line = Line::of("denials");
    if words.is_empty() { line.plain("none") } else { line.styled(YELLOW, words.join("   ")) }
}

fn connections(view: &View) -> Line {
    let of = &view.connections;
    let ended = format!("relayed {}   refused {}   unreachable {}", of.relayed, of.refused, of.unreachable);
    Line::of("connections").plain(format!("open {}   {ended}", of.open))
}

fn traffic(view: &View) -> Line {
    let (up, down) = (bytes(view.bytes.up), bytes(view.bytes.down));
    Line::of("traffic").plain(format!("up {up}   down {down}"))
}

fn audit(view: &View) -> Line {
    let size = bytes(view.audit_log.bytes);
    let mut line = Line::of("audit log");
    if let Some(enclave) = &view.enclave {
        let entries = &enclave.entries;
        let waiting = format!("waiting {}", entries.pending);
        line = line.plain(format!("entries {}   ", entries.kept));
        line = line.marked(entries.pending > MANY_PENDING, RED, waiting).plain("   ");
    }
    let disk = if view.audit_log.disk_ok { "disk ok" } else { "disk full or failing" };
    line.plain(format!("{size} on disk   ")).marked(!view.audit_log.disk_ok, RED, disk)
}

fn times(of: &Times) -> String {
    let at = |value: Option<f64>| match value {
        None => "-".to_owned(),
        Some(value) if value >= of.highest_s => format!("over {}", time(of.highest_s)),
        Some(value) => time(value),
    };
    format!("{}   p50 {}   p99 {}", of.count, at(of.p50_s), at(of.p99_s))
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}

fn lasted(seconds: u64) -> String {
    match seconds {
        s if s < 60 => format!("{s} s"),
        s if s < 3600 => format!("{} min {} s", s / 60, s % 60),
        s if s < 86_400 => format!("{} h {} min", s / 3600, s / 60 % 60),
        s => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

fn bytes(count: u64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let of = count as f64;
    let found = units.iter().find(|(size, _)| of >= *size);
    found.map_or_else(|| format!("{count} B"), |(size, unit)| format!("{:.1} {unit}", of / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_in_units_that_fit() {
        assert_eq!([0.000_042, 0.0015, 0.0999, 2.0].map(time), ["42 us", "1.5 ms", "99.9 ms", "2.0 s"]);
        assert_eq!([59, 61, 3700, 90_000].map(lasted), ["59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
        assert_eq!([999, 1_000, 2_500_000].map(bytes), ["999 B", "1.0 kB", "2.5 MB"]);
        let over = Times { count: 1, p50_s: Some(0.1), p99_s: Some(0.05), highest_s: 0.1 };
        assert_eq!(times(&over), "1   p50 over 100.0 ms   p99 50.0 ms");
        assert_eq!(times(&Times { count: 0, p50_s: None, p99_s: None, highest_s: 0.1 }), "0   p50 -   p99 -");
    }
}
