//! P9 as one table: every operation on a thing of the caller's own, another user's, nobody's, one that is deleted,
//! and none at all. Another user's is answered byte for byte as nobody's, and nothing of theirs changes.

use std::time::Duration;

use http::Method;
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_domain::{BeginRequest, ConversationId, Repositories as _, RequestId, TurnId, UserId};
use lcs_storage::postgres::PostgresConfig;
use lcs_storage::testing::{Role, TestPostgres};
use serde_json::{Value, json};

use crate::api::{Answer, Api};

const ADA: &str = "ada";
const EVE: &str = "eve";
const ABSENT: &str = "018f3a5c-7d1e-7b3a-9c55-0242ac120002";
const MALFORMED: &str = "no-id-at-all";

/// What a path or a body is about: `{c}` is a conversation, `{a}` its agent, `{r}` a request.
struct Target {
    conversation: String,
    agent: String,
    request: String,
}

impl Target {
    fn of(id: &str) -> Self {
        Self { conversation: id.to_owned(), agent: id.to_owned(), request: id.to_owned() }
    }

    /// A conversation of `user` with a turn and an agent's state, and a request that is being answered.
    async fn made(api: &Api, user: &str) -> Self {
        let made = api.post(&format!("/v1/conversations?user_id={user}"), &json!({})).await.expect(201);
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        let (conversation, agent) = (text("conversation_id"), text("agent_id"));
        let turn = json!({ "input_messages": format!("{user}'s words"), "agent_state": {
            "agent_id": agent, "current_state": user, "expected_revision": 0,
        } });
        let turns = format!("/v1/conversations/{conversation}/turns?user_id={user}");
        api.post(&turns, &turn).await.expect(201);
        let begin = BeginRequest {
            request_id: RequestId::generate(),
            idempotency_key: None,
            request_hash: [7; 32],
            conversation_id: ConversationId::generate(),
            turn_id: TurnId::generate(),
            lease: Duration::from_mins(10),
        };
        let request = begin.request_id.to_string();
        let requests = api.service.manager().repositories();
        requests.requests().begin(UserId::from_text(user), begin).await.unwrap();
        Self { conversation, agent, request }
    }

    fn fill(&self, template: &str) -> String {
        template.replace("{c}", &self.conversation).replace("{a}", &self.agent).replace("{r}", &self.request)
    }

    /// An answer without what it repeats of the question.
    fn neutral(&self, answer: &Answer) -> (u16, String, String) {
        let ids = [&self.conversation, &self.agent, &self.request];
        let text = ids.into_iter().fold(answer.text.clone(), |text, id| text.replace(id.as_str(), "ID"));
        (answer.status, answer.header("content-type").to_owned(), text)
    }
}

/// An operation: method, path, headers, body; and what it answers to a thing of the caller's own.
struct Operation(Method, &'static str, &'static [(&'static str, &'static str)], Option<Value>, u16);

/// Every operation that names a thing. What creates or lists is in the other test.
fn operations() -> Vec<Operation> {
    let summary = Some(json!({ "topic_summary": "mine" }));
    let turn = json!({ "input_messages": "x" });
    let stated = json!({ "input_messages": "x", "agent_state": {
        "agent_id": "{a}", "current_state": 1, "expected_revision": 1,
    } });
    let state = json!({ "conversation_id": "{c}", "current_state": 2, "through_turn": 1 });
    let query = json!({ "query": "who am I?", "conversation_id": "{c}" });
    let interrupt = json!({ "request_id": "{r}" });
    vec![
        Operation(Method::GET, "/v1/conversations/{c}", &[], None, 200),
        Operation(Method::GET, "/v2/conversations/{c}", &[], None, 200),
        Operation(Method::PUT, "/v1/conversations/{c}", &[], summary.clone(), 200),
        Operation(Method::PUT, "/v2/conversations/{c}", &[], summary, 200),
        Operation(Method::GET, "/v1/conversations/{c}/turns", &[], None, 200),
        Operation(Method::POST, "/v1/conversations/{c}/turns", &[], Some(turn), 201),
        Operation(Method::POST, "/v1/conversations/{c}/turns", &[], Some(stated), 201),
        Operation(Method::GET, "/v1/conversations/{c}/expiry", &[], None, 200),
        Operation(Method::GET, "/v1/conversations/{c}/agent", &[], None, 200),
        Operation(Method::GET, "/v1/agents/{a}/state", &[], None, 200),
        Operation(Method::PUT, "/v1/agents/{a}/state", &[("If-Match", "\"2\"")], Some(state), 200),
        Operation(Method::DELETE, "/v1/agents/{a}/state", &[], None, 200),
        Operation(Method::POST, "/v1/query", &[], Some(query.clone()), 200),
        Operation(Method::POST, "/v1/streaming_query", &[], Some(query), 200),
        Operation(Method::POST, "/v1/streaming_query/interrupt", &[], Some(interrupt), 200),
        Operation(Method::DELETE, "/v1/conversations/{c}", &[], None, 200),
        Operation(Method::DELETE, "/v2/conversations/{c}", &[], None, 200),
    ]
}

async fn asked(api: &Api, operation: &Operation, target: &Target) -> Answer {
    let Operation(method, path, headers, body, _) = operation;
    let path = format!("{}?user_id={ADA}", target.fill(path));
    match body {
        Some(body) => {
            let body: Value = serde_json::from_str(&target.fill(&body.to_string())).unwrap();
            api.send_json(method.clone(), &path, headers, &body).await
        }
        None => api.call(method.clone(), &path, headers).await,
    }
}

/// All that Eve can see of her own.
async fn hers(api: &Api, her: &Target) -> Vec<String> {
    let mut seen = Vec::new();
    for path in [
        "/v1/conversations",
        "/v2/conversations",
        "/v1/conversations/{c}",
        "/v1/conversations/{c}/turns",
        "/v1/conversations/{c}/agent",
        "/v1/agents/{a}/state",
    ] {
        seen.push(api.get(&format!("{}?user_id={EVE}", her.fill(path))).await.text);
    }
    seen
}

async fn p9_holds(api: &Api) {
    let (own, foreign, deleted) =
        (Target::made(api, ADA).await, Target::made(api, EVE).await, Target::made(api, ADA).await);
    let path = deleted.fill("/v1/conversations/{c}");
    api.delete(&format!("{path}?user_id={ADA}")).await.expect(200);
    let requests = api.service.manager().repositories();
    let request = deleted.request.parse().unwrap();
    requests.requests().abandon(UserId::from_text(ADA), request).await.unwrap();
    let before = hers(api, &foreign).await;
    let absent = Target::of(ABSENT);
    for operation in operations() {
        let name = format!("{} {}", operation.0, operation.1);
        let nobody_s = absent.neutral(&asked(api, &operation, &absent).await);
        for (what, target) in [("foreign", &foreign), ("deleted", &deleted)] {
            assert_eq!(target.neutral(&asked(api, &operation, target).await), nobody_s, "{name}: {what}");
        }
        let malformed = asked(api, &operation, &Target::of(MALFORMED)).await;
        assert!(matches!(malformed.status, 400 | 422), "{name}: malformed: {malformed:?}");
        assert_eq!(hers(api, &foreign).await, before, "{name}");
        // Last, because some of them end it.
        let mine = asked(api, &operation, &own).await;
        assert_eq!(mine.status, operation.4, "{name}: own: {}", mine.text);
    }
    // Hers is there, and goes on.
    let turns = foreign.fill("/v1/conversations/{c}/turns");
    let turn = json!({ "input_messages": "still here" });
    assert_eq!(api.post(&format!("{turns}?user_id={EVE}"), &turn).await.expect(201)["turn_number"], 2);
}

/// What another user's id does inside a request about something of the caller's own, and in lists.
async fn p9_holds_inside(api: &Api) {
    let (own, foreign) = (Target::made(api, ADA).await, Target::made(api, EVE).await);
    let before = hers(api, &foreign).await;
    let turns = format!("{}?user_id={ADA}", own.fill("/v1/conversations/{c}/turns"));
    let mut answers = Vec::new();
    for agent in [ABSENT, &foreign.agent] {
        let turn = json!({ "input_messages": "x", "agent_state": {
            "agent_id": agent, "current_state": 1, "expected_revision": 1,
        } });
        let stored = api.post(&turns, &turn).await;
        let state = json!({ "conversation_id": own.conversation, "current_state": 1, "through_turn": 1 });
        let path = format!("/v1/agents/{agent}/state?user_id={ADA}");
        let saved = api.send_json(Method::PUT, &path, &[("If-Match", "\"1\"")], &state).await;
        let target = Target { agent: agent.to_owned(), ..Target::of(&own.conversation) };
        answers.push((target.neutral(&stored), target.neutral(&saved)));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!((answers[0].0.0, answers[0].1.0), (404, 404));
    // A place in her list is a place in his: what comes behind it is his own.
    for version in ["v1", "v2"] {
        let list = api.get(&format!("/{version}/conversations?user_id={ADA}&limit=200")).await;
        assert!(!list.text.contains(&foreign.conversation), "{}", list.text);
        assert!(list.text.contains(&own.conversation), "{}", list.text);
    }
    assert_eq!(hers(api, &foreign).await, before);
}

#[tokio::test]
async fn p9_what_is_foreign_is_as_what_is_absent() {
    let api = Api::memory().await;
    p9_holds(&api).await;
    p9_holds_inside(&api).await;
}

#[tokio::test]
async fn p9_holds_under_row_level_security() {
    let database = TestPostgres::secured().await;
    let config = PostgresConfig::from_url(&database.url_of(Role::Application)).unwrap();
    let config = PostgresConfig { row_level_security: true, ..config };
    let api = Api::over(Configuration::new(StoreConfiguration::Postgresql(Box::new(config)))).await;
    p9_holds(&api).await;
    p9_holds_inside(&api).await;
}
