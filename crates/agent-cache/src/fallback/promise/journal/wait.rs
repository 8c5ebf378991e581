//! Callers, while the journal is replayed: who waits, who does not, and for how long.

use futures_util::TryStreamExt as _;
use lcs_domain::{ListConversations, ListSummaries, PageLimit, RetentionPolicy, Text};
use tokio::time::Instant;

use super::super::is_unavailable;
use super::*;

/// A stage that is being replayed, and whose primary answers nothing more until it is let.
async fn replaying() -> (Stage, Conversation, Arc<tokio::sync::Semaphore>) {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    stage.append(append(made.conversation_id)).await.unwrap();
    let gate = stage.primary.shut();
    stage.primary.fail_with(None);
    gate.add_permits(1);
    stage.until(CircuitState::Replaying).await;
    // What hangs is what is being replayed: others are answered at once.
    stage.primary.unshut();
    (stage, made, gate)
}

#[tokio::test(start_paused = true)]
async fn p8_who_asks_about_the_backlog_waits_and_is_then_told_to_come_back() {
    let (stage, made, gate) = replaying().await;
    let (user_id, id) = (stage.user_id, made.conversation_id);
    let fallback = &stage.fallback;
    let policy = RetentionPolicy::idle_longer_than(Duration::ZERO).unwrap();
    let external = Some(Text::name("elsewhere", "/external_id").unwrap());
    let external = lcs_domain::NewConversation { external_id: external, ..new_conversation() };
    let began = Instant::now();
    let summaries = fallback.conversations().summaries(user_id, ListSummaries::default());
    let (get, append, list, delete, save) = tokio::join!(
        fallback.conversations().get(user_id, id),
        fallback.turns().append(user_id, append(id)),
        fallback.conversations().list(user_id, ListConversations::default()),
        fallback.conversations().delete(user_id, id),
        fallback.agent_states().save(user_id, state(&made, 0, 0)),
    );
    let (agent, create, purge, summaries) = tokio::join!(
        fallback.agent_states().get(user_id, made.agent_id),
        fallback.conversations().create(user_id, external),
        fallback.retention().purge_batch(policy, PageLimit::default()),
        summaries.try_for_each(|_| std::future::ready(Ok(()))),
    );
    let answers = [
        get.map(drop),
        append.map(drop),
        list.map(drop),
        delete.map(drop),
        save.map(drop),
        agent.map(drop),
        create.map(drop),
        purge.map(drop),
        summaries,
    ];
    for (index, answer) in answers.iter().enumerate() {
        assert!(is_unavailable(answer), "{index}: {answer:?}");
        assert!(answer.as_ref().unwrap_err().to_string().ends_with("try again in a moment"), "{index}");
    }
    assert_eq!(began.elapsed(), Duration::from_secs(4), "twice the patience, and no more");
    gate.add_permits(100);
    stage.closed().await;
    assert_eq!(stage.turns(id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn p8_who_asks_about_the_backlog_is_answered_as_soon_as_it_is_drained() {
    let (stage, made, gate) = replaying().await;
    let began = Instant::now();
    let behind = stage.append(append(made.conversation_id));
    let let_go = async {
        sleep(Duration::from_millis(700)).await;
        gate.add_permits(100);
    };
    let (appended, ()) = tokio::join!(behind, let_go);
    let appended = appended.unwrap();
    assert_eq!(
        (appended.turn_number, appended.durability),
        (Some(2), Durability::Durable),
        "behind the backlog"
    );
    assert_eq!(began.elapsed(), Duration::from_millis(700));
}

#[tokio::test(start_paused = true)]
async fn p8_who_asks_about_anything_else_does_not_wait() {
    let (stage, made, gate) = replaying().await;
    let began = Instant::now();
    let fresh = stage.begin().await;
    assert_eq!(fresh.durability, Durability::Durable);
    stage.append(append(fresh.conversation_id)).await.unwrap();
    let stranger = UserId::from_text("a stranger");
    let conversations = stage.fallback.conversations();
    conversations.list(stranger, ListConversations::default()).await.unwrap();
    let foreign = conversations.get(stranger, made.conversation_id).await.unwrap();
    assert_eq!(foreign, None, "nor learns that there is a backlog (P9)");
    stage.fallback.requests().begin(stage.user_id, super::super::asking()).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!((stage.status().state, stage.status().backlog.entries), (CircuitState::Replaying, 2));
    gate.add_permits(100);
    stage.closed().await;
}

#[tokio::test(start_paused = true)]
async fn p8_a_call_that_fails_while_replaying_opens_the_circuit_again() {
    let (stage, made, gate) = replaying().await;
    stage.primary.fail_with(Some(unavailable));
    let turn = append(ConversationId::generate());
    let taken = stage.append(turn).await.unwrap();
    assert!(outcome_is_journaled(&taken));
    assert_eq!(stage.status().state, CircuitState::Open);
    gate.add_permits(100);
    sleep(Duration::from_millis(1)).await;
    let page = stage.fallback.conversations().get(stage.user_id, made.conversation_id).await;
    assert_eq!(page.unwrap().unwrap().durability, Durability::Journaled);
}

#[tokio::test(start_paused = true)]
async fn p8_a_write_that_is_on_its_way_into_the_journal_keeps_the_circuit_from_closing() {
    let stage = Stage::new().await;
    stage.outage().await;
    let made = stage.begin().await;
    let gate = stage.journal.shut();
    let (fallback, user_id, turn) =
        (Arc::clone(&stage.fallback), stage.user_id, append(made.conversation_id));
    let late = tokio::spawn(async move { fallback.turns().append(user_id, turn).await });
    sleep(Duration::from_millis(1)).await;
    stage.primary.fail_with(None);
    sleep(Duration::from_secs(5)).await;
    assert_eq!((stage.status().state, stage.pending().len()), (CircuitState::Replaying, 0));
    gate.add_permits(1);
    assert_eq!(late.await.unwrap().unwrap().durability, Durability::Journaled);
    stage.closed().await;
    assert_eq!(stage.primary.counted(), (1, 1));
}
