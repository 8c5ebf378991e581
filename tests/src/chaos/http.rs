//! A replica behind HTTP.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hyper::Method;
use hyper::header::{HeaderName, IF_MATCH};
use lcs_domain::Durability;
use serde_json::{Value, json};

use super::history::{Element, Page, Placed, Seen};
use super::replica::{Append, Conversation, Refusal, Replica, Reply, element_of_state, state, turn};
use crate::connection::{Answered, Connection};

/// How long an answer may take: longer than the service's own limits.
const PATIENCE: Duration = Duration::from_secs(15);
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const DURABILITY: &str = "persistence-durability";

/// Where a process listens now: another place after each of its starts.
#[derive(Debug, Clone, Default)]
pub struct Address(Arc<Mutex<String>>);

impl Address {
    /// It listens here from now on.
    pub fn set(&self, address: &str) {
        address.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Where it listens.
    #[must_use]
    pub fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A process, as one client reaches it: on a connection that is kept alive.
#[derive(Debug)]
pub struct Http {
    address: Address,
    connection: tokio::sync::Mutex<(String, Connection)>,
}

impl Http {
    /// The process at `address`.
    #[must_use]
    pub fn new(address: Address) -> Self {
        let at = address.get();
        Self { address, connection: tokio::sync::Mutex::new((at.clone(), Connection::new(at, PATIENCE))) }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, String)],
        body: Option<Value>,
    ) -> Result<Answered, Refusal> {
        let mut connection = self.connection.lock().await;
        let at = self.address.get();
        if connection.0 != at {
            *connection = (at.clone(), Connection::new(at, PATIENCE));
        }
        let answered = connection.1.ask(method, path, headers, body.as_ref()).await;
        let answered = answered.map_err(|broken| {
            if broken.was_sent {
                Refusal::Unknown("the connection broke".into())
            } else {
                Refusal::NotDone("no connection".into())
            }
        })?;
        match answered.status {
            200..=299 => Ok(answered),
            _ => Err(refusal(&answered)),
        }
    }
}

/// What a refusal says of whether it was done.
fn refusal(answered: &Answered) -> Refusal {
    let response = answered.body.pointer("/detail/response").and_then(Value::as_str).unwrap_or_default();
    let said = || format!("{} {response}", answered.status);
    match (answered.status, response) {
        (404, _) => Refusal::Absent,
        (412, _) | (409, "Conflict") => Refusal::Conflict,
        (503, _) if answered.retry_after().is_none() => {
            Refusal::Wrong(format!("{} without Retry-After", said()))
        }
        (503, "Outcome unknown" | "Request timed out") => Refusal::Unknown(said()),
        (503 | 429, _) => Refusal::NotDone(said()),
        _ => Refusal::Wrong(said()),
    }
}

/// How durable the answer says that it is.
fn durability(answered: &Answered) -> Result<Durability, Refusal> {
    let said = answered.headers.get(DURABILITY).and_then(|value| value.to_str().ok());
    let said = said.and_then(|said| serde_json::from_value(said.into()).ok());
    said.ok_or_else(|| Refusal::Wrong("an answer that does not say how durable it is".into()))
}

fn text(body: &Value, name: &str) -> Result<String, Refusal> {
    let value = body.get(name).and_then(Value::as_str);
    value.map(str::to_owned).ok_or_else(|| Refusal::Wrong(format!("an answer without {name}")))
}

fn number(body: &Value, name: &str) -> Result<u64, Refusal> {
    body.get(name).and_then(Value::as_u64).ok_or_else(|| Refusal::Wrong(format!("an answer without {name}")))
}

fn small(body: &Value, name: &str) -> Result<u32, Refusal> {
    u32::try_from(number(body, name)?).map_err(|_| Refusal::Wrong(format!("{name} is too large")))
}

#[async_trait]
impl Replica for Http {
    async fn create(&self, user: u32, number: u64) -> Reply<Conversation> {
        let path = format!("/v1/conversations?user_id=user-{user}");
        let key = [(IDEMPOTENCY_KEY, format!("conversation-{number}"))];
        let answered = self.ask(Method::POST, &path, &key, Some(json!({ "model_id": "chaos" }))).await?;
        let (id, agent) = (text(&answered.body, "conversation_id")?, text(&answered.body, "agent_id")?);
        Ok((Conversation { number, user, id, agent }, durability(&answered)?))
    }

    async fn append(&self, conversation: &Conversation, append: &Append) -> Reply<Placed> {
        let Conversation { user, id, agent, .. } = conversation;
        let path = format!("/v1/conversations/{id}/turns?user_id=user-{user}");
        let key = [(IDEMPOTENCY_KEY, format!("element-{}", append.element))];
        let mut body = json!({ "input_messages": append.content });
        if let Some(from) = append.state_from {
            let state = json!({
                "agent_id": agent, "current_state": state(append.element), "expected_revision": from,
            });
            body.as_object_mut().map(|body| body.insert("agent_state".into(), state));
        }
        let answered = self.ask(Method::POST, &path, &key, Some(body)).await?;
        let turn = answered.body.get("turn_number").and_then(Value::as_u64);
        let turn = turn.and_then(|turn| u32::try_from(turn).ok());
        Ok((Placed { turn, revision: number(&answered.body, "state_revision")? }, durability(&answered)?))
    }

    async fn read(
        &self,
        user: u32,
        conversation: &Conversation,
        after: Option<u32>,
        limit: u32,
    ) -> Reply<Page> {
        let behind = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let id = &conversation.id;
        let path = format!("/v1/conversations/{id}/turns?user_id=user-{user}&limit={limit}{behind}");
        let answered = self.ask(Method::GET, &path, &[], None).await?;
        let shown = answered.body.get("turns").and_then(Value::as_array);
        let shown = shown.ok_or_else(|| Refusal::Wrong("an answer without turns".into()))?;
        let mut turns = Vec::with_capacity(shown.len());
        for stored in shown {
            turns.push(turn(
                small(stored, "turn_number")?,
                stored.get("input_messages").unwrap_or(&Value::Null),
            ));
        }
        let turn_count = small(&answered.body, "turn_count")?;
        Ok((Page { after, limit, turn_count, turns }, durability(&answered)?))
    }

    async fn state(&self, user: u32, conversation: &Conversation) -> Reply<Seen> {
        let path = format!("/v1/conversations/{}/agent?user_id=user-{user}", conversation.id);
        let answered = self.ask(Method::GET, &path, &[], None).await?;
        let seen = match answered.body.get("state").filter(|state| !state.is_null()) {
            None => Seen::default(),
            Some(stored) => Seen {
                revision: number(stored, "revision")?,
                through_turn: small(stored, "through_turn")?,
                element: element_of_state(stored.get("current_state").unwrap_or(&Value::Null)),
            },
        };
        Ok((seen, durability(&answered)?))
    }

    async fn put(
        &self,
        conversation: &Conversation,
        element: Element,
        from: u64,
        through_turn: u32,
    ) -> Reply<u64> {
        let Conversation { user, id, agent, .. } = conversation;
        let path = format!("/v1/agents/{agent}/state?user_id=user-{user}");
        let precondition = [(IF_MATCH, format!("\"{from}\""))];
        let body = json!({
            "conversation_id": id, "current_state": state(element), "through_turn": through_turn,
        });
        let answered = self.ask(Method::PUT, &path, &precondition, Some(body)).await?;
        Ok((number(&answered.body, "revision")?, durability(&answered)?))
    }

    async fn list(&self, user: u32) -> Reply<Vec<String>> {
        let answered =
            self.ask(Method::GET, &format!("/v1/conversations?user_id=user-{user}"), &[], None).await?;
        let shown = answered.body.get("conversations").and_then(Value::as_array);
        let shown = shown.ok_or_else(|| Refusal::Unknown("a list that breaks off".into()))?;
        let ids = shown.iter().map(|one| text(one, "conversation_id")).collect::<Result<_, _>>()?;
        // A list is streamed from the database, and from nowhere else.
        Ok((ids, durability(&answered).unwrap_or(Durability::Durable)))
    }

    async fn delete(&self, conversation: &Conversation) -> Reply<()> {
        let Conversation { user, id, .. } = conversation;
        let path = format!("/v1/conversations/{id}?user_id=user-{user}");
        let answered = self.ask(Method::DELETE, &path, &[], None).await?;
        match answered.body.get("deleted").and_then(Value::as_bool) {
            Some(true) => Ok(((), Durability::Durable)),
            _ => Err(Refusal::Absent),
        }
    }
}
