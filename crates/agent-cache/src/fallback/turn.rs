//! Turns through the fallback: a history that cannot be read is an error, and never an empty page.

#![deny(clippy::missing_trait_methods)]

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AppendTurn, Appended, ConversationId, Durability, PageLimit, Turn, TurnId, TurnPage, TurnRange,
    TurnRepository, UserId,
};

use super::Fallback;
use super::journal::Line;
use super::route::{Route, StandIn, Subject, Written, still_unknown};

#[async_trait]
impl TurnRepository for Fallback {
    async fn append(&self, user_id: UserId, append: AppendTurn) -> RepositoryResult<Appended> {
        let id = append.conversation_id;
        let line = Line { user_id, conversation_id: id };
        let write = || self.primary.turns().append(user_id, append.clone());
        let (stand_in, failed) = match self
            .written(Subject::Conversation(line), line, append.turn.turn_id().to_string(), write)
            .await?
        {
            Written::Answered(appended) => return Ok(appended),
            Written::ToTake { stand_in, failed } => (stand_in, failed),
        };
        match stand_in {
            StandIn::Journal(intake) => {
                intake.append(append).await.map_err(|error| still_unknown(failed, error))
            }
            StandIn::Outage(outage) => {
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
        match self.circuit.route(Subject::conversation(user_id, id)).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.turns().get(user_id, id, turn_id)).await
            }
            Route::Outage(outage) => {
                let line = Line { user_id, conversation_id: id };
                match outage.conversation(user_id, id) {
                    Ok((store, _)) => store.turns().get(user_id, id, turn_id).await,
                    // Only that it is there can be known: a turn that is not in the journal may be stored.
                    Err(refusal) => outage.journaled_turn(line, turn_id).await?.map(Some).ok_or(refusal),
                }
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
        match self.circuit.route(Subject::conversation(user_id, id)).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.turns().page(user_id, id, range, limit)).await
            }
            Route::Outage(outage) => {
                let (store, _) = outage.conversation(user_id, id)?;
                let page = store.turns().page(user_id, id, range, limit).await?;
                Ok(page.map(|page| TurnPage { durability: outage.durability(), ..page }))
            }
        }
    }
}
