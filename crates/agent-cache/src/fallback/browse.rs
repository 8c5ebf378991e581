//! An operator's look through the fallback: at the primary alone. What waits in a journal is not there yet.

#![deny(clippy::missing_trait_methods)]

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, BrowseRepository, ConversationId, FindConversations, FoundConversations, OpenedConversation,
    PageLimit, Remains, TurnPage, TurnRange,
};

use super::Fallback;
use super::route::{Route, Subject};

/// What a refused operator is told.
const REFUSED: &str = "nothing can be looked at before, try again then";

#[async_trait]
impl BrowseRepository for Fallback {
    async fn find_conversations(&self, find: FindConversations) -> RepositoryResult<FoundConversations> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.browse().find_conversations(find)).await
            }
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn open_conversation(&self, id: ConversationId) -> RepositoryResult<Option<OpenedConversation>> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => self.watched(epoch, self.primary.browse().open_conversation(id)).await,
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn read_turns(
        &self,
        id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.browse().read_turns(id, range, limit)).await
            }
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn find_remains(&self, id: ConversationId) -> RepositoryResult<Option<Remains>> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => self.watched(epoch, self.primary.browse().find_remains(id)).await,
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn delete_conversation(&self, id: ConversationId, by: Actor) -> RepositoryResult<bool> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.browse().delete_conversation(id, by)).await
            }
            Route::Outage(outage) => Err(outage.refusal("nothing can be deleted before, try again then")),
        }
    }
}
