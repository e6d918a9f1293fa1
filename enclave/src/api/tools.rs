//! Tools: what a client may declare, how the model hears of them, and the calls in its answers.
//!
//! Promises
//! - A declared tool is text in the prompt, screened like all of it, and a shape that the answer is held to. Nothing is called
//!   here: a call of a client's tool goes back to the client, who may make it; [`crate::tools`] calls those of the enclave.
//! - A call leaves only whole, and only out of text that the screen released.
//!
//! Format: the one of Hermes and Qwen (`<tool_call>`, `<tool_response>`), as in Qwen2.5's own chat template.

use crate::api::error::ApiError;
use adyton_engine::{Calls, Choice, Shape, Tool};
use adyton_guardrail::Released;
use serde::Deserialize;
use serde_json::{Value, json};

/// Most characters of a source's name.
const MAX_SOURCE: usize = 64;
const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// `tools[]` of a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTool {
    r#type: String,
    function: RawFunction,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFunction {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
    /// Arguments are always held to their schema.
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

/// A tool that the enclave itself declares.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) parameters: Value,
}

impl From<Declared> for RawTool {
    fn from(tool: Declared) -> RawTool {
        let Declared { name, about, parameters } = tool;
        let parameters = Some(parameters);
        let function = RawFunction { name, description: Some(about), parameters, _strict: None };
        RawTool { r#type: "function".to_owned(), function }
    }
}

/// `tool_choice` of a request.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum RawChoice {
    Word(String),
    #[serde(rename_all = "snake_case")]
    Named {
        r#type: String,
        function: RawName,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawName {
    name: String,
}

/// `tool_calls[]` of an earlier answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCall {
    id: String,
    r#type: String,
    function: RawCalled,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCalled {
    name: String,
    arguments: String,
}

/// Tools that an answer may call, or must.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    tools: Vec<RawTool>,
    mode: Mode,
    many: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    Auto,
    Required,
    Named(String),
}

/// How calls show in an answer's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Between tags, perhaps after text.
    Tagged,
    /// The text is one call.
    Bare,
}

/// A call as OpenAI gives it. Made by [`find`], out of released text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call(pub(crate) Value);

/// What was found in an answer: how much of it is text before any call, and the calls.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) plain: usize,
    pub(crate) calls: Vec<Call>,
}

impl Tools {
    /// Reads what a request says of tools. `None` if the answer may call none.
    pub(crate) fn read(
        tools: Option<Vec<RawTool>>,
        choice: Option<RawChoice>,
        many: Option<bool>,
    ) -> Result<Option<Tools>, ApiError> {
        let tools = tools.unwrap_or_default();
        let mode = match choice {
            None => Mode::Auto,
            Some(RawChoice::Word(word)) => match word.as_str() {
                "none" => return Ok(None),
                "auto" => Mode::Auto,
                "required" => Mode::Required,
                _ => {
                    return Err(wrong(
                        "tool_choice",
                        "tool_choice must be none, auto, required or a function",
                    ));
                }
            },
            Some(RawChoice::Named { r#type, function }) if r#type == "function" => Mode::Named(function.name),
            Some(RawChoice::Named { .. }) => {
                return Err(wrong("tool_choice", "only functions can be chosen"));
            }
        };
        if tools.iter().any(|tool| tool.r#type != "function") {
            return Err(wrong("tools", "only tools of type function"));
        }
        match (tools.is_empty(), &mode) {
            (true, Mode::Auto) => Ok(None),
            (true, _) => Err(wrong("tool_choice", "there are no tools to choose from")),
            (false, _) => Ok(Some(Tools { tools, mode, many: many.unwrap_or(true) })),
        }
    }

    /// What the next turn may call, once one has: who had to call has done so.
    pub(crate) fn after_a_call(self) -> Option<Tools> {
        (self.mode == Mode::Auto).then_some(self)
    }

    /// What the model is told of them, after Qwen2.5's chat template.
    pub(crate) fn instructions(&self) -> String {
        let one = |tool: &RawTool| {
            let function = json!({
                "name": tool.function.name,
                "description": tool.function.description,
                "parameters": tool.function.parameters,
            });
            json!({ "type": "function", "function": function }).to_string()
        };
        let list: Vec<String> = self.tools.iter().map(one).collect();
        format!(
            "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function \
             signatures within <tools></tools> XML tags:\n<tools>\n{}\n</tools>\n\nFor each function call, return a json object \
             with function name and arguments within {OPEN}{CLOSE} XML tags:\n{OPEN}\n{{\"name\": <function-name>, \
             \"arguments\": <args-json-object>}}\n{CLOSE}",
            list.join("\n")
        )
    }

    /// What is declared, as text: one for each tool.
    pub(crate) fn words(&self) -> Vec<String> {
        let one = |tool: &RawTool| {
            let RawFunction { name, description, parameters, .. } = &tool.function;
            let parameters = parameters.as_ref().map(words).unwrap_or_default();
            [name.as_str(), description.as_deref().unwrap_or_default(), &parameters].join("\n")
        };
        self.tools.iter().map(one).collect()
    }

    /// The shape of an answer that may call them. Takes its time over large schemas.
    pub(crate) fn shape(&self) -> Result<Shape, ApiError> {
        let one = |tool: &RawTool| Tool {
            name: tool.function.name.clone(),
            parameters: tool.function.parameters.clone(),
        };
        let tools: Vec<Tool> = self.tools.iter().map(one).collect();
        let choice = match &self.mode {
            Mode::Auto => Choice::Auto,
            Mode::Required => Choice::Required,
            Mode::Named(name) => Choice::Named(name),
        };
        let calls = if self.written() == Written::Bare || !self.many { Calls::One } else { Calls::Many };
        Shape::tool_calls(&tools, choice, calls).map_err(|e| wrong("tools", &e.to_string()))
    }

    /// How calls will show.
    pub(crate) fn written(&self) -> Written {
        match self.mode {
            Mode::Named(_) => Written::Bare,
            Mode::Required if !self.many => Written::Bare,
            Mode::Auto | Mode::Required => Written::Tagged,
        }
    }
}

/// All strings of a JSON value, the names in it among them, one a line.
pub(crate) fn words(value: &Value) -> String {
    let (mut text, mut open) = (String::new(), vec![value]);
    while let Some(value) = open.pop() {
        let mut add = |word: &str| {
            text.push_str(word);
            text.push('\n');
        };
        match value {
            Value::String(word) => add(word),
            Value::Array(list) => open.extend(list.iter().rev()),
            Value::Object(map) => {
                map.keys().for_each(|name| add(name));
                open.extend(map.values());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    text
}

fn wrong(parameter: &str, message: &str) -> ApiError {
    ApiError::parameter(parameter, "invalid_value", message)
}

impl RawCall {
    /// Its id, and the function that it calls.
    pub(crate) fn named(&self) -> (&str, &str) {
        (&self.id, &self.function.name)
    }
}

/// An earlier answer's calls as the model wrote them.
pub(crate) fn recalled(calls: &[RawCall]) -> Result<String, ApiError> {
    let mut text = String::new();
    for call in calls {
        let arguments: Value = serde_json::from_str(&call.function.arguments)
            .map_err(|_| wrong("messages.tool_calls", "the arguments of a call are not JSON"))?;
        if call.r#type != "function" {
            return Err(wrong("messages.tool_calls", "only calls of functions"));
        }
        let call = json!({ "name": call.function.name, "arguments": arguments });
        text.push_str(&format!("\n{OPEN}\n{call}\n{CLOSE}"));
    }
    Ok(text)
}

/// Text that nobody vouches for, as the model reads it: marked as data, with where it comes from. It cannot write its way
/// out of the mark, nor begin a call. The name of the source may be anybody's word as well.
pub(crate) fn as_data(source: &str, text: &str) -> String {
    let line: String =
        source.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SOURCE).collect();
    let told = unmarked(&format!("[result of {line}]\n{text}"));
    format!("<tool_response>\n{told}\n</tool_response>")
}

/// The marks that tell data apart: of tools, and of passages.
const MARKS: [&str; 2] = ["tool_", "passage"];

/// A text that has none of the marks, neither their beginnings nor their ends.
pub(crate) fn unmarked(text: &str) -> String {
    MARKS.iter().fold(text.to_owned(), |text, mark| {
        text.replace(&format!("<{mark}"), &format!("({mark}"))
            .replace(&format!("</{mark}"), &format!("(/{mark}"))
    })
}

impl Call {
    /// Name and arguments.
    pub(crate) fn parts(&self) -> (&str, &str) {
        let part = |name: &str| self.0.pointer(name).and_then(Value::as_str).unwrap_or_default();
        (part("/function/name"), part("/function/arguments"))
    }
}

/// How much of `text` certainly comes before any call.
pub(crate) fn plain_length(text: &str) -> usize {
    if let Some(at) = text.find(OPEN) {
        return at;
    }
    let cut = (1..OPEN.len()).rev().find(|length| text.ends_with(&OPEN[..*length]));
    text.len() - cut.unwrap_or(0)
}

/// The calls in a whole answer. Where it was cut or redacted, so that a call cannot be read, all of it is text.
pub(crate) fn find(answer: &Released, written: Written, mut id: impl FnMut() -> Option<String>) -> Found {
    let text = answer.expose();
    let (plain, bodies) = match written {
        Written::Bare => (0, vec![text]),
        Written::Tagged => {
            let mut parts = text.split(OPEN);
            let plain = parts.next().unwrap_or_default().trim_end().len();
            (plain, parts.map(|part| part.trim_end().strip_suffix(CLOSE).unwrap_or("")).collect())
        }
    };
    let mut call = |body: &str| {
        let value: Value = serde_json::from_str(body.trim()).ok()?;
        let (name, arguments) = (value.get("name")?.as_str()?, value.get("arguments")?.to_string());
        let function = json!({ "name": name, "arguments": arguments });
        Some(Call(json!({ "id": id()?, "type": "function", "function": function })))
    };
    match bodies.into_iter().map(&mut call).collect::<Option<Vec<Call>>>() {
        Some(calls) if !calls.is_empty() => Found { plain, calls },
        _ => Found { plain: text.len(), calls: Vec::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adyton_guardrail::{Guardrail, Output, OutputScreen, Settings};

    fn found(text: &str, written: Written) -> (String, Vec<(String, String)>) {
        let settings = include_str!("../../policy/guardrails.toml");
        let mut screen = OutputScreen::new(Guardrail::new(Settings::parse(settings).unwrap(), []));
        let released = [screen.push(text), screen.finish()].map(|output| match output {
            Output::Clear(released) => released,
            Output::Blocked => panic!(),
        });
        let [first, last] = released;
        let found = find(&first.and(&last), written, || Some("call_1".to_owned()));
        let call = |call: &Call| {
            let part = |name: &str| call.0["function"][name].as_str().unwrap().to_owned();
            (part("name"), part("arguments"))
        };
        (text[..found.plain].to_owned(), found.calls.iter().map(call).collect())
    }

    #[test]
    fn calls_are_found_where_they_are_whole() {
        let call = r#"{"name": "now", "arguments": {"zone":"UTC"}}"#;
        let expected = ("now".to_owned(), r#"{"zone":"UTC"}"#.to_owned());
        let tagged = format!("Let me see.\n<tool_call>\n{call}\n</tool_call>");
        assert_eq!(found(call, Written::Bare), (String::new(), vec![expected.clone()]));
        assert_eq!(found(&tagged, Written::Tagged), ("Let me see.".to_owned(), vec![expected.clone()]));
        let twice = format!("{tagged}\n<tool_call>{call}</tool_call>");
        assert_eq!(found(&twice, Written::Tagged).1, [expected.clone(), expected]);
        for text in [
            "no call",
            "<tool_call>",
            "<tool_call>{\"name\": \"now\"",
            &call[..20],
            "<tool_call>[redacted]</tool_call>",
        ] {
            assert_eq!(found(text, Written::Tagged), (text.to_owned(), Vec::new()));
        }
        assert_eq!(found(&call[..20], Written::Bare), (call[..20].to_owned(), Vec::new()));
    }

    #[test]
    fn text_before_a_call_is_told_from_what_may_become_one() {
        for (text, length) in
            [("abc", 3), ("abc<", 3), ("a<tool", 1), ("a<tool_call>{", 1), ("a < b", 5), ("<tool_call", 0)]
        {
            assert_eq!(plain_length(text), length, "{text}");
        }
    }

    #[test]
    fn choices_are_read_or_refused() {
        let tool =
            || json!([{ "type": "function", "function": { "name": "now", "description": "the time" } }]);
        let read = |tools: Value, choice: Value, many: Option<bool>| {
            let tools = serde_json::from_value(tools).unwrap();
            let choice = serde_json::from_value(choice).unwrap();
            Tools::read(tools, choice, many)
                .map(|tools| tools.map(|tools| (tools.mode.clone(), tools.written())))
                .map_err(|e| e.param.unwrap_or_default())
        };
        let named = json!({ "type": "function", "function": { "name": "now" } });
        assert_eq!(read(json!([]), json!(null), None), Ok(None));
        assert_eq!(read(tool(), json!("none"), None), Ok(None));
        assert_eq!(read(tool(), json!(null), None), Ok(Some((Mode::Auto, Written::Tagged))));
        assert_eq!(read(tool(), json!("required"), Some(false)), Ok(Some((Mode::Required, Written::Bare))));
        assert_eq!(
            read(tool(), named.clone(), None),
            Ok(Some((Mode::Named("now".to_owned()), Written::Bare)))
        );
        assert_eq!(read(json!([]), named, None), Err("tool_choice".to_owned()));
        assert_eq!(read(tool(), json!("sometimes"), None), Err("tool_choice".to_owned()));
        let other = json!([{ "type": "retrieval", "function": { "name": "x" } }]);
        assert_eq!(read(other, json!(null), None), Err("tools".to_owned()));
    }
}
