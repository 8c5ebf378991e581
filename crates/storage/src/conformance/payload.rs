//! Payloads and texts: what is taken comes back as it was, whichever column it stands in.

use lcs_domain::{
    AgentStateUpdate, AppendTurn, Metadata, NewConversation, NewTurn, Payload, SaveAgentState, Text, TurnId,
    metadata as limits, text,
};

use super::Harness;
use super::fixture::{Client, append, beginning, json, saving};

/// Documents at which stores differ, each with a name for the failure.
fn documents() -> Vec<(&'static str, Payload)> {
    let written = [
        ("null", "null"),
        ("true", "true"),
        ("nothing", "\"\""),
        ("an empty object", "{}"),
        ("an empty array", "[]"),
        ("an empty key", r#"{"":1}"#),
        ("u+0000 as a text", r#""\u0000""#),
        ("u+0000 in a text", r#"["a\u0000b"]"#),
        ("u+0000 in a key", r#"{"a\u0000b":{"\u0000":"\u0000"}}"#),
        ("a backslash before u0000", r#"["\\u0000","\\\\u0000"]"#),
        ("astral characters", r#"{"\ud83d\ude00":"\udbff\udfff"}"#),
        ("a literal astral character", "[\"\u{1f600}\u{10ffff}\u{fffe}\u{feff}\u{2028}\"]"),
        ("controls", r#""\u0001\b\t\n\f\r\u001f\u007f\u0080""#),
        ("combining characters, not composed", "[\"e\u{301}\",\"\u{e9}\"]"),
        ("quotes and slashes", r#"{"\"'`$$%?":"\/\\ -- ; DROP"}"#),
        ("u64::MAX", "18446744073709551615"),
        ("i64::MIN", "-9223372036854775808"),
        ("integers past 53 bits", "[9007199254740993,-9007199254740993]"),
        ("1e300", "1e300"),
        ("the largest float", "[1.7976931348623157e308,-1.7976931348623157e308]"),
        ("the smallest float", r#"{"a":5e-324}"#),
        ("the smallest normal float", "2.2250738585072014e-308"),
        ("minus zero", "[-0.0,0,-0]"),
        ("1.10", "[1.10,1.1,1E2,0.1e-7,1e22,1e23,123456789.1234568]"),
        ("17 digits", "[0.1,0.30000000000000004,1.0000000000000002]"),
        ("duplicate keys", r#"{"a":1,"b":2,"a":{"a":3,"a":4}}"#),
        ("keys in any order", r#"{"bb":1,"a":2,"B":3,"é":4,"aaaa":5}"#),
        ("what looks like a number", r#"["1","-0.0","1e400","NaN","Infinity",""]"#),
        ("what looks like a document", r#"["{\"a\":1}","null","[]"]"#),
    ];
    let mut documents: Vec<_> = written.into_iter().map(|(what, text)| (what, json(text))).collect();
    let nested = |open: &str, close: &str| json(&format!("{}1{}", open.repeat(64), close.repeat(64)));
    documents.push(("64 arrays deep", nested("[", "]")));
    documents.push(("64 objects deep", nested("{\"a\":", "}")));
    documents
        .push(("64 deep with u+0000", json(&format!("{}\"\\u0000\"{}", "[".repeat(64), "]".repeat(64)))));
    documents.push(("10,000 digits", json(&format!("[\"{}\"]", "9".repeat(10_000)))));
    documents.push(("10,000 entries", json(&format!("[{}0]", "0,".repeat(9_999)))));
    documents
}

/// That a document came back as it was. The text of a failure shows no more of it than fits.
#[track_caller]
fn assert_kept(read: Option<&Payload>, sent: &Payload, what: &str, column: &str) {
    let shown = |payload: &Payload| payload.as_json().chars().take(200).collect::<String>();
    let read = read.unwrap_or_else(|| panic!("{what}, as {column}: expected the document, got none"));
    assert!(read == sent, "{what}, as {column}: expected {}, got {}", shown(sent), shown(read));
    // Equality is the domain's; what a program would make of another text is checked apart from it.
    if read.as_json() == sent.as_json() {
        return;
    }
    let value = |payload: &Payload| payload.to_value().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(value(read), value(sent), "{what}, as {column}, as values");
}

/// Stores a document in all four columns, and reads it back.
async fn assert_round_trip(client: &Client, what: &str, document: &Payload) {
    let conversation = client.begin().await;
    let at = chrono::DateTime::UNIX_EPOCH;
    let turn = NewTurn::new(
        TurnId::generate(),
        document.clone(),
        Some(document.clone()),
        at,
        at,
        Metadata::default(),
    );
    let update = AgentStateUpdate {
        agent_id: conversation.agent_id,
        agent_config: Some(document.clone()),
        current_state: document.clone(),
        expected_revision: 0,
    };
    let command = AppendTurn { agent_state: Some(update), ..append(&conversation, turn.expect("a turn")) };
    let appended = client.append(command.clone()).await;
    appended.unwrap_or_else(|error| panic!("{what}: expected it to be stored, got {error}"));
    let replayed = client.append(command).await.expect("a replay");
    assert!(replayed.replayed, "{what}: sent again it is the same turn");
    let turns = client.turns(&conversation).await;
    assert_kept(Some(&turns[0].input_messages), document, what, "input_messages");
    assert_kept(turns[0].output_message.as_ref(), document, what, "output_message");
    let state = client.state(&conversation).await.expect("a state");
    assert_kept(Some(&state.agent_config), document, what, "agent_config");
    assert_kept(state.current_state.as_ref(), document, what, "current_state");

    let save = SaveAgentState {
        agent_config: None,
        current_state: Some(document.clone()),
        ..saving(&conversation, "1", 1)
    };
    client.save(save).await.unwrap_or_else(|error| panic!("{what}: expected it to be saved, got {error}"));
    let state = client.state(&conversation).await.expect("a state");
    assert_kept(Some(&state.agent_config), document, what, "agent_config, left as it was");
    assert_kept(state.current_state.as_ref(), document, what, "current_state, saved");
}

/// Every document that is taken comes back as it was, from every column that holds documents.
pub async fn every_document_comes_back_as_it_was(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    for (what, document) in documents() {
        assert_round_trip(&client, what, &document).await;
    }
}

/// A document of 4 MiB, the default limit, comes back as it was; with U+0000 in it too.
pub async fn four_mebibytes_come_back_as_they_were(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let limit = lcs_domain::PayloadLimits::default().max_bytes;
    assert_round_trip(&client, "4 MiB", &json(&format!("\"{}\"", "x".repeat(limit - 2)))).await;
    let sealed = format!("\"{}\\u0000\"", "x".repeat(limit - 8));
    assert_round_trip(&client, "4 MiB with u+0000", &json(&sealed)).await;
}

/// One document after another in the same place: an ordinary one takes the place of one that needs the
/// sealed form, and the other way round.
pub async fn a_state_may_change_its_form(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let forms =
        [Some("1"), Some(r#""\u0000""#), Some("1e300"), None, Some(r#"["\u0000"]"#), Some("{}"), None];
    for (form, revision) in forms.into_iter().zip(0..) {
        let document = form.map(json);
        let save = SaveAgentState {
            agent_config: document.clone(),
            current_state: document.clone(),
            ..saving(&conversation, "1", revision)
        };
        client.save(save).await.expect("a state is saved");
        let state = client.state(&conversation).await.expect("a state");
        assert_eq!(state.current_state, document, "revision {}", revision + 1);
        if let Some(document) = document {
            assert_eq!(state.agent_config, document, "revision {}", revision + 1);
        }
    }
}

/// Texts and metadata come back as they were, up to their limits.
pub async fn texts_and_metadata_come_back_as_they_were(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let odd = "  \u{1f600}\u{10ffff} e\u{301} \"'`\\ $1 ?1 %s \r\n\t\u{1} ";
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(limits::MAX_BYTES - 8));
    let noted = [
        r#"{"n":[1,-0.0,1.10,1e22,1e-7,18446744073709551615],"\ud83d\ude00":{"a":null}}"#.to_owned(),
        r#"{"a":"\\u0000","a":"last"}"#.to_owned(),
        format!("{{\"a\":{}{}}}", "[".repeat(63), "]".repeat(63)),
        large,
    ];
    let texts = [
        (odd.to_owned(), odd.to_owned()),
        (String::new(), String::new()),
        ("p".repeat(text::MAX_PROMPT_BYTES), "t".repeat(text::MAX_SUMMARY_BYTES)),
        ("\u{1f600}".repeat(10), "\u{10ffff}".repeat(10)),
    ];
    for ((prompt, topic), noted) in texts.into_iter().zip(noted) {
        let metadata = Metadata::parse(&noted).expect("metadata that can be kept");
        let new = NewConversation {
            model_id: Text::name(odd, "").expect("a name"),
            system_prompt: Some(Text::prompt(prompt, "").expect("a prompt")),
            topic_summary: Some(Text::summary(topic, "").expect("a topic")),
            metadata: metadata.clone(),
            ..beginning()
        };
        let made = client.create(new.clone()).await.expect("a conversation is created");
        let read = client.get(&made).await.expect("the conversation");
        assert!(read.model_id == new.model_id, "the model's id");
        assert!(read.system_prompt == new.system_prompt, "the prompt");
        assert!(read.topic_summary == new.topic_summary, "the topic");
        assert!(read.metadata == metadata, "metadata: expected {noted:.200}");
        let at = chrono::DateTime::UNIX_EPOCH;
        let turn = NewTurn::new(TurnId::generate(), json("1"), None, at, at, metadata.clone());
        client.append(append(&made, turn.expect("a turn"))).await.expect("a turn is appended");
        assert!(
            client.turns(&made).await[0].metadata == metadata,
            "a turn's metadata: expected {noted:.200}"
        );
    }
    // The longest names, and those that differ only where a careless index or collation would not look.
    let long = "n".repeat(text::MAX_NAME_BYTES - 1);
    for external_id in
        [format!("{long}a"), format!("{long}b"), "A".into(), "a".into(), "a ".into(), " a".into()]
    {
        let external_id = Some(Text::name(external_id, "").expect("a name"));
        let new = NewConversation { external_id: external_id.clone(), ..beginning() };
        let made = client.create(new).await.expect("each of them is an external id of its own");
        assert_eq!(client.get(&made).await.expect("the conversation").external_id, external_id);
    }
}
