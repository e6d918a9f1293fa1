//! AWS's `nitro-cli`: starts, lists and ends enclaves on this instance, and reads what it prints within limits.
//!
//! Promises
//! - Never a debug enclave: the argument for it does not exist here.
//! - An enclave that an earlier host left behind under our name and address is ended first; anybody else's is left alone and told of.
//! - What it prints is bounded in size and in time, and an ID that could be read as an option is refused.
//!
//! Trusts: `nitro-cli` to do what it says. Nobody in the enclave or at the client does.
//!
//! Source: AWS Nitro Enclaves user guide, "nitro-cli run-enclave", "describe-enclaves", "terminate-enclave"; the crate
//! `aws-nitro-enclaves-cli`, `common/json_output.rs`.

use serde_json::Value;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

/// Most that it may print. A description is half a kilobyte, and an instance has at most four enclaves (user guide).
const MAX_OUTPUT: u64 = 64 * 1024;
/// Longest ID: `i-` and `-enc` with 17 digits each are 41 characters.
const MAX_ID: usize = 128;
/// How long it may take to start an enclave. It waits for the heartbeat by itself, and loads the image before.
const RUN: Duration = Duration::from_secs(180);
/// How long anything else may take.
const ASK: Duration = Duration::from_secs(30);

/// The program, by name or path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NitroCli(PathBuf);

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The file.
    pub eif: PathBuf,
    /// Processors.
    pub cpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
}

/// An enclave on this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// `EnclaveID`.
    pub id: String,
    /// `EnclaveName`; older versions have none.
    pub name: Option<String>,
    /// `EnclaveCID`.
    pub cid: u32,
    /// `State` is `RUNNING`.
    pub running: bool,
    /// `Flags` has `DEBUG_MODE`: such an enclave has no measurements, and every client refuses it.
    pub debug: bool,
}

/// Why `nitro-cli` did not do it.
#[derive(Debug, Error)]
pub enum NitroError {
    /// It could not be run.
    #[error("{0}: {1}; install aws-nitro-enclaves-cli, or name it with --nitro-cli")]
    Run(PathBuf, io::Error),
    /// It said no, on standard error.
    #[error(
        "nitro-cli {0} failed ({1}); what it said stands above, and `adyton-host doctor` looks for the usual reasons"
    )]
    Failed(&'static str, ExitStatus),
    /// It did not end.
    #[error("nitro-cli {0} did not end in {1} s and was killed")]
    Slow(&'static str, u64),
    /// It printed something else than its documentation says.
    #[error("nitro-cli {0} printed something else than an enclave's description")]
    Output(&'static str),
    /// The address is taken.
    #[error(
        "the address vsock:{cid} is taken by the enclave {id}, which is not ours; choose another, or end it"
    )]
    Taken {
        /// Which address.
        cid: u32,
        /// By whom.
        id: String,
    },
}

impl NitroCli {
    /// The program at a path, or of a name.
    pub fn new(program: PathBuf) -> NitroCli {
        NitroCli(program)
    }

    /// Starts an image at an address, after ending what an earlier host left there under our name. Returns its ID.
    ///
    /// # Errors
    /// [`NitroError`]
    pub async fn run(&self, image: &Image, cid: u32) -> Result<String, NitroError> {
        let name = name(cid);
        if let Some(there) = self.describe().await?.into_iter().find(|there| there.cid == cid) {
            if there.name.as_ref() != Some(&name) {
                return Err(NitroError::Taken { cid, id: there.id });
            }
            self.terminate(&there.id).await?;
        }
        let mut command = Command::new(&self.0);
        command.args(["run-enclave", "--enclave-name", &name, "--eif-path"]).arg(&image.eif);
        command.args(["--cpu-count", &image.cpus.to_string(), "--memory", &image.memory_mib.to_string()]);
        command.args(["--enclave-cid", &cid.to_string()]);
        let printed = self.ask(command, "run-enclave", RUN).await?;
        started(&printed, cid).ok_or(NitroError::Output("run-enclave"))
    }

    /// All enclaves of this instance.
    ///
    /// # Errors
    /// [`NitroError`]
    pub async fn describe(&self) -> Result<Vec<Described>, NitroError> {
        let mut command = Command::new(&self.0);
        command.arg("describe-enclaves");
        let printed = self.ask(command, "describe-enclaves", ASK).await?;
        described(&printed).ok_or(NitroError::Output("describe-enclaves"))
    }

    /// Ends one.
    ///
    /// # Errors
    /// [`NitroError`]
    pub async fn terminate(&self, id: &str) -> Result<(), NitroError> {
        let mut command = Command::new(&self.0);
        command.args(["terminate-enclave", "--enclave-id", id]);
        self.ask(command, "terminate-enclave", ASK).await.map(drop)
    }

    async fn ask(
        &self,
        mut command: Command,
        what: &'static str,
        limit: Duration,
    ) -> Result<Vec<u8>, NitroError> {
        let run = |e| NitroError::Run(self.0.clone(), e);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(run)?;
        let stdout = child.stdout.take();
        let asked = async {
            let printed = bounded(stdout).await?;
            Ok((printed, child.wait().await?))
        };
        let Ok(asked) = timeout(limit, asked).await else {
            return Err(NitroError::Slow(what, limit.as_secs()));
        };
        match asked.map_err(run)? {
            (_, status) if !status.success() => Err(NitroError::Failed(what, status)),
            (None, _) => Err(NitroError::Output(what)),
            (Some(printed), _) => Ok(printed),
        }
    }
}

/// The name under which our enclaves run.
fn name(cid: u32) -> String {
    format!("adyton-{cid}")
}

/// Everything that comes, or `None` beyond the limit.
async fn bounded(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Option<Vec<u8>>> {
    let Some(stream) = stream else { return Ok(None) };
    let mut printed = Vec::new();
    // Dropped after that: who goes on printing is told that nobody reads.
    stream.take(MAX_OUTPUT + 1).read_to_end(&mut printed).await?;
    Ok((printed.len() as u64 <= MAX_OUTPUT).then_some(printed))
}

/// The ID in what `run-enclave` prints: perhaps lines of words, then a JSON object.
fn started(printed: &[u8], cid: u32) -> Option<String> {
    let start = printed.iter().position(|&b| b == b'{')?;
    let value: Value = serde_json::from_slice(printed.get(start..)?).ok()?;
    (value.get("EnclaveCID")?.as_u64()? == u64::from(cid)).then_some(())?;
    id(&value)
}

fn described(printed: &[u8]) -> Option<Vec<Described>> {
    let value: Value = serde_json::from_slice(printed).ok()?;
    value.as_array()?.iter().map(one).collect()
}

fn one(value: &Value) -> Option<Described> {
    Some(Described {
        id: id(value)?,
        name: value.get("EnclaveName").and_then(Value::as_str).map(str::to_owned),
        cid: u32::try_from(value.get("EnclaveCID")?.as_u64()?).ok()?,
        running: value.get("State")?.as_str()?.eq_ignore_ascii_case("running"),
        debug: value.get("Flags")?.as_str()?.to_ascii_uppercase().contains("DEBUG"),
    })
}

fn id(value: &Value) -> Option<String> {
    let id = value.get("EnclaveID")?.as_str()?;
    let letters = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (letters && id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.len() <= MAX_ID)
        .then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "i-05f6ed443aEXAMPLE-enc173dfe3eEXAMPLE";

    #[test]
    fn the_enclave_is_found_behind_the_words_and_is_the_one_at_our_address() {
        // As printed by nitro-cli 1.4 (AWS user guide, "run-enclave").
        let printed = format!(
            "Start allocating memory...\nStarted enclave with enclave-cid: 16\n\
             {{\n  \"EnclaveID\": \"{ID}\",\n  \"EnclaveCID\": 16\n}}\n"
        );
        assert_eq!(started(printed.as_bytes(), 16).as_deref(), Some(ID));
        assert_eq!(started(printed.as_bytes(), 17), None);
        for bad in ["Started", "", "{", "{\"EnclaveID\": 5, \"EnclaveCID\": 16}", "{\"EnclaveCID\": 16}"] {
            assert_eq!(started(bad.as_bytes(), 16), None, "{bad}");
        }
        for id in ["--all", "", "a b", "x/../y", &"a".repeat(MAX_ID + 1)] {
            let printed = serde_json::json!({ "EnclaveID": id, "EnclaveCID": 16 }).to_string();
            assert_eq!(started(printed.as_bytes(), 16), None, "{id}");
        }
    }

    #[test]
    fn descriptions_are_read_or_refused_whole() {
        // AWS user guide, "describe-enclaves".
        let printed = format!(
            r#"[{{"EnclaveName": "my_enclave", "EnclaveID": "{ID}", "ProcessID": 12345, "EnclaveCID": 10,
                 "NumberOfCPUs": 2, "CPUIDs": [1, 3], "MemoryMiB": 1600, "State": "RUNNING", "Flags": "NONE"}}]"#
        );
        let name = Some("my_enclave".to_owned());
        let expected = Described { id: ID.into(), name, cid: 10, running: true, debug: false };
        assert_eq!(described(printed.as_bytes()), Some(vec![expected]));
        assert_eq!(described(b"[]"), Some(Vec::new()));
        let debug = described(printed.replace("NONE", "DEBUG_MODE").as_bytes()).unwrap();
        assert!(debug[0].debug);
        let ending = described(printed.replace("RUNNING", "TERMINATING").as_bytes()).unwrap();
        assert!(!ending[0].running);
        for bad in ["{}", "[{}]", "[", "", "no enclaves", &printed.replace(": 10", ": 4294967296")] {
            assert_eq!(described(bad.as_bytes()), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn more_than_the_limit_is_not_read() {
        let most = vec![b' '; MAX_OUTPUT as usize];
        assert_eq!(bounded(Some(&most[..])).await.unwrap().unwrap().len() as u64, MAX_OUTPUT);
        let over = vec![b' '; MAX_OUTPUT as usize + 1];
        assert_eq!(bounded(Some(&over[..])).await.unwrap(), None);
        assert_eq!(bounded(Some(tokio::io::repeat(b'['))).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_told_with_what_to_do() {
        let error = NitroCli::new("/nowhere/nitro-cli".into()).describe().await.unwrap_err();
        assert!(error.to_string().contains("--nitro-cli"), "{error}");
    }
}
