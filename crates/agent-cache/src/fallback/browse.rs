//! An operator's look through the fallback: at the primary alone. What waits in a journal is not there yet.

#![deny(clippy::missing_trait_methods)]

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, BrowseRepository, ConversationId, FindConversations, FoundConversations, OpenedConversation,
    PageLimit, Remains, TurnPage, TurnRange,
};

use super::Fallback;

/// What a refused operator is told.
const REFUSED: &str = "nothing can be looked at before, try again then";

#[async_trait]
impl BrowseRepository for Fallback {
    async fn find_conversations(&self, find: FindConversations) -> RepositoryResult<FoundConversations> {
        self.of_primary(REFUSED, self.primary.browse().find_conversations(find)).await
    }

    async fn open_conversation(&self, id: ConversationId) -> RepositoryResult<Option<OpenedConversation>> {
        self.of_primary(REFUSED, self.primary.browse().open_conversation(id)).await
    }

    async fn read_turns(
        &self,
        id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        self.of_primary(REFUSED, self.primary.browse().read_turns(id, range, limit)).await
    }

    async fn find_remains(&self, id: ConversationId) -> RepositoryResult<Option<Remains>> {
        self.of_primary(REFUSED, self.primary.browse().find_remains(id)).await
    }

    async fn delete_conversation(&self, id: ConversationId, by: Actor) -> RepositoryResult<bool> {
        self.of_primary(
            "nothing can be deleted before, try again then",
            self.primary.browse().delete_conversation(id, by),
        )
        .await
    }
}
