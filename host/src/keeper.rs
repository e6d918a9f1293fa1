//! Keeps one enclave running: starts it, starts it again when it ends, replaces it on demand, ends it with the host.
//!
//! Promises
//! - It is started again a bounded number of times in ten minutes, each time after a longer pause, and given up after that.
//! - Replacing waits for its connections to end, within a limit, before it is ended; while it is replaced it gets no new one.
//! - It is ended before this returns.

use crate::launch::{Launch, Running};
use crate::pool::Member;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// Restarts are counted within this time.
const WINDOW: Duration = Duration::from_secs(600);
/// Longest pause before a restart.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a keeper is told.
#[derive(Debug)]
pub enum Order {
    /// End the enclave, and this.
    Stop,
    /// Drain the enclave for so long at most, end it, start it again. Answered when the old one has ended.
    Replace(Duration, oneshot::Sender<()>),
}

/// What a keeper tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is started again after this pause; this is why it is not running.
    Again(String, Duration),
    /// It did not end as it should, and may still run.
    NotStopped(String),
}

/// An enclave that is not started again.
#[derive(Debug, Error)]
#[error("the enclave at {address} ended ({reason})")]
pub struct GivenUp {
    /// Its number.
    pub number: usize,
    address: String,
    reason: String,
}

/// Keeps one enclave.
pub struct Keeper {
    /// Which.
    pub member: Arc<Member>,
    /// How it is started; `None` if that is somebody else's business.
    pub launch: Option<Launch>,
    /// How often it may be started again in ten minutes.
    pub restarts: usize,
    /// Who is told.
    pub tell: Arc<dyn Fn(usize, Event) + Send + Sync>,
}

/// How the life of one start ended.
enum Life {
    Stopped,
    Replaced,
    Ended(String),
}

impl Keeper {
    /// Until it is told to stop, or gives up.
    ///
    /// # Errors
    /// [`GivenUp`]
    pub async fn keep(self, mut orders: mpsc::Receiver<Order>) -> Result<(), GivenUp> {
        let Some(launch) = &self.launch else {
            self.member.up();
            while let Some(Order::Replace(..)) = orders.recv().await {}
            return Ok(());
        };
        let mut history = History::new(self.restarts);
        loop {
            let life = self.live(launch, &mut orders).await;
            self.member.down();
            let reason = match life {
                Life::Stopped => return Ok(()),
                Life::Replaced => continue,
                Life::Ended(reason) => reason,
            };
            let Some(pause) = history.again(Instant::now()) else {
                let (number, address) = (self.member.number, self.member.enclave.to_string());
                return Err(GivenUp { number, address, reason });
            };
            (self.tell)(self.member.number, Event::Again(reason, pause));
            tokio::select! {
                () = sleep(pause) => {}
                // Whoever wants it replaced has it replaced by the start that comes now.
                order = orders.recv() => if !matches!(order, Some(Order::Replace(..))) { return Ok(()) },
            }
        }
    }

    async fn live(&self, launch: &Launch, orders: &mut mpsc::Receiver<Order>) -> Life {
        let mut running = match launch.start(&self.member.enclave).await {
            Ok(running) => running,
            Err(e) => return Life::Ended(e.to_string()),
        };
        self.member.up();
        tokio::select! {
            ended = running.ended() => Life::Ended(ended.unwrap_or_else(|e| e.to_string())),
            order = orders.recv() => match order {
                Some(Order::Replace(patience, done)) => {
                    let stopped = self.drain(patience, orders).await;
                    self.stop(&mut running).await;
                    let _ = done.send(());
                    if stopped { Life::Stopped } else { Life::Replaced }
                }
                Some(Order::Stop) | None => {
                    self.stop(&mut running).await;
                    Life::Stopped
                }
            },
        }
    }

    /// True if it is to stop for good meanwhile.
    async fn drain(&self, patience: Duration, orders: &mut mpsc::Receiver<Order>) -> bool {
        self.member.drain();
        tokio::select! {
            _ = timeout(patience, self.member.emptied()) => false,
            order = orders.recv() => !matches!(order, Some(Order::Replace(..))),
        }
    }

    async fn stop(&self, running: &mut Running) {
        if let Err(e) = running.stop().await {
            (self.tell)(self.member.number, Event::NotStopped(e.to_string()));
        }
    }
}

/// When it was started again.
struct History {
    most: usize,
    times: VecDeque<Instant>,
}

impl History {
    fn new(most: usize) -> History {
        History { most, times: VecDeque::new() }
    }

    /// The pause before it may be started again, if it may.
    fn again(&mut self, now: Instant) -> Option<Duration> {
        self.times.retain(|then| now.duration_since(*then) < WINDOW);
        if self.times.len() >= self.most {
            return None;
        }
        let before = u32::try_from(self.times.len()).unwrap_or(u32::MAX);
        self.times.push_back(now);
        let doubled = 2u64.saturating_pow(before.saturating_sub(1));
        Some(if before == 0 { Duration::ZERO } else { Duration::from_secs(doubled).min(LONGEST_PAUSE) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enclave::Enclave;
    use crate::pool::{Pool, Standing};
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Mutex;

    #[test]
    fn pauses_grow_and_restarts_are_counted_within_their_time() {
        let start = Instant::now();
        let mut history = History::new(9);
        let pauses: Vec<u64> = (0..9).map(|_| history.again(start).unwrap().as_secs()).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(history.again(start), None);
        assert_eq!(history.again(start + WINDOW), Some(Duration::ZERO));
        assert_eq!(History::new(0).again(start), None);
    }

    struct Kept {
        pool: Pool,
        orders: mpsc::Sender<Order>,
        task: tokio::task::JoinHandle<Result<(), GivenUp>>,
        told: Arc<Mutex<Vec<Event>>>,
    }

    /// A program of the system stands in for the enclave: what is tested is who starts and ends it.
    fn kept(program: &str, restarts: usize) -> Kept {
        let at = Enclave::Unix(std::env::temp_dir().join("adyton-keeper"));
        let pool = Pool::new(vec![at], &Arc::default(), &Arc::default(), true);
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let keeper = Keeper {
            member: Arc::clone(&pool.members()[0]),
            launch: Some(Launch::Simulator { program: program.into(), arguments: Vec::new() }),
            restarts,
            tell: Arc::new(move |_, event| heard.lock().unwrap().push(event)),
        };
        let (orders, receiver) = mpsc::channel(1);
        Kept { pool, orders, task: tokio::spawn(keeper.keep(receiver)), told }
    }

    #[tokio::test]
    async fn what_ends_is_started_again_and_given_up_at_last() {
        let kept = kept("/bin/false", 2);
        let given_up = kept.task.await.unwrap().unwrap_err();
        assert!(given_up.to_string().contains("exit status: 1"), "{given_up}");
        assert_eq!((kept.pool.members()[0].starts(), kept.told.lock().unwrap().len()), (3, 2));
        assert_eq!(kept.pool.members()[0].standing(), Standing::Down);
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_given_up_with_the_reason() {
        let given_up = kept("/nowhere/enclave", 0).task.await.unwrap().unwrap_err();
        assert!(given_up.to_string().contains("/nowhere/enclave"), "{given_up}");
    }

    #[tokio::test]
    async fn replacing_waits_for_the_connections_and_stopping_does_not() {
        // It runs until it is killed.
        let program = std::env::temp_dir().join(format!("adyton-keeper-{}", std::process::id()));
        std::fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let kept = kept(program.to_str().unwrap(), 0);
        let member = Arc::clone(&kept.pool.members()[0]);
        while member.standing() != Standing::Up {
            tokio::task::yield_now().await;
        }
        let place = kept.pool.choose(&[]).unwrap();
        let (done, mut replaced) = oneshot::channel();
        kept.orders.send(Order::Replace(Duration::from_secs(600), done)).await.unwrap();
        while member.standing() != Standing::Draining {
            tokio::task::yield_now().await;
        }
        assert!(kept.pool.choose(&[]).is_none() && replaced.try_recv().is_err());
        drop(place);
        replaced.await.unwrap();
        while member.starts() < 2 {
            tokio::task::yield_now().await;
        }
        let _held = kept.pool.choose(&[]).unwrap();
        kept.orders.send(Order::Stop).await.unwrap();
        kept.task.await.unwrap().unwrap();
        assert!(kept.told.lock().unwrap().is_empty());
        std::fs::remove_file(program).unwrap();
    }
}
