//! A primary to which no connection can be made: what can be journaled does not wait for the end of its time.

use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use lcs_domain::{AgentStateRepository as _, ConversationRepository as _};
use tokio::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn p8_a_write_is_journaled_soon_where_no_connection_can_be_made() {
    let stage = Stage::new().await;
    let stored = stage.begin().await;
    let _gate = stage.primary.shut();
    stage.primary.unreachable.store(true, Ordering::SeqCst);
    let began = Instant::now();
    assert!(outcome_is_journaled(&stage.append(append(stored.conversation_id)).await.unwrap()));
    assert!(began.elapsed() < Duration::from_millis(2200), "{:?}", began.elapsed());
    assert_eq!((stage.status().state, stage.status().openings), (CircuitState::Open, 1));
    let why = stage.status().last_failure.unwrap();
    assert_eq!(why, "no connection to it could be made within 2s");
    let made = stage.begin().now_or_never();
    assert!(made.is_none(), "the journal is a task of its own");
    assert_eq!(stage.begin().await.durability, Durability::Journaled);
    assert!(began.elapsed() < Duration::from_millis(2200), "nobody else waits: {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn p8_a_primary_that_is_slow_and_there_is_waited_for() {
    let stage = Stage::new().await;
    let stored = stage.begin().await;
    let gate = stage.primary.shut();
    let slow = async {
        sleep(Duration::from_secs(9)).await;
        gate.add_permits(1);
    };
    let (appended, ()) = tokio::join!(stage.append(append(stored.conversation_id)), slow);
    assert_eq!(appended.unwrap().durability, Durability::Durable);
    assert_eq!((stage.status().openings, stage.pending()), (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn p8_what_cannot_be_journaled_waits_as_before() {
    let stage = Stage::new().await;
    let stored = stage.begin().await;
    let gate = stage.primary.shut();
    stage.primary.unreachable.store(true, Ordering::SeqCst);
    let (user_id, id) = (stage.user_id, stored.conversation_id);
    let slow = async {
        sleep(Duration::from_secs(9)).await;
        gate.add_permits(2);
    };
    let (found, saved, ()) = tokio::join!(
        stage.fallback.head(user_id, id),
        stage.fallback.save(user_id, state(&stored, 0, 0)),
        slow
    );
    assert_eq!(found.unwrap().unwrap().durability, Durability::Durable);
    assert_eq!(saved.unwrap().durability, Durability::Durable);
}

/// The write that nobody waits for any more is done when the primary is back, beside the replay.
#[tokio::test(start_paused = true)]
async fn p1_a_write_that_was_not_waited_for_and_its_journaled_twin_are_one() {
    for is_first in [true, false] {
        let stage = Stage::new().await;
        let stored = stage.begin().await;
        let gate = stage.primary.shut();
        stage.primary.unreachable.store(true, Ordering::SeqCst);
        let turn = AppendTurn { expected_turn_count: Some(0), ..append(stored.conversation_id) };
        // What a store runs in a task of its own.
        let (primary, user_id, twin) = (Arc::clone(&stage.primary), stage.user_id, turn.clone());
        let detached = tokio::spawn(async move { primary.turns().append(user_id, twin).await });
        assert!(outcome_is_journaled(&stage.append(turn.clone()).await.unwrap()));
        stage.append(append(stored.conversation_id)).await.unwrap();
        stage.primary.unreachable.store(false, Ordering::SeqCst);
        if is_first {
            gate.add_permits(1000);
            detached.await.unwrap().unwrap();
            stage.primary.unshut();
            stage.closed().await;
        } else {
            stage.primary.unshut();
            stage.closed().await;
            gate.add_permits(1000);
            assert!(detached.await.unwrap().unwrap().replayed);
        }
        let turns = stage.turns(stored.conversation_id);
        assert_eq!((turns.len(), turns[0].turn_id), (2, turn.turn.turn_id()));
        assert!(turns.iter().all(|turn| !turn.is_late()) && stage.conflicts().is_empty());
    }
}
