//! The right to generate: given by the sentinel for two seconds at a time, and over when it is silent.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A lease that the sentinel renews. Starts expired.
#[derive(Debug, Default)]
pub struct Lease {
    until: Mutex<Option<Instant>>,
}

impl Lease {
    /// Renews the lease; for no time at all, ends it. A poisoned lock leaves it as it is, and it runs out.
    pub fn renew(&self, now: Instant, valid_for: Duration) {
        if let Ok(mut until) = self.until.lock() {
            *until = now.checked_add(valid_for);
        }
    }

    /// Ends the lease at once.
    pub fn withdraw(&self) {
        if let Ok(mut until) = self.until.lock() {
            *until = None;
        }
    }

    /// True while the lease is good.
    pub fn holds(&self, now: Instant) -> bool {
        self.until.lock().is_ok_and(|until| until.is_some_and(|until| now < until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_starts_expired_runs_out_and_can_be_withdrawn() {
        let (lease, now) = (Lease::default(), Instant::now());
        assert!(!lease.holds(now));
        lease.renew(now, Duration::from_secs(2));
        assert!(lease.holds(now + Duration::from_millis(1999)));
        assert!(!lease.holds(now + Duration::from_secs(2)));
        lease.withdraw();
        assert!(!lease.holds(now));
    }
}
