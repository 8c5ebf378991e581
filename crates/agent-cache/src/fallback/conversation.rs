//! Conversations through the fallback: only here can a volatile one begin.

#![deny(clippy::missing_trait_methods)]

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Conversation, ConversationId, ConversationPage, ConversationRepository, ConversationSummary,
    ConversationUpdate, Durability, Head, ListConversations, ListSummaries, NewConversation, NewTurn,
    RepositoryError, UserId,
};

use super::Fallback;
use super::circuit::Route;
use super::outage::Outage;

#[async_trait]
impl ConversationRepository for Fallback {
    async fn create(&self, user_id: UserId, new: NewConversation) -> RepositoryResult<Conversation> {
        match self.circuit.route() {
            Route::Primary(epoch) => {
                let create = self.primary.conversations().create(user_id, new.clone());
                let result = self.watched(epoch, create).await;
                // Definitely not applied, so memory may take it. An unknown outcome is the caller's to know.
                if matches!(result, Err(RepositoryError::Unavailable { .. }))
                    && let Some(outage) = self.circuit.outage()
                    && outage.volatile().is_some()
                {
                    return begin(&outage, user_id, new).await;
                }
                result
            }
            Route::Outage(outage) => begin(&outage, user_id, new).await,
        }
    }

    /// Refused while open: whether the user has it already, or had it, cannot be known.
    async fn adopt(
        &self,
        user_id: UserId,
        new: NewConversation,
        turns: Vec<NewTurn>,
    ) -> RepositoryResult<Conversation> {
        match self.circuit.route() {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.conversations().adopt(user_id, new, turns)).await
            }
            Route::Outage(outage) => {
                Err(outage.refusal("whether it is stored already cannot be known before, try again then"))
            }
        }
    }

    async fn was_deleted(&self, user_id: UserId, id: ConversationId) -> RepositoryResult<bool> {
        match self.circuit.route() {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.conversations().was_deleted(user_id, id)).await
            }
            Route::Outage(outage) => {
                Err(outage.refusal("what was deleted cannot be known before, try again then"))
            }
        }
    }

    async fn get(&self, user_id: UserId, id: ConversationId) -> RepositoryResult<Option<Conversation>> {
        match self.circuit.route() {
            Route::Primary(epoch) => self.watched(epoch, self.primary.conversations().get(user_id, id)).await,
            Route::Outage(outage) => {
                let (store, _) = outage.conversation(user_id, id)?;
                Ok(store.conversations().get(user_id, id).await?.map(volatile))
            }
        }
    }

    async fn head(&self, user_id: UserId, id: ConversationId) -> RepositoryResult<Option<Head>> {
        match self.circuit.route() {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.conversations().head(user_id, id)).await
            }
            Route::Outage(outage) => {
                let (store, _) = outage.conversation(user_id, id)?;
                let head = store.conversations().head(user_id, id).await?;
                Ok(head.map(|head| Head { durability: Durability::Volatile, ..head }))
            }
        }
    }

    async fn list(&self, user_id: UserId, list: ListConversations) -> RepositoryResult<ConversationPage> {
        match self.circuit.route() {
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
        match self.circuit.route() {
            Route::Primary(epoch) => {
                let circuit = Arc::clone(&self.circuit);
                let mut is_observed = false;
                let items = self.primary.conversations().summaries(user_id, list);
                // The first row is a sign of life; those behind it say nothing more.
                let observe = move |item: &RepositoryResult<ConversationSummary>| {
                    if item.is_err() || !is_observed {
                        circuit.observe(epoch, item.as_ref().err());
                    }
                    is_observed = true;
                };
                items.inspect(observe).boxed()
            }
            Route::Outage(outage) => {
                let refusal = outage.refusal("a list would be incomplete before, try again then");
                stream::once(ready(Err(refusal))).boxed()
            }
        }
    }

    async fn update(
        &self,
        user_id: UserId,
        id: ConversationId,
        update: ConversationUpdate,
    ) -> RepositoryResult<Conversation> {
        match self.circuit.route() {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.conversations().update(user_id, id, update)).await
            }
            Route::Outage(outage) => {
                let (store, _) = outage.conversation(user_id, id)?;
                Ok(volatile(store.conversations().update(user_id, id, update).await?))
            }
        }
    }

    async fn delete(&self, user_id: UserId, id: ConversationId) -> RepositoryResult<bool> {
        match self.circuit.route() {
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
