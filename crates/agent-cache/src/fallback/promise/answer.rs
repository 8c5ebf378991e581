//! What is answered while the circuit is open, and what is left when it closes.

use lcs_domain::{AgentStateUpdate, Durability, Entity};

use super::super::VolatileCount;
use super::super::fake::outcome_unknown;
use super::*;

#[tokio::test(start_paused = true)]
async fn p8_refuse_refuses_everything_at_once() {
    let stage = Stage::new(FallbackMode::Refuse);
    let made = stage.begin().await;
    stage.outage().await;
    let calls = stage.primary.called();
    let create = stage.fallback.conversations().create(stage.user_id, new_conversation()).await.map(drop);
    assert!(is_unavailable(&create), "{create:?}");
    for (name, result) in stage.all(stage.user_id, &made).await {
        assert!(is_unavailable(&result), "{name}: {result:?}");
    }
    for (name, result) in stage.never(&made).await {
        assert!(is_unavailable(&result), "{name}: {result:?}");
    }
    for (name, result) in stage.asks().await {
        assert!(is_unavailable(&result), "{name}: {result:?}");
    }
    assert_eq!(stage.primary.called(), calls);
    assert!(stage.memories.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn p8_what_begins_in_an_outage_goes_on_in_memory_and_every_answer_says_volatile() {
    let stage = Stage::new(FallbackMode::Memory);
    stage.outage().await;
    let (user_id, calls) = (stage.user_id, stage.primary.called());
    let (conversations, turns) = (stage.fallback.conversations(), stage.fallback.turns());
    let states = stage.fallback.agent_states();
    let made = stage.begin().await;
    let (id, agent_id) = (made.conversation_id, made.agent_id);
    let update = ConversationUpdate::default();
    let remembered =
        AgentStateUpdate { agent_id, agent_config: None, current_state: json("{}"), expected_revision: 0 };
    let command = AppendTurn { agent_state: Some(remembered), ..append(id) };
    let appended = turns.append(user_id, command.clone()).await.unwrap();
    let replayed = turns.append(user_id, command).await.unwrap();
    assert_eq!((appended.turn_number, replayed.turn_number, replayed.replayed), (Some(1), Some(1), true));
    assert_eq!(stage.fallback.status().volatile.agent_states, 1, "a state that came with a turn");
    let page = turns.page(user_id, id, TurnRange::Newest, PageLimit::default()).await.unwrap().unwrap();
    assert_eq!(page.turns.len(), 1);
    let found = turns.get(user_id, id, page.turns[0].turn_id).await.unwrap();
    assert_eq!(found.as_ref(), page.turns.first());
    let said = [
        made.durability,
        appended.durability,
        replayed.durability,
        page.durability,
        conversations.get(user_id, id).await.unwrap().unwrap().durability,
        conversations.head(user_id, id).await.unwrap().unwrap().durability,
        conversations.update(user_id, id, update).await.unwrap().durability,
        states
            .save(user_id, SaveAgentState { expected_revision: 1, ..save(id, agent_id) })
            .await
            .unwrap()
            .durability,
        states.get(user_id, agent_id).await.unwrap().unwrap().durability,
        states.get_by_conversation(user_id, id).await.unwrap().unwrap().durability,
    ];
    assert_eq!(said, [Durability::Volatile; 10]);
    let expected = VolatileCount { conversations: 1, turns: 1, agent_states: 1 };
    assert_eq!(stage.fallback.status().volatile, expected);
    assert_eq!(stage.primary.called(), calls);
}

#[tokio::test(start_paused = true)]
async fn p8_a_history_that_cannot_be_read_is_an_error_and_never_an_empty_list() {
    let stage = Stage::new(FallbackMode::Memory);
    let stored = stage.begin().await;
    stage.outage().await;
    stage.begin().await;
    let absent = Conversation {
        conversation_id: ConversationId::generate(),
        agent_id: AgentId::generate(),
        ..stored.clone()
    };
    for made in [&stored, &absent] {
        for (name, result) in stage.all(stage.user_id, made).await {
            assert!(is_unavailable(&result), "{name}: {result:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p9_anothers_volatile_conversation_is_as_unknown_as_any() {
    let stage = Stage::new(FallbackMode::Memory);
    let stored = stage.begin().await;
    stage.outage().await;
    let volatile = stage.begin().await;
    let stranger = UserId::from_text("a stranger");
    let of_stored = stage.all(stranger, &stored).await;
    for ((name, foreign), (_, unknown)) in stage.all(stranger, &volatile).await.into_iter().zip(of_stored) {
        assert!(is_unavailable(&foreign), "{name}: {foreign:?}");
        assert_eq!(foreign.unwrap_err().to_string(), unknown.unwrap_err().to_string(), "{name}");
    }
    assert_eq!(stage.fallback.status().volatile.turns, 0);
}

#[tokio::test(start_paused = true)]
async fn p8_no_list_no_deletion_and_no_retention_while_open_not_even_of_what_is_volatile() {
    let stage = Stage::new(FallbackMode::Memory);
    stage.outage().await;
    let made = stage.begin().await;
    for (name, result) in stage.never(&made).await {
        assert!(is_unavailable(&result), "{name}: {result:?}");
    }
    let kept = stage.fallback.conversations().get(stage.user_id, made.conversation_id).await.unwrap();
    assert!(kept.is_some());
    assert_eq!(
        stage.fallback.diagnostics().diagnose().await.unwrap().len(),
        1,
        "diagnostics are the primary's"
    );
}

#[tokio::test(start_paused = true)]
async fn p8_the_begin_that_opens_the_circuit_is_served_from_memory() {
    let stage = Stage::new(FallbackMode::Memory);
    let conversations = stage.fallback.conversations();
    stage.primary.fail_with(Some(unavailable));
    for _ in 0..2 {
        let refused = conversations.create(stage.user_id, new_conversation()).await.map(drop);
        assert!(is_unavailable(&refused), "the circuit is still closed");
    }
    assert_eq!(stage.begin().await.durability, Durability::Volatile);
}

#[tokio::test(start_paused = true)]
async fn p8_requests_of_an_outage_are_kept_in_memory() {
    let stage = Stage::new(FallbackMode::Memory);
    stage.primary.fail_with(Some(unavailable));
    for _ in 0..2 {
        stage.fallback.requests().begin(stage.user_id, asking()).await.unwrap_err();
    }
    stage.fallback.requests().begin(stage.user_id, asking()).await.unwrap();
    let calls = stage.primary.called();
    for (name, result) in stage.asks().await {
        assert!(result.is_ok(), "{name}: {result:?}");
    }
    assert_eq!((stage.primary.called(), stage.memory().called()), (calls, 5));
    assert_eq!(stage.fallback.status().volatile, VolatileCount::default(), "a request is no conversation");
    stage.recovery().await;
    stage.fallback.requests().finish(stage.user_id, RequestId::generate()).await.unwrap();
    assert_eq!(stage.primary.called(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn p8_refuse_answers_the_begin_that_opens_the_circuit_as_the_primary_did() {
    let stage = Stage::new(FallbackMode::Refuse);
    stage.primary.fail_with(Some(unavailable));
    for _ in 0..3 {
        let result = stage.fallback.conversations().create(stage.user_id, new_conversation()).await;
        assert_eq!(result.unwrap_err().to_string(), unavailable().to_string());
    }
    assert_eq!(stage.fallback.status().openings, 1);
}

#[tokio::test(start_paused = true)]
async fn p8_the_begin_whose_outcome_is_unknown_stays_unknown() {
    let stage = Stage::new(FallbackMode::Memory);
    stage.primary.fail_with(Some(outcome_unknown));
    for _ in 0..3 {
        let result = stage.fallback.conversations().create(stage.user_id, new_conversation()).await;
        assert!(matches!(result, Err(RepositoryError::OutcomeUnknown { .. })), "{result:?}");
    }
    assert_eq!(stage.fallback.status().openings, 1);
    assert!(stage.memories.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn p8_memory_refuses_in_its_own_words_and_that_is_not_counted() {
    let stage = Stage::new(FallbackMode::Memory);
    stage.outage().await;
    let made = stage.begin().await;
    stage.memory().fail_with(Some(|| RepositoryError::Closed { entity: Entity::Conversation }));
    for (name, result) in stage.all(stage.user_id, &made).await {
        assert!(matches!(result, Err(RepositoryError::Closed { .. })), "{name}: {result:?}");
    }
    let expected = VolatileCount { conversations: 1, ..VolatileCount::default() };
    assert_eq!(stage.fallback.status().volatile, expected);
}

#[tokio::test(start_paused = true)]
async fn p8_what_was_volatile_is_discarded_and_counted_when_the_circuit_closes() {
    let stage = Stage::new(FallbackMode::Memory);
    stage.outage().await;
    let first = stage.begin().await;
    stage.begin().await;
    for (name, result) in stage.all(stage.user_id, &first).await {
        assert!(result.is_ok(), "{name}: {result:?}");
    }
    stage.recovery().await;
    let expected = VolatileCount { conversations: 2, turns: 1, agent_states: 1 };
    let status = stage.fallback.status();
    assert_eq!((status.discarded, status.volatile), (expected, VolatileCount::default()));
    assert_eq!(Arc::strong_count(&stage.memory()), 2, "ours and the one on the stage");

    let turns = stage.fallback.turns();
    let page =
        turns.page(stage.user_id, first.conversation_id, TurnRange::Newest, PageLimit::default()).await;
    assert_eq!(page.unwrap(), None, "the primary never had it");
    let late = turns.append(stage.user_id, append(first.conversation_id)).await;
    assert!(matches!(late, Err(RepositoryError::NotFound { entity: Entity::Conversation })), "{late:?}");

    stage.outage().await;
    stage.begin().await;
    for (name, result) in stage.all(stage.user_id, &first).await {
        assert!(is_unavailable(&result), "of the outage before, {name}: {result:?}");
    }
    stage.recovery().await;
    assert_eq!(stage.memories.lock().unwrap().len(), 2, "a fresh memory for each outage");
    assert_eq!(stage.fallback.status().discarded.conversations, 3);
    assert_eq!(stage.fallback.status().openings, 2);
}

#[tokio::test(start_paused = true)]
async fn p8_an_outage_in_which_nothing_begins_makes_no_memory() {
    let stage = Stage::new(FallbackMode::Memory);
    stage.outage().await;
    let refused =
        stage.fallback.conversations().get(stage.user_id, ConversationId::generate()).await.map(drop);
    assert!(is_unavailable(&refused));
    stage.recovery().await;
    assert!(stage.memories.lock().unwrap().is_empty());
}
