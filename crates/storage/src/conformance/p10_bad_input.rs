//! P10: what cannot be stored exactly is refused before a store sees it, the same for all of them.
//!
//! What these verdicts take, `payload.rs` shows every store to keep.

#![expect(clippy::unused_async, reason = "a verdict needs no store, and a test has the shape of the others")]

use chrono::{DateTime, Utc};
use lcs_domain::{
    ConversationCursor, ConversationUpdate, ListConversations, Metadata, NewConversation, NewTurn, PageLimit,
    Payload, PayloadLimits, RepositoryError, RetentionPolicy, Text, TurnId, TurnRange,
};

use super::Harness;
use super::fixture::{Client, json};

/// What is refused for what it is, with a pointer to where.
const INVALID: [(&str, &str); 14] = [
    ("123456789012345678901234567890", ""),
    ("[0,1e400]", "/1"),
    ("[-1e400]", "/0"),
    (r#"{"a":{"b":1e-400}}"#, "/a/b"),
    ("18446744073709551616", ""),
    ("18446744073709551617", ""),
    ("0.1000000000000000055511151231257827", ""),
    (r#"{"a":1e400,"a":1}"#, "/a"),
    (r#""\ud800""#, ""),
    (r#"["\udc00\ud800"]"#, ""),
    ("NaN", ""),
    ("[1,]", ""),
    ("", ""),
    ("1 2", ""),
];

/// What cannot be kept exactly is refused, with a pointer to it.
pub async fn what_cannot_be_kept_is_refused(_: &dyn Harness) {
    for (text, pointer) in INVALID {
        match Payload::parse(text) {
            Err(RepositoryError::Invalid { pointer: found, .. }) => {
                assert_eq!(found, pointer, "where {text} is refused");
            }
            other => panic!("{text}: expected it to be invalid, got {other:?}"),
        }
    }
}

/// Depth 65 and 4 MiB + 1 are refused; what is one less is in `payload.rs`.
pub async fn too_deep_and_too_large_are_refused(_: &dyn Harness) {
    let deep = format!("{}1{}", "[".repeat(65), "]".repeat(65));
    assert!(matches!(Payload::parse(&deep), Err(RepositoryError::Invalid { .. })), "65 deep");
    let limit_bytes = PayloadLimits::default().max_bytes;
    let large = format!("\"{}\"", "x".repeat(limit_bytes - 1));
    match Payload::parse(&large) {
        Err(RepositoryError::TooLarge { size_bytes, limit_bytes: told, .. }) => {
            assert_eq!((size_bytes, told), (limit_bytes + 1, limit_bytes));
        }
        other => panic!("4 MiB + 1: expected it to be too large, got {other:?}"),
    }
}

/// Metadata and texts refuse what only a sealed column could keep: U+0000, and in metadata 1e300.
pub async fn metadata_and_texts_refuse_nul(_: &dyn Harness) {
    for text in [
        r#"{"a":"\u0000"}"#,
        r#"{"\u0000":1}"#,
        r#"{"a":[{"b":"x\u0000"}]}"#,
        "[]",
        r#"{"lcs:a":1}"#,
        r#"{"a":[1e300]}"#,
    ] {
        let refused = matches!(Metadata::parse(text), Err(RepositoryError::Invalid { .. }));
        assert!(refused, "{text} as metadata");
    }
    for text in ["\0", "a\0b"] {
        let refused = [Text::name(text, "/n"), Text::summary(text, "/n"), Text::prompt(text, "/n")];
        for refused in refused {
            assert!(matches!(refused, Err(RepositoryError::Invalid { pointer, .. }) if pointer == "/n"));
        }
    }
}

/// A text that is too long for its field is refused by name, whatever it was made as; nothing is stored.
pub async fn a_text_of_another_kind_is_refused(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let text = |bytes: usize| Text::from_stored("x".repeat(bytes));
    let new = super::fixture::beginning;
    let refused = [
        ("/model_id", NewConversation { model_id: text(513), ..new() }),
        ("/external_id", NewConversation { external_id: Some(text(1024 * 1024)), ..new() }),
        ("/topic_summary", NewConversation { topic_summary: Some(text(16 * 1024 + 1)), ..new() }),
        ("/system_prompt", NewConversation { system_prompt: Some(text(1024 * 1024 + 1)), ..new() }),
    ];
    for (field, new) in refused {
        let result = client.create(new).await;
        let named = matches!(&result, Err(RepositoryError::TooLarge { pointer, .. }) if *pointer == field);
        assert!(named, "{field}: {:?}", result.err());
    }
    assert_eq!(client.list(ListConversations::default()).await, [], "nothing is stored");
    let fits = NewConversation {
        model_id: text(512),
        external_id: Some(text(512)),
        topic_summary: Some(text(16 * 1024)),
        system_prompt: Some(text(1024 * 1024)),
        ..new()
    };
    let made = client.create(fits).await.expect("the longest texts fit");
    let topic_summary = Some(Some(text(16 * 1024 + 1)));
    let update = ConversationUpdate { topic_summary, ..ConversationUpdate::default() };
    let result = client.update(&made, update).await;
    let named =
        matches!(&result, Err(RepositoryError::TooLarge { pointer, .. }) if *pointer == "/topic_summary");
    assert!(named, "an update: {:?}", result.err());
    assert_eq!(client.get(&made).await, Some(made), "it is as it was");
}

/// Times, page sizes and policies that a store cannot hold are refused.
pub async fn times_and_sizes_out_of_range_are_refused(_: &dyn Harness) {
    for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        let turn = NewTurn::new(TurnId::generate(), json("1"), None, at, at, Metadata::default());
        assert!(matches!(turn, Err(RepositoryError::Invalid { .. })), "{at}");
    }
    for limit in [0, 201, u32::MAX] {
        assert!(matches!(PageLimit::new(limit), Err(RepositoryError::Invalid { .. })), "{limit}");
    }
    let policy = RetentionPolicy::idle_longer_than(std::time::Duration::MAX);
    assert!(matches!(policy, Err(RepositoryError::Invalid { .. })));
}

/// A cursor that was made up is refused or is a place like any other: never a failure of the store.
pub async fn a_made_up_cursor_is_a_place_or_refused(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let made = client.begin().await;
    let id = made.conversation_id.as_uuid().simple();
    for (micros, behind) in [
        (DateTime::<Utc>::MIN_UTC.timestamp_micros(), 0),
        (-62_135_596_800_000_000, 0),
        (0, 0),
        (253_402_300_799_999_999, 1),
        (DateTime::<Utc>::MAX_UTC.timestamp_micros(), 1),
    ] {
        let after: ConversationCursor = match format!("{micros}_{id}").parse() {
            Ok(cursor) => cursor,
            Err(RepositoryError::Invalid { .. }) => continue,
            Err(other) => panic!("cursor {micros}: expected a place or a refusal, got {other:?}"),
        };
        let list = ListConversations { after: Some(after), ..ListConversations::default() };
        let page = client.store.conversations().list(client.user_id, list).await;
        let page = page.unwrap_or_else(|error| panic!("cursor {micros}: expected a page, got {error}"));
        assert_eq!(page.conversations.len(), behind, "what stands behind {micros}");
    }
}

/// Turn numbers and revisions past what a column holds are numbers like any other.
pub async fn numbers_past_the_columns_are_no_failure(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    client.say(&conversation, "one").await;
    for number in [i32::MAX as u32, i32::MAX as u32 + 1, u32::MAX] {
        let after = client.page(&conversation, TurnRange::After(number), 200).await.expect("a page");
        assert_eq!((after.turns.len(), after.turn_count), (0, 1), "after {number}");
        let before = client.page(&conversation, TurnRange::Before(number), 200).await.expect("a page");
        assert_eq!((before.turns.len(), before.turn_count), (1, 1), "before {number}");
        let mut stale = super::fixture::saying(&conversation, "x");
        stale.expected_turn_count = Some(number);
        let expected = super::fixture::stale_count(number.into(), 1);
        super::fixture::assert_refused(client.append(stale).await, &expected, "a count of the future");
    }
    for number in [i32::MAX as u32, i32::MAX as u32 + 1, u32::MAX] {
        let mut save = super::fixture::saving(&conversation, "1", 0);
        save.through_turn = number;
        let expected = super::fixture::stale_count(number.into(), 1);
        super::fixture::assert_refused(client.save(save).await, &expected, "turns of the future");
    }
    for revision in [i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        let save = super::fixture::saving(&conversation, "1", revision);
        let expected = super::fixture::stale_revision(revision, 0);
        super::fixture::assert_refused(client.save(save).await, &expected, "a revision of the future");
    }
}
