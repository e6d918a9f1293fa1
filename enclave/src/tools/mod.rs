//! Tools that the enclave calls itself: declared to the model, asked for by it, permitted by the sentinel, called here.
//!
//! ```text
//! model's call -> checked arguments -> sentinel: grant and socket -> TLS, GET -> result -> part of the next prompt, as data
//! ```
//!
//! Promises
//! - Nothing is called whose arguments do not fit what the measured policy declares, whatever shape the model was held to.
//! - A call takes a [`Passage`] by value, which only the sentinel's grant makes.
//! - A result is text that nobody vouches for: it is screened with the rest of the prompt, and the sentinel knows it.
//!
//! Trusts: the tools that the sentinel hands over at start, because they are part of the measured policy pack.

mod fetch;
pub mod rounds;

use crate::api::error::ApiError;
use crate::api::tools::Declared;
use crate::gate::{Asker, Gate, NotGranted, Passage};
use adyton_wire::control::Action;
use adyton_wire::tools::{Argument, Kind, Tool};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// All tools, by name.
#[derive(Debug, Default)]
pub struct Tools(BTreeMap<String, Tool>);

/// A call whose arguments fit.
#[derive(Debug)]
pub struct Checked<'a> {
    name: &'a str,
    tool: &'a Tool,
    /// The path and query with the arguments in it.
    target: String,
    /// The call as JSON: what is approved.
    text: String,
}

impl Tools {
    /// As the sentinel handed them over.
    pub fn new(tools: Vec<(String, Tool)>) -> Tools {
        Tools(tools.into_iter().collect())
    }

    /// What the model is told of the named ones.
    ///
    /// # Errors
    /// [`ApiError`] if there is none of such a name.
    pub(crate) fn declared(&self, names: &[String]) -> Result<Vec<Declared>, ApiError> {
        let one = |name: &String| {
            let tool = self.0.get(name).ok_or_else(|| {
                ApiError::parameter("metadata.tools", "invalid_value", "this enclave has no such tool")
            })?;
            Ok(Declared { name: name.clone(), about: tool.about.clone(), parameters: schema(tool) })
        };
        names.iter().map(one).collect()
    }

    /// Checks a call that the model made.
    ///
    /// # Errors
    /// What is wrong, for the model to read.
    pub fn check<'a>(&'a self, name: &str, arguments: &str) -> Result<Checked<'a>, &'static str> {
        let (name, tool) = self.0.get_key_value(name).ok_or("there is no such tool")?;
        let arguments: Map<String, Value> =
            serde_json::from_str(arguments).map_err(|_| "the arguments are not a JSON object")?;
        if arguments.keys().any(|key| !tool.arguments.contains_key(key)) {
            return Err("there is an argument that the tool does not take");
        }
        let mut texts = BTreeMap::new();
        for (key, argument) in &tool.arguments {
            match arguments.get(key) {
                Some(value) => drop(texts.insert(key.as_str(), text(argument, value)?)),
                None if argument.optional => {}
                None => return Err("an argument is missing"),
            }
        }
        let text = json!({ "tool": name, "arguments": arguments }).to_string();
        Ok(Checked { name, tool, target: target(tool, &texts), text })
    }
}

impl Checked<'_> {
    /// Asks the sentinel, and calls.
    ///
    /// # Errors
    /// [`ApiError`] if the sentinel does not permit it: then the whole request ends. What goes wrong at the other end is told
    /// to the model instead.
    pub async fn call(&self, gate: &Gate, asker: Asker, purpose: &str) -> Result<String, NotCalled> {
        let action = Action::CallTool {
            tool: self.name.to_owned(),
            purpose: purpose.to_owned(),
            request: crate::request::digest(self.text.as_bytes()),
            argument_bytes: u32::try_from(self.target.len()).unwrap_or(u32::MAX),
        };
        let passage: Passage = match gate.passage(asker, action).await {
            Ok(Ok(passage)) => passage,
            Ok(Err(not)) => return Err(NotCalled { not: Some(not), text: self.text.clone() }),
            Err(_silent) => return Err(NotCalled { not: None, text: self.text.clone() }),
        };
        let (socket, report) = passage.open();
        let fetched = fetch::get(socket, self.tool, &self.target).await;
        report.tell(fetched.as_ref().ok().map(String::len));
        Ok(fetched.unwrap_or_else(|failed| format!("the tool gave no result: {failed}")))
    }
}

/// The sentinel did not permit a call.
pub struct NotCalled {
    /// Why; `None` if the sentinel is gone.
    pub not: Option<NotGranted>,
    /// The call, for approvers to read.
    pub text: String,
}

/// One argument as text for a path or query.
fn text(argument: &Argument, value: &Value) -> Result<String, &'static str> {
    match (argument.kind, value) {
        (Kind::Text, Value::String(text)) => {
            let allowed = argument.one_of.is_empty() || argument.one_of.contains(text);
            let fits = (1..=argument.max_bytes as usize).contains(&text.len());
            let plain = !text.chars().any(char::is_control);
            if allowed && fits && plain {
                Ok(text.clone())
            } else {
                Err("a text does not fit what the tool takes")
            }
        }
        (Kind::Number, Value::Number(number)) => {
            number.as_i64().map(|n| n.to_string()).ok_or("a number is not a whole one")
        }
        (Kind::Truth, Value::Bool(truth)) => Ok(truth.to_string()),
        _ => Err("an argument has the wrong type"),
    }
}

/// The tool's path with its arguments, and the others as a query. Each is percent-encoded whole, so none adds a segment.
fn target(tool: &Tool, texts: &BTreeMap<&str, String>) -> String {
    let mut path = tool.path.clone();
    let in_path = tool.path_arguments().unwrap_or_default();
    for name in &in_path {
        let value = texts.get(name).map(String::as_str).unwrap_or_default();
        path = path.replace(&format!("{{{name}}}"), &encoded(value));
    }
    let rest = texts.iter().filter(|(name, _)| !in_path.contains(name));
    let query: Vec<String> = rest.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

/// RFC 3986, section 2.3: unreserved characters stay. A value of dots alone would be a step in a path, so its dots do not.
fn encoded(value: &str) -> String {
    let dots = value.bytes().all(|b| b == b'.');
    let stays = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~') || (b == b'.' && !dots);
    let one = |b: u8| if stays(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    value.bytes().map(one).collect()
}

/// The arguments as a JSON schema, for the model and for the shape that it is held to.
fn schema(tool: &Tool) -> Value {
    let one = |argument: &Argument| match argument.kind {
        Kind::Text if argument.one_of.is_empty() => {
            json!({ "type": "string", "description": argument.about, "minLength": 1, "maxLength": argument.max_bytes })
        }
        Kind::Text => json!({ "type": "string", "description": argument.about, "enum": argument.one_of }),
        Kind::Number => json!({ "type": "integer", "description": argument.about }),
        Kind::Truth => json!({ "type": "boolean", "description": argument.about }),
    };
    let properties: Map<String, Value> =
        tool.arguments.iter().map(|(name, argument)| (name.clone(), one(argument))).collect();
    let required = tool.arguments.iter().filter(|(_, argument)| !argument.optional);
    let required: Vec<&String> = required.map(|(name, _)| name).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A tool with an argument of each kind.
    pub(crate) fn flights(destination: &str, root: &str) -> Tool {
        let argument = |kind, optional, max_bytes| Argument {
            about: "an argument".into(),
            kind,
            optional,
            max_bytes,
            one_of: Vec::new(),
        };
        let arguments = [
            ("number", argument(Kind::Text, false, 8)),
            ("days", argument(Kind::Number, true, 0)),
            ("late", argument(Kind::Truth, true, 0)),
        ];
        let tool = Tool {
            about: "the state of a flight".into(),
            destination: destination.into(),
            root: root.into(),
            path: "/v1/flights/{number}".into(),
            arguments: arguments.map(|(name, argument)| (name.to_owned(), argument)).into(),
            max_bytes: 64,
            timeout_ms: 2000,
            private: false,
            classification: 0,
        };
        assert_eq!(tool.fault(), None);
        tool
    }

    fn tools() -> Tools {
        Tools::new(vec![("flights".to_owned(), flights("flights.test:443", ""))])
    }

    #[test]
    fn arguments_become_one_segment_each_and_a_query() {
        let target = |arguments: &str| tools().check("flights", arguments).unwrap().target;
        assert_eq!(target(r#"{"number":"LH400"}"#), "/v1/flights/LH400");
        assert_eq!(
            target(r#"{"number":"a/b?c#d","days":-3,"late":true}"#),
            "/v1/flights/a%2Fb%3Fc%23d?days=-3&late=true"
        );
        assert_eq!(target(r#"{"number":".."}"#), "/v1/flights/%2E%2E");
        assert_eq!(target(r#"{"number":"1.5"}"#), "/v1/flights/1.5");
        assert_eq!(target("{\"number\":\"\u{e4}\"}"), "/v1/flights/%C3%A4");
    }

    #[test]
    fn what_does_not_fit_is_not_called() {
        for (name, arguments) in [
            ("trains", r#"{"number":"1"}"#),
            ("flights", "[]"),
            ("flights", "{"),
            ("flights", "{}"),
            ("flights", r#"{"number":""}"#),
            ("flights", r#"{"number":"123456789"}"#),
            ("flights", r#"{"number":"a\u000ab"}"#),
            ("flights", r#"{"number":1}"#),
            ("flights", r#"{"number":"1","days":1.5}"#),
            ("flights", r#"{"number":"1","late":"yes"}"#),
            ("flights", r#"{"number":"1","host":"evil"}"#),
        ] {
            assert!(tools().check(name, arguments).is_err(), "{name} {arguments}");
        }
        let mut one = flights("flights.test:443", "");
        one.arguments.get_mut("number").unwrap().one_of = vec!["A1".into()];
        let one = Tools::new(vec![("flights".to_owned(), one)]);
        assert!(one.check("flights", r#"{"number":"A1"}"#).is_ok());
        assert!(one.check("flights", r#"{"number":"A2"}"#).is_err());
    }

    #[test]
    fn the_model_is_told_exactly_what_is_taken() {
        let declared = tools().declared(&["flights".to_owned()]).unwrap();
        let parameters = &declared[0].parameters;
        assert_eq!(parameters["required"], json!(["number"]));
        assert_eq!(parameters["additionalProperties"], json!(false));
        assert_eq!(parameters["properties"]["number"]["maxLength"], json!(8));
        assert!(tools().declared(&["trains".to_owned()]).is_err());
    }
}
