//! Connections that die, servers that restart, callers that give up: what a caller sees of it, and what
//! is left behind.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use lcs_domain::{
    ConversationId, ConversationRepository, PageLimit, Repositories, TurnRange, TurnRepository,
};
use lcs_storage::migration::Migrations;
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::{PrivateCluster, Shutdown, TestPostgres};

use crate::support::{append, begin, config, saying, saying_with_state, single, store};

/// Waits until `sql` gives `value`.
pub(crate) async fn until(database: &TestPostgres, sql: &str, value: &str) {
    let seen = async { while database.value(sql).await.as_deref() != Some(value) {} };
    tokio::time::timeout(Duration::from_mins(1), seen).await.expect(sql);
}

const SESSIONS: &str = "FROM pg_stat_activity WHERE datname = current_database() AND \
    application_name = 'lcs-persistence'";

#[tokio::test]
async fn connections_that_die_between_calls_are_not_seen() {
    let database = TestPostgres::create().await;
    let store = store(database.url()).await;
    store.run_pending().await.unwrap();
    let conversation = begin(&store).await;
    for round in 1..=20 {
        // Several connections, all of them dead for the next calls.
        let pings = join_all((0..4).map(|_| store.ping())).await;
        assert!(pings.into_iter().all(|ping| ping.is_ok()));
        database.execute(&format!("SELECT pg_terminate_backend(pid) {SESSIONS}")).await;
        let appended = append(&store, &conversation, saying(&conversation, "x")).await.unwrap();
        assert_eq!(appended.turn_number, Some(round));
        database.execute(&format!("SELECT pg_terminate_backend(pid) {SESSIONS}")).await;
        let head = store.head(conversation.user_id, conversation.conversation_id).await.unwrap().unwrap();
        assert_eq!(head.turn_count, round);
    }
}

#[tokio::test]
async fn a_restart_of_the_server_is_waited_for() {
    let cluster = PrivateCluster::start(&[]);
    let database = cluster.database().await;
    let config = PostgresConfig {
        operation_timeout: Duration::from_mins(1),
        pool_timeout: Duration::from_mins(1),
        ..config(database.url())
    };
    let store = Postgres::connect(config).await.unwrap();
    store.run_pending().await.unwrap();
    let conversation = begin(&store).await;
    let pings = join_all((0..8).map(|_| store.ping())).await;
    assert!(pings.into_iter().all(|ping| ping.is_ok()));
    for (round, how) in (1..).zip([Shutdown::Immediate, Shutdown::Fast]) {
        cluster.stop(how);
        let appends: Vec<_> = (0..8)
            .map(|_| {
                let (store, conversation) = (store.clone(), conversation.clone());
                tokio::spawn(async move {
                    let command = saying(&conversation, "x");
                    append(&store, &conversation, command).await
                })
            })
            .collect();
        cluster.restart();
        for appended in appends {
            appended.await.unwrap().unwrap();
        }
        let head = store.head(conversation.user_id, conversation.conversation_id).await.unwrap().unwrap();
        assert_eq!(head.turn_count, 8 * round);
    }
}

#[tokio::test]
async fn p1_an_append_whose_caller_gave_up_is_stored_once_and_leaves_nothing_open() {
    let database = TestPostgres::create().await;
    let store = single(database.url()).await;
    let conversation = begin(&store).await;
    let other = database.client().await;
    for number in 1..=5 {
        other
            .batch_execute(
                "BEGIN; LOCK conversations IN ROW EXCLUSIVE MODE; SELECT * FROM conversations FOR UPDATE",
            )
            .await
            .unwrap();
        let command = saying_with_state(&conversation, "x", u64::from(number) - 1);
        let mut given_up = Box::pin(append(&store, &conversation, command.clone()));
        // Polled until the statement waits at the server, then dropped.
        let waiting = until(&database, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
        tokio::select! {
            biased;
            outcome = &mut given_up => panic!("it should wait for the lock: {outcome:?}"),
            () = waiting => {}
        }
        drop(given_up);
        other.batch_execute("COMMIT").await.unwrap();
        let again = append(&store, &conversation, command).await.unwrap();
        assert_eq!((again.turn_number, again.replayed), (Some(number), true));
        let open = format!("SELECT count(*) {SESSIONS} AND state LIKE 'idle in transaction%'");
        assert_eq!(database.value(&open).await.as_deref(), Some("0"));
    }
}

#[tokio::test]
async fn a_read_whose_caller_gave_up_does_not_hold_up_the_next_one() {
    let database = TestPostgres::create().await;
    let store = single(database.url()).await;
    let conversation = begin(&store).await;
    let other = database.client().await;
    other.batch_execute("BEGIN; LOCK conversation_turns IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut given_up = Box::pin(store.page(
        conversation.user_id,
        conversation.conversation_id,
        TurnRange::Newest,
        PageLimit::default(),
    ));
    let waiting = until(&database, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
    tokio::select! {
        biased;
        outcome = &mut given_up => panic!("it should wait for the lock: {outcome:?}"),
        () = waiting => {}
    }
    drop(given_up);
    // The pool has one connection: this would wait behind the page, which waits for the lock.
    let head = store.head(conversation.user_id, conversation.conversation_id).await;
    assert!(head.unwrap().is_some());
    other.batch_execute("COMMIT").await.unwrap();
}

/// A caller that goes away at any time, in the middle of any write.
///
/// `LCS_CANCELS` says how often (2,000), `LCS_SEED` which times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_callers_that_go_away_leave_nothing_open_and_every_write_once_or_not_at_all() {
    const AT_ONCE: usize = 16;
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
    };
    let cancels = usize::try_from(number("LCS_CANCELS", 2_000)).unwrap();
    let seed = number("LCS_SEED", 20_261_122);
    println!("LCS_CANCELS={cancels} LCS_SEED={seed}");
    let mut random = seed;
    // Numerical Recipes' generator: a schedule that the seed alone decides.
    let mut micros = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % 10_000
    };
    let database = TestPostgres::create().await;
    let config = PostgresConfig { pool_size: 8, max_overflow: 0, ..config(database.url()) };
    let store = Postgres::connect(config).await.unwrap();
    store.run_pending().await.unwrap();
    let conversations = join_all((0..AT_ONCE).map(|_| begin(&store))).await;
    let mut commands = vec![Vec::new(); AT_ONCE];
    let mut answered = 0;
    for round in 0..cancels.div_ceil(AT_ONCE) {
        let calls = conversations.iter().zip(&mut commands).map(|(conversation, commands)| {
            let command = saying(conversation, "x");
            commands.push(command.clone());
            let (store, patience) = (store.clone(), Duration::from_micros(micros()));
            async move {
                let call = async {
                    match round % 8 {
                        // The others are here for what they leave behind.
                        6 => drop(store.delete(conversation.user_id, ConversationId::generate()).await),
                        7 => drop(begin(&store).await),
                        _ => drop(append(&store, conversation, command).await.unwrap()),
                    }
                };
                tokio::time::timeout(patience, call).await.is_ok()
            }
        });
        answered += join_all(calls).await.into_iter().filter(|done| *done).count();
    }
    println!("{answered} of {cancels} were answered before their callers went");
    for (conversation, commands) in conversations.iter().zip(commands) {
        let count = u32::try_from(commands.len()).unwrap();
        let again = commands.into_iter().map(|command| append(&store, conversation, command));
        let mut numbers: Vec<_> =
            join_all(again).await.into_iter().map(|done| done.unwrap().turn_number).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq((1..=count).map(Some)), "each turn once, without gaps");
    }
    let open = format!("SELECT count(*) {SESSIONS} AND state LIKE 'idle in transaction%'");
    assert_eq!(database.value(&open).await.as_deref(), Some("0"));
    // All of the pool's connections are free, and each works.
    until(&database, &format!("SELECT count(*) {SESSIONS} AND state <> 'idle'"), "0").await;
    let status = store.pool_status().unwrap();
    assert_eq!((status.in_use, status.waiting), (0, 0), "{status:?}");
    let pings = join_all((0..8).map(|_| store.ping())).await;
    assert!(pings.iter().all(Result::is_ok), "{pings:?}");
    let after = store.pool_status().unwrap();
    assert_eq!(after.connections_created, status.connections_created, "none had to be made anew: {after:?}");
}

#[tokio::test]
async fn writes_given_up_at_any_moment_leave_the_store_as_it_should_be() {
    let database = TestPostgres::create().await;
    let store = store(database.url()).await;
    store.run_pending().await.unwrap();
    let conversation = begin(&store).await;
    let mut commands = Vec::new();
    for polls in 0..200 {
        let command = saying(&conversation, "x");
        let mut call = Box::pin(append(&store, &conversation, command.clone()));
        for _ in 0..polls {
            if call.as_mut().now_or_never().is_some() {
                call = Box::pin(append(&store, &conversation, command.clone()));
            }
            tokio::task::yield_now().await;
        }
        drop(call);
        commands.push(command);
    }
    let count = u32::try_from(commands.len()).unwrap();
    let again = commands.into_iter().map(|command| append(&store, &conversation, command));
    let mut numbers: Vec<_> =
        join_all(again).await.into_iter().map(|done| done.unwrap().turn_number).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq((1..=count).map(Some)), "each turn once, without gaps");
    let open = format!("SELECT count(*) {SESSIONS} AND state LIKE 'idle in transaction%'");
    assert_eq!(database.value(&open).await.as_deref(), Some("0"));
}
