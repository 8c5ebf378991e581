//! Stores, conversations and turns for the tests of this folder.

use std::time::Duration;

use lcs_domain::Clock;
use lcs_domain::{
    AgentStateUpdate, AppendTurn, Appended, BeginRequest, Conversation, ConversationId,
    ConversationRepository, Metadata, NewConversation, NewTurn, Payload, RepositoryError, RequestId,
    RetentionPolicy, SystemClock, Text, TurnId, TurnRepository, UserId,
};
use lcs_storage::migration::Migrations;
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::PrivateCluster;

/// A policy that keeps what was changed within ninety days.
pub(crate) fn ninety_days() -> RetentionPolicy {
    RetentionPolicy::idle_longer_than(Duration::from_hours(24 * 90)).unwrap()
}

/// The configuration that names the database of this URL.
pub(crate) fn config(url: &str) -> PostgresConfig {
    PostgresConfig::from_url(url).unwrap()
}

/// A store on the database of this URL.
pub(crate) async fn store(url: &str) -> Postgres {
    Postgres::connect(config(url)).await.unwrap()
}

/// A store with one connection on the database of this URL, migrated.
pub(crate) async fn single(url: &str) -> Postgres {
    let config = PostgresConfig { pool_size: 1, max_overflow: 0, ..config(url) };
    let store = Postgres::connect(config).await.unwrap();
    store.run_pending().await.unwrap();
    store
}

/// A cluster that logs how each statement is carried out, with `further` lines for its configuration.
pub(crate) fn explaining(further: &[&str]) -> PrivateCluster {
    let settings = [
        "session_preload_libraries = 'auto_explain'",
        "auto_explain.log_min_duration = 0",
        "log_line_prefix = '%a|'",
    ];
    PrivateCluster::start(&[&settings, further].concat())
}

/// A new conversation of a new user.
pub(crate) async fn begin(store: &Postgres) -> Conversation {
    let user_id = UserId::generate();
    let new = NewConversation::begin(Text::name("model", "/model_id").unwrap());
    ConversationRepository::create(store, user_id, new).await.unwrap()
}

/// A turn that says `text`, as it is appended to `conversation`.
pub(crate) fn saying(conversation: &Conversation, text: &str) -> AppendTurn {
    let now = SystemClock.now();
    let said = Payload::from_serialize(text).unwrap();
    let turn =
        NewTurn::new(TurnId::generate(), said.clone(), Some(said), now, now, Metadata::default()).unwrap();
    AppendTurn {
        conversation_id: conversation.conversation_id,
        turn,
        expected_turn_count: None,
        agent_state: None,
    }
}

/// The same with the agent's state, made from revision `expected_revision`.
pub(crate) fn saying_with_state(
    conversation: &Conversation,
    text: &str,
    expected_revision: u64,
) -> AppendTurn {
    let agent_state = AgentStateUpdate {
        agent_id: conversation.agent_id,
        agent_config: None,
        current_state: Payload::from_serialize(text).unwrap(),
        expected_revision,
    };
    AppendTurn { agent_state: Some(agent_state), ..saying(conversation, text) }
}

/// Appends to the conversation of its user.
pub(crate) async fn append(
    store: &Postgres,
    conversation: &Conversation,
    command: AppendTurn,
) -> Result<Appended, RepositoryError> {
    TurnRepository::append(store, conversation.user_id, command).await
}

/// A new request under `key`.
pub(crate) fn asking(key: Option<&str>) -> BeginRequest {
    BeginRequest {
        request_id: RequestId::generate(),
        idempotency_key: key.map(str::to_owned),
        request_hash: [7; 32],
        conversation_id: ConversationId::generate(),
        turn_id: TurnId::generate(),
        lease: Duration::from_mins(1),
    }
}
