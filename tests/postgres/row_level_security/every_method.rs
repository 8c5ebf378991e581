//! Every method of a user's ports, once each.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use lcs_domain::{
    AgentStateRepository, Conversation, ConversationRepository, ConversationUpdate, ListConversations,
    ListSummaries, NewConversation, PageLimit, Payload, RepositoryError, RequestId, RequestRepository,
    SaveAgentState, Text, TurnId, TurnRange, TurnRepository,
};
use lcs_storage::postgres::Postgres;
use lcs_storage::testing::{Role, TestPostgres};

use super::{proxy, secured, store_as};
use crate::support::{append, asking, begin, saying, saying_with_state};

/// What a user has: a conversation with a turn and a state, and a request that is being answered.
struct Owned {
    conversation: Conversation,
    turn_id: TurnId,
    request_id: RequestId,
}

impl Owned {
    async fn new(store: &Postgres) -> Self {
        let conversation = begin(store).await;
        let said = saying_with_state(&conversation, "a secret", 0);
        let turn_id = said.turn.turn_id();
        append(store, &conversation, said).await.unwrap();
        let request = asking(None);
        store.begin(conversation.user_id, request.clone()).await.unwrap();
        Self { conversation, turn_id, request_id: request.request_id }
    }
}

/// What a method found or did: how much of the user's it showed, or why not.
type Outcome = (&'static str, Result<usize, RepositoryError>);

/// A method that finds one thing or none.
fn found<T>(outcome: Result<Option<T>, RepositoryError>) -> Result<usize, RepositoryError> {
    outcome.map(|found| usize::from(found.is_some()))
}

/// Calls every method of the user's ports, on what the user has. The last ones end it.
async fn call(store: &Postgres, owned: &Owned) -> Vec<Outcome> {
    let (user, id) = (owned.conversation.user_id, owned.conversation.conversation_id);
    let agent = owned.conversation.agent_id;
    let summary = Text::summary("about", "/topic_summary").unwrap();
    let update = ConversationUpdate { topic_summary: Some(Some(summary)), ..ConversationUpdate::default() };
    let save = SaveAgentState {
        agent_id: agent,
        conversation_id: id,
        agent_config: None,
        current_state: Some(Payload::parse("1").unwrap()),
        expected_revision: 1,
        through_turn: 1,
    };
    let (request, lease) = (owned.request_id, Duration::from_mins(1));
    let new = || NewConversation::begin(owned.conversation.model_id.clone());
    let limit = PageLimit::default();
    let summaries: Result<Vec<_>, _> = store.summaries(user, ListSummaries::default()).try_collect().await;
    let turn = saying(&owned.conversation, "more");
    vec![
        ("summaries", summaries.map(|rows| rows.len())),
        ("get", found(ConversationRepository::get(store, user, id).await)),
        ("head", found(store.head(user, id).await)),
        ("list", store.list(user, ListConversations::default()).await.map(|page| page.conversations.len())),
        ("was_deleted", store.was_deleted(user, id).await.map(usize::from)),
        ("page", found(store.page(user, id, TurnRange::Newest, limit).await)),
        ("turn", found(TurnRepository::get(store, user, id, owned.turn_id).await)),
        ("state", found(AgentStateRepository::get(store, user, agent).await)),
        ("state of", found(store.get_by_conversation(user, id).await)),
        ("update", store.update(user, id, update).await.map(|_| 1)),
        ("append", store.append(user, turn).await.map(|_| 1)),
        ("save", store.save(user, save).await.map(|_| 1)),
        ("create", ConversationRepository::create(store, user, new()).await.map(|_| 1)),
        ("adopt", store.adopt(user, new(), vec![saying(&owned.conversation, "old").turn]).await.map(|_| 1)),
        ("begin", store.begin(user, asking(Some("key"))).await.map(|_| 1)),
        ("interrupt", found(store.interrupt(user, request).await)),
        ("renew", store.renew(&[(user, request)], lease).await.map(|to_stop| to_stop.len())),
        ("finish", store.finish(user, request).await.map(|()| 0)),
        ("abandon", store.abandon(user, request).await.map(|()| 0)),
        ("delete state", AgentStateRepository::delete(store, user, agent).await.map(usize::from)),
        ("delete", ConversationRepository::delete(store, user, id).await.map(usize::from)),
    ]
}

/// All rows, as the superuser sees them.
async fn rows(database: &TestPostgres) -> Vec<Vec<Option<String>>> {
    let mut rows = Vec::new();
    for table in
        ["conversations", "conversation_turns", "agent_states", "requests", "conversation_tombstones"]
    {
        rows.extend(database.query(&format!("SELECT t::text FROM {table} t ORDER BY 1")).await);
    }
    rows
}

#[tokio::test]
async fn r11_without_the_statements_own_conditions_a_foreign_user_still_gets_nothing() {
    let database = TestPostgres::secured().await;
    let (through, ways) = proxy::before(secured(&database.url_of(Role::Application))).await;
    let store = Postgres::connect(through).await.unwrap();
    let (ada, eve) = (Owned::new(&store).await, Owned::new(&store).await);
    let before = rows(&database).await;
    // Every statement asks for Eve's and names her; row-level security is told that it is Ada's. So the
    // statements' own conditions let all of Eve's through, and nothing else stands before it.
    let names = (eve.conversation.user_id, ada.conversation.user_id);
    ways.lock().unwrap().renamed = Some(names);
    for (method, outcome) in call(&store, &eve).await {
        match outcome {
            Ok(shown) => assert_eq!(shown, 0, "{method}"),
            Err(RepositoryError::NotFound { .. }) => {}
            // A row of Eve's that Ada would write.
            Err(RepositoryError::Denied { .. }) if ["create", "adopt", "begin"].contains(&method) => {}
            Err(error) => panic!("{method}: {error:?}"),
        }
    }
    assert_eq!(rows(&database).await, before, "nothing is written, changed or removed");
    // And the same calls do find and do everything where the setting is the right one.
    ways.lock().unwrap().renamed = None;
    for (method, outcome) in call(&store, &eve).await {
        let nothing = ["was_deleted", "finish", "abandon"].contains(&method);
        assert_eq!(outcome.unwrap(), usize::from(!nothing), "{method}");
    }
}

#[tokio::test]
async fn every_method_costs_one_round_trip_with_its_transaction() {
    let database = TestPostgres::secured().await;
    let (through, ways) = proxy::before(secured(&database.url_of(Role::Application))).await;
    let store = Postgres::connect(through).await.unwrap();
    // The first time, each statement is parsed.
    call(&store, &Owned::new(&store).await).await;
    let owned = Owned::new(&store).await;
    {
        let mut ways = ways.lock().unwrap();
        // Whoever waits for one answer before it asks for the next would now wait for ever: the beginning, the
        // statement and the commit have all to be sent before the first of their answers is given.
        ways.together = 3;
        ways.answers = 0;
    }
    let methods = call(&store, &owned).await;
    for (method, outcome) in &methods {
        assert!(outcome.is_ok(), "{method}: {outcome:?}");
    }
    // Deleting a state says what it did at once; it is asked again only where it did nothing.
    assert_eq!(ways.lock().unwrap().answers, 3 * methods.len());
}

#[tokio::test]
async fn renewing_for_several_users_goes_user_by_user() {
    let database = TestPostgres::secured().await;
    let store = store_as(&database, Role::Application).await;
    let (ada, eve) = (Owned::new(&store).await, Owned::new(&store).await);
    let both = [&ada, &eve, &ada].map(|owned| (owned.conversation.user_id, owned.request_id));
    for owned in [&ada, &eve] {
        store.interrupt(owned.conversation.user_id, owned.request_id).await.unwrap().unwrap();
    }
    let mut to_stop = store.renew(&both, Duration::from_hours(1)).await.unwrap();
    to_stop.sort();
    to_stop.dedup();
    let mut expected = vec![ada.request_id, eve.request_id];
    expected.sort();
    assert_eq!(to_stop, expected);
    let renewed = "SELECT count(*) FROM requests WHERE lease_until > now() + interval '50 minutes'";
    assert_eq!(database.value(renewed).await.as_deref(), Some("2"));
}
