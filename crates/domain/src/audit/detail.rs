//! What stands beside an audit event: counts, ids, hashes and words of the program's own. Nothing else can.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::AuditHash;

/// A flat JSON object. It is made of typed parts, so that no content can come into it: there is no way to put a
/// text in that was not written into this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditDetail(String);

impl AuditDetail {
    /// With `number` of something.
    #[must_use]
    pub fn count(self, key: &'static str, number: u64) -> Self {
        self.with(key, &number)
    }

    /// With an id.
    #[must_use]
    pub fn id(self, key: &'static str, id: impl Into<Uuid>) -> Self {
        self.with(key, &id.into())
    }

    /// With several ids.
    #[must_use]
    pub fn ids<I: Into<Uuid>>(self, key: &'static str, ids: impl IntoIterator<Item = I>) -> Self {
        self.with(key, &ids.into_iter().map(Into::into).collect::<Vec<Uuid>>())
    }

    /// With a hash.
    #[must_use]
    pub fn hash(self, key: &'static str, hash: AuditHash) -> Self {
        self.with(key, &hash)
    }

    /// With a word that stands in this program.
    #[must_use]
    pub fn word(self, key: &'static str, word: &'static str) -> Self {
        self.with(key, word)
    }

    /// With a time.
    #[must_use]
    pub fn time(self, key: &'static str, time: DateTime<Utc>) -> Self {
        self.with(key, &time.to_rfc3339_opts(SecondsFormat::Micros, true))
    }

    /// With the name of a thing that this program made, a migration or a file's format: what is no ASCII letter,
    /// digit, `-`, `_` or `.` becomes `?`, and only 64 of them are kept.
    #[must_use]
    pub fn name(self, key: &'static str, name: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '?' };
        self.with(key, &name.chars().take(64).map(plain).collect::<String>())
    }

    /// The detail that a store gives back.
    #[must_use]
    pub fn from_stored(json: String) -> Self {
        Self(json)
    }

    /// As it is stored: a JSON object.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    fn with(mut self, key: &'static str, value: &(impl Serialize + ?Sized)) -> Self {
        let (Ok(key), Ok(value)) = (serde_json::to_string(key), serde_json::to_string(value)) else {
            return self;
        };
        // The end of the object, which comes back behind it.
        self.0.pop();
        let comma = if self.0.len() > 1 { "," } else { "" };
        self.0.extend([comma, &key, ":", &value, "}"]);
        self
    }
}

impl Default for AuditDetail {
    /// An empty object.
    fn default() -> Self {
        Self("{}".to_owned())
    }
}

impl fmt::Display for AuditDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for AuditDetail {
    /// As the object that it is; as a text where what is stored is none.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(&self.0) {
            Ok(json) => json.serialize(serializer),
            Err(_) => serializer.serialize_str(&self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_a_flat_object_of_its_parts() {
        let detail = AuditDetail::default()
            .count("conversations", 2)
            .ids("conversation_ids", [Uuid::nil(), Uuid::max()])
            .hash("manifest", AuditHash([0xab; 32]))
            .word("format", "jsonl")
            .time("until", DateTime::UNIX_EPOCH)
            .name("migration", "2026-11-26-000008_audit \" drop");
        let json: serde_json::Value = serde_json::from_str(detail.as_json()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "conversations": 2,
                "conversation_ids": [Uuid::nil(), Uuid::max()],
                "manifest": "ab".repeat(32),
                "format": "jsonl",
                "until": "1970-01-01T00:00:00.000000Z",
                "migration": "2026-11-26-000008_audit???drop",
            })
        );
        assert_eq!(AuditDetail::default().as_json(), "{}");
    }

    #[test]
    fn what_is_stored_is_shown_whatever_it_is() {
        let shown = |stored: &str| serde_json::to_string(&AuditDetail::from_stored(stored.to_owned()));
        assert_eq!(shown("{\"a\": 1}").unwrap(), "{\"a\": 1}");
        assert_eq!(shown("broken").unwrap(), "\"broken\"");
    }
}
