//! What `doctor` finds in PostgreSQL.

use lcs_domain::DiagnosticRepository;
use lcs_domain::diagnostic::{Finding, Severity};
use lcs_storage::testing::TestPostgres;

use crate::support::{append, begin, saying, saying_with_state, single, store};

/// The names of the checks that found something wrong.
fn wrong(findings: &[Finding]) -> Vec<&'static str> {
    assert!(findings.iter().all(|finding| (finding.severity == Severity::Ok) == finding.remedy.is_none()));
    findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| finding.check)
        .collect()
}

#[tokio::test]
async fn every_check_finds_what_is_wrong() {
    let database = TestPostgres::create().await;
    let store = single(database.url()).await;
    let conversation = begin(&store).await;
    append(&store, &conversation, saying_with_state(&conversation, "x", 0)).await.unwrap();
    append(&store, &conversation, saying(&conversation, "y")).await.unwrap();
    assert_eq!(wrong(&store.diagnose().await.unwrap()), Vec::<&str>::new());
    for (damage, check) in [
        ("UPDATE conversations SET turn_count = 7", "turn_heads"),
        ("UPDATE conversations SET turn_count = 2; UPDATE agent_states SET revision = 9", "agent_states"),
        (
            "UPDATE agent_states SET revision = 1; UPDATE conversation_turns SET user_id = gen_random_uuid() \
             WHERE turn_number = 1",
            "orphaned_turns",
        ),
        (
            "DELETE FROM conversations; DROP INDEX conversations_user_id_external_id_key; \
             INSERT INTO conversations (conversation_id, user_id, \
             agent_id, model_id, external_id) SELECT gen_random_uuid(), md5('u')::uuid, gen_random_uuid(), \
             'm', 'x' FROM generate_series(1, 2)",
            "duplicate_conversations",
        ),
        ("DELETE FROM conversations; DROP INDEX conversations_status_idx", "indexes"),
    ] {
        database.execute(damage).await;
        let findings = store.diagnose().await.unwrap();
        assert!(wrong(&findings).contains(&check), "{check}: {findings:?}");
    }
    let findings = store.diagnose().await.unwrap();
    let indexes = findings.iter().find(|finding| finding.check == "indexes").unwrap();
    assert_eq!(indexes.detail, "missing: conversations_status_idx, conversations_user_id_external_id_key");
}

#[tokio::test]
async fn an_empty_database_is_told_to_be_migrated() {
    let database = TestPostgres::create().await;
    let findings = store(database.url()).await.diagnose().await.unwrap();
    assert_eq!(wrong(&findings), ["schema", "indexes"]);
    let names: Vec<_> = findings.iter().map(|finding| finding.check).collect();
    assert_eq!(
        names,
        [
            "schema",
            "pool",
            "row_level_security",
            "role",
            "orphaned_turns",
            "turn_heads",
            "duplicate_conversations",
            "agent_states",
            "indexes",
            "messages"
        ]
    );
}
