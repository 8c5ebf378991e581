//! An operator's look into conversations, timed.

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, BrowseRepository, ConversationId, FindConversations, FoundConversations, OpenedConversation,
    PageLimit, Remains, TurnPage, TurnRange,
};

use super::{Timed, timed};

#[async_trait]
impl BrowseRepository for Timed {
    async fn find_conversations(&self, find: FindConversations) -> RepositoryResult<FoundConversations> {
        timed("browse.find_conversations", self.0.browse().find_conversations(find)).await
    }

    async fn open_conversation(&self, id: ConversationId) -> RepositoryResult<Option<OpenedConversation>> {
        timed("browse.open_conversation", self.0.browse().open_conversation(id)).await
    }

    async fn read_turns(
        &self,
        id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        timed("browse.read_turns", self.0.browse().read_turns(id, range, limit)).await
    }

    async fn find_remains(&self, id: ConversationId) -> RepositoryResult<Option<Remains>> {
        timed("browse.find_remains", self.0.browse().find_remains(id)).await
    }

    async fn delete_conversation(&self, id: ConversationId, by: Actor) -> RepositoryResult<bool> {
        timed("browse.delete_conversation", self.0.browse().delete_conversation(id, by)).await
    }
}
