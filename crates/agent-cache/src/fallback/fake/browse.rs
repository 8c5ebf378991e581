//! An operator finds nothing in the fake.

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, BrowseRepository, ConversationId, FindConversations, FoundConversations, OpenedConversation,
    PageLimit, Remains, TurnPage, TurnRange,
};

use super::Fake;

#[async_trait]
impl BrowseRepository for Fake {
    async fn find_conversations(&self, find: FindConversations) -> RepositoryResult<FoundConversations> {
        self.enter().await.map(|_| FoundConversations::cut(Vec::new(), find.limit))
    }

    async fn open_conversation(&self, _: ConversationId) -> RepositoryResult<Option<OpenedConversation>> {
        self.enter().await.map(|_| None)
    }

    async fn read_turns(
        &self,
        _: ConversationId,
        _: TurnRange,
        _: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        self.enter().await.map(|_| None)
    }

    async fn find_remains(&self, _: ConversationId) -> RepositoryResult<Option<Remains>> {
        self.enter().await.map(|_| None)
    }

    async fn delete_conversation(&self, _: ConversationId, _: Actor) -> RepositoryResult<bool> {
        self.enter().await.map(|_| false)
    }
}
