//! Appends that share a statement: what is shared, and that each keeps its own outcome.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use lcs_domain::conversation::OpenStatus;
use lcs_domain::{
    AppendTurn, Appended, Conversation, ConversationRepository, ConversationUpdate, NewConversation,
    PageLimit, Repositories, RepositoryError, Text, TurnRange, TurnRepository, UserId,
};
use lcs_storage::migration::Migrations as _;
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::{PrivateCluster, Role, TestPostgres};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::resilience::until;
use crate::support::{append, begin, config, saying, saying_with_state, single};

async fn begin_all(store: &Postgres, count: usize) -> Vec<Conversation> {
    join_all((0..count).map(|_| begin(store))).await
}

/// Statements of each name that the store has run, from the server's log since it was `begun` bytes long.
fn executed(cluster: &PrivateCluster, begun: usize) -> usize {
    cluster.log().split_off(begun).lines().filter(|line| line.contains(" ms  execute ")).count()
}

#[tokio::test]
async fn forty_appends_at_once_are_a_few_statements_and_without_coalescing_forty() {
    let cluster = PrivateCluster::start(&["log_min_duration_statement = 0"]);
    let database = cluster.database().await;
    let store = single(database.url()).await;
    let conversations = begin_all(&store, 40).await;
    for (coalesce_appends, number, statements) in [(true, 1, 2..=5), (false, 2, 40..=40)] {
        let config =
            PostgresConfig { coalesce_appends, pool_size: 1, max_overflow: 0, ..config(database.url()) };
        let store = Postgres::connect(config).await.unwrap();
        // What a new connection says first is not counted.
        store.ping().await.unwrap();
        let begun = cluster.log().len();
        let appends = conversations.iter().map(|one| append(&store, one, saying(one, "x")));
        for appended in join_all(appends).await {
            assert_eq!(appended.unwrap().turn_number, Some(number));
        }
        let executed = executed(&cluster, begun);
        assert!(statements.contains(&executed), "{executed} statements, coalescing {coalesce_appends}");
    }
}

/// How many sessions of this database wait for a lock: the server has others.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

const IDLE: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND state LIKE 'idle in transaction%'";

/// Holds an append up, so that what comes meanwhile goes together: its conversation's row is locked.
async fn held_up(store: &Postgres, database: &TestPostgres) -> (tokio_postgres::Client, Conversation) {
    let held = begin(store).await;
    let other = database.client().await;
    let lock = format!(
        "BEGIN; SELECT FROM conversations WHERE conversation_id = '{}' FOR UPDATE",
        held.conversation_id
    );
    other.batch_execute(&lock).await.unwrap();
    (other, held)
}

#[tokio::test]
async fn each_of_a_batch_keeps_its_own_outcome() {
    let database = TestPostgres::create().await;
    single(database.url()).await;
    let store = Postgres::connect(config(database.url())).await.unwrap();
    let all = begin_all(&store, 12).await;
    let [
        fresh,
        stale,
        replayed,
        mismatched,
        absent,
        foreign,
        archived,
        with_state,
        lost,
        elsewhere,
        taken,
        keeps,
    ] = all.as_slice()
    else {
        panic!("twelve")
    };
    let first = saying(replayed, "first");
    append(&store, replayed, first.clone()).await.unwrap();
    let original = saying(mismatched, "original");
    append(&store, mismatched, original.clone()).await.unwrap();
    let in_taken = saying(taken, "in another conversation");
    append(&store, taken, in_taken.clone()).await.unwrap();
    append(&store, lost, saying_with_state(lost, "one", 0)).await.unwrap();
    let mut configured = saying_with_state(keeps, "one", 0);
    configured.agent_state.as_mut().unwrap().agent_config =
        Some(lcs_domain::Payload::parse(r#"{"tools":["a"]}"#).unwrap());
    append(&store, keeps, configured).await.unwrap();
    let archive = ConversationUpdate { status: Some(OpenStatus::Archived), ..ConversationUpdate::default() };
    ConversationRepository::update(&store, archived.user_id, archived.conversation_id, archive)
        .await
        .unwrap();
    assert!(ConversationRepository::delete(&store, absent.user_id, absent.conversation_id).await.unwrap());

    let (lock, held) = held_up(&store, &database).await;
    let as_user = |conversation: &Conversation, user: UserId, command: AppendTurn| {
        let (store, _) = (store.clone(), conversation.clone());
        async move { TurnRepository::append(&store, user, command).await }
    };
    let other_content = AppendTurn { turn: saying_of(&original, "other").turn, ..original.clone() };
    let in_elsewhere = AppendTurn { conversation_id: elsewhere.conversation_id, ..in_taken };
    let waiting = tokio::spawn({
        let (store, held) = (store.clone(), held.clone());
        async move { append(&store, &held, saying(&held, "held")).await }
    });
    until(&database, WAITING, "1").await;
    let commands: Vec<(&Conversation, UserId, AppendTurn)> = vec![
        (fresh, fresh.user_id, saying(fresh, "x")),
        (stale, stale.user_id, AppendTurn { expected_turn_count: Some(7), ..saying(stale, "x") }),
        (replayed, replayed.user_id, first),
        (mismatched, mismatched.user_id, other_content),
        (absent, absent.user_id, saying(absent, "x")),
        (foreign, UserId::generate(), saying(foreign, "x")),
        (archived, archived.user_id, saying(archived, "x")),
        (with_state, with_state.user_id, saying_with_state(with_state, "x", 0)),
        (lost, lost.user_id, saying_with_state(lost, "two", 0)),
        (elsewhere, elsewhere.user_id, in_elsewhere),
        (keeps, keeps.user_id, saying_with_state(keeps, "two", 1)),
    ];
    let outcomes =
        join_all(commands.into_iter().map(|(one, user, command)| as_user(one, user, command))).await;
    let told: Vec<String> = outcomes.iter().map(told).collect();
    assert_eq!(
        told,
        [
            "1, revision 0",
            "the conversation has changed: expected 7, found 0",
            "1, revision 0, again",
            "mismatch",
            "conversation not found",
            "conversation not found",
            "the conversation is archived: make it active again to change it",
            "1, revision 1",
            "the agent state has changed: expected 0, found 1",
            "mismatch",
            "2, revision 2",
        ]
    );
    assert!(!waiting.is_finished(), "the lock holds up its own conversation alone");
    lock.batch_execute("COMMIT").await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().turn_number, Some(1));
    let kept = format!("SELECT agent_config::text FROM agent_states WHERE agent_id = '{}'", keeps.agent_id);
    assert_eq!(database.value(&kept).await.as_deref(), Some(r#"{"tools": ["a"]}"#));
    for (one, turns) in [(stale, 0), (mismatched, 1), (archived, 0), (lost, 1), (elsewhere, 0), (taken, 1)] {
        let page = store.page(one.user_id, one.conversation_id, TurnRange::Newest, PageLimit::MAX).await;
        assert_eq!(page.unwrap().unwrap().turn_count, turns);
    }
}

/// The same turn with another content.
fn saying_of(original: &AppendTurn, text: &str) -> AppendTurn {
    let turn = &original.turn;
    let said = lcs_domain::Payload::from_serialize(text).unwrap();
    let turn = lcs_domain::NewTurn::new(
        turn.turn_id(),
        said,
        None,
        turn.started_at(),
        turn.completed_at(),
        turn.metadata().clone(),
    );
    AppendTurn { turn: turn.unwrap(), ..original.clone() }
}

fn told(outcome: &Result<Appended, RepositoryError>) -> String {
    match outcome {
        Ok(appended) => {
            let again = if appended.replayed { ", again" } else { "" };
            format!("{}, revision {}{again}", appended.turn_number.unwrap(), appended.state_revision)
        }
        Err(RepositoryError::IdempotencyMismatch { .. }) => "mismatch".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn p1_p2_two_replicas_whose_batches_cross_neither_deadlock_nor_lose() {
    const ROUNDS: usize = 20;
    let database = TestPostgres::create().await;
    single(database.url()).await;
    let connect = async || Postgres::connect(config(database.url())).await.unwrap();
    let stores = [connect().await, connect().await];
    let conversations = Arc::new(begin_all(&stores[0], 24).await);
    let writers = stores.iter().enumerate().map(|(replica, store)| {
        let (store, conversations) = (store.clone(), Arc::clone(&conversations));
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            for _ in 0..ROUNDS {
                let order: Vec<_> = match replica {
                    0 => conversations.iter().collect(),
                    _ => conversations.iter().rev().collect(),
                };
                let appends = order.into_iter().map(|one| {
                    let store = store.clone();
                    async move { (one.conversation_id, append(&store, one, saying(one, "x")).await) }
                });
                numbers.extend(join_all(appends).await);
            }
            numbers
        })
    });
    let mut given: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for writer in join_all(writers).await {
        for (id, appended) in writer.unwrap() {
            given.entry(id).or_default().push(appended.unwrap().turn_number.unwrap());
        }
    }
    for numbers in given.values_mut() {
        numbers.sort_unstable();
        assert_eq!(*numbers, (1..=2 * u32::try_from(ROUNDS).unwrap()).collect::<Vec<_>>());
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(database.value(deadlocks).await.as_deref(), Some("0"));
}

#[tokio::test]
async fn p9_under_row_level_security_a_batch_is_of_one_user() {
    let database = TestPostgres::secured().await;
    let config = PostgresConfig {
        row_level_security: true,
        pool_size: 1,
        max_overflow: 0,
        ..config(&database.url_of(Role::Application))
    };
    let store = Postgres::connect(config).await.unwrap();
    let conversations = begin_all(&store, 12).await;
    let appends = conversations.iter().flat_map(|one| [(one, "x"), (one, "y")]);
    let appends = appends.map(|(one, text)| append(&store, one, saying(one, text)));
    let mut numbers: Vec<_> =
        join_all(appends).await.into_iter().map(|appended| appended.unwrap().turn_number.unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [[1; 12], [2; 12]].concat());
}

#[tokio::test]
async fn p1_a_batch_whose_callers_gave_up_is_stored_all_the_same() {
    let database = TestPostgres::create().await;
    single(database.url()).await;
    let store = Postgres::connect(config(database.url())).await.unwrap();
    let conversations = begin_all(&store, 20).await;
    let (lock, held) = held_up(&store, &database).await;
    let mut callers = Vec::new();
    for one in std::iter::once(&held).chain(&conversations) {
        let (store, one) = (store.clone(), one.clone());
        callers.push(tokio::spawn(async move { append(&store, &one, saying(&one, "x")).await.map(drop) }));
    }
    until(&database, WAITING, "1").await;
    for caller in callers {
        caller.abort();
    }
    lock.batch_execute("COMMIT").await.unwrap();
    // Each that had begun to wait is done; one that had not is not: none of them in part.
    until(&database, IDLE, "0").await;
    for one in &conversations {
        let again = append(&store, one, saying(one, "y")).await.unwrap().turn_number.unwrap();
        let page = store.page(one.user_id, one.conversation_id, TurnRange::Newest, PageLimit::MAX).await;
        let page = page.unwrap().unwrap();
        assert_eq!((page.turn_count, page.turns.len()), (again, usize::try_from(again).unwrap()));
    }
}

#[tokio::test]
async fn an_append_that_its_caller_began_and_forgot_holds_up_nobody() {
    let database = TestPostgres::create().await;
    let store = single(database.url()).await;
    let conversation = begin(&store).await;
    let mut forgotten = pin!(append(&store, &conversation, saying(&conversation, "forgotten")));
    // It is sent by this, and then its caller has other things to do.
    assert!(forgotten.as_mut().now_or_never().is_none());
    let next = append(&store, &conversation, saying(&conversation, "next")).await.unwrap();
    assert_eq!(next.turn_number, Some(2));
    assert_eq!(forgotten.await.unwrap().turn_number, Some(1));
}

#[tokio::test]
async fn an_error_of_one_is_not_shared() {
    let database = TestPostgres::create().await;
    single(database.url()).await;
    database
        .execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN IF NEW.input_messages = '\"poison\"' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON conversation_turns FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    let store = Postgres::connect(config(database.url())).await.unwrap();
    let conversations = begin_all(&store, 20).await;
    let appends = conversations.iter().enumerate().map(|(index, one)| {
        let text = if index == 11 { "poison" } else { "x" };
        append(&store, one, saying(one, text))
    });
    for (index, appended) in join_all(appends).await.into_iter().enumerate() {
        match appended {
            Ok(appended) => assert_eq!((index == 11, appended.turn_number), (false, Some(1))),
            Err(error) => assert!(index == 11 && matches!(error, RepositoryError::Backend { .. }), "{error}"),
        }
    }
}

fn beginning() -> NewConversation {
    NewConversation::begin(Text::name("model", "/model_id").unwrap())
}

#[tokio::test]
async fn forty_conversations_begun_at_once_are_a_few_statements_and_without_coalescing_forty() {
    let cluster = PrivateCluster::start(&["log_min_duration_statement = 0"]);
    let database = cluster.database().await;
    single(database.url()).await;
    for (coalesce_appends, statements) in [(true, 2..=8), (false, 40..=40)] {
        let config =
            PostgresConfig { coalesce_appends, pool_size: 1, max_overflow: 0, ..config(database.url()) };
        let store = Postgres::connect(config).await.unwrap();
        store.ping().await.unwrap();
        let begun = cluster.log().len();
        let user = UserId::generate();
        let made = join_all((0..40).map(|_| store.create(user, beginning()))).await;
        let executed = executed(&cluster, begun);
        assert!(statements.contains(&executed), "{executed} statements, coalescing {coalesce_appends}");
        for made in made {
            let made = made.unwrap();
            assert_eq!((made.user_id, made.turn_count), (user, 0));
        }
    }
}

#[tokio::test]
async fn each_of_the_conversations_begun_at_once_keeps_its_own_outcome() {
    let database = TestPostgres::create().await;
    single(database.url()).await;
    let store = Postgres::connect(config(database.url())).await.unwrap();
    let user = UserId::generate();
    let external_id = Some(Text::name("thread-1", "/external_id").unwrap());
    let before = NewConversation { external_id: external_id.clone(), ..beginning() };
    let made = store.create(user, before.clone()).await.unwrap();
    let purged = beginning();
    database
        .execute(&format!(
            "INSERT INTO conversation_tombstones VALUES ('{}', '\\x00', 'deleted', now())",
            purged.conversation_id
        ))
        .await;
    // With one that is refused for all, and without it.
    for with_purged in [false, true] {
        // The first to come is held up by somebody who is about to take its id, and then does not.
        let (held, other) = (beginning(), database.client().await);
        let take = format!(
            "BEGIN; INSERT INTO conversations (conversation_id, user_id, agent_id, model_id)
             VALUES ('{}', gen_random_uuid(), gen_random_uuid(), 'm')",
            held.conversation_id
        );
        other.batch_execute(&take).await.unwrap();
        let waiting = tokio::spawn({
            let (store, held) = (store.clone(), held.clone());
            async move { store.create(user, held).await }
        });
        until(&database, WAITING, "1").await;
        let mut commands = vec![
            (user, beginning()),
            (user, before.clone()),
            (UserId::generate(), before.clone()),
            (user, NewConversation { external_id: external_id.clone(), ..beginning() }),
            (UserId::generate(), beginning()),
        ];
        if with_purged {
            commands.push((user, purged.clone()));
        }
        let count = commands.len();
        let outcomes = join_all(commands.iter().map(|(user, new)| store.create(*user, new.clone()))).await;
        let told: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
        assert_eq!(told, [true, true, false, false, true, false][..count], "{outcomes:?}");
        for ((user, new), outcome) in commands.iter().zip(outcomes) {
            match outcome {
                Ok(begun) => assert!(new.made(*user, &begun)),
                Err(error) => assert!(matches!(error, RepositoryError::AlreadyExists { .. }), "{error:?}"),
            }
        }
        other.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap().conversation_id, held.conversation_id);
    }
    assert_eq!(store.create(user, before).await.unwrap().created_at, made.created_at);
}

#[test]
fn a_store_goes_on_where_another_runtime_that_used_it_has_ended() {
    let (first, second) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let (database, store, (lock, held)) = second.block_on(async {
        let database = TestPostgres::create().await;
        let store = Postgres::connect(config(database.url())).await.unwrap();
        store.run_pending().await.unwrap();
        let held_up = held_up(&store, &database).await;
        (database, store, held_up)
    });
    let (its_store, its_held) = (store.clone(), held.clone());
    first.spawn(async move { append(&its_store, &its_held, saying(&its_held, "x")).await.map(drop) });
    second.block_on(until(&database, WAITING, "1"));
    first.shutdown_background();
    second.block_on(async {
        lock.batch_execute("COMMIT").await.unwrap();
        until(&database, IDLE, "0").await;
        let again = append(&store, &held, saying(&held, "y"));
        timeout(Duration::from_mins(1), again).await.expect("its conversation is not busy for ever").unwrap();
    });
}
