//! Conversations and turns, for hosts that call their own model.

use std::sync::Arc;

use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AppendTurn, Appended, Conversation, ConversationId, ConversationPage, ConversationSummary,
    ConversationUpdate, Head, ListConversations, NewConversation, PageLimit, Repositories,
    SearchConversations, TurnPage, TurnRange, UserId,
};

/// A user's conversations and their turns, in the configured store.
///
/// Each method is one unit of work, with the promises and errors of the port behind it:
/// [`ConversationRepository`](lcs_domain::ConversationRepository) and
/// [`TurnRepository`](lcs_domain::TurnRepository). Agents that the agent manager keeps notice what is
/// changed here: they are checked against the store before each turn.
#[derive(Clone)]
pub struct ConversationPersistenceService {
    repositories: Arc<dyn Repositories>,
}

impl std::fmt::Debug for ConversationPersistenceService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConversationPersistenceService").finish_non_exhaustive()
    }
}

impl ConversationPersistenceService {
    pub(crate) fn new(repositories: Arc<dyn Repositories>) -> Self {
        Self { repositories }
    }

    /// Makes a conversation.
    pub async fn create_conversation(
        &self,
        user_id: UserId,
        new: NewConversation,
    ) -> RepositoryResult<Conversation> {
        self.repositories.conversations().create(user_id, new).await
    }

    /// The conversation, unless it is absent, foreign or deleted.
    pub async fn get_conversation(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<Conversation>> {
        self.repositories.conversations().get(user_id, conversation_id).await
    }

    /// How far the conversation has come.
    pub async fn get_head(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<Head>> {
        self.repositories.conversations().head(user_id, conversation_id).await
    }

    /// A page of the user's conversations, newest first.
    pub async fn list_conversations(
        &self,
        user_id: UserId,
        list: ListConversations,
    ) -> RepositoryResult<ConversationPage> {
        self.repositories.conversations().list(user_id, list).await
    }

    /// The user's conversations that have all the words that are looked for, newest first.
    pub async fn search_conversations(
        &self,
        user_id: UserId,
        search: SearchConversations,
    ) -> RepositoryResult<Vec<ConversationSummary>> {
        self.repositories.conversations().search(user_id, search).await
    }

    /// Changes the conversation's topic summary, status or metadata.
    pub async fn update_conversation(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        update: ConversationUpdate,
    ) -> RepositoryResult<Conversation> {
        self.repositories.conversations().update(user_id, conversation_id, update).await
    }

    /// Deletes the conversation, at once and for ever; `false` where there is none.
    pub async fn delete_conversation(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<bool> {
        self.repositories.conversations().delete(user_id, conversation_id).await
    }

    /// Appends a turn exactly once, with the agent's state where it is given: whole or not at all.
    pub async fn append_turn(&self, user_id: UserId, append: AppendTurn) -> RepositoryResult<Appended> {
        self.repositories.turns().append(user_id, append).await
    }

    /// A page of the conversation's turns, turn numbers rising; `None` where there is no conversation.
    pub async fn get_turns(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        self.repositories.turns().page(user_id, conversation_id, range, limit).await
    }
}
