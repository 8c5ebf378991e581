//! Databases as other systems leave them: made by their published schemas.

use std::path::Path;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

/// A conversation id as Llama Stack gives them.
pub(crate) const HEX: &str = "7b63a1c4e5f60718293a4b5c6d7e8f901122334455667788";
const UUID: &str = "3f1a7c52-0b1d-4b7e-9a55-0242ac120002";

/// Makes a SQLite file by `sql`.
fn sqlite(path: &Path, sql: &str) {
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    connection.batch_execute(sql).unwrap();
}

/// The rows of an LCS cache, whose times are written as `time` does it: of two users, one row without a model,
/// one conversation without a proper id, and a conversation without turns.
fn lcs_rows(time: impl Fn(u32) -> String) -> String {
    let row = |user: &str, id: &str, n: u32, query: &str, tools: &str| {
        format!(
            "INSERT INTO cache (user_id, conversation_id, created_at, started_at, completed_at, query, response, \
             provider, model, referenced_documents, tool_calls, tool_results) VALUES ('{user}', '{id}', {}, \
             '2026-01-31T12:00:{n:02}Z', '2026-01-31T12:01:{n:02}Z', '{query}', 'answer to {query}', 'openai', \
             'gpt-4o', '[{{\"doc_title\": \"a title\"}}]', {tools}, NULL);\n",
            time(n)
        )
    };
    let about = |user: &str, id: &str, topic: &str| {
        format!("INSERT INTO conversations VALUES ('{user}', '{id}', {topic}, {});\n", time(30))
    };
    let user = "00000000-0000-0000-0000-000";
    [
        row(user, HEX, 1, "my dog is Rex", "NULL"),
        row(
            user,
            HEX,
            2,
            "my cat is Tom",
            r#"'[{"id": "1", "name": "look", "args": {}, "type": "tool_call"}]'"#,
        ),
        row("ada", UUID, 3, "hello", "NULL"),
        row("ada", "not an id", 4, "canary", "NULL"),
        about(user, HEX, "'pets'"),
        about("ada", UUID, "NULL"),
        about("ada", "nothing was said in it", "NULL"),
    ]
    .concat()
}

/// LCS's cache in SQLite: text for JSON, and seconds since 1970 for times.
pub(crate) fn lcs_cache_sqlite(path: &Path) {
    let tables = "
        CREATE TABLE cache (
            user_id text NOT NULL, conversation_id text NOT NULL, created_at int NOT NULL, started_at text,
            completed_at text, query text, response text, provider text, model text, referenced_documents text,
            tool_calls text, tool_results text, PRIMARY KEY (user_id, conversation_id, created_at));
        CREATE TABLE conversations (
            user_id text NOT NULL, conversation_id text NOT NULL, topic_summary text,
            last_message_timestamp int NOT NULL, PRIMARY KEY (user_id, conversation_id));
        CREATE INDEX timestamps ON cache (created_at);";
    let broken = "
        INSERT INTO cache VALUES ('eve', '4f1a7c52-0b1d-4b7e-9a55-0242ac120002', 1769860805.5, NULL, NULL, 'first',
            'answer', 'p', 'm', NULL, NULL, NULL);
        INSERT INTO cache VALUES ('eve', '4f1a7c52-0b1d-4b7e-9a55-0242ac120002', 1769860806.5, NULL, NULL, 'second',
            'answer', 'p', 'm', '[canary', NULL, NULL);
        INSERT INTO cache VALUES ('eve', '5f1a7c52-0b1d-4b7e-9a55-0242ac120002', 1769860807.25, NULL, NULL, NULL,
            NULL, NULL, NULL, NULL, NULL, NULL);";
    let rows = lcs_rows(|n| format!("{}.25", 1_769_860_800 + n));
    sqlite(path, &format!("{tables}{rows}{broken}"));
}

/// The same without what is rejected.
pub(crate) fn lcs_cache_sqlite_whole(path: &Path) {
    lcs_cache_sqlite(path);
    sqlite(path, "DELETE FROM cache WHERE user_id = 'eve' OR conversation_id = 'not an id';");
}

/// LCS's cache in PostgreSQL, in the schema `lightspeed` of a server whose clock is Tokyo's.
pub(crate) fn lcs_cache_postgres() -> String {
    let tables = "
        CREATE SCHEMA lightspeed;
        SET search_path = lightspeed;
        CREATE TABLE cache (
            user_id text NOT NULL, conversation_id text NOT NULL, created_at timestamp NOT NULL, started_at text,
            completed_at text, query text, response text, provider text, model text, referenced_documents jsonb,
            tool_calls jsonb, tool_results jsonb, PRIMARY KEY (user_id, conversation_id, created_at));
        CREATE TABLE conversations (
            user_id text NOT NULL, conversation_id text NOT NULL, topic_summary text,
            last_message_timestamp timestamp NOT NULL, PRIMARY KEY (user_id, conversation_id));
        CREATE TABLE conversation_summaries (
            user_id text NOT NULL, conversation_id text NOT NULL, created_at text NOT NULL,
            summarized_through_turn integer NOT NULL, token_count integer NOT NULL, model_used text NOT NULL,
            summary_text text NOT NULL, PRIMARY KEY (user_id, conversation_id, created_at));
        CREATE INDEX timestamps ON cache (created_at);";
    let rows = lcs_rows(|n| format!("'2026-01-31 21:00:{n:02}.25'"));
    // More than one statement reads of one conversation.
    let many = "
        INSERT INTO cache (user_id, conversation_id, created_at, query, response, provider, model)
        SELECT 'many', '6f1a7c52-0b1d-4b7e-9a55-0242ac120002', timestamp '2026-01-31 21:00:00' + n * interval '1 s',
               'question ' || n, 'answer ' || n, 'p', 'm' FROM generate_series(1, 1200) n;";
    format!("{tables}{rows}{many}")
}

/// The OpenAI Agents SDK's sessions.
pub(crate) fn openai_agents_sqlite(path: &Path) {
    let tables = "
        CREATE TABLE agent_sessions (
            session_id TEXT PRIMARY KEY, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
            updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
        CREATE TABLE agent_messages (
            id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, message_data TEXT NOT NULL,
            created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
            FOREIGN KEY (session_id) REFERENCES agent_sessions (session_id) ON DELETE CASCADE);";
    let sessions = "INSERT INTO agent_sessions (session_id) VALUES ('conversation_123'), ('broken');";
    let mut statements = vec![format!("{tables}{sessions}")];
    let items = [
        ("conversation_123", r#"{"role": "user", "content": "my dog is Rex"}"#),
        ("broken", r#"{"role": "user", "content": "kept"}"#),
        (
            "conversation_123",
            r#"{"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}", "id": "f1"}"#,
        ),
        ("conversation_123", r#"{"type": "function_call_output", "call_id": "c1", "output": "seen"}"#),
        (
            "conversation_123",
            r#"{"id": "m1", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "A good dog.", "annotations": []}]}"#,
        ),
        ("broken", "canary"),
        (
            "conversation_123",
            r#"{"role": "user", "content": [{"type": "input_text", "text": "what is my dog?"}]}"#,
        ),
    ];
    for (n, (session, item)) in items.into_iter().enumerate() {
        statements.push(format!(
            "INSERT INTO agent_messages (session_id, message_data, created_at) VALUES ('{session}', '{item}', \
             '2026-01-31 12:00:{n:02}');"
        ));
    }
    sqlite(path, &statements.concat());
}

/// The same without what is rejected.
pub(crate) fn openai_agents_sqlite_whole(path: &Path) {
    openai_agents_sqlite(path);
    sqlite(path, "DELETE FROM agent_messages WHERE session_id = 'broken';");
}

/// LCS's metadata of two conversations, of which the second has no turns.
pub(crate) const LCS_METADATA: &str = "
    CREATE TABLE user_conversation (
        id VARCHAR NOT NULL PRIMARY KEY, user_id VARCHAR NOT NULL, last_used_model VARCHAR NOT NULL,
        last_used_provider VARCHAR NOT NULL, created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL,
        last_message_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL, last_response_id VARCHAR NOT NULL,
        message_count INTEGER NOT NULL, topic_summary VARCHAR NOT NULL);
    CREATE INDEX ix_user_conversation_user_id ON user_conversation (user_id);
    CREATE TABLE user_turn (
        conversation_id VARCHAR NOT NULL, turn_number INTEGER NOT NULL, started_at TIMESTAMP WITH TIME ZONE NOT NULL,
        completed_at TIMESTAMP WITH TIME ZONE NOT NULL, provider VARCHAR NOT NULL, model VARCHAR NOT NULL,
        response_id VARCHAR, PRIMARY KEY (conversation_id, turn_number),
        FOREIGN KEY (conversation_id) REFERENCES user_conversation (id) ON DELETE CASCADE);
    INSERT INTO user_conversation VALUES
        ('7b63a1c4e5f60718293a4b5c6d7e8f901122334455667788', 'ada', 'gpt-4o', 'openai', '2026-01-31 12:00:00.000000',
         '2026-01-31 12:01:00.000000', 'resp_1', 2, 'pets'),
        ('0b63a1c4e5f60718293a4b5c6d7e8f901122334455667788', 'ada', 'gpt-4o', 'openai', '2026-01-31 12:00:00.000000',
         '2026-01-31 12:01:00.000000', '', 0, '');
    INSERT INTO user_turn VALUES
        ('7b63a1c4e5f60718293a4b5c6d7e8f901122334455667788', 1, '2026-01-31 12:00:01.500000',
         '2026-01-31 12:00:01.900000', 'openai', 'gpt-4o', 'resp_0'),
        ('7b63a1c4e5f60718293a4b5c6d7e8f901122334455667788', 2, '2026-01-31 12:00:02.500000',
         '2026-01-31 12:00:02.900000', 'openai', 'gpt-4o', 'resp_1');";

/// The same in SQLite.
pub(crate) fn lcs_metadata_sqlite(path: &Path) {
    sqlite(path, LCS_METADATA);
}

/// LangGraph's checkpoints of a thread with two messages in MessagePack, written twice, and of two that cannot be read.
pub(crate) fn langgraph_postgres() -> String {
    let tables = "
        CREATE TABLE checkpoint_migrations (v INTEGER PRIMARY KEY);
        CREATE TABLE checkpoints (
            thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL,
            parent_checkpoint_id TEXT, type TEXT, checkpoint JSONB NOT NULL, metadata JSONB NOT NULL DEFAULT '{}',
            PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id));
        CREATE TABLE checkpoint_blobs (
            thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', channel TEXT NOT NULL,
            version TEXT NOT NULL, type TEXT NOT NULL, blob BYTEA,
            PRIMARY KEY (thread_id, checkpoint_ns, channel, version));
        CREATE TABLE checkpoint_writes (
            thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL,
            task_id TEXT NOT NULL, idx INTEGER NOT NULL, channel TEXT NOT NULL, type TEXT, blob BYTEA NOT NULL,
            task_path TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx));";
    let checkpoint = |thread: &str, id: &str, at: &str, version: &str| {
        format!(
            "INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint) VALUES ('{thread}', '{id}', \
             '{{\"v\": 4, \"ts\": \"2026-01-31T12:00:{at}.5+00:00\", \"channel_versions\": {{\"messages\": \"{version}\"}}}}');"
        )
    };
    let blob = |thread: &str, version: &str, bytes: &[u8]| {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = hex.concat();
        format!(
            "INSERT INTO checkpoint_blobs (thread_id, channel, version, type, blob) VALUES ('{thread}', 'messages', \
             '{version}', 'msgpack', '\\x{hex}');"
        )
    };
    let said = packed_list(&[packed_message("human", "my dog is Rex")]);
    let answered =
        packed_list(&[packed_message("human", "my dog is Rex"), packed_message("ai", "A good dog.")]);
    [
        tables.to_owned(),
        checkpoint("thread-1", "1f0", "01", "0001"),
        checkpoint("thread-1", "1f1", "02", "0002"),
        blob("thread-1", "0001", &said),
        blob("thread-1", "0002", &answered),
        checkpoint("thread-2", "1f0", "01", "0001"),
        checkpoint("thread-3", "1f0", "01", "0001"),
        blob("thread-3", "0001", b"canary"),
    ]
    .concat()
}

/// A list of up to 15 values, in MessagePack.
fn packed_list(values: &[Vec<u8>]) -> Vec<u8> {
    let begin = 0x90 | u8::try_from(values.len()).unwrap();
    [&[begin], values.concat().as_slice()].concat()
}

/// A text of up to 31 bytes.
fn packed_text(text: &str) -> Vec<u8> {
    [&[0xa0 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// A message as LangGraph packs it: an extension with module, class, fields and method.
fn packed_message(kind: &str, content: &str) -> Vec<u8> {
    let fields = ["content", content, "type", kind].map(packed_text).concat();
    let parts = [
        packed_text("langchain_core.messages"),
        packed_text("Message"),
        [&[0x82], fields.as_slice()].concat(),
        packed_text("model_validate_json"),
    ];
    let parts = packed_list(&parts);
    [&[0xc7, u8::try_from(parts.len()).unwrap(), 5], parts.as_slice()].concat()
}
