//! Hostile JSON: hundreds of documents, well-formed, malformed and in between, and what becomes of each.
//!
//! The cases are data, in `hostile_json.txt`; every store takes the same, and gives the same back.

use std::sync::Arc;

use lcs_domain::{
    AgentStateUpdate, AppendTurn, Clock, Metadata, NewConversation, NewTurn, PageLimit, Payload,
    PayloadLimits, Repositories, RepositoryError, SaveAgentState, SystemClock, Text, TurnId, TurnRange,
    UserId,
};
use lcs_storage::conformance::Harness;
use lcs_tests::hostile_json::{Case, Verdict, cases};

use crate::memory::MemoryHarness;
use crate::postgres::PostgresHarness;
use crate::sqlite::SqliteHarness;

#[test]
fn p10_every_document_has_its_verdict() {
    let cases = cases();
    assert!(cases.len() >= 150, "there are only {} cases", cases.len());
    // All of them at once: one wrong verdict seldom comes alone.
    let wrong: Vec<String> = cases.iter().filter_map(|case| judged(case).err()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// What is wrong with what becomes of the document.
fn judged(case: &Case) -> Result<(), String> {
    let shown = &case.shown;
    match (case.verdict, Payload::parse_bytes(&case.document, PayloadLimits::default())) {
        (Verdict::Kept | Verdict::Sealed, Ok(payload)) => {
            let is_sealed = payload.needs_sealing().unwrap();
            if is_sealed != (case.verdict == Verdict::Sealed) {
                return Err(format!("{shown}: that it is sealed is {is_sealed}"));
            }
            if payload.as_json() == case.canonical() {
                return Ok(());
            }
            Err(format!("{shown}: it comes back as {:.200}", payload.as_json()))
        }
        (Verdict::Refused { reason }, Err(RepositoryError::Invalid { pointer, reason: said })) => {
            let is_expected = said.contains(reason) && pointer == case.detail;
            if is_expected { Ok(()) } else { Err(format!("{shown}: at {pointer:?}: {said}")) }
        }
        (Verdict::Large, Err(RepositoryError::TooLarge { size_bytes, limit_bytes, .. }))
            if size_bytes > limit_bytes =>
        {
            Ok(())
        }
        (verdict, outcome) => Err(format!("{shown}: expected {verdict:?}, got {:?}", outcome.map(|_| "it"))),
    }
}

#[tokio::test]
async fn memory_gives_every_document_back() {
    assert_given_back(&MemoryHarness::new()).await;
}

#[tokio::test]
async fn sqlite_gives_every_document_back() {
    assert_given_back(&SqliteHarness::new().await).await;
}

#[tokio::test]
async fn postgresql_gives_every_document_back() {
    assert_given_back(&PostgresHarness::new().await).await;
}

/// Stores every document that is taken in each place where documents stand, and reads it back.
async fn assert_given_back(harness: &dyn Harness) {
    let store = harness.open().await;
    let user_id = UserId::generate();
    let kept: Vec<(Case, Payload)> = cases()
        .into_iter()
        .filter_map(|case| {
            let payload = Payload::parse_bytes(&case.document, PayloadLimits::default()).ok()?;
            Some((case, payload))
        })
        .collect();
    assert!(kept.len() >= 75, "only {} are taken", kept.len());
    // Of large documents, one page at a time.
    for cases in kept.chunks(50) {
        let new = NewConversation::begin(Text::name("model", "/model_id").unwrap());
        let conversation = store.conversations().create(user_id, new).await.unwrap();
        let (id, agent_id) = (conversation.conversation_id, conversation.agent_id);
        for ((case, payload), revision) in cases.iter().zip(0..) {
            let at = SystemClock.now();
            let output = Some(payload.clone());
            let turn = NewTurn::new(TurnId::generate(), payload.clone(), output, at, at, Metadata::default());
            let state = AgentStateUpdate {
                agent_id,
                agent_config: Some(payload.clone()),
                current_state: payload.clone(),
                expected_revision: revision,
            };
            let append = AppendTurn {
                conversation_id: id,
                turn: turn.unwrap(),
                expected_turn_count: None,
                agent_state: Some(state),
            };
            let appended = store.turns().append(user_id, append).await;
            appended.unwrap_or_else(|error| panic!("{}: {error}", case.shown));
            let state = store.agent_states().get(user_id, agent_id).await.unwrap().unwrap();
            assert_same(case, Some(&state.agent_config), "agent_config");
            assert_same(case, state.current_state.as_ref(), "current_state");
        }
        let page = store.turns().page(user_id, id, TurnRange::After(0), PageLimit::MAX).await;
        for ((case, _), turn) in cases.iter().zip(page.unwrap().unwrap().turns) {
            assert_same(case, Some(&turn.input_messages), "input_messages");
            assert_same(case, turn.output_message.as_ref(), "output_message");
        }
    }
    assert_saved(&store, user_id, &kept).await;
}

/// The other way into an agent's state.
async fn assert_saved(store: &Arc<dyn Repositories>, user_id: UserId, kept: &[(Case, Payload)]) {
    let new = NewConversation::begin(Text::name("model", "/model_id").unwrap());
    let conversation = store.conversations().create(user_id, new).await.unwrap();
    let agent_id = conversation.agent_id;
    for ((case, payload), expected_revision) in kept.iter().zip(0..) {
        let save = SaveAgentState {
            agent_id,
            conversation_id: conversation.conversation_id,
            agent_config: None,
            current_state: Some(payload.clone()),
            expected_revision,
            through_turn: 0,
        };
        let saved = store.agent_states().save(user_id, save).await;
        saved.unwrap_or_else(|error| panic!("{}: {error}", case.shown));
        let state = store.agent_states().get(user_id, agent_id).await.unwrap().unwrap();
        assert_same(case, state.current_state.as_ref(), "current_state, saved");
    }
}

fn assert_same(case: &Case, read: Option<&Payload>, column: &str) {
    let read = read.unwrap_or_else(|| panic!("{}: there is no {column}", case.shown));
    let canonical = read.canonical_json().unwrap();
    assert!(*canonical == *case.canonical(), "{}: {column} is {canonical:.200}", case.shown);
}
