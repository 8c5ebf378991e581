//! Conversations through the fallback: only here can one begin that the primary does not have.

#![deny(clippy::missing_trait_methods)]

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Conversation, ConversationId, ConversationPage, ConversationRepository, ConversationSummary,
    ConversationUpdate, Durability, Head, ListConversations, ListSummaries, NewConversation, NewTurn,
    SearchConversations, UserId,
};

use super::Fallback;
use super::journal::Line;
use super::outage::Outage;
use super::route::{Route, StandIn, Subject, WriteRoute, Written, still_unknown};

#[async_trait]
impl ConversationRepository for Fallback {
    async fn create(&self, user_id: UserId, new: NewConversation) -> RepositoryResult<Conversation> {
        let line = Line { user_id, conversation_id: new.conversation_id };
        // A conversation of the same external id may be among what is being replayed, and came first.
        let subject = match new.external_id {
            Some(_) => Subject::User(user_id),
            None => Subject::Conversation(line),
        };
        let write = || self.primary.conversations().create(user_id, new.clone());
        let (stand_in, failed) =
            match self.written(subject, line, new.conversation_id.to_string(), write).await? {
                Written::Answered(made) => return Ok(made),
                Written::ToTake { stand_in, failed } => (stand_in, failed),
            };
        match stand_in {
            StandIn::Journal(intake) => {
                intake.create(new).await.map_err(|error| still_unknown(failed, error))
            }
            StandIn::Outage(outage) => begin(&outage, user_id, new).await,
        }
    }

    /// Refused while open: whether the user has it already, or had it, cannot be known.
    async fn adopt(
        &self,
        user_id: UserId,
        new: NewConversation,
        turns: Vec<NewTurn>,
    ) -> RepositoryResult<Conversation> {
        match self.circuit.route(Subject::User(user_id)).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.conversations().adopt(user_id, new, turns)).await
            }
            Route::Outage(outage) => {
                Err(outage.refusal("whether it is stored already cannot be known before, try again then"))
            }
        }
    }

    async fn was_deleted(&self, user_id: UserId, id: ConversationId) -> RepositoryResult<bool> {
        match self.circuit.route(Subject::conversation(user_id, id)).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.conversations().was_deleted(user_id, id)).await
            }
            Route::Outage(outage) => {
                Err(outage.refusal("what was deleted cannot be known before, try again then"))
            }
        }
    }

    async fn get(&self, user_id: UserId, id: ConversationId) -> RepositoryResult<Option<Conversation>> {
        match self.circuit.route(Subject::conversation(user_id, id)).await? {
            Route::Primary(epoch) => self.watched(epoch, self.primary.conversations().get(user_id, id)).await,
            Route::Outage(outage) => {
                let (store, _) = outage.conversation(user_id, id)?;
                let found = store.conversations().get(user_id, id).await?;
                Ok(found.map(|found| Conversation { durability: outage.durability(), ..found }))
            }
        }
    }

    async fn head(&self, user_id: UserId, id: ConversationId) -> RepositoryResult<Option<Head>> {
        match self.circuit.route(Subject::conversation(user_id, id)).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.conversations().head(user_id, id)).await
            }
            Route::Outage(outage) => {
                let (store, _) = outage.conversation(user_id, id)?;
                let head = store.conversations().head(user_id, id).await?;
                Ok(head.map(|head| Head { durability: outage.durability(), ..head }))
            }
        }
    }

    async fn list(&self, user_id: UserId, list: ListConversations) -> RepositoryResult<ConversationPage> {
        match self.circuit.route(Subject::User(user_id)).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.conversations().list(user_id, list)).await
            }
            Route::Outage(outage) => Err(outage.refusal("a list would be incomplete before, try again then")),
        }
    }

    /// A list that was begun goes on, whatever becomes of the circuit.
    fn summaries(
        &self,
        user_id: UserId,
        list: ListSummaries,
    ) -> BoxStream<'static, RepositoryResult<ConversationSummary>> {
        let (circuit, primary) = (Arc::clone(&self.circuit), Arc::clone(&self.primary));
        let items = async move {
            let epoch = match circuit.route(Subject::User(user_id)).await? {
                Route::Primary(epoch) => epoch,
                Route::Outage(outage) => {
                    return Err(outage.refusal("a list would be incomplete before, try again then"));
                }
            };
            let mut is_observed = false;
            let items = primary.conversations().summaries(user_id, list);
            // The first row is a sign of life; those behind it say nothing more.
            let observe = move |item: &RepositoryResult<ConversationSummary>| {
                if item.is_err() || !is_observed {
                    circuit.observe(epoch, item.as_ref().err());
                }
                is_observed = true;
            };
            Ok(items.inspect(observe))
        };
        stream::once(items).try_flatten().boxed()
    }

    async fn search(
        &self,
        user_id: UserId,
        search: SearchConversations,
    ) -> RepositoryResult<Vec<ConversationSummary>> {
        match self.circuit.route(Subject::User(user_id)).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.conversations().search(user_id, search)).await
            }
            Route::Outage(outage) => Err(outage.refusal("a list would be incomplete before, try again then")),
        }
    }

    async fn update(
        &self,
        user_id: UserId,
        id: ConversationId,
        update: ConversationUpdate,
    ) -> RepositoryResult<Conversation> {
        let line = Line { user_id, conversation_id: id };
        match self.circuit.route_write(Subject::Conversation(line), line).await? {
            WriteRoute::Primary(epoch) => {
                self.watched(epoch, self.primary.conversations().update(user_id, id, update)).await
            }
            WriteRoute::StandIn(StandIn::Journal(intake)) => intake.update(update).await,
            WriteRoute::StandIn(StandIn::Outage(outage)) => {
                let (store, _) = outage.conversation(user_id, id)?;
                Ok(volatile(store.conversations().update(user_id, id, update).await?))
            }
        }
    }

    async fn delete(&self, user_id: UserId, id: ConversationId) -> RepositoryResult<bool> {
        match self.circuit.route(Subject::conversation(user_id, id)).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.conversations().delete(user_id, id)).await
            }
            Route::Outage(outage) => Err(outage.refusal("nothing can be deleted before, try again then")),
        }
    }
}

async fn begin(outage: &Outage, user_id: UserId, new: NewConversation) -> RepositoryResult<Conversation> {
    let Some(memory) = outage.volatile() else {
        return Err(outage.refusal("try again then"));
    };
    let made = memory.store().conversations().create(user_id, new).await?;
    memory.note_created(&made);
    Ok(volatile(made))
}

fn volatile(conversation: Conversation) -> Conversation {
    Conversation { durability: Durability::Volatile, ..conversation }
}
