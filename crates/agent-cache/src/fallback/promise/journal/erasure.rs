//! What is erased in the primary is not brought back out of the journal.

use chrono::{DateTime, Utc};
use lcs_domain::erasure::{ErasedConversation, OwnedConversation};

use super::*;

fn owned(made: &Conversation) -> OwnedConversation {
    OwnedConversation { user_id: made.user_id, conversation_id: made.conversation_id }
}

/// So many seconds after the beginning: the journal's clock counts what it is asked.
fn at(seconds: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn of_user(made: &Conversation, user_erased_at: Option<DateTime<Utc>>) -> ErasedConversation {
    ErasedConversation { owned: owned(made), user_erased_at, is_erased: false }
}

#[tokio::test(start_paused = true)]
async fn p6_what_was_taken_before_its_user_was_erased_is_forgotten_and_what_came_later_is_replayed() {
    let stage = Stage::new().await;
    stage.outage().await;
    let before = stage.begin().await;
    stage.append(append(before.conversation_id)).await.unwrap();
    let last = stage.journal.entries().last().unwrap().recorded_at;
    let after = stage.begin().await;
    stage.append(append(after.conversation_id)).await.unwrap();
    for made in [&before, &after] {
        stage.primary.erase(of_user(made, Some(last)));
    }
    stage.recovery().await;
    assert_eq!((stage.primary.counted(), stage.status().replayed), ((1, 1), 2));
    assert_eq!(stage.turns(after.conversation_id).len(), 1);
    assert!(stage.pending().is_empty() && stage.conflicts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn p6_an_erased_conversation_is_forgotten_whenever_it_was_taken_and_the_rest_is_replayed() {
    let stage = Stage::new().await;
    let stored = stage.begin().await;
    stage.outage().await;
    let erased = stage.begin().await;
    let kept = stage.begin().await;
    for made in [&stored, &erased, &kept] {
        stage.append(append(made.conversation_id)).await.unwrap();
    }
    for made in [&stored, &erased] {
        let erased = ErasedConversation { is_erased: true, ..of_user(made, None) };
        stage.primary.erase(erased);
    }
    // A process that starts over what another one left does the same.
    let stage = stage.restarted().await;
    stage.recovery().await;
    assert_eq!(stage.primary.counted(), (2, 1), "the one that was stored before, and the one that is kept");
    assert_eq!(stage.turns(kept.conversation_id).len(), 1);
    assert!(stage.pending().is_empty() && stage.conflicts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn p6_conflicts_of_what_is_erased_are_forgotten_when_it_is_looked_for() {
    let stage = Stage::new().await;
    let (erased, kept) = (stage.begin().await, stage.begin().await);
    stage.outage().await;
    for made in [&erased, &kept] {
        stage.append(with_state(made, 5, 5)).await.unwrap();
    }
    stage.recovery().await;
    assert_eq!(stage.conflicts().len(), 2, "states that were made from others");
    stage.fallback.forget_erased().await.unwrap();
    assert_eq!(stage.conflicts().len(), 2, "nothing is erased");
    stage.primary.erase(of_user(&erased, Some(at(1_000_000))));
    stage.fallback.forget_erased().await.unwrap();
    assert_eq!((stage.conflicts().len(), stage.status().backlog.conflicts), (1, 1));
    let left = stage.journal.all_conflicts().remove(0).entry.operation.conversation_id();
    assert_eq!(left, kept.conversation_id);
}

#[tokio::test(start_paused = true)]
async fn p6_a_conversation_whose_user_is_erased_while_it_is_replayed_is_never_begun() {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    stage.append(append(made.conversation_id)).await.unwrap();
    let called = stage.primary.called();
    stage.primary.fail_with(None);
    let gate = stage.primary.shut();
    // For the ping. The replay has asked what is erased, and stands before the first write.
    gate.add_permits(1);
    while stage.primary.called() == called {
        sleep(Duration::from_millis(10)).await;
    }
    stage.primary.erase(of_user(&made, Some(at(1_000_000))));
    stage.primary.unshut();
    gate.add_permits(100);
    stage.closed().await;
    assert_eq!(stage.primary.counted(), (0, 0));
    assert!(stage.pending().is_empty() && stage.conflicts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn p6_a_conflict_that_is_tried_again_was_taken_when_it_was() {
    let stage = Stage::new().await;
    let made = stage.begin().await;
    stage.outage().await;
    stage.append(with_state(&made, 5, 5)).await.unwrap();
    let taken = stage.journal.entries().last().unwrap().recorded_at;
    stage.recovery().await;
    let conflict = stage.journal.all_conflicts().remove(0);
    assert_eq!(conflict.entry.recorded_at, taken);
    // Its user is erased, and before this replica has seen that, an operator tries it again.
    stage.primary.erase(of_user(&made, Some(taken)));
    let turns = stage.turns(made.conversation_id).len();
    let retry = lcs_domain::journal::ConflictResolution::Retry;
    assert!(stage.fallback.resolve(conflict.entry.sequence, retry).await.unwrap());
    stage.closed().await;
    assert_eq!((stage.turns(made.conversation_id).len(), stage.status().replayed), (turns, 1));
    assert!(stage.pending().is_empty() && stage.conflicts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_journal_there_is_nothing_to_forget() {
    let memory = || Arc::new(Fake::default()) as Arc<dyn Repositories>;
    let fallback = Fallback::new(Arc::new(Fake::default()), memory, FallbackConfig::default());
    fallback.forget_erased().await.unwrap();
}
