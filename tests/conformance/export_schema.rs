//! What is exported is what its JSON Schema, which is part of the documentation, says.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use lcs_domain::transfer::ExportFilter;
use lcs_domain::transfer::record::{Header, Record, Trailer};
use lcs_domain::{
    AppendTurn, Clock, Metadata, NewConversation, NewTurn, Payload, PayloadLimits, Repositories,
    SaveAgentState, SystemClock, Text, TurnId, UserId,
};
use lcs_storage::memory::Memory;
use lcs_tests::hostile_json::cases;
use serde_json::Value;

const SCHEMA: &str = include_str!("../../docs/export.schema.json");

/// The lines of an export with a conversation that has everything, and one that has nothing.
async fn export() -> Vec<String> {
    let store: Arc<dyn Repositories> = Arc::new(Memory::new(Arc::new(SystemClock)));
    let user_id = UserId::generate();
    let text = |text: &str| Text::name(text, "").unwrap();
    let begin = NewConversation::begin(text("model"));
    store.conversations().create(user_id, begin.clone()).await.unwrap();
    let full = NewConversation {
        system_prompt: Some(text("prompt")),
        topic_summary: Some(text("topic")),
        external_id: Some(text("conv_1")),
        metadata: Metadata::parse(r#"{"a":1}"#).unwrap(),
        ..NewConversation::begin(text("model"))
    };
    let full = store.conversations().create(user_id, full).await.unwrap();
    let documents = cases()
        .into_iter()
        .filter_map(|case| Payload::parse_bytes(&case.document, PayloadLimits { max_bytes: 10_000 }).ok());
    for (number, document) in documents.enumerate() {
        let at = SystemClock.now();
        let output = (number % 2 == 0).then(|| document.clone());
        let turn = NewTurn::new(TurnId::generate(), document, output, at, at, Metadata::default()).unwrap();
        let conversation_id = full.conversation_id;
        let append = AppendTurn { conversation_id, turn, expected_turn_count: None, agent_state: None };
        store.turns().append(user_id, append).await.unwrap();
    }
    let save = SaveAgentState {
        agent_id: full.agent_id,
        conversation_id: full.conversation_id,
        agent_config: None,
        current_state: Some(Payload::parse("null").unwrap()),
        expected_revision: 0,
        through_turn: 1,
    };
    store.agent_states().save(user_id, save).await.unwrap();
    let now = SystemClock.now();
    let filter = ExportFilter {
        user_id: Some(user_id),
        changed_from: Some(full.created_at),
        changed_before: Some(now),
        ..ExportFilter::default()
    };
    let mut lines = vec![Header { exported_at: now, filter }.to_line().unwrap()];
    let parts: Vec<_> = store.transfers().export(ExportFilter::default()).try_collect().await.unwrap();
    lines.extend(parts.iter().map(|part| part.to_line().unwrap()));
    lines.push(Trailer { conversations: 2, agent_states: 1, turns: 3 }.to_line().unwrap());
    lines
}

#[tokio::test]
async fn every_line_of_an_export_is_as_its_schema_says() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let lines = export().await;
    assert!(lines.len() > 75, "{}", lines.len());
    for line in &lines {
        let value: Value = serde_json::from_str(line).unwrap();
        let problems: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?} in {line}");
        Record::parse(line, PayloadLimits::default()).unwrap();
    }
}

#[tokio::test]
async fn a_line_with_one_field_less_or_more_is_neither_the_schema_s_nor_read() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let mut seen = Vec::new();
    for line in export().await {
        let value: Value = serde_json::from_str(&line).unwrap();
        let kind = value["type"].as_str().unwrap().to_owned();
        if seen.contains(&kind) {
            continue;
        }
        for field in value.as_object().unwrap().keys() {
            let mut less = value.clone();
            less.as_object_mut().unwrap().remove(field);
            let is_read = Record::parse(&less.to_string(), PayloadLimits::default()).is_ok();
            assert_eq!(validator.is_valid(&less), is_read, "{kind} without {field}");
        }
        if kind != "header" {
            let mut more = value.clone();
            more["another"] = 1.into();
            assert!(Record::parse(&more.to_string(), PayloadLimits::default()).is_err(), "{kind}");
            assert!(!validator.is_valid(&more), "{kind}");
        }
        seen.push(kind);
    }
    assert_eq!(seen.len(), 5);
}
