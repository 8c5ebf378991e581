//! JSON documents that every store keeps exactly.
//!
//! PostgreSQL, SQLite and `serde_json` disagree on what JSON is: on U+0000, on numbers past 64 bits, on
//! depth, on duplicate keys. A [`Payload`] is what they all agree on. It is made once, at the edge, and
//! what cannot be kept exactly is refused there, before any I/O, with a pointer to it (P10).
//!
//! - **Numbers** are kept by value: 1, 1.0 and 1e0 are the same. A number whose value is no `i64`, no
//!   `u64` and no finite `f64` in its shortest form (30 digits, 1e400) is refused, not rounded.
//! - **Text** may be any Unicode, U+0000 included; lone surrogates are refused.
//! - **Depth** is at most [`MAX_DEPTH`]; of **duplicate keys** the last wins.
//! - **Size** is the length of the JSON text in bytes, at most [`PayloadLimits::max_bytes`].

mod canonical;
mod document;
mod number;

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use self::canonical::Canonical;
use crate::RepositoryError;

/// How deep arrays and objects may nest: `[]` is 1 deep, `1` is 0 deep.
pub const MAX_DEPTH: usize = 64;

/// The limits on one document, from the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadLimits {
    /// The longest JSON text taken, in bytes.
    pub max_bytes: usize,
}

impl Default for PayloadLimits {
    /// 4 MiB a document.
    fn default() -> Self {
        Self { max_bytes: 4 * 1024 * 1024 }
    }
}

impl PayloadLimits {
    /// Refuses a document that is larger than these limits.
    ///
    /// # Errors
    /// `TooLarge`, with the empty pointer.
    pub fn check(&self, payload: &Payload) -> Result<(), RepositoryError> {
        within(payload.json.len(), *self)
    }
}

/// A JSON document that every store keeps exactly. Cheap to clone.
///
/// Two payloads are equal when they are equal as JSON values, however they were written.
///
/// ```
/// use lcs_domain::Payload;
///
/// let sent = Payload::parse(r#"{"b": 1.0, "a": [true]}"#)?;
/// assert_eq!(sent.as_json(), r#"{"a":[true],"b":1}"#);
/// assert!(Payload::parse("123456789012345678901234567890").is_err());
/// # Ok::<(), lcs_domain::RepositoryError>(())
/// ```
#[derive(Clone)]
pub struct Payload {
    json: Arc<str>,
    form: Form,
}

/// Where a payload's text comes from, and so what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Validated and canonical: keys sorted, no white space, numbers in one form.
    Canonical {
        /// Whether a JSONB column would refuse it or blow it up.
        sealed: bool,
    },
    /// As a store gave it back: the same value, written as that store writes it.
    Stored,
}

impl Payload {
    /// The document that `json` holds, within the default limits.
    pub fn parse(json: &str) -> Result<Self, RepositoryError> {
        Self::parse_within(json, PayloadLimits::default())
    }

    /// The document that `json` holds, within `limits`.
    pub fn parse_within(json: &str, limits: PayloadLimits) -> Result<Self, RepositoryError> {
        within(json.len(), limits)?;
        if let Some(Canonical { sealed }) = canonical::look(json) {
            return Ok(Self { json: json.into(), form: Form::Canonical { sealed } });
        }
        let document = document::parse(json)?;
        let json = document.value.to_string();
        // A number may grow when it is written in one form: 1e18 is 4 bytes long, and 19.
        within(json.len(), limits)?;
        Ok(Self { json: json.into(), form: Form::Canonical { sealed: document.sealed } })
    }

    /// The document that `bytes` hold in UTF-8, within `limits`.
    pub fn parse_bytes(bytes: &[u8], limits: PayloadLimits) -> Result<Self, RepositoryError> {
        within(bytes.len(), limits)?;
        let json = std::str::from_utf8(bytes).map_err(|error| {
            RepositoryError::invalid(
                "",
                format!("not UTF-8 at byte {}: send JSON in UTF-8", error.valid_up_to()),
            )
        })?;
        Self::parse_within(json, limits)
    }

    /// The document that `value` is, within the default limits.
    ///
    /// A `NaN` or infinity is already `null` in a [`Value`] and cannot be told from one here.
    pub fn from_value(value: &Value) -> Result<Self, RepositoryError> {
        Self::from_serialize(value)
    }

    /// The document that `value` serialises to, within the default limits.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, RepositoryError> {
        Self::from_serialize_within(value, PayloadLimits::default())
    }

    /// The document that `value` serialises to, within `limits`.
    pub fn from_serialize_within<T: Serialize + ?Sized>(
        value: &T,
        limits: PayloadLimits,
    ) -> Result<Self, RepositoryError> {
        let json = serde_json::to_string(value)
            .map_err(|error| RepositoryError::invalid("", format!("not a JSON document: {error}")))?;
        Self::parse_within(&json, limits)
    }

    /// The document that a store gives back: `json` was a payload once, and is not validated again.
    #[must_use]
    pub fn from_stored(json: impl Into<Arc<str>>) -> Self {
        Self { json: json.into(), form: Form::Stored }
    }

    /// The JSON text. Canonical where the payload was parsed; as the store wrote it where it was read.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.json
    }

    /// The JSON text in the one canonical form that all equal documents share.
    pub fn canonical_json(&self) -> Result<Arc<str>, RepositoryError> {
        match self.form {
            Form::Canonical { .. } => Ok(Arc::clone(&self.json)),
            Form::Stored if canonical::look(&self.json).is_some() => Ok(Arc::clone(&self.json)),
            Form::Stored => Ok(document::parse(&self.json)?.value.to_string().into()),
        }
    }

    /// Whether the document needs the sealed form: a JSONB column refuses U+0000, and writes a number
    /// like 1e300 out in hundreds of digits.
    pub fn needs_sealing(&self) -> Result<bool, RepositoryError> {
        match self.form {
            Form::Canonical { sealed } => Ok(sealed),
            Form::Stored => match canonical::look(&self.json) {
                Some(Canonical { sealed }) => Ok(sealed),
                None => Ok(document::parse(&self.json)?.sealed),
            },
        }
    }

    /// The document as a tree of values.
    pub fn to_value(&self) -> Result<Value, RepositoryError> {
        Ok(document::parse(&self.json)?.value)
    }
}

fn within(size_bytes: usize, limits: PayloadLimits) -> Result<(), RepositoryError> {
    if size_bytes > limits.max_bytes {
        return Err(RepositoryError::TooLarge {
            pointer: String::new(),
            size_bytes,
            limit_bytes: limits.max_bytes,
        });
    }
    Ok(())
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        if self.json == other.json {
            return true;
        }
        match (self.canonical_json(), other.canonical_json()) {
            (Ok(ours), Ok(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

impl fmt::Debug for Payload {
    /// Shows the size, never the content: payloads are what users said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.json.len())
    }
}

/// The name under which `serde_json` writes text as it stands. Its own `RawValue` is made in no other way than by
/// reading the text once more.
const RAW: &str = "$serde_json::private::RawValue";

impl Serialize for Payload {
    /// Writes the JSON text as it stands: nothing is parsed or copied on the way out.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut raw = serializer.serialize_struct(RAW, 1)?;
        raw.serialize_field(RAW, &*self.json)?;
        raw.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn refusal(json: &str) -> String {
        Payload::parse(json).unwrap_err().to_string()
    }

    #[test]
    fn p10_numbers_that_would_be_rounded_are_refused_with_a_pointer() {
        assert_eq!(
            refusal(r#"{"a":[1,123456789012345678901234567890]}"#),
            "invalid value at /a/1: the number cannot be kept exactly: send it as a string"
        );
        for json in
            ["1e400", "-1e400", "1e-400", "0.1000000000000000055511151231257827", "18446744073709551617"]
        {
            assert!(refusal(json).contains("cannot be kept exactly"), "{json}");
            assert!(refusal(&format!("[0,{{\"a\":{json}}}]")).contains("at /1/a:"), "{json}");
        }
    }

    #[test]
    fn numbers_are_kept_by_value() {
        for (one, other) in [
            ("1", "1.0"),
            ("100", "1E2"),
            ("0", "-0.0"),
            ("0", "-0"),
            ("0", "0e400"),
            ("1.1", "1.10"),
            ("18446744073709551615", "18446744073709551615.0"),
            ("-9223372036854775808", "-9.223372036854775808e18"),
            ("20000000000000000000", "2e19"),
        ] {
            let (one, other) = (Payload::parse(one).unwrap(), Payload::parse(other).unwrap());
            assert_eq!(one.as_json(), other.as_json());
        }
        assert_ne!(Payload::parse("1").unwrap(), Payload::parse("2").unwrap());
    }

    #[test]
    fn p10_depth_64_is_kept_and_65_is_refused() {
        let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(Payload::parse(&deep(64)).is_ok());
        for n in [65, 127, 200, 100_000] {
            let message = refusal(&deep(n));
            assert!(message.contains("nested deeper than 64 levels"), "{n}: {message}");
        }
        assert!(refusal(&deep(65)).contains(&"/0".repeat(64)));
    }

    #[test]
    fn of_duplicate_keys_the_last_wins() {
        assert_eq!(
            Payload::parse(r#"{"a":1,"b":2,"a":{"c":3}}"#).unwrap().as_json(),
            r#"{"a":{"c":3},"b":2}"#
        );
        // A number that cannot be kept is refused even where a later key hides it.
        assert!(refusal(r#"{"a":1e400,"a":1}"#).contains("/a"));
    }

    #[test]
    fn p10_malformed_json_is_refused() {
        for json in [
            "",
            "{",
            "[1,]",
            "NaN",
            "Infinity",
            r#""\ud800""#,
            r#""\udc00\ud800""#,
            "1 2",
            "01",
            "'a'",
            "\u{feff}1",
            "\"\u{1}\"",
        ] {
            assert!(matches!(Payload::parse(json), Err(RepositoryError::Invalid { .. })), "{json:?}");
        }
        assert!(matches!(
            Payload::parse_bytes(b"\"\xff\"", PayloadLimits::default()),
            Err(RepositoryError::Invalid { .. })
        ));
    }

    #[test]
    fn an_error_never_quotes_the_document() {
        for json in [r#"{"password":"hunter2"#, r#"{"hunter2":1e400}"#, "hunter2"] {
            let message = refusal(json);
            let pointer_may_name_keys = json.contains("1e400");
            assert_eq!(message.contains("hunter2"), pointer_may_name_keys, "{message}");
        }
    }

    #[test]
    fn pointers_are_escaped_as_rfc_6901_says() {
        assert!(refusal(r#"{"a/b":{"m~n":1e400}}"#).contains("/a~1b/m~0n"));
    }

    #[test]
    fn any_text_is_kept() {
        for text in
            ["\u{0}", "a\u{0}b", "\u{10ffff}", "\u{1f600}", "\\u0000", "\u{2028}", &"9".repeat(10_000)]
        {
            let payload = Payload::from_value(&json!({ text: text })).unwrap();
            assert_eq!(payload.to_value().unwrap(), json!({ text: text }));
            assert_eq!(payload.needs_sealing().unwrap(), text.contains('\u{0}'), "{text:?}");
        }
    }

    #[test]
    fn numbers_that_jsonb_would_write_out_are_sealed() {
        for (json, sealed) in
            [("1e300", true), ("[1e-300]", true), ("1.5", false), ("1e22", false), ("1e15", false)]
        {
            assert_eq!(Payload::parse(json).unwrap().needs_sealing().unwrap(), sealed, "{json}");
        }
    }

    #[test]
    fn the_size_limit_is_inclusive() {
        let limits = PayloadLimits { max_bytes: 10 };
        assert!(Payload::parse_within("\"12345678\"", limits).is_ok());
        assert!(matches!(
            Payload::parse_within("\"123456789\"", limits),
            Err(RepositoryError::TooLarge { size_bytes: 11, limit_bytes: 10, .. })
        ));
        assert!(matches!(
            Payload::parse_within("1e15", PayloadLimits { max_bytes: 4 }),
            Err(RepositoryError::TooLarge { .. })
        ));
    }

    #[test]
    fn what_a_store_wrote_differently_is_equal() {
        let sent = Payload::parse(r#"{"bb":1,"a":1e22}"#).unwrap();
        let read = Payload::from_stored(r#"{"a": 10000000000000000000000, "bb": 1}"#);
        assert_eq!(sent, read);
        assert_ne!(sent, Payload::from_stored(r#"{"a":1}"#));
    }

    #[test]
    fn debug_shows_no_content() {
        assert_eq!(format!("{:?}", Payload::parse(r#""secret""#).unwrap()), "Payload(8 bytes)");
    }

    #[test]
    fn serialising_writes_the_text_as_it_stands() {
        let stored = Payload::from_stored(r#"{ "b": 1.50, "a": [1, "x"] }"#);
        assert_eq!(serde_json::to_string(&[&stored]).unwrap(), r#"[{ "b": 1.50, "a": [1, "x"] }]"#);
        assert_eq!(serde_json::to_value(&stored).unwrap(), json!({ "a": [1, "x"], "b": 1.5 }));
        // What is not read again cannot be found wanting either: a store's text is trusted.
        assert_eq!(serde_json::to_string(&Payload::from_stored("{")).unwrap(), "{");
    }

    proptest! {
        #[test]
        fn every_finite_float_is_kept(bits in any::<u64>()) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite());
            let payload = Payload::from_value(&json!(float)).unwrap();
            prop_assert_eq!(payload.to_value().unwrap().as_f64(), Some(if float == 0.0 { 0.0 } else { float }));
            let again = Payload::parse(payload.as_json()).unwrap();
            prop_assert_eq!(again.as_json(), payload.as_json());
        }

        #[test]
        fn canonical_text_is_a_fixed_point(text in ".*", number in any::<i64>(), flag in any::<bool>()) {
            let value = json!({ "t": text, "n": number, "f": [flag, null] });
            let payload = Payload::from_value(&value).unwrap();
            prop_assert_eq!(payload.to_value().unwrap(), value);
            let again = Payload::parse(payload.as_json()).unwrap();
            prop_assert_eq!(again.as_json(), payload.as_json());
        }

        #[test]
        fn hostile_text_never_panics(text in "[\\[\\]{}\",:0-9eE+.tfn\\\\u -]{0,64}") {
            let _ = Payload::parse(&text);
        }
    }
}
