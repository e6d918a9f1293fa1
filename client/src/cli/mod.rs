//! The command line: what `adyton --help` shows, and what each command does.
//!
//! Exit codes: [`exit`].

mod approve;
mod audit;
mod commands;
mod corpus;
pub mod exit;
mod ingest;
mod pack;
mod policy;
mod protect;
mod provision;
mod receipt;
mod reference;
mod screen;
mod show;
mod show_policy;
mod status;
mod telemetry;

use crate::release::EncoderFiles;
use crate::session::Target;
use adyton_attestation::anchor::TrustAnchor;
use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand};
use exit::Failure;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Verify an Adyton enclave, then talk to it.
#[derive(Debug, Parser)]
#[command(name = "adyton", version, after_help = exit::TABLE, max_term_width = 100)]
pub struct Cli {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Verify an enclave and show each step; nothing else is sent to it. Or verify a document, or run a corpus.
    #[command(
        after_help = "Examples:\n  adyton verify --enclave 127.0.0.1:8443 --reference reference.json\n  \
                      adyton verify --document document.cbor\n  \
                      adyton verify --corpus tests/vectors/attestation\n  \
                      adyton verify --corpus tests/vectors/attestation --level evidence --verifier ./my-verifier",
        group = ArgGroup::new("what").required(true).args(["enclave", "corpus", "case", "document"])
    )]
    Verify {
        #[command(flatten)]
        enclave: PerhapsEnclave,
        #[command(flatten)]
        run: corpus::Run,
        /// Judge one case of a corpus (`-` is standard input) and print the verdict as JSON.
        #[arg(long, value_name = "FILE")]
        case: Option<PathBuf>,
        /// Verify one document at its own time, against the root alone.
        #[arg(long, value_name = "FILE")]
        document: Option<PathBuf>,
    },
    /// Verify an enclave, ask it one thing, stream the answer, verify its receipt.
    #[command(
        after_help = "Example:\n  adyton chat --enclave 127.0.0.1:8443 --reference reference.json --token-file token \
                      \"Why is the sky blue?\""
    )]
    Chat(Chat),
    /// Serve the OpenAI API on loopback; behind it stands the verified enclave.
    #[command(
        after_help = "Example:\n  adyton proxy --enclave 127.0.0.1:8443 --reference reference.json --token-file token"
    )]
    Proxy {
        #[command(flatten)]
        enclave: Enclave,
        #[command(flatten)]
        token: TokenArgs,
        /// Where to listen; loopback only.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// Keep each verified receipt in this folder.
        #[arg(long, value_name = "DIR")]
        receipts: Option<PathBuf>,
    },
    /// Put the documents of a folder into a collection, through the verified enclave.
    #[command(
        after_help = "Example:\n  adyton ingest --enclave 127.0.0.1:8443 --reference reference.json --token-file token \
                      --collection handbook documents/\n\n\
                      Text, Markdown, HTML and PDF are read. A run that was interrupted goes on where it was."
    )]
    Ingest(ingest::Ingest),
    /// Work with receipts.
    #[command(subcommand)]
    Receipt(receipt::Receipt),
    /// Verify, read and make proofs of the audit log that a host keeps for its enclave.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Show the state of an enclave from its host's metrics: live, once, or as JSON. Nothing is verified.
    #[command(after_help = "Examples:\n  adyton status\n  \
                            adyton status --metrics http://127.0.0.1:9464/metrics --once\n  \
                            adyton --json status --interval 10\n\n\
                            Exit codes: 0 shown, or ended by Ctrl-C; 3 with --once, if the enclave is not online; 4 if \
                            nothing answers at first.")]
    Status(status::Status),
    /// Show a statistic that leaves the enclave with noise in it, and what it cost.
    #[command(after_help = "Example:\n  adyton telemetry purposes --epsilon 0.25 --enclave 127.0.0.1:8443 \
                            --reference reference.json --token-file analyst.token")]
    Telemetry(telemetry::Telemetry),
    /// Decide, as a person, about requests that wait for persons.
    #[command(subcommand)]
    Approve(approve::Approve),
    /// Take the AI offline, bring it back, and look at its state: orders that approvers sign.
    #[command(subcommand)]
    Operate(approve::Operate),
    /// Hand an enclave that runs what opens its database: sealed to its sentinel, signed by an approver.
    #[command(subcommand)]
    Provision(provision::Provision),
    /// Verify an enclave that is yours and endorse it, so that clients who pin your key know it.
    #[command(
        after_help = "Example:\n  adyton endorse --enclave 127.0.0.1:8443 --reference mine.json --key operator.key \
                      --out endorsement.json"
    )]
    Endorse(receipt::Endorse),
    /// What is accepted and what is allowed: reference values of clients, policy packs of enclaves.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Make development tokens. A deployment has its own identity provider.
    #[command(subcommand)]
    Token(Token),
    /// Make a release: the folder that a host serves to its enclave.
    #[command(
        after_help = "Example:\n  adyton release --model model.gguf --name smollm2-135m --policy enclave/policy --out release"
    )]
    Release {
        /// The GGUF file.
        #[arg(long, value_name = "FILE")]
        model: PathBuf,
        /// The name under which the API offers it.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        encoder: Encoder,
        /// The policy folder.
        #[arg(long, value_name = "DIR")]
        policy: PathBuf,
        /// The release folder, made or overwritten.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Make the list of protected documents of a policy pack: fingerprints, never text.
    #[command(after_help = "Example:\n  adyton protect confidential/ --out enclave/policy/protected.json")]
    Protect {
        /// The folder with the documents, as text files.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The list, made or overwritten.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// A sentence encoder to go with a release: all of it, or none.
#[derive(Debug, Args)]
struct Encoder {
    /// A sentence encoder's model.safetensors, for embeddings and collections.
    #[arg(long, value_name = "FILE", requires_all = ["encoder_tokenizer", "encoder_name"])]
    encoder: Option<PathBuf>,
    /// Its tokenizer.json.
    #[arg(long, value_name = "FILE", requires = "encoder")]
    encoder_tokenizer: Option<PathBuf>,
    /// The name under which the API offers it.
    #[arg(long, value_name = "NAME", requires = "encoder")]
    encoder_name: Option<String>,
}

impl Encoder {
    fn files(self) -> Option<EncoderFiles> {
        let (weights, tokenizer, name) = (self.encoder?, self.encoder_tokenizer?, self.encoder_name?);
        Some(EncoderFiles { name, weights, tokenizer })
    }
}

/// Which enclave, and what it must be.
#[derive(Debug, Args)]
struct Enclave {
    /// The host's address: HOST:PORT or unix:PATH.
    #[arg(long, value_name = "ADDRESS")]
    enclave: Target,
    /// Reference values: which images, manifests and owner are accepted; plain JSON, or signed and with --signer.
    #[arg(long, value_name = "FILE")]
    reference: PathBuf,
    #[command(flatten)]
    demands: Demands,
}

/// The same, for a command that can also do without an enclave.
#[derive(Debug, Args)]
struct PerhapsEnclave {
    /// The host's address: HOST:PORT or unix:PATH.
    #[arg(long, value_name = "ADDRESS", requires = "reference")]
    enclave: Option<Target>,
    /// Reference values: which images, manifests and owner are accepted; plain JSON, or signed and with --signer.
    #[arg(long, value_name = "FILE", requires = "enclave")]
    reference: Option<PathBuf>,
    #[command(flatten)]
    demands: Demands,
}

impl PerhapsEnclave {
    fn given(self) -> Option<Enclave> {
        let (enclave, reference) = self.enclave.zip(self.reference)?;
        Some(Enclave { enclave, reference, demands: self.demands })
    }
}

/// What is demanded beside the reference values.
#[derive(Debug, Args)]
struct Demands {
    #[command(flatten)]
    pinned: reference::Pinned,
    /// The operator's endorsement of this enclave, where the reference values name an endorser.
    #[arg(long, value_name = "FILE")]
    endorsement: Option<PathBuf>,
    /// Also accept classical key exchange (X25519) where the enclave offers no X25519MLKEM768.
    #[arg(long)]
    classical: bool,
}

/// The bearer token.
#[derive(Debug, Args)]
struct TokenArgs {
    /// A file with the bearer token. Without it, ADYTON_TOKEN is used.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Chat {
    #[command(flatten)]
    enclave: Enclave,
    #[command(flatten)]
    token: TokenArgs,
    /// The prompt; `-` reads it from standard input.
    prompt: String,
    /// Instructions in front of the prompt.
    #[arg(long)]
    system: Option<String>,
    /// The model; the enclave's first by default.
    #[arg(long)]
    model: Option<String>,
    /// The declared purpose, on which the policy decides.
    #[arg(long)]
    purpose: Option<String>,
    /// Most tokens of the answer.
    #[arg(long)]
    max_tokens: Option<u32>,
    /// Sampling temperature, 0 to 2; 0 always takes the likeliest token.
    #[arg(long)]
    temperature: Option<f32>,
    /// Sampling seed.
    #[arg(long)]
    seed: Option<i64>,
    /// A tool of the enclave that it may call; may be repeated.
    #[arg(long = "tool", value_name = "NAME")]
    tools: Vec<String>,
    /// Answer from the documents of this collection.
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// Most passages of it.
    #[arg(long, value_name = "NUMBER", requires = "collection", value_parser = clap::value_parser!(u32).range(1..=20))]
    passages: Option<u32>,
    /// Keep the receipt, with everything needed to verify it later, in this file.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Do not wait where the policy wants persons to approve; end with code 5 at once.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, Subcommand)]
enum Token {
    /// Make an issuer's key, and print its line for issuers.json.
    Issuer {
        /// The issuer's name.
        #[arg(long, default_value = "https://issuer.localhost")]
        issuer: String,
        /// The audience its tokens are for.
        #[arg(long, default_value = "adyton")]
        audience: String,
        /// Where to write the private key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Sign a token.
    #[command(
        after_help = "Example:\n  adyton token mint --key issuer.key --subject ann --tenant acme --role chat"
    )]
    Mint(Mint),
}

#[derive(Debug, Args)]
struct Mint {
    /// The issuer's key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The issuer's name.
    #[arg(long, default_value = "https://issuer.localhost")]
    issuer: String,
    /// The audience.
    #[arg(long, default_value = "adyton")]
    audience: String,
    /// Whom the token is for.
    #[arg(long)]
    subject: String,
    /// The tenant.
    #[arg(long)]
    tenant: String,
    /// A role; may be repeated.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Clearance: 0 public, 1 internal, 2 confidential, 3 restricted.
    #[arg(long, default_value_t = 0)]
    clearance: u8,
    /// A named list that row rules speak of; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE,VALUE", value_parser = named_list)]
    sets: Vec<(String, BTreeSet<String>)>,
    /// Seconds until it expires, at most a day.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    lifetime: u64,
}

/// `cancelled_flights=LH400,LH401`
fn named_list(text: &str) -> Result<(String, BTreeSet<String>), String> {
    let (name, values) = text.split_once('=').ok_or("write it as name=value,value")?;
    let values = values.split(',').filter(|value| !value.is_empty()).map(str::to_owned).collect();
    if name.is_empty() {
        Err("the list needs a name before =".to_owned())
    } else {
        Ok((name.to_owned(), values))
    }
}

/// Runs the command line under one trust anchor. The program says which; no option can.
pub fn run(anchor: &TrustAnchor) -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return Failure::internal(e).report(json),
    };
    if anchor.simulated() {
        show::simulated_banner();
    }
    match runtime.block_on(dispatch(anchor, cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

async fn dispatch(anchor: &TrustAnchor, cli: Cli) -> Result<(), Failure> {
    let json = cli.json;
    match cli.command {
        Command::Verify { case: Some(case), .. } => corpus::case(&case),
        Command::Verify { document: Some(document), .. } => corpus::document(anchor, &document, json),
        Command::Verify { enclave, run, .. } => match enclave.given() {
            Some(enclave) => commands::verify(anchor, &enclave, json).await,
            None => corpus::run(&run, json).await,
        },
        Command::Chat(chat) => commands::chat(anchor, chat, json).await,
        Command::Proxy { enclave, token, listen, receipts } => {
            commands::proxy(anchor, &enclave, &token, listen, receipts, json).await
        }
        Command::Ingest(ingest) => ingest::ingest(anchor, ingest, json).await,
        Command::Receipt(receipt) => receipt::run(anchor, &receipt, json),
        Command::Audit(audit) => audit::run(anchor, &audit, json),
        Command::Status(status) => status::run(&status, json).await,
        Command::Telemetry(asked) => telemetry::run(anchor, &asked, json).await,
        Command::Approve(approve) => approve::approve(anchor, approve, json).await,
        Command::Operate(operate) => approve::operate(anchor, operate, json).await,
        Command::Provision(what) => provision::provision(anchor, what, json).await,
        Command::Endorse(endorse) => receipt::endorse(anchor, &endorse, json).await,
        Command::Policy(policy) => policy::run(policy, json),
        Command::Token(Token::Issuer { issuer, audience, key }) => commands::issuer(&issuer, &audience, &key),
        Command::Token(Token::Mint(mint)) => commands::mint(mint, json),
        Command::Release { model, name, encoder, policy, out } => {
            commands::release(&model, &name, encoder.files().as_ref(), &policy, &out, json)
        }
        Command::Protect { folder, out } => protect::protect(&folder, &out, json),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "adyton", &mut std::io::stdout());
            Ok(())
        }
    }
}
