//! The enclaves of this host: which of them a new connection goes to.
//!
//! Promises
//! - A connection goes to the enclave with the fewest open ones, among those that say that they are online; of equals, to the
//!   one that had fewer so far.
//! - One that is drained, or has ended, gets no new connection; it is empty when its last one has ended.
//!
//! Does not: move a connection. TLS ends in the enclave that took it.
//!
//! Trusts: nobody. An enclave that lies about its state gets connections, or none; the client verifies what answers.

use crate::audit::Disk;
use crate::enclave::Enclave;
use crate::metrics::{Board, Health};
use crate::relay::Counters;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// Whether an enclave takes new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does not run.
    Down,
    /// It takes them.
    Up,
    /// It takes no more, and keeps those that it has.
    Draining,
}

/// One enclave of this host.
#[derive(Debug)]
pub struct Member {
    /// Its number, from 0, in the order of the command line.
    pub number: usize,
    /// Where it is.
    pub enclave: Enclave,
    /// What it says of itself.
    pub board: Arc<Board>,
    standing: Mutex<Standing>,
    open: watch::Sender<u64>,
    served: AtomicU64,
    starts: AtomicU64,
}

/// All of them.
#[derive(Debug)]
pub struct Pool {
    members: Vec<Arc<Member>>,
    /// Choosing and counting are one step.
    choosing: Mutex<()>,
    /// Enclaves tell of their state: one of which nothing is known is not ready.
    told: bool,
}

/// A place of one connection at one enclave; given back when it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Member>);

impl Place {
    /// Where it is.
    pub fn member(&self) -> &Member {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}

impl Pool {
    /// Enclaves at these addresses, none of which runs yet. `told` if snapshots of them are taken.
    pub fn new(enclaves: Vec<Enclave>, counters: &Arc<Counters>, disk: &Arc<Disk>, told: bool) -> Pool {
        let member = |(number, enclave)| {
            let board = Arc::new(Board::new(Arc::clone(counters), Arc::clone(disk)));
            Arc::new(Member {
                number,
                enclave,
                board,
                standing: Mutex::new(Standing::Down),
                open: watch::Sender::new(0),
                served: AtomicU64::new(0),
                starts: AtomicU64::new(0),
            })
        };
        Pool {
            members: enclaves.into_iter().enumerate().map(member).collect(),
            choosing: Mutex::new(()),
            told,
        }
    }

    /// All of them, by number.
    pub fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// A place for a new connection, at none of those that were tried.
    pub fn choose(&self, tried: &[usize]) -> Option<Place> {
        let _one = self.choosing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let able = self
            .members
            .iter()
            .filter(|member| member.standing() == Standing::Up && !tried.contains(&member.number));
        let best = able.min_by_key(|member| {
            let rank = match member.board.health(now) {
                Health::Online => 0,
                Health::Unknown => 1,
                Health::Other => 2,
            };
            (rank, member.open(), member.served.load(Ordering::Relaxed), member.number)
        })?;
        best.open.send_modify(|open| *open = open.saturating_add(1));
        best.served.fetch_add(1, Ordering::Relaxed);
        Some(Place(Arc::clone(best)))
    }

    /// Whether a new connection would be answered, as far as that is known.
    pub fn ready(&self) -> bool {
        let now = Instant::now();
        self.members.iter().any(|member| member.ready(now, self.told))
    }

    /// Whether one of them would answer it.
    pub(crate) fn ready_member(&self, member: &Member, now: Instant) -> bool {
        member.ready(now, self.told)
    }

    /// No more connections to any of them.
    pub fn drain(&self) {
        for member in &self.members {
            member.stand(Standing::Draining);
        }
    }

    /// Waits until no connection is open.
    pub async fn emptied(&self) {
        for member in &self.members {
            member.emptied().await;
        }
    }
}

impl Member {
    /// See [`Standing`].
    pub fn standing(&self) -> Standing {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        *self.open.borrow()
    }

    /// How often it was started.
    pub fn starts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }

    /// It runs, and takes connections.
    pub fn up(&self) {
        self.starts.fetch_add(1, Ordering::Relaxed);
        self.stand(Standing::Up);
    }

    /// It has ended. What it said of itself is of no account any more.
    pub fn down(&self) {
        self.stand(Standing::Down);
        self.board.forget();
    }

    /// No more connections.
    pub fn drain(&self) {
        self.stand(Standing::Draining);
    }

    /// Waits until it has no connection.
    pub async fn emptied(&self) {
        // The sender lives as long as this value: the wait does not fail.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    fn ready(&self, now: Instant, told: bool) -> bool {
        let healthy = match self.board.health(now) {
            Health::Online => true,
            Health::Unknown => !told,
            Health::Other => false,
        };
        self.standing() == Standing::Up && healthy
    }

    fn stand(&self, standing: Standing) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adyton_wire::metrics::{Snapshot, State};

    fn pool(enclaves: usize) -> Pool {
        let at = |n: usize| Enclave::Unix(format!("/nowhere/{n}").into());
        let pool = Pool::new((0..enclaves).map(at).collect(), &Arc::default(), &Arc::default(), true);
        pool.members().iter().for_each(|member| member.up());
        pool
    }

    fn chosen(pool: &Pool, tried: &[usize]) -> (Option<usize>, Option<Place>) {
        let place = pool.choose(tried);
        (place.as_ref().map(|place| place.member().number), place)
    }

    fn says(pool: &Pool, number: usize, state: State) {
        pool.members()[number].board.said(Snapshot { state, ..Snapshot::default() });
    }

    #[test]
    fn the_fewest_open_connections_win_and_of_equals_the_one_that_had_fewer() {
        let pool = pool(3);
        let mut places: Vec<Place> = (0..9).map(|_| pool.choose(&[]).unwrap()).collect();
        assert!(pool.members().iter().all(|member| member.open() == 3));
        places.retain(|place| place.member().number != 1);
        let again: Vec<usize> = (0..3)
            .map(|_| chosen(&pool, &[]))
            .map(|(number, place)| {
                places.extend(place);
                number.unwrap()
            })
            .collect();
        assert_eq!(again, [1, 1, 1]);
        drop(places);
        assert!(pool.members().iter().all(|member| member.open() == 0));
        // 1 had six, the others three.
        assert_eq!(chosen(&pool, &[]).0, Some(0));
        assert_eq!(chosen(&pool, &[]).0, Some(2));
        assert_eq!(chosen(&pool, &[0, 2]).0, Some(1));
        assert_eq!(chosen(&pool, &[0, 1, 2]).0, None);
    }

    #[test]
    fn who_is_online_comes_before_who_is_not() {
        let pool = pool(3);
        assert!(!pool.ready());
        says(&pool, 0, State::Starting);
        says(&pool, 2, State::Online);
        let held: Vec<Option<Place>> = (0..5).map(|_| pool.choose(&[])).collect();
        assert_eq!(pool.members()[2].open(), 5);
        assert!(pool.ready());
        // Nobody knows of 1 anything; 0 says that it cannot. Somebody must be tried.
        assert_eq!(chosen(&pool, &[2]).0, Some(1));
        assert_eq!(chosen(&pool, &[1, 2]).0, Some(0));
        drop(held);
    }

    #[tokio::test]
    async fn who_is_drained_keeps_what_it_has_and_is_empty_after_that() {
        let pool = Arc::new(pool(2));
        let (number, place) = chosen(&pool, &[]);
        assert_eq!(number, Some(0));
        pool.members()[0].drain();
        assert_eq!((chosen(&pool, &[]).0, chosen(&pool, &[]).0), (Some(1), Some(1)));
        pool.drain();
        assert_eq!(chosen(&pool, &[]).0, None);
        let waiting = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.emptied().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(place);
        waiting.await.unwrap();
    }

    #[test]
    fn who_ended_is_forgotten() {
        let pool = pool(1);
        says(&pool, 0, State::Online);
        assert!(pool.ready());
        pool.members()[0].down();
        assert!(!pool.ready() && pool.choose(&[]).is_none());
        pool.members()[0].up();
        assert!(!pool.ready(), "what an earlier boot said counts for the next");
        assert_eq!(pool.members()[0].starts(), 2);
    }
}
