//! W1 to W7, each one operation as a host runs it: through the services, with what it holds as values.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use lcs_app::PersistenceManager;
use lcs_app::archive::ArchiveError;
use lcs_domain::{
    AgentId, AgentStateUpdate, AppendTurn, Clock as _, ConversationId, ListConversations, Metadata,
    NewConversation, NewTurn, PageLimit, Payload, RepositoryError, SystemClock, Text, TurnId, TurnPage,
    TurnRange, UserId,
};

use crate::api::Api;
use crate::choice::Client;
use crate::dataset::{HOT_TURNS, MODEL, SYSTEM_PROMPT, Sizes, agent_id, conversation_id, user_id};
use crate::payload::Payloads;

/// How many conversations W4 lists, and how many turns W3:newest reads.
const NEWEST: u32 = 20;
/// What goes with each conversation that W7 removes: itself, its turns, its state.
const ROWS_OF_A_CONVERSATION: u64 = HOT_TURNS + 2;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Append a turn.
    Append,
    /// Append a turn with the agent's new state.
    AppendWithState,
    /// All turns of a conversation, in order.
    History,
    /// The newest 20 turns of a conversation.
    NewestTurns,
    /// A user's 20 newest conversations.
    List,
    /// An agent's state.
    State,
    /// Make a conversation.
    Create,
    /// Remove the conversations that have been idle too long; operations are the rows that went.
    Purge,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Append,
        Self::AppendWithState,
        Self::History,
        Self::NewestTurns,
        Self::List,
        Self::State,
        Self::Create,
        Self::Purge,
    ];

    /// What the harness calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Append => "W1",
            Self::AppendWithState => "W2",
            Self::History => "W3",
            Self::NewestTurns => "W3:newest",
            Self::List => "W4",
            Self::State => "W5",
            Self::Create => "W6",
            Self::Purge => "W7",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|workload| workload.as_str() == text);
        found.ok_or_else(|| format!("there is no workload {text:?}: write one of W1 to W7"))
    }
}

/// Why an operation does not count.
#[derive(Debug)]
pub enum Failure {
    /// The store refused it, or could not do it.
    Refused(Box<RepositoryError>),
    /// It gave something else than what is there.
    Wrong(&'static str),
    /// The service answered something else than a success, or nothing.
    Unanswered(String),
}

impl From<RepositoryError> for Failure {
    fn from(error: RepositoryError) -> Self {
        Self::Refused(Box::new(error))
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Store(error) => error.into(),
            _ => Self::Wrong("something was to be archived"),
        }
    }
}

impl fmt::Display for Failure {
    /// The kind of error alone, so that failures can be counted by it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => {
                let shown = format!("{error:?}");
                f.write_str(shown.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default())
            }
            Self::Wrong(what) => f.write_str(what),
            Self::Unanswered(what) => f.write_str(what),
        }
    }
}

/// What a host knows of a conversation. The ids are hashes of numbers: to make them is no part of an operation.
#[derive(Debug, Clone, Copy)]
struct Known {
    user: UserId,
    conversation: ConversationId,
    agent: AgentId,
}

impl Known {
    fn of(number: u64, sizes: Sizes) -> Self {
        Self { user: sizes.owner(number), conversation: conversation_id(number), agent: agent_id(number) }
    }
}

/// A host over one store: the services, what it has to store, and what its agents remember.
#[derive(Debug)]
pub struct Host {
    manager: PersistenceManager,
    payloads: Vec<Payloads>,
    sizes: Sizes,
    /// The conversations that are appended to and read, by their number less one.
    known: Vec<Known>,
    /// The users, by their number less one.
    users: Vec<UserId>,
    /// The revision of each agent's state that its agent stands at, where it has moved on from the first one.
    revisions: Mutex<HashMap<u64, u64>>,
    /// The service, where operations go to it in place of the services in this process.
    api: Option<Api>,
}

impl Host {
    /// A host over `manager`'s store, which holds the rows of `sizes`.
    #[must_use]
    pub fn new(manager: PersistenceManager, sizes: Sizes) -> Self {
        Self {
            manager,
            payloads: Payloads::all(),
            sizes,
            known: (1..=sizes.hot + sizes.history).map(|number| Known::of(number, sizes)).collect(),
            users: (1..=sizes.users).map(user_id).collect(),
            revisions: Mutex::default(),
            api: None,
        }
    }

    /// The same, over HTTP.
    #[must_use]
    pub fn over(self, api: Api) -> Self {
        Self { api: Some(api), ..self }
    }

    /// The services.
    #[must_use]
    pub const fn manager(&self) -> &PersistenceManager {
        &self.manager
    }

    /// Runs one operation, and says how many it counts for.
    ///
    /// # Errors
    /// What the store says, or that it gave something else than what is there.
    pub async fn operate(&self, workload: Workload, client: &mut Client) -> Result<u64, Failure> {
        if let Some(api) = &self.api {
            return self.ask(api, workload, client).await;
        }
        match workload {
            Workload::Append => self.append(client).await?,
            Workload::AppendWithState => self.append_with_state(client).await?,
            Workload::History => self.history(client).await?,
            Workload::NewestTurns => self.newest_turns(client).await?,
            Workload::List => self.list(client).await?,
            Workload::State => self.state(client).await?,
            Workload::Create => self.create(client).await?,
            Workload::Purge => return self.purge().await,
        }
        Ok(1)
    }

    async fn ask(&self, api: &Api, workload: Workload, client: &mut Client) -> Result<u64, Failure> {
        let failed = |error: Box<dyn Error + Send + Sync>| Failure::Unanswered(error.to_string());
        match workload {
            Workload::Append => {
                let known = self.named(|| client.hot());
                api.append(known.user, known.conversation, self.payloads(client)?).await.map_err(failed)?;
            }
            Workload::NewestTurns => {
                let known = self.named(|| client.history());
                api.newest(known.user, known.conversation, NEWEST).await.map_err(failed)?;
            }
            _ => return Err(Failure::Wrong("over HTTP there are W1 and W3:newest")),
        }
        Ok(1)
    }

    /// The next conversation whose user can be named by his id: one of version 5 looks as if it stood for a name.
    fn named(&self, mut next: impl FnMut() -> u64) -> Known {
        loop {
            let known = self.known(next());
            if UserId::from_text(&known.user.to_string()) == known.user {
                return known;
            }
        }
    }

    fn known(&self, number: u64) -> Known {
        let place = usize::try_from(number - 1).unwrap_or(usize::MAX);
        self.known.get(place).copied().unwrap_or_else(|| Known::of(number, self.sizes))
    }

    fn user(&self, client: &mut Client) -> UserId {
        let number = client.user();
        let place = usize::try_from(number - 1).unwrap_or(usize::MAX);
        self.users.get(place).copied().unwrap_or_else(|| user_id(number))
    }

    fn payloads(&self, client: &Client) -> Result<&Payloads, Failure> {
        self.payloads.get(client.variant()).ok_or(Failure::Wrong("there is no such variant"))
    }

    async fn append(&self, client: &mut Client) -> Result<(), Failure> {
        let known = self.known(client.hot());
        let append = AppendTurn {
            conversation_id: known.conversation,
            turn: turn(self.payloads(client)?)?,
            expected_turn_count: None,
            agent_state: None,
        };
        self.manager.conversation_service().append_turn(known.user, append).await?;
        Ok(())
    }

    async fn append_with_state(&self, client: &mut Client) -> Result<(), Failure> {
        let number = client.hot();
        let known = self.known(number);
        let payloads = self.payloads(client)?;
        let first = u64::from(number <= self.sizes.hot);
        let revision = self.revisions().get(&number).copied().unwrap_or(first);
        let append = AppendTurn {
            conversation_id: known.conversation,
            turn: turn(payloads)?,
            expected_turn_count: None,
            agent_state: Some(AgentStateUpdate {
                agent_id: known.agent,
                agent_config: Some(Payload::from_value(&payloads.agent_config)?),
                current_state: Payload::from_value(&payloads.current_state)?,
                expected_revision: revision,
            }),
        };
        let service = self.manager.conversation_service();
        let appended = service.append_turn(known.user, append).await?;
        self.revisions().insert(number, appended.state_revision);
        Ok(())
    }

    fn revisions(&self) -> std::sync::MutexGuard<'_, HashMap<u64, u64>> {
        self.revisions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn history(&self, client: &mut Client) -> Result<(), Failure> {
        let number = client.history();
        let mut last = 0;
        loop {
            let page = self.page(number, TurnRange::After(last), PageLimit::MAX).await?;
            if page.turns.first().is_none_or(|turn| turn.turn_number != last + 1) {
                return Err(Failure::Wrong("turns are missing"));
            }
            last = page.turns.last().map_or(last, |turn| turn.turn_number);
            if !page.has_later() {
                return Ok(());
            }
        }
    }

    async fn newest_turns(&self, client: &mut Client) -> Result<(), Failure> {
        let page = self.page(client.history(), TurnRange::Newest, PageLimit::new(NEWEST)?).await?;
        if page.turns.is_empty() { Err(Failure::Wrong("turns are missing")) } else { Ok(()) }
    }

    async fn page(&self, number: u64, range: TurnRange, limit: PageLimit) -> Result<TurnPage, Failure> {
        let known = self.known(number);
        let service = self.manager.conversation_service();
        let page = service.get_turns(known.user, known.conversation, range, limit).await?;
        page.ok_or(Failure::Wrong("the conversation is missing"))
    }

    async fn list(&self, client: &mut Client) -> Result<(), Failure> {
        let list = ListConversations { limit: PageLimit::new(NEWEST)?, ..ListConversations::default() };
        let user = self.user(client);
        let page = self.manager.conversation_service().list_conversations(user, list).await?;
        if page.conversations.is_empty() { Err(Failure::Wrong("conversations are missing")) } else { Ok(()) }
    }

    async fn state(&self, client: &mut Client) -> Result<(), Failure> {
        let known = self.known(client.any_hot());
        let service = self.manager.agent_state_service();
        let state = service.get_agent_state(known.user, known.agent).await?;
        if state.is_none() { Err(Failure::Wrong("the state is missing")) } else { Ok(()) }
    }

    async fn create(&self, client: &mut Client) -> Result<(), Failure> {
        let mut new = NewConversation::begin(Text::name(MODEL, "/model_id")?);
        new.system_prompt = Some(Text::prompt(SYSTEM_PROMPT, "/system_prompt")?);
        new.metadata = Metadata::from_value(&self.payloads(client)?.metadata)?;
        let user = self.user(client);
        self.manager.conversation_service().create_conversation(user, new).await?;
        Ok(())
    }

    async fn purge(&self) -> Result<u64, Failure> {
        let report = self.manager.retention().cleanup_old_conversations(|_| ()).await?;
        Ok(report.total() * ROWS_OF_A_CONVERSATION)
    }
}

/// A new turn of what a host holds.
fn turn(payloads: &Payloads) -> Result<NewTurn, RepositoryError> {
    let now = SystemClock.now();
    NewTurn::new(
        TurnId::generate(),
        Payload::from_value(&payloads.input_messages)?,
        Some(Payload::from_value(&payloads.output_message)?),
        now,
        now,
        Metadata::from_value(&payloads.metadata)?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_is_known_by_its_name() {
        for workload in Workload::ALL {
            assert_eq!(workload.as_str().parse(), Ok(workload));
        }
        assert!("W8".parse::<Workload>().is_err());
    }

    #[test]
    fn failures_are_counted_by_their_kind() {
        let failure = Failure::from(RepositoryError::unavailable("host 1 did not answer"));
        assert_eq!(failure.to_string(), "Unavailable");
    }
}
