//! A primary that answers, and refuses: what is about everything stops the replay, and what is about one entry
//! does not.

use super::*;

fn denied() -> RepositoryError {
    RepositoryError::Denied { reason: "permission denied for table conversation_turns".to_owned() }
}

fn not_migrated() -> RepositoryError {
    let word = || "one".to_owned();
    RepositoryError::SchemaSkew { found: word(), supported: word(), remedy: "migrate".to_owned() }
}

fn read_only() -> RepositoryError {
    RepositoryError::ReadOnly { reason: "a standby".to_owned() }
}

fn full() -> RepositoryError {
    RepositoryError::StorageFull { reason: "no room".to_owned() }
}

/// As a server's words in another language than English come.
fn unexplained() -> RepositoryError {
    RepositoryError::Backend { reason: "see the server's log".to_owned(), source: None }
}

/// An outage with turns of five conversations that were there, and of one that was not.
async fn with_a_backlog() -> (Stage, Vec<Conversation>) {
    let stage = Stage::new().await;
    let mut stored = Vec::new();
    for _ in 0..5 {
        stored.push(stage.begin().await);
    }
    stage.outage().await;
    stored.push(stage.begin().await);
    for made in &stored {
        for _ in 0..3 {
            stage.append(append(made.conversation_id)).await.unwrap();
        }
    }
    (stage, stored)
}

#[tokio::test(start_paused = true)]
async fn p8_a_database_that_refuses_everything_makes_no_conflicts_and_goes_on_when_it_takes_again() {
    for refusal in [denied, not_migrated, read_only, full, unexplained] {
        let (stage, mut stored) = with_a_backlog().await;
        stage.primary.refuse_with(Some(refusal));
        stage.primary.fail_with(None);
        sleep(Duration::from_mins(3)).await;
        // Readiness asks too, and finds that it answers.
        stage.fallback.ping().await.unwrap();
        let why = refusal().to_string();
        assert_eq!((stage.conflicts(), stage.pending().len()), (vec![], 19), "{why}");
        let status = stage.status();
        assert!(matches!(status.state, CircuitState::Open | CircuitState::HalfOpen), "{why}: {status:?}");
        assert_eq!((status.last_failure.as_deref(), status.openings), (Some(&*why), 2), "{status:?}");
        // What is written meanwhile is journaled.
        let made = stage.begin().await;
        assert_eq!(made.durability, Durability::Journaled);
        stored.push(made);
        stage.primary.refuse_with(None);
        stage.closed().await;
        assert_eq!((stage.conflicts(), stage.status().backlog.entries), (vec![], 0), "{why}");
        assert_eq!(stage.primary.counted(), (7, 18), "{why}");
        assert_eq!(stage.status().last_failure, None);
    }
}

#[tokio::test(start_paused = true)]
async fn p8_a_database_that_comes_to_refuse_in_the_middle_of_the_replay_stops_it() {
    let (stage, _) = with_a_backlog().await;
    let gate = stage.primary.shut();
    stage.primary.fail_with(None);
    gate.add_permits(1 + 6);
    stage.until(CircuitState::Replaying).await;
    sleep(Duration::from_millis(10)).await;
    stage.primary.refuse_with(Some(denied));
    stage.primary.unshut();
    gate.add_permits(1000);
    sleep(Duration::from_mins(1)).await;
    assert_eq!((stage.conflicts(), stage.status().openings), (vec![], 2));
    assert!((1..19).contains(&stage.pending().len()), "{}", stage.pending().len());
    stage.primary.refuse_with(None);
    stage.closed().await;
    assert_eq!((stage.primary.counted(), stage.conflicts()), ((6, 18), vec![]));
}

#[tokio::test(start_paused = true)]
async fn p8_an_entry_that_is_refused_without_a_reason_is_a_conflict_where_others_are_taken() {
    let (stage, stored) = with_a_backlog().await;
    let odd = stored[0].conversation_id;
    stage.primary.poison(odd, unexplained);
    stage.primary.fail_with(None);
    // What others do meanwhile shows that the primary takes what it can.
    stage.until(CircuitState::Replaying).await;
    while stage.status().state != CircuitState::Closed {
        stage.append(append(stored[1].conversation_id)).await.map(drop).unwrap_or_default();
        sleep(Duration::from_millis(500)).await;
        assert!(stage.status().openings < 3, "{:?}", stage.status());
    }
    let kinds: Vec<_> = stage.conflicts().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [JournalKind::Append; 3]);
    assert_eq!((stage.turns(odd).len(), stage.turns(stored[5].conversation_id).len()), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn p8_an_entry_that_is_refused_without_a_reason_waits_for_another_to_show_whether_it_is_the_entry() {
    let stage = Stage::new().await;
    let (odd, other) = (stage.begin().await, stage.begin().await);
    stage.outage().await;
    stage.append(append(odd.conversation_id)).await.unwrap();
    stage.primary.poison(odd.conversation_id, unexplained);
    stage.primary.fail_with(None);
    sleep(Duration::from_mins(5)).await;
    assert_eq!((stage.conflicts(), stage.status().backlog.entries), (vec![], 1));
    assert!(stage.status().last_failure.is_some_and(|why| why.contains("see the server's log")));
    assert!(outcome_is_journaled(&stage.append(append(other.conversation_id)).await.unwrap()));
    stage.closed().await;
    assert_eq!(stage.conflicts().len(), 1);
    assert_eq!(stage.turns(other.conversation_id).len(), 1);
}
