//! What the tests of the suite share: a user at a store, commands with little to write, and refusals.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::DateTime;
use lcs_domain::conversation::OpenStatus;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentState, AgentStateUpdate, AppendTurn, Appended, Conversation, ConversationId, ConversationUpdate,
    Entity, Head, ListConversations, Metadata, NewConversation, NewTurn, PageLimit, Payload,
    PurgedConversation, Repositories, RepositoryError, RetentionPolicy, SaveAgentState, Saved, Text, Turn,
    TurnId, TurnPage, TurnRange, UserId,
};

use super::Harness;

/// Longer than [`IDLE`].
pub(crate) const LONG_AGO: Duration = Duration::from_hours(100 * 24);
/// How long the policies of the suite let a conversation be idle: longer than any test takes.
const IDLE: Duration = Duration::from_hours(90 * 24);

/// A user at a store.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) store: Arc<dyn Repositories>,
    pub(crate) user_id: UserId,
}

impl Client {
    /// A new user at a handle of their own.
    pub(crate) async fn of(harness: &dyn Harness) -> Self {
        Self { store: harness.open().await, user_id: UserId::generate() }
    }

    /// The same user at another handle.
    pub(crate) async fn at_another_handle(&self, harness: &dyn Harness) -> Self {
        Self { store: harness.open().await, user_id: self.user_id }
    }

    /// Another user at the same handle.
    pub(crate) fn somebody_else(&self) -> Self {
        Self { store: Arc::clone(&self.store), user_id: UserId::generate() }
    }

    pub(crate) async fn create(&self, new: NewConversation) -> RepositoryResult<Conversation> {
        self.store.conversations().create(self.user_id, new).await
    }

    /// A new conversation.
    pub(crate) async fn begin(&self) -> Conversation {
        self.create(beginning()).await.expect("a new conversation is created")
    }

    pub(crate) async fn get(&self, conversation: &Conversation) -> Option<Conversation> {
        let found = self.store.conversations().get(self.user_id, conversation.conversation_id).await;
        found.expect("a conversation is looked up")
    }

    pub(crate) async fn head(&self, conversation: &Conversation) -> Option<Head> {
        let found = self.store.conversations().head(self.user_id, conversation.conversation_id).await;
        found.expect("a head is looked up")
    }

    /// All conversations that a list shows, page by page.
    pub(crate) async fn list(&self, list: ListConversations) -> Vec<Conversation> {
        let (mut list, mut all) = (list, Vec::new());
        loop {
            let page = self.store.conversations().list(self.user_id, list).await;
            let page = page.expect("conversations are listed");
            all.extend(page.conversations);
            list.after = page.next;
            if list.after.is_none() {
                return all;
            }
        }
    }

    pub(crate) async fn update(
        &self,
        conversation: &Conversation,
        update: ConversationUpdate,
    ) -> RepositoryResult<Conversation> {
        self.store.conversations().update(self.user_id, conversation.conversation_id, update).await
    }

    pub(crate) async fn archive(&self, conversation: &Conversation) -> Conversation {
        let archived = self.update(conversation, to_status(OpenStatus::Archived)).await;
        archived.expect("a conversation is archived")
    }

    pub(crate) async fn delete(&self, conversation: &Conversation) -> bool {
        let deleted = self.store.conversations().delete(self.user_id, conversation.conversation_id).await;
        deleted.expect("a conversation is deleted")
    }

    pub(crate) async fn append(&self, append: AppendTurn) -> RepositoryResult<Appended> {
        self.store.turns().append(self.user_id, append).await
    }

    /// Appends a new turn.
    pub(crate) async fn say(&self, conversation: &Conversation, text: &str) -> Appended {
        self.append(saying(conversation, text)).await.expect("a turn is appended")
    }

    pub(crate) async fn page(
        &self,
        conversation: &Conversation,
        range: TurnRange,
        limit: u32,
    ) -> Option<TurnPage> {
        let limit = PageLimit::new(limit).expect("a page size");
        let page = self.store.turns().page(self.user_id, conversation.conversation_id, range, limit).await;
        page.expect("turns are read")
    }

    pub(crate) async fn turn(&self, conversation: &Conversation, turn_id: TurnId) -> Option<Turn> {
        let found = self.store.turns().get(self.user_id, conversation.conversation_id, turn_id).await;
        found.expect("a turn is looked up")
    }

    /// All turns of a conversation, page by page.
    pub(crate) async fn turns(&self, conversation: &Conversation) -> Vec<Turn> {
        let mut all: Vec<Turn> = Vec::new();
        loop {
            let after = TurnRange::After(all.last().map_or(0, |turn| turn.turn_number));
            let page = self.page(conversation, after, 200).await.expect("the conversation is there");
            let has_later = page.has_later();
            all.extend(page.turns);
            if !has_later {
                return all;
            }
        }
    }

    pub(crate) async fn state(&self, conversation: &Conversation) -> Option<AgentState> {
        let found =
            self.store.agent_states().get_by_conversation(self.user_id, conversation.conversation_id).await;
        found.expect("a state is looked up")
    }

    pub(crate) async fn save(&self, save: SaveAgentState) -> RepositoryResult<Saved> {
        self.store.agent_states().save(self.user_id, save).await
    }

    /// Purges until there is no more to purge.
    pub(crate) async fn purge(&self, policy: RetentionPolicy) -> Vec<PurgedConversation> {
        let mut all = Vec::new();
        loop {
            let report = self.store.retention().purge_batch(policy, PageLimit::MAX).await;
            let purged = report.expect("a batch is purged").purged;
            if purged.is_empty() {
                return all;
            }
            all.extend(purged);
        }
    }

    /// That no check of `diagnose` found anything wrong with the rows.
    pub(crate) async fn assert_sound(&self) {
        let findings = self.store.diagnostics().diagnose().await.expect("a store is diagnosed");
        for finding in findings {
            let ok = finding.severity == lcs_domain::diagnostic::Severity::Ok;
            assert!(
                ok || matches!(finding.check, "schema" | "pool" | "indexes" | "role"),
                "nothing wrong, got {finding:?}"
            );
        }
    }
}

/// The policy of the suite: what has been idle for [`LONG_AGO`] may go.
pub(crate) fn policy() -> RetentionPolicy {
    RetentionPolicy::idle_longer_than(IDLE).expect("a policy")
}

/// What a conversation is begun with.
pub(crate) fn beginning() -> NewConversation {
    NewConversation::begin(name("a-model"))
}

pub(crate) fn name(text: &str) -> Text {
    Text::name(text, "").expect("a name")
}

pub(crate) fn json(text: &str) -> Payload {
    Payload::parse(text).unwrap_or_else(|error| panic!("{text:.200} can be kept: {error}"))
}

pub(crate) fn metadata(text: &str) -> Metadata {
    Metadata::parse(text).expect("metadata that can be kept")
}

pub(crate) fn to_status(status: OpenStatus) -> ConversationUpdate {
    ConversationUpdate { status: Some(status), ..ConversationUpdate::default() }
}

pub(crate) fn to_topic(topic: &str) -> ConversationUpdate {
    let topic = Text::summary(topic, "").expect("a topic");
    ConversationUpdate { topic_summary: Some(Some(topic)), ..ConversationUpdate::default() }
}

/// A turn of this id in which `text` was said.
pub(crate) fn turn(turn_id: TurnId, text: &str) -> NewTurn {
    let said = Payload::from_serialize(&[text]).expect("a text is a document");
    let at = DateTime::UNIX_EPOCH;
    NewTurn::new(turn_id, said, None, at, at, Metadata::default()).expect("a turn")
}

/// An append of `turn` that expects nothing and leaves the state alone.
pub(crate) fn append(conversation: &Conversation, turn: NewTurn) -> AppendTurn {
    let conversation_id: ConversationId = conversation.conversation_id;
    AppendTurn { conversation_id, turn, expected_turn_count: None, agent_state: None }
}

/// An append of a new turn in which `text` was said.
pub(crate) fn saying(conversation: &Conversation, text: &str) -> AppendTurn {
    append(conversation, turn(TurnId::generate(), text))
}

/// The same append with a state made from `expected_revision`.
pub(crate) fn with_state(
    append: AppendTurn,
    conversation: &Conversation,
    state: &str,
    expected_revision: u64,
) -> AppendTurn {
    let agent_state = Some(AgentStateUpdate {
        agent_id: conversation.agent_id,
        agent_config: None,
        current_state: json(state),
        expected_revision,
    });
    AppendTurn { agent_state, ..append }
}

/// A save of a state made from `expected_revision` that has seen no turn.
pub(crate) fn saving(conversation: &Conversation, state: &str, expected_revision: u64) -> SaveAgentState {
    SaveAgentState {
        agent_id: conversation.agent_id,
        conversation_id: conversation.conversation_id,
        agent_config: None,
        current_state: Some(json(state)),
        expected_revision,
        through_turn: 0,
    }
}

pub(crate) const NO_CONVERSATION: RepositoryError = RepositoryError::not_found(Entity::Conversation);
pub(crate) const NO_STATE: RepositoryError = RepositoryError::not_found(Entity::AgentState);
pub(crate) const CLOSED: RepositoryError = RepositoryError::Closed { entity: Entity::Conversation };
pub(crate) const EXISTS: RepositoryError = RepositoryError::AlreadyExists { entity: Entity::Conversation };

pub(crate) fn stale_count(expected: u64, observed: u64) -> RepositoryError {
    RepositoryError::Conflict { entity: Entity::Conversation, expected, observed }
}

pub(crate) fn stale_revision(expected: u64, observed: u64) -> RepositoryError {
    RepositoryError::Conflict { entity: Entity::AgentState, expected, observed }
}

/// Asserts that `result` is this very refusal. Errors are told apart by their `Debug` text.
#[track_caller]
pub(crate) fn assert_refused<T: Debug>(result: RepositoryResult<T>, expected: &RepositoryError, what: &str) {
    match result {
        Err(error) if is(&error, expected) => {}
        other => panic!("{what}: expected the refusal {expected:?}, got {other:?}"),
    }
}

/// Whether `error` is `expected`.
pub(crate) fn is(error: &RepositoryError, expected: &RepositoryError) -> bool {
    format!("{error:?}") == format!("{expected:?}")
}

/// Runs both at the same time, each in a task of its own; which of them is ahead changes with `round`.
pub(crate) async fn race<A, B>(
    one: impl Future<Output = A> + Send + 'static,
    other: impl Future<Output = B> + Send + 'static,
    round: usize,
) -> (A, B)
where
    A: Send + 'static,
    B: Send + 'static,
{
    let missing = Arc::new(AtomicUsize::new(2));
    let (one, other) = (together(Arc::clone(&missing), one), together(missing, other));
    let (one, other) = if round.is_multiple_of(2) {
        let one = tokio::spawn(one);
        (one, tokio::spawn(other))
    } else {
        let other = tokio::spawn(other);
        (tokio::spawn(one), other)
    };
    let (one, other) = (one.await, other.await);
    (one.expect("a racer ends without a panic"), other.expect("a racer ends without a panic"))
}

/// Runs `task` when none is missing any more.
///
/// A barrier would wake the others behind the last one, on its own thread: a store that never waits
/// would see them one after the other. Here they are running already.
async fn together<T>(missing: Arc<AtomicUsize>, task: impl Future<Output = T>) -> T {
    missing.fetch_sub(1, Ordering::SeqCst);
    while missing.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    task.await
}

/// Runs all `tasks` at the same time, each in a task of its own, and gives their results in order.
pub(crate) async fn at_once<T, F>(tasks: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<F> = tasks.into_iter().collect();
    let missing = Arc::new(AtomicUsize::new(tasks.len()));
    let running: Vec<_> =
        tasks.into_iter().map(|task| tokio::spawn(together(Arc::clone(&missing), task))).collect();
    let mut results = Vec::new();
    for task in running {
        results.push(task.await.expect("a task of the test ends without a panic"));
    }
    results
}
