//! The sentinel's clock: the latest time that the NSM attested, and what has passed since.
//!
//! The host sets the enclave's system clock at start and may set it at any time: back, to bring an expired token to life;
//! forward, to let a token in before its time, or to reach the hours in which a policy permits more. The NSM's timestamps
//! come from the hypervisor, and what passes in between is counted by the monotonic clock, which nobody sets.
//!
//! Promises
//! - Once the NSM has attested a time, the system's clock has no say.
//! - It never falls behind a time that the NSM has attested.
//!
//! Does not: notice that the whole enclave stood still; the next document does, and each connection asks for one.
//!
//! Trusts: the NSM. Before its first document, for want of anything better, the system's clock.

use adyton_attestation::Timestamp;
use adyton_attestation::evidence::Evidence;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A clock that the NSM sets.
#[derive(Debug, Default)]
pub struct Clock {
    /// The latest attested time, and when it was learned.
    attested: Mutex<Option<(Timestamp, Instant)>>,
}

impl Clock {
    /// A clock with the time of the NSM's first document. Where it gave none, the audit log will not begin either.
    pub fn set_by(document: Option<&[u8]>) -> Clock {
        let clock = Clock::default();
        clock.read(document);
        clock
    }

    /// Notes the time in a document, if it is one that the NSM has just given.
    pub fn read(&self, document: Option<&[u8]>) {
        if let Some(Ok(evidence)) = document.map(Evidence::parse) {
            self.raise(evidence.timestamp());
        }
    }

    /// Notes a time that the NSM attested. One that is earlier than another changes nothing.
    pub fn raise(&self, attested: Timestamp) {
        self.raise_at(attested, Instant::now());
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.at(Instant::now(), Timestamp::from_millis(u64::try_from(system).unwrap_or(u64::MAX)))
    }

    fn raise_at(&self, attested: Timestamp, learned: Instant) {
        let mut latest = self.attested.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.is_none_or(|(time, _)| time < attested) {
            *latest = Some((attested, learned));
        }
    }

    /// The present by all clocks that there are.
    fn at(&self, instant: Instant, system: Timestamp) -> Timestamp {
        let latest = self.attested.lock().unwrap_or_else(PoisonError::into_inner);
        latest.map_or(system, |(time, learned)| {
            let passed = instant.saturating_duration_since(learned).as_millis();
            time.plus_millis(u64::try_from(passed).unwrap_or(u64::MAX))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What the NSM says, and what the host would like it to be.
    const ATTESTED: Timestamp = Timestamp::from_secs(1_793_701_230);
    const BACK: Timestamp = Timestamp::from_secs(1_000_000_000);
    const FORWARD: Timestamp = Timestamp::from_secs(2_500_000_000);

    #[test]
    fn a_clock_that_the_host_sets_has_no_say_once_a_time_was_attested() {
        let (clock, start) = (Clock::default(), Instant::now());
        assert_eq!(clock.at(start, BACK), BACK, "nothing else is known yet");
        clock.raise_at(ATTESTED, start);
        let later = start + Duration::from_secs(60);
        for system in [BACK, FORWARD] {
            assert_eq!(clock.at(start, system), ATTESTED);
            assert_eq!(clock.at(later, system), ATTESTED.plus_millis(60_000));
        }
    }

    #[test]
    fn the_clock_never_falls_behind_an_attested_time() {
        let (clock, start) = (Clock::default(), Instant::now());
        let ahead = ATTESTED.plus_millis(3_600_000);
        clock.raise_at(ahead, start);
        clock.raise_at(ATTESTED, start + Duration::from_secs(1));
        assert_eq!(clock.at(start, BACK), ahead);
        // It stood still for an hour; the next document tells.
        clock.raise_at(ahead.plus_millis(3_600_000), start);
        assert_eq!(clock.at(start, BACK), ahead.plus_millis(3_600_000));
    }
}
