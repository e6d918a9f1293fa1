//! The encoder as the guardrail uses it: beside the one for embeddings, so that no long batch of these is waited for.
//!
//! Promises
//! - One pass at a time, on the thread that screens; of a text that is too long both halves are read, nothing is left out.
//! - The workspace is made at the start, and wiped after each pass.

use adyton_encoder::{Encoder, Tokens, Workspace};
use adyton_guardrail::meaning::{self, LAYERS, Unread, WIDTH};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use zeroize::Zeroizing;

/// Tokens of a pass: as many as a text can have.
const ROOM: usize = 512;
/// A window is small: more threads wait for each other longer than they work.
const MAX_THREADS: usize = 4;

/// The guardrail's encoder.
pub(crate) struct Reading {
    encoder: Arc<Encoder>,
    work: Mutex<Workspace>,
}

impl Reading {
    /// With a workspace of its own.
    ///
    /// # Errors
    /// If threads cannot be had.
    pub(crate) fn start(encoder: Arc<Encoder>) -> io::Result<Reading> {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let work = Mutex::new(Workspace::new(&encoder, ROOM, threads)?);
        Ok(Reading { encoder, work })
    }

    fn work(&self) -> Result<MutexGuard<'_, Workspace>, Unread> {
        // A pass that panicked may have left text in it: nothing is read with it any more.
        self.work.lock().map_err(|_| Unread)
    }
}

impl meaning::Encoder for Reading {
    fn rows(&self, text: &str) -> Result<Zeroizing<Vec<f32>>, Unread> {
        let parts = self.encoder.parts(text).map_err(|_| Unread)?;
        let mut all =
            Zeroizing::new(Vec::with_capacity(parts.iter().map(Tokens::count).sum::<usize>() * WIDTH));
        for part in &parts {
            let rows = self.encoder.rows(&mut *self.work()?, part, LAYERS).map_err(|_| Unread)?;
            rows.iter().for_each(|row| all.extend_from_slice(row));
        }
        Ok(all)
    }

    fn vector(&self, text: &str) -> Result<Zeroizing<Vec<f32>>, Unread> {
        let parts = self.encoder.parts(text).map_err(|_| Unread)?;
        let mut sum = Zeroizing::new(vec![0f32; self.encoder.width()]);
        for part in parts {
            let vectors = self.encoder.embed(&mut *self.work()?, &[part]).map_err(|_| Unread)?;
            for vector in &vectors {
                sum.iter_mut().zip(vector.elements()).for_each(|(sum, x)| *sum += x);
            }
        }
        let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
        if !(length.is_finite() && length > 0.0) {
            return Err(Unread);
        }
        sum.iter_mut().for_each(|x| *x /= length);
        Ok(sum)
    }
}
