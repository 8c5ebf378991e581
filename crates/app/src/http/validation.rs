//! Reading a request's body: every problem at once, in the form that the contract gives them.
//!
//! The problems' types and messages are those that clients of today's LCS know.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::error::ApiError;

/// How much of a wrong value is shown again, in characters.
const SHOWN_CHARACTERS: usize = 256;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct ValidationProblem {
    /// What kind of problem it is.
    #[serde(rename = "type")]
    #[schema(examples("missing"))]
    pub(super) kind: &'static str,
    /// Where: `body` or `query`, then keys and positions.
    #[schema(value_type = Vec<Value>, examples(json!(["body", "query"])))]
    pub(super) loc: Vec<Value>,
    /// What is wrong.
    #[schema(examples("Field required"))]
    pub(super) msg: String,
    /// What was sent.
    pub(super) input: Value,
    /// More about it, for some types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ctx: Option<Value>,
}

impl ValidationProblem {
    /// A value that a rule of ours refuses.
    #[must_use]
    pub(super) fn value_error(loc: Vec<Value>, reason: &str, input: &Value) -> Self {
        let msg = format!("Value error, {reason}");
        Self { kind: "value_error", loc, msg, input: shown(input), ctx: Some(json!({ "error": {} })) }
    }

    /// A query parameter that a rule of ours refuses.
    #[must_use]
    pub(super) fn query(name: &str, reason: &str, input: &str) -> Self {
        Self::value_error(vec!["query".into(), name.into()], reason, &input.into())
    }
}

/// What a message shows of a wrong value: a whole document need not come back.
fn shown(input: &Value) -> Value {
    match input {
        Value::String(text) if text.chars().nth(SHOWN_CHARACTERS).is_some() => {
            text.chars().take(SHOWN_CHARACTERS).collect::<String>().into()
        }
        Value::Array(_) | Value::Object(_) if input.to_string().len() > 4 * SHOWN_CHARACTERS => {
            Value::String("...".into())
        }
        input => input.clone(),
    }
}

/// A request's body: a JSON object.
#[derive(Debug)]
pub(super) struct JsonObject {
    /// The body as it came.
    pub(super) bytes: Bytes,
    /// What is in it.
    pub(super) object: Map<String, Value>,
}

impl<S: Send + Sync> FromRequest<S> for JsonObject {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(|value| value.trim().to_ascii_lowercase())
            .is_some_and(|value| value == "application/json" || value.ends_with("+json"));
        let bytes =
            Bytes::from_request(request, state).await.map_err(|rejection| unreadable(rejection.status()))?;
        let problem = |kind, msg: &str, loc: Vec<Value>, input, ctx| {
            Err(ApiError::validation(vec![ValidationProblem { kind, loc, msg: msg.into(), input, ctx }]))
        };
        if bytes.is_empty() {
            return problem("missing", "Field required", vec!["body".into()], Value::Null, None);
        }
        let not_an_object = "Input should be a valid dictionary or object to extract fields from";
        let kind = "model_attributes_type";
        if !is_json {
            let input = shown(&String::from_utf8_lossy(&bytes).into_owned().into());
            return problem(kind, not_an_object, vec!["body".into()], input, None);
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => Ok(Self { bytes, object }),
            Ok(other) => problem(kind, not_an_object, vec!["body".into()], shown(&other), None),
            Err(error) => {
                let place = json!(error.column());
                let ctx = json!({ "error": error.to_string() });
                let loc = vec!["body".into(), place];
                problem("json_invalid", "JSON decode error", loc, json!({}), Some(ctx))
            }
        }
    }
}

/// A body that did not come whole.
fn unreadable(status: StatusCode) -> ApiError {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        let cause = "the body is larger than this service takes: send less at once";
        return ApiError::new(status, "Request body too large", cause);
    }
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "Invalid request body",
        "the body did not come whole: send it again",
    )
}

/// Reads the fields of one object, and collects what is wrong with them.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    place: Vec<Value>,
    known: BTreeSet<&'static str>,
    problems: Vec<ValidationProblem>,
}

impl<'a> Fields<'a> {
    /// The fields of `object`, which stands at `place`.
    #[must_use]
    pub(super) fn new(object: &'a Map<String, Value>, place: Vec<Value>) -> Self {
        Self { object, place, known: BTreeSet::new(), problems: Vec::new() }
    }

    /// The fields of a body.
    #[must_use]
    pub(super) fn of_body(object: &'a Map<String, Value>) -> Self {
        Self::new(object, vec!["body".into()])
    }

    /// Where the field stands.
    #[must_use]
    pub(super) fn place(&self, name: &str) -> Vec<Value> {
        let mut place = self.place.clone();
        place.push(name.into());
        place
    }

    /// The field's value; `null` is none.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.insert(name);
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// The field's value, which has to be there; `null` is a value.
    pub(super) fn required(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.insert(name);
        let value = self.object.get(name);
        if value.is_none() {
            let input = shown(&Value::Object(self.object.clone()));
            self.problem("missing", self.place(name), "Field required", input, None);
        }
        value
    }

    /// A text that has to be there.
    pub(super) fn required_text(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.required(name)?;
        self.text_of(name, value)
    }

    /// A text.
    pub(super) fn text(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.optional(name)?;
        self.text_of(name, value)
    }

    fn text_of(&mut self, name: &'static str, value: &'a Value) -> Option<&'a str> {
        let text = value.as_str();
        if text.is_none() {
            self.wrong("string_type", name, "Input should be a valid string", value);
        }
        text
    }

    /// A text that has to be there, of 1 to `max` characters.
    pub(super) fn required_short_text(&mut self, name: &'static str, max: usize) -> Option<&'a str> {
        let text = self.required_text(name)?;
        let (kind, msg, ctx) = if text.is_empty() {
            (
                "string_too_short",
                "String should have at least 1 character".to_owned(),
                json!({"min_length": 1}),
            )
        } else if text.chars().nth(max).is_some() {
            let msg = format!("String should have at most {max} characters");
            ("string_too_long", msg, json!({ "max_length": max }))
        } else {
            return Some(text);
        };
        let input = shown(&text.into());
        self.problem(kind, self.place(name), &msg, input, Some(ctx));
        None
    }

    /// True or false, `default` where nothing is said.
    pub(super) fn flag(&mut self, name: &'static str, default: bool) -> bool {
        self.known.insert(name);
        match self.object.get(name) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(value) => {
                self.wrong("bool_type", name, "Input should be a valid boolean", value);
                default
            }
        }
    }

    /// A whole number from 0.
    pub(super) fn number(&mut self, name: &'static str) -> Option<u64> {
        let value = self.optional(name)?;
        self.number_of(name, value)
    }

    fn number_of(&mut self, name: &'static str, value: &Value) -> Option<u64> {
        let number = value.as_u64();
        if number.is_none() {
            let msg = "Input should be a valid integer greater than or equal to 0";
            self.wrong("int_type", name, msg, value);
        }
        number
    }

    /// A whole number from 0 to 2,147,483,647, which is how many turns a store can count.
    pub(super) fn small_number(&mut self, name: &'static str) -> Option<u32> {
        let number = self.number(name)?;
        self.small(name, number)
    }

    /// The same, which has to be there.
    pub(super) fn required_small_number(&mut self, name: &'static str) -> Option<u32> {
        let number = self.required_number(name)?;
        self.small(name, number)
    }

    fn small(&mut self, name: &'static str, number: u64) -> Option<u32> {
        let small = i32::try_from(number).ok().map(i32::unsigned_abs);
        if small.is_none() {
            let msg = format!("Input should be less than or equal to {}", i32::MAX);
            self.wrong("less_than_equal", name, &msg, &number.into());
        }
        small
    }

    /// A whole number from 0, which has to be there.
    pub(super) fn required_number(&mut self, name: &'static str) -> Option<u64> {
        let value = self.required(name)?;
        self.number_of(name, value)
    }

    /// An id.
    pub(super) fn id<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        self.id_of(name, text)
    }

    fn id_of<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str, text: &str) -> Option<T> {
        match text.parse() {
            Ok(id) => Some(id),
            Err(error) => {
                self.value_error(name, &error.to_string(), &text.into());
                None
            }
        }
    }

    /// An id that has to be there.
    pub(super) fn required_id<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.required_text(name)?;
        self.id_of(name, text)
    }

    /// A time with its zone.
    pub(super) fn time(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Some(time.to_utc());
        }
        self.value_error(name, "write a time like 2026-11-22T07:38:24Z", &text.into());
        None
    }

    /// An object.
    pub(super) fn object(&mut self, name: &'static str) -> Option<&'a Map<String, Value>> {
        let value = self.optional(name)?;
        let object = value.as_object();
        if object.is_none() {
            self.wrong("dict_type", name, "Input should be a valid dictionary", value);
        }
        object
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &'static str) -> Option<Vec<&'a str>> {
        let value = self.optional(name)?;
        let Some(items) = value.as_array() else {
            self.wrong("list_type", name, "Input should be a valid list", value);
            return None;
        };
        let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
        if texts.len() != items.len() {
            self.wrong("string_type", name, "Input should be a valid string", value);
        }
        Some(texts)
    }

    /// What a rule of ours says of a field.
    pub(super) fn value_error(&mut self, name: &str, reason: &str, input: &Value) {
        self.problems.push(ValidationProblem::value_error(self.place(name), reason, input));
    }

    /// What a rule of ours says of the object as a whole.
    pub(super) fn object_error(&mut self, reason: &str) {
        let input = Value::Object(self.object.clone());
        self.problems.push(ValidationProblem::value_error(self.place.clone(), reason, &input));
    }

    /// A wrong value.
    pub(super) fn wrong(&mut self, kind: &'static str, name: &str, msg: &str, value: &Value) {
        self.problem(kind, self.place(name), msg, shown(value), None);
    }

    /// Takes what was found elsewhere in the same request.
    pub(super) fn take(&mut self, problems: Vec<ValidationProblem>) {
        self.problems.extend(problems);
    }

    fn problem(&mut self, kind: &'static str, loc: Vec<Value>, msg: &str, input: Value, ctx: Option<Value>) {
        self.problems.push(ValidationProblem { kind, loc, msg: msg.to_owned(), input, ctx });
    }

    /// What is wrong, with the fields that nothing has asked for.
    #[must_use]
    pub(super) fn into_problems(mut self) -> Vec<ValidationProblem> {
        let unknown: Vec<_> =
            self.object.iter().filter(|(name, _)| !self.known.contains(name.as_str())).collect();
        for (name, value) in unknown {
            let place = self.place(name);
            self.problem("extra_forbidden", place, "Extra inputs are not permitted", shown(value), None);
        }
        self.problems
    }

    /// Refuses the request where anything is wrong with it.
    pub(super) fn end(self) -> Result<(), ApiError> {
        let problems = self.into_problems();
        if problems.is_empty() { Ok(()) } else { Err(ApiError::validation(problems)) }
    }
}

#[cfg(test)]
mod tests {
    use lcs_domain::TurnId;

    use super::*;

    #[test]
    fn every_problem_is_named_at_once() {
        let Value::Object(object) = json!({"n": -1, "t": 5, "flag": "yes", "extra": 1, "short": ""}) else {
            panic!("an object");
        };
        let mut fields = Fields::of_body(&object);
        assert_eq!(fields.required("query"), None);
        assert_eq!(fields.number("n"), None);
        assert_eq!(fields.text("t"), None);
        assert!(fields.flag("flag", true));
        assert_eq!(fields.required_short_text("short", 3), None);
        let problems = fields.into_problems();
        let kinds: Vec<&str> = problems.iter().map(|problem| problem.kind).collect();
        assert_eq!(
            kinds,
            ["missing", "int_type", "string_type", "bool_type", "string_too_short", "extra_forbidden"]
        );
        assert_eq!(problems[0].loc, [json!("body"), json!("query")]);
        assert_eq!(problems[0].msg, "Field required");
    }

    #[test]
    fn what_has_to_be_there_is_not_null() {
        let Value::Object(object) = json!({"n": null, "small": null, "id": null, "t": null}) else {
            panic!("an object");
        };
        let mut fields = Fields::of_body(&object);
        assert_eq!(fields.required_number("n"), None);
        assert_eq!(fields.required_small_number("small"), None);
        assert_eq!(fields.required_id::<TurnId>("id"), None);
        assert_eq!(fields.required_text("t"), None);
        assert_eq!(fields.into_problems().len(), 4);
    }

    #[test]
    fn a_wrong_value_comes_back_cut() {
        let long = json!("x".repeat(10_000));
        assert_eq!(shown(&long).as_str().map(str::len), Some(SHOWN_CHARACTERS));
        assert_eq!(shown(&json!([long])), json!("..."));
    }
}
