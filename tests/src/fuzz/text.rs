//! What people and models say: the chat request, and both screens of the guardrail.
//!
//! The screens get their text as *units*: a byte below 0x80 is that character, any other a word from a table of halves
//! of findings. Findings that meet, nest and are cut are then common, which in random text they never would be.
//!
//! # Promises
//! - What is released does not depend on how the text was cut into pieces.
//! - No control token, hidden character, access key or private key's head is in what leaves a screen.
//!
//! # Does not
//! - Judge meaning.
//!
//! # Trusts
//! - The guardrail's own list of what is hidden, which is asked a second time.

use adyton_enclave::api::openai::ChatRequest;
use adyton_enclave::tools::Tools;
use adyton_guardrail::{
    Action, Guardrail, Message, Output, OutputScreen, Prompt, Refused, Role, Settings, Text,
};
use serde_json::json;

/// Control tokens of the models that we serve or may serve.
const CONTROL: [&str; 6] = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "[INST]"];
/// Words that a byte from 0x80 on stands for.
const UNITS: [&str; 24] = [
    "<|im_start|>",
    "<|im_",
    "start|>",
    "<|im_end|>",
    "end|>",
    "<|endof",
    "text|>",
    "<s>",
    "</s>",
    "[INST]",
    "\u{200b}",
    "\u{e0041}",
    "\u{202e}",
    "é",
    "\u{1f512}",
    "AKIA",
    "ASIA",
    "ABCDEFGH",
    "ABCDEFGHIJKLMNOP",
    "-----BEGIN ",
    "PRIVATE KEY-----",
    "RSA ",
    "-----",
    "\n",
];
/// AWS IAM, "unique identifiers": four letters and 16 of A-Z and 2-7.
const ACCESS_KEY: usize = 20;

/// A chat request: whatever is read is within the limits that the API states; whatever is refused has its JSON.
pub fn chat_request(data: &[u8]) {
    match ChatRequest::parse(data, &Tools::default()) {
        Ok(request) => {
            assert!(request.max_tokens > 0);
            assert!((1..=64).contains(&request.purpose.len()));
            let again = ChatRequest::parse(data, &Tools::default()).unwrap();
            assert!(again.prompt == request.prompt && again.model == request.model);
        }
        Err(refused) => {
            assert!(refused.status.is_client_error());
            let error: serde_json::Value = serde_json::from_slice(&refused.json()).unwrap();
            assert!(error["error"]["message"].is_string());
        }
    }
}

/// The input screen: what it lets through it lets through again, unchanged and without a finding.
pub fn guardrail_input(data: &[u8]) {
    let (guardrail, units) = read(data);
    let messages = units
        .split(|unit| *unit == "\n")
        .map(|part| Message { role: Role::User, content: Text::from(part.concat()) })
        .collect();
    match guardrail.screen(Prompt { messages }) {
        Ok((screened, _)) => {
            let (again, verdict) = guardrail.screen(screened.get().clone()).unwrap();
            assert!(
                verdict.findings.is_empty() && again.get() == screened.get(),
                "screening again finds more"
            );
            let clean = |m: &Message| CONTROL.iter().all(|token| !m.content.expose().contains(token));
            assert!(screened.get().messages.iter().all(clean), "a control token survives");
        }
        Err(Refused::Blocked(verdict)) => assert!(verdict.blocks()),
        Err(_) => {}
    }
}

/// The output screen: any split gives what one piece gives.
pub fn guardrail_output(data: &[u8]) {
    let (guardrail, units) = read(data);
    let whole = units.concat();
    let at_once = released(&guardrail, [whole.as_str()]);
    let by_character = characters(&whole);
    let splits = [
        released(&guardrail, units.iter().copied()),
        released(&guardrail, by_character.iter().map(String::as_str)),
        released(
            &guardrail,
            units.chunks(3).map(|chunk| chunk.concat()).collect::<Vec<_>>().iter().map(String::as_str),
        ),
    ];
    for in_pieces in splits.iter().chain([&at_once]) {
        assert_eq!(in_pieces.1, at_once.1, "whether it blocks depends on the split of {whole:?}");
        assert!(at_once.1 || in_pieces.0 == at_once.0, "{whole:?}: {:?} is not {:?}", in_pieces.0, at_once.0);
        check_released(&in_pieces.0, &whole);
    }
}

fn characters(text: &str) -> Vec<String> {
    text.chars().map(String::from).collect()
}

/// Everything released, and whether the answer was blocked.
fn released<'a>(guardrail: &Guardrail, pieces: impl IntoIterator<Item = &'a str>) -> (String, bool) {
    let mut screen = OutputScreen::new(guardrail.clone());
    let mut text = String::new();
    for piece in pieces {
        match screen.push(piece) {
            Output::Clear(clear) => text.push_str(clear.expose()),
            Output::Blocked => return (text, true),
        }
    }
    match screen.finish() {
        Output::Clear(clear) => text.push_str(clear.expose()),
        Output::Blocked => return (text, true),
    }
    (text, false)
}

fn check_released(text: &str, whole: &str) {
    assert!(CONTROL.iter().all(|token| !text.contains(token)), "a control token leaves: {whole:?}");
    assert!(!has_access_key(text), "an access key leaves: {whole:?}");
    assert!(!has_private_key(text), "a private key's head leaves: {whole:?}");
}

fn has_access_key(text: &str) -> bool {
    text.as_bytes().windows(ACCESS_KEY).any(|window| {
        let tail = window.get(4..).unwrap_or_default();
        (window.starts_with(b"AKIA") || window.starts_with(b"ASIA"))
            && tail.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
    })
}

fn has_private_key(text: &str) -> bool {
    text.match_indices("-----BEGIN ").any(|(start, _)| {
        let line = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        // RFC 7468 labels are short; what is further away belongs to no header line.
        line.find("PRIVATE KEY-----").is_some_and(|at| at < 64)
    })
}

/// The first byte chooses the settings, the others are units.
fn read(data: &[u8]) -> (Guardrail, Vec<&'static str>) {
    let (flags, rest) = data.split_first().unwrap_or((&0, &[]));
    let action = |bit: u8| if flags & bit == 0 { Action::Redact } else { Action::Block };
    let settings = Settings {
        max_prompt_bytes: 4096,
        max_messages: 16,
        hidden_characters: action(1),
        control_tokens: action(2),
        access_keys: action(4),
    };
    let guardrail = Guardrail::new(settings, CONTROL.map(str::to_owned));
    // More only makes runs slow: the longest finding has 20 units of one byte.
    (guardrail, rest.iter().take(128).map(|byte| unit(*byte)).collect())
}

fn unit(byte: u8) -> &'static str {
    // Every ASCII character as a string, so that units have one type.
    static ASCII: [u8; 128] = {
        let mut table = [0; 128];
        let mut at = 0u8;
        while at < 128 {
            table[at as usize] = at;
            at += 1;
        }
        table
    };
    let at = usize::from(byte);
    match ASCII.get(at..=at) {
        Some(character) => std::str::from_utf8(character).unwrap_or_default(),
        None => UNITS[(at - 128) % UNITS.len()],
    }
}

/// The byte that stands for a word of the table.
fn byte(word: &str) -> u8 {
    let at = UNITS.iter().position(|unit| *unit == word).expect("a word of the table");
    0x80 + u8::try_from(at).expect("a small table")
}

pub(super) fn screen_seeds() -> Vec<Vec<u8>> {
    let lines: [&[&str]; 8] = [
        &["<|im_", "<|im_end|>", "end|>"],
        &["<|im_", "\u{200b}", "end|>"],
        &["AKIA", "ABCDEFGHIJKLMNOP"],
        &["AKIA", "ABCDEFGH", "<|im_", "end|>", "ABCDEFGH"],
        &["AKIA", "AKIA", "ABCDEFGH", "\n"],
        &["-----BEGIN ", "RSA ", "PRIVATE KEY-----", "\n"],
        &["-----BEGIN ", "<|endof", "text|>", "PRIVATE KEY-----"],
        &["é", "\u{1f512}", "\u{e0041}", "<s>", "</s>", "[INST]"],
    ];
    let plain = |text: &[u8]| [&[0], text].concat();
    let mut seeds: Vec<Vec<u8>> =
        lines.iter().map(|words| plain(&words.iter().map(|word| byte(word)).collect::<Vec<u8>>())).collect();
    seeds.push(plain(b"a plain sentence, and < a half | of [ nothing."));
    seeds.push(plain(b"AKIA2345672345672345 and ASIAABCDEFGHIJKLMNOPQRST"));
    seeds
}

pub(super) fn chat_seeds() -> Vec<Vec<u8>> {
    let plain = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    let full = json!({
        "model": "m",
        "messages": [{ "role": "developer", "content": [{ "type": "text", "text": "a" }] },
                     { "role": "assistant", "content": "b", "refusal": null }],
        "stream": true, "stream_options": { "include_usage": true, "include_obfuscation": false },
        "max_completion_tokens": 5, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "seed": -1,
        "presence_penalty": 1, "frequency_penalty": -1, "repetition_penalty": 1.1, "stop": ["a", "b"], "n": 1,
        "logprobs": false, "response_format": { "type": "text" }, "metadata": { "purpose": "general" },
        "tools": [], "store": false, "service_tier": "auto", "user": "u"
    });
    vec![plain.to_string().into_bytes(), full.to_string().into_bytes()]
}
