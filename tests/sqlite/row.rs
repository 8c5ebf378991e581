//! Damaged rows: each column is told by its name, and nothing of it is passed on.

use diesel::connection::SimpleConnection;
use lcs_domain::*;
use lcs_storage::migration::Migrations as _;

use crate::support::*;

/// What a damaged value in `column` of `table` looks like from outside, for every kind of column.
async fn damaged(table: &'static str, column: &'static str, value: &str) {
    let place = Place::new();
    let store = place.store().await;
    let conversation = begin(&store).await;
    store.append(user(), with_state(&conversation, turn("secret"), 0)).await.unwrap();
    // The schema refuses such values, so it is switched off, as a failing disk would.
    let sql = format!("PRAGMA ignore_check_constraints=ON; UPDATE {table} SET {column} = {value}");
    let unstrict = "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT', ''), \
                    'NOT NULL', '') WHERE type = 'table'; PRAGMA writable_schema=RESET;";
    place.raw().batch_execute(unstrict).unwrap();
    place.raw().batch_execute(&sql).unwrap();
    drop(store);

    let store = open(place.config()).await;
    let id = conversation.conversation_id;
    let error = match table {
        "conversations" => ConversationRepository::get(&store, user(), id).await.map(drop).unwrap_err(),
        "conversation_turns" => {
            store.page(user(), id, TurnRange::Newest, PageLimit::MAX).await.map(drop).unwrap_err()
        }
        _ => store.get_by_conversation(user(), id).await.map(drop).unwrap_err(),
    };
    let RepositoryError::Inconsistent { table: named_table, column: named_column, .. } = &error else {
        panic!("{table}.{column} = {value}: {error}");
    };
    assert_eq!((*named_table, *named_column), (table, column), "{value}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_damaged_conversation_is_told_by_its_column() {
    for (column, value) in [
        ("agent_id", "x'00'"),
        ("agent_id", "NULL"),
        ("model_id", "CAST(x'ff' AS TEXT)"),
        ("model_id", "x'00'"),
        ("system_prompt", "CAST(x'c328' AS TEXT)"),
        ("created_at", "9223372036854775807"),
        ("updated_at", "'yesterday'"),
        ("updated_at", "1.5"),
        ("status", "'secret'"),
        ("metadata", "'{\"secret\":'"),
        ("metadata", "'[]'"),
        ("metadata", "NULL"),
        ("turn_count", "4294967297"),
        ("turn_count", "-1"),
        ("state_revision", "-1"),
        ("state_revision", "NULL"),
        ("topic_summary", "x'ff'"),
        ("external_id", "x'07'"),
    ] {
        damaged("conversations", column, value).await;
    }
}

#[tokio::test]
async fn a_damaged_turn_is_told_by_its_column() {
    for (column, value) in [
        ("turn_id", "x'0102'"),
        ("turn_id", "'secret'"),
        ("turn_number", "4294967297"),
        ("input_messages", "'{\"secret\"'"),
        ("input_messages", "''"),
        ("input_messages", "NULL"),
        ("input_messages", "CAST(x'22ff22' AS TEXT)"),
        ("input_messages_sealed", "x'010000'"),
        ("output_message", "'\"\\ud800\"'"),
        ("output_message", "x'33'"),
        ("output_message_sealed", "'text'"),
        ("started_at", "-9223372036854775807"),
        ("completed_at", "'x'"),
        ("metadata", "'nonsense'"),
    ] {
        let column_of_payload = column.trim_end_matches("_sealed");
        if column == column_of_payload {
            damaged("conversation_turns", column, value).await;
        } else {
            // Both columns are set, or one holds what cannot be opened: it is the payload that is damaged.
            damaged_sealed(column, value).await;
        }
    }
}

async fn damaged_sealed(column: &str, value: &str) {
    let payload = if column.starts_with("input") { "input_messages" } else { "output_message" };
    damaged("conversation_turns", payload, &format!("NULL, {column} = {value}")).await;
}

#[tokio::test]
async fn a_damaged_agent_state_is_told_by_its_column() {
    for (column, value) in [
        ("agent_config", "'{'"),
        ("current_state", "'[1,'"),
        ("current_state", "x'00'"),
        ("created_at", "NULL"),
        ("revision", "-3"),
        ("through_turn", "-1"),
    ] {
        damaged("agent_states", column, value).await;
    }
}

#[tokio::test]
async fn an_append_to_a_damaged_conversation_is_refused_whole() {
    let place = Place::new();
    let store = place.store().await;
    let conversation = begin(&store).await;
    place
        .raw()
        .batch_execute("PRAGMA ignore_check_constraints=ON; UPDATE conversations SET turn_count = -1")
        .unwrap();
    let error = store.append(user(), append(&conversation, turn("one"))).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Inconsistent { column: "turn_count", .. }), "{error}");
    assert_eq!(ask(&mut place.raw(), "SELECT CAST(count(*) AS TEXT) AS answer FROM conversation_turns"), "0");
}

#[tokio::test]
async fn a_damaged_retention_of_a_user_is_no_mistake_of_who_asks() {
    for days in ["0", "36501", "4294967297"] {
        let place = Place::new();
        let store = place.store().await;
        let new = NewRetentionOverride { user_id: user(), keep: Keep::Forever, set_by: Actor::service() };
        store.set_override(new).await.unwrap();
        let set = format!("UPDATE retention_overrides SET idle_days = {days}");
        assert!(place.raw().batch_execute(&set).is_err(), "the schema takes {days}");
        place.raw().batch_execute(&format!("PRAGMA ignore_check_constraints=ON; {set}")).unwrap();
        for error in [
            store.overrides(None, PageLimit::MAX).await.map(drop).unwrap_err(),
            store.keeping(user(), Vec::new()).await.map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, RepositoryError::Inconsistent { column: "idle_days", .. }), "{error}");
        }
    }
}

async fn finding(store: &lcs_storage::sqlite::Sqlite, check: &str) -> diagnostic::Finding {
    store.diagnose().await.unwrap().into_iter().find(|finding| finding.check == check).unwrap()
}

#[tokio::test]
async fn doctor_finds_what_disagrees() {
    let place = Place::new();
    let store = place.store().await;
    let conversation = begin(&store).await;
    store.append(user(), with_state(&conversation, turn("one"), 0)).await.unwrap();
    let wrong = async |store: &lcs_storage::sqlite::Sqlite| {
        let findings = store.diagnose().await.unwrap();
        findings
            .into_iter()
            .filter(|finding| finding.severity != diagnostic::Severity::Ok)
            .map(|finding| finding.check)
            .collect::<Vec<_>>()
    };
    assert_eq!(wrong(&store).await, Vec::<&str>::new());

    let mut raw = place.raw();
    raw.batch_execute("UPDATE conversations SET turn_count = 7").unwrap();
    assert_eq!(wrong(&store).await, ["turn_heads"]);
    let heads = finding(&store, "turn_heads").await;
    assert_eq!(heads.detail, "1 conversation whose turn count disagrees with its turns");
    raw.batch_execute("UPDATE conversations SET turn_count = 1, state_revision = 0").unwrap();
    assert_eq!(wrong(&store).await, ["agent_states"]);
    raw.batch_execute("PRAGMA foreign_keys=OFF; DELETE FROM agent_states; DELETE FROM conversations")
        .unwrap();
    assert_eq!(wrong(&store).await, ["orphaned_turns"]);
    raw.batch_execute("DELETE FROM conversation_turns; DROP INDEX conversations_user_id_idx").unwrap();
    assert_eq!(wrong(&store).await, ["indexes"]);
    let indexes = finding(&store, "indexes").await;
    assert_eq!(indexes.detail, "missing: conversations_user_id_idx");
    let remedy = indexes.remedy.unwrap();
    let (_, statements) = remedy.split_once(": ").unwrap();
    raw.batch_execute(statements).unwrap();
    assert_eq!(wrong(&store).await, Vec::<&str>::new(), "the remedy cures");

    raw.batch_execute("DROP TRIGGER conversations_refuse_tombstoned").unwrap();
    raw.batch_execute("DELETE FROM __diesel_schema_migrations").unwrap();
    assert_eq!(wrong(&store).await, ["schema", "indexes"]);
    let all = store.status().await.unwrap().len();
    assert_eq!(finding(&store, "schema").await.detail, format!("{all} migrations are pending"));
}
