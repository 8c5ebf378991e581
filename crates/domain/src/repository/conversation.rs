//! The port for conversations.

use async_trait::async_trait;
use futures_core::stream::BoxStream;

use super::RepositoryResult;
use crate::{
    Conversation, ConversationId, ConversationPage, ConversationSummary, ConversationUpdate, Head,
    ListConversations, ListSummaries, NewConversation, NewTurn, SearchConversations, UserId,
};

/// A user's conversations.
#[async_trait]
pub trait ConversationRepository: Send + Sync {
    /// Makes a conversation; the same command sent again is answered with the conversation as it is.
    ///
    /// # Errors
    /// `TooLarge` and `Invalid` as [`NewConversation::validate`] gives them, before anything else.
    ///
    /// `AlreadyExists` where the conversation's id is in use by anything else, or was and is deleted or
    /// purged (P6); where the agent's id is in use; and where the user has another conversation of this
    /// external id. A deleted conversation keeps its agent's and its external id until it is purged.
    async fn create(&self, user_id: UserId, new: NewConversation) -> RepositoryResult<Conversation>;

    /// Makes a conversation that was held elsewhere, with its turns, numbered in the order given: whole or not
    /// at all. Where the user has a conversation of this id already, it is given back as it is, so that of
    /// several who adopt it at once one does, and all of them get it.
    ///
    /// # Errors
    /// As [`create`](Self::create), and `Invalid` where a turn id is given twice, before anything else;
    /// `AlreadyExists { Turn }` where another conversation has a turn of the same id.
    async fn adopt(
        &self,
        user_id: UserId,
        new: NewConversation,
        turns: Vec<NewTurn>,
    ) -> RepositoryResult<Conversation>;

    /// Whether the user had a conversation of this id that is deleted or purged: it never comes back (P6),
    /// wherever else it may still be.
    async fn was_deleted(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<bool>;

    /// The conversation, unless it is absent, foreign or deleted.
    async fn get(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<Conversation>>;

    /// How far the conversation has come: one row, by its primary key. `None` where [`get`](Self::get) is.
    async fn head(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<Option<Head>>;

    /// A page of the user's conversations, newest first. Deleted ones are never in it.
    async fn list(&self, user_id: UserId, list: ListConversations) -> RepositoryResult<ConversationPage>;

    /// The user's conversations with what a list shows of them, newest first: all of one snapshot, in
    /// constant memory, however many they are. Deleted ones are never in it.
    ///
    /// Nothing is done before the stream is polled. An error is an item, and the last one: a stream that
    /// ends without one was whole. A reader that stands still for long is given up with `Overloaded`.
    fn summaries(
        &self,
        user_id: UserId,
        list: ListSummaries,
    ) -> BoxStream<'static, RepositoryResult<ConversationSummary>>;

    /// The user's conversations that have all the words that are looked for ([`search`](crate::search)), newest
    /// first: at most as many as are asked for. Deleted ones are never among them. What was stored before it was
    /// asked is found.
    async fn search(
        &self,
        user_id: UserId,
        search: SearchConversations,
    ) -> RepositoryResult<Vec<ConversationSummary>>;

    /// Changes the conversation and answers with it as it is now; it counts as activity. An empty
    /// update changes nothing.
    ///
    /// # Errors
    /// `TooLarge` and `Invalid` as [`ConversationUpdate::validate`] gives them, before anything else.
    ///
    /// `NotFound` where [`get`](Self::get) gives `None`: an update never brings back (P6). `Conflict` where it
    /// expects another time of the last change, and changes something.
    async fn update(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        update: ConversationUpdate,
    ) -> RepositoryResult<Conversation>;

    /// Deletes the conversation, at once and for ever (P6). `false` where [`get`](Self::get) gives `None`.
    async fn delete(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<bool>;
}
