//! Two processes with journals of their own, and one database.

use super::*;

/// Another replica over the same database.
async fn other(stage: &Stage) -> Stage {
    Stage::over(Arc::clone(&stage.primary), Arc::default()).await
}

#[tokio::test(start_paused = true)]
async fn p8_two_journals_of_one_conversation_come_to_one_history_with_both() {
    let one = Stage::new().await;
    let two = other(&one).await;
    let stored = one.begin().await;
    one.outage().await;
    two.outage().await;
    let mut acknowledged = Vec::new();
    for stage in [&one, &two] {
        for number in 0..3 {
            let turn = with_state(&stored, number, number.into());
            acknowledged.push(turn.turn.turn_id());
            stage.append(turn).await.unwrap();
        }
    }
    one.primary.fail_with(None);
    one.closed().await;
    two.closed().await;
    let turns = one.turns(stored.conversation_id);
    let mut found: Vec<_> = turns.iter().map(|turn| turn.turn_id).collect();
    for (one_way, in_order) in [(&acknowledged[..3], true), (&acknowledged[3..], true)] {
        let own: Vec<_> = found.iter().filter(|id| one_way.contains(id)).copied().collect();
        assert_eq!(own == one_way, in_order, "each replica's in its order");
    }
    found.sort_unstable();
    acknowledged.sort_unstable();
    assert_eq!(found, acknowledged, "all of them, once");
    let late = turns.iter().filter(|turn| turn.is_late()).count();
    let states = one.conflicts().len() + two.conflicts().len();
    assert!((3..6).contains(&late) && states >= late, "{late} late, {states} states");
}

#[tokio::test(start_paused = true)]
async fn p8_a_conversation_that_is_in_another_replicas_journal_still_is_waited_for() {
    let one = Stage::new().await;
    let two = other(&one).await;
    one.outage().await;
    two.outage().await;
    let made = one.begin().await;
    let first = one.append(append(made.conversation_id)).await.unwrap();
    two.append(append(made.conversation_id)).await.unwrap();
    let drained = two.begin().await;
    let lost = two.append(append(ConversationId::generate())).await.unwrap();
    assert_eq!((first.turn_number, lost.turn_number), (Some(1), None));
    // The first replica is asleep: the second one's turn finds nothing yet.
    drop(one.fallback);
    two.primary.fail_with(None);
    two.until(CircuitState::Replaying).await;
    sleep(Duration::from_millis(1500)).await;
    assert_eq!((two.status().state, two.status().backlog.entries), (CircuitState::Replaying, 2));
    assert!(
        two.turns(drained.conversation_id).is_empty() && two.primary.counted().0 == 1,
        "the rest is drained"
    );
    let waiting = two.fallback.conversations().get(two.user_id, made.conversation_id).await;
    assert!(matches!(waiting, Err(RepositoryError::Unavailable { .. })), "never an absence: {waiting:?}");
    let one = Stage::over(Arc::clone(&two.primary), Arc::clone(&one.journal)).await;
    one.closed().await;
    two.closed().await;
    assert_eq!(two.turns(made.conversation_id).len(), 2);
    assert_eq!(two.conflicts(), [(JournalKind::Append, "conversation not found".to_owned())], "the lost one");
}
