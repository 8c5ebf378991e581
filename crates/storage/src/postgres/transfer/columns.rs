//! Conversations that are imported, as the columns that the statements bind.

use chrono::{DateTime, Utc};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{IncomingConversation, IncomingHead};
use lcs_domain::{ConversationId, NewTurn, Text};
use uuid::Uuid;

use crate::postgres::json::Json;
use crate::postgres::row::{binds, count_bind, revision_bind};

/// Of conversations, of their states, and of their turns: an element for each.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) conversation_id: Vec<Uuid>,
    pub(super) user_id: Vec<Uuid>,
    pub(super) agent_id: Vec<Uuid>,
    pub(super) model_id: Vec<String>,
    pub(super) system_prompt: Vec<Option<String>>,
    pub(super) created_at: Vec<DateTime<Utc>>,
    pub(super) updated_at: Vec<DateTime<Utc>>,
    pub(super) status: Vec<&'static str>,
    pub(super) metadata: Vec<Json>,
    pub(super) turn_count: Vec<i32>,
    pub(super) state_revision: Vec<i64>,
    pub(super) topic_summary: Vec<Option<String>>,
    pub(super) external_id: Vec<Option<String>>,
    pub(super) state_conversation_id: Vec<Uuid>,
    pub(super) agent_config: Vec<Option<Json>>,
    pub(super) agent_config_sealed: Vec<Option<Vec<u8>>>,
    pub(super) current_state: Vec<Option<Json>>,
    pub(super) current_state_sealed: Vec<Option<Vec<u8>>>,
    pub(super) state_created_at: Vec<DateTime<Utc>>,
    pub(super) state_updated_at: Vec<DateTime<Utc>>,
    pub(super) through_turn: Vec<i32>,
    pub(super) turn_conversation_id: Vec<Uuid>,
    pub(super) turn_number: Vec<i32>,
    pub(super) turn_id: Vec<Uuid>,
    pub(super) content_hash: Vec<Vec<u8>>,
    pub(super) input_messages: Vec<Option<Json>>,
    pub(super) input_messages_sealed: Vec<Option<Vec<u8>>>,
    pub(super) output_message: Vec<Option<Json>>,
    pub(super) output_message_sealed: Vec<Option<Vec<u8>>>,
    pub(super) started_at: Vec<DateTime<Utc>>,
    pub(super) completed_at: Vec<DateTime<Utc>>,
    pub(super) turn_metadata: Vec<Json>,
    /// The archive whose tombstones are not in the way of these, for they are lifted behind.
    pub(super) archive_id: Option<Uuid>,
    /// When the import began; none where it comes from an archive.
    pub(super) began: Option<DateTime<Utc>>,
}

impl Columns {
    pub(super) fn of(conversations: &[&IncomingConversation]) -> RepositoryResult<Self> {
        let mut columns = Self::default();
        for incoming in conversations {
            columns.push(&incoming.head)?;
            let conversation_id = incoming.head.conversation.conversation_id;
            for (turn, number) in incoming.turns.iter().zip(1..) {
                columns.push_turn(conversation_id, number, turn)?;
            }
        }
        Ok(columns)
    }

    /// Adds a conversation and its state.
    pub(super) fn push(&mut self, head: &IncomingHead) -> RepositoryResult<()> {
        let IncomingHead { conversation, agent_state } = head;
        let text = |text: &Option<Text>| text.as_ref().map(Text::to_string);
        self.conversation_id.push(conversation.conversation_id.into());
        self.user_id.push(conversation.user_id.into());
        self.agent_id.push(conversation.agent_id.into());
        self.model_id.push(conversation.model_id.to_string());
        self.system_prompt.push(text(&conversation.system_prompt));
        self.created_at.push(conversation.created_at);
        self.updated_at.push(conversation.updated_at);
        self.status.push(conversation.status.as_str());
        self.metadata.push(Json(conversation.metadata.as_json().to_owned()));
        self.turn_count.push(count_bind(conversation.turn_count));
        self.state_revision.push(revision_bind(conversation.state_revision));
        self.topic_summary.push(text(&conversation.topic_summary));
        self.external_id.push(text(&conversation.external_id));
        let Some(state) = agent_state else { return Ok(()) };
        let (config, config_sealed) = binds(Some(&state.agent_config))?;
        let (current, current_sealed) = binds(state.current_state.as_ref())?;
        self.state_conversation_id.push(state.conversation_id.into());
        self.agent_config.push(config);
        self.agent_config_sealed.push(config_sealed);
        self.current_state.push(current);
        self.current_state_sealed.push(current_sealed);
        self.state_created_at.push(state.created_at);
        self.state_updated_at.push(state.updated_at);
        self.through_turn.push(count_bind(state.through_turn));
        Ok(())
    }

    /// Adds a turn.
    pub(super) fn push_turn(
        &mut self,
        conversation_id: ConversationId,
        turn_number: u32,
        turn: &NewTurn,
    ) -> RepositoryResult<()> {
        let (input, input_sealed) = binds(Some(turn.input_messages()))?;
        let (output, output_sealed) = binds(turn.output_message())?;
        self.turn_conversation_id.push(conversation_id.into());
        self.turn_number.push(count_bind(turn_number));
        self.turn_id.push(turn.turn_id().into());
        self.content_hash.push(turn.content_hash().to_vec());
        self.input_messages.push(input);
        self.input_messages_sealed.push(input_sealed);
        self.output_message.push(output);
        self.output_message_sealed.push(output_sealed);
        self.started_at.push(turn.started_at());
        self.completed_at.push(turn.completed_at());
        self.turn_metadata.push(Json(turn.metadata().as_json().to_owned()));
        Ok(())
    }
}
