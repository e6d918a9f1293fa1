//! The sentinel's clock: the system's, but never behind a time that the NSM has attested.
//!
//! The host sets the enclave's system clock at start and may set it back, to bring an expired token to life. The
//! NSM's timestamps come from the hypervisor, so the latest one seen is a floor. A clock set *forward* ends tokens
//! early and lets in nobody.

use adyton_attestation::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock with a floor.
#[derive(Debug, Default)]
pub struct Clock {
    floor_ms: AtomicU64,
}

impl Clock {
    /// Notes a time that the NSM attested.
    pub fn raise(&self, attested: Timestamp) {
        self.floor_ms.fetch_max(attested.as_millis(), Ordering::Relaxed);
    }

    /// The present, or the latest attested time if the system's clock is behind it.
    pub fn now(&self) -> Timestamp {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let system = u64::try_from(system).unwrap_or(u64::MAX);
        Timestamp::from_millis(system.max(self.floor_ms.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_falls_behind_an_attested_time() {
        let clock = Clock::default();
        let ahead = clock.now().plus_millis(3_600_000);
        clock.raise(ahead);
        assert_eq!(clock.now(), ahead);
        clock.raise(Timestamp::from_millis(1));
        assert_eq!(clock.now(), ahead);
    }
}
