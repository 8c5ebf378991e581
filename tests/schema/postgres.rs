//! The schema in PostgreSQL, as its catalogue describes it.

use lcs_domain::UserId;
use lcs_storage::migration::Migrations;
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::TestPostgres;

use crate::expected::{
    CONSTRAINTS, INDEXES, PARTIAL_INDEXES, POSTGRES_COLUMNS, POSTGRES_INDEXES, POSTGRES_PARTIAL_INDEX, TABLES,
};

/// A store on `database`, as it is.
pub(crate) async fn store(database: &TestPostgres) -> Postgres {
    Postgres::connect(PostgresConfig::from_url(database.url()).unwrap()).await.unwrap()
}

/// The rows of `sql`, values separated by ` | `, nulls as `-`.
async fn rows(database: &TestPostgres, sql: &str) -> Vec<String> {
    let rows = database.query(sql).await.into_iter();
    rows.map(|row| {
        let values: Vec<_> = row.into_iter().map(|value| value.unwrap_or_else(|| "-".to_owned())).collect();
        values.join(" | ")
    })
    .collect()
}

#[tokio::test]
async fn every_column_has_its_type_nullability_and_default() {
    let database = TestPostgres::migrated().await;
    let mut expected: Vec<_> = TABLES
        .iter()
        .flat_map(|(table, columns)| columns.iter().map(move |column| (table, column)))
        .map(|(table, (name, kind, _, nullable, default))| {
            let null = if *nullable { "YES" } else { "NO" };
            format!("{table} | {name} | {kind} | {null} | {}", default.unwrap_or("-"))
        })
        .collect();
    for (table, name, kind, default) in POSTGRES_COLUMNS {
        expected.push(format!("{table} | {name} | {kind} | NO | {default}"));
    }
    // Stable: a table's columns keep their order.
    expected.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
    let columns = rows(
        &database,
        "SELECT table_name, column_name, udt_name, is_nullable, column_default FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name <> '__diesel_schema_migrations'
         ORDER BY table_name, ordinal_position",
    )
    .await;
    assert_eq!(columns, expected);
}

#[tokio::test]
async fn every_key_and_check_is_there_under_its_name() {
    let database = TestPostgres::migrated().await;
    let expected: Vec<_> =
        CONSTRAINTS.iter().map(|(table, name, text)| format!("{table} | {name} | {text}")).collect();
    let constraints = rows(
        &database,
        "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint
         WHERE connamespace = 'public'::regnamespace AND conrelid <> '__diesel_schema_migrations'::regclass
           AND contype <> 'n' -- PostgreSQL 18 lists NOT NULL here too
         ORDER BY conrelid::regclass::text COLLATE \"C\", conname",
    )
    .await;
    assert_eq!(constraints, expected);
}

#[tokio::test]
async fn every_index_is_there_and_no_other() {
    let database = TestPostgres::migrated().await;
    let mut expected: Vec<_> = INDEXES
        .iter()
        .chain(POSTGRES_INDEXES)
        .map(|(table, columns, unique)| format!("{table} | {columns} | {unique}"))
        .collect();
    expected.sort();
    let mut indexes = rows(
        &database,
        "SELECT i.indrelid::regclass,
                (SELECT string_agg(a.attname, ', ' ORDER BY k.place)
                 FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number),
                CASE WHEN i.indisunique THEN 'true' ELSE 'false' END
         FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> '__diesel_schema_migrations'
           AND i.indisvalid",
    )
    .await;
    indexes.sort();
    assert_eq!(indexes, expected);
    let partial = "SELECT indexrelid::regclass FROM pg_index WHERE indpred IS NOT NULL AND indrelid >= 16384 \
                   ORDER BY indexrelid::regclass::text";
    let mut expected = [PARTIAL_INDEXES, &[POSTGRES_PARTIAL_INDEX]].concat();
    expected.sort_unstable();
    assert_eq!(rows(&database, partial).await, expected);
}

#[tokio::test]
async fn p6_a_purged_id_is_refused_to_whoever_writes() {
    let database = TestPostgres::create().await;
    let config = PostgresConfig::from_url(database.url()).unwrap();
    let config = PostgresConfig { namespace: "lcs".into(), ..config };
    Postgres::connect(config).await.unwrap().run_pending().await.unwrap();
    let id = "00000000-0000-7000-8000-000000000001";
    database
        .execute(&format!(
            "INSERT INTO lcs.conversation_tombstones VALUES ('{id}', '\\x00', 'erased', now())"
        ))
        .await;
    let insert = format!(
        "INSERT INTO lcs.conversations (conversation_id, user_id, agent_id, model_id) VALUES ('{id}', '{id}', '{id}', 'm')"
    );
    for session in [
        "SET search_path = lcs",
        "SET search_path = public",
        "SET search_path = lcs; CREATE TEMP TABLE conversation_tombstones (conversation_id uuid)",
    ] {
        let client = database.client().await;
        client.batch_execute(session).await.unwrap();
        let refused = client.batch_execute(&insert).await.expect_err(session);
        let refused = refused.as_db_error().unwrap();
        assert_eq!(refused.constraint(), Some("conversation_tombstones_pkey"), "{session}: {refused}");
    }
    // The function names its schema; another may stand under that name by now.
    database.execute("ALTER SCHEMA lcs RENAME TO moved").await;
    let refused = database.client().await.batch_execute(&insert.replace("lcs.", "moved.")).await.unwrap_err();
    let refused = refused.as_db_error().unwrap();
    assert_eq!(refused.constraint(), Some("conversation_tombstones_pkey"), "{refused}");
}

#[tokio::test]
async fn p6_the_state_of_a_deleted_conversation_is_hidden_by_whoever_deletes_it() {
    let database = TestPostgres::migrated().await;
    database.execute("ALTER SCHEMA public RENAME TO lcs; CREATE SCHEMA public").await;
    for session in [
        "SET search_path = lcs",
        "SET search_path = public",
        "SET search_path = lcs; CREATE TEMP TABLE agent_states (conversation_id uuid, user_id uuid, is_deleted boolean)",
    ] {
        let client = database.client().await;
        let id = UserId::generate();
        let begun = format!(
            "INSERT INTO lcs.conversations (conversation_id, user_id, agent_id, model_id)
                 VALUES ('{id}', '{id}', '{id}', 'm');
             INSERT INTO lcs.agent_states (agent_id, conversation_id, user_id, agent_config, revision, through_turn)
                 VALUES ('{id}', '{id}', '{id}', '{{}}', 1, 0);
             UPDATE lcs.conversations SET status = 'archived', turn_count = 1 WHERE conversation_id = '{id}'"
        );
        client.batch_execute(&begun).await.unwrap();
        let is_hidden = format!("SELECT is_deleted::text FROM lcs.agent_states WHERE agent_id = '{id}'");
        assert_eq!(rows(&database, &is_hidden).await, ["false"], "{session}");
        client.batch_execute(session).await.unwrap();
        let delete =
            format!("UPDATE lcs.conversations SET status = 'deleted' WHERE conversation_id = '{id}'");
        client.batch_execute(&delete).await.unwrap();
        assert_eq!(rows(&database, &is_hidden).await, ["true"], "{session}");
    }
}

#[tokio::test]
async fn documents_are_compressed_fast_and_a_turn_stays_in_its_row() {
    let database = TestPostgres::migrated().await;
    // Through JSON, because PostgreSQL 13 has no such column.
    let compressed = rows(
        &database,
        "SELECT a.attrelid::regclass, a.attname FROM pg_attribute a
         WHERE a.attrelid IN ('agent_states'::regclass, 'conversation_turns'::regclass)
           AND to_jsonb(a) ->> 'attcompression' = 'l' ORDER BY a.attrelid::regclass::text, a.attnum",
    )
    .await;
    let has_lz4 = rows(
        &database,
        "SELECT 1 FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)",
    )
    .await;
    let documents = [
        "agent_states | agent_config",
        "agent_states | current_state",
        "conversation_turns | input_messages",
        "conversation_turns | output_message",
        "conversation_turns | metadata",
    ];
    assert_eq!(compressed, if has_lz4.is_empty() { Vec::new() } else { documents.to_vec() });
    let options =
        rows(&database, "SELECT reloptions FROM pg_class WHERE oid = 'conversation_turns'::regclass").await;
    assert_eq!(options, ["{toast_tuple_target=2712}"]);
}
