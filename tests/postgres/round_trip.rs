//! What a call costs, from the server's log: what is parsed, how often, and what else is sent.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use lcs_domain::{
    AgentStateRepository, BeginRequest, ConversationRepository, ConversationUpdate, ListConversations,
    ListSummaries, NewConversation, PageLimit, Payload, Repositories, RequestId, RequestRepository,
    SaveAgentState, SearchConversations, Text, TurnRange, TurnRepository,
};
use lcs_storage::testing::PrivateCluster;

use crate::support::{append, asking, begin, saying, saying_with_state, single};

/// Every message of the extended protocol is logged with its duration, and who sent it.
const LOG: [&str; 2] = ["log_min_duration_statement = 0", "log_line_prefix = '%a|'"];

/// What the store sent since the log was `begun` bytes long: (kind and statement name) and how often.
fn sent(cluster: &PrivateCluster, begun: usize) -> BTreeMap<(String, String), usize> {
    let mut sent = BTreeMap::new();
    for line in cluster.log().split_off(begun).lines() {
        let Some((_, message)) =
            line.strip_prefix("lcs-persistence|LOG:  duration: ").and_then(|rest| rest.split_once(" ms  "))
        else {
            continue;
        };
        let (head, _) = message.split_once(": ").unwrap();
        let (kind, name) = head.split_once(' ').unwrap_or((head, ""));
        *sent.entry((kind.to_owned(), name.to_owned())).or_default() += 1;
    }
    sent
}

#[tokio::test]
async fn a_thousand_appends_are_parsed_once_and_cost_one_round_trip_each() {
    let cluster = PrivateCluster::start(&LOG);
    let database = cluster.database().await;
    let store = single(database.url()).await;
    let conversation = begin(&store).await;
    let begun = cluster.log().len();
    for revision in 0..1000 {
        let appended =
            append(&store, &conversation, saying_with_state(&conversation, "hello", revision)).await;
        assert_eq!(appended.unwrap().turn_number, Some(u32::try_from(revision).unwrap() + 1));
    }
    let sent: Vec<_> = sent(&cluster, begun).into_iter().map(|((kind, _), count)| (kind, count)).collect();
    // Nothing else at all: no check of the connection, no BEGIN, no COMMIT, no look before or after.
    assert_eq!(sent, [("bind".to_owned(), 1000), ("execute".to_owned(), 1000), ("parse".to_owned(), 1)]);
}

#[tokio::test]
async fn every_method_is_one_statement_that_is_parsed_once() {
    const CALLS: usize = 7;
    let cluster = PrivateCluster::start(&LOG);
    let database = cluster.database().await;
    let store = single(database.url()).await;
    // The connection is made, and the ping parsed, before the log is read.
    store.ping().await.unwrap();
    let begun = cluster.log().len();
    for _ in 0..CALLS {
        let conversation = begin(&store).await;
        let (user, id, agent) = (conversation.user_id, conversation.conversation_id, conversation.agent_id);
        let limit = PageLimit::default();
        let said = saying(&conversation, "hello");
        let turn_id = said.turn.turn_id();
        append(&store, &conversation, said).await.unwrap();
        TurnRepository::get(&store, user, id, turn_id).await.unwrap().unwrap();
        ConversationRepository::get(&store, user, id).await.unwrap().unwrap();
        store.head(user, id).await.unwrap().unwrap();
        store.list(user, ListConversations::default()).await.unwrap();
        let summaries: Vec<_> = store.summaries(user, ListSummaries::default()).try_collect().await.unwrap();
        assert!(!summaries.is_empty());
        let search = SearchConversations { query: "hello".parse().unwrap(), after: None, limit: 10 };
        assert_eq!(store.search(user, search).await.unwrap().len(), 1);
        store.page(user, id, TurnRange::Newest, limit).await.unwrap().unwrap();
        store.page(user, id, TurnRange::After(0), limit).await.unwrap().unwrap();
        store.page(user, id, TurnRange::Before(9), limit).await.unwrap().unwrap();
        let summary = Some(Some(Text::summary("about", "/topic_summary").unwrap()));
        let update = ConversationUpdate { topic_summary: summary, ..ConversationUpdate::default() };
        ConversationRepository::update(&store, user, id, update).await.unwrap();
        let save = SaveAgentState {
            agent_id: agent,
            conversation_id: id,
            agent_config: None,
            current_state: Some(Payload::parse("1").unwrap()),
            expected_revision: 0,
            through_turn: 1,
        };
        store.save(user, save).await.unwrap();
        AgentStateRepository::get(&store, user, agent).await.unwrap().unwrap();
        store.get_by_conversation(user, id).await.unwrap().unwrap();
        assert!(AgentStateRepository::delete(&store, user, agent).await.unwrap());
        let new = NewConversation::begin(conversation.model_id.clone());
        let turns = vec![saying(&conversation, "there").turn, saying(&conversation, "there").turn];
        store.adopt(user, new, turns).await.unwrap();
        let request = asking(Some("key"));
        store.begin(user, request.clone()).await.unwrap();
        store
            .begin(user, BeginRequest { request_id: RequestId::generate(), ..request.clone() })
            .await
            .unwrap();
        store.renew(&[(user, request.request_id)], request.lease).await.unwrap();
        store.interrupt(user, request.request_id).await.unwrap().unwrap();
        store.finish(user, request.request_id).await.unwrap();
        store.abandon(user, request.request_id).await.unwrap();
        assert!(ConversationRepository::delete(&store, user, id).await.unwrap());
    }
    let mut parsed = 0;
    let mut executed = 0;
    for ((kind, name), count) in sent(&cluster, begun) {
        match kind.as_str() {
            "parse" => {
                assert_eq!(count, 1, "{name} is parsed more than once");
                parsed += 1;
            }
            "bind" => {}
            "execute" => executed += count,
            other => panic!("{count} times something else: {other} {name}"),
        }
    }
    // Twenty-one statements (the three pages are one) and twenty-four calls.
    assert_eq!((parsed, executed), (21, 24 * CALLS));
}
