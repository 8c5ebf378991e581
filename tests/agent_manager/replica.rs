//! Two replicas on one store, and callers who give up in the middle.

use std::sync::Arc;

use lcs_app::agent_manager::AgentManagerError;
use lcs_domain::{ConversationUpdate, Entity, PageLimit, RepositoryError, TurnRange, UserId};
use tokio::task::JoinSet;

use super::gated::GatedRuntime;
use super::{begin, replica, request, say, shared_store, text, with_runtime};

#[tokio::test]
async fn p5_replicas_that_take_turns_never_answer_from_an_old_state() {
    let (store, user) = (shared_store(), UserId::generate());
    let replicas = [replica(&store).await, replica(&store).await];
    let conversation = begin(&replicas[0], user).await;
    for n in 1..=20 {
        let manager = &replicas[n % 2];
        let told = say(manager, user, conversation, &format!("my number is {n}")).await.unwrap();
        assert_eq!(told.turn_number, Some(u32::try_from(2 * n - 1).unwrap()));
        let other = &replicas[(n + 1) % 2];
        let answer = say(other, user, conversation, "what is my number?").await.unwrap();
        assert_eq!(text(&answer.output_message), format!("Your number is {n}."));
        assert!(!answer.interleaved);
    }
}

#[tokio::test]
async fn p4_a_turn_stored_meanwhile_interleaves_and_no_state_is_lost() {
    let (store, user) = (shared_store(), UserId::generate());
    let runtime = Arc::new(GatedRuntime::new());
    let (asked, gate) = (Arc::clone(&runtime.asked), Arc::clone(&runtime.gate));
    let slow = with_runtime(&store, runtime).await;
    let quick = replica(&store).await;
    let conversation = begin(&quick, user).await;

    let agents = slow.agent_manager().clone();
    let answering =
        tokio::spawn(async move { agents.respond(user, conversation, request("my pet is a cat")).await });
    GatedRuntime::wait_asked(&asked).await;
    say(&quick, user, conversation, "my name is Ada").await.unwrap();
    gate.add_permits(1);
    let late = answering.await.unwrap().unwrap();
    assert!(late.interleaved);
    assert_eq!(late.turn_number, Some(2));

    // Both facts are known, whichever replica is asked, and the turn says what happened to it.
    let answer = say(&quick, user, conversation, "what is my pet?").await.unwrap();
    assert_eq!(text(&answer.output_message), "Your pet is a cat.");
    gate.add_permits(1);
    let answer = say(&slow, user, conversation, "what is my name?").await.unwrap();
    assert_eq!(text(&answer.output_message), "Your name is Ada.");
    let page = quick
        .agent_manager()
        .get_conversation_history(user, conversation, TurnRange::After(0), PageLimit::default())
        .await
        .unwrap();
    let interleaved: Vec<bool> = page.turns.iter().map(lcs_domain::Turn::is_interleaved).collect();
    assert_eq!(interleaved, [false, true, false, false]);
}

#[tokio::test]
async fn a_caller_who_gives_up_before_the_answer_leaves_no_trace() {
    let (store, user) = (shared_store(), UserId::generate());
    let runtime = Arc::new(GatedRuntime::new());
    let (asked, gate) = (Arc::clone(&runtime.asked), Arc::clone(&runtime.gate));
    let manager = with_runtime(&store, runtime).await;
    let conversation = begin(&manager, user).await;

    let agents = manager.agent_manager().clone();
    let answering =
        tokio::spawn(async move { agents.respond(user, conversation, request("my name is Eve")).await });
    GatedRuntime::wait_asked(&asked).await;
    answering.abort();
    assert!(answering.await.unwrap_err().is_cancelled());

    gate.add_permits(1);
    let answer = say(&manager, user, conversation, "what is my name?").await.unwrap();
    assert_eq!(text(&answer.output_message), "You have not told me your name yet.");
    assert_eq!(answer.turn_number, Some(1));
}

#[tokio::test]
async fn twenty_callers_at_once_are_answered_one_after_the_other() {
    let (store, user) = (shared_store(), UserId::generate());
    let replicas = [replica(&store).await, replica(&store).await];
    let conversation = begin(&replicas[0], user).await;
    let mut callers = JoinSet::new();
    for n in 0..20_usize {
        let agents = replicas[n % 2].agent_manager().clone();
        callers.spawn(async move {
            loop {
                match agents.respond(user, conversation, request(&format!("my n{n} is {n}"))).await {
                    Err(error) if error.repository_error().is_some_and(RepositoryError::is_retryable) => {}
                    answer => return answer.unwrap().turn_number.unwrap(),
                }
            }
        });
    }
    let mut numbers = callers.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<u32>>());
    for n in 0..20_usize {
        let answer = say(&replicas[n % 2], user, conversation, &format!("what is my n{n}?")).await.unwrap();
        assert_eq!(text(&answer.output_message), format!("Your n{n} is {n}."));
    }
}

#[tokio::test]
async fn p6_p9_nobody_talks_in_a_deleted_archived_or_foreign_conversation() {
    let (store, user) = (shared_store(), UserId::generate());
    let replicas = [replica(&store).await, replica(&store).await];
    let conversation = begin(&replicas[0], user).await;
    for manager in &replicas {
        say(manager, user, conversation, "hello").await.unwrap();
    }

    let is_not_found = |error: AgentManagerError| {
        matches!(error.repository_error(), Some(RepositoryError::NotFound { entity: Entity::Conversation }))
    };
    let stranger = UserId::generate();
    assert!(is_not_found(say(&replicas[0], stranger, conversation, "hello").await.unwrap_err()));

    let archive = ConversationUpdate {
        status: Some(lcs_domain::conversation::OpenStatus::Archived),
        ..ConversationUpdate::default()
    };
    replicas[0].conversation_service().update_conversation(user, conversation, archive).await.unwrap();
    let error = say(&replicas[1], user, conversation, "hello").await.unwrap_err();
    assert!(matches!(error.repository_error(), Some(RepositoryError::Closed { .. })));

    assert!(replicas[0].agent_manager().delete_conversation(user, conversation).await.unwrap());
    for manager in &replicas {
        assert!(is_not_found(say(manager, user, conversation, "hello").await.unwrap_err()));
        assert!(!manager.agent_manager().delete_conversation(user, conversation).await.unwrap());
    }
}

#[tokio::test]
async fn a_conversation_deleted_while_its_agent_answers_stays_deleted_and_the_answer_is_not_lost() {
    let (store, user) = (shared_store(), UserId::generate());
    let runtime = Arc::new(GatedRuntime::new());
    let (asked, gate) = (Arc::clone(&runtime.asked), Arc::clone(&runtime.gate));
    let manager = with_runtime(&store, runtime).await;
    let conversation = begin(&manager, user).await;
    let agents = manager.agent_manager().clone();
    let answering = tokio::spawn(async move { agents.respond(user, conversation, request("hello")).await });
    GatedRuntime::wait_asked(&asked).await;
    assert!(manager.agent_manager().delete_conversation(user, conversation).await.unwrap());
    gate.add_permits(1);
    let error = answering.await.unwrap().unwrap_err();
    let AgentManagerError::NotStored { answer, source, .. } = error else { panic!("{error}") };
    assert_eq!(text(&answer), "You said: hello (turn 1 of our conversation)");
    assert!(matches!(source, RepositoryError::NotFound { entity: Entity::Conversation }));
}
