//! `erase`, killed at each of its steps in PostgreSQL, and run again: nothing is left, and one certificate says what
//! was removed.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use lcs_domain::audit::AuditHash;
use lcs_domain::erasure::ContentDigest;
use lcs_domain::{ConversationId, UserId};
use lcs_storage::testing::TestPostgres;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Home;

/// Three batches.
const CONVERSATIONS: usize = 401;

/// What the test holds while a step is to stand still.
const GATE: i64 = 4711;

/// Every statement of an erasure, and every commit, counts one step up; at the step that is named it waits at the gate.
/// A sequence counts on though its transaction is forgotten.
const STEPS: &str = "
    CREATE SEQUENCE erase_steps;
    CREATE TABLE erase_stop (step bigint);
    INSERT INTO erase_stop VALUES (0);
    CREATE FUNCTION erase_step() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('erase_steps') = (SELECT step FROM erase_stop) THEN
            PERFORM pg_advisory_xact_lock_shared(4711);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER step AFTER INSERT OR UPDATE ON erasures FOR EACH STATEMENT EXECUTE FUNCTION erase_step();
    CREATE TRIGGER step AFTER DELETE ON conversations FOR EACH STATEMENT EXECUTE FUNCTION erase_step();
    CREATE TRIGGER step AFTER DELETE ON requests FOR EACH STATEMENT EXECUTE FUNCTION erase_step();
    CREATE TRIGGER step AFTER INSERT OR UPDATE ON conversation_tombstones FOR EACH STATEMENT EXECUTE FUNCTION erase_step();
    CREATE TRIGGER step AFTER INSERT ON audit_events FOR EACH STATEMENT EXECUTE FUNCTION erase_step();
    CREATE CONSTRAINT TRIGGER committed AFTER INSERT OR UPDATE ON erasures DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION erase_step();";

/// A user with conversations of one turn each: what has to be removed, and the hash over it.
async fn filled(database: &TestPostgres, user_id: UserId) -> AuditHash {
    let fill = format!(
        "INSERT INTO conversations (conversation_id, user_id, agent_id, model_id, turn_count)
         SELECT gen_random_uuid(), '{user_id}', gen_random_uuid(), 'm', 1 FROM generate_series(1, {CONVERSATIONS});
         INSERT INTO conversation_turns (turn_id, conversation_id, user_id, turn_number, input_messages, started_at,
                                         completed_at, content_hash)
         SELECT gen_random_uuid(), conversation_id, user_id, 1, '[]', now(), now(),
                sha256(uuid_send(conversation_id)) FROM conversations WHERE user_id = '{user_id}';
         INSERT INTO requests (request_id, user_id, request_hash, conversation_id, turn_id)
         SELECT gen_random_uuid(), '{user_id}', sha256(''), gen_random_uuid(), gen_random_uuid()"
    );
    database.client().await.batch_execute(&fill).await.unwrap();
    let ids =
        format!("SELECT conversation_id::text FROM conversations WHERE user_id = '{user_id}' ORDER BY 1");
    let mut digest = ContentDigest::behind(AuditHash::default());
    for id in database.query(&ids).await.into_iter().flatten().flatten() {
        let id: ConversationId = id.parse().unwrap();
        digest.add(id, Sha256::digest(id.as_uuid().as_bytes()));
    }
    digest.hash()
}

fn erase(home: &Home, url: &str, user_id: UserId, file: &Path) -> Child {
    let user = user_id.to_string();
    let arguments = ["--database-url", url, "erase", "--user", &user, "--yes", "--certificate"];
    let mut command = home.command(&[arguments.as_slice(), &[file.to_str().unwrap()]].concat());
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Whether a step waits at the gate; `false` where the process has ended before.
async fn stands_still(database: &TestPostgres, process: &mut Child) -> bool {
    const WAITING: &str =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4711";
    loop {
        if database.value(WAITING).await.as_deref() == Some("1") {
            return true;
        }
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_erasure_that_is_killed_at_any_step_ends_with_nothing_left_and_one_true_certificate() {
    let home = Home::new();
    let database = TestPostgres::migrated().await;
    let gate = database.client().await;
    gate.batch_execute(STEPS).await.unwrap();
    let somebody = UserId::generate();
    filled(&database, somebody).await;
    let mut step = 0;
    loop {
        step += 1;
        let user_id = UserId::generate();
        let content = filled(&database, user_id).await;
        let begin = format!(
            "UPDATE erase_stop SET step = {step}; SELECT setval('erase_steps', 1, false); \
             SELECT pg_advisory_lock({GATE})"
        );
        gate.batch_execute(&begin).await.unwrap();
        let file = home.0.path().join(format!("killed-{step}.json"));
        let mut process = erase(&home, database.url(), user_id, &file);
        let was_killed = stands_still(&database, &mut process).await;
        process.kill().unwrap();
        process.wait().unwrap();
        gate.batch_execute(&format!("SELECT pg_advisory_unlock({GATE}); UPDATE erase_stop SET step = 0"))
            .await
            .unwrap();
        assert_eq!(file.exists(), !was_killed, "step {step}: a certificate is there when all is done");
        let again = home.0.path().join(format!("again-{step}.json"));
        let output = erase(&home, database.url(), user_id, &again).wait_with_output().unwrap();
        assert!(output.status.success(), "step {step}: {}", super::text(&output.stderr));
        let document: Value = serde_json::from_slice(&fs::read(&again).unwrap()).unwrap();
        let handed_out = [&document].into_iter().chain(document["earlier"].as_array().into_iter().flatten());
        let true_ones: Vec<_> =
            handed_out.filter(|document| document["certificate"]["erased"]["conversations"] != 0).collect();
        let [certified] = true_ones.as_slice() else { panic!("step {step}: {true_ones:?}") };
        let erased = &certified["certificate"]["erased"];
        let counts = json!([erased["conversations"], erased["turns"], erased["requests"]]);
        assert_eq!(counts, json!([CONVERSATIONS, CONVERSATIONS, 1]), "step {step}");
        assert_eq!(certified["certificate"]["content_sha256"], json!(content), "step {step}");
        let row = format!(
            "SELECT count(*) FROM audit_events WHERE sequence = {} AND encode(hash, 'hex') = '{}'",
            certified["audit"]["sequence"],
            certified["audit"]["hash"].as_str().unwrap()
        );
        assert_eq!(database.value(&row).await.as_deref(), Some("1"), "step {step}");
        let user = user_id.to_string();
        let url = ["--database-url", database.url()];
        let looked = home.json(&[&url, ["erase", "--user", &user, "--verify"].as_slice()].concat());
        assert_eq!(looked["erased"], true, "step {step}");
        if !was_killed {
            break;
        }
    }
    // Begin: the row, the log, the commit. Three batches: requests, tombstones (made or marked: two), conversations, the
    // row, the log, the commit; in the last one requests and tombstones again. The end: the log, the row, the commit.
    assert_eq!(step - 1, 3 + 3 * 7 + 2 + 3, "each of these was a kill");
    let url = ["--database-url", database.url()];
    assert_eq!(home.json(&[&url, ["audit", "verify"].as_slice()].concat())["intact"], true);
    let left = format!("SELECT count(*) FROM conversation_turns WHERE user_id = '{somebody}'");
    assert_eq!(database.value(&left).await, Some(CONVERSATIONS.to_string()), "another user's");
}
