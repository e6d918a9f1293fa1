//! What one participant gives in one round: whole numbers whose norm is at most the clip.
//!
//! ```text
//! policy digest (32) || round (4, big-endian) || dimension (4, big-endian) || dimension times a value (4, little-endian, signed)
//! ```
//!
//! Every four bytes are a whole number: there is no NaN and no infinity to be written. Those of a floating-point number are read
//! as the whole number that they are, and that counts like any other.

use super::policy::{Policy, TICKS};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes before the values.
pub const HEAD: usize = 40;

/// One update, in ticks. `Debug` prints its length; it is wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Update {
    pub(super) policy: [u8; 32],
    pub(super) round: u32,
    pub(super) ticks: Vec<i32>,
}

impl std::fmt::Debug for Update {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Update({} values)", self.ticks.len())
    }
}

/// Why an update does not count. The round goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejected {
    /// The policy does not name this participant.
    #[error("the policy does not name this participant")]
    Stranger,
    /// He has given one already.
    #[error("this participant has given an update in this round already")]
    Twice,
    /// Of another policy.
    #[error("the update is for another policy")]
    Policy,
    /// Of another round.
    #[error("the update is for another round")]
    Round,
    /// Of another model, cut, or with something behind it.
    #[error("the update has another number of values")]
    Shape,
    /// Longer than the clip.
    #[error("the update is longer than the clip")]
    Clip,
}

impl Rejected {
    /// Its code on the wire.
    pub fn code(self) -> &'static str {
        match self {
            Rejected::Stranger => "not_a_participant",
            Rejected::Twice => "duplicate_update",
            Rejected::Policy => "wrong_policy",
            Rejected::Round => "wrong_round",
            Rejected::Shape => "wrong_shape",
            Rejected::Clip => "over_clip",
        }
    }
}

/// Whether the values are within the clip, exactly.
pub(super) fn within_clip(ticks: &[i32]) -> bool {
    let limit = (TICKS * TICKS) as u128;
    ticks.iter().map(|tick| i128::from(*tick) * i128::from(*tick)).sum::<i128>() as u128 <= limit
}

impl Update {
    /// Values of a model, clipped: longer ones are scaled down. Cut towards zero, so that none gets longer.
    ///
    /// None if a value is not a number.
    pub fn clipped(policy: &Policy, round: u32, values: &[f64]) -> Option<Update> {
        let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
        if !length.is_finite() || values.len() != policy.dimension as usize {
            return None;
        }
        // A hair less than the clip, because the norm was rounded.
        let scale = TICKS as f64 / policy.clip.max(length * (1.0 + 1e-12));
        let ticks = values.iter().map(|value| (value * scale).trunc() as i32).collect();
        Some(Update { policy: policy.digest(), round, ticks })
    }

    /// For the wire, inside the attested session.
    pub fn encode(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let mut out = Vec::with_capacity(HEAD + 4 * self.ticks.len());
        out.extend(self.policy);
        out.extend(self.round.to_be_bytes());
        out.extend((self.ticks.len() as u32).to_be_bytes());
        self.ticks.iter().for_each(|tick| out.extend(tick.to_le_bytes()));
        zeroize::Zeroizing::new(out)
    }

    /// Reads one, of this policy and round, and checks its norm. Nothing is allocated before its length is known to be right.
    ///
    /// # Errors
    /// [`Rejected`]
    pub fn decode(bytes: &[u8], policy: &[u8; 32], round: u32, dimension: u32) -> Result<Update, Rejected> {
        let (head, body) = bytes.split_at_checked(HEAD).ok_or(Rejected::Shape)?;
        let (named, rest) = head.split_at(32);
        if named != policy {
            return Err(Rejected::Policy);
        }
        if rest[..4] != round.to_be_bytes() {
            return Err(Rejected::Round);
        }
        if rest[4..] != dimension.to_be_bytes() || body.len() != 4 * dimension as usize {
            return Err(Rejected::Shape);
        }
        let value = |four: &[u8]| i32::from_le_bytes([four[0], four[1], four[2], four[3]]);
        let ticks: Vec<i32> = body.chunks_exact(4).map(value).collect();
        let update = Update { policy: *policy, round, ticks };
        if within_clip(&update.ticks) { Ok(update) } else { Err(Rejected::Clip) }
    }
}
