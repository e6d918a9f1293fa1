//! `adyton policy test` and `adyton policy explain`: what a policy pack decides, by the code that decides inside the enclave.

use super::commands::{at_path, read_file};
use super::exit::Failure;
use super::show;
use adyton_decision::table::{differing, read};
use adyton_decision::{Decided, Obligations, Outcome, Pack, Question};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

/// The golden table's name in a pack's folder.
const TABLE: &str = "decisions.toml";
/// The schema's name, in a pack's folder or wherever `--schema` says.
const SCHEMA: &str = "adyton.cedarschema";

/// Which pack.
#[derive(Debug, Args)]
pub(super) struct Folder {
    /// The pack: policies.cedar, and perhaps contexts.toml, resources.toml and decisions.toml.
    pack: PathBuf,
    /// The schema; adyton.cedarschema in the pack's folder by default.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
}

impl Folder {
    fn load(&self) -> Result<Pack, Failure> {
        let schema = self.schema.clone().unwrap_or_else(|| self.pack.join(SCHEMA));
        let policies = text(&self.pack.join("policies.cedar"))?;
        let contexts = perhaps(&self.pack.join("contexts.toml"))?;
        let resources = perhaps(&self.pack.join("resources.toml"))?;
        Pack::load(&text(&schema)?, &policies, &contexts, &resources)
            .map_err(|error| at_path(&self.pack, error))
    }
}

/// Compares every row of the pack's table.
pub(super) fn test(folder: &Folder, json: bool) -> Result<(), Failure> {
    let pack = folder.load()?;
    let table = folder.pack.join(TABLE);
    let rows = read(&text(&table)?).map_err(|error| at_path(&table, error))?;
    let wrong = differing(&pack, &rows);
    if json {
        let wrong: Vec<_> =
            wrong.iter().map(|(row, outcome)| json!({ "about": row.about, "decided": outcome })).collect();
        println!("{}", json!({ "rows": rows.len(), "wrong": wrong }));
    } else {
        for (row, outcome) in &wrong {
            anstream::println!("{}WRONG{}  {}", show::RED, show::RESET, row.about);
            println!("       expected: {}", row.expect);
            println!("       decided:  {}", words(outcome));
        }
        println!("{} of {} rows are decided as the table says", rows.len() - wrong.len(), rows.len());
    }
    match wrong.len() {
        0 => Ok(()),
        wrong => Err(at_path(&table, format!("{wrong} rows are decided otherwise"))),
    }
}

/// Decides one question, and says which policies decided it.
pub(super) fn explain(folder: &Folder, question: &Path, json: bool) -> Result<(), Failure> {
    let pack = folder.load()?;
    let asked: Question = toml::from_str(&text(question)?).map_err(|error| at_path(question, error))?;
    let outcome = pack.decide(&asked);
    if json {
        println!("{}", json!(outcome));
        return Ok(());
    }
    println!("{}", words(&outcome));
    println!("  because:  {}", outcome.because);
    let policies = if outcome.policies.is_empty() { "none".to_owned() } else { outcome.policies.join(", ") };
    println!("  policies: {policies}");
    Ok(())
}

fn words(outcome: &Outcome) -> String {
    match outcome.decided {
        Decided::Allow => "allow".to_owned(),
        Decided::Modify => format!("allow, but: {}", obligations(&outcome.obligations)),
        Decided::StepUp { persons } => format!("only if approved by {persons}"),
        Decided::Defer => "not now".to_owned(),
        Decided::Deny => "deny".to_owned(),
    }
}

fn obligations(all: &Obligations) -> String {
    let list =
        |words: &std::collections::BTreeSet<String>| words.iter().cloned().collect::<Vec<_>>().join(", ");
    let parts = [
        all.max_tokens.map(|most| format!("at most {most} tokens")),
        all.max_passages.map(|most| format!("at most {most} passages")),
        all.until_s.map(|seconds| format!("for {seconds} s")),
        (!all.mask.is_empty()).then(|| format!("without {}", list(&all.mask))),
        (!all.rows.is_empty()).then(|| format!("only rows where {}", list(&all.rows))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_file(path)?).map_err(|error| at_path(path, error))
}

/// A file that need not be there.
fn perhaps(path: &Path) -> Result<String, Failure> {
    if path.exists() { text(path) } else { Ok(String::new()) }
}
