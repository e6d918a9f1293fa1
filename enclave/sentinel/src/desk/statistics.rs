//! Releases of metrics: who may have one, at what price, and its entry in the audit log.
//!
//! Promises
//! - A release is paid for and recorded before it is made, and [`Desk::statistic`] takes the proof of it.
//! - A price that was counted stays counted, also where the log does not take its entry.

use super::{Desk, Entry};
use crate::audit::event::code;
use crate::decision::{Moment, Refusal};
use crate::labels::Labels;
use crate::telemetry::Priced;
use crate::token::Principal;
use adyton_wire::control::{Denial, NoStatistic, Statistic, Token};

/// What is asked for.
#[derive(Debug)]
pub struct Wanted {
    /// The metric.
    pub metric: String,
    /// The declared purpose.
    pub purpose: String,
    /// What it may cost, in thousandths of epsilon.
    pub epsilon_milli: u32,
}

/// Paid, and in the log; not yet on the host's disk.
#[derive(Debug)]
pub struct Paid {
    /// The index of its entry in the audit log, which must be kept.
    pub entry: u64,
    priced: Priced,
}

impl Desk {
    /// Decides on a release, and counts its price.
    ///
    /// # Errors
    /// [`NoStatistic`], which is an entry.
    pub fn pay(&mut self, token: &Token, attested: bool, wanted: &Wanted) -> Result<Paid, NoStatistic> {
        let seconds = self.now().time.as_millis() / 1000;
        let verified = self.issuers.verify(&token.0, attested, seconds).map_err(NoStatistic::Denied);
        let pseudonym = verified.as_ref().ok().map(|principal| self.pseudonym(principal));
        let paid = verified.and_then(|principal| self.pay_as(&principal, wanted));
        if let Err(why) = paid {
            if let NoStatistic::Denied(denial) = why {
                self.metrics.denied(denial);
            }
            if self.log.is_open() {
                self.log.append(&Entry::Unspent { principal: pseudonym, code: reason(why) });
            } else {
                self.log.refuse();
            }
        }
        paid
    }

    fn pay_as(&mut self, who: &Principal, wanted: &Wanted) -> Result<Paid, NoStatistic> {
        let denied = |denial| Err(NoStatistic::Denied(denial));
        let (now, principal) = (self.now(), self.pseudonym(who));
        if self.people.standing.offline().is_some() {
            return denied(Denial::Offline);
        }
        if self.watch.is_quarantined(&principal) {
            return denied(Denial::Quarantined);
        }
        if !self.log.is_open() {
            return denied(Denial::AuditUnavailable);
        }
        let moment = Moment { now: now.time, risk: 0, approvals: 0, open: 0, labels: Labels::NONE };
        let Wanted { metric, purpose, epsilon_milli } = wanted;
        match self.point.may_release(who, metric, purpose, *epsilon_milli, moment) {
            Ok(()) => {}
            Err(Refusal::NotNow) => return denied(Denial::Deferred),
            // Persons approve requests; there is no hold for a release.
            Err(Refusal::Denied | Refusal::Bounds | Refusal::NeedsPersons { .. }) => {
                return denied(Denial::Forbidden);
            }
        }
        let priced = self.telemetry.price(metric, *epsilon_milli)?;
        let (entry, anchor) = priced.entry();
        let event = Entry::Spent { principal, metric, entry, number: anchor.number, chain: anchor.chain };
        let placed = self.log.append(&event).ok_or(NoStatistic::Denied(Denial::AuditUnavailable))?;
        Ok(Paid { entry: placed.index, priced })
    }

    /// The release that was paid for, once its entry is kept.
    ///
    /// # Errors
    /// [`NoStatistic::NoNoise`]
    pub fn statistic(&mut self, paid: Paid) -> Result<Statistic, NoStatistic> {
        self.telemetry.release(paid.priced, self.clock.now())
    }
}

fn reason(why: NoStatistic) -> &'static str {
    match why {
        NoStatistic::Denied(denial) => code(denial),
        NoStatistic::UnknownMetric => "no_such_metric",
        NoStatistic::Price => "invalid_epsilon",
        NoStatistic::Exhausted => "budget_exhausted",
        NoStatistic::NoNoise => "no_noise",
    }
}
