//! Documents: what is taken is kept exactly, and what is refused is refused for a reason.

use lcs_domain::payload::MAX_DEPTH;
use lcs_domain::{Payload, PayloadLimits, RepositoryError};
use serde_json::Value;

/// Small, so that the limit is met too.
const LIMITS: PayloadLimits = PayloadLimits { max_bytes: 2_048 };

/// Whatever the bytes, `serde_json`, which knows nothing of our rules, agrees on what they mean.
pub fn check(bytes: &[u8]) {
    let theirs = serde_json::from_slice::<Value>(bytes).ok();
    match Payload::parse_bytes(bytes, LIMITS) {
        Ok(payload) => taken(bytes, &payload, &theirs.expect("what is no JSON is not taken")),
        Err(RepositoryError::Invalid { pointer, reason }) => refused(&pointer, &reason, theirs.is_some()),
        Err(RepositoryError::TooLarge { size_bytes, limit_bytes, .. }) => {
            assert!(size_bytes > limit_bytes && limit_bytes == LIMITS.max_bytes);
        }
        Err(other) => panic!("a document is refused as invalid or too large, not: {other:?}"),
    }
}

fn taken(bytes: &[u8], payload: &Payload, theirs: &Value) {
    let ours = payload.to_value().expect("what was taken can be read");
    assert!(is_same(&ours, theirs), "ours is {ours}, theirs {theirs}");
    assert!(depth(&ours) <= MAX_DEPTH && payload.as_json().len() <= LIMITS.max_bytes);
    // The canonical text is a fixed point, and the same however the document was written.
    let text = std::str::from_utf8(bytes).expect("what is no UTF-8 is not taken");
    let again = Payload::parse_within(payload.as_json(), LIMITS).expect("canonical text is taken");
    assert_eq!(again.as_json(), payload.as_json());
    let stored = Payload::from_stored(text.to_owned());
    assert_eq!(stored.canonical_json().expect("it was taken"), payload.as_json().into());
    assert_eq!(&stored, payload);
    let sealed = payload.needs_sealing().expect("it was taken");
    assert_eq!(stored.needs_sealing().expect("it was taken"), sealed);
    assert!(!has_nul(&ours) || sealed, "JSONB has no U+0000");
}

fn refused(pointer: &str, reason: &str, is_json: bool) {
    assert!(pointer.is_empty() || pointer.starts_with('/'), "{pointer}");
    let is_ours = reason.contains("cannot be kept exactly") || reason.contains("nested deeper");
    assert!(!is_json || is_ours, "well-formed JSON is refused: {reason}");
}

/// Equal as JSON values: numbers by what they are, 1.0 as 1.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let is_equal = |(one, other): (f64, f64)| one.total_cmp(&(other + 0.0)).is_eq();
            one == other || one.as_f64().zip(other.as_f64()).is_some_and(is_equal)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| is_same(one, other)))
        }
        (one, other) => one == other,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(entries) => entries.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}
