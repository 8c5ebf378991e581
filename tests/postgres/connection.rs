//! Why there is no connection: one sentence, at once where waiting is of no use, and never a secret.

use std::time::Duration;

use lcs_domain::{Repositories, RepositoryError};
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::{PrivateCluster, PrivateOptions, TestPostgres};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::config;

/// What a ping says on a store with this configuration.
async fn refusal(config: PostgresConfig) -> RepositoryError {
    Postgres::connect(config).await.unwrap().ping().await.unwrap_err()
}

/// That this configuration is refused as unavailable with this sentence, long before any timeout.
async fn assert_told_at_once(config: PostgresConfig, reason: &str) {
    let config = PostgresConfig {
        pool_timeout: Duration::from_hours(1),
        operation_timeout: Duration::from_hours(1),
        ..config
    };
    let error = tokio::time::timeout(Duration::from_mins(1), refusal(config)).await.expect("told at once");
    assert!(matches!(error, RepositoryError::Unavailable { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("the database is unavailable: {reason}"));
}

#[tokio::test]
async fn a_wrong_password_an_unknown_user_and_an_unknown_database_are_told_at_once() {
    let database = TestPostgres::create().await;
    let right = config(database.url());
    let at = format!("{}:{}", right.host, right.port);
    let user = &right.user;
    let wrong = PostgresConfig { password: Some("hunter2".to_owned().into()), ..right.clone() };
    let reason = format!(
        "password authentication failed for user {user:?} at {at}: correct the user name or the password"
    );
    assert_told_at_once(wrong, &reason).await;
    let nobody = PostgresConfig { user: "nobody-here".into(), ..right.clone() };
    assert_told_at_once(nobody, &reason.replace(user.as_str(), "nobody-here")).await;
    let missing = PostgresConfig { password: None, ..right.clone() };
    let reason = format!("the server at {at} asks for a password and none is configured");
    assert_told_at_once(missing, &reason).await;
    let elsewhere = PostgresConfig { database: "nowhere".into(), ..right };
    let reason = format!("there is no database \"nowhere\" at {at}: create it, or correct its name");
    assert_told_at_once(elsewhere, &reason).await;
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told_when_patience_ends() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let here = PostgresConfig {
        host: "127.0.0.1".into(),
        port,
        operation_timeout: Duration::from_millis(300),
        ..PostgresConfig::default()
    };
    let error = refusal(here.clone()).await.to_string();
    assert_eq!(
        error,
        format!(
            "the database is unavailable: nothing listens at 127.0.0.1:{port}: start PostgreSQL there, or \
             correct host and port"
        )
    );
    let unknown = PostgresConfig { host: "no-such-host.invalid".into(), ..here.clone() };
    let error =
        refusal(PostgresConfig { connect_timeout: Duration::from_mins(1), ..unknown }).await.to_string();
    assert!(error.contains("the host name \"no-such-host.invalid\" is not known"), "{error}");
    let socket = PostgresConfig { host: "/nowhere".into(), ..here };
    let error = refusal(socket).await.to_string();
    assert!(error.contains(&format!("there is no socket for port {port} in /nowhere")), "{error}");
}

#[tokio::test]
async fn a_connect_that_is_never_answered_does_not_wedge_the_pool() {
    let database = TestPostgres::create().await;
    let right = config(database.url());
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = PostgresConfig {
        host: "127.0.0.1".into(),
        port: proxy.local_addr().unwrap().port(),
        connect_timeout: Duration::from_millis(200),
        operation_timeout: Duration::from_millis(300),
        pool_size: 1,
        max_overflow: 0,
        ..right.clone()
    };
    let store = Postgres::connect(through).await.unwrap();
    // The first connects are accepted and never answered; from then on the proxy does its work.
    let (healed, heals) = tokio::sync::oneshot::channel();
    let proxied = async {
        let mut swallowed = Vec::new();
        let mut heals = std::pin::pin!(heals);
        loop {
            tokio::select! {
                _ = &mut heals => break,
                accepted = proxy.accept() => swallowed.push(accepted.unwrap()),
            }
        }
        loop {
            let (mut client, _) = proxy.accept().await.unwrap();
            let address = (right.host.clone(), right.port);
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(address).await.unwrap();
                let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    };
    let pinged = async {
        for _ in 0..2 {
            let error = store.ping().await.unwrap_err().to_string();
            assert!(error.contains("did not answer within 200ms"), "{error}");
        }
        healed.send(()).unwrap();
        // One attempt may still be out.
        if store.ping().await.is_err() {
            store.ping().await.unwrap();
        }
    };
    tokio::select! { () = pinged => {}, never = proxied => never }
}

#[tokio::test]
async fn a_server_that_closes_at_once_is_told() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = PostgresConfig {
        host: "127.0.0.1".into(),
        port: server.local_addr().unwrap().port(),
        operation_timeout: Duration::from_millis(300),
        ..PostgresConfig::default()
    };
    let closing = async {
        loop {
            let (mut client, _) = server.accept().await.unwrap();
            let _read = client.read(&mut [0; 8]).await;
        }
    };
    tokio::select! {
        error = refusal(config) => {
            assert!(error.to_string().contains("closed the connection while it was made"), "{error}");
        }
        never = closing => never,
    }
}

#[tokio::test]
async fn something_else_that_answers_there_is_told() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let answering = async {
        loop {
            let (mut client, _) = server.accept().await.unwrap();
            let _read = client.read(&mut [0; 8]).await;
            let _written = client.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
        }
    };
    let config = PostgresConfig {
        host: "127.0.0.1".into(),
        port,
        operation_timeout: Duration::from_millis(300),
        ..PostgresConfig::default()
    };
    tokio::select! {
        error = refusal(config) => assert!(
            error.to_string().contains(&format!("what listens at 127.0.0.1:{port} does not speak PostgreSQL's protocol")),
            "{error}"
        ),
        never = answering => never,
    }
}

#[tokio::test]
async fn a_pool_with_all_connections_in_use_is_overloaded_and_not_unavailable() {
    let database = TestPostgres::create().await;
    let config = PostgresConfig {
        pool_size: 1,
        max_overflow: 0,
        pool_timeout: Duration::from_millis(100),
        ..config(database.url())
    };
    let store = Postgres::connect(config).await.unwrap();
    store.ping().await.unwrap();
    // The only connection waits for a lock that another session holds.
    lcs_storage::migration::Migrations::run_pending(&store).await.unwrap();
    let conversation = crate::support::begin(&store).await;
    let other = database.client().await;
    other.batch_execute("BEGIN; LOCK conversations IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let waiting = tokio::spawn({
        let (store, conversation) = (store.clone(), conversation.clone());
        async move {
            let command = crate::support::saying(&conversation, "x");
            crate::support::append(&store, &conversation, command).await
        }
    });
    crate::resilience::until(&database, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1").await;
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, RepositoryError::Overloaded { .. }), "{error:?}");
    assert!(error.to_string().contains("all 1 connections were in use"), "{error}");
    other.batch_execute("COMMIT").await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_without_a_free_place_is_overloaded() {
    let cluster = PrivateCluster::start_with(PrivateOptions::default());
    let database = cluster.database().await;
    database.execute("CREATE ROLE narrow LOGIN PASSWORD 'narrow' CONNECTION LIMIT 0").await;
    let narrow = PostgresConfig {
        user: "narrow".into(),
        password: Some("narrow".to_owned().into()),
        operation_timeout: Duration::from_millis(300),
        ..config(database.url())
    };
    let error = refusal(narrow).await;
    assert!(matches!(error, RepositoryError::Overloaded { .. }), "{error:?}");
}

#[tokio::test]
async fn a_pool_that_cannot_grow_serves_those_who_wait_with_what_it_has() {
    let cluster = PrivateCluster::start_with(PrivateOptions::default());
    let database = cluster.database().await;
    crate::support::single(database.url()).await;
    database
        .execute(
            "CREATE ROLE narrow LOGIN PASSWORD 'narrow' CONNECTION LIMIT 2;
             GRANT ALL ON ALL TABLES IN SCHEMA public TO narrow",
        )
        .await;
    let narrow = PostgresConfig {
        user: "narrow".into(),
        password: Some("narrow".to_owned().into()),
        // One more than are made: two may be trying at once.
        pool_size: 4,
        max_overflow: 0,
        lock_timeout: Duration::from_mins(1),
        statement_timeout: Duration::from_mins(1),
        pool_timeout: Duration::from_mins(1),
        operation_timeout: Duration::from_millis(300),
        ..config(database.url())
    };
    let store = Postgres::connect(narrow).await.unwrap();
    let other = database.client().await;
    other.batch_execute("BEGIN; LOCK conversations IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let begin = || {
        let store = store.clone();
        tokio::spawn(async move { crate::support::begin(&store).await })
    };
    let (first, second) = (begin(), begin());
    crate::resilience::until(&database, "SELECT count(*) FROM pg_locks WHERE NOT granted", "2").await;
    // Each of them has the pool try to grow: when the second is refused, the first has heard of its own.
    let mut waiting = Vec::new();
    for refusals in 1..=2 {
        let store = store.clone();
        waiting.push(tokio::spawn(async move { store.ping().await }));
        let refused = async {
            while cluster.log().matches("too many connections for role \"narrow\"").count() < refusals {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), refused).await.expect("the server refuses");
    }
    other.batch_execute("COMMIT").await.unwrap();
    for waiter in waiting {
        waiter.await.unwrap().unwrap();
    }
    first.await.unwrap();
    second.await.unwrap();
}
