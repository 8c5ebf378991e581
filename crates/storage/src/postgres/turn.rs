//! Turns in PostgreSQL.

mod append;
mod page;

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AppendTurn, Appended, ConversationId, PageLimit, TurnPage, TurnRange, TurnRepository, UserId,
};

use super::Postgres;
use super::operation::detached;

#[async_trait]
impl TurnRepository for Postgres {
    #[tracing::instrument(
        name = "db.turn.append",
        skip_all,
        fields(%user_id, conversation_id = %append.conversation_id, turn_id = %append.turn.turn_id())
    )]
    async fn append(&self, user_id: UserId, append: AppendTurn) -> RepositoryResult<Appended> {
        let store = self.clone();
        detached(append.turn.turn_id().into(), async move { store.append_turn(user_id, &append).await }).await
    }

    #[tracing::instrument(name = "db.turn.page", skip_all, fields(%user_id, %conversation_id))]
    async fn page(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        self.page_of_turns(user_id, conversation_id, range, limit).await
    }
}
