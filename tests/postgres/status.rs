//! Statuses that are none are refused wherever one is written.

use lcs_domain::UserId;
use lcs_storage::testing::TestPostgres;

use crate::support::single;

#[tokio::test]
async fn a_status_that_is_none_is_refused_where_it_is_written() {
    let database = TestPostgres::create().await;
    // Its tables.
    let _store = single(database.url()).await;
    let client = database.client().await;
    let insert = |status: &str| {
        format!(
            "INSERT INTO conversations (conversation_id, user_id, agent_id, model_id, status)
             VALUES (gen_random_uuid(), '{}', gen_random_uuid(), 'model', '{status}')",
            UserId::generate()
        )
    };
    let update = |status: &str| format!("UPDATE conversations SET turn_count = 0, status = '{status}'");
    for status in ["active", "archived", "deleted"] {
        client.batch_execute(&insert(status)).await.unwrap();
    }
    for status in ["", "Active", "gone", "active "] {
        for statement in [insert(status), update(status)] {
            let error = client.batch_execute(&statement).await.unwrap_err();
            let error = error.as_db_error().unwrap();
            assert_eq!(error.code().code(), "23514", "{statement}: {error}");
            assert_eq!(error.constraint(), Some("conversations_status_check"), "{statement}: {error}");
        }
    }
    for status in ["archived", "deleted", "active"] {
        client.batch_execute(&update(status)).await.unwrap();
    }
}
