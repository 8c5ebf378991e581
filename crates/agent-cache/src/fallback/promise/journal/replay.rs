//! What the primary makes of the journal when it is back.

use lcs_domain::conversation::OpenStatus;
use lcs_domain::journal::ConflictResolution;
use lcs_domain::{ConversationUpdate, JournalRepository as _, NewTurn, PageLimit, TurnRange};

use super::*;

#[tokio::test(start_paused = true)]
async fn p8_all_that_was_journaled_is_replayed_before_the_circuit_closes() {
    let stage = Stage::new().await;
    let stored = stage.begin().await;
    stage.append(with_state(&stored, 0, 0)).await.unwrap();
    stage.outage().await;
    let made = stage.begin().await;
    stage.append(with_state(&made, 0, 0)).await.unwrap();
    stage.append(with_state(&made, 1, 1)).await.unwrap();
    stage.fallback.agent_states().save(stage.user_id, state(&made, 2, 2)).await.unwrap();
    stage.append(with_state(&stored, 1, 1)).await.unwrap();
    stage.append(append(stored.conversation_id)).await.unwrap();
    stage.recovery().await;
    let status = stage.status();
    assert_eq!((status.replayed, status.refused, status.backlog), (6, 0, Backlog::default()));
    assert_eq!((status.open_for, status.next_probe_in, status.openings), (None, None, 1));
    assert_eq!(status.discarded, super::super::super::VolatileCount::default());
    assert!(stage.pending().is_empty() && stage.conflicts().is_empty());
    for made in [&stored, &made] {
        let turns = stage.turns(made.conversation_id);
        assert!(turns.iter().all(|turn| !turn.is_late() && !turn.is_interleaved()), "{turns:?}");
    }
    assert_eq!(stage.turns(stored.conversation_id).len(), 3);
    let head = stage.fallback.conversations().head(stage.user_id, made.conversation_id).await.unwrap();
    let head = head.unwrap();
    assert_eq!((head.turn_count, head.state_revision, head.durability), (2, 3, Durability::Durable));
}

#[tokio::test(start_paused = true)]
async fn p8_a_restart_finds_its_journal_and_what_it_began() {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    stage.append(with_state(&made, 0, 0)).await.unwrap();
    let stage = stage.restarted().await;
    let status = stage.status();
    assert_eq!((status.state, status.backlog.entries), (CircuitState::Open, 2));
    let (id, turns) = (made.conversation_id, stage.fallback.turns());
    let page = turns.page(stage.user_id, id, TurnRange::Newest, PageLimit::default()).await.unwrap().unwrap();
    assert_eq!((page.turns.len(), page.durability), (1, Durability::Journaled));
    let next = stage.append(with_state(&made, 1, 1)).await.unwrap();
    assert_eq!((next.turn_number, next.state_revision), (Some(2), 2));
    stage.recovery().await;
    assert_eq!((stage.primary.counted(), stage.conflicts(), stage.status().replayed), ((1, 2), vec![], 3));
    let stage = stage.restarted().await;
    assert_eq!(stage.status().state, CircuitState::Closed, "nothing is left");
}

#[tokio::test(start_paused = true)]
async fn p8_a_conversation_that_moved_on_keeps_both_histories() {
    let stage = Stage::new().await;
    let stored = stage.begin().await;
    let id = stored.conversation_id;
    stage.outage().await;
    let (first, second) = (with_state(&stored, 0, 0), with_state(&stored, 1, 1));
    stage.append(first.clone()).await.unwrap();
    stage.append(second.clone()).await.unwrap();
    let theirs = stage.elsewhere(with_state(&stored, 0, 0)).await;
    assert_eq!(theirs.turn_number, Some(1));
    stage.recovery().await;
    let turns = stage.turns(id);
    let ids: Vec<_> = turns[1..].iter().map(|turn| turn.turn_id).collect();
    assert_eq!(ids, [first.turn.turn_id(), second.turn.turn_id()]);
    assert!(!turns[0].is_late() && turns[1..].iter().all(|turn| turn.is_late() && turn.is_interleaved()));
    let theirs = stage.primary.agent_states().get_by_conversation(stage.user_id, id).await.unwrap().unwrap();
    assert_eq!((theirs.revision, theirs.through_turn), (1, 1), "theirs: nothing is made from ours by chance");
    let kinds: Vec<_> = stage.conflicts().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [JournalKind::Save, JournalKind::Save]);
    let status = stage.status();
    assert_eq!((status.replayed, status.refused, status.backlog.conflicts), (2, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn p4_a_state_that_lost_goes_to_the_conflicts_and_its_turn_does_not() {
    let stage = Stage::new().await;
    let stored = stage.begin().await;
    let id = stored.conversation_id;
    stage.outage().await;
    stage.append(with_state(&stored, 0, 0)).await.unwrap();
    // Made from the state that is refused: its revision is right by chance alone.
    stage.append(with_state(&stored, 1, 1)).await.unwrap();
    stage.primary.fail_with(None);
    stage.primary.agent_states().save(stage.user_id, state(&stored, 0, 0)).await.unwrap();
    stage.closed().await;
    let turns = stage.turns(id);
    assert!(
        turns.len() == 2 && turns.iter().all(|turn| turn.is_interleaved() && !turn.is_late()),
        "{turns:?}"
    );
    let kept = stage.primary.agent_states().get_by_conversation(stage.user_id, id).await.unwrap().unwrap();
    assert_eq!((kept.revision, kept.current_state), (1, Some(json("\"saved\""))));
    assert_eq!(stage.conflicts().len(), 2);
    assert_eq!(stage.conflicts()[0].1, "the agent state has changed: expected 0, found 1");
}

#[tokio::test(start_paused = true)]
async fn p4_an_update_that_another_came_before_is_a_conflict_until_an_operator_puts_it_over_that() {
    let topic = |text: &str| ConversationUpdate {
        topic_summary: Some(Some(lcs_domain::Text::summary(text, "").unwrap())),
        ..ConversationUpdate::default()
    };
    // Before it is looked at, and between the look and the update.
    for calls in [2, 3] {
        let stage = Stage::new().await;
        stage.outage().await;
        let made = stage.begin().await;
        let (user_id, id) = (stage.user_id, made.conversation_id);
        stage.fallback.conversations().update(user_id, id, topic("ours")).await.unwrap();
        let gate = stage.primary.shut();
        stage.primary.fail_with(None);
        gate.add_permits(calls);
        sleep(Duration::from_secs(2)).await;
        stage.primary.update_now(user_id, id, topic("theirs"));
        gate.add_permits(1000);
        stage.closed().await;
        let stored = async || {
            let found = stage.primary.conversations().get(user_id, id).await.unwrap().unwrap();
            found.topic_summary.as_deref().unwrap_or_default().to_owned()
        };
        assert_eq!(stored().await, "theirs");
        let kinds: Vec<_> = stage.conflicts().into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [JournalKind::Update]);
        let number = stage.journal.all_conflicts()[0].entry.sequence;
        assert!(stage.fallback.resolve(number, ConflictResolution::Retry).await.unwrap());
        stage.closed().await;
        assert_eq!((stored().await.as_str(), stage.conflicts()), ("ours", vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn p8_an_unseen_turn_without_a_count_follows_whatever_is_there() {
    let stage = Stage::new().await;
    let stored = stage.begin().await;
    stage.outage().await;
    stage.append(append(stored.conversation_id)).await.unwrap();
    stage.elsewhere(append(stored.conversation_id)).await;
    stage.recovery().await;
    let turns = stage.turns(stored.conversation_id);
    assert!(turns.len() == 2 && !turns[1].is_late(), "nobody said what it was to follow");
}

#[tokio::test(start_paused = true)]
async fn p8_what_the_primary_refuses_is_an_operators_and_nothing_waits_for_it() {
    let stage = Stage::new().await;
    let (archived, deleted) = (stage.begin().await, stage.begin().await);
    let (taken, saved) = (stage.begin().await, stage.begin().await);
    let conflicting = append(taken.conversation_id);
    stage.outage().await;
    stage.append(append(archived.conversation_id)).await.unwrap();
    stage.append(append(deleted.conversation_id)).await.unwrap();
    stage.append(append(deleted.conversation_id)).await.unwrap();
    stage.append(conflicting.clone()).await.unwrap();
    stage.append(with_state(&saved, 0, 0)).await.unwrap();
    // Begun under an id that was taken meanwhile.
    let new = new_conversation();
    let made = stage.fallback.conversations().create(stage.user_id, new.clone()).await.unwrap();
    stage.append(with_state(&made, 0, 0)).await.unwrap();

    stage.primary.fail_with(None);
    let primary = stage.primary.conversations();
    let archive = ConversationUpdate { status: Some(OpenStatus::Archived), ..ConversationUpdate::default() };
    primary.update(stage.user_id, archived.conversation_id, archive).await.unwrap();
    primary.delete(stage.user_id, deleted.conversation_id).await.unwrap();
    let at = conflicting.turn.started_at();
    let turn =
        NewTurn::new(conflicting.turn.turn_id(), json("[2]"), None, at, at, lcs_domain::Metadata::default());
    let turn = AppendTurn { turn: turn.unwrap(), ..conflicting };
    stage.primary.turns().append(stage.user_id, turn).await.unwrap();
    primary.create(UserId::from_text("a stranger"), new).await.unwrap();
    stage.closed().await;

    assert!(stage.pending().is_empty());
    let mut conflicts = stage.conflicts();
    conflicts.sort_by(|one, other| one.1.cmp(&other.1));
    let reasons: Vec<_> = conflicts.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(
        reasons[..2],
        ["a conversation with this id already exists or has existed", "conversation not found"]
    );
    assert_eq!(reasons[2..4], ["conversation not found"; 2]);
    assert_eq!(reasons[4], "the conversation is archived: make it active again to change it");
    assert!(reasons[5].contains("other content") && reasons.len() == 6, "{reasons:?}");
    let status = stage.status();
    assert_eq!((status.refused, status.replayed, status.backlog.conflicts), (6, 1, 6));
    assert_eq!(stage.turns(saved.conversation_id).len(), 1);

    // An operator opens the archived one again, and tries once more.
    let open = ConversationUpdate { status: Some(OpenStatus::Active), ..ConversationUpdate::default() };
    primary.update(stage.user_id, archived.conversation_id, open).await.unwrap();
    let number = |reason: &str| {
        let conflicts = stage.journal.all_conflicts();
        conflicts.iter().find(|conflict| conflict.reason.contains(reason)).unwrap().entry.sequence
    };
    assert!(stage.fallback.resolve(number("archived"), ConflictResolution::Retry).await.unwrap());
    stage.closed().await;
    assert_eq!(stage.turns(archived.conversation_id).len(), 1);
    assert!(stage.fallback.resolve(number("other content"), ConflictResolution::Discard).await.unwrap());
    assert!(!stage.fallback.resolve(1_000_000, ConflictResolution::Discard).await.unwrap());
    assert_eq!((stage.status().backlog.conflicts, stage.status().replayed), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn p8_a_primary_that_goes_away_again_finds_the_rest_where_it_was() {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    for number in 0..20 {
        stage
            .append(AppendTurn { expected_turn_count: Some(number), ..append(made.conversation_id) })
            .await
            .unwrap();
    }
    let gate = stage.primary.shut();
    stage.primary.fail_with(None);
    gate.add_permits(1);
    stage.until(CircuitState::Replaying).await;
    gate.add_permits(5);
    while stage.turns(made.conversation_id).len() < 4 {
        sleep(Duration::from_millis(1)).await;
    }
    stage.primary.fail_with(Some(unavailable));
    stage.primary.unshut();
    gate.add_permits(1000);
    stage.until(CircuitState::Open).await;
    let open_for = stage.status().open_for.unwrap();
    assert_eq!(stage.status().openings, 2);
    let number = stage.append(append(made.conversation_id)).await.unwrap().turn_number;
    assert_eq!(number, Some(21), "nobody else has been there, and memory knows it still");
    sleep(Duration::from_millis(100)).await;
    assert!(stage.status().open_for.unwrap() > open_for, "one outage, and its age");
    stage.recovery().await;
    assert_eq!(
        (stage.turns(made.conversation_id).len(), stage.conflicts(), stage.status().replayed),
        (21, vec![], 22)
    );
}

#[tokio::test(start_paused = true)]
async fn p3_what_was_the_primarys_again_is_not_served_from_memory_afterwards() {
    let stage = Stage::new().await;
    stage.outage().await;
    let (made, other) = (stage.begin().await, stage.begin().await);
    for number in 0..30 {
        stage
            .append(AppendTurn { expected_turn_count: Some(number), ..append(other.conversation_id) })
            .await
            .unwrap();
    }
    let gate = stage.primary.shut();
    stage.primary.fail_with(None);
    gate.add_permits(6);
    stage.until(CircuitState::Replaying).await;
    // The one is drained, the other is not: what is appended to the one now, memory does not hear of.
    stage.primary.unshut();
    let appended = stage.append(append(made.conversation_id)).await.unwrap();
    assert_eq!(appended.durability, Durability::Durable);
    assert_eq!(stage.status().state, CircuitState::Replaying);
    stage.primary.fail_with(Some(unavailable));
    gate.add_permits(1000);
    stage.until(CircuitState::Open).await;
    let read = stage.fallback.conversations().get(stage.user_id, made.conversation_id).await;
    assert!(matches!(read, Err(RepositoryError::Unavailable { .. })), "{read:?}");
    let unseen = stage.append(append(made.conversation_id)).await.unwrap();
    assert_eq!(unseen.turn_number, None);
    stage.recovery().await;
    assert_eq!((stage.turns(made.conversation_id).len(), stage.turns(other.conversation_id).len()), (2, 30));
    assert!(stage.conflicts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn p8_a_journal_that_cannot_be_read_stops_the_replay_and_loses_nothing() {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    stage.append(append(made.conversation_id)).await.unwrap();
    stage.primary.fail_with(None);
    stage.journal.fuse.set(Some((2, super::super::super::fake::Blow::Fail)));
    stage.closed().await;
    assert_eq!(stage.primary.counted(), (1, 1));
    assert_eq!(stage.status().openings, 2);
}

#[tokio::test(start_paused = true)]
async fn p8_what_the_journal_may_have_taken_is_looked_for() {
    let stage = Stage::new().await;
    stage.outage().await;
    stage.journal.fail_with(Some(super::super::super::fake::outcome_unknown));
    let made = stage.fallback.conversations().create(stage.user_id, new_conversation()).await;
    assert!(matches!(made, Err(RepositoryError::OutcomeUnknown { .. })), "{made:?}");
    stage.journal.fail_with(None);
    assert_eq!((stage.pending().len(), stage.status().backlog.entries), (1, 0));
    stage.recovery().await;
    assert_eq!((stage.pending().len(), stage.primary.counted()), (0, (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn p8_what_the_journal_takes_when_its_disk_answers_again_is_waited_for() {
    let stage = Stage::new().await;
    stage.outage().await;
    let gate = stage.journal.hang();
    let made = stage.fallback.conversations().create(stage.user_id, new_conversation()).await;
    assert!(matches!(made, Err(RepositoryError::OutcomeUnknown { .. })), "{made:?}");
    stage.primary.fail_with(None);
    sleep(Duration::from_mins(1)).await;
    assert_ne!(stage.status().state, CircuitState::Closed, "it may be there any moment");
    gate.add_permits(1);
    stage.closed().await;
    assert_eq!((stage.pending().len(), stage.primary.counted()), (0, (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn p8_nobody_waits_for_ever_for_those_before_it_in_a_conversation() {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    let gate = stage.journal.shut();
    let (first, second) = (append(made.conversation_id), append(made.conversation_id));
    let stuck = tokio::spawn({
        let (fallback, user_id) = (Arc::clone(&stage.fallback), stage.user_id);
        async move { fallback.turns().append(user_id, first).await }
    });
    sleep(Duration::from_millis(1)).await;
    let refused = stage.append(second.clone()).await;
    assert!(matches!(refused, Err(RepositoryError::Overloaded { .. })), "{refused:?}");
    gate.add_permits(2);
    stuck.await.unwrap().unwrap();
    let appended = stage.append(second).await.unwrap();
    assert_eq!((appended.turn_number, appended.replayed), (Some(2), false), "it had not been taken");
}

/// As where a journal was taken over, and that was stopped between the copy and the end of the original.
#[tokio::test(start_paused = true)]
async fn p1_what_is_in_the_journal_twice_is_stored_once() {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    stage.append(with_state(&made, 0, 0)).await.unwrap();
    stage.append(with_state(&made, 1, 1)).await.unwrap();
    let archive = ConversationUpdate { status: Some(OpenStatus::Archived), ..ConversationUpdate::default() };
    stage.fallback.agent_states().save(stage.user_id, state(&made, 2, 2)).await.unwrap();
    stage.fallback.conversations().update(stage.user_id, made.conversation_id, archive).await.unwrap();
    for operation in stage.pending() {
        stage.journal.record(stage.user_id, operation).await.unwrap();
    }
    let stage = stage.restarted().await;
    stage.recovery().await;
    assert_eq!((stage.primary.counted(), stage.pending()), ((1, 2), vec![]));
    assert_eq!(
        stage.conflicts(),
        [(JournalKind::Save, "the conversation is archived: make it active again to change it".to_owned())]
    );
    let turns = stage.turns(made.conversation_id);
    assert!(turns.iter().all(|turn| !turn.is_late() && !turn.is_interleaved()), "{turns:?}");
}
