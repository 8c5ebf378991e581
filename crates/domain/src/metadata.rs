//! What a caller notes beside a conversation or a turn: a small JSON object.
//!
//! Keys that begin with [`RESERVED_PREFIX`] are ours: they mark what the system did to a turn. A caller
//! cannot write them, and they take no part in a turn's content hash, so that a retry of a turn that
//! was marked is still the same turn.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::RepositoryError;
use crate::payload::{Payload, PayloadLimits};

/// What the keys of system marks begin with.
pub const RESERVED_PREFIX: &str = "lcs:";
/// The largest metadata object, in bytes of JSON.
pub const MAX_BYTES: usize = 64 * 1024;

const LIMITS: PayloadLimits = PayloadLimits { max_bytes: MAX_BYTES };

/// Something the system did to a turn, kept in its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The turn was answered from a state that had meanwhile moved on: it is stored, its agent state is not.
    Interleaved,
    /// The answer was stopped before its end: what had been said by then is stored.
    Interrupted,
    /// The turn was journaled while the database was gone, and stored behind turns that came meanwhile.
    Late,
}

impl Mark {
    /// The metadata key of this mark.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Interleaved => "lcs:interleaved",
            Self::Interrupted => "lcs:interrupted",
            Self::Late => "lcs:late",
        }
    }
}

/// A JSON object of at most [`MAX_BYTES`], without what only a sealed column can hold (U+0000, 1e300).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Metadata(Payload);

impl Default for Metadata {
    fn default() -> Self {
        Self(Payload::from_stored("{}"))
    }
}

impl Metadata {
    /// The metadata that `json` holds.
    pub fn parse(json: &str) -> Result<Self, RepositoryError> {
        Self::from_payload(Payload::parse_within(json, LIMITS)?)
    }

    /// The metadata that `json` holds, with the system's marks: for what comes out of a store, not from a caller.
    pub fn parse_marked(json: &str) -> Result<Self, RepositoryError> {
        // Marks may have made it larger than a caller's may be.
        Self::storable(Payload::parse(json)?)
    }

    /// The metadata that `value` is.
    pub fn from_value(value: &Value) -> Result<Self, RepositoryError> {
        Self::from_payload(Payload::from_serialize_within(value, LIMITS)?)
    }

    fn from_payload(payload: Payload) -> Result<Self, RepositoryError> {
        // A payload that was parsed is canonical: nothing stands before the brace.
        if !payload.as_json().starts_with('{') {
            return Err(RepositoryError::invalid("", "metadata must be a JSON object"));
        }
        let object = if may_be_reserved(payload.as_json()) { object(&payload)? } else { Map::new() };
        if let Some(key) = object.keys().find(|key| key.starts_with(RESERVED_PREFIX)) {
            let reason = format!("keys that begin with {RESERVED_PREFIX:?} are reserved: choose another");
            return Err(RepositoryError::invalid(format!("/{key}"), reason));
        }
        Self::storable(payload)
    }

    fn storable(payload: Payload) -> Result<Self, RepositoryError> {
        if !payload.as_json().starts_with('{') {
            return Err(RepositoryError::invalid("", "metadata must be a JSON object"));
        }
        if payload.needs_sealing()? {
            let reason = "metadata holds U+0000 or a number like 1e300: remove it, or send it as a text";
            return Err(RepositoryError::invalid("", reason));
        }
        Ok(Self(payload))
    }

    /// The metadata that a store gives back: it was a [`Metadata`] once, and is not checked again.
    #[must_use]
    pub fn from_stored(json: impl Into<Arc<str>>) -> Self {
        Self(Payload::from_stored(json))
    }

    /// The JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.as_json()
    }

    /// The object as a payload.
    #[must_use]
    pub const fn as_payload(&self) -> &Payload {
        &self.0
    }

    /// The object as a tree of values, marks included.
    pub fn to_object(&self) -> Result<Map<String, Value>, RepositoryError> {
        object(&self.0)
    }

    /// This metadata with `mark` set.
    pub fn marked(&self, mark: Mark) -> Result<Self, RepositoryError> {
        self.noted([(mark.key(), Value::Bool(true))])
    }

    /// This metadata with what the system notes beside it. Each key begins with [`RESERVED_PREFIX`].
    pub fn noted(
        &self,
        notes: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Result<Self, RepositoryError> {
        let mut object = self.to_object()?;
        for (key, value) in notes {
            debug_assert!(key.starts_with(RESERVED_PREFIX), "{key} is the caller's to write");
            object.insert(key.to_owned(), value);
        }
        // Not parsed again as a caller's: a mark is what a caller may not write.
        Ok(Self(Payload::from_value(&Value::Object(object))?))
    }

    /// Whether `mark` is set. Of metadata that cannot be read: no.
    #[must_use]
    pub fn has_mark(&self, mark: Mark) -> bool {
        may_be_reserved(self.as_json())
            && self.to_object().is_ok_and(|object| object.contains_key(mark.key()))
    }

    /// The canonical text of what the caller wrote, without marks: what a content hash covers.
    pub fn caller_json(&self) -> Result<Arc<str>, RepositoryError> {
        if !may_be_reserved(self.as_json()) {
            return self.0.canonical_json();
        }
        let mut object = self.to_object()?;
        object.retain(|key, _| !key.starts_with(RESERVED_PREFIX));
        Ok(Value::Object(object).to_string().into())
    }
}

/// Whether any key of this JSON text may begin with [`RESERVED_PREFIX`]: where not, no tree need be built to see it.
fn may_be_reserved(json: &str) -> bool {
    // Its characters are their own canonical form; somebody else may have written them as codes.
    json.contains("\"lcs:") || json.contains("\\u")
}

fn object(payload: &Payload) -> Result<Map<String, Value>, RepositoryError> {
    match payload.to_value()? {
        Value::Object(object) => Ok(object),
        _ => Err(RepositoryError::invalid("", "metadata must be a JSON object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_objects_without_nul_or_reserved_keys_are_taken() {
        assert!(Metadata::parse(r#"{"ticket":"OLS-1"}"#).is_ok());
        for json in ["[]", "1", "null", r#"{"lcs:x":1}"#, r#"{"a":"\u0000"}"#, r#"{"a":[{"\u0000":1}]}"#] {
            assert!(matches!(Metadata::parse(json), Err(RepositoryError::Invalid { .. })), "{json}");
        }
        // There is no sealed form here, and JSONB would write 301 digits.
        assert!(matches!(Metadata::parse(r#"{"a":[1e300]}"#), Err(RepositoryError::Invalid { .. })));
    }

    #[test]
    fn a_mark_is_kept_apart_from_what_the_caller_wrote() {
        let plain = Metadata::from_value(&json!({"b": 1, "a": 2})).unwrap();
        let marked = plain.marked(Mark::Interleaved).unwrap();
        assert!(marked.has_mark(Mark::Interleaved) && !plain.has_mark(Mark::Interleaved));
        assert_eq!(marked.caller_json().unwrap(), plain.caller_json().unwrap());
        assert_ne!(marked, plain);
    }

    #[test]
    fn a_reserved_key_is_one_however_it_is_written() {
        for json in [r#"{"\u006ccs:x":1}"#, r#"{ "a": 1, "lcs:": 2 }"#] {
            let error = Metadata::parse(json).unwrap_err().to_string();
            assert!(error.contains("are reserved: choose another"), "{json}: {error}");
        }
        // Further down, or as a value, it is the caller's.
        for json in [r#"{"a":{"lcs:x":1}}"#, r#"{"a":"lcs:x"}"#, r#"{"lcs":1}"#] {
            let metadata = Metadata::parse(json).unwrap();
            assert_eq!(&*metadata.caller_json().unwrap(), json);
        }
        let stored = Metadata::from_stored(r#"{"b": 2, "\u006ccs:late": true, "a": 1}"#.to_owned());
        assert!(stored.has_mark(Mark::Late));
        assert_eq!(&*stored.caller_json().unwrap(), r#"{"a":1,"b":2}"#);
        assert_eq!(
            &*Metadata::from_stored(r#"{"b": 2, "a": 1}"#.to_owned()).caller_json().unwrap(),
            r#"{"a":1,"b":2}"#
        );
    }

    #[test]
    fn p10_too_much_is_refused() {
        let json = json!({"a": "x".repeat(MAX_BYTES)}).to_string();
        assert!(matches!(Metadata::parse(&json), Err(RepositoryError::TooLarge { .. })));
    }
}
