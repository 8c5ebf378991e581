//! What keeps a user's conversations is behind it as well: holds, and users' own retention.

use std::num::NonZeroU32;
use std::time::Duration;

use lcs_domain::erasure::OwnedConversation;
use lcs_domain::{
    Actor, Conversation, ErasureRepository, ErasureTarget, HoldRepository, HoldTarget, Keep, NewErasure,
    NewHold, NewRetentionOverride, PageLimit, RetentionOverrideRepository, RetentionRepository, Text,
};
use lcs_storage::migration::Migrations;
use lcs_storage::postgres::Postgres;
use lcs_storage::testing::{Role, TestPostgres};

use super::{proxy, secured, store_as};
use crate::support::begin;

/// Has the operator hold all of the user's, and keep it for ever.
async fn keep(operator: &Postgres, conversation: &Conversation) {
    let (user_id, by) = (conversation.user_id, Actor::operator("ada"));
    let reason = Text::name("matter 7", "/reason").unwrap();
    operator.place(NewHold::on(HoldTarget::User(user_id), reason, by.clone())).await.unwrap();
    let own = NewRetentionOverride { user_id, keep: Keep::Forever, set_by: by };
    operator.set_override(own).await.unwrap();
}

#[tokio::test]
async fn r11_what_keeps_a_users_conversations_is_shown_for_that_user_alone() {
    let database = TestPostgres::secured().await;
    let (through, ways) = proxy::before(secured(&database.url_of(Role::Application))).await;
    let store = Postgres::connect(through).await.unwrap();
    let operator = store_as(&database, Role::Operator).await;
    let (ada, eve) = (begin(&store).await, begin(&store).await);
    for conversation in [&ada, &eve] {
        keep(&operator, conversation).await;
    }
    let of_eve = async || {
        let keeping = store.keeping(eve.user_id, vec![eve.conversation_id]).await.unwrap();
        (keeping.own, keeping.held)
    };
    assert_eq!(of_eve().await, (Some(Keep::Forever), vec![eve.conversation_id]));
    // The statement asks for Eve's, and row-level security is told that it is Ada's.
    ways.lock().unwrap().renamed = Some((eve.user_id, ada.user_id));
    assert_eq!(of_eve().await, (None, vec![]));
}

#[tokio::test]
async fn the_application_sees_of_them_its_users_own_and_writes_nobodys() {
    let database = TestPostgres::secured().await;
    let store = store_as(&database, Role::Application).await;
    let operator = store_as(&database, Role::Operator).await;
    let (ada, eve) = (begin(&store).await, begin(&store).await);
    for conversation in [&ada, &eve] {
        keep(&operator, conversation).await;
    }
    let (client, connection) =
        tokio_postgres::connect(&database.url_of(Role::Application), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let named = format!("SET lcs.user_id = '{}'", ada.user_id);
    let application = format!("{}_application", database.database());
    for table in ["holds", "retention_overrides"] {
        client.batch_execute("RESET lcs.user_id").await.unwrap();
        let seen = format!("SELECT user_id::text FROM {table}");
        assert!(client.query(&seen, &[]).await.is_err(), "{table}: no user is named, and none is shown");
        client.batch_execute(&named).await.unwrap();
        let rows = client.query(&seen, &[]).await.unwrap();
        let users: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(users, [ada.user_id.to_string()], "{table}");
        let refused = async |sql: &str| {
            let error = client.batch_execute(sql).await.unwrap_err();
            error.as_db_error().unwrap().message().to_owned()
        };
        let update = format!("UPDATE {table} SET user_id = user_id");
        for sql in [format!("DELETE FROM {table}"), update.clone()] {
            assert!(refused(&sql).await.contains("permission denied"), "{sql}");
        }
        // With more rights than it has, it could still not reach another user's.
        database.execute(&format!("GRANT INSERT, UPDATE, DELETE ON {table} TO {application}")).await;
        assert_eq!(client.execute(&update, &[]).await.unwrap(), 1, "{table}");
        let give = format!("UPDATE {table} SET user_id = '{}'", eve.conversation_id);
        assert!(refused(&give).await.contains("row-level security policy"), "{table}");
        assert_eq!(client.execute(&format!("DELETE FROM {table}"), &[]).await.unwrap(), 1, "{table}");
    }
    // And what it removed there was Ada's alone, which the operator sees.
    let left = operator.list_holds(None, PageLimit::MAX).await.unwrap();
    assert_eq!(left.iter().map(|hold| hold.user_id).collect::<Vec<_>>(), [eve.user_id]);
    let left = operator.overrides(None, PageLimit::MAX).await.unwrap();
    assert_eq!(left.iter().map(|own| own.user_id).collect::<Vec<_>>(), [eve.user_id]);
}

#[tokio::test]
async fn an_erasure_that_a_hold_has_stopped_is_none_for_each_of_several_users() {
    let database = TestPostgres::secured().await;
    let store = store_as(&database, Role::Application).await;
    let operator = store_as(&database, Role::Operator).await;
    let (ada, bob, eve) = (begin(&store).await, begin(&store).await, begin(&store).await);
    for conversation in [&ada, &bob, &eve] {
        let target = ErasureTarget::User(conversation.user_id);
        operator.begin_erasure(NewErasure::of(target, Actor::operator("ada"))).await.unwrap();
    }
    let asked = [&eve, &ada, &bob, &eve].map(|conversation| OwnedConversation {
        user_id: conversation.user_id,
        conversation_id: conversation.conversation_id,
    });
    let erased = async || {
        let erased = store.erased(asked.to_vec()).await.unwrap().conversations;
        let mut users: Vec<_> = erased.iter().map(|erased| erased.owned.user_id).collect();
        users.sort();
        users.dedup();
        users
    };
    assert_eq!(erased().await.len(), 3);
    for conversation in [&ada, &eve] {
        keep(&operator, conversation).await;
    }
    assert_eq!(erased().await, [bob.user_id], "who is held is not erased, whoever else is asked for");
}

#[tokio::test]
async fn after_the_migration_the_operator_and_the_auditor_see_them_before_the_roles_are_made_again() {
    const MIGRATION: &str = "2026-11-27-000023_holds_row_level_security";
    let database = TestPostgres::secured().await;
    let owner = store_as(&database, Role::Migrator).await;
    while owner.revert_last().await.unwrap().as_deref() != Some(MIGRATION) {}
    let (store, operator) =
        (store_as(&database, Role::Application).await, store_as(&database, Role::Operator).await);
    let error = store.check_security(false).await.unwrap_err().to_string();
    assert!(error.contains("not in force on holds, retention_overrides"), "{error}");
    owner.run_pending().await.unwrap();
    assert_eq!(owner.secure().await.unwrap(), ["holds", "retention_overrides"]);
    store.check_security(false).await.unwrap();
    let conversation = begin(&store).await;
    keep(&operator, &conversation).await;
    let keeping = store.keeping(conversation.user_id, vec![conversation.conversation_id]).await.unwrap();
    assert_eq!((keeping.own, keeping.held.len()), (Some(Keep::Forever), 1));
    let auditor = store_as(&database, Role::Auditor).await;
    for store in [&operator, &auditor] {
        assert_eq!(store.list_holds(None, PageLimit::MAX).await.unwrap().len(), 1);
        assert_eq!(store.overrides(None, PageLimit::MAX).await.unwrap().len(), 1);
    }
    assert_eq!(operator.take_turn(1, NonZeroU32::MIN).await.unwrap(), Duration::ZERO);
    // The roles' file, run ahead of the migration, makes the policy itself.
    while owner.revert_last().await.unwrap().as_deref() != Some(MIGRATION) {}
    database.execute("CREATE POLICY holds_operator ON holds USING (true)").await;
    owner.run_pending().await.unwrap();
}
