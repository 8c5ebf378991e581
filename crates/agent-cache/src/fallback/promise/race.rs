//! Calls that race the opening and the closing of the circuit.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::FutureExt as _;
use lcs_domain::Durability;

use super::super::{CircuitState, VolatileCount};
use super::*;

#[tokio::test(start_paused = true)]
async fn p8_a_turn_that_races_the_close_is_counted_among_the_discarded() {
    let stage = Stage::new(FallbackMode::Memory);
    stage.outage().await;
    let made = stage.begin().await;
    let gate = stage.memory().shut();
    let mut racing = stage.fallback.turns().append(stage.user_id, append(made.conversation_id));
    assert!((&mut racing).now_or_never().is_none(), "it is on its way into memory");
    stage.recovery().await;
    assert_eq!(stage.fallback.status().state, CircuitState::Closed, "nobody waits for it");
    assert_eq!(stage.fallback.status().discarded, VolatileCount::default(), "and nothing is counted yet");
    gate.add_permits(1);
    assert_eq!(racing.await.unwrap().durability, Durability::Volatile);
    let expected = VolatileCount { conversations: 1, turns: 1, agent_states: 0 };
    assert_eq!(stage.fallback.status().discarded, expected);
}

#[tokio::test(start_paused = true)]
async fn p8_a_turn_that_is_given_up_during_the_close_discards_what_was_acknowledged() {
    let stage = Stage::new(FallbackMode::Memory);
    stage.outage().await;
    let made = stage.begin().await;
    let _gate = stage.memory().shut();
    let mut racing = stage.fallback.turns().append(stage.user_id, append(made.conversation_id));
    assert!((&mut racing).now_or_never().is_none());
    stage.recovery().await;
    drop(racing);
    let expected = VolatileCount { conversations: 1, turns: 0, agent_states: 0 };
    assert_eq!(stage.fallback.status().discarded, expected);
}

/// A primary that comes and goes under eight callers: what was acknowledged as volatile and what was
/// counted as discarded are the same, to the turn; and what was acknowledged as durable, the primary has.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p8_whatever_was_acknowledged_as_volatile_is_counted_and_nothing_else() {
    let config = FallbackConfig { mode: FallbackMode::Memory, ..FallbackConfig::default() };
    let config = FallbackConfig { probe_interval: Duration::from_millis(10), ..config };
    let primary = Arc::new(Fake::default());
    let fallback = Arc::new(Fallback::new(primary.clone(), || Arc::new(Fake::default()), config));
    let user_id = UserId::from_text("the owner");
    let (volatile, durable): (Arc<[AtomicU64; 2]>, Arc<[AtomicU64; 2]>) = Default::default();
    let is_over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (fallback, is_over) = (Arc::clone(&fallback), Arc::clone(&is_over));
            let counts = [Arc::clone(&durable), Arc::clone(&volatile)];
            tokio::spawn(async move {
                let count = |what: usize, durability: Durability| {
                    let of = &counts[usize::from(durability == Durability::Volatile)];
                    of[what].fetch_add(1, Ordering::SeqCst);
                };
                while !is_over.load(Ordering::SeqCst) {
                    tokio::task::yield_now().await;
                    let made = match fallback.conversations().create(user_id, new_conversation()).await {
                        Ok(made) => made,
                        Err(RepositoryError::Unavailable { .. }) => continue,
                        Err(other) => panic!("{other}"),
                    };
                    count(0, made.durability);
                    for _ in 0..3 {
                        tokio::task::yield_now().await;
                        match fallback.turns().append(user_id, append(made.conversation_id)).await {
                            Ok(appended) => count(1, appended.durability),
                            Err(RepositoryError::Unavailable { .. } | RepositoryError::NotFound { .. }) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
            })
        })
        .collect();
    for _ in 0..8 {
        primary.fail_with(Some(unavailable));
        while fallback.status().volatile.turns == 0 {
            tokio::task::yield_now().await;
        }
        primary.fail_with(None);
        while fallback.status().state != CircuitState::Closed {
            tokio::task::yield_now().await;
        }
    }
    is_over.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    let status = fallback.status();
    let [conversations, turns] = [0, 1].map(|what: usize| volatile[what].load(Ordering::SeqCst));
    assert_eq!(status.discarded, VolatileCount { conversations, turns, agent_states: 0 });
    assert!(status.openings >= 8 && turns >= 8);
    let [conversations, turns] = [0, 1].map(|what: usize| durable[what].load(Ordering::SeqCst));
    assert_eq!(primary.counted(), (conversations, turns));
}
