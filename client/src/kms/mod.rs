//! Key policies of AWS KMS that release a key to attested enclaves and to nobody else: [`policy`] writes one, [`lint`] finds what is
//! wrong in one.
//!
//! # Promises
//! - Nothing here asks AWS anything. What is read is a file, within limits.
//!
//! # Does not
//! - Evaluate a policy as AWS does: IAM policies, grants and organisations have a say, too. What lint does not understand in a
//!   statement that allows something is an error, never a pass.
//!
//! Source: AWS KMS developer guide, "Condition keys for Nitro Enclaves", "How Nitro Enclaves uses KMS"; AWS IAM user guide, "IAM JSON
//! policy elements".

pub mod lint;
pub mod policy;
mod statement;

/// Prefix of the condition keys, to which the number of a register is added.
pub(crate) const REGISTER: &str = "kms:RecipientAttestation:PCR";
/// Another name of PCR0.
pub(crate) const IMAGE: &str = "kms:RecipientAttestation:ImageSha384";
/// Prefix of the condition keys for an entry of the encryption context.
pub(crate) const CONTEXT: &str = "kms:EncryptionContext:";
/// The entry that binds the release manifest: PCR16, in hex.
pub const CONTEXT_MANIFEST: &str = "adyton-manifest";
/// The entry that binds the weights: their SHA-256, in hex.
pub const CONTEXT_MODEL: &str = "adyton-model";

/// What gives out plaintext, and can be tied to an attested enclave (AWS KMS developer guide).
pub(crate) const RELEASE: [&str; 4] =
    ["kms:Decrypt", "kms:DeriveSharedSecret", "kms:GenerateDataKey", "kms:GenerateDataKeyPair"];
/// What turns a ciphertext into one that another key opens, or hands rights on; none can be tied to an enclave.
pub(crate) const DETOUR: [&str; 3] = ["kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:CreateGrant"];
/// What changes who may do all that.
pub(crate) const CHANGE: [&str; 1] = ["kms:PutKeyPolicy"];
