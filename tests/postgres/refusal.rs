//! What a real server's refusals come to: the messages that are read in one place, as the server writes them.

use std::time::Duration;

use lcs_domain::{ConversationRepository, NewConversation, Repositories, RepositoryError, Text, UserId};
use lcs_storage::migration::Migrations;
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::{PrivateCluster, TestPostgres};

use crate::resilience::until;
use crate::support::{append, begin, config, saying, saying_with_state, single, store};

/// A store that waits only a little.
async fn impatient(database: &TestPostgres) -> Postgres {
    let config = PostgresConfig {
        statement_timeout: Duration::from_millis(200),
        lock_timeout: Duration::from_millis(50),
        ..config(database.url())
    };
    Postgres::connect(config).await.unwrap()
}

async fn create(store: &Postgres) -> Result<(), RepositoryError> {
    let new = NewConversation::begin(Text::name("model", "/model_id").unwrap());
    ConversationRepository::create(store, UserId::generate(), new).await.map(|_| ())
}

#[tokio::test]
async fn a_lock_that_is_held_for_too_long_is_overload() {
    let database = TestPostgres::create().await;
    let conversation = begin(&single(database.url()).await).await;
    let other = database.client().await;
    other.batch_execute("BEGIN; SELECT * FROM conversations FOR UPDATE").await.unwrap();
    let store = impatient(&database).await;
    let error = append(&store, &conversation, saying(&conversation, "x")).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Overloaded { reason } if reason.contains("lock")), "{error:?}");
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(append(&store, &conversation, saying(&conversation, "x")).await.unwrap().turn_number, Some(1));
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_overload() {
    let database = TestPostgres::create().await;
    single(database.url()).await;
    database
        .execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
             CREATE TRIGGER dawdle BEFORE INSERT ON conversations FOR EACH ROW EXECUTE FUNCTION dawdle()",
        )
        .await;
    let error = create(&impatient(&database).await).await.unwrap_err();
    assert!(
        matches!(&error, RepositoryError::Overloaded { reason } if reason.contains("statement timeout")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_deadlock_is_not_seen() {
    let cluster = PrivateCluster::start(&["deadlock_timeout = '2s'"]);
    let database = cluster.database().await;
    single(database.url()).await;
    let config = PostgresConfig {
        lock_timeout: Duration::from_mins(1),
        statement_timeout: Duration::from_mins(1),
        ..config(database.url())
    };
    let store = Postgres::connect(config).await.unwrap();
    let conversation = begin(&store).await;
    append(&store, &conversation, saying_with_state(&conversation, "x", 0)).await.unwrap();
    // Somebody locks the state first and the conversation then. Who waits for the deadlock timeout looks
    // for a deadlock and yields: the append, two seconds after it began to wait; the other much later.
    let other = database.client().await;
    other
        .batch_execute("SET deadlock_timeout = '60s'; BEGIN; SELECT * FROM agent_states FOR UPDATE")
        .await
        .unwrap();
    let command = saying_with_state(&conversation, "y", 1);
    let appending = append(&store, &conversation, command);
    let crossing = async {
        until(&database, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1").await;
        other.batch_execute("SELECT * FROM conversations FOR UPDATE; COMMIT").await.unwrap();
    };
    let (appended, ()) = tokio::join!(appending, crossing);
    assert_eq!(appended.unwrap().turn_number, Some(2));
    assert!(cluster.log().contains("deadlock detected"));
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_read_only() {
    let database = TestPostgres::create().await;
    single(database.url()).await;
    let name = database.database();
    database.execute(&format!("ALTER DATABASE {name:?} SET default_transaction_read_only = on")).await;
    let store = store(database.url()).await;
    store.ping().await.unwrap();
    let error = create(&store).await.unwrap_err();
    assert!(matches!(error, RepositoryError::ReadOnly { .. }), "{error:?}");
}

#[tokio::test]
async fn an_empty_database_says_to_migrate() {
    let database = TestPostgres::create().await;
    let store = store(database.url()).await;
    let error = create(&store).await.unwrap_err();
    assert!(matches!(error, RepositoryError::SchemaSkew { .. }), "{error:?}");
    assert!(error.to_string().ends_with("run `lcs-persistence migrate run`"), "{error}");
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_not_touched() {
    let database = TestPostgres::create().await;
    let store = single(database.url()).await;
    database.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231235959')").await;
    for error in [store.run_pending().await.unwrap_err(), store.revert_last().await.unwrap_err()] {
        assert!(
            matches!(&error, RepositoryError::SchemaSkew { found, .. } if found == "29991231235959"),
            "{error:?}"
        );
    }
    assert_eq!(store.status().await.unwrap().last().unwrap().name, "unknown");
}

#[tokio::test]
async fn a_role_that_may_not_write_is_told_what_to_grant() {
    let cluster = PrivateCluster::start(&[]);
    let database = cluster.database().await;
    single(database.url()).await;
    database.execute("CREATE ROLE reader LOGIN PASSWORD 'reader'").await;
    let reader = PostgresConfig {
        user: "reader".into(),
        password: Some("reader".to_owned().into()),
        ..config(database.url())
    };
    let error = create(&Postgres::connect(reader).await.unwrap()).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Denied { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("permission denied for table conversations: run this as the role"), "{said}");
    assert!(said.contains("or grant it; migrations/roles.sql"), "{said}");
}

#[tokio::test]
async fn a_role_that_may_only_read_and_write_rows_starts_where_nothing_is_to_be_migrated() {
    let cluster = PrivateCluster::start(&[]);
    let database = cluster.database().await;
    single(database.url()).await;
    database
        .execute(
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE writer LOGIN PASSWORD 'writer';
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writer",
        )
        .await;
    let writer = PostgresConfig {
        user: "writer".into(),
        password: Some("writer".to_owned().into()),
        ..config(database.url())
    };
    let store = Postgres::connect(writer).await.unwrap();
    assert_eq!(store.run_pending().await.unwrap(), Vec::<String>::new());
    create(&store).await.unwrap();
}

#[tokio::test]
async fn the_schema_of_the_configuration_is_made_and_used() {
    let database = TestPostgres::create().await;
    let config = PostgresConfig { namespace: "my \"odd\\ name".into(), ..config(database.url()) };
    let store = Postgres::connect(config).await.unwrap();
    assert!(!store.status().await.unwrap().iter().any(|migration| migration.applied));
    store.run_pending().await.unwrap();
    assert!(store.run_pending().await.unwrap().is_empty());
    begin(&store).await;
    let count = database.value(r#"SELECT count(*) FROM "my ""odd\ name".conversations"#).await;
    assert_eq!(count.as_deref(), Some("1"));
    assert!(store.revert_last().await.unwrap().is_some());
}
