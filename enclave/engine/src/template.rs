//! Renders a conversation through the chat template of the GGUF file, keeping what people wrote apart from it.
//!
//! Promises
//! - The template never sees a message's content. It places a marker; content takes the marker's place after the
//!   template's own text has been searched for control tokens. So content cannot forge one, not even together with
//!   the text around it.
//! - Rendering ends: instructions and output are bounded.
//!
//! Does not
//! - Tell content from turn marks that are ordinary text to the tokenizer (Llama 2's `[INST]`, TinyLlama's `<|user|>`).
//!   It finds those of usual shape, for the guardrail.
//! - Let a template branch on what a message says, only on roles and order.
//! - Bound the memory of a template that multiplies its own strings.
//!
//! Trusts: the template, as a part of the measured model, to place each message as the model was trained to read it.

use crate::error::TemplateError;
use crate::tokenizer::{Run, Tokenizer};
use adyton_guardrail::{Message, Prompt, Role, Text};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest, Value};
use minijinja::{Environment, Error, ErrorKind, context};
use std::io::Write;
use zeroize::Zeroizing;

/// Steps of the template's machine. A long template spends a few hundred on a message.
const FUEL_PER_MESSAGE: u64 = 20_000;
/// Bytes that a template may write around one message.
const OUTPUT_PER_MESSAGE: usize = 16 << 10;
/// Longest name inside `<|...|>`, in bytes; a longer one is no turn mark.
const MAX_MARK: usize = 64;
/// Markers open and close with noncharacters (Unicode 3.0 and later, section 23.7): no honest template writes them,
/// and a template that has one is refused. Content is never searched for markers.
const OPEN: char = '\u{fdd0}';
const CLOSE: char = '\u{fdd1}';
/// What `raise_exception` raises, to tell a refusal from a fault.
const RAISED: &str = "raise_exception";

/// A parsed chat template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
}

impl ChatTemplate {
    pub(crate) fn parse(source: &str) -> Result<ChatTemplate, TemplateError> {
        if source.contains([OPEN, CLOSE]) {
            return Err(TemplateError::Syntax(1));
        }
        let mut environment = Environment::new();
        // Hugging Face renders chat templates with these two (transformers, `_compile_jinja_template`).
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| sort(&e))?);
        environment.set_unknown_method_callback(|_, value, method, args| string_method(value, method, args));
        environment.add_filter("trim", |text: String| trim(&text, true, true));
        environment.add_function("raise_exception", |_: Rest<Value>| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, RAISED))
        });
        environment.add_template_owned("chat", source.to_owned()).map_err(|e| sort(&e))?;
        Ok(ChatTemplate { environment })
    }

    /// The prompt as runs of text and control tokens, ready to be encoded, the assistant's turn opened.
    pub(crate) fn render(&self, prompt: &Prompt, tokenizer: &Tokenizer) -> Result<Vec<Run>, TemplateError> {
        let rendered = self.render_markers(prompt, tokenizer)?;
        let mut runs = Vec::new();
        let mut rest = rendered.as_str();
        while let Some((own, after)) = rest.split_once(OPEN) {
            let (marker, after) = after.split_once(CLOSE).ok_or_else(broken)?;
            tokenizer.split_trusted(own).into_iter().for_each(|run| push(&mut runs, run));
            push(&mut runs, Run::Text(Zeroizing::new(content(prompt, marker)?.to_owned())));
            rest = after;
        }
        tokenizer.split_trusted(rest).into_iter().for_each(|run| push(&mut runs, run));
        Ok(runs)
    }

    /// The turn marks of usual shape that the template writes, by writing conversations of every role.
    pub(crate) fn marks(&self, tokenizer: &Tokenizer) -> Vec<String> {
        let say = |role| Message { role, content: Text::from("hello") };
        let turns = [Role::User, Role::Assistant, Role::User].map(say);
        let with_system =
            Prompt { messages: std::iter::once(say(Role::System)).chain(turns.clone()).collect() };
        let mut marks = Vec::new();
        for prompt in [with_system, Prompt { messages: turns.to_vec() }] {
            // Some templates refuse a system prompt.
            marks.extend(marks_in(&self.render_markers(&prompt, tokenizer).unwrap_or_default()));
        }
        marks.sort_unstable();
        marks.dedup();
        marks
    }

    fn render_markers(&self, prompt: &Prompt, tokenizer: &Tokenizer) -> Result<String, TemplateError> {
        let messages: Vec<Value> = prompt
            .messages
            .iter()
            .enumerate()
            .map(|(i, message)| {
                context! { role => message.role.as_str(), content => format!("{OPEN}{i}{CLOSE}") }
            })
            .collect();
        let size = messages.len() as u64 + 1;
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(FUEL_PER_MESSAGE.saturating_mul(size)));
        let template = environment.get_template("chat").map_err(|e| sort(&e))?;
        let mut out = Bounded { bytes: Vec::new(), room: OUTPUT_PER_MESSAGE.saturating_mul(size as usize) };
        let context = context! {
            messages, add_generation_prompt => true,
            bos_token => tokenizer.bos_text(), eos_token => tokenizer.eos_text(),
        };
        template.render_captured_to(context, &mut out).map_err(|e| sort(&e))?;
        String::from_utf8(out.bytes).map_err(|_| broken())
    }
}

/// `<|...|>` with a name inside, and the marks of Llama 2.
fn marks_in(text: &str) -> Vec<String> {
    let known = ["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"].into_iter().filter(|mark| text.contains(mark));
    let named = text.split("<|").skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once("|>")?;
        let fits = (1..=MAX_MARK).contains(&name.len())
            && name.chars().all(|c| c.is_alphanumeric() || "_-".contains(c));
        fits.then(|| format!("<|{name}|>"))
    });
    named.chain(known.map(str::to_owned)).collect()
}

/// Adds a run; text next to text becomes one, so that it is encoded as one.
fn push(runs: &mut Vec<Run>, run: Run) {
    match (runs.last_mut(), run) {
        (Some(Run::Text(last)), Run::Text(next)) => {
            // Built anew at its full length: a string that grows in place leaves its old bytes behind.
            let mut joined = Zeroizing::new(String::with_capacity(last.len() + next.len()));
            joined.push_str(last);
            joined.push_str(&next);
            *last = joined;
        }
        (_, run) => runs.push(run),
    }
}

/// The content that a marker stands for: an index, then `l` and `r` where the template stripped a side.
fn content<'p>(prompt: &'p Prompt, marker: &str) -> Result<&'p str, TemplateError> {
    let index: usize = marker.trim_end_matches(['l', 'r']).parse().map_err(|_| broken())?;
    let text = prompt.messages.get(index).ok_or_else(broken)?.content.expose();
    let text = if marker.contains('l') { text.trim_start() } else { text };
    Ok(if marker.contains('r') { text.trim_end() } else { text })
}

/// Strips text, and notes on a marker at the edge that its content is to be stripped.
fn trim(text: &str, left: bool, right: bool) -> String {
    let text = if left { text.trim_start() } else { text };
    let mut text = if right { text.trim_end() } else { text }.to_owned();
    if left
        && text.starts_with(OPEN)
        && let Some(close) = text.find(CLOSE)
    {
        text.insert(close, 'l');
    }
    if right && text.ends_with(CLOSE) {
        text.insert(text.len() - CLOSE.len_utf8(), 'r');
    }
    text
}

/// The methods of Python strings that chat templates call.
fn string_method(value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let unknown = || Error::from(ErrorKind::UnknownMethod);
    let text = value.as_str().ok_or_else(unknown)?;
    let argument = args.first().and_then(Value::as_str);
    Ok(match (method, argument) {
        ("strip", None) => Value::from(trim(text, true, true)),
        ("lstrip", None) => Value::from(trim(text, true, false)),
        ("rstrip", None) => Value::from(trim(text, false, true)),
        ("startswith", Some(head)) => Value::from(text.starts_with(head)),
        ("endswith", Some(tail)) => Value::from(text.ends_with(tail)),
        // What a message says is not here to be changed.
        _ if text.contains(OPEN) => return Err(unknown()),
        ("upper", None) => Value::from(text.to_uppercase()),
        ("title" | "capitalize", None) => Value::from(capitalize(text)),
        _ => return Err(unknown()),
    })
}

fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn broken() -> TemplateError {
    TemplateError::Render("it takes messages apart".to_owned())
}

fn sort(error: &Error) -> TemplateError {
    match error.kind() {
        ErrorKind::OutOfFuel => TemplateError::Fuel,
        ErrorKind::SyntaxError => TemplateError::Syntax(error.line().unwrap_or(0)),
        ErrorKind::WriteFailure => TemplateError::Output,
        ErrorKind::InvalidOperation if error.detail() == Some(RAISED) => TemplateError::Raised,
        kind => TemplateError::Render(kind.to_string()),
    }
}

struct Bounded {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len().saturating_add(bytes.len()) > self.room {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
