//! What the journal mode promises: nothing acknowledged is lost, nothing comes twice, nothing is guessed.

mod crash;
mod erasure;
mod intake;
mod race;
mod refusing;
mod replay;
mod replica;
mod unreachable;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use lcs_domain::journal::{JournalKind, JournalOperation};
use lcs_domain::{
    AgentStateUpdate, AppendTurn, Appended, Conversation, ConversationId, Durability, Repositories,
    RepositoryError, SaveAgentState, Turn, UserId,
};
use tokio::time::sleep;

use super::super::fake::{Fake, FakeJournal, Fuse, unavailable};
use super::super::{Backlog, CircuitState, Fallback, FallbackConfig, FallbackStatus};
use super::{append, json, new_conversation};

/// A fallback with a journal, and the fakes behind it: they outlive it, as a database and a disk do.
struct Stage {
    fallback: Arc<Fallback>,
    primary: Arc<Fake>,
    journal: Arc<FakeJournal>,
    user_id: UserId,
}

impl Stage {
    async fn new() -> Self {
        let fuse = Arc::new(Fuse::default());
        let primary = Arc::new(Fake::with_fuse(Arc::clone(&fuse)));
        Self::over(primary, Arc::new(FakeJournal::with_fuse(fuse))).await
    }

    /// A process that starts with this database and this disk.
    async fn over(primary: Arc<Fake>, journal: Arc<FakeJournal>) -> Self {
        Self::try_over(primary, journal).await.unwrap()
    }

    async fn try_over(primary: Arc<Fake>, journal: Arc<FakeJournal>) -> Result<Self, RepositoryError> {
        Self::with(FallbackConfig::default(), primary, journal).await
    }

    async fn with(
        config: FallbackConfig,
        primary: Arc<Fake>,
        journal: Arc<FakeJournal>,
    ) -> Result<Self, RepositoryError> {
        let memory = || Arc::new(Fake::default()) as Arc<dyn Repositories>;
        let fallback = Fallback::with_journal(primary.clone(), memory, config, journal.clone()).await?;
        Ok(Self { fallback: Arc::new(fallback), primary, journal, user_id: UserId::from_text("the owner") })
    }

    /// The process ends, and starts again over what it left.
    async fn restarted(self) -> Self {
        let Self { fallback, primary, journal, .. } = self;
        drop(fallback);
        Self::over(primary, journal).await
    }

    fn status(&self) -> FallbackStatus {
        self.fallback.status()
    }

    /// The primary goes away, and the circuit opens.
    async fn outage(&self) {
        self.primary.fail_with(Some(unavailable));
        while self.status().state == CircuitState::Closed {
            self.fallback.ping().await.unwrap_err();
        }
    }

    /// The primary comes back, and the journal is replayed.
    async fn recovery(&self) {
        self.primary.fail_with(None);
        self.closed().await;
    }

    async fn closed(&self) {
        self.until(CircuitState::Closed).await;
    }

    async fn until(&self, state: CircuitState) {
        for _ in 0..12_000 {
            if self.status().state == state {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came to {state:?}: {:?}", self.status());
    }

    async fn begin(&self) -> Conversation {
        self.fallback.conversations().create(self.user_id, new_conversation()).await.unwrap()
    }

    async fn append(&self, append: AppendTurn) -> Result<Appended, RepositoryError> {
        self.fallback.turns().append(self.user_id, append).await
    }

    /// What another replica appends, whose way to the primary is free.
    async fn elsewhere(&self, append: AppendTurn) -> Appended {
        self.primary.fail_with(None);
        let appended = self.primary.turns().append(self.user_id, append).await.unwrap();
        self.primary.fail_with(Some(unavailable));
        appended
    }

    fn turns(&self, id: ConversationId) -> Vec<Turn> {
        self.primary.turns_of(id)
    }

    /// What kind each conflict is of, and why.
    fn conflicts(&self) -> Vec<(JournalKind, String)> {
        let conflicts = self.journal.all_conflicts().into_iter();
        conflicts.map(|conflict| (conflict.entry.operation.kind(), conflict.reason)).collect()
    }

    fn pending(&self) -> Vec<JournalOperation> {
        self.journal.entries().into_iter().map(|entry| entry.operation).collect()
    }
}

/// A turn with the agent's state behind it.
fn with_state(made: &Conversation, expected_turn_count: u32, expected_revision: u64) -> AppendTurn {
    let state = AgentStateUpdate {
        agent_id: made.agent_id,
        agent_config: None,
        current_state: json(&format!("\"after turn {}\"", expected_turn_count + 1)),
        expected_revision,
    };
    AppendTurn {
        expected_turn_count: Some(expected_turn_count),
        agent_state: Some(state),
        ..append(made.conversation_id)
    }
}

fn state(made: &Conversation, expected_revision: u64, through_turn: u32) -> SaveAgentState {
    SaveAgentState {
        current_state: Some(json("\"saved\"")),
        expected_revision,
        through_turn,
        ..super::save(made.conversation_id, made.agent_id)
    }
}

fn outcome_is_journaled(appended: &Appended) -> bool {
    appended.durability == Durability::Journaled
}
