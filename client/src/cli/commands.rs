//! What each command does: reads its files, calls the library, shows the outcome.

use super::exit::Failure;
use super::{Chat, Enclave, Mint, TokenArgs, reference, show};
use crate::chat::{AGAIN, Question, chat as ask};
use crate::files::write_private;
use crate::policy::load::Loaded;
use crate::proxy::Proxy;
use crate::session::{AttestedSession, Chains, ConnectError, Policy, connect};
use crate::{release as releases, token};
use adyton_attestation::Timestamp;
use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::{ClaimedOwner, Report};
use adyton_attestation::endorsement::Endorsement;
use adyton_attestation::receipt::{ReceiptBody, Status};
use adyton_attestation::tls::KeyExchange;
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Largest file of receipts, tokens or prompts that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;

pub(super) async fn verify(anchor: &TrustAnchor, enclave: &Enclave, json: bool) -> Result<(), Failure> {
    let session = attested(anchor, enclave, json, true).await?;
    if json {
        println!("{}", json!({ "report": session.report(), "claims": claims(&session) }));
    } else {
        println!("verified: {}", owner_words(session.claims().owner()));
    }
    Ok(())
}

pub(super) async fn chat(anchor: &TrustAnchor, chat: Chat, json: bool) -> Result<(), Failure> {
    let token = read_token(&chat.token)?;
    let prompt =
        if chat.prompt == "-" { read_text(&mut std::io::stdin(), "standard input")? } else { chat.prompt };
    let question = Question {
        model: chat.model,
        system: chat.system,
        prompt,
        purpose: chat.purpose,
        tools: chat.tools,
        collection: chat.collection,
        passages: chat.passages,
        max_tokens: chat.max_tokens,
        temperature: chat.temperature,
        seed: chat.seed,
    };
    let session = attested(anchor, &chat.enclave, json, !json).await?;
    if !json {
        println!();
    }
    let on_text = |text: &str| {
        if !json {
            print!("{text}");
            // A reader that went away is noticed at the end.
            let _ = std::io::stdout().flush();
        }
    };
    let answered = loop {
        match ask(&session, anchor, token.as_deref(), &question, on_text).await {
            Err(pending) if pending.is_pending() && !chat.no_wait => {
                if !json {
                    eprintln!("  {pending}");
                }
                tokio::time::sleep(AGAIN).await;
            }
            ended => break ended?,
        }
    };
    if let Some(path) = &chat.receipt {
        keep(path, answered.bundle.to_json().as_bytes())?;
    }
    let body = answered.receipt.body();
    if json {
        let receipt = receipt_json(body);
        let reason = answered.finish_reason;
        let passages = &answered.passages;
        println!(
            "{}",
            json!({ "text": answered.text, "finish_reason": reason, "passages": passages, "receipt": receipt })
        );
    } else {
        show::passages(&answered.passages);
        println!("\n\nreceipt verified:");
        show::receipt(body);
    }
    Ok(())
}

pub(super) async fn proxy(
    anchor: &TrustAnchor,
    enclave: &Enclave,
    token: &TokenArgs,
    listen: SocketAddr,
    receipts: Option<PathBuf>,
    json: bool,
) -> Result<(), Failure> {
    if let Some(folder) = &receipts {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string()).map_err(fail)?;
    }
    let (policy, until) = policy(anchor, enclave)?;
    let proxy = Proxy::new(enclave.enclave.clone(), policy, read_token(token)?, receipts);
    let listener = Proxy::bind(listen).await.with_context(|| listen.to_string()).map_err(fail)?;
    let address = listener.local_addr().map_err(Failure::internal)?;
    // Verified before the first caller comes, so that a wrong policy is told at once and not to an SDK.
    let session = shown(proxy.session().await, json, !json)?;
    if json {
        println!("{}", json!({ "listening": address.to_string(), "claims": claims(&session) }));
    } else {
        println!("listening on http://{address}/v1 for the verified enclave");
    }
    tokio::select! {
        served = Arc::new(proxy).serve(listener) => served.map_err(Failure::internal),
        expired = reference::expired(until) => Err(expired),
    }
}

pub(super) fn issuer(issuer: &str, audience: &str, key: &Path) -> Result<(), Failure> {
    let pkcs8 = token::new_key().map_err(Failure::internal)?;
    let entry = token::issuer_entry(&pkcs8, issuer, audience).map_err(Failure::internal)?;
    keep(key, &pkcs8)?;
    println!("{entry}");
    Ok(())
}

pub(super) fn mint(mint: Mint, json: bool) -> Result<(), Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = token::Claims {
        iss: mint.issuer,
        sub: mint.subject,
        aud: mint.audience,
        iat: now,
        exp: now.saturating_add(mint.lifetime),
        tenant: mint.tenant,
        roles: mint.roles,
        clearance: mint.clearance,
        sets: mint.sets.into_iter().collect(),
    };
    let token = token::mint(&read_file(&mint.key)?, &claims).map_err(Failure::internal)?;
    if json {
        println!("{}", json!({ "token": token, "expires": claims.exp }));
    } else {
        println!("{token}");
    }
    Ok(())
}

pub(super) fn release(
    model: &Path,
    name: &str,
    encoder: Option<&releases::EncoderFiles>,
    policy: &Path,
    out: &Path,
    json: bool,
) -> Result<(), Failure> {
    let size = std::fs::metadata(model).map_or(0, |m| m.len());
    let bar = ProgressBar::new(size);
    if let Ok(style) = ProgressStyle::with_template("digesting  {bar:40} {bytes}/{total_bytes} {eta}") {
        bar.set_style(style);
    }
    let made = releases::build(model, name, encoder, policy, out, |done| bar.set_position(done))
        .map_err(Failure::internal)?;
    bar.finish_and_clear();
    let pcr16 = hex::encode(made.pcr16.as_bytes());
    if json {
        println!("{}", json!({ "pcr16": pcr16, "model": made.manifest.model }));
    } else {
        println!("release of {} in {}\nPCR16 {pcr16}", made.manifest.model, out.display());
    }
    Ok(())
}

/// Connects, and shows the report if asked to, also that of a refusal.
pub(super) async fn attested(
    anchor: &TrustAnchor,
    enclave: &Enclave,
    json: bool,
    show_report: bool,
) -> Result<AttestedSession, Failure> {
    let (policy, _) = policy(anchor, enclave)?;
    if show_report && !json {
        println!("verifying {}", enclave.enclave);
    }
    shown(connect(&enclave.enclave, &policy).await, json, show_report)
}

fn shown(
    connected: Result<AttestedSession, ConnectError>,
    json: bool,
    show_report: bool,
) -> Result<AttestedSession, Failure> {
    let report: Option<&Report> = match &connected {
        Ok(session) => Some(session.report()),
        Err(ConnectError::Refused { report, .. }) => Some(report),
        Err(_) => None,
    };
    match report {
        Some(report) if json && connected.is_err() => {
            let (code, class) = match &connected {
                Err(ConnectError::Refused { refusal, .. }) => (Some(refusal.code()), Some(refusal.class())),
                _ => (None, None),
            };
            println!("{}", json!({ "report": report, "claims": null, "code": code, "class": class }))
        }
        Some(report) if show_report && !json => show::report(report),
        _ => {}
    }
    Ok(connected?)
}

/// What is demanded, and until when the demand holds.
pub(super) fn policy(
    anchor: &TrustAnchor,
    enclave: &Enclave,
) -> Result<(Policy, Option<Timestamp>), Failure> {
    let key_exchange =
        if enclave.demands.classical { KeyExchange::HybridOrClassical } else { KeyExchange::HybridOnly };
    let endorsement = enclave.demands.endorsement.as_deref().map(read_endorsement).transpose()?;
    let Loaded { values, until } = reference::read(&enclave.reference, &enclave.demands.pinned)?;
    let chains = Chains::default();
    Ok((Policy { anchor: anchor.clone(), reference: values, key_exchange, endorsement, chains }, until))
}

fn read_endorsement(path: &Path) -> Result<Endorsement, Failure> {
    let read = Endorsement::from_json(&read_file(path)?);
    read.with_context(|| path.display().to_string()).map_err(fail)
}

pub(super) fn read_token(args: &TokenArgs) -> Result<Option<String>, Failure> {
    match &args.token_file {
        Some(path) => {
            let text = String::from_utf8(read_file(path)?)
                .with_context(|| path.display().to_string())
                .map_err(fail)?;
            Ok(Some(text.trim().to_owned()))
        }
        None => Ok(std::env::var("ADYTON_TOKEN").ok()),
    }
}

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let named = || path.display().to_string();
    let file = std::fs::File::open(path).with_context(named).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).with_context(named).map_err(fail)?;
    Ok(bytes)
}

fn read_text(from: &mut impl Read, name: &str) -> Result<String, Failure> {
    let mut text = String::new();
    from.take(MAX_FILE).read_to_string(&mut text).with_context(|| name.to_owned()).map_err(fail)?;
    Ok(text)
}

pub(super) fn keep(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_private(path, bytes).with_context(|| path.display().to_string()).map_err(fail)
}

/// A failure about a file.
pub(super) fn at_path(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::internal(format!("{}: {error}", path.display()))
}

pub(super) fn fail(error: anyhow::Error) -> Failure {
    Failure::internal(format!("{error:#}"))
}

fn claims(session: &AttestedSession) -> Value {
    let claims = session.claims();
    json!({
        "module_id": claims.module_id(),
        "timestamp_ms": claims.timestamp().as_millis(),
        "pcr16": hex::encode(claims.manifest_pcr16().as_bytes()),
        "owner": owner_words(claims.owner()),
        "simulated": claims.simulated(),
    })
}

fn owner_words(owner: ClaimedOwner) -> &'static str {
    match owner {
        ClaimedOwner::Signer(_) => "the image signer is the one you named (PCR8)",
        ClaimedOwner::Role(_) => "the parent instance has the role you named (PCR3)",
        ClaimedOwner::Instance(_) => "the parent is the instance you named (PCR4)",
        ClaimedOwner::Endorsed(_) => "the operator you named has endorsed this enclave",
        ClaimedOwner::Unknown => "whose machine it is was not asked and is not known",
    }
}

pub(super) fn receipt_json(body: &ReceiptBody) -> Value {
    json!({
        "boot": hex::encode(body.boot),
        "sequence": body.sequence,
        "issued_at_ms": body.issued_at.as_millis(),
        "complete": body.status == Status::Complete,
        "chunks": body.chunks,
        "response_bytes": body.response_bytes,
        "weights": hex::encode(body.weights),
        "manifest": hex::encode(body.manifest),
        "policy": hex::encode(body.policy),
        "principal": hex::encode(body.principal),
        "verdicts": body.verdicts,
        "simulated": body.simulated,
        "audit": body.logged.map(|logged| json!({ "index": logged.index, "root": hex::encode(logged.root) })),
    })
}
