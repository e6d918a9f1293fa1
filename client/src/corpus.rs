//! Runs a corpus: asks a verifier, ours or any other, every question of a folder, and compares the answers.
//!
//! The folder's format and the contract for verifiers in other languages are in `docs/corpus.md`.
//!
//! Promises
//! - A file whose SHA-256 is not the manifest's is not run, and neither is anything else of its corpus.
//! - A verifier that crashes, hangs or says something else has answered wrongly; it never counts as a rejection.
//!
//! Does not
//! - Open a connection or make claims: what the corpus's own root vouches for is good for nothing else.
//!
//! Trusts: the manifest, for what is right.

use adyton_attestation::corpus::{Case, CaseError, ReceiptCase, Verdict, judge, judge_receipts};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The manifest's name in a corpus's folder.
pub const MANIFEST_FILE: &str = "manifest.json";
/// A corpus of attestation documents.
pub const DOCUMENTS: &str = "adyton/corpus/v1";
/// A corpus of receipts.
pub const RECEIPTS: &str = "adyton/receipt-corpus/v1";
/// Largest manifest, and largest file of a corpus, in bytes.
const MAX_FILE: u64 = 16 << 20;
/// How long another verifier may think about one case.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes that are read of another verifier's answer.
const MAX_ANSWER: u64 = 64 << 10;

/// Why a corpus cannot be run.
#[derive(Debug, Error)]
pub enum CorpusError {
    /// A file cannot be read.
    #[error("{path}: {reason}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The manifest is not one.
    #[error("{path} is not a corpus's manifest: {reason}; see docs/corpus.md")]
    Manifest {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file is another than the manifest says.
    #[error("{path} is not the file that the manifest names; fetch the corpus again")]
    Altered {
        /// Which.
        path: PathBuf,
    },
    /// A case is not one.
    #[error("{id}: {reason}")]
    Case {
        /// Which.
        id: String,
        /// Why.
        reason: CaseError,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: String,
    /// The root's file. Null: AWS's root.
    root: Option<String>,
    defaults: Map<String, Value>,
    vectors: Vec<Entry>,
    sha256: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    level: String,
    expect: Expected,
    #[serde(default)]
    code: Option<String>,
    clause: String,
    about: String,
    #[serde(default)]
    document: Option<String>,
    #[serde(default)]
    bundles: Option<Vec<String>>,
    #[serde(default)]
    with: Map<String, Value>,
}

/// Accept or reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// It must be accepted.
    Accept,
    /// It must be rejected.
    Reject,
}

/// One question, ready to be asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its name.
    pub id: String,
    /// How much of a verifier it needs: `evidence`, `policy`, `session` or `adyton`.
    pub level: String,
    /// What the right answer is.
    pub expect: Expected,
    /// The reason that Adyton gives, of a rejection.
    pub code: Option<String>,
    /// The clause that demands it.
    pub clause: String,
    /// What it is about.
    pub about: String,
    /// The case, as a verifier reads it.
    pub case: Value,
}

/// What a verifier said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Accepted.
    Accept,
    /// Rejected, and perhaps why.
    Reject(Option<String>),
    /// No answer: it crashed, hung, or said something else.
    None(String),
}

/// One question, and what was answered.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// The answer.
    pub answer: Answer,
}

impl Asked {
    /// Whether the verdict is right.
    pub fn right(&self) -> bool {
        match (&self.answer, self.question.expect) {
            (Answer::Accept, Expected::Accept) | (Answer::Reject(_), Expected::Reject) => true,
            (Answer::Accept | Answer::Reject(_) | Answer::None(_), _) => false,
        }
    }

    /// Whether the reason is Adyton's, too.
    pub fn same_reason(&self) -> bool {
        self.right()
            && (self.question.code.is_none() || self.answer == Answer::Reject(self.question.code.clone()))
    }
}

/// Reads a corpus: a folder with a `manifest.json`, or a manifest whose files lie in `files`.
///
/// # Errors
/// [`CorpusError`]
pub fn read(corpus: &Path, files: Option<&Path>) -> Result<Vec<Question>, CorpusError> {
    let path = if corpus.is_dir() { corpus.join(MANIFEST_FILE) } else { corpus.to_owned() };
    let not = |reason: String| CorpusError::Manifest { path: path.clone(), reason };
    let manifest: Manifest =
        serde_json::from_slice(&bytes(&path)?).map_err(|error| not(error.to_string()))?;
    if ![DOCUMENTS, RECEIPTS].contains(&manifest.format.as_str()) {
        return Err(not(format!("its format is neither {DOCUMENTS} nor {RECEIPTS}")));
    }
    let folder = files.or_else(|| path.parent()).unwrap_or(Path::new("."));
    let mut read = HashMap::new();
    for (name, sha256) in &manifest.sha256 {
        if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(not(format!("{name} lies outside its folder")));
        }
        let file = folder.join(name);
        let content = bytes(&file)?;
        if hex::encode(digest(&SHA256, &content)) != *sha256 {
            return Err(CorpusError::Altered { path: file });
        }
        read.insert(name.as_str(), content);
    }
    manifest.vectors.iter().map(|entry| question(&manifest, entry, &read).map_err(not)).collect()
}

fn question(manifest: &Manifest, entry: &Entry, files: &HashMap<&str, Vec<u8>>) -> Result<Question, String> {
    let file = |name: &String| files.get(name.as_str()).ok_or(format!("{}: {name} has no sha256", entry.id));
    let base64 = |name: &String| file(name).map(|bytes| Value::from(BASE64_STANDARD.encode(bytes)));
    let mut case = manifest.defaults.clone();
    case.insert("format".to_owned(), manifest.format.clone().into());
    if let Some(root) = &manifest.root {
        case.insert("root".to_owned(), base64(root)?);
    }
    if let Some(document) = &entry.document {
        case.insert("document".to_owned(), base64(document)?);
    }
    if let Some(bundles) = &entry.bundles {
        let bundle =
            |name| serde_json::from_slice::<Value>(file(name)?).map_err(|error| format!("{name}: {error}"));
        case.insert("bundles".to_owned(), bundles.iter().map(bundle).collect::<Result<_, _>>()?);
    }
    case.extend(entry.with.clone());
    Ok(Question {
        id: entry.id.clone(),
        level: entry.level.clone(),
        expect: entry.expect,
        code: entry.code.clone(),
        clause: entry.clause.clone(),
        about: entry.about.clone(),
        case: Value::Object(case),
    })
}

/// Judges one case, of documents or of receipts, as its `format` says; without one it is about a document.
///
/// # Errors
/// [`CaseError`]
pub fn answer(mut case: Value) -> Result<Verdict, CaseError> {
    let format = case.as_object_mut().and_then(|case| case.remove("format"));
    let json = case.to_string();
    if format.as_ref().and_then(Value::as_str) == Some(RECEIPTS) {
        return Ok(judge_receipts(&ReceiptCase::from_json(json.as_bytes())?));
    }
    judge(&Case::from_json(json.as_bytes())?).map(|(_, verdict)| verdict)
}

/// Asks our own verifier.
///
/// # Errors
/// [`CorpusError::Case`] if the question itself is none.
pub fn ask(question: Question) -> Result<Asked, CorpusError> {
    let id = question.id.clone();
    let verdict = answer(question.case.clone()).map_err(|reason| CorpusError::Case { id, reason })?;
    let answer = match verdict {
        Verdict::Accept => Answer::Accept,
        Verdict::Reject { code, .. } => Answer::Reject(Some(code.to_owned())),
    };
    Ok(Asked { question, answer })
}

/// Asks another verifier: a command, run by the shell, that reads the case from its standard input.
pub async fn ask_other(question: Question, command: &str) -> Asked {
    let answer = match tokio::time::timeout(PATIENCE, converse(&question, command)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Answer::None(error.to_string()),
        Err(_) => Answer::None(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    Asked { question, answer }
}

async fn converse(question: &Question, command: &str) -> std::io::Result<Answer> {
    let mut child = shell(command).spawn()?;
    let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
        return Ok(Answer::None("it has no standard streams".to_owned()));
    };
    let case = question.case.to_string();
    let write = async move {
        // A verifier that answers before it has read everything closes the pipe; its answer counts.
        let _ = to.write_all(case.as_bytes()).await;
        drop(to);
    };
    let mut said = Vec::new();
    let mut from = from.take(MAX_ANSWER);
    let (_, read) = tokio::join!(write, from.read_to_end(&mut said));
    read?;
    let status = child.wait().await?;
    Ok(if status.success() { understood(&said) } else { Answer::None(format!("it ended with {status}")) })
}

/// Another verifier that is started once and answers line by line.
pub struct Lines {
    command: String,
    talk: Option<Talk>,
}

struct Talk {
    // Killed when it is dropped.
    _child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Lines {
    /// A command for the shell, which is not started yet.
    pub fn new(command: &str) -> Lines {
        Lines { command: command.to_owned(), talk: None }
    }

    /// Asks one question. One that crashes or hangs is started again for the next.
    pub async fn ask(&mut self, question: Question) -> Asked {
        let line = format!("{}\n", question.case);
        let answer = match tokio::time::timeout(PATIENCE, self.say(&line)).await {
            Ok(Ok(said)) => understood(&said),
            Ok(Err(error)) => Answer::None(error.to_string()),
            Err(_) => Answer::None(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        if matches!(answer, Answer::None(_)) {
            self.talk = None;
        }
        Asked { question, answer }
    }

    async fn say(&mut self, line: &str) -> std::io::Result<Vec<u8>> {
        let talk = match &mut self.talk {
            Some(talk) => talk,
            closed => closed.insert(start(&self.command)?),
        };
        talk.to.write_all(line.as_bytes()).await?;
        let mut said = Vec::new();
        (&mut talk.from).take(MAX_ANSWER).read_until(b'\n', &mut said).await?;
        Ok(said)
    }
}

fn start(command: &str) -> std::io::Result<Talk> {
    let mut child = shell(command).spawn()?;
    let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(std::io::Error::other("it has no standard streams"));
    };
    Ok(Talk { _child: child, to, from: BufReader::new(from) })
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).kill_on_drop(true);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    shell
}

#[derive(Deserialize)]
struct Said {
    verdict: Expected,
    #[serde(default)]
    code: Option<String>,
}

fn understood(said: &[u8]) -> Answer {
    match serde_json::from_slice(said) {
        Ok(Said { verdict: Expected::Accept, .. }) => Answer::Accept,
        Ok(Said { verdict: Expected::Reject, code }) => Answer::Reject(code),
        Err(error) => Answer::None(format!("its answer is not {{\"verdict\": ...}}: {error}")),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, CorpusError> {
    use std::io::Read as _;
    let at = |reason| CorpusError::Io { path: path.to_owned(), reason };
    let mut content = Vec::new();
    std::fs::File::open(path).map_err(at)?.take(MAX_FILE).read_to_end(&mut content).map_err(at)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            id: "q".into(),
            level: "evidence".into(),
            expect: Expected::Reject,
            code: Some("code".into()),
            clause: String::new(),
            about: String::new(),
            case: serde_json::json!({ "document": "" }),
        }
    }

    #[tokio::test]
    async fn a_verifier_that_does_not_answer_has_not_rejected() {
        for (command, right) in [
            ("cat > /dev/null; echo '{\"verdict\": \"reject\"}'", true),
            ("echo '{\"verdict\": \"reject\", \"code\": \"another\"}'", true),
            ("echo '{\"verdict\": \"accept\"}'", false),
            ("echo '{\"verdict\": \"reject\"}'; exit 1", false),
            ("echo rejected", false),
            ("true", false),
            ("kill -9 $$", false),
        ] {
            let asked = ask_other(question(), command).await;
            assert_eq!(asked.right(), right, "{command}: {:?}", asked.answer);
            assert!(!asked.same_reason());
        }
        let asked = ask_other(question(), "echo '{\"verdict\": \"reject\", \"code\": \"code\"}'").await;
        assert!(asked.same_reason());
    }

    #[tokio::test]
    async fn a_verifier_that_answers_by_lines_is_started_again_after_a_crash() {
        let mut lines = Lines::new("read a; echo '{\"verdict\": \"reject\"}'; read b; echo nonsense; read c");
        assert!(lines.ask(question()).await.right());
        assert!(!lines.ask(question()).await.right());
        assert!(lines.ask(question()).await.right(), "a new one answers");
        let mut silent = Lines::new("exit 0");
        assert!(!silent.ask(question()).await.right());
    }
}
