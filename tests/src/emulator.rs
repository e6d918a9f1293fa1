//! The real image in QEMU's Nitro machine, whose security module signs under a development root made for one run.
//!
//! # Promises
//! - Where emulator or image is not to be had, or the image is older than what it is built from, [`Emulator::find`] says which, so
//!   that a test can say loudly that it was skipped.
//! - The machine gets a chain of its own; whoever pins AWS's root refuses what it signs.
//!
//! # Does not
//! - Build: `make qemu` does.
//!
//! # Trusts
//! - QEMU, with the patch beside `deploy/qemu/build`. It protects nothing.

use crate::pki::{Pki, pem};
use crate::simulation::{ROOT_FILE, now_ms};
use adyton_attestation::measurement::{Measurement, ZERO, extend};
use adyton_attestation::reference::{Image, Owner};
use anyhow::{Context, Result, bail};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The parent instance that the machine says it runs on; it is in PCR4.
const PARENT: &str = "i-0123456789abcdef0";
/// Memory of the machine: four times the image is a quarter of it.
const MEMORY_MIB: u32 = 768;
/// What the image is built from.
const SOURCES: [&str; 8] = [
    "Cargo.lock",
    "attestation",
    "wire",
    "decision",
    "enclave",
    "deploy/image",
    "deploy/kernel",
    "deploy/pinned.sha256",
];

/// An emulator and an image for it.
#[derive(Clone, Debug)]
pub struct Emulator {
    /// The folder with the emulator's programs.
    pub folder: PathBuf,
    /// The image.
    pub eif: PathBuf,
    /// What the build of the image printed.
    pub image: Image,
    /// Memory of the machine.
    pub memory_mib: u32,
    /// Further arguments of QEMU.
    pub more: Vec<String>,
}

impl Emulator {
    /// What `make qemu` has built.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn find() -> Result<Emulator> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let built = fs::read_dir(root.join(".cache/qemu")).ok().into_iter().flatten().flatten();
        let whole = built.map(|entry| entry.path()).filter(|folder| folder.join("whole").is_file());
        let newest = whole.max_by_key(|folder| modified(&folder.join("whole")));
        let folder = newest.context("QEMU with the nitro-enclave machine is not built")?;
        let eif = root.join("target/eif/adyton.eif");
        let built = modified(&eif).context("the enclave image is not built")?;
        for source in SOURCES {
            if let Some(newer) = newer(&root.join(source), built) {
                bail!("the enclave image is older than {}", newer.display());
            }
        }
        let printed: serde_json::Value = serde_json::from_slice(&fs::read(eif.with_file_name("pcrs.json"))?)?;
        let register = |name: &str| -> Result<Measurement> {
            let text = printed.get(name).and_then(|value| value.as_str()).context("pcrs.json")?;
            Measurement::from_slice(&hex::decode(text)?).context("pcrs.json")
        };
        let image = Image { pcr0: register("PCR0")?, pcr1: register("PCR1")?, pcr2: register("PCR2")? };
        Ok(Emulator { folder, eif, image, memory_mib: MEMORY_MIB, more: Vec::new() })
    }

    /// Whose enclave this is: one on this parent.
    pub fn owner(&self) -> Owner {
        Owner::Instance { pcr4: extend(&ZERO, PARENT.as_bytes()) }
    }

    /// Makes a root and a chain, writes them into a folder, and says what the host is started with.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn arguments(&self, folder: &Path) -> Result<Vec<String>> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| anyhow::anyhow!("no randomness"))?;
        let mut pki = Pki::new(seed);
        // A machine whose clock is a little behind finds the leaf valid already.
        let chain = pki.issue(i64::try_from(now_ms() / 1000)? - 60)?;
        fs::write(folder.join(ROOT_FILE), pki.root_der()?)?;
        let file = |name: &str, text: String| -> Result<String> {
            let path = folder.join(name);
            fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        let bundle = chain.cabundle.iter().map(|der| pem("CERTIFICATE", der)).collect();
        let signing = [
            ("x-attest-key", file("nsm.key", chain.key.pem())?),
            ("x-attest-cert", file("nsm.pem", pem("CERTIFICATE", &chain.certificate))?),
            ("x-attest-cabundle", file("nsm-chain.pem", bundle)?),
        ];
        let mut qemu = vec![
            "-machine".to_owned(),
            format!("nitro-enclave,id={},parent-id={PARENT},parent-role=adyton", pki.module_id()),
        ];
        for (property, value) in signing {
            qemu.extend(["-global".to_owned(), format!("virtio-nsm-device.{property}={value}")]);
        }
        qemu.extend(self.more.iter().cloned());
        let mut arguments: Vec<String> = [
            ("--qemu", self.folder.display().to_string()),
            ("--eif", self.eif.display().to_string()),
            ("--memory-mib", self.memory_mib.to_string()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect();
        arguments.extend(qemu.into_iter().map(|argument| format!("--qemu-arg={argument}")));
        Ok(arguments)
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// A file at or under a path that was changed after a time, if the programs in the image are made of it.
fn newer(path: &Path, than: SystemTime) -> Option<PathBuf> {
    if path.is_dir() {
        let tests = path.file_name().is_some_and(|name| name == "tests");
        return fs::read_dir(path)
            .ok()?
            .flatten()
            .filter(|_| !tests)
            .find_map(|entry| newer(&entry.path(), than));
    }
    (modified(path)? > than).then(|| path.to_owned())
}
