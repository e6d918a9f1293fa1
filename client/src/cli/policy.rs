//! `adyton policy`: makes, signs, publishes and examines reference values, and tests policy packs.

use super::commands::{at_path, keep, read_file};
use super::exit::Failure;
use super::reference::{now, public_key};
use super::{pack, show_policy};
use crate::files::replace;
use crate::policy::draft::{Draft, Measurements, manifest};
use crate::policy::lint::{Level, lint};
use crate::policy::publish::publish;
use crate::policy::{Document, read};
use adyton_attestation::ed25519::{PublicKey, Signer};
use adyton_attestation::measurement::Measurement;
use adyton_attestation::reference::{Image, Owner, Payload, ReferenceFile, compare};
use adyton_attestation::transparency::LogKey;
use clap::{Args, Subcommand};
use ring::rand::SystemRandom;
use serde_json::json;
use std::path::{Path, PathBuf};

/// For everybody to read.
const PUBLIC: u32 = 0o644;

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Compare what a policy pack decides with its golden table.
    #[command(
        after_help = "Example:\n  adyton policy test enclave/policy/packs/hr --schema enclave/policy/adyton.cedarschema"
    )]
    Test(pack::Folder),
    /// Decide one question under a policy pack, and say which policies decided it.
    #[command(after_help = "Example:\n  adyton policy explain enclave/policy/packs/hr \
                      --schema enclave/policy/adyton.cedarschema --question question.toml")]
    Explain {
        #[command(flatten)]
        folder: pack::Folder,
        /// The question, as [row.question] of a table.
        #[arg(long, value_name = "FILE")]
        question: PathBuf,
    },
    /// Make a signing key, for reference values or for a log; prints its public key.
    #[command(after_help = "Example:\n  adyton policy key --out signer.key")]
    Key {
        /// Where to write the private key. A file that is there is kept.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Draft reference values from a build, or the version that follows another.
    #[command(after_help = "Examples:\n  nitro-cli build-enclave .. > build.json\n  \
                      adyton policy new --name acme-chat --measurements build.json --manifest release/manifest.json \\\n    \
                      --signer-pcr8 .. --signer-key .. --out draft.json\n  \
                      adyton policy new --previous reference.json --measurements build.json --manifest .. --out draft.json")]
    New(Box<New>),
    /// Sign a draft, or add a signature to a signed file.
    #[command(after_help = "Example:\n  adyton policy sign draft.json --key signer.key --out reference.json")]
    Sign {
        /// The draft or the signed file.
        file: PathBuf,
        /// The signer's key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Where to write the signed file; in place by default.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Append a signed file to a log of releases, and write the proofs into the file.
    #[command(after_help = "Example:\n  adyton policy publish reference.json --log log/ --log-key log.key")]
    Publish {
        /// The signed file.
        file: PathBuf,
        /// The log's folder, made if it is not there.
        #[arg(long, value_name = "DIR")]
        log: PathBuf,
        /// The log's key.
        #[arg(long, value_name = "FILE")]
        log_key: PathBuf,
        /// Where to write the file with its proofs; in place by default.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show what a file says, who signed it, and what its log shows. Trusts nobody and decides nothing.
    #[command(after_help = "Examples:\n  adyton policy inspect reference.json\n  \
                      adyton policy inspect reference.json --against the-file-of-somebody-else.json")]
    Inspect {
        /// Reference values of any form.
        file: PathBuf,
        /// Compare with another file: can both be honest?
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
    },
    /// Find what clients would refuse (exit code 1), and what is unwise (a warning).
    #[command(after_help = "Example:\n  adyton policy lint reference.json")]
    Lint {
        /// Reference values of any form.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct New {
    /// Where to write the draft.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The version before, signed or not; everything in it is carried on.
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// What these reference values are called: a-z, 0-9, "." and "-".
    #[arg(long)]
    name: Option<String>,
    /// What `nitro-cli build-enclave` printed; may be repeated. Its PCR8, if any, names the owner unless another is named.
    #[arg(long, value_name = "FILE")]
    measurements: Vec<PathBuf>,
    /// PCR0 of an image.
    #[arg(long, value_name = "HEX", value_parser = measurement, requires_all = ["pcr1", "pcr2"])]
    pcr0: Option<Measurement>,
    /// PCR1 of the same image.
    #[arg(long, value_name = "HEX", value_parser = measurement, requires_all = ["pcr0", "pcr2"])]
    pcr1: Option<Measurement>,
    /// PCR2 of the same image.
    #[arg(long, value_name = "HEX", value_parser = measurement, requires_all = ["pcr0", "pcr1"])]
    pcr2: Option<Measurement>,
    /// The release that these images belong to; one more than before by default.
    #[arg(long, value_name = "N")]
    release: Option<u32>,
    /// The oldest release that is still accepted.
    #[arg(long, value_name = "N")]
    minimum_release: Option<u32>,
    /// A release manifest: PCR16, or the file; may be repeated.
    #[arg(long = "manifest", value_name = "HEX|FILE")]
    manifests: Vec<String>,
    /// A measurement that is not accepted, wherever it is listed; may be repeated.
    #[arg(long, value_name = "HEX", value_parser = measurement)]
    deny: Vec<Measurement>,
    #[command(flatten)]
    owner: OwnerArgs,
    /// The public key of one who may sign the next version; may be repeated. Replaces those before.
    #[arg(long = "signer-key", value_name = "HEX", value_parser = public_key)]
    signer_keys: Vec<PublicKey>,
    /// How many of them must sign.
    #[arg(long, value_name = "N")]
    threshold: Option<u32>,
    /// Days until it expires.
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=400))]
    valid_days: u64,
    /// The name of the log that it will be published in, such as log.example/releases.
    #[arg(long, value_name = "ORIGIN", requires = "log_key_public")]
    log_origin: Option<String>,
    /// The log's public key.
    #[arg(long, value_name = "HEX", value_parser = public_key, requires = "log_origin")]
    log_key_public: Option<PublicKey>,
}

/// Whose enclave it may be.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct OwnerArgs {
    /// One whose image was signed with the certificate of this PCR8.
    #[arg(long, value_name = "HEX", value_parser = measurement)]
    signer_pcr8: Option<Measurement>,
    /// One whose parent instance has the role of this PCR3.
    #[arg(long, value_name = "HEX", value_parser = measurement)]
    role_pcr3: Option<Measurement>,
    /// One on the instance of this PCR4.
    #[arg(long, value_name = "HEX", value_parser = measurement)]
    instance_pcr4: Option<Measurement>,
    /// One that the operator with this key has endorsed.
    #[arg(long, value_name = "HEX", value_parser = public_key)]
    endorser: Option<PublicKey>,
    /// Anyone's at all: then whoever runs it may be an adversary of yours.
    #[arg(long)]
    anyone_at_all: bool,
}

impl OwnerArgs {
    fn owner(&self) -> Option<Owner> {
        let signer = self.signer_pcr8.map(|pcr8| Owner::Signer { pcr8 });
        let role = self.role_pcr3.map(|pcr3| Owner::Role { pcr3 });
        let instance = self.instance_pcr4.map(|pcr4| Owner::Instance { pcr4 });
        let endorser = self.endorser.map(|ed25519| Owner::Endorser { ed25519 });
        signer.or(role).or(instance).or(endorser).or(self.anyone_at_all.then_some(Owner::AnyoneAtAll))
    }
}

fn measurement(text: &str) -> Result<Measurement, String> {
    let digits = text.chars().count();
    if digits != 96 {
        return Err(format!("{digits} digits instead of 96"));
    }
    let bytes = hex::decode(text).map_err(|_| "a character is not a hexadecimal digit")?;
    Measurement::from_slice(&bytes).ok_or_else(|| "a measurement has 48 bytes".to_owned())
}

pub(super) fn run(policy: Policy, json: bool) -> Result<(), Failure> {
    match policy {
        Policy::Test(folder) => pack::test(&folder, json),
        Policy::Explain { folder, question } => pack::explain(&folder, &question, json),
        Policy::Key { out } => key(&out, json),
        Policy::New(new) => draft(*new, json),
        Policy::Sign { file, key, out } => sign(&file, &key, out.as_deref(), json),
        Policy::Publish { file, log, log_key, out } => append(&file, &log, &log_key, out.as_deref(), json),
        Policy::Inspect { file, against } => inspect(&file, against.as_deref(), json),
        Policy::Lint { file } => check(&file, json),
    }
}

fn key(out: &Path, json: bool) -> Result<(), Failure> {
    if out.exists() {
        let message =
            format!("{}: a file is there, and a key is not written over; name another", out.display());
        return Err(Failure::internal(message));
    }
    let pkcs8 = Signer::new_pkcs8(&SystemRandom::new()).map_err(Failure::internal)?;
    let public = Signer::from_pkcs8(&pkcs8).map_err(Failure::internal)?.public();
    keep(out, &pkcs8)?;
    if json {
        println!("{}", json!({ "ed25519": public }));
    } else {
        println!("{public}");
    }
    Ok(())
}

fn draft(new: New, json: bool) -> Result<(), Failure> {
    let mut images = Vec::new();
    let mut owner = new.owner.owner();
    for path in &new.measurements {
        let built = Measurements::parse(&read_file(path)?).map_err(|e| at_path(path, e))?;
        images.push(built.image());
        owner = owner.or(built.owner().filter(|_| new.previous.is_none()));
    }
    if let (Some(pcr0), Some(pcr1), Some(pcr2)) = (new.pcr0, new.pcr1, new.pcr2) {
        images.push(Image { pcr0, pcr1, pcr2 });
    }
    let log = match (new.log_origin, new.log_key_public) {
        (Some(origin), Some(key)) => Some(LogKey::new(&origin, key).map_err(Failure::internal)?),
        _ => None,
    };
    let manifests: Result<_, _> = new.manifests.iter().map(|text| manifest(text)).collect();
    let draft = Draft {
        name: new.name,
        images,
        release: new.release,
        minimum_release: new.minimum_release,
        manifests: manifests.map_err(Failure::internal)?,
        deny: new.deny,
        owner,
        signers: new.signer_keys,
        threshold: new.threshold,
        log,
        valid_days: new.valid_days,
    };
    let previous = new.previous.as_deref().map(previous).transpose()?;
    let payload = draft.payload(previous.as_ref(), now()).map_err(Failure::internal)?;
    write(&new.out, payload.to_json() + "\n")?;
    if json {
        println!("{}", json!({ "payload": payload }));
    } else {
        show_policy::payload(&payload, now());
        println!("not signed yet: adyton policy sign {} --key FILE", new.out.display());
    }
    Ok(())
}

/// The version before. If it is signed, each signature must verify: what follows carries its content on.
fn previous(path: &Path) -> Result<Payload, Failure> {
    let document = document(path)?;
    if let Document::Signed(file) = &document
        && (file.signatures().is_empty() || file.signed_by().len() != file.signatures().len())
    {
        return Err(reference_at(path, "it has no signature, or one that does not verify; get it again"));
    }
    let unversioned = "unsigned reference values have no version to follow; draft the first with --name";
    document.payload().cloned().ok_or_else(|| at_path(path, unversioned))
}

fn sign(path: &Path, key: &Path, out: Option<&Path>, json: bool) -> Result<(), Failure> {
    let signer = signer(key)?;
    let bytes = bytes(path)?;
    let mut file = match Document::parse(&bytes).map_err(|e| reference_at(path, e))? {
        Document::Signed(file) => file,
        Document::Payload(_) => ReferenceFile::unsigned(&bytes).map_err(|e| reference_at(path, e))?,
        Document::Plain(_) => {
            return Err(at_path(
                path,
                "unsigned reference values cannot be signed; draft with `adyton policy new`",
            ));
        }
    };
    file.payload().accepted().map_err(|e| reference_at(path, e))?;
    file.sign(&signer).map_err(|e| at_path(path, e))?;
    write(out.unwrap_or(path), file.to_json())?;
    if json {
        println!("{}", json!({ "signed_by": file.signed_by() }));
    } else {
        println!(
            "signed version {} of {} with {}",
            file.payload().version,
            file.payload().name,
            signer.public()
        );
    }
    Ok(())
}

fn append(path: &Path, log: &Path, key: &Path, out: Option<&Path>, json: bool) -> Result<(), Failure> {
    let signer = signer(key)?;
    let file = ReferenceFile::parse(&bytes(path)?).map_err(|e| reference_at(path, e))?;
    let done = publish(log, &signer, &file).map_err(Failure::internal)?;
    let out = out.unwrap_or(path);
    if done.file != file || out != path {
        write(out, done.file.to_json())?;
    }
    if json {
        println!("{}", json!({ "index": done.index, "size": done.size, "appended": done.appended }));
    } else {
        let word = if done.appended { "appended as" } else { "was in the log already, as" };
        println!("{word} leaf {} of {}; inclusion and consistency verified", done.index, done.size);
    }
    Ok(())
}

fn inspect(path: &Path, against: Option<&Path>, json: bool) -> Result<(), Failure> {
    let document = document(path)?;
    let compared = against.map(|other| compared(path, &document, other)).transpose()?;
    if json {
        let mut value = show_policy::json(&document, now());
        if let (Some(compared), Some(map)) = (compared, value.as_object_mut()) {
            let against = json!({ "versions_compared": compared.versions, "logs_compared": compared.logs });
            map.insert("against".to_owned(), against);
        }
        println!("{value}");
    } else {
        show_policy::document(&document, now());
        if let Some(compared) = compared {
            show_policy::compared(compared);
        }
    }
    Ok(())
}

fn compared(
    path: &Path,
    document: &Document,
    other: &Path,
) -> Result<adyton_attestation::reference::Compared, Failure> {
    let Document::Signed(file) = document else {
        return Err(at_path(path, "only signed files are compared; this one is not signed"));
    };
    let other = ReferenceFile::parse(&bytes(other)?).map_err(|e| reference_at(other, e))?;
    compare(file, &other).map_err(Failure::reference)
}

fn check(path: &Path, json: bool) -> Result<(), Failure> {
    let found = lint(&bytes(path)?, now());
    let errors = found.iter().filter(|finding| finding.level == Level::Error).count();
    if json {
        println!("{}", json!({ "findings": found }));
    } else {
        found.iter().for_each(show_policy::finding);
        println!("{errors} errors, {} warnings", found.len() - errors);
    }
    if errors > 0 {
        return Err(at_path(path, "clients would refuse this file"));
    }
    Ok(())
}

fn document(path: &Path) -> Result<Document, Failure> {
    Document::parse(&bytes(path)?).map_err(|e| reference_at(path, e))
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    read(path).map_err(|e| at_path(path, e))
}

fn signer(path: &Path) -> Result<Signer, Failure> {
    Signer::from_pkcs8(&bytes(path)?).map_err(|e| at_path(path, e))
}

fn write(path: &Path, text: String) -> Result<(), Failure> {
    replace(path, text.as_bytes(), PUBLIC).map_err(|e| at_path(path, e))
}

fn reference_at(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::reference(format!("{}: {error}", path.display()))
}
