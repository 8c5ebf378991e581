//! Taking over a conversation that was held elsewhere: with all its turns, in one statement.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Bytea, Jsonb, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Conversation, ConversationStatus, Entity, NewConversation, NewTurn, RepositoryError, UserId,
};
use uuid::Uuid;

use super::{conversation, owned, text};
use crate::postgres::Postgres;
use crate::postgres::error::Fault;
use crate::postgres::json::Json;
use crate::postgres::row::{ColumnsOf, ConversationRow, binds};
use crate::postgres::statement::statement;

statement! {
    /// Makes a conversation with its turns, or gives no row.
    Adopt(include_str!("adopt.sql")) -> ColumnsOf<ConversationRow> {
        conversation_id: Uuid as SqlUuid,
        user_id: Uuid as SqlUuid,
        agent_id: Uuid as SqlUuid,
        model_id: String as SqlText,
        system_prompt: Option<String> as Nullable<SqlText>,
        metadata: Json as Jsonb,
        topic_summary: Option<String> as Nullable<SqlText>,
        external_id: Option<String> as Nullable<SqlText>,
        turn_ids: Vec<Uuid> as Array<SqlUuid>,
        content_hashes: Vec<Vec<u8>> as Array<Bytea>,
        input_messages: Vec<Option<Json>> as Array<Nullable<Jsonb>>,
        input_messages_sealed: Vec<Option<Vec<u8>>> as Array<Nullable<Bytea>>,
        output_messages: Vec<Option<Json>> as Array<Nullable<Jsonb>>,
        output_messages_sealed: Vec<Option<Vec<u8>>> as Array<Nullable<Bytea>>,
        started_ats: Vec<DateTime<Utc>> as Array<Timestamptz>,
        completed_ats: Vec<DateTime<Utc>> as Array<Timestamptz>,
        turns_metadata: Vec<Json> as Array<Jsonb>,
    }
}

impl Adopt {
    fn of(user_id: UserId, new: &NewConversation, turns: &[NewTurn]) -> RepositoryResult<Self> {
        let mut adopt = Self {
            conversation_id: new.conversation_id.into(),
            user_id: user_id.into(),
            agent_id: new.agent_id.into(),
            model_id: new.model_id.to_string(),
            system_prompt: text(new.system_prompt.clone()),
            metadata: Json(new.metadata.as_json().to_owned()),
            topic_summary: text(new.topic_summary.clone()),
            external_id: text(new.external_id.clone()),
            turn_ids: turns.iter().map(|turn| turn.turn_id().into()).collect(),
            content_hashes: turns.iter().map(|turn| turn.content_hash().to_vec()).collect(),
            input_messages: Vec::with_capacity(turns.len()),
            input_messages_sealed: Vec::with_capacity(turns.len()),
            output_messages: Vec::with_capacity(turns.len()),
            output_messages_sealed: Vec::with_capacity(turns.len()),
            started_ats: turns.iter().map(NewTurn::started_at).collect(),
            completed_ats: turns.iter().map(NewTurn::completed_at).collect(),
            turns_metadata: turns.iter().map(|turn| Json(turn.metadata().as_json().to_owned())).collect(),
        };
        for turn in turns {
            let (plain, sealed) = binds(Some(turn.input_messages()))?;
            adopt.input_messages.push(plain);
            adopt.input_messages_sealed.push(sealed);
            let (plain, sealed) = binds(turn.output_message())?;
            adopt.output_messages.push(plain);
            adopt.output_messages_sealed.push(sealed);
        }
        Ok(adopt)
    }
}

impl Postgres {
    pub(super) async fn adopt_conversation(
        &self,
        user_id: UserId,
        new: NewConversation,
        turns: Vec<NewTurn>,
    ) -> RepositoryResult<Conversation> {
        let query = Adopt::of(user_id, &new, &turns)?;
        drop(turns);
        let answer = self.write(user_id, query.conversation_id, &query).await.map_err(Fault::into_error)?;
        if let Some(adopted) = conversation(user_id, answer.rows)? {
            return Ok(adopted);
        }
        // Something of this id is in the way: what another replica has just adopted, or anything else.
        let query = owned(user_id, new.conversation_id).select(ConversationRow::as_select());
        conversation(user_id, self.read(user_id, &query).await?)?
            .filter(|existing| existing.status != ConversationStatus::Deleted)
            .ok_or(RepositoryError::AlreadyExists { entity: Entity::Conversation })
    }
}
