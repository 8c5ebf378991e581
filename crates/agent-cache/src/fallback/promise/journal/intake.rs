//! What the journal takes in an outage, and what it refuses.

use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use lcs_domain::{ConversationUpdate, NewTurn, PageLimit, RetentionPolicy, Text, TurnId, TurnRange};

use super::super::super::fake::outcome_unknown;
use super::super::is_unavailable;
use super::*;

fn overloaded() -> RepositoryError {
    RepositoryError::Overloaded { reason: "the journal is full".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn p8_what_begins_in_an_outage_is_journaled_in_order_and_every_answer_says_so() {
    let stage = Stage::new().await;
    stage.outage().await;
    let (user_id, calls) = (stage.user_id, stage.primary.called());
    let made = stage.begin().await;
    let (id, agent_id) = (made.conversation_id, made.agent_id);
    let first = stage.append(with_state(&made, 0, 0)).await.unwrap();
    let second = stage.append(append(id)).await.unwrap();
    let saved = stage.fallback.agent_states().save(user_id, state(&made, 1, 2)).await.unwrap();
    let topic = ConversationUpdate {
        topic_summary: Some(Some(Text::summary("outages", "/topic_summary").unwrap())),
        ..ConversationUpdate::default()
    };
    let updated = stage.fallback.conversations().update(user_id, id, topic).await.unwrap();
    assert_eq!((first.turn_number, first.state_revision), (Some(1), 1));
    assert_eq!((second.turn_number, second.state_revision, saved.revision), (Some(2), 1, 2));
    let page = stage.fallback.turns().page(user_id, id, TurnRange::Newest, PageLimit::default()).await;
    let page = page.unwrap().unwrap();
    assert_eq!(page.turns.len(), 2);
    let (conversations, states) = (stage.fallback.conversations(), stage.fallback.agent_states());
    let said = [
        made.durability,
        first.durability,
        saved.durability,
        updated.durability,
        page.durability,
        conversations.get(user_id, id).await.unwrap().unwrap().durability,
        conversations.head(user_id, id).await.unwrap().unwrap().durability,
        states.get(user_id, agent_id).await.unwrap().unwrap().durability,
        states.get_by_conversation(user_id, id).await.unwrap().unwrap().durability,
    ];
    assert_eq!(said, [Durability::Journaled; 9]);
    let kinds: Vec<_> = stage.pending().iter().map(JournalOperation::kind).collect();
    let expected = [
        JournalKind::Create,
        JournalKind::Append,
        JournalKind::Append,
        JournalKind::Save,
        JournalKind::Update,
    ];
    assert_eq!(kinds, expected);
    let now = stage.status();
    assert_eq!((now.backlog.entries, now.backlog.oldest), (5, Some(stage.journal.entries()[0].recorded_at)));
    assert_eq!((now.volatile, now.discarded), Default::default(), "nothing of it is volatile");
    assert_eq!(stage.primary.called(), calls);
}

#[tokio::test(start_paused = true)]
async fn p8_nothing_is_acknowledged_before_it_is_on_the_disk() {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    let gate = stage.journal.shut();
    let mut creating = Box::pin(stage.begin());
    let mut appending = Box::pin(stage.append(append(made.conversation_id)));
    let mut blind = Box::pin(stage.append(append(ConversationId::generate())));
    for _ in 0..20 {
        tokio::task::yield_now().await;
        assert!((&mut creating).now_or_never().is_none() && (&mut appending).now_or_never().is_none());
        assert!((&mut blind).now_or_never().is_none());
    }
    let head = stage.fallback.conversations().head(stage.user_id, made.conversation_id).await;
    assert_eq!(head.unwrap().unwrap().turn_count, 0, "nor shown to anybody");
    assert_eq!(stage.journal.most_at_once(), 3, "conversations do not wait for each other");
    gate.add_permits(3);
    creating.await;
    appending.await.unwrap();
    blind.await.unwrap();
    assert_eq!(stage.journal.entries().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn p8_what_the_journal_does_not_take_is_not_taken_at_all() {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    let (id, user_id) = (made.conversation_id, stage.user_id);
    let retried = append(id);
    stage.journal.fail_with(Some(overloaded));
    let create = stage.fallback.conversations().create(user_id, new_conversation()).await.map(drop);
    let saved = stage.fallback.agent_states().save(user_id, state(&made, 0, 0)).await.map(drop);
    let unseen = stage.append(append(ConversationId::generate())).await.map(drop);
    for result in [create, saved, unseen, stage.append(retried.clone()).await.map(drop)] {
        assert!(matches!(result, Err(RepositoryError::Overloaded { .. })), "{result:?}");
    }
    let head = stage.fallback.conversations().head(user_id, id).await.unwrap().unwrap();
    assert_eq!((head.turn_count, head.state_revision), (0, 0));
    assert_eq!(stage.status().backlog.entries, 1);
    stage.journal.fail_with(None);
    let appended = stage.append(retried).await.unwrap();
    assert_eq!((appended.turn_number, appended.replayed), (Some(1), false));
    stage.recovery().await;
    assert_eq!((stage.primary.counted(), stage.conflicts()), ((1, 1), vec![]));
}

#[tokio::test(start_paused = true)]
async fn p8_what_memory_would_refuse_is_refused_and_never_journaled() {
    let stage = Stage::new().await;
    stage.outage().await;
    let (made, other) = (stage.begin().await, stage.begin().await);
    let id = made.conversation_id;
    let first = with_state(&made, 0, 0);
    stage.append(first.clone()).await.unwrap();
    let records = stage.journal.records.load(Ordering::SeqCst);
    let stale_count = AppendTurn { expected_turn_count: Some(0), ..append(id) };
    let elsewhere = AppendTurn { conversation_id: other.conversation_id, agent_state: None, ..first.clone() };
    let elsewhere = AppendTurn { expected_turn_count: None, ..elsewhere };
    let refused = [
        (stage.append(stale_count).await.map(drop), "the conversation has changed: expected 0, found 1"),
        (
            stage.append(with_state(&made, 1, 0)).await.map(drop),
            "the agent state has changed: expected 0, found 1",
        ),
        (
            stage
                .append(with_state(&Conversation { agent_id: other.agent_id, ..made.clone() }, 1, 1))
                .await
                .map(drop),
            "agent state not found",
        ),
        (stage.append(elsewhere).await.map(drop), "is already stored with other content"),
        (
            stage.fallback.agent_states().save(stage.user_id, state(&made, 0, 1)).await.map(drop),
            "the agent state has changed: expected 0, found 1",
        ),
        (
            stage.fallback.agent_states().save(stage.user_id, state(&made, 1, 2)).await.map(drop),
            "the conversation has changed: expected 2, found 1",
        ),
    ];
    for (result, expected) in refused {
        let said = result.unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
    let archive = ConversationUpdate {
        status: Some(lcs_domain::conversation::OpenStatus::Archived),
        ..ConversationUpdate::default()
    };
    stage.fallback.conversations().update(stage.user_id, id, archive).await.unwrap();
    let closed = stage.append(append(id)).await;
    assert!(matches!(closed, Err(RepositoryError::Closed { .. })), "{closed:?}");
    assert!(stage.append(first).await.unwrap().replayed, "a turn that is there is there");
    let empty = ConversationUpdate::default();
    stage.fallback.conversations().update(stage.user_id, id, empty).await.unwrap();
    assert_eq!(stage.journal.records.load(Ordering::SeqCst), records + 1, "the archiving");
}

#[tokio::test(start_paused = true)]
async fn p8_an_id_that_memory_finds_in_use_leaves_nothing_in_the_journal() {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    let new = lcs_domain::NewConversation { agent_id: made.agent_id, ..new_conversation() };
    let refused = stage.fallback.conversations().create(stage.user_id, new).await;
    assert!(matches!(refused, Err(RepositoryError::AlreadyExists { .. })), "{refused:?}");
    assert_eq!((stage.journal.entries().len(), stage.status().backlog.entries), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn p1_the_same_turn_again_is_the_same_turn_while_it_is_pending() {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    for id in [made.conversation_id, ConversationId::generate()] {
        let turn = append(id);
        let first = stage.append(turn.clone()).await.unwrap();
        let again = stage.append(turn.clone()).await.unwrap();
        assert_eq!(again, Appended { replayed: true, ..first });
        let at = turn.turn.started_at();
        let other =
            NewTurn::new(turn.turn.turn_id(), json("[1]"), None, at, at, turn.turn.metadata().clone());
        let other = AppendTurn { turn: other.unwrap(), ..turn.clone() };
        let refused = stage.append(other).await;
        assert!(matches!(refused, Err(RepositoryError::IdempotencyMismatch { .. })), "{refused:?}");
        let found = stage.fallback.turns().get(stage.user_id, id, turn.turn.turn_id()).await.unwrap();
        assert_eq!(found.unwrap().turn_number, first.turn_number.unwrap_or(0));
    }
    assert_eq!(stage.journal.entries().len(), 3);
    let stage = stage.restarted().await;
    assert_eq!(stage.status().state, CircuitState::Open);
    for entry in stage.journal.entries() {
        let JournalOperation::Append(turn) = entry.operation else { continue };
        assert!(stage.append(turn).await.unwrap().replayed, "a new process knows it too");
    }
    assert_eq!(stage.journal.entries().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn p8_what_nobody_can_see_is_taken_unseen_or_refused_and_never_empty() {
    let stage = Stage::new().await;
    let stored = stage.begin().await;
    let (user_id, id) = (stage.user_id, stored.conversation_id);
    stage.outage().await;
    let plain = stage.append(append(id)).await.unwrap();
    assert_eq!((plain.turn_number, plain.state_revision, plain.replayed), (None, 0, false));
    let second = stage.append(with_state(&stored, 1, 6)).await.unwrap();
    assert_eq!((second.turn_number, second.state_revision), (None, 7), "if it has not moved on");
    let (conversations, turns) = (stage.fallback.conversations(), stage.fallback.turns());
    let states = stage.fallback.agent_states();
    let update = ConversationUpdate::default();
    let limit = PageLimit::default();
    let policy = RetentionPolicy::idle_longer_than(Duration::ZERO).unwrap();
    let refused = [
        conversations.get(user_id, id).await.map(drop),
        conversations.head(user_id, id).await.map(drop),
        conversations.update(user_id, id, update).await.map(drop),
        conversations.delete(user_id, id).await.map(drop),
        conversations.list(user_id, lcs_domain::ListConversations::default()).await.map(drop),
        turns.get(user_id, id, TurnId::generate()).await.map(drop),
        turns.page(user_id, id, TurnRange::Newest, limit).await.map(drop),
        states.save(user_id, state(&stored, 0, 0)).await.map(drop),
        states.get_by_conversation(user_id, id).await.map(drop),
        states.get(user_id, stored.agent_id).await.map(drop),
        states.delete(user_id, stored.agent_id).await.map(drop),
        conversations
            .create(user_id, lcs_domain::NewConversation { conversation_id: id, ..new_conversation() })
            .await
            .map(drop),
        stage.fallback.retention().purge_batch(policy, limit).await.map(drop),
    ];
    for (index, result) in refused.iter().enumerate() {
        assert!(is_unavailable(result), "{index}: {result:?}");
    }
    assert_eq!(stage.journal.entries().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn p9_a_foreign_conversation_and_an_absent_one_are_the_same_in_an_outage() {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    let own = append(made.conversation_id);
    stage.append(own.clone()).await.unwrap();
    let stranger = UserId::from_text("a stranger");
    let absent = ConversationId::generate();
    let mut answers = Vec::new();
    for id in [made.conversation_id, absent] {
        let (conversations, turns) = (stage.fallback.conversations(), stage.fallback.turns());
        let fresh = turns.append(stranger, append(id)).await;
        let turn = AppendTurn { conversation_id: id, ..own.clone() };
        let same = if id == absent { append(id) } else { turn };
        let found = turns.get(stranger, id, own.turn.turn_id()).await;
        let same = turns.append(stranger, same).await;
        answers.push(format!(
            "{fresh:?} {same:?} {found:?} {:?} {:?}",
            conversations.get(stranger, id).await,
            stage.fallback.agent_states().get(stranger, made.agent_id).await,
        ));
    }
    assert_eq!(answers[0], answers[1]);
    stage.recovery().await;
    assert_eq!(stage.turns(made.conversation_id).len(), 1, "the owner's");
    let expected = (JournalKind::Append, "conversation not found".to_owned());
    assert_eq!(stage.conflicts(), vec![expected; 4]);
}

#[tokio::test(start_paused = true)]
async fn p8_the_first_write_that_finds_the_primary_gone_is_journaled_and_opens_the_circuit() {
    for fault in [unavailable, outcome_unknown] {
        let stage = Stage::new().await;
        let stored = stage.begin().await;
        stage.primary.fail_with(Some(fault));
        let taken = stage.append(append(stored.conversation_id)).await.unwrap();
        assert!(outcome_is_journaled(&taken));
        assert_eq!((taken.turn_number, stage.status().openings), (None, 1));

        let stage = Stage::new().await;
        stage.primary.fail_with(Some(fault));
        assert_eq!(stage.begin().await.durability, Durability::Journaled);
        assert_eq!(stage.pending().len(), 1);

        let stage = Stage::new().await;
        let stored = stage.begin().await;
        stage.primary.fail_with(Some(fault));
        for _ in 0..3 {
            let refused = stage.fallback.agent_states().save(stage.user_id, state(&stored, 0, 0)).await;
            assert_eq!(refused.unwrap_err().to_string(), fault().to_string(), "a state is not taken unseen");
        }
        assert_eq!((stage.pending().len(), stage.status().openings), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn p1_what_the_primary_may_have_taken_stays_unknown_when_the_journal_is_full() {
    let stage = Stage::new().await;
    let stored = stage.begin().await;
    stage.primary.fail_with(Some(outcome_unknown));
    stage.journal.fail_with(Some(overloaded));
    let refused = stage.append(append(stored.conversation_id)).await.unwrap_err();
    assert!(matches!(refused, RepositoryError::OutcomeUnknown { .. }), "{refused}");
    // Nobody else is told the key of that call.
    let other =
        stage.fallback.conversations().get(UserId::generate(), stored.conversation_id).await.unwrap_err();
    let RepositoryError::OutcomeUnknown { key } = outcome_unknown() else { unreachable!() };
    assert!(!other.to_string().contains(&key), "{other}");
}

#[tokio::test(start_paused = true)]
async fn p8_a_caller_who_gives_up_cannot_split_a_write() {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    let gate = stage.journal.shut();
    let turn = append(made.conversation_id);
    let mut given_up = Box::pin(stage.append(turn.clone()));
    assert!((&mut given_up).now_or_never().is_none());
    drop(given_up);
    gate.add_permits(100);
    let behind = stage.append(append(made.conversation_id)).await.unwrap();
    assert_eq!(behind.turn_number, Some(2), "it is in memory and in the journal, and in the same place");
    assert!(stage.append(turn).await.unwrap().replayed);
    stage.recovery().await;
    assert_eq!(stage.turns(made.conversation_id).len(), 2);
    assert!(stage.turns(made.conversation_id).iter().all(|turn| !turn.is_late()));
}

#[tokio::test(start_paused = true)]
async fn p8_requests_of_an_outage_are_kept_in_memory() {
    let stage = Stage::new().await;
    stage.outage().await;
    let requests = stage.fallback.requests();
    let begin = super::super::asking();
    let id = begin.request_id;
    requests.begin(stage.user_id, begin).await.unwrap();
    requests.finish(stage.user_id, id).await.unwrap();
    assert!(is_unavailable(&requests.interrupt(stage.user_id, id).await.map(drop)));
    assert!(stage.pending().is_empty());
}

#[tokio::test(start_paused = true)]
async fn p8_writers_of_one_conversation_stand_in_the_same_order_in_memory_and_in_the_journal() {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    let gate = stage.journal.shut();
    let writers: Vec<_> = (0..32)
        .map(|_| {
            let (fallback, user_id) = (Arc::clone(&stage.fallback), stage.user_id);
            let turn = append(made.conversation_id);
            tokio::spawn(async move {
                let id = turn.turn.turn_id();
                (fallback.turns().append(user_id, turn).await.unwrap().turn_number.unwrap(), id)
            })
        })
        .collect();
    gate.add_permits(32);
    let mut answered = Vec::new();
    for writer in writers {
        answered.push(writer.await.unwrap());
    }
    answered.sort_unstable();
    stage.recovery().await;
    let stored: Vec<_> =
        stage.turns(made.conversation_id).iter().map(|turn| (turn.turn_number, turn.turn_id)).collect();
    assert_eq!(stored, answered, "what was provisional came true");
    assert_eq!(stage.status().replayed, 33);
    assert!(stage.turns(made.conversation_id).iter().all(|turn| !turn.is_late()));
}
