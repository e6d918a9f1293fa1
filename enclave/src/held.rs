//! The texts of requests that wait for persons, so that whoever may approve them can read them.
//!
//! Promises
//! - A text is shown only after the sentinel has shown its hold, never after the hold's end, and is wiped when it is let go: at the
//!   next keeping after that end.
//! - What is kept is bounded; where there is no room, the approver sees the hold and not the text.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;
use zeroize::Zeroizing;

/// Most bytes of all texts together.
const MAX_BYTES: usize = 8 << 20;

/// The texts, by the hold's name.
#[derive(Default)]
pub struct HeldTexts {
    kept: Mutex<HashMap<[u8; 16], Kept>>,
}

struct Kept {
    text: Zeroizing<Vec<u8>>,
    ends: Instant,
}

impl HeldTexts {
    /// Keeps a request's body until its hold ends.
    pub fn keep(&self, hold: [u8; 16], body: &[u8], ends: Instant) {
        let Ok(mut kept) = self.kept.lock() else { return };
        let now = Instant::now();
        kept.retain(|_, one| one.ends > now);
        let bytes: usize = kept.values().map(|one| one.text.len()).sum();
        if bytes.saturating_add(body.len()) <= MAX_BYTES {
            kept.entry(hold).or_insert_with(|| Kept { text: Zeroizing::new(body.to_vec()), ends });
        }
    }

    /// The body, if it is there.
    pub fn text(&self, hold: &[u8; 16]) -> Option<Zeroizing<Vec<u8>>> {
        let kept = self.kept.lock().ok()?;
        kept.get(hold).filter(|one| one.ends > Instant::now()).map(|one| one.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn texts_end_with_their_holds_and_are_bounded() {
        let (held, now) = (HeldTexts::default(), Instant::now());
        let later = now + Duration::from_secs(60);
        held.keep([1; 16], b"one", later);
        held.keep([2; 16], b"over", now);
        assert_eq!(held.text(&[1; 16]).unwrap().as_slice(), b"one");
        assert!(held.text(&[2; 16]).is_none());
        held.keep([3; 16], &vec![0; MAX_BYTES - 2], later);
        assert!(held.text(&[3; 16]).is_none());
        held.keep([4; 16], &vec![0; MAX_BYTES - 3], later);
        assert!(held.text(&[4; 16]).is_some());
    }
}
