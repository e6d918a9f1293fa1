//! The enclave's side: encrypts questions, decrypts answers, ranks.
//!
//! # Promises
//! - The secret key leaves this module in no form.
//!
//! # Does not
//! - Believe an answer: a wrong one gives a wrong ranking, and nothing else.
//!
//! # Trusts
//! - The system's generator of randomness.

use std::fmt;
use std::sync::Arc;

use fhe::bfv::{BfvParameters, Ciphertext, Encoding, EvaluationKeyBuilder, Plaintext, SecretKey};
use fhe_traits::{DeserializeParametrized, FheDecoder, FheDecrypter, FheEncoder, FheEncrypter, Serialize};
use rand::rngs::OsRng;
use rand::{CryptoRng, TryRngCore};

use crate::BlindError;
use crate::layout::{self, ANSWERED, ASKED, DEGREE, STEP};

/// An encrypted question: one ciphertext for each part of 128 dimensions.
#[derive(Clone)]
pub struct Question(pub(crate) Vec<Vec<u8>>);

impl Question {
    /// What goes out: a ciphertext for each part.
    pub fn to_bytes(&self) -> Vec<Vec<u8>> {
        self.0.clone()
    }

    /// What came in; [`crate::Holder::answer`] judges it.
    pub fn from_bytes(parts: Vec<Vec<u8>>) -> Self {
        Self(parts)
    }

    /// Bytes that go out.
    pub fn size(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Question({} bytes)", self.size())
    }
}

/// Who asks.
pub struct Asker {
    parameters: Arc<BfvParameters>,
    secret: SecretKey,
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asker")
    }
}

fn randomness() -> impl CryptoRng {
    OsRng.unwrap_err()
}

impl Asker {
    /// With a new secret key.
    ///
    /// # Errors
    /// [`BlindError`]
    pub fn new() -> Result<Self, BlindError> {
        let parameters = layout::parameters()?;
        let secret = SecretKey::random(&parameters, &mut randomness());
        Ok(Self { parameters, secret })
    }

    /// Keys with which the other side rotates, for one or more blocks. Sent once.
    ///
    /// # Errors
    /// [`BlindError`]
    pub fn keys(&self) -> Result<Vec<u8>, BlindError> {
        let mut builder = EvaluationKeyBuilder::new_leveled(&self.secret, ASKED, 0)?;
        builder.enable_column_rotation(1)?.enable_column_rotation(STEP)?;
        Ok(builder.build(&mut randomness())?.to_bytes())
    }

    /// Encrypts a question.
    ///
    /// # Errors
    /// [`BlindError`]
    pub fn ask(&self, query: &[f32]) -> Result<Question, BlindError> {
        let numbers = layout::quantise(query)?;
        let encrypted = (0..layout::parts(numbers.len())).map(|part| {
            let slots = layout::repeated(&numbers, part);
            let plain = Plaintext::try_encode(&slots, Encoding::simd_at_level(ASKED), &self.parameters)?;
            let hidden: Ciphertext = self.secret.try_encrypt(&plain, &mut randomness())?;
            Ok(hidden.to_bytes())
        });
        Ok(Question(encrypted.collect::<Result<_, BlindError>>()?))
    }

    /// All inner products, by row, in units of the rounding. What the other side answers is numbers, whatever it sends.
    ///
    /// # Errors
    /// [`BlindError::Message`] for what is no answer to a question over so many rows.
    pub fn decrypt(&self, answer: &[Vec<u8>], rows: usize) -> Result<Vec<i64>, BlindError> {
        if answer.len() != rows.div_ceil(DEGREE) {
            return Err(BlindError::Message);
        }
        let mut products = Vec::with_capacity(rows);
        for block in answer {
            let hidden = ciphertext(block, ANSWERED, &self.parameters)?;
            let plain = self.secret.try_decrypt(&hidden)?;
            products.extend(Vec::<i64>::try_decode(&plain, Encoding::simd_at_level(ANSWERED))?);
        }
        products.truncate(rows);
        Ok(products)
    }

    /// The rows with the largest products, the nearest first.
    ///
    /// # Errors
    /// [`BlindError::Message`]
    pub fn rank(&self, answer: &[Vec<u8>], rows: usize, most: usize) -> Result<Vec<usize>, BlindError> {
        let mut ranked: Vec<(i64, usize)> = self.decrypt(answer, rows)?.into_iter().zip(0..).collect();
        ranked.sort_unstable_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
        Ok(ranked.into_iter().take(most).map(|(_, row)| row).collect())
    }
}

/// Longest ciphertext, in bytes: two polynomials of 4,096 numbers of 72 bits, and their frames.
const MAX_CIPHERTEXT: usize = 2 * DEGREE * 9 + 1024;

/// A ciphertext of two polynomials at one level, or a message that is none.
pub(crate) fn ciphertext(
    bytes: &[u8],
    level: usize,
    parameters: &Arc<BfvParameters>,
) -> Result<Ciphertext, BlindError> {
    if bytes.len() > MAX_CIPHERTEXT {
        return Err(BlindError::Message);
    }
    let read = Ciphertext::from_bytes(bytes, parameters).map_err(|_| BlindError::Message)?;
    let context = parameters.context_at_level(level)?;
    let right = read.len() == 2 && read.iter().all(|polynomial| polynomial.ctx() == context);
    if right { Ok(read) } else { Err(BlindError::Message) }
}
