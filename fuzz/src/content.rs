//! Turns: the same content has the same hash however it is written, and another content another one.

use chrono::DateTime;
use lcs_domain::metadata::{Mark, RESERVED_PREFIX};
use lcs_domain::{Metadata, NewTurn, Payload, TurnId};
use serde_json::Value;

/// Two documents, the second of them as the answer and, where it may be, as metadata.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (one, other) = text.split_once('\n').unwrap_or((text, "null"));
    let (Ok(one), Ok(other)) = (Payload::parse(one), Payload::parse(other)) else { return };
    let metadata = Metadata::parse(other.as_json()).ok();
    let hash = |input: &Payload, output: Option<&Payload>, metadata: &Metadata| {
        let turn = turn(input, output, metadata.clone());
        *turn.content_hash()
    };
    let none = Metadata::default();
    let plain = hash(&one, Some(&other), &none);
    assert_eq!(plain, hash(&rewritten(&one), Some(&rewritten(&other)), &none), "written another way");
    assert_ne!(plain, hash(&one, None, &none), "without an answer");
    assert_eq!(one == other, plain == hash(&other, Some(&one), &none), "the other way round");
    let Some(metadata) = metadata else { return };
    assert!(metadata.to_object().expect("an object").keys().all(|key| !key.starts_with(RESERVED_PREFIX)));
    let noted = turn(&one, None, metadata.clone());
    let is_empty = metadata.to_object().expect("an object").is_empty();
    assert_eq!(is_empty, *noted.content_hash() == hash(&one, None, &none), "metadata is content");
    let marked = noted.marked(Mark::Late).expect("a mark fits");
    assert_eq!(marked.content_hash(), noted.content_hash(), "a mark is no content");
    assert!(marked.metadata().has_mark(Mark::Late) && !noted.metadata().has_mark(Mark::Late));
    let caller = |metadata: &Metadata| metadata.caller_json().expect("an object");
    assert_eq!(caller(marked.metadata()), caller(&metadata));
}

fn turn(input: &Payload, output: Option<&Payload>, metadata: Metadata) -> NewTurn {
    let (id, at) = (TurnId::from_uuid(lcs_domain::UserId::from_text("turn").into()), DateTime::UNIX_EPOCH);
    NewTurn::new(id, input.clone(), output.cloned(), at, at, metadata).expect("documents that were taken")
}

/// The same document as another serialiser writes it.
fn rewritten(payload: &Payload) -> Payload {
    let value: Value = payload.to_value().expect("what was taken can be read");
    Payload::from_stored(serde_json::to_string_pretty(&value).expect("a value can be written"))
}
