//! Runs one history against a store and the memory model, and compares what they answer.

use std::sync::Arc;

use chrono::DateTime;
use lcs_domain::conversation::OpenStatus;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentId, AgentStateUpdate, AppendTurn, Clock, ConversationId, ConversationStatus, ConversationUpdate,
    ListConversations, Metadata, NewConversation, NewTurn, PageLimit, Payload, Repositories, RetentionPolicy,
    SaveAgentState, SystemClock, Text, TurnId, TurnRange, UserId,
};
use serde::Serialize;
use serde_json::Value;

use super::super::Harness;
use super::super::fixture::{LONG_AGO, policy};
use super::command::{Action, CONVERSATIONS, Command, Expected, Range, State, TURNS, Topic, USERS};
use crate::memory::Memory;

/// The ids that the small numbers of a history stand for: new ones for each run.
struct Names {
    users: Vec<UserId>,
    conversations: Vec<ConversationId>,
    agents: Vec<AgentId>,
    turns: Vec<TurnId>,
}

/// The head of a conversation, as the model sees it: what is expected where a command expects the current.
#[derive(Clone, Copy, Default)]
struct Current {
    turn_count: u32,
    state_revision: u64,
}

/// Whether the store answers every step of the history as the model does; otherwise what differs.
pub(super) async fn equals_the_model(harness: &dyn Harness, history: &[Command]) -> Result<(), String> {
    let names = Names {
        users: (0..USERS).map(|_| UserId::generate()).collect(),
        conversations: (0..CONVERSATIONS).map(|_| ConversationId::generate()).collect(),
        agents: (0..=CONVERSATIONS).map(|_| AgentId::generate()).collect(),
        turns: (0..TURNS).map(|_| TurnId::generate()).collect(),
    };
    // Two handles, by turns: what one has written the other has to know.
    let stores = [harness.open().await, harness.open().await];
    let model = Arc::new(Memory::new(Arc::new(SystemClock)));
    // A history before this one has left its conversations.
    empty(&*stores[0]).await;
    for (step, command) in history.iter().enumerate() {
        let current = names.current(&model, command).await;
        if let Action::Age = command.action {
            let conversation_id = names.conversations[command.conversation];
            model.age(conversation_id, LONG_AGO);
            harness.age(conversation_id, LONG_AGO).await;
        }
        let expected = names.apply(&*model, command, current).await;
        let found = names.apply(&*stores[step % 2], command, current).await;
        let difference = |what: &str, expected: &Value, found: &Value| {
            Err(format!("step {step}, {what}: {command:?}\nexpected: {expected}\n     got: {found}"))
        };
        if expected != found {
            return difference("its answer", &expected, &found);
        }
        let seen = names.look(&*model, command).await;
        let found = names.look(&*stores[(step + 1) % 2], command).await;
        if seen != found {
            return difference("what is read after it", &seen, &found);
        }
        tick().await;
    }
    Ok(())
}

/// Waits for the next microsecond, so that no two steps have the same time on either side.
async fn tick() {
    let now = SystemClock.now();
    while SystemClock.now() <= now {
        tokio::task::yield_now().await;
    }
}

async fn empty(store: &dyn Repositories) {
    tick().await;
    let everything = RetentionPolicy::idle_longer_than(std::time::Duration::ZERO).expect("a policy");
    loop {
        let report = store.retention().purge_batch(everything, PageLimit::MAX).await;
        if report.expect("a batch is purged").purged.is_empty() {
            return;
        }
    }
}

/// What a method answered, without what no two stores share: times and durability.
fn answer<T: Serialize>(result: RepositoryResult<T>) -> Value {
    match result {
        Ok(value) => {
            let text = serde_json::to_string(&value).expect("an answer is a document");
            let mut value = serde_json::from_str(&text).expect("a document");
            normalise(&mut value);
            serde_json::json!({ "Ok": value })
        }
        Err(error) => serde_json::json!({ "Err": format!("{error:?}") }),
    }
}

fn normalise(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            for volatile in ["created_at", "updated_at", "durability"] {
                entries.remove(volatile);
            }
            if let Some(next) = entries.get_mut("next") {
                *next = Value::Bool(!next.is_null());
            }
            if let Some(Value::Array(purged)) = entries.get_mut("purged") {
                purged.sort_by_key(Value::to_string);
            }
            entries.values_mut().for_each(normalise);
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        _ => {}
    }
}

fn document(number: u8) -> Payload {
    // Every fourth needs the sealed form.
    let text = if number.is_multiple_of(4) { "a\u{0}b" } else { "ab" };
    Payload::from_value(&serde_json::json!({ "n": number, "t": text })).expect("a document")
}

impl Names {
    async fn current(&self, model: &Memory, command: &Command) -> Current {
        let conversation_id = self.conversations[command.conversation];
        for user_id in &self.users {
            let head = model.conversations().head(*user_id, conversation_id).await.expect("a head");
            if let Some(head) = head {
                return Current { turn_count: head.turn_count, state_revision: head.state_revision };
            }
        }
        Current::default()
    }

    /// The agent of this number; past the last of them, the conversation's own.
    fn agent(&self, agent: usize, conversation: usize) -> AgentId {
        self.agents[if agent < CONVERSATIONS { agent } else { conversation }]
    }

    fn state(&self, state: &State, conversation: usize, current: Current) -> AgentStateUpdate {
        AgentStateUpdate {
            agent_id: self.agents[state.agent.unwrap_or(conversation)],
            agent_config: state.config.map(document),
            current_state: document(state.config.map_or(1, |number| number.wrapping_add(1))),
            expected_revision: match state.expected {
                Expected::Current => current.state_revision,
                Expected::Off => current.state_revision + 1,
            },
        }
    }

    fn append(&self, command: &Command, current: Current) -> Option<AppendTurn> {
        let Action::Append { turn, content, expected, state } = &command.action else {
            return None;
        };
        let (at, said) = (DateTime::UNIX_EPOCH, document(u8::from(*content)));
        let turn = NewTurn::new(self.turns[*turn], said, None, at, at, Metadata::default());
        Some(AppendTurn {
            conversation_id: self.conversations[command.conversation],
            turn: turn.expect("a turn"),
            expected_turn_count: expected.map(|expected| match expected {
                Expected::Current => current.turn_count,
                Expected::Off => current.turn_count + 1,
            }),
            agent_state: state.as_ref().map(|state| self.state(state, command.conversation, current)),
        })
    }

    /// Does it, and gives all that was answered.
    async fn apply(&self, store: &dyn Repositories, command: &Command, current: Current) -> Value {
        let user = self.users[command.user];
        let id = self.conversations[command.conversation];
        if let Some(append) = self.append(command, current) {
            return answer(store.turns().append(user, append).await);
        }
        match &command.action {
            Action::Create { agent, model, external_id } => {
                let new = NewConversation {
                    conversation_id: id,
                    agent_id: self.agent(*agent, command.conversation),
                    external_id: external_id.map(|which| Text::from_stored(which.to_string())),
                    ..NewConversation::begin(Text::from_stored(model.to_string()))
                };
                answer(store.conversations().create(user, new).await)
            }
            Action::List { archived, limit } => {
                list(store, user, *archived, PageLimit::new(*limit).expect("a page size")).await
            }
            Action::Update { topic, archive, metadata } => {
                let update = ConversationUpdate {
                    topic_summary: topic.map(|topic| match topic {
                        Topic::Set(number) => Some(Text::from_stored(number.to_string())),
                        Topic::Remove => None,
                    }),
                    status: archive.map(|yes| if yes { OpenStatus::Archived } else { OpenStatus::Active }),
                    metadata: metadata.map(|n| Metadata::from_stored(format!("{{\"n\":{n}}}"))),
                    expected_updated_at: None,
                };
                answer(store.conversations().update(user, id, update).await)
            }
            Action::Delete => answer(store.conversations().delete(user, id).await),
            Action::Turn { turn } => answer(store.turns().get(user, id, self.turns[*turn]).await),
            Action::Page { range, limit } => {
                let range = match range {
                    Range::After(number) => TurnRange::After(*number),
                    Range::Before(number) => TurnRange::Before(*number),
                    Range::Newest => TurnRange::Newest,
                };
                let limit = PageLimit::new(*limit).expect("a page size");
                answer(store.turns().page(user, id, range, limit).await)
            }
            Action::Save { state, seen } => {
                let update = self.state(state, command.conversation, current);
                let save = SaveAgentState {
                    agent_id: update.agent_id,
                    conversation_id: id,
                    current_state: update.agent_config.is_some().then_some(update.current_state),
                    agent_config: update.agent_config,
                    expected_revision: update.expected_revision,
                    through_turn: current.turn_count.saturating_add_signed(*seen),
                };
                answer(store.agent_states().save(user, save).await)
            }
            Action::DeleteState { agent } => {
                answer(store.agent_states().delete(user, self.agents[*agent]).await)
            }
            Action::CountDue => answer(store.retention().count_due(policy()).await),
            Action::Purge => answer(store.retention().purge_batch(policy(), PageLimit::MAX).await),
            Action::Look | Action::Age | Action::Append { .. } => Value::Null,
        }
    }

    /// Everything that can be read of a conversation.
    async fn look(&self, store: &dyn Repositories, command: &Command) -> Value {
        let user = self.users[command.user];
        let id = self.conversations[command.conversation];
        let agent = self.agents[command.conversation];
        Value::Array(vec![
            answer(store.conversations().get(user, id).await),
            answer(store.conversations().head(user, id).await),
            answer(store.turns().page(user, id, TurnRange::After(0), PageLimit::MAX).await),
            answer(store.agent_states().get(user, agent).await),
            answer(store.agent_states().get_by_conversation(user, id).await),
        ])
    }
}

/// All pages of a list.
async fn list(store: &dyn Repositories, user: UserId, archived: Option<bool>, limit: PageLimit) -> Value {
    let status =
        archived.map(|yes| if yes { ConversationStatus::Archived } else { ConversationStatus::Active });
    let (mut after, mut pages) = (None, Vec::new());
    loop {
        let page = store.conversations().list(user, ListConversations { after, limit, status }).await;
        after = page.as_ref().ok().and_then(|page| page.next);
        pages.push(answer(page));
        if after.is_none() {
            return Value::Array(pages);
        }
    }
}
