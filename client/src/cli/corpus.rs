//! `adyton verify --corpus`, `--case` and `--document`: verification without an enclave at the other end.

use super::commands::{fail, read_file};
use super::exit::Failure;
use super::show;
use crate::corpus::{Answer, Asked, Lines, Question, answer, ask, ask_other, read};
use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::appraise_archived;
use adyton_attestation::corpus::Verdict;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Largest case, in bytes: a document, or a bundle with its response.
const MAX_CASE: u64 = 256 << 20;

/// Which corpus, and who answers it.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Run a corpus: a folder with a manifest.json, or a manifest. See docs/corpus.md.
    #[arg(long, value_name = "PATH")]
    corpus: Option<PathBuf>,
    /// Where the corpus's files are, if not beside its manifest.
    #[arg(long, value_name = "DIR", requires = "corpus")]
    files: Option<PathBuf>,
    /// Ask this command in place of Adyton's own verifier; it reads a case and writes a verdict.
    #[arg(long, value_name = "COMMAND", requires = "corpus")]
    verifier: Option<String>,
    /// The verifier is started once, and reads a case and writes a verdict a line.
    #[arg(long, requires = "verifier")]
    lines: bool,
    /// Only vectors of these levels: evidence, policy, session, adyton.
    #[arg(long = "level", value_name = "LEVEL", value_delimiter = ',', requires = "corpus")]
    levels: Vec<String>,
    /// The reason must be the expected one, too; always so for Adyton's own verifier.
    #[arg(long, requires = "corpus")]
    codes: bool,
}

pub(super) async fn run(run: &Run, json: bool) -> Result<(), Failure> {
    let corpus = run.corpus.as_deref().unwrap_or(Path::new("."));
    let mut questions = read(corpus, run.files.as_deref()).map_err(Failure::internal)?;
    questions.retain(|question| run.levels.is_empty() || run.levels.contains(&question.level));
    if questions.is_empty() {
        return Err(Failure::internal("the corpus has no vector of these levels"));
    }
    let bar = ProgressBar::new(questions.len() as u64);
    let mut asked = Vec::new();
    let mut lines = run.verifier.as_deref().filter(|_| run.lines).map(Lines::new);
    for question in questions {
        asked.push(match &mut lines {
            Some(lines) => lines.ask(question).await,
            None => one(question, run.verifier.as_deref()).await?,
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    let reasons = run.codes || run.verifier.is_none();
    let wrong: Vec<&Asked> =
        asked.iter().filter(|asked| if reasons { !asked.same_reason() } else { !asked.right() }).collect();
    if json {
        let wrong: Vec<Value> = wrong.iter().map(|asked| wrong_json(asked)).collect();
        println!("{}", json!({ "vectors": asked.len(), "wrong": wrong }));
    } else {
        wrong.iter().for_each(|asked| tell(asked));
        summary(&asked, &wrong);
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::corpus(wrong.len(), asked.len())) }
}

async fn one(question: Question, verifier: Option<&str>) -> Result<Asked, Failure> {
    match verifier {
        Some(command) => Ok(ask_other(question, command).await),
        None => ask(question).map_err(Failure::internal),
    }
}

fn wrong_json(asked: &Asked) -> Value {
    let Question { id, level, expect, code, clause, about, .. } = &asked.question;
    json!({
        "id": id, "level": level, "expect": expect, "code": code, "clause": clause, "about": about,
        "answer": asked.answer,
    })
}

fn tell(asked: &Asked) {
    let question = &asked.question;
    let answered = match &asked.answer {
        Answer::Accept => "accepted".to_owned(),
        Answer::Reject(code) => format!("rejected ({})", code.as_deref().unwrap_or("no reason given")),
        Answer::None(why) => why.clone(),
    };
    anstream::println!("{}WRONG{}  {}: {}", show::RED, show::RESET, question.id, question.about);
    let expected = match &question.code {
        Some(code) => format!("reject ({code})"),
        None => "accept".to_owned(),
    };
    println!(
        "       expected: {expected}\n       answered: {answered}\n       clause:   {}",
        question.clause
    );
}

fn summary(asked: &[Asked], wrong: &[&Asked]) {
    let mut levels: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for one in asked {
        levels.entry(&one.question.level).or_default().0 += 1;
    }
    for one in wrong {
        levels.entry(&one.question.level).or_default().1 += 1;
    }
    for (level, (all, wrong)) in levels {
        println!("  {level:<9} {:>4} of {all} right", all - wrong);
    }
}

/// One case from a file or standard input; the verdict goes to standard output.
pub(super) fn case(path: &Path) -> Result<(), Failure> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().take(MAX_CASE).read_to_end(&mut bytes).map_err(|error| fail(error.into()))?;
        bytes
    } else {
        read_file(path)?
    };
    let case = serde_json::from_slice(&bytes).map_err(Failure::internal)?;
    let verdict: Verdict = answer(case).map_err(Failure::internal)?;
    println!("{}", serde_json::to_string(&verdict).map_err(Failure::internal)?);
    Ok(())
}

/// One document from a file, judged at its own time.
pub(super) fn document(anchor: &TrustAnchor, path: &Path, json: bool) -> Result<(), Failure> {
    let (report, claims) = appraise_archived(&read_file(path)?, anchor);
    match (json, &claims) {
        (true, Ok(_)) => println!("{}", json!({ "report": report })),
        (true, Err(refusal)) => {
            println!("{}", json!({ "report": report, "code": refusal.code(), "class": refusal.class() }));
        }
        (false, _) => show::report(&report),
    }
    let claims = claims.map_err(|refusal| Failure::evidence(&refusal))?;
    if !json {
        println!("authentic, at {}; what it is compared with nobody said", claims.timestamp());
    }
    Ok(())
}
