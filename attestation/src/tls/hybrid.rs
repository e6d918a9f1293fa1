//! Exchanges keys with X25519 and ML-KEM-768 at once, so that either alone keeps the secret.
//!
//! ```text
//! client share = encapsulation key (1184) || X25519 (32)
//! server share = ciphertext        (1088) || X25519 (32)
//! secret       = ML-KEM secret       (32) || X25519 secret (32)
//! ```
//!
//! # Promises
//! - A peer's encapsulation key passes the modulus check of FIPS 203, section 7.2, before it is used.
//! - An X25519 secret of all zeros is refused, as RFC 7748, section 6.1, asks; ring does so.
//! - The joined secret and our copy of the decapsulation key are wiped when dropped.
//!
//! # Does not
//! - Wipe what libcrux keeps on its stack while it computes.
//!
//! # Trusts
//! - libcrux-ml-kem (formally verified) and ring, and the system's random source by ring.
//!
//! Source: draft-ietf-tls-ecdhe-mlkem, section 4.2 (X25519MLKEM768, code point 0x11ec); FIPS 203.

use std::fmt;

use libcrux_ml_kem::mlkem768::{
    self, MlKem768Ciphertext, MlKem768PrivateKey, MlKem768PublicKey, validate_public_key,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::crypto::ring::kx_group;
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use zeroize::Zeroizing;

/// Bytes of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
const EK_LEN: usize = 1184;
/// Bytes of an ML-KEM-768 ciphertext (FIPS 203, table 3).
const CT_LEN: usize = 1088;
/// Bytes of an ML-KEM-768 decapsulation key (FIPS 203, table 3).
const DK_LEN: usize = 2400;
/// Seed of key generation: d and z (FIPS 203, algorithm 19).
const KEYGEN_SEED_LEN: usize = 64;
/// Seed of encapsulation: m (FIPS 203, algorithm 20).
const ENCAPS_SEED_LEN: usize = 32;

const INVALID_KEY_SHARE: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

/// The group, for a provider's list.
pub(super) static X25519MLKEM768: &dyn SupportedKxGroup = &Hybrid;

struct Hybrid;

impl fmt::Debug for Hybrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("X25519MLKEM768")
    }
}

impl SupportedKxGroup for Hybrid {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let classical = kx_group::X25519.start()?;
        let pair = mlkem768::generate_key_pair(*random::<KEYGEN_SEED_LEN>()?);
        let share = join(pair.public_key().as_slice(), classical.pub_key());
        let decapsulation_key = Zeroizing::new(*pair.private_key().as_slice());
        Ok(Box::new(Started { classical, decapsulation_key, share }))
    }

    fn start_and_complete(&self, client_share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (key, classical_share) = split::<EK_LEN>(client_share)?;
        let key = MlKem768PublicKey::from(*key);
        if !validate_public_key(&key) {
            return Err(INVALID_KEY_SHARE);
        }
        let classical = kx_group::X25519.start_and_complete(classical_share)?;
        let (ciphertext, secret) = mlkem768::encapsulate(&key, *random::<ENCAPS_SEED_LEN>()?);
        let secret = Zeroizing::new(secret);
        Ok(CompletedKeyExchange {
            group: self.name(),
            pub_key: join(ciphertext.as_slice(), &classical.pub_key),
            secret: SharedSecret::from(join(secret.as_slice(), classical.secret.secret_bytes())),
        })
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

/// A client that has sent its share and waits for the server's.
struct Started {
    classical: Box<dyn ActiveKeyExchange>,
    decapsulation_key: Zeroizing<[u8; DK_LEN]>,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, server_share: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, classical_share) = split::<CT_LEN>(server_share)?;
        let classical = self.classical.complete(classical_share)?;
        let key = MlKem768PrivateKey::from(*self.decapsulation_key);
        let secret = Zeroizing::new(mlkem768::decapsulate(&key, &MlKem768Ciphertext::from(*ciphertext)));
        Ok(SharedSecret::from(join(secret.as_slice(), classical.secret_bytes())))
    }

    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.classical.group(), self.classical.pub_key()))
    }

    fn complete_hybrid_component(self: Box<Self>, server_share: &[u8]) -> Result<SharedSecret, Error> {
        self.classical.complete(server_share)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

/// The ML-KEM part of a share and what follows it; rustls's X25519 checks that 32 bytes follow.
fn split<const N: usize>(share: &[u8]) -> Result<(&[u8; N], &[u8]), Error> {
    share.split_first_chunk::<N>().ok_or(INVALID_KEY_SHARE)
}

/// One allocation of the right size, so that no partial copy of a secret stays behind.
fn join(first: &[u8], second: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(first.len().saturating_add(second.len()));
    joined.extend_from_slice(first);
    joined.extend_from_slice(second);
    joined
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    SystemRandom::new().fill(bytes.as_mut_slice()).map_err(|_| Error::from(GetRandomFailed))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_agree_and_bad_shares_are_refused() {
        let client = X25519MLKEM768.start().unwrap();
        assert_eq!(client.pub_key().len(), EK_LEN + 32);
        let server = X25519MLKEM768.start_and_complete(client.pub_key()).unwrap();
        assert_eq!(server.pub_key.len(), CT_LEN + 32);
        let share = client.pub_key().to_vec();
        let secret = client.complete(&server.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
        assert_eq!(secret.secret_bytes().len(), 64);

        let mut longer = share.clone();
        longer.push(0);
        let mut unreduced = share.clone();
        // The first coefficient becomes 4095, above the modulus 3329 (FIPS 203, section 7.2).
        (unreduced[0], unreduced[1]) = (0xff, unreduced[1] | 0x0f);
        let mut zero_point = share.clone();
        zero_point[EK_LEN..].fill(0);
        for bad in [&share[..EK_LEN], &share[..EK_LEN + 31], &longer, &unreduced, &zero_point, &[]] {
            assert!(X25519MLKEM768.start_and_complete(bad).is_err());
        }
        for bad in [&server.pub_key[..CT_LEN], &server.pub_key[1..], &[]] {
            assert!(X25519MLKEM768.start().unwrap().complete(bad).is_err());
        }
    }
}
