//! Pushes snapshots to the host, one a second and one when the state changes.
//!
//! Promises
//! - Nothing waits for it and nothing fails with it: a snapshot that the host does not take in time is dropped, and
//!   whatever the host does, one task tries again a second later.
//! - Memory is one snapshot. Nothing that the host sends is read.
//!
//! Trusts: nothing; the host may take the snapshots or leave them.

use crate::transport::Transport;
use adyton_wire::metrics::Snapshot;
use adyton_wire::ports::METRICS_PORT;
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::Metrics;

/// Between two snapshots, and between two tries to reach the host.
const PERIOD: Duration = Duration::from_secs(1);
/// How long the host may take to connect, and to take a snapshot. A part of one may have gone out by then, so the
/// connection ends.
const HOST_TIMEOUT: Duration = Duration::from_secs(2);

/// Pushes until it is dropped.
pub async fn run(metrics: Metrics, snapshot: impl Fn() -> Snapshot, transport: Transport) {
    loop {
        // A host that does not want metrics does not listen, and one that broke off is tried again: nothing to tell.
        let _ = connection(&metrics, &snapshot, &transport).await;
        sleep(PERIOD).await;
    }
}

async fn connection(
    metrics: &Metrics,
    snapshot: &impl Fn() -> Snapshot,
    transport: &Transport,
) -> io::Result<()> {
    let mut host = timeout(HOST_TIMEOUT, transport.connect(METRICS_PORT)).await??;
    let mut period = interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = period.tick() => {}
            () = metrics.changed() => {}
        }
        let bytes = snapshot().encode();
        let sent = async {
            host.write_all(&bytes).await?;
            host.flush().await
        };
        timeout(HOST_TIMEOUT, sent).await??;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adyton_wire::hybrid;
    use adyton_wire::metrics::{SNAPSHOT_LEN, State};
    use std::path::PathBuf;
    use tokio::io::AsyncReadExt;
    use tokio::net::{UnixListener, UnixStream};
    use tokio::task::LocalSet;

    fn bus(name: &str) -> (PathBuf, Transport) {
        let path = std::env::temp_dir().join(format!("adyton-push-{name}-{}", std::process::id()));
        let socket = hybrid::host_listener(&path, METRICS_PORT);
        let _ = std::fs::remove_file(&socket);
        (socket, Transport::Unix(path))
    }

    async fn next(host: &mut UnixStream) -> Snapshot {
        let mut bytes = [0; SNAPSHOT_LEN];
        host.read_exact(&mut bytes).await.unwrap();
        Snapshot::decode(&bytes).unwrap()
    }

    fn pushing(transport: Transport) -> Metrics {
        let metrics = Metrics::new(true);
        let counted = metrics.clone();
        tokio::task::spawn_local(run(metrics.clone(), move || counted.snapshot(), transport));
        metrics
    }

    // The clock of these tests stands still, and moves on when everything waits.

    #[tokio::test(start_paused = true)]
    async fn snapshots_come_each_second_and_when_the_state_changes() {
        let (socket, transport) = bus("each");
        let listener = UnixListener::bind(&socket).unwrap();
        let test = async {
            let metrics = pushing(transport);
            let (mut host, _) = listener.accept().await.unwrap();
            assert_eq!(next(&mut host).await.state, State::Starting);
            metrics.evidence();
            assert_eq!(next(&mut host).await.evidence, 1);
            metrics.worker_ready();
            assert_eq!(next(&mut host).await.state, State::Online);
        };
        LocalSet::new().run_until(test).await;
        std::fs::remove_file(socket).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_comes_late_or_goes_gets_the_next_snapshot() {
        let (socket, transport) = bus("late");
        let test = async {
            let metrics = pushing(transport);
            // Tried in vain for a while.
            sleep(PERIOD * 10).await;
            metrics.granted();
            let listener = UnixListener::bind(&socket).unwrap();
            for _ in 0..2 {
                let (mut host, _) = listener.accept().await.unwrap();
                assert_eq!(next(&mut host).await.grants, 1);
            }
        };
        LocalSet::new().run_until(test).await;
        std::fs::remove_file(socket).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_read_is_left() {
        let (socket, transport) = bus("deaf");
        let listener = UnixListener::bind(&socket).unwrap();
        let test = async {
            pushing(transport);
            let (_deaf, _) = listener.accept().await.unwrap();
            // Its buffer is full after some hundred snapshots; then the connection is given up and made anew.
            listener.accept().await.unwrap();
        };
        LocalSet::new().run_until(test).await;
        std::fs::remove_file(socket).unwrap();
    }
}
