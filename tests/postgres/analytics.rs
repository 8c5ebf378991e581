//! What figures cost: no payload, no table from one end to the other, and no more than the bound.

use lcs_domain::{AnalyticsRepository, AnalyticsWindow, RetentionPolicy};
use lcs_storage::postgres::Postgres;
use lcs_storage::testing::{PrivateCluster, TestPostgres};

use crate::support::{begin, explaining, single};

/// 2,000 conversations of 100 users with five turns each, whose payloads are too long for their rows.
const FILL: &str = "
    INSERT INTO conversations (conversation_id, user_id, agent_id, model_id, turn_count)
    SELECT gen_random_uuid(), md5((n % 100)::text)::uuid, gen_random_uuid(), 'model', 5
      FROM generate_series(1, 2000) n;
    INSERT INTO conversation_turns
        (turn_id, conversation_id, user_id, turn_number, input_messages, started_at, completed_at, content_hash)
    SELECT gen_random_uuid(), conversation_id, user_id, turn,
           to_jsonb(ARRAY(SELECT md5(random()::text || turn || conversation_id) FROM generate_series(1, 100))),
           now() - interval '1 second', now(), sha256('1')
      FROM conversations, generate_series(1, 5) turn;
    ANALYZE;";

fn policy() -> RetentionPolicy {
    RetentionPolicy::idle_longer_than(std::time::Duration::from_hours(90 * 24)).unwrap()
}

async fn analyze(store: &Postgres) -> lcs_domain::Analytics {
    store.analyze(AnalyticsWindow::default(), policy()).await.unwrap()
}

/// Blocks of long values that were read of the turns, from the disk or not.
async fn long_value_blocks(database: &TestPostgres) -> i64 {
    database.execute("SELECT pg_stat_force_next_flush()").await;
    let blocks = database
        .value(
            "SELECT coalesce(toast_blks_read + toast_blks_hit, 0) FROM pg_statio_all_tables \
             WHERE relname = 'conversation_turns'",
        )
        .await;
    blocks.unwrap().parse().unwrap()
}

#[tokio::test]
async fn no_payload_is_read_and_no_table_from_end_to_end() {
    let cluster = explaining(&["auto_explain.log_verbose = on"]);
    let database = cluster.database().await;
    let store = single(database.url()).await;
    database.execute(FILL).await;
    let long_values = database.value("SELECT pg_relation_size(reltoastrelid) > 10000000 FROM pg_class WHERE relname = 'conversation_turns'").await;
    assert_eq!(long_values.as_deref(), Some("t"), "the payloads are long values");
    let before = long_value_blocks(&database).await;
    let begun = cluster.log().len();
    let found = analyze(&store).await;
    assert_eq!((found.turns.total, found.users.total, found.users.active), (10_000, 100, 100));
    let log = cluster.log().split_off(begun);
    let plans: Vec<&str> = log
        .split("lcs-persistence|LOG:")
        .filter(|entry| entry.contains("TABLESAMPLE") || entry.contains("RECURSIVE walk"))
        .collect();
    assert_eq!(plans.len(), 3, "conversations, turns, users:\n{log}");
    for plan in &plans {
        assert!(!plan.contains("Seq Scan on"), "a sequential scan:\n{plan}");
        for payload in [
            "input_messages",
            "output_message",
            "agent_config",
            "current_state",
            "content_hash",
            "system_prompt",
        ] {
            assert!(!plan.contains(payload), "{payload} is read:\n{plan}");
        }
    }
    let of = |what: &str| plans.iter().any(|plan| plan.contains(what));
    assert!(
        of("Sample Scan on") && of("Index Only Scan Backward using conversations_user_id_active_hour_idx"),
        "{log}"
    );
    assert_eq!(long_value_blocks(&database).await, before, "blocks of long values were read");
}

#[tokio::test]
async fn of_a_large_table_no_more_is_read_than_the_bound_and_the_estimate_is_near() {
    const TURNS: u64 = 120_000;
    let database = TestPostgres::migrated().await;
    let store = single(database.url()).await;
    let conversation = begin(&store).await;
    // A kilobyte each: about 130 MiB, of which 64 may be read.
    database
        .execute(&format!(
            "INSERT INTO conversation_turns (turn_id, conversation_id, user_id, turn_number, input_messages, \
                 started_at, completed_at, content_hash, metadata) \
             SELECT gen_random_uuid(), '{0}', '{1}', n, to_jsonb(repeat('x', 900)), now() - interval '1 second', \
                 now() - (n % 60) * interval '1 day', sha256('1'), \
                 jsonb_build_object('lcs:model', 'model', 'lcs:input_tokens', 10) \
               FROM generate_series(1, {TURNS}) n",
            conversation.conversation_id, conversation.user_id
        ))
        .await;
    let found = analyze(&store).await;
    let turns = found.turns;
    assert!(turns.looked_at.is_sample() && turns.looked_at.share < 0.6, "{turns:?}");
    assert!(turns.looked_at.rows < TURNS * 6 / 10, "{turns:?}");
    assert!(!found.conversations.looked_at.is_sample(), "the small table is looked at whole");
    let near = |estimate: u64, truth: u64| estimate.abs_diff(truth) < truth / 10;
    assert!(near(turns.total, TURNS), "{turns:?}");
    assert!(near(turns.in_window, TURNS / 2), "{turns:?}");
    assert!(near(turns.input_tokens, TURNS / 2 * 10), "{turns:?}");
    assert!(near(found.models[0].turns, TURNS / 2), "{:?}", found.models);
    // Two looks see the same pages.
    assert_eq!(analyze(&store).await.turns.total, turns.total);
}

#[tokio::test]
async fn the_status_says_what_the_server_knows() {
    let cluster =
        PrivateCluster::start(&["shared_preload_libraries = 'pg_stat_statements'", "max_connections = 50"]);
    let database = cluster.database().await;
    let store = single(database.url()).await;
    let status = store.database_status().await.unwrap();
    assert_eq!(status.statements, None, "the extension is not there yet");
    database
        .execute("CREATE SCHEMA \"else where\"; CREATE EXTENSION pg_stat_statements SCHEMA \"else where\"")
        .await;
    database.execute(FILL).await;
    database.execute("SELECT 'canary', 4711; SET application_name = 'canary'").await;
    // A transaction that somebody left open.
    let left = database.client().await;
    left.batch_execute("BEGIN; SELECT txid_current()").await.unwrap();
    let status = store.database_status().await.unwrap();

    let turns = status.tables.iter().find(|table| table.name == "conversation_turns").unwrap();
    assert_eq!(turns.rows, Some(10_000));
    assert!(turns.long_value_bytes > turns.row_bytes && turns.index_bytes > 0, "{turns:?}");
    let key = status.indexes.iter().find(|index| index.name == "conversation_turns_pkey").unwrap();
    assert!(
        key.is_unique && key.table == "conversation_turns" && key.bloat_bytes.unwrap() < key.bytes / 2,
        "{key:?}"
    );
    let connections = status.connections.unwrap();
    assert_eq!(connections.max, 47);
    assert!(connections.idle_in_transaction >= 1 && connections.to_this_database >= 1, "{connections:?}");
    assert!(status.oldest_transaction_seconds.unwrap() > 0.0);
    assert!(status.transaction_ids.unwrap().age < 1_000_000);
    let statements = status.statements.as_ref().unwrap();
    assert!(
        statements.iter().any(|statement| statement.text.contains("INSERT INTO conversation_turns")),
        "{statements:?}"
    );
    assert!(
        !format!("{status:?}").contains("canary") && !format!("{status:?}").contains("4711"),
        "{statements:?}"
    );

    // An index of whose entries most are gone is told with about what it could save.
    database.execute("DELETE FROM conversation_turns WHERE turn_number > 1").await;
    for statement in ["VACUUM conversation_turns", "ANALYZE conversation_turns"] {
        database.execute(statement).await;
    }
    let status = store.database_status().await.unwrap();
    let key = status.indexes.iter().find(|index| index.name == "conversation_turns_pkey").unwrap();
    assert!(key.bloat_bytes.unwrap() > key.bytes / 2, "{key:?}");
    drop(left);
}

#[tokio::test]
async fn a_role_that_may_not_see_all_rows_is_told_so() {
    use lcs_domain::RepositoryError;
    use lcs_storage::postgres::PostgresConfig;
    use lcs_storage::testing::Role;

    let database = TestPostgres::secured().await;
    for (role, may) in [(Role::Application, false), (Role::Operator, true), (Role::Auditor, true)] {
        let config = PostgresConfig::from_url(&database.url_of(role)).unwrap();
        let store = Postgres::connect(PostgresConfig { row_level_security: true, ..config }).await.unwrap();
        let found = store.analyze(AnalyticsWindow::default(), policy()).await;
        match found {
            Ok(_) => assert!(may, "{role:?}"),
            Err(RepositoryError::Denied { reason }) => {
                assert!(!may && reason.contains("ask as the auditor"), "{role:?}: {reason}");
            }
            Err(error) => panic!("{role:?}: {error}"),
        }
        // How the database is doing is nobody's row.
        assert!(store.database_status().await.unwrap().tables.len() >= 5, "{role:?}");
    }
}
