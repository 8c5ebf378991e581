//! Which tables have anything of a user: whoever adds one has to see to its erasure, and to change this list knowingly.

use std::sync::Arc;

use lcs_domain::{ConversationId, ErasureRepository, ErasureTarget, SystemClock, UserId};
use lcs_storage::migration::Migrations as _;
use lcs_storage::sqlite::{Sqlite, SqliteConfig};
use lcs_storage::testing::TestPostgres;

use crate::postgres::store;

/// The tables with a column `user_id` or `conversation_id`. `conformance/erasure.rs` fills each of them and erases.
const OF_USERS: [&str; 7] = [
    "agent_states",
    "conversation_turns",
    "conversations",
    "holds",
    "requests",
    "restorations",
    "retention_overrides",
];
/// Those of them that are by user alone.
const BY_USER_ALONE: &str = "retention_overrides";
/// Those that have such a column and stay, and one that has ids of archives alone.
const STAY: [&str; 4] = ["archives", "audit_events", "conversation_tombstones", "erasures"];

async fn looked_at(erasures: &dyn ErasureRepository, target: ErasureTarget) -> Vec<String> {
    let remaining = erasures.remaining(target).await.unwrap();
    assert!(remaining.iter().all(|table| table.rows == 0), "{remaining:?}");
    remaining.into_iter().map(|table| table.table).collect()
}

#[tokio::test]
async fn every_table_that_names_a_user_or_a_conversation_is_looked_at_and_emptied() {
    let database = TestPostgres::migrated().await;
    let postgres = store(&database).await;
    let (user, conversation) =
        (ErasureTarget::User(UserId::generate()), ErasureTarget::Conversation(ConversationId::generate()));
    assert_eq!(looked_at(&postgres, user).await, OF_USERS);
    let by_conversation: Vec<_> = OF_USERS.into_iter().filter(|table| *table != BY_USER_ALONE).collect();
    assert_eq!(looked_at(&postgres, conversation).await, by_conversation);
    // However the column is called: an id of a user or a conversation is a uuid, and so is nothing else but these.
    let columns = "SELECT DISTINCT table_name FROM information_schema.columns \
                   WHERE table_schema = 'public' AND udt_name = 'uuid' ORDER BY 1";
    let tables: Vec<_> = database.query(columns).await.into_iter().flatten().flatten().collect();
    let mut expected: Vec<_> = OF_USERS.into_iter().chain(STAY).collect();
    expected.sort_unstable();
    assert_eq!(tables, expected);

    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::file(folder.path().join("conversations.db"));
    let sqlite = Sqlite::open(config, Arc::new(SystemClock)).await.unwrap();
    sqlite.run_pending().await.unwrap();
    let mut expected: Vec<_> =
        OF_USERS.into_iter().chain(["journal_conflicts", "journal_entries", "turn_words"]).collect();
    expected.sort_unstable();
    assert_eq!(looked_at(&sqlite, user).await, expected);
    let by_conversation: Vec<_> = by_conversation.into_iter().chain(["turn_words"]).collect();
    assert_eq!(looked_at(&sqlite, conversation).await, by_conversation);
}
