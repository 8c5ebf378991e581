//! The port for turns.

use async_trait::async_trait;

use super::RepositoryResult;
use crate::{AppendTurn, Appended, ConversationId, PageLimit, Turn, TurnId, TurnPage, TurnRange, UserId};

/// The turns of a user's conversations.
#[async_trait]
pub trait TurnRepository: Send + Sync {
    /// Appends a turn, and the agent's state with it: whole or not at all, exactly once (P1), in its
    /// place (P2), for ever (P3).
    ///
    /// # Errors
    /// In this order, the first that applies:
    /// 1. `NotFound { Conversation }`: absent, foreign or deleted (P6, P9).
    /// 2. `IdempotencyMismatch`: this conversation has this turn id with other content. With the same
    ///    content the append is answered as replayed, whatever else it says.
    /// 3. `Closed`: archived.
    /// 4. `NotFound { AgentState }`: the agent is not the conversation's own.
    /// 5. `Conflict { Conversation }`: not the expected turn count.
    /// 6. `Conflict { AgentState }`: not the expected revision (P4).
    /// 7. `IdempotencyMismatch`: another conversation has this turn id.
    async fn append(&self, user_id: UserId, append: AppendTurn) -> RepositoryResult<Appended>;

    /// The turn with this id in this conversation. `None` where there is none, or the conversation is
    /// absent, foreign or deleted.
    ///
    /// It is what a retry asks before it calls a model again (P1).
    async fn get(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        turn_id: TurnId,
    ) -> RepositoryResult<Option<Turn>>;

    /// A page of turns and the conversation's head in one snapshot, turn numbers rising. `None` where
    /// the conversation is absent, foreign or deleted.
    async fn page(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>>;
}
