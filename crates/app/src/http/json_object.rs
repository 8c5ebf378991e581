//! A request's body: a JSON object whose fields are read when somebody asks for them. A document in it stays the
//! text that was sent, and no tree is built of it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::ApiError;
use super::problem::{SHOWN_BYTES, ValidationProblem, left_out, shown};

/// A request's body.
#[derive(Debug)]
pub(super) struct JsonObject {
    /// The body as it came.
    pub(super) bytes: Bytes,
    /// What is in it.
    pub(super) object: Object,
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
        if bytes.is_empty() {
            return Err(problem("missing", "Field required", vec!["body".into()], Value::Null, None));
        }
        if !is_json {
            return Err(not_an_object(&String::from_utf8_lossy(&bytes).into_owned().into()));
        }
        match serde_json::from_slice(&bytes) {
            Ok(object) => Ok(Self { bytes, object }),
            Err(error) => Err(unparsable(&bytes, &error)),
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

/// A body that is no object, or no JSON, as `error` says.
fn unparsable(bytes: &[u8], error: &serde_json::Error) -> ApiError {
    let field = serde_json::from_slice::<Field>(bytes);
    match field.as_ref().map(|field| if field.is_object() { Err(error) } else { field.shown() }) {
        Ok(Ok(other)) => not_an_object(&other),
        Ok(Err(error)) | Err(error) => {
            let ctx = json!({ "error": error.to_string() });
            let loc = vec!["body".into(), json!(error.column())];
            problem("json_invalid", "JSON decode error", loc, json!({}), Some(ctx))
        }
    }
}

fn not_an_object(input: &Value) -> ApiError {
    let msg = "Input should be a valid dictionary or object to extract fields from";
    problem("model_attributes_type", msg, vec!["body".into()], shown(input), None)
}

fn problem(kind: &'static str, msg: &str, loc: Vec<Value>, input: Value, ctx: Option<Value>) -> ApiError {
    ApiError::validation(vec![ValidationProblem { kind, loc, msg: msg.into(), input, ctx }])
}

/// The fields of an object by their names; of a name that is there twice, the last.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Object {
    fields: BTreeMap<String, Field>,
}

impl Object {
    /// The object that `value` is, if it is one.
    #[must_use]
    pub(super) fn of(value: &Value) -> Option<Self> {
        serde_json::from_str(&value.to_string()).ok()
    }

    /// The field of this name.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> Option<&Field> {
        self.fields.get(name)
    }

    /// All fields, by their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Field)> {
        self.fields.iter()
    }

    /// All of it, as a message shows it. Of what nothing can hold, null.
    #[must_use]
    pub(super) fn shown(&self) -> Value {
        let length: usize = self.iter().map(|(name, field)| name.len() + field.json().len()).sum();
        if length > SHOWN_BYTES {
            return left_out();
        }
        let value = |field: &Field| field.value().cloned().unwrap_or_default();
        shown(&Value::Object(self.iter().map(|(name, field)| (name.clone(), value(field))).collect()))
    }
}

/// A field: JSON by its signs, read once somebody asks.
#[derive(Debug)]
pub(super) struct Field {
    json: Box<RawValue>,
    value: OnceLock<Result<Value, serde_json::Error>>,
    object: OnceLock<Option<Object>>,
}

impl Field {
    /// Its text as it was sent: no number is rounded by reading it.
    #[must_use]
    pub(super) fn json(&self) -> &str {
        self.json.get()
    }

    /// Its value.
    ///
    /// # Errors
    /// It is nested too deep, or has a number or a text that nothing can hold.
    pub(super) fn value(&self) -> Result<&Value, &serde_json::Error> {
        self.value.get_or_init(|| serde_json::from_str(self.json())).as_ref()
    }

    /// Its value as a message shows it.
    ///
    /// # Errors
    /// As above, where it is shown.
    pub(super) fn shown(&self) -> Result<Value, &serde_json::Error> {
        if self.json().len() > SHOWN_BYTES && self.json().starts_with(['[', '{']) {
            return Ok(left_out());
        }
        self.value().map(shown)
    }

    /// Whether it is an object: its first sign says so.
    #[must_use]
    pub(super) fn is_object(&self) -> bool {
        self.json().starts_with('{')
    }

    /// The fields in it, if it is an object whose names can be read.
    #[must_use]
    pub(super) fn object(&self) -> Option<&Object> {
        self.object.get_or_init(|| serde_json::from_str(self.json()).ok()).as_ref()
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self { json, value: OnceLock::new(), object: OnceLock::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_when_it_is_asked_for() {
        let text = r#"{"a": {"n": 1e999, "deep": [1]}, "t": "\ud800", "a2": [1.50]}"#;
        let object: Object = serde_json::from_str(text).expect("JSON by its signs");
        let a = object.get("a").and_then(Field::object).expect("an object");
        assert_eq!(a.get("deep").and_then(|deep| deep.value().ok()), Some(&json!([1])));
        assert!(a.get("n").is_some_and(|number| number.value().is_err()));
        assert!(object.get("t").is_some_and(|half| half.value().is_err()));
        assert_eq!(object.get("a2").map(Field::json), Some("[1.50]"));
        assert!(object.get("a2").is_some_and(|array| array.object().is_none()));
    }

    #[test]
    fn what_is_long_is_not_read_to_be_shown() {
        let deep = format!("{}1{}", "[".repeat(600), "]".repeat(600));
        let object: Object =
            serde_json::from_str(&format!("{{\"deep\": {deep}}}")).expect("JSON by its signs");
        let field = object.get("deep").expect("it is there");
        assert_eq!(field.shown().expect("it is not read"), json!("..."));
        assert!(field.value().is_err(), "nobody could");
        assert_eq!(object.shown(), json!("..."));
        let short: Object = serde_json::from_str(r#"{"n": 1e400, "t": "x"}"#).expect("JSON by its signs");
        assert_eq!(short.shown(), json!({"n": null, "t": "x"}));
        assert!(short.get("n").is_some_and(|number| number.shown().is_err()));
    }

    #[test]
    fn the_last_of_two_counts() {
        let object: Object = serde_json::from_str(r#"{"a": 1, "a": 2}"#).expect("an object");
        assert_eq!(object.shown(), json!({"a": 2}));
    }
}
