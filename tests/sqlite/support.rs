//! Stores and commands for these tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use lcs_domain::{
    AgentStateUpdate, AppendTurn, Clock, Conversation, ConversationId, ConversationRepository, ManualClock,
    Metadata, NewConversation, NewTurn, PageLimit, Payload, Text, TurnId, TurnPage, TurnRange,
    TurnRepository, UserId,
};
use lcs_storage::migration::Migrations;
use lcs_storage::sqlite::{Sqlite, SqliteConfig};
use tempfile::TempDir;

/// A file in a folder of its own, gone with this value.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("conversations.db")
    }

    pub(crate) fn config(&self) -> SqliteConfig {
        SqliteConfig::file(self.file())
    }

    /// A migrated store.
    pub(crate) async fn store(&self) -> Sqlite {
        let store = open(self.config()).await;
        store.run_pending().await.unwrap();
        store
    }

    /// The file as any other program sees it.
    pub(crate) fn raw(&self) -> SqliteConnection {
        raw(&self.file())
    }
}

pub(crate) fn raw(file: &Path) -> SqliteConnection {
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    connection.batch_execute("PRAGMA busy_timeout=10000").unwrap();
    connection
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = diesel::sql_types::Text)]
    answer: String,
}

/// The one text that `sql` names `answer`.
pub(crate) fn ask(connection: &mut SqliteConnection, sql: &str) -> String {
    diesel::sql_query(sql).get_result::<Answer>(connection).unwrap().answer
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(manual_clock())
}

pub(crate) fn manual_clock() -> ManualClock {
    ManualClock::new(lcs_domain::clock::to_microseconds("2026-01-01T00:00:00.123456Z".parse().unwrap()))
}

pub(crate) async fn open(config: SqliteConfig) -> Sqlite {
    Sqlite::open(config, clock()).await.unwrap()
}

pub(crate) fn patient(config: SqliteConfig) -> SqliteConfig {
    let patience = Duration::from_mins(2);
    SqliteConfig { busy_timeout: patience, pool_timeout: patience, ..config }
}

pub(crate) fn user() -> UserId {
    UserId::from_text("alice")
}

pub(crate) fn new_conversation() -> NewConversation {
    NewConversation::begin(Text::name("llama", "/model_id").unwrap())
}

pub(crate) async fn begin(store: &Sqlite) -> Conversation {
    ConversationRepository::create(store, user(), new_conversation()).await.unwrap()
}

pub(crate) fn turn(text: &str) -> NewTurn {
    let at = manual_clock().now();
    let payload = Payload::from_serialize(text).unwrap();
    NewTurn::new(TurnId::generate(), payload.clone(), Some(payload), at, at, Metadata::default()).unwrap()
}

pub(crate) fn append(conversation: &Conversation, turn: NewTurn) -> AppendTurn {
    AppendTurn {
        conversation_id: conversation.conversation_id,
        turn,
        expected_turn_count: None,
        agent_state: None,
    }
}

pub(crate) fn with_state(conversation: &Conversation, turn: NewTurn, expected_revision: u64) -> AppendTurn {
    let agent_state = Some(AgentStateUpdate {
        agent_id: conversation.agent_id,
        agent_config: None,
        current_state: Payload::parse(r#"{"turns":1}"#).unwrap(),
        expected_revision,
    });
    AppendTurn { agent_state, ..append(conversation, turn) }
}

pub(crate) async fn page(store: &Sqlite, conversation_id: ConversationId) -> TurnPage {
    store.page(user(), conversation_id, TurnRange::Newest, PageLimit::MAX).await.unwrap().unwrap()
}
