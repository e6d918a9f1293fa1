//! What each session has taken in and done so far: labels that travel with its context.
//!
//! Promises
//! - A label is never taken off a session.
//! - Sessions are bounded in number; one that had to be forgotten is taken for the worst, never for a fresh one.
//!
//! Trusts: the worker, for which session a request belongs to.

use std::collections::BTreeMap;

/// Most sessions. The worker serves 128 connections at a time.
const MAX_SESSIONS: usize = 4096;

/// The labels of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels {
    /// Text was taken in that nobody vouches for.
    pub untrusted: bool,
    /// Private data was seen.
    pub private: bool,
    /// Something outside was told or changed.
    pub outside: bool,
    /// The highest classification that was seen.
    pub confidentiality: u8,
}

impl Labels {
    /// Nothing was taken in and nothing done.
    pub const NONE: Labels = Labels { untrusted: false, private: false, outside: false, confidentiality: 0 };
    /// What is assumed where nothing is known.
    const WORST: Labels = Labels { untrusted: true, private: true, outside: true, confidentiality: 3 };

    /// These, and what came to them.
    #[must_use]
    pub fn and(self, more: Labels) -> Labels {
        Labels {
            untrusted: self.untrusted || more.untrusted,
            private: self.private || more.private,
            outside: self.outside || more.outside,
            confidentiality: self.confidentiality.max(more.confidentiality),
        }
    }
}

/// The labels of all sessions of a worker. It numbers them from 0, and uses no number twice.
#[derive(Debug, Default)]
pub struct Sessions {
    labels: BTreeMap<u64, Labels>,
    /// Sessions below it may have been forgotten.
    remembered_from: u64,
}

impl Sessions {
    /// The labels of a session.
    pub fn of(&self, session: u64) -> Labels {
        let unknown = if session < self.remembered_from { Labels::WORST } else { Labels::NONE };
        self.labels.get(&session).copied().unwrap_or(unknown)
    }

    /// Adds labels to a session.
    pub fn add(&mut self, session: u64, more: Labels) {
        let labels = self.of(session).and(more);
        if labels == Labels::NONE {
            return;
        }
        self.labels.insert(session, labels);
        if self.labels.len() > MAX_SESSIONS
            && let Some((oldest, _)) = self.labels.pop_first()
        {
            self.remembered_from = self.remembered_from.max(oldest.saturating_add(1));
        }
    }

    /// Another worker begins to count anew.
    pub fn clear(&mut self) {
        *self = Sessions::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_add_up_and_are_not_taken_off() {
        let mut sessions = Sessions::default();
        sessions.add(7, Labels { private: true, confidentiality: 2, ..Labels::NONE });
        sessions.add(7, Labels { untrusted: true, confidentiality: 1, ..Labels::NONE });
        let both = Labels { untrusted: true, private: true, outside: false, confidentiality: 2 };
        assert_eq!(sessions.of(7), both);
        assert_eq!(sessions.of(8), Labels::NONE);
    }

    #[test]
    fn a_forgotten_session_is_taken_for_the_worst() {
        let mut sessions = Sessions::default();
        let some = Labels { private: true, ..Labels::NONE };
        for session in 0..=MAX_SESSIONS as u64 {
            sessions.add(session, some);
        }
        assert_eq!((sessions.of(0), sessions.of(1)), (Labels::WORST, some));
        assert_eq!(sessions.of(MAX_SESSIONS as u64 + 1), Labels::NONE);
        sessions.clear();
        assert_eq!(sessions.of(0), Labels::NONE);
    }
}
