//! How the hot statements are carried out: by indexes, on tables where that matters.
//!
//! The plans are those of the calls themselves, as `auto_explain` logs them: custom ones for the first
//! five runs on a connection, then whichever PostgreSQL thinks cheaper. Sequential scans are not
//! forbidden; the tables are large enough that they would be the worse choice.

use futures_util::TryStreamExt as _;
use lcs_domain::transfer::{ExportFilter, Exported};
use lcs_domain::{
    AgentStateRepository, AuditQuery, AuditRepository, BrowseRepository, Conversation, ConversationCursor,
    ConversationId, ConversationRepository, FindConversations, ListConversations, ListSummaries,
    NewConversation, PageLimit, Payload, RequestRepository, SaveAgentState, TransferRepository, TurnRange,
    TurnRepository, UserId,
};

use crate::support::{append, asking, begin, explaining, saying, saying_with_state, single};

/// 5,000 conversations of 250 users, with five turns, their requests and a state each.
const FILL: &str = "
    INSERT INTO conversations (conversation_id, user_id, agent_id, model_id, turn_count, state_revision)
    SELECT gen_random_uuid(), md5((n % 250)::text)::uuid, gen_random_uuid(), 'model', 5, 1
      FROM generate_series(1, 5000) n;
    INSERT INTO conversation_turns
        (turn_id, conversation_id, user_id, turn_number, input_messages, started_at, completed_at, content_hash)
    SELECT gen_random_uuid(), conversation_id, user_id, turn, '1', now(), now(), sha256('1')
      FROM conversations, generate_series(1, 5) turn;
    INSERT INTO agent_states (agent_id, conversation_id, user_id, agent_config, revision, through_turn)
    SELECT agent_id, conversation_id, user_id, '{}', 1, 5 FROM conversations;
    INSERT INTO requests (request_id, user_id, idempotency_key, request_hash, conversation_id, turn_id)
    SELECT gen_random_uuid(), user_id, turn_id::text, sha256('1'), conversation_id, turn_id
      FROM conversation_turns;
    ANALYZE;";

#[tokio::test]
async fn hot_statements_use_indexes_only() {
    let cluster = explaining(&[]);
    let database = cluster.database().await;
    let store = single(database.url()).await;
    database.execute(FILL).await;
    let begun = cluster.log().len();
    for _ in 0..8 {
        let conversation = begin(&store).await;
        call_everything(&store, &conversation).await;
    }
    let log = cluster.log().split_off(begun);
    let plans: Vec<&str> = log
        .split("lcs-persistence|LOG:")
        .skip(1)
        .filter(|entry| entry.contains("plan:") && !entry.contains("Query Text: SET "))
        .collect();
    assert_eq!(plans.len(), 8 * 19, "one plan for each call");
    for plan in plans {
        assert!(!plan.contains("Seq Scan"), "a sequential scan:\n{plan}");
        let inserts =
            plan.contains("Insert on conversations") || plan.contains("Conflict Arbiter Indexes: requests_");
        assert!(plan.contains("Index Scan") || inserts, "no index:\n{plan}");
    }
}

async fn call_everything(store: &lcs_storage::postgres::Postgres, conversation: &Conversation) {
    let (user, id, agent) = (conversation.user_id, conversation.conversation_id, conversation.agent_id);
    let said = saying_with_state(conversation, "hello", 0);
    let turn_id = said.turn.turn_id();
    append(store, conversation, said).await.unwrap();
    TurnRepository::get(store, user, id, turn_id).await.unwrap().unwrap();
    ConversationRepository::get(store, user, id).await.unwrap().unwrap();
    store.head(user, id).await.unwrap().unwrap();
    store.list(user, ListConversations::default()).await.unwrap();
    let summaries: Vec<_> = store.summaries(user, ListSummaries::default()).try_collect().await.unwrap();
    assert_eq!(summaries.len(), 1);
    for range in [TurnRange::Newest, TurnRange::After(0)] {
        store.page(user, id, range, PageLimit::default()).await.unwrap().unwrap();
    }
    AgentStateRepository::get(store, user, agent).await.unwrap().unwrap();
    store.get_by_conversation(user, id).await.unwrap().unwrap();
    let save = SaveAgentState {
        agent_id: agent,
        conversation_id: id,
        agent_config: None,
        current_state: Some(Payload::parse("1").unwrap()),
        expected_revision: 1,
        through_turn: 1,
    };
    store.save(user, save).await.unwrap();
    let new = NewConversation::begin(conversation.model_id.clone());
    store.adopt(user, new, vec![saying(conversation, "there").turn]).await.unwrap();
    let begin = asking(Some("key"));
    store.begin(user, begin.clone()).await.unwrap();
    store.renew(&[(user, begin.request_id)], begin.lease).await.unwrap();
    store.interrupt(user, begin.request_id).await.unwrap().unwrap();
    store.finish(user, begin.request_id).await.unwrap();
    store.abandon(user, begin.request_id).await.unwrap();
    assert!(ConversationRepository::delete(store, user, id).await.unwrap());
}

/// Two users' conversations, one for each 20 minutes: a user with few, and one with many.
const FEW_AND_MANY: &str = "
    INSERT INTO conversations (conversation_id, user_id, agent_id, model_id, updated_at)
    SELECT gen_random_uuid(), format('00000000-0000-4000-8000-00000000000%s', CASE WHEN n <= 20 THEN 1 ELSE 2 END)::uuid, gen_random_uuid(), 'model',
           now() - n * interval '20 minutes'
      FROM generate_series(1, 10000) n;
    VACUUM ANALYZE conversations;";

#[tokio::test]
async fn a_page_of_a_user_with_many_conversations_reads_about_that_page() {
    let cluster = explaining(&["auto_explain.log_analyze = on", "auto_explain.log_timing = off"]);
    let database = cluster.database().await;
    let store = single(database.url()).await;
    // One by one: VACUUM is not done within a transaction, which several statements in one string are.
    for statement in FEW_AND_MANY.split_inclusive(';') {
        database.execute(statement).await;
    }
    let users: Vec<UserId> =
        (1..=2).map(|n| format!("00000000-0000-4000-8000-00000000000{n}").parse().unwrap()).collect();
    let limit = PageLimit::new(20).unwrap();
    let begun = cluster.log().len();
    // Custom plans, and the one that is made for all of them.
    for _ in 0..4 {
        for user in users.iter().copied() {
            let first = ListConversations { limit, ..ListConversations::default() };
            let page = store.list(user, first).await.unwrap();
            assert_eq!(page.conversations.len(), 20);
            // Somewhere in the middle, nothing before that is read.
            let behind = |at: &Conversation| ConversationCursor {
                updated_at: at.updated_at - chrono::TimeDelta::days(30),
                conversation_id: at.conversation_id,
            };
            let after = page.conversations.first().map(behind);
            store.list(user, ListConversations { after, ..first }).await.unwrap();
            let summaries = ListSummaries { limit: Some(limit.get()), ..ListSummaries::default() };
            let summaries: Vec<_> = store.summaries(user, summaries).try_collect().await.unwrap();
            assert_eq!(summaries.len(), 20);
        }
    }
    let log = cluster.log().split_off(begun);
    let read: Vec<usize> = log
        .lines()
        .filter(|line| line.contains("on conversations") && line.contains("actual rows="))
        .map(|line| {
            assert!(line.contains("conversations_user_id_active_hour_idx"), "{line}");
            number_behind("actual rows=", line)
        })
        .collect();
    assert_eq!(read.len(), 24, "a plan for each list:\n{log}");
    assert!(read.iter().all(|rows| *rows <= 100), "{read:?}");
}

/// Who has read what, and some purges.
const RECORDED: &str = "
    INSERT INTO audit_events (actor, action, conversation_id, outcome, detail)
    SELECT 'operator:ada', CASE WHEN n % 100 = 0 THEN 'purge' ELSE 'conversation_read' END,
           CASE WHEN n % 100 = 0 THEN NULL ELSE gen_random_uuid() END, 'done', '{}'
      FROM generate_series(1, 5000) n;
    INSERT INTO restorations (conversation_id, keep_until) SELECT conversation_id, now() FROM conversations;
    INSERT INTO conversation_tombstones (conversation_id, user_hash, reason)
    SELECT gen_random_uuid(), '', 'expired' FROM generate_series(1, 5000);
    ANALYZE audit_events, restorations, conversation_tombstones;";

#[tokio::test]
async fn an_operator_who_gives_an_id_or_a_user_waits_for_indexes_only() {
    let cluster = explaining(&[]);
    let database = cluster.database().await;
    let store = single(database.url()).await;
    database.execute(FILL).await;
    database.execute(RECORDED).await;
    let begun = cluster.log().len();
    // More often than it takes for one plan to be made for all of them.
    for _ in 0..8 {
        let conversation = begin(&store).await;
        let id = conversation.conversation_id;
        for beginning in [id.to_string(), id.to_string().chars().take(8).collect()] {
            let id = Some(beginning.parse().unwrap());
            let find = FindConversations { id, ..FindConversations::default() };
            assert!(!store.find_conversations(find).await.unwrap().conversations.is_empty());
        }
        let user_id = Some(conversation.user_id);
        let find = FindConversations { user_id, ..FindConversations::default() };
        assert_eq!(store.find_conversations(find).await.unwrap().conversations.len(), 1);
        store.open_conversation(id).await.unwrap().unwrap();
        store.read_turns(id, TurnRange::Newest, PageLimit::default()).await.unwrap().unwrap();
        let trail = AuditQuery { conversation_id: Some(id), is_look: true, ..AuditQuery::default() };
        assert_eq!(store.records(trail).await.unwrap(), []);
    }
    let log = cluster.log().split_off(begun);
    let is_ours = |entry: &&str| {
        let is_look = entry.contains("FROM conversations") || entry.contains("FROM audit_events");
        entry.contains("plan:") && is_look
    };
    let plans: Vec<&str> = log.split("lcs-persistence|LOG:").skip(1).filter(is_ours).collect();
    assert!(plans.len() >= 8 * 6, "one plan for each look: {}", plans.len());
    for plan in plans {
        assert!(!plan.contains("Seq Scan"), "a sequential scan:\n{plan}");
    }
}

#[tokio::test]
async fn batches_are_looked_through_only_for_a_conversation_that_was_removed_once() {
    let cluster = explaining(&["auto_explain.log_analyze = on"]);
    let database = cluster.database().await;
    let store = single(database.url()).await;
    database.execute(FILL).await;
    database.execute(RECORDED).await;
    let (stored, removed, restored) = (begin(&store).await, ConversationId::generate(), begin(&store).await);
    let (removed, restored) = (removed.to_string(), restored.conversation_id.to_string());
    let tombstone = format!("INSERT INTO conversation_tombstones VALUES ('{removed}', '', 'expired')");
    database.execute(&tombstone).await;
    database.execute(&format!("INSERT INTO restorations VALUES ('{restored}', now())")).await;
    for id in [&removed, &restored] {
        let purged = format!(
            "INSERT INTO audit_events (actor, action, outcome, detail) \
             VALUES ('service', 'purge', 'done', '{{\"conversation_ids\": [\"{id}\"]}}')"
        );
        database.execute(&purged).await;
    }
    let stored = stored.conversation_id.to_string();
    for (id, found, is_looked_through) in [(&stored, 0, false), (&removed, 1, true), (&restored, 1, true)] {
        let begun = cluster.log().len();
        // More often than it takes for one plan to be made for all of them.
        for _ in 0..8 {
            let conversation_id = Some(id.parse().unwrap());
            let trail = AuditQuery { conversation_id, is_look: true, ..AuditQuery::default() };
            assert_eq!(store.records(trail).await.unwrap().len(), found, "{id}");
        }
        let log = cluster.log().split_off(begun);
        let is_of_batches = |line: &&str| line.contains("on audit_events e ");
        let scans: Vec<&str> = log.lines().filter(is_of_batches).collect();
        assert_eq!(scans.len(), 8, "one for each look:\n{log}");
        for scan in scans {
            assert_eq!(!scan.contains("(never executed)"), is_looked_through, "{scan}");
        }
    }
}

#[tokio::test]
async fn a_page_of_an_export_reads_the_states_of_that_page() {
    let cluster = explaining(&["auto_explain.log_analyze = on", "auto_explain.log_timing = off"]);
    let database = cluster.database().await;
    let store = single(database.url()).await;
    database.execute(FILL).await;
    let some: Vec<ConversationId> = store
        .find_conversations(FindConversations::default())
        .await
        .unwrap()
        .conversations
        .iter()
        .map(|found| found.conversation_id)
        .collect();
    for conversation_ids in [None, Some(some)] {
        let begun = cluster.log().len();
        let expected = conversation_ids.as_ref().map_or(5_000, Vec::len);
        let filter = ExportFilter { conversation_ids, ..ExportFilter::default() };
        let exported: Vec<Exported> = store.export(filter).try_collect().await.unwrap();
        let states = exported.iter().filter(|exported| matches!(exported, Exported::AgentState(_))).count();
        assert_eq!(states, expected);
        let log = cluster.log().split_off(begun);
        let is_scan = |line: &&str| line.contains("on agent_states s") && line.contains("actual rows=");
        let scans = log.lines().filter(is_scan);
        let read: Vec<usize> = scans.map(read_by).collect();
        assert!(read.iter().sum::<usize>() >= expected, "a plan for each page:\n{log}");
        assert!(read.iter().all(|rows| *rows <= 32), "{read:?}");
    }
}

/// The rows that a line of a plan says were read, in all its loops.
fn read_by(line: &str) -> usize {
    number_behind("actual rows=", line) * number_behind("loops=", line)
}

fn number_behind(name: &str, line: &str) -> usize {
    let behind = line.split(name).nth(1).unwrap();
    behind.split([' ', '.', ')']).next().unwrap().parse().unwrap()
}
