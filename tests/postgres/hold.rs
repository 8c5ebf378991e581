//! Legal holds beside a purge, with the moments held open that a race only meets by chance.

use chrono::TimeDelta;
use lcs_domain::{
    Actor, ConversationRepository, ErasureRepository, HoldRepository, HoldTarget, Keep, NewConversation,
    NewHold, NewRetentionOverride, PageLimit, Repositories, RepositoryError, RetentionOverrideRepository,
    RetentionRepository, Text, UserId,
};
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::{Role, TestPostgres};

use crate::support::{begin, config, ninety_days, store};

const AGE: &str = "UPDATE conversations SET updated_at = updated_at - interval '100 days'";
const LOCK: &str =
    "BEGIN; SELECT pg_advisory_xact_lock(hashtext('lcs-persistence hold'), hashtext('public'))";
const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";

fn on(target: HoldTarget) -> NewHold {
    NewHold::on(target, Text::name("matter 7", "/reason").unwrap(), Actor::operator("ada"))
}

/// Waits until somebody waits for an advisory lock, and gives whether that came about before `task` ended.
async fn waits<T>(database: &TestPostgres, task: &tokio::task::JoinHandle<T>) -> bool {
    while database.value(WAITING).await.as_deref() == Some("0") {
        if task.is_finished() {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_commits_while_a_purge_waits_is_seen() {
    let database = TestPostgres::migrated().await;
    let defaults = ["read committed", "repeatable read"];
    for (default, on_user) in defaults.into_iter().flat_map(|default| [(default, false), (default, true)]) {
        let name = database.database();
        database
            .execute(&format!("ALTER DATABASE {name} SET default_transaction_isolation = '{default}'"))
            .await;
        let store = store(database.url()).await;
        let conversation = begin(&store).await;
        database.execute(AGE).await;
        // What `place` does, stopped between its lock and its commit.
        let placer = database.client().await;
        placer.batch_execute(LOCK).await.unwrap();
        let purger = store.clone();
        let purge =
            tokio::spawn(async move { purger.purge_batch(ninety_days(), PageLimit::default()).await });
        assert!(waits(&database, &purge).await, "a purge waits for who places a hold");
        let (user, id) = (conversation.user_id, conversation.conversation_id);
        let conversation_id = if on_user { "NULL".to_owned() } else { format!("'{id}'") };
        placer
            .batch_execute(&format!(
                "INSERT INTO holds (hold_id, user_id, conversation_id, reason, placed_by) \
                 VALUES (gen_random_uuid(), '{user}', {conversation_id}, 'matter 7', 'operator:ada'); COMMIT"
            ))
            .await
            .unwrap();
        let report = purge.await.unwrap().unwrap();
        assert_eq!((report.purged.len(), report.busy), (0, false), "on the user: {on_user}, {default}");
        assert!(store.head(user, id).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_places_a_hold_waits_for_the_purge_and_sees_what_is_left() {
    let database = TestPostgres::migrated().await;
    let store = store(database.url()).await;
    let (gone, left) = (begin(&store).await, begin(&store).await);
    // What a purge does, stopped between its locks and its commit.
    let purger = database.client().await;
    let delete = format!("DELETE FROM conversations WHERE conversation_id = '{}'", gone.conversation_id);
    purger.batch_execute(&format!("{LOCK}; {delete}")).await.unwrap();
    for (conversation, expected) in [(&gone, false), (&left, true)] {
        let (placer, target) = (store.clone(), HoldTarget::Conversation(conversation.conversation_id));
        let place = tokio::spawn(async move { placer.place(on(target)).await });
        if !expected {
            assert!(waits(&database, &place).await, "who places a hold waits for a purge");
            purger.batch_execute("COMMIT").await.unwrap();
        }
        match place.await.unwrap() {
            Ok(_) => assert!(expected, "what is gone was held"),
            Err(RepositoryError::NotFound { .. }) => assert!(!expected, "what is left was refused"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleaner_does_not_take_a_hold_for_another_cleaner() {
    let database = TestPostgres::migrated().await;
    let store = store(database.url()).await;
    for _ in 0..5 {
        begin(&store).await;
    }
    database.execute(AGE).await;
    let placer = database.client().await;
    placer.batch_execute(LOCK).await.unwrap();
    let purger = store.clone();
    let purge = tokio::spawn(async move { purger.purge_batch(ninety_days(), PageLimit::default()).await });
    assert!(waits(&database, &purge).await);
    placer.batch_execute("COMMIT").await.unwrap();
    let report = purge.await.unwrap().unwrap();
    assert_eq!((report.busy, report.purged.len()), (false, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_late_is_as_old_as_it_was_before_it_waited_for_an_erasure() {
    let database = TestPostgres::migrated().await;
    let store = store(database.url()).await;
    for is_others in [false, true] {
        let user_id = UserId::generate();
        let whose = if is_others { UserId::generate() } else { user_id };
        let eraser = database.client().await;
        eraser.batch_execute(LOCK).await.unwrap();
        let late = store.clone();
        let begun = tokio::spawn(async move {
            // Taken just now, and so before the erasure.
            late.create_unless_erased(
                user_id,
                NewConversation::begin(Text::name("model", "/model_id").unwrap()),
                TimeDelta::zero(),
            )
            .await
        });
        assert!(waits(&database, &begun).await, "who begins what may be erased waits for an erasure");
        eraser
            .batch_execute(&format!(
                "INSERT INTO erasures (erasure_id, sequence, user_hash, content_hash) \
                 SELECT gen_random_uuid(), coalesce(max(sequence), 0) + 1, sha256(uuid_send('{whose}'::uuid)), sha256('') \
                   FROM erasures; COMMIT"
            ))
            .await
            .unwrap();
        let begun = begun.await.unwrap().unwrap();
        assert_eq!(begun.is_some(), is_others, "{begun:?}");
    }
}

#[tokio::test]
async fn the_operator_holds_and_sets_and_the_application_sees_no_more_than_it_needs() {
    let database = TestPostgres::secured().await;
    let as_role = async |role: Role| {
        let config = PostgresConfig { row_level_security: true, ..config(&database.url_of(role)) };
        Postgres::connect(config).await.unwrap()
    };
    let (application, operator) = (as_role(Role::Application).await, as_role(Role::Operator).await);
    let conversation = begin(&application).await;
    let (user_id, id) = (conversation.user_id, conversation.conversation_id);
    let hold = operator.place(on(HoldTarget::Conversation(id))).await.unwrap();
    let new = NewRetentionOverride { user_id, keep: Keep::Forever, set_by: Actor::operator("ada") };
    operator.set_override(new.clone()).await.unwrap();
    let keeping = application.retention().keeping(user_id, vec![id]).await.unwrap();
    assert_eq!((keeping.own, keeping.held), (Some(Keep::Forever), vec![id]));
    assert!(application.place(on(HoldTarget::User(user_id))).await.is_err());
    assert!(application.release(hold.hold_id, Actor::service()).await.is_err());
    assert!(application.set_override(new).await.is_err());
    assert!(
        application.list_holds(None, PageLimit::MAX).await.is_err(),
        "why it is held is not its business"
    );
    operator.remove_override(user_id, Actor::operator("ada")).await.unwrap().unwrap();
    operator.release(hold.hold_id, Actor::operator("ada")).await.unwrap().unwrap();
    assert_eq!(as_role(Role::Auditor).await.list_holds(None, PageLimit::MAX).await.unwrap(), []);
}
