//! Conversations that only Llama Stack knows: shown from there, adopted when they go on here, deleted on both sides.
//!
//! Llama Stack is asked with the caller's own token, and decides what he may see. When a turn of it was,
//! it does not say: such turns are dated 1970.

use chrono::{DateTime, Utc};
use lcs_domain::{
    AgentId, ConversationId, Metadata, NewConversation, NewTurn, Payload, RepositoryError, Text, TurnId,
    UserId,
};

use super::conversation_id::ConversationName;
use super::error::ApiError;
use super::history::{ChatTurn, ConversationAnswer};
use super::service::{Caller, Service};
use crate::llama_stack::{AdoptedTurn, LlamaStack, turns_of};

/// What is said of a model that is not known.
const UNKNOWN_MODEL: &str = "N/A";

impl Service {
    /// The history as Llama Stack has it; `None` where it has none, or is not asked.
    pub(super) async fn llama_stack_history(
        &self,
        caller: &Caller,
        name: &ConversationName,
    ) -> Result<Option<ConversationAnswer>, ApiError> {
        let Some(turns) = self.llama_stack_turns(caller, name).await? else { return Ok(None) };
        let failed = |error: RepositoryError| ApiError::of_repository(&error, Some(&name.shown));
        let shown = turns.into_iter().enumerate().map(|(position, turn)| {
            let turn = new_turn(caller.user_id(), name.id, position, turn).map_err(failed)?;
            ChatTurn::of_new(&turn, UNKNOWN_MODEL).map_err(failed)
        });
        let chat_history = shown.collect::<Result<_, _>>()?;
        Ok(Some(ConversationAnswer { conversation_id: name.shown.clone(), chat_history }))
    }

    /// Takes the conversation over from Llama Stack, whole or not at all.
    ///
    /// # Errors
    /// 404 where it is not there, or was deleted here (P6).
    pub(super) async fn adopt(&self, caller: &Caller, name: &ConversationName) -> Result<(), ApiError> {
        let user_id = caller.user_id();
        let Some(turns) = self.llama_stack_turns(caller, name).await? else { return Err(name.not_found()) };
        let failed = |error: RepositoryError| match error {
            RepositoryError::AlreadyExists { .. } => name.not_found(),
            error => ApiError::of_repository(&error, Some(&name.shown)),
        };
        let turns = turns.into_iter().enumerate();
        let turns = turns.map(|(position, turn)| new_turn(user_id, name.id, position, turn));
        let turns = turns.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let external_id = match &name.external_id {
            Some(id) => id.clone(),
            None => Text::name(name.shown.clone(), "/external_id").map_err(failed)?,
        };
        let new = NewConversation {
            conversation_id: name.id,
            agent_id: AgentId::of_conversation(name.id),
            external_id: Some(external_id),
            ..NewConversation::begin(self.first_model().await?)
        };
        let adopted = self.repositories().conversations().adopt(user_id, new, turns).await.map_err(failed)?;
        tracing::info!(conversation_id = %name.id, turn_count = adopted.turn_count, "adopted a conversation of Llama Stack");
        Ok(())
    }

    /// Deletes it there; `false` where it is not there, or Llama Stack is not asked.
    pub(super) async fn delete_in_llama_stack(
        &self,
        caller: &Caller,
        name: &ConversationName,
    ) -> Result<bool, ApiError> {
        let Some(llama_stack) = self.llama_stack_for(caller) else { return Ok(false) };
        // A conversation that has always been here alone is no concern of Llama Stack's.
        let ours = self.repositories().conversations().get(caller.user_id(), name.id).await;
        let ours = ours.map_err(|error| ApiError::of_repository(&error, Some(&name.shown)))?;
        let id = match ours {
            Some(conversation) => match conversation.external_id {
                // As it was adopted: there, another spelling is another conversation.
                Some(id) => id.to_string(),
                None => return Ok(false),
            },
            None => name.shown.clone(),
        };
        let deleted = llama_stack.delete(&id, caller.0.token.as_ref()).await;
        deleted.map_err(|error| ApiError::of_agent(&error))
    }

    /// Llama Stack, where it may be asked on the caller's behalf.
    fn llama_stack_for(&self, caller: &Caller) -> Option<&LlamaStack> {
        self.llama_stack().filter(|_| caller.0.may_ask_others())
    }

    /// What was said in it, by Llama Stack; `None` where it is not there, is deleted here, or nobody is asked.
    async fn llama_stack_turns(
        &self,
        caller: &Caller,
        name: &ConversationName,
    ) -> Result<Option<Vec<AdoptedTurn>>, ApiError> {
        let Some(llama_stack) = self.llama_stack_for(caller) else { return Ok(None) };
        let items = llama_stack.items(&name.shown, caller.0.token.as_ref()).await;
        let Some(items) = items.map_err(|error| ApiError::of_agent(&error))? else { return Ok(None) };
        let deleted = self.repositories().conversations().was_deleted(caller.user_id(), name.id).await;
        let deleted = deleted.map_err(|error| ApiError::of_repository(&error, Some(&name.shown)))?;
        Ok((!deleted).then(|| turns_of(&items)))
    }
}

/// The turn as it is stored: the same each time it is made.
fn new_turn(
    user_id: UserId,
    conversation_id: ConversationId,
    position: usize,
    turn: AdoptedTurn,
) -> Result<NewTurn, RepositoryError> {
    let key = turn.first_item_id.unwrap_or_else(|| position.to_string());
    let turn_id = TurnId::from_idempotency_key(user_id, &format!("llama-stack:{conversation_id}:{key}"));
    let at = DateTime::<Utc>::UNIX_EPOCH;
    let input = Payload::from_value(&turn.input_messages)?;
    let output = turn.output_message.as_ref().map(Payload::from_value).transpose()?;
    NewTurn::new(turn_id, input, output, at, at, Metadata::default())
}
