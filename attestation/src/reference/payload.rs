//! Holds what a signed file of reference values says, before anybody knows who signed it.
//!
//! # Promises
//! - A payload that was parsed has a plain name, a version from 1, an end after its beginning and at most 400 days later,
//!   images and manifests as [`ReferenceValues`] demand them, and signers for its successor.
//! - [`Payload::accepted`] leaves out what is older than the minimum or denied, and refuses where nothing is left.
//!
//! # Does not
//! - Verify anything: see [`super::ReferenceFile::verify`].
//!
//! # Trusts
//! - Nobody.

use serde::Serialize;

use super::read::{self, Fields, Node};
use super::signers::{Signers, SignersError};
use super::{Image, Owner, ReferenceError, ReferenceValues, owner_register};
use crate::measurement::Measurement;
use crate::time::Timestamp;
use crate::transparency::{CheckpointRefusal, LogKey};

/// Largest payload: some four hundred images, as in unsigned values.
pub const MAX_PAYLOAD: usize = super::MAX_JSON;

/// Longest name. It becomes part of messages and of a log's leaf.
pub const MAX_NAME: usize = 64;

/// Longest validity: a year and a month to publish the next. What does not expire cannot be withdrawn.
pub const MAX_VALIDITY_MS: u64 = 400 * DAY_MS;

const DAY_MS: u64 = 86_400_000;

/// Why a payload is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The JSON, or the images, manifests and owner in it.
    #[error(transparent)]
    Values(#[from] ReferenceError),
    /// The name.
    #[error("the name is not 1 to 64 of a-z, 0-9, \".\" and \"-\"; choose one like acme-chat")]
    Name,
    /// Version 0.
    #[error("the version is 0; versions count up from 1")]
    Version,
    /// It ends before it begins.
    #[error("it expires at {expires}, which is not after {issued}, when it was issued; set a later end")]
    Validity {
        /// Begin.
        issued: Timestamp,
        /// End.
        expires: Timestamp,
    },
    /// It lasts too long.
    #[error(
        "it is valid for {days} days, more than the 400 allowed; what does not expire cannot be withdrawn"
    )]
    TooLong {
        /// Whole days.
        days: u64,
    },
    /// The signers of the next version.
    #[error("signers: {0}")]
    Signers(#[from] SignersError),
    /// The log.
    #[error("log: {0}")]
    Log(#[from] CheckpointRefusal),
}

/// Why a payload accepts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NothingLeft {
    /// No image.
    #[error(
        "no image is left: each is below the minimum release or denied; get the next version of the file"
    )]
    NoImage,
    /// No manifest.
    #[error("no manifest is left: each is denied; get the next version of the file")]
    NoManifest,
    /// The owner.
    #[error("the owner's {register} is on the deny-list of the same file; get the next version of it")]
    Owner {
        /// Which register.
        register: &'static str,
    },
}

/// An image, and the release that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReleasedImage {
    /// Its registers.
    #[serde(flatten)]
    pub image: Image,
    /// The number of its release; compared with the minimum.
    pub release: u32,
}

/// What a signed file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Payload {
    /// What these reference values are called; versions count within a name.
    pub name: String,
    /// Counts up with each publication.
    pub version: u64,
    /// From when on it is valid.
    #[serde(rename = "issued_ms")]
    pub issued: Timestamp,
    /// From when on it is not.
    #[serde(rename = "expires_ms")]
    pub expires: Timestamp,
    /// Images, each with its release.
    pub images: Vec<ReleasedImage>,
    /// Images of an older release are not accepted.
    pub minimum_release: u32,
    /// Values of PCR16.
    pub manifests: Vec<Measurement>,
    /// Measurements that are not accepted, wherever else they are listed.
    pub deny: Vec<Measurement>,
    /// Whose enclave it may be.
    pub owner: Owner,
    /// Who may sign the next version.
    pub signers: Signers,
    /// The log in which this payload must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogKey>,
}

const KEYS: [&str; 11] = [
    "name",
    "version",
    "issued_ms",
    "expires_ms",
    "images",
    "minimum_release",
    "manifests",
    "deny",
    "owner",
    "signers",
    "log",
];

impl Payload {
    /// From JSON, strictly.
    pub fn parse(bytes: &[u8]) -> Result<Self, PayloadError> {
        if bytes.len() > MAX_PAYLOAD {
            return Err(ReferenceError::TooLarge.into());
        }
        let json = read::parse(bytes)?;
        let root = Node::root(&json);
        read::refuse_owner_only(&root)?;
        let fields = root.fields(&KEYS)?;
        let images = fields.get("images")?.list()?.map(|node| released(&node)).collect::<Result<_, _>>()?;
        let payload = Self {
            name: fields.get("name")?.text()?.to_owned(),
            version: fields.get("version")?.number()?,
            issued: Timestamp::from_millis(fields.get("issued_ms")?.number()?),
            expires: Timestamp::from_millis(fields.get("expires_ms")?.number()?),
            images,
            minimum_release: fields.get("minimum_release")?.number32()?,
            manifests: fields.get("manifests")?.measurements()?,
            deny: fields.get("deny")?.measurements()?,
            owner: read::owner(&fields.get("owner")?)?,
            signers: Signers::read(&fields.get("signers")?)??,
            log: match fields.maybe("log") {
                Some(node) => Some(read_log_key(&node.fields(&["origin", "ed25519"])?)?),
                None => None,
            },
        };
        payload.check()?;
        Ok(payload)
    }

    /// As JSON that [`Self::parse`] reads, if it says nothing that is refused. These bytes are what gets signed.
    pub fn to_json(&self) -> String {
        // Only a map with keys that are not text, or a failing `Serialize`, could fail; this type has neither.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    fn check(&self) -> Result<(), PayloadError> {
        if !is_name(&self.name) {
            return Err(PayloadError::Name);
        }
        if self.version == 0 {
            return Err(PayloadError::Version);
        }
        if self.expires <= self.issued {
            return Err(PayloadError::Validity { issued: self.issued, expires: self.expires });
        }
        let valid_ms = self.expires.millis_since(self.issued);
        if valid_ms > MAX_VALIDITY_MS {
            return Err(PayloadError::TooLong { days: valid_ms / DAY_MS });
        }
        let images = self.images.iter().map(|released| released.image).collect();
        ReferenceValues::new(images, self.manifests.clone(), self.owner)?;
        Ok(())
    }

    /// What it accepts: what is listed, but for images below the minimum and whatever is denied.
    pub fn accepted(&self) -> Result<ReferenceValues, NothingLeft> {
        let denied = |value: &Measurement| self.deny.contains(value);
        if let Some((register, value)) = owner_register(&self.owner)
            && denied(value)
        {
            return Err(NothingLeft::Owner { register });
        }
        let good = |image: &Image| ![&image.pcr0, &image.pcr1, &image.pcr2].into_iter().any(denied);
        let new_enough = self.images.iter().filter(|released| released.release >= self.minimum_release);
        let images: Vec<Image> = new_enough.map(|released| released.image).filter(good).collect();
        let manifests: Vec<Measurement> =
            self.manifests.iter().copied().filter(|value| !denied(value)).collect();
        if manifests.is_empty() {
            return Err(NothingLeft::NoManifest);
        }
        // What `check` found good stays good when some of it is left out, unless no image is left.
        ReferenceValues::new(images, manifests, self.owner).map_err(|_| NothingLeft::NoImage)
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'.' || c == b'-';
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(plain)
}

fn released(node: &Node<'_>) -> Result<ReleasedImage, ReferenceError> {
    let (image, fields) = read::image(node, &["release"])?;
    Ok(ReleasedImage { image, release: fields.get("release")?.number32()? })
}

/// From the entries `origin` and `ed25519`.
pub(super) fn read_log_key(fields: &Fields<'_>) -> Result<LogKey, PayloadError> {
    Ok(LogKey::new(fields.get("origin")?.text()?, fields.get("ed25519")?.public_key()?)?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ed25519::tests::signer;
    use serde_json::{Value, json};

    pub(crate) fn measured(byte: u8) -> Measurement {
        Measurement::new([byte; 48])
    }

    /// Two images of releases 1 and 2, valid from 1,000,000 s for thirty days, signed next by signers 1 or 2.
    pub(crate) fn payload() -> Payload {
        let image = |byte, release| {
            let [pcr0, pcr1, pcr2] = [byte, byte + 1, byte + 2].map(measured);
            ReleasedImage { image: Image { pcr0, pcr1, pcr2 }, release }
        };
        let issued = Timestamp::from_secs(1_000_000);
        Payload {
            name: "acme-chat".into(),
            version: 5,
            issued,
            expires: issued.plus_millis(30 * DAY_MS),
            images: vec![image(0x10, 1), image(0x20, 2)],
            minimum_release: 1,
            manifests: vec![measured(0x30), measured(0x31)],
            deny: vec![],
            owner: Owner::Signer { pcr8: measured(0x40) },
            signers: Signers::new(vec![signer(1).public(), signer(2).public()], 1).unwrap(),
            log: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut payload = payload();
        assert_eq!(Payload::parse(payload.to_json().as_bytes()), Ok(payload.clone()));
        payload.log = Some(LogKey::new("log.example", signer(9).public()).unwrap());
        assert_eq!(Payload::parse(payload.to_json().as_bytes()), Ok(payload));
    }

    #[test]
    fn the_table_of_refusals() {
        use PayloadError as Is;
        use ReferenceError as Values;
        let at = |at: &str| at.to_owned();
        let number = |place: &str, wanted| Values::WrongType { at: at(place), wanted }.into();
        let whole = "a whole number from 0 to 2^53 - 1";
        let (issued, day) = (Timestamp::from_secs(1_000_000), DAY_MS);
        let end = |ms| Value::from(issued.as_millis() + ms);
        let keys = |keys: Value, threshold: u32| json!({ "keys": keys, "threshold": threshold });
        let key = signer(1).public().to_string();
        let table: Vec<(&str, Value, Is)> = vec![
            ("/name", json!(""), Is::Name),
            ("/name", json!("Acme"), Is::Name),
            ("/name", json!("a".repeat(65)), Is::Name),
            ("/version", json!(0), Is::Version),
            ("/version", json!(-1), number("version", whole)),
            ("/version", json!(1.5), number("version", whole)),
            ("/version", json!(MAX_SAFE + 1), number("version", whole)),
            ("/expires_ms", end(0), Is::Validity { issued, expires: issued }),
            ("/expires_ms", end(400 * day + 1), Is::TooLong { days: 400 }),
            ("/expires_ms", end(401 * day), Is::TooLong { days: 401 }),
            (
                "/minimum_release",
                json!(1u64 << 32),
                number("minimum_release", "a whole number from 0 to 2^32 - 1"),
            ),
            ("/images", json!([]), Values::OwnerOnly { register: "pcr8" }.into()),
            ("/images/0/pcr0", json!("00".repeat(48)), Values::ZeroImage { register: "pcr0" }.into()),
            (
                "/images/1/pcr1",
                json!("0"),
                Values::WrongDigits { at: at("images[1].pcr1"), seen: 1, wanted: 96 }.into(),
            ),
            ("/manifests", json!([]), Values::NoManifests.into()),
            ("/deny/0", json!("x".repeat(96)), Values::NotHex { at: at("deny[0]") }.into()),
            ("/owner", json!("me"), Values::UnknownOwner.into()),
            ("/signers", keys(json!([]), 1), SignersError::None.into()),
            ("/signers", keys(json!([key, key]), 1), SignersError::Twice.into()),
            ("/signers", keys(json!([key]), 2), SignersError::Threshold { threshold: 2, keys: 1 }.into()),
            (
                "/signers/keys/0",
                json!("0"),
                Values::WrongDigits { at: at("signers.keys[0]"), seen: 1, wanted: 64 }.into(),
            ),
            ("/log/origin", json!("two words"), CheckpointRefusal::BadOrigin.into()),
            ("/log", json!({ "origin": "x" }), Values::Missing { at: at("log.ed25519") }.into()),
        ];
        let mut good = payload();
        good.deny = vec![measured(1)];
        good.log = Some(LogKey::new("log.example", signer(9).public()).unwrap());
        let good: Value = serde_json::from_str(&good.to_json()).unwrap();
        for (place, value, expected) in table {
            let mut bad = good.clone();
            *bad.pointer_mut(place).unwrap() = value;
            assert_eq!(Payload::parse(bad.to_string().as_bytes()), Err(expected), "{place}");
        }
        for key in KEYS.into_iter().filter(|key| *key != "log" && *key != "images") {
            let mut bad = good.clone();
            bad.as_object_mut().unwrap().remove(key);
            assert_eq!(
                Payload::parse(bad.to_string().as_bytes()),
                Err(Values::Missing { at: at(key) }.into())
            );
        }
        let unknown = good.to_string().replacen('{', "{\"debug\":1,", 1);
        assert_eq!(Payload::parse(unknown.as_bytes()), Err(Values::UnknownKey { at: at("debug") }.into()));
        assert_eq!(Payload::parse(&vec![b' '; MAX_PAYLOAD + 1]), Err(Values::TooLarge.into()));
    }

    const MAX_SAFE: u64 = (1 << 53) - 1;

    #[test]
    fn the_minimum_and_the_deny_list_take_away() {
        let accepted = |change: fn(&mut Payload)| {
            let mut changed = payload();
            change(&mut changed);
            let values = changed.accepted()?;
            Ok((values.images().len(), values.manifests().len()))
        };
        assert_eq!(accepted(|_| ()), Ok((2, 2)));
        assert_eq!(accepted(|p| p.minimum_release = 2), Ok((1, 2)));
        assert_eq!(accepted(|p| p.minimum_release = 3), Err(NothingLeft::NoImage));
        for register in [0x10, 0x11, 0x12] {
            let mut changed = payload();
            changed.deny = vec![measured(register)];
            assert_eq!(changed.accepted().unwrap().images(), &[payload().images[1].image]);
        }
        assert_eq!(accepted(|p| p.deny = vec![measured(0x30)]), Ok((2, 1)));
        assert_eq!(accepted(|p| p.deny = vec![measured(0x30), measured(0x31)]), Err(NothingLeft::NoManifest));
        assert_eq!(accepted(|p| p.deny = vec![measured(0x12), measured(0x20)]), Err(NothingLeft::NoImage));
        assert_eq!(accepted(|p| p.deny = vec![measured(0x40)]), Err(NothingLeft::Owner { register: "pcr8" }));
        assert_eq!(accepted(|p| p.deny = vec![measured(0x77)]), Ok((2, 2)));
    }
}
