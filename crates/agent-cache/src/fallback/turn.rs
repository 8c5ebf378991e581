//! Turns through the fallback: a history that cannot be read is an error, and never an empty page.

#![deny(clippy::missing_trait_methods)]

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AppendTurn, Appended, ConversationId, Durability, PageLimit, Turn, TurnId, TurnPage, TurnRange,
    TurnRepository, UserId,
};

use super::Fallback;
use super::circuit::Route;

#[async_trait]
impl TurnRepository for Fallback {
    async fn append(&self, user_id: UserId, append: AppendTurn) -> RepositoryResult<Appended> {
        match self.circuit.route() {
            Route::Primary(epoch) => self.watched(epoch, self.primary.turns().append(user_id, append)).await,
            Route::Outage(outage) => {
                let id = append.conversation_id;
                let (store, volatile) = outage.conversation(user_id, id)?;
                let appended = store.turns().append(user_id, append).await?;
                volatile.note_appended(id, &appended);
                Ok(Appended { durability: Durability::Volatile, ..appended })
            }
        }
    }

    async fn get(
        &self,
        user_id: UserId,
        id: ConversationId,
        turn_id: TurnId,
    ) -> RepositoryResult<Option<Turn>> {
        match self.circuit.route() {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.turns().get(user_id, id, turn_id)).await
            }
            Route::Outage(outage) => {
                let (store, _) = outage.conversation(user_id, id)?;
                store.turns().get(user_id, id, turn_id).await
            }
        }
    }

    async fn page(
        &self,
        user_id: UserId,
        id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        match self.circuit.route() {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.turns().page(user_id, id, range, limit)).await
            }
            Route::Outage(outage) => {
                let (store, _) = outage.conversation(user_id, id)?;
                let page = store.turns().page(user_id, id, range, limit).await?;
                Ok(page.map(|page| TurnPage { durability: Durability::Volatile, ..page }))
            }
        }
    }
}
