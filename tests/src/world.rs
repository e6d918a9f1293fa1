//! A whole world: issuer, release, host, enclave, and the files a client needs. Real programs, real sockets. The enclave is a
//! simulation of processes, or the real image in an emulator.
//!
//! # Promises
//! - It is up when [`World::start`] returns: the enclave has said that it listens. Nothing waits for a length of time.
//! - Everything ends with the value, also when its owner is killed (each process is tied to its parent).
//!
//! # Does not
//! - Build: the programs must stand beside the running one, and the model must be there.

use crate::emulator::Emulator;
use crate::simulation::{IMAGE_FILE, ImageFile, ROOT_FILE, ROOT_VARIABLE, anchor_from_file};
use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::reference::{Owner, ReferenceValues};
use adyton_client::release::EncoderFiles;
use adyton_client::session::{Chains, Policy, Target};
use adyton_client::{release, token};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// The name under which simulated enclaves offer their model.
pub const MODEL_NAME: &str = "smollm2-135m-instruct";
/// The name under which they offer their encoder.
pub const ENCODER_NAME: &str = "all-MiniLM-L6-v2";
/// The folder of audit logs in a world.
pub const AUDIT_FOLDER: &str = "audit";
/// Where the host and its enclave complain.
const ERRORS_FILE: &str = "errors.txt";
/// The issuer of simulated worlds.
pub const ISSUER: &str = "https://issuer.localhost";
/// The seed of enclaves that must look alike.
const SEED: &str = "5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed";
/// Its audience.
const AUDIENCE: &str = "adyton";

/// What to start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The GGUF file.
    pub model: PathBuf,
    /// The model's name.
    pub name: String,
    /// Where clients connect; a port of 0 takes a free one.
    pub listen: String,
    /// Addresses that the host connects the enclave to.
    pub egress: Vec<String>,
    /// Arguments for the simulated enclave.
    pub enclave_arguments: Vec<String>,
    /// How many simulated enclaves; several have one seed, so that one root and one set of reference values fits all.
    pub enclaves: usize,
    /// Further arguments for the host.
    pub host_arguments: Vec<String>,
    /// `peers.json` of the policy pack.
    pub peers: String,
    /// `auditors.json` of the policy pack.
    pub auditors: String,
    /// Other files of the policy pack, by name: in place of those that ship.
    pub policy: Vec<(&'static str, String)>,
    /// A change to the release folder after it was made: what a lying host would do.
    pub tamper: Option<fn(&Path) -> Result<()>>,
    /// The host serves metrics, on a free port.
    pub metrics: bool,
    /// The encoder of the release, if it is to have one.
    pub encoder: Option<EncoderFiles>,
    /// What the host shows goes to the terminal.
    pub show_host: bool,
    /// The real image in this emulator, in place of a simulation. The host then serves metrics: they tell when it is up.
    pub emulator: Option<Emulator>,
}

impl Plan {
    /// The ordinary plan for a model.
    pub fn new(model: PathBuf) -> Plan {
        Plan {
            model,
            name: MODEL_NAME.to_owned(),
            encoder: None,
            listen: "127.0.0.1:0".to_owned(),
            egress: Vec::new(),
            enclave_arguments: Vec::new(),
            enclaves: 1,
            host_arguments: Vec::new(),
            peers: "[]".to_owned(),
            auditors: "[]".to_owned(),
            policy: Vec::new(),
            tamper: None,
            metrics: false,
            show_host: false,
            emulator: None,
        }
    }
}

/// A running world.
#[derive(Debug)]
pub struct World {
    folder: tempfile::TempDir,
    host: Child,
    lines: BufReader<ChildStdout>,
    address: String,
    metrics: Option<String>,
    emulator: Option<Emulator>,
}

impl World {
    /// Makes an issuer and a release, starts host and enclave, and waits until the enclave listens.
    ///
    /// # Errors
    /// If a program or the model is missing, or the enclave ends before it listens.
    pub fn start(plan: &Plan) -> Result<World> {
        let folder = tempfile::tempdir()?;
        prepare(folder.path(), plan)?;
        if let Some(tamper) = plan.tamper {
            tamper(&folder.path().join("release"))?;
        }
        let mut host = spawn_host(folder.path(), plan)?;
        let lines = BufReader::new(host.stdout.take().context("the host's output")?);
        let emulator = plan.emulator.clone();
        let mut world = World { folder, host, lines, address: String::new(), metrics: None, emulator };
        let up = world.wait_until_up(plan.enclaves);
        up.map_err(|error| anyhow::anyhow!("before the enclave listened, {error}"))?;
        world.write_reference()?;
        Ok(world)
    }

    fn wait_until_up(&mut self, enclaves: usize) -> Result<()> {
        let mut up = 0;
        while self.address.is_empty() || up < enclaves {
            let said = self.next_said()?;
            if let Some(address) = said.get("listening").and_then(|a| a.as_str()) {
                address.clone_into(&mut self.address);
                self.metrics = said.get("metrics").and_then(|url| url.as_str()).map(str::to_owned);
            }
            // A simulation says so itself; of the image its own metrics tell.
            let online = self.emulator.is_some() && said.get("state").is_some_and(|state| state == "online");
            up += usize::from(said.get("enclave").is_some() || online);
        }
        Ok(())
    }

    /// The next line of host or enclave. Waits for it.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn next_said(&mut self) -> Result<serde_json::Value> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            let status = self.host.wait()?;
            bail!("the host ended ({status}):\n{}", self.errors());
        }
        Ok(serde_json::from_str(&line).unwrap_or_default())
    }

    /// What a relying party gets from whoever built the image and the release.
    fn write_reference(&self) -> Result<()> {
        let (image, owner) = match &self.emulator {
            Some(emulator) => (emulator.image, emulator.owner()),
            None => {
                let file: ImageFile = serde_json::from_slice(&fs::read(self.path(IMAGE_FILE))?)?;
                (file.image, Owner::Signer { pcr8: file.pcr8 })
            }
        };
        let manifest = fs::read(self.path("release").join(release::MANIFEST_FILE))?;
        let pcr16 = adyton_attestation::binding::manifest_pcr16(&manifest);
        // A debug enclave has no reference values, by construction; its tests bring their own.
        if let Ok(reference) = ReferenceValues::new(vec![image], vec![pcr16], owner) {
            fs::write(self.reference_file(), reference.to_json())?;
        }
        Ok(())
    }

    /// What the host and its enclave have complained of. Empty where that goes to the terminal.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.path(ERRORS_FILE)).unwrap_or_default()
    }

    /// Where clients connect.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The same, for the client library.
    pub fn target(&self) -> Target {
        Target::Tcp(self.address.clone())
    }

    /// Where the host serves metrics.
    ///
    /// # Errors
    /// If the plan has none.
    pub fn metrics(&self) -> Result<&str> {
        self.metrics.as_deref().context("this world's host serves no metrics")
    }

    /// A file of this world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The log of this world's enclave: the one file in its folder.
    ///
    /// # Errors
    /// If there is none, or another one beside it.
    pub fn audit_log(&self) -> Result<PathBuf> {
        let files = fs::read_dir(self.path(AUDIT_FOLDER))?.map(|file| Ok(file?.path()));
        let files: Vec<PathBuf> = files.collect::<std::io::Result<_>>()?;
        match files.as_slice() {
            [file] => Ok(file.clone()),
            other => bail!("{} audit logs in place of one", other.len()),
        }
    }

    /// The reference values of this world's enclave.
    pub fn reference_file(&self) -> PathBuf {
        self.path("reference.json")
    }

    /// The development root.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn anchor(&self) -> Result<TrustAnchor> {
        anchor_from_file(&self.path(ROOT_FILE))
    }

    /// The policy of a relying party who means this enclave.
    ///
    /// # Errors
    /// If the files of the world cannot be read.
    pub fn policy(&self) -> Result<Policy> {
        let reference = ReferenceValues::from_json(&fs::read(self.reference_file())?)?;
        let key_exchange = adyton_attestation::tls::KeyExchange::HybridOnly;
        Ok(Policy {
            anchor: self.anchor()?,
            reference,
            key_exchange,
            endorsement: None,
            chains: Chains::default(),
        })
    }

    /// A token for roles and a clearance, for `lifetime` seconds from `from` (seconds relative to now).
    ///
    /// # Errors
    /// If the issuer's key cannot be read.
    pub fn token(&self, roles: &[&str], clearance: u8, from: i64, lifetime: u64) -> Result<String> {
        self.token_of("developer", roles, clearance, from, lifetime)
    }

    /// As `token`, for another principal.
    ///
    /// # Errors
    /// If the issuer's key cannot be read.
    pub fn token_of(
        &self,
        subject: &str,
        roles: &[&str],
        clearance: u8,
        from: i64,
        lifetime: u64,
    ) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let iat = now.checked_add_signed(from).context("time")?;
        let claims = token::Claims {
            iss: ISSUER.into(),
            sub: subject.into(),
            aud: AUDIENCE.into(),
            iat,
            exp: iat + lifetime,
            tenant: "development".into(),
            roles: roles.iter().map(|r| (*r).to_owned()).collect(),
            clearance,
            sets: BTreeMap::new(),
        };
        Ok(token::mint(&fs::read(self.path("issuer.key"))?, &claims)?)
    }

    /// A token with which the shipped policy permits everyday chat.
    ///
    /// # Errors
    /// If the issuer's key cannot be read.
    pub fn chat_token(&self) -> Result<String> {
        self.token(&["chat"], 0, 0, 12 * 3600)
    }

    /// The simulated `adyton` command, told this world's root.
    ///
    /// # Errors
    /// If the program is not there.
    pub fn client(&self) -> Result<Command> {
        let mut command = Command::new(program("adyton-sim-client")?);
        command.env(ROOT_VARIABLE, self.path(ROOT_FILE)).env_remove("ADYTON_TOKEN");
        Ok(command)
    }

    /// The host's process.
    pub fn host(&mut self) -> &mut Child {
        &mut self.host
    }

    /// Process IDs of the enclave's processes, by program name: read from `/proc`, where the host's children stand.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn descendants(&self, name: &str) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        let mut parents = vec![self.host.id()];
        while let Some(parent) = parents.pop() {
            for child in children(parent)? {
                parents.push(child);
                let command = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
                let program = command.split(|&b| b == 0).next().unwrap_or_default();
                if program.ends_with(name.as_bytes()) {
                    found.push(child);
                }
            }
        }
        Ok(found)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Asked first, so that the host ends the enclave; killed if it is gone already, which changes nothing.
        if let Some(pid) = i32::try_from(self.host.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.host.wait();
    }
}

fn children(parent: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The name in parentheses may hold anything; the fields after the last one are state and parent.
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        if fields.nth(1).and_then(|p| p.parse::<u32>().ok()) == Some(parent) {
            found.push(pid);
        }
    }
    Ok(found)
}

fn prepare(folder: &Path, plan: &Plan) -> Result<()> {
    let key = token::new_key()?;
    fs::write(folder.join("issuer.key"), &key)?;
    let policy = folder.join("policy");
    fs::create_dir(&policy)?;
    for name in adyton_wire::manifest::POLICY_FILES {
        fs::copy(policy_folder().join(name), policy.join(name)).with_context(|| name.to_owned())?;
    }
    let issuers = serde_json::json!([token::issuer_entry(&key, ISSUER, AUDIENCE)?]);
    fs::write(policy.join("issuers.json"), issuers.to_string())?;
    fs::write(policy.join("peers.json"), &plan.peers)?;
    fs::write(policy.join("auditors.json"), &plan.auditors)?;
    for (name, text) in &plan.policy {
        fs::write(policy.join(name), text)?;
    }
    release::build(&plan.model, &plan.name, plan.encoder.as_ref(), &policy, &folder.join("release"), |_| ())?;
    Ok(())
}

fn spawn_host(folder: &Path, plan: &Plan) -> Result<Child> {
    let mut command = Command::new(program("adyton-host")?);
    command.args(["run", "--json", "--listen", &plan.listen]);
    if !plan.host_arguments.iter().any(|argument| argument == "--drain") {
        command.args(["--drain", "0"]);
    }
    command.arg("--release").arg(folder.join("release"));
    command.arg("--audit").arg(folder.join(AUDIT_FOLDER));
    for number in 0..plan.enclaves {
        let bus = if number == 0 { "bus".to_owned() } else { format!("bus{number}") };
        command.arg("--enclave").arg(format!("unix:{}", folder.join(bus).display()));
    }
    if let Some(emulator) = &plan.emulator {
        command.args(emulator.arguments(folder)?);
    } else {
        simulate(&mut command, folder, plan)?;
    }
    if plan.enclaves > 1 {
        command.args(["--simulator-arg", "--seed", "--simulator-arg", SEED]);
    }
    command.args(&plan.host_arguments);
    for address in &plan.egress {
        command.arg("--egress").arg(address);
    }
    if plan.metrics || plan.emulator.is_some() {
        command.args(["--metrics", "127.0.0.1:0"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    if !plan.show_host {
        command.stderr(fs::File::create(folder.join(ERRORS_FILE))?);
    }
    command.spawn().context("adyton-host")
}

fn simulate(command: &mut Command, folder: &Path, plan: &Plan) -> Result<()> {
    command.arg("--simulator").arg(program("adyton-sim-enclave")?);
    for argument in ["--state".to_owned(), folder.display().to_string()].iter().chain(&plan.enclave_arguments)
    {
        command.arg("--simulator-arg").arg(argument);
    }
    Ok(())
}

/// The policy pack that ships.
pub fn policy_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../enclave/policy")
}

/// The default model in the cache, as `make model` leaves it; `ADYTON_TEST_MODEL` names another.
///
/// # Errors
/// If it is not there.
pub fn default_model() -> Result<PathBuf> {
    let cached =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    let path = std::env::var_os("ADYTON_TEST_MODEL").map_or(cached, PathBuf::from);
    if path.is_file() { Ok(path) } else { bail!("{}: the model is absent; run `make model`", path.display()) }
}

/// The default encoder in the cache, as `make model` leaves it.
///
/// # Errors
/// If it is not there.
pub fn default_encoder() -> Result<EncoderFiles> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/models");
    let [weights, tokenizer] =
        ["safetensors", "tokenizer.json"].map(|kind| cache.join(format!("{ENCODER_NAME}.{kind}")));
    for file in [&weights, &tokenizer] {
        if !file.is_file() {
            bail!("{}: the encoder is absent; run `make model`", file.display());
        }
    }
    Ok(EncoderFiles { name: ENCODER_NAME.to_owned(), weights, tokenizer })
}

/// A program beside the running one. Test binaries stand one folder deeper.
///
/// # Errors
/// If it was not built.
pub fn program(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let found = here.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built; run `make build`"))
}
