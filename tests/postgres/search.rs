//! Searching with the index of `migrations/search.sql`, and without it.

use std::path::Path;
use std::process::Command;

use lcs_domain::{
    Clock as _, Conversation, ConversationRepository, Metadata, NewTurn, Payload, SearchConversations,
    SystemClock, TurnId, UserId,
};
use lcs_storage::postgres::Postgres;
use lcs_storage::testing::{Role, TestPostgres, program};

use crate::row_level_security::store_as;
use crate::support::{append, begin, explaining, saying, single};

/// 3,000 conversations of 150 users, with ten turns each; of each user's turns every fiftieth says `needle`, and each
/// says `common`.
const FILL: &str = "
    INSERT INTO conversations (conversation_id, user_id, agent_id, model_id, turn_count)
    SELECT gen_random_uuid(), md5((n % 150)::text)::uuid, gen_random_uuid(), 'model', 10
      FROM generate_series(1, 3000) n;
    INSERT INTO conversation_turns
        (turn_id, conversation_id, user_id, turn_number, input_messages, started_at, completed_at, content_hash)
    SELECT gen_random_uuid(), conversation_id, user_id, turn,
           to_jsonb('common ' || CASE WHEN row_number() OVER of_user % 50 = 0 THEN 'needle' ELSE 'hay' END),
           now(), now(), sha256('1')
      FROM conversations, generate_series(1, 10) turn
    WINDOW of_user AS (PARTITION BY user_id ORDER BY conversation_id, turn);
    ANALYZE;";

/// Makes the index as an operator does.
fn index(database: &TestPostgres) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/search.sql");
    let mut psql = Command::new(program("psql"));
    psql.args(["-v", "ON_ERROR_STOP=1", "-q", "-f"]).arg(file).arg(database.url());
    let output = psql.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn found(store: &Postgres, user_id: UserId, words: &str, limit: u32) -> Vec<String> {
    let search = SearchConversations { query: words.parse().unwrap(), after: None, limit };
    let found = store.search(user_id, search).await.unwrap();
    found.iter().map(|found| found.conversation_id.to_string()).collect()
}

#[tokio::test]
async fn a_search_reads_its_users_turns_and_with_the_index_those_that_match() {
    let cluster = explaining(&["auto_explain.log_analyze = on"]);
    let database = cluster.database().await;
    let store = single(database.url()).await;
    database.execute(FILL).await;
    let user = "SELECT md5('7')::uuid::text";
    let user_id: UserId = database.value(user).await.unwrap().parse().unwrap();
    let mut without = Vec::new();
    for indexed in [false, true] {
        if indexed {
            index(&database);
        }
        let begun = cluster.log().len();
        // The first five plans of a connection are made for what is asked; later ones may be for anything.
        for round in 0..8 {
            let (rare, common) =
                (found(&store, user_id, "needle", 100).await, found(&store, user_id, "common", 5).await);
            assert!(rare.len() == 4 && common.len() == 5, "{rare:?} {common:?}");
            if round == 0 && !indexed {
                without = vec![rare, common];
            } else {
                assert_eq!(without, [rare, common]);
            }
        }
        let log = cluster.log().split_off(begun);
        let plans: Vec<&str> =
            log.split("lcs-persistence|LOG:").filter(|entry| entry.contains("plan:")).collect();
        assert_eq!(plans.len(), 16);
        for plan in plans {
            let is_used = plan.lines().any(|line| {
                line.contains("Scan on conversation_turns_words_idx") && !line.contains("never executed")
            });
            assert_eq!(is_used, indexed, "{plan}");
            for line in plan.lines().filter(|line| line.contains("Seq Scan on conversation")) {
                assert!(line.contains("never executed"), "a whole table is read:\n{plan}");
            }
        }
    }
}

#[tokio::test]
async fn a_turn_with_more_words_than_an_index_takes_is_stored() {
    let database = TestPostgres::create().await;
    let store = single(database.url()).await;
    index(&database);
    let conversation: Conversation = begin(&store).await;
    let text = (0..400_000).map(|n| format!("{n:x}")).collect::<Vec<_>>().join(" ");
    append(&store, &conversation, saying(&conversation, &text)).await.unwrap();
    assert_eq!(
        found(&store, conversation.user_id, "bee", 10).await,
        [conversation.conversation_id.to_string()]
    );
}

#[tokio::test]
async fn the_index_is_made_once_and_anew_where_it_was_left_half_made() {
    let database = TestPostgres::create().await;
    let store = single(database.url()).await;
    let made = "SELECT indexrelid::text || indisvalid FROM pg_index \
                WHERE indexrelid = to_regclass('conversation_turns_words_idx')";
    index(&database);
    let first = database.value(made).await.unwrap();
    index(&database);
    assert_eq!(database.value(made).await.unwrap(), first);
    let break_it =
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'conversation_turns_words_idx'::regclass";
    database.execute(break_it).await;
    let conversation = begin(&store).await;
    append(&store, &conversation, saying(&conversation, "needle")).await.unwrap();
    let expected = [conversation.conversation_id.to_string()];
    assert_eq!(found(&store, conversation.user_id, "needle", 10).await, expected, "without it, as ever");
    index(&database);
    let again = database.value(made).await.unwrap();
    assert!(again != first && again.ends_with("true"), "{again}");
    assert_eq!(found(&store, conversation.user_id, "needle", 10).await, expected);
}

/// Whatever is not text costs next to nothing: such a turn is stored well within the statement's time.
#[tokio::test]
async fn a_turn_of_many_small_objects_is_stored_with_the_index() {
    let database = TestPostgres::create().await;
    let store = single(database.url()).await;
    index(&database);
    let conversation = begin(&store).await;
    let many = format!("[{}{{}}]", r#"{"a":1},"#.repeat(400_000));
    let leaves = "{},".repeat(20_000);
    let deep = format!("{}[{leaves}1]{}", r#"[{"a":"#.repeat(25), "}]".repeat(25));
    for document in [many, deep] {
        let mut said = saying(&conversation, "needle");
        let now = SystemClock.now();
        let input = Payload::parse(&document).unwrap();
        said.turn = NewTurn::new(TurnId::generate(), input, None, now, now, Metadata::default()).unwrap();
        append(&store, &conversation, said).await.unwrap();
    }
    append(&store, &conversation, saying(&conversation, "needle")).await.unwrap();
    assert_eq!(found(&store, conversation.user_id, "needle", 10).await.len(), 1);
}

/// Under row-level security the index says only whose a turn is: it would be read for nothing.
#[tokio::test]
async fn under_row_level_security_the_index_is_left_alone() {
    let database = TestPostgres::secured().await;
    index(&database);
    let store = store_as(&database, Role::Application).await;
    let conversation = begin(&store).await;
    append(&store, &conversation, saying(&conversation, "needle")).await.unwrap();
    let expected = [conversation.conversation_id.to_string()];
    assert_eq!(found(&store, conversation.user_id, "Needle", 10).await, expected);
    let used =
        "SELECT idx_scan::text FROM pg_stat_user_indexes WHERE indexrelname = 'conversation_turns_words_idx'";
    assert_eq!(database.value(used).await.as_deref(), Some("0"));
}
