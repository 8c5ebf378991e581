//! Requests that are sent again, and answers that cannot be stored as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use lcs_app::agent_manager::AgentManagerError;
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_app::echo::EchoRuntime;
use lcs_domain::agent::{
    Agent, AgentAnswer, AgentError, AgentRequest, AgentRuntime, AnswerListener, StoredAgent,
};
use lcs_domain::{Conversation, Metadata, Payload, PayloadLimits, RepositoryError, UserId};

use super::gated::GatedRuntime;
use super::{begin, configured, replica, request, say, shared_store, text, with_runtime};

#[tokio::test]
async fn p1_a_request_sent_again_is_answered_once_and_stored_once() {
    let (store, user) = (shared_store(), UserId::generate());
    let replicas = [replica(&store).await, replica(&store).await];
    let conversation = begin(&replicas[0], user).await;
    let first = request("hello");
    let answer = replicas[0].agent_manager().respond(user, conversation, first.clone()).await.unwrap();
    assert!(!answer.replayed);
    for manager in &replicas {
        let again = manager.agent_manager().respond(user, conversation, first.clone()).await.unwrap();
        assert!(again.replayed);
        assert_eq!((again.turn_number, &again.output_message), (Some(1), &answer.output_message));
    }
    let mut other = first.clone();
    other.metadata = Metadata::parse(r#"{"ticket":1}"#).unwrap();
    let mut another = request("something else");
    another.turn_id = first.turn_id;
    for request in [other, another] {
        let error = replicas[1].agent_manager().respond(user, conversation, request).await.unwrap_err();
        assert!(
            matches!(error.repository_error(), Some(RepositoryError::IdempotencyMismatch { .. })),
            "{error}"
        );
    }
    let next = say(&replicas[1], user, conversation, "hello").await.unwrap();
    assert_eq!(text(&next.output_message), "You said: hello (turn 2 of our conversation)");
}

#[tokio::test]
async fn p1_a_caller_who_gave_up_after_the_answer_gets_it_when_he_asks_again() {
    let (store, user) = (shared_store(), UserId::generate());
    let runtime = Arc::new(GatedRuntime::new());
    let (asked, gate) = (Arc::clone(&runtime.asked), Arc::clone(&runtime.gate));
    let manager = with_runtime(&store, runtime).await;
    let conversation = begin(&manager, user).await;
    let first = request("my name is Ada");
    let agents = manager.agent_manager().clone();
    let sent = first.clone();
    let answering = tokio::spawn(async move { agents.respond(user, conversation, sent).await });
    GatedRuntime::wait_asked(&asked).await;
    gate.add_permits(1);
    // Whether the write has begun or not when he goes: the same request is answered, once.
    tokio::task::yield_now().await;
    answering.abort();
    let _ = answering.await;
    gate.add_permits(1);
    let again = manager.agent_manager().respond(user, conversation, first).await.unwrap();
    assert_eq!(again.turn_number, Some(1));
    assert_eq!(text(&again.output_message), "I will remember that your name is Ada.");
}

#[tokio::test]
async fn p10_what_is_larger_than_the_limit_is_refused_before_the_agent_is_asked() {
    let (store, user) = (shared_store(), UserId::generate());
    let payload_limits = PayloadLimits { max_bytes: 100 };
    let configuration = Configuration { payload_limits, ..Configuration::new(StoreConfiguration::Memory) };
    let manager = configured(configuration, &store).await;
    let conversation = begin(&manager, user).await;
    let error = say(&manager, user, conversation, &"x".repeat(100)).await.unwrap_err();
    assert!(error.to_string().starts_with("value at /input_messages is too large"), "{error}");

    // A short question with a longer answer: it cannot be stored, and it is not lost.
    let error = say(&manager, user, conversation, &"x".repeat(60)).await.unwrap_err();
    let AgentManagerError::NotStored { answer, source, .. } = error else { panic!("{error}") };
    assert!(text(&answer).contains(&"x".repeat(60)));
    assert!(matches!(source, RepositoryError::TooLarge { .. }));
    let answer = say(&manager, user, conversation, "hi").await.unwrap();
    assert_eq!(answer.turn_number, Some(1));
}

/// Echo agents that panic when they are asked for their state, until they were asked twice.
struct PanickyRuntime {
    asked: Arc<AtomicU32>,
}

#[async_trait]
impl AgentRuntime for PanickyRuntime {
    fn configure(&self, conversation: &Conversation) -> Result<Payload, AgentError> {
        EchoRuntime.configure(conversation)
    }

    async fn make(&self, agent_config: &Payload) -> Result<Box<dyn Agent>, AgentError> {
        Ok(Box::new(Panicky { agent: EchoRuntime.make(agent_config).await?, asked: Arc::clone(&self.asked) }))
    }

    async fn rehydrate(&self, stored: StoredAgent) -> Result<Box<dyn Agent>, AgentError> {
        Ok(Box::new(Panicky { agent: EchoRuntime.rehydrate(stored).await?, asked: Arc::clone(&self.asked) }))
    }
}

struct Panicky {
    agent: Box<dyn Agent>,
    asked: Arc<AtomicU32>,
}

#[async_trait]
impl Agent for Panicky {
    async fn respond(
        &mut self,
        request: &AgentRequest,
        listener: &dyn AnswerListener,
    ) -> Result<AgentAnswer, AgentError> {
        self.agent.respond(request, listener).await
    }

    fn snapshot(&self) -> Result<Payload, AgentError> {
        assert!(self.asked.fetch_add(1, Ordering::SeqCst) >= 2, "this agent panics");
        self.agent.snapshot()
    }
}

#[tokio::test]
async fn an_agent_that_panics_over_its_state_loses_neither_answer_nor_memory() {
    let (store, user) = (shared_store(), UserId::generate());
    let manager = with_runtime(&store, Arc::new(PanickyRuntime { asked: Arc::default() })).await;
    let conversation = begin(&manager, user).await;
    for (said, heard) in [
        ("my name is Ada", "I will remember that your name is Ada."),
        ("what is my name?", "Your name is Ada."),
        ("what is my name?", "Your name is Ada."),
        ("hello", "You said: hello (turn 4 of our conversation)"),
    ] {
        let answer = say(&manager, user, conversation, said).await.unwrap();
        assert_eq!(text(&answer.output_message), heard);
        assert!(!answer.interleaved);
    }
}
