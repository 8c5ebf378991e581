//! Moving in from other systems: a process each, over databases that are as those systems leave them.

use std::fs;

use lcs_storage::testing::TestPostgres;
use lcs_tests::model_stub::ModelStub;
use serde_json::{Value, json};

use crate::fixture::{
    HEX, LCS_METADATA, langgraph_postgres, lcs_cache_postgres, lcs_cache_sqlite, lcs_metadata_sqlite,
    openai_agents_sqlite,
};
use crate::{Home, text};

/// What an import answers, whatever its exit code, and its rejects.
fn import(home: &Home, arguments: &[&str]) -> (Value, Vec<Value>) {
    let rejects = home.0.path().join("rejects.jsonl");
    let _ = fs::remove_file(&rejects);
    let options = ["--json", "--rejects", rejects.to_str().unwrap()];
    let output = home.run(&[&["import"], arguments, options.as_slice()].concat());
    let said = text(&output.stderr);
    assert!(!said.contains("canary") && !said.contains("panicked"), "{said}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(output.status.success(), answer["rejected"] == 0, "{answer} {said}");
    let rejects = fs::read_to_string(rejects).unwrap_or_default();
    assert!(!rejects.contains("canary"), "{rejects}");
    (answer, rejects.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Imports twice: the second time, everything is there.
fn import_twice(home: &Home, arguments: &[&str], stored: u64, turns: u64, rejected: u64) -> Vec<Value> {
    let (dry, _) = import(home, &[arguments, &["--dry-run"]].concat());
    assert_eq!((&dry["stored"], &dry["rejected"]), (&json!(stored), &json!(rejected)), "{dry}");
    let (first, rejects) = import(home, arguments);
    assert_eq!(
        (&first["stored"], &first["turns"], &first["rejected"]),
        (&json!(stored), &json!(turns), &json!(rejected)),
        "{first} {rejects:?}"
    );
    let (again, _) = import(home, arguments);
    assert_eq!(
        (&again["stored"], &again["present"], &again["continued"]),
        (&json!(0), &json!(stored), &json!(0)),
        "{again}"
    );
    rejects
}

/// What both LCS caches have in common.
fn assert_moved_in(home: &Home) {
    let list = home.json(&["conversations", "list"]);
    let conversation = &list["conversations"][0];
    assert_eq!(conversation["external_id"], HEX);
    assert_eq!(
        (&conversation["topic_summary"], &conversation["model_id"]),
        (&json!("pets"), &json!("gpt-4o"))
    );
    assert_eq!(conversation["created_at"], "2026-01-31T12:00:01Z");
    let id = conversation["conversation_id"].as_str().unwrap();
    let shown = home.json(&["conversations", "show", id]);
    let turn = &shown["turns"][1];
    assert_eq!(turn["input_messages"], json!([{"role": "user", "content": "my cat is Tom"}]));
    assert_eq!(
        turn["output_message"],
        json!({
            "role": "assistant", "content": "answer to my cat is Tom",
            "referenced_documents": [{"doc_title": "a title"}],
            "tool_calls": [{"id": "1", "name": "look", "args": {}, "type": "tool_call"}],
        })
    );
    assert_eq!(turn["metadata"], json!({"lcs:model": "gpt-4o", "lcs:provider": "openai"}));
    assert_eq!(
        (&turn["started_at"], &turn["completed_at"]),
        (&json!("2026-01-31T12:00:02Z"), &json!("2026-01-31T12:01:02Z"),)
    );
    let of_ada = home.json(&["conversations", "list", "--user", "ada"]);
    assert_eq!(of_ada["conversations"][0]["conversation_id"], "3f1a7c52-0b1d-4b7e-9a55-0242ac120002");
    // It goes on here.
    let answer = home.json(&["chat", "--once", "what is my dog?", "--conversation", id]);
    assert_eq!((&answer["turn_number"], &answer["response"]), (&json!(3), &json!("Your dog is Rex.")));
    assert_eq!(home.json(&["doctor"])["healthy"], true);
}

#[test]
fn lcs_cache_in_sqlite_moves_in() {
    let home = Home::new();
    let path = home.0.path().join("lcs.sqlite");
    lcs_cache_sqlite(&path);
    let before = fs::read(&path).unwrap();
    let source = [path.to_str().unwrap(), "--from", "lcs-cache-sqlite"];
    let rejects = import_twice(&home, &source, 3, 4, 2);
    let said = |part: &str| rejects.iter().any(|reject| reject.to_string().contains(part));
    assert!(
        said("its conversation id is none that LCS takes") && said("at /referenced_documents"),
        "{rejects:?}"
    );
    assert!(said("cache eve 4f1a7c52-0b1d-4b7e-9a55-0242ac120002 2026-01-31T12:00:06.5"), "{rejects:?}");
    assert_eq!(fs::read(&path).unwrap(), before, "the source stays as it is");
    assert_moved_in(&home);
    let silent = home.json(&["conversations", "list", "--user", "eve"]);
    let silent = silent["conversations"][0]["conversation_id"].as_str().unwrap();
    let shown = home.json(&["conversations", "show", silent, "--user", "eve"]);
    assert_eq!(
        (&shown["turns"][0]["input_messages"], &shown["turns"][0]["output_message"]),
        (&json!([]), &Value::Null)
    );
    assert_eq!(shown["turns"][0]["started_at"], "2026-01-31T12:00:07.250Z");
}

#[test]
fn lcs_cache_in_postgresql_moves_in() {
    let home = Home::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestPostgres::create());
    runtime.block_on(database.execute(&lcs_cache_postgres()));
    let (_, said) = home.failure(&["import", database.url(), "--from", "lcs-cache-postgres"]);
    assert!(
        said.contains("there are no tables cache and conversations of LCS's") && !said.contains("postgres:p"),
        "{said}"
    );
    let separator = if database.url().contains('?') { '&' } else { '?' };
    let url = format!("{}{separator}namespace=lightspeed", database.url());
    // The server's clock is Tokyo's, and nobody says so.
    let zone = "DO $$ BEGIN EXECUTE format($q$ALTER DATABASE %I SET timezone = 'Asia/Tokyo'$q$, \
                current_database()); END $$";
    runtime.block_on(database.execute(zone));
    let source = [url.as_str(), "--from", "lcs-cache-postgres"];
    let rejects = import_twice(&home, &source, 3, 1_203, 1);
    assert!(
        rejects[0]["row"].as_str().unwrap().starts_with("cache ada not an id 2026-01-31T12:00:04.25"),
        "{rejects:?}"
    );
    assert_moved_in(&home);
    let many = home.json(&["conversations", "list", "--user", "many"]);
    assert_eq!(many["conversations"][0]["turn_count"], 1_200);
    assert_eq!(many["conversations"][0]["created_at"], "2026-01-31T12:00:01Z", "by Tokyo's clock");
    let (said, _) = import(&home, &[source.as_slice(), &["--time-zone", "Asia/Tokyo"]].concat());
    let of = |field: &str| said[field].as_u64().unwrap();
    assert_eq!((of("stored"), of("present"), of("continued"), of("rejected")), (0, 2, 1, 1), "{said}");
}

#[test]
fn openai_agents_sessions_move_in() {
    let home = Home::new();
    let path = home.0.path().join("agents.sqlite");
    openai_agents_sqlite(&path);
    let source = [path.to_str().unwrap(), "--from", "openai-agents-sqlite", "--user", "ada"];
    let (code, said) = home.failure(&[&["import"], &source[..3]].concat());
    assert!(code == 1 && said.contains("this source names no user"), "{said}");
    let rejects = import_twice(&home, &source, 1, 2, 1);
    assert_eq!(rejects[0]["row"], "agent_messages 6");
    let list = home.json(&["conversations", "list", "--user", "ada"]);
    let conversation = &list["conversations"][0];
    assert_eq!(conversation["metadata"], json!({"openai_agents_session": "conversation_123"}));
    let id = conversation["conversation_id"].as_str().unwrap();
    let shown = home.json(&["conversations", "show", id, "--user", "ada"]);
    let turn = &shown["turns"][0];
    assert_eq!(turn["input_messages"], json!([{"role": "user", "content": "my dog is Rex"}]));
    assert_eq!(turn["output_message"]["content"], "A good dog.");
    assert_eq!(turn["output_message"]["tool_calls"][0]["name"], "look");
    assert_eq!(turn["started_at"], "2026-01-31T12:00:00Z");
    assert_eq!(shown["turns"][1]["started_at"], "2026-01-31T12:00:06Z");
    let (_, said) =
        home.failure(&["import", home.0.path().join("x").to_str().unwrap(), "--from", "lcs-cache-sqlite"]);
    assert!(said.contains("there is no file"), "{said}");
    let (_, said) = home.failure(&["import", path.to_str().unwrap(), "--from", "lcs-cache-sqlite"]);
    assert!(said.contains("there is no table cache in it"), "{said}");
}

#[test]
fn conversations_of_a_llama_stack_move_in() {
    let home = Home::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stub = runtime.block_on(ModelStub::start()).unwrap();
    let message = |n: u32, role: &str, text: &str| json!({"type": "message", "id": format!("msg_{n}"), "role": role, "content": text});
    stub.keep(
        &format!("conv_{HEX}"),
        vec![
            message(1, "user", "my dog is Rex"),
            message(2, "assistant", "A good dog."),
            message(3, "user", "my cat is Tom"),
            message(4, "assistant", "A good cat."),
        ],
    );
    let database = runtime.block_on(TestPostgres::create());
    runtime.block_on(database.execute(LCS_METADATA));
    let path = home.0.path().join("metadata.sqlite");
    lcs_metadata_sqlite(&path);
    let url = stub.base_url();
    for (number, metadata) in [database.url(), path.to_str().unwrap()].into_iter().enumerate() {
        let store = format!("sqlite:{}", home.0.path().join(format!("{number}.sqlite")).display());
        let source = [&url, "--from", "llama-stack", "--metadata", metadata, "--database-url", &store];
        let rejects = import_twice(&home, &source, 1, 2, 1);
        let reject = json!({"row": format!("user_conversation {}", HEX.replacen('7', "0", 1)), "reason": "the Llama Stack has no such conversation"});
        assert_eq!(rejects, [reject]);
        let list = home.json(&["conversations", "list", "--user", "ada", "--database-url", &store]);
        let conversation = &list["conversations"][0];
        assert_eq!(
            (&conversation["external_id"], &conversation["topic_summary"]),
            (&json!(HEX), &json!("pets"))
        );
        let id = conversation["conversation_id"].as_str().unwrap();
        let shown = home.json(&["conversations", "show", id, "--user", "ada", "--database-url", &store]);
        let turn = &shown["turns"][1];
        assert_eq!(turn["output_message"]["content"], "A good cat.");
        assert_eq!(turn["metadata"], json!({"lcs:model": "gpt-4o", "lcs:provider": "openai"}));
        assert_eq!(turn["started_at"], "2026-01-31T12:00:02.500Z");
    }
    // What is not there now is not taken for absent.
    drop(stub);
    drop(runtime);
    let store = format!("sqlite:{}", home.0.path().join("9.sqlite").display());
    let metadata = path.to_str().unwrap();
    let arguments =
        ["import", &url, "--from", "llama-stack", "--metadata", metadata, "--database-url", &store];
    let (_, said) = home.failure(&arguments);
    assert!(said.contains("the Llama Stack cannot be imported: Llama Stack"), "{said}");
}

#[test]
fn langgraph_threads_move_in() {
    let home = Home::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestPostgres::create());
    runtime.block_on(database.execute(&langgraph_postgres()));
    let source = [database.url(), "--from", "langgraph-postgres", "--user", "ada"];
    let rejects = import_twice(&home, &source, 1, 1, 2);
    let rows: Vec<&Value> = rejects.iter().map(|reject| &reject["row"]).collect();
    assert_eq!(rows, ["checkpoints thread-2", "checkpoints thread-3"]);
    let list = home.json(&["conversations", "list", "--user", "ada"]);
    let conversation = &list["conversations"][0];
    assert_eq!(conversation["metadata"], json!({"langgraph_thread": "thread-1"}));
    assert_eq!(conversation["created_at"], "2026-01-31T12:00:01.500Z");
    let id = conversation["conversation_id"].as_str().unwrap();
    let shown = home.json(&["conversations", "show", id, "--user", "ada"]);
    assert_eq!(shown["turns"][0]["input_messages"], json!([{"role": "user", "content": "my dog is Rex"}]));
    assert_eq!(shown["turns"][0]["output_message"]["content"], "A good dog.");
}

#[test]
fn langgraph_threads_with_long_messages_are_read_some_at_a_time_and_one_that_is_too_long_is_rejected() {
    // More than a page has, of rows and of bytes.
    const LONG: &str = "
        INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint)
            SELECT 'long-' || lpad(n::text, 2, '0'), '1f0',
                   '{\"v\": 4, \"ts\": \"2026-01-31T12:00:01.5+00:00\", \"channel_versions\": {\"messages\": \"0001\"}}'
              FROM generate_series(1, 25) n;
        INSERT INTO checkpoint_blobs (thread_id, channel, version, type, blob)
            SELECT 'long-' || lpad(n::text, 2, '0'), 'messages', '0001', 'msgpack',
                   convert_to(repeat('x', CASE n WHEN 7 THEN 33554433 ELSE 3000000 END), 'UTF8')
              FROM generate_series(1, 25) n;";
    let home = Home::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestPostgres::create());
    runtime.block_on(database.execute(&(langgraph_postgres() + LONG)));
    let source = [database.url(), "--from", "langgraph-postgres", "--user", "ada"];
    let rejects = import_twice(&home, &source, 1, 1, 27);
    for (n, reject) in (1..=25).zip(&rejects) {
        assert_eq!(reject["row"], format!("checkpoints long-{n:02}"));
        let is_too_long = reject["reason"].as_str().unwrap().contains("its messages take 33554433 bytes");
        assert_eq!(is_too_long, n == 7, "{reject}");
    }
}
