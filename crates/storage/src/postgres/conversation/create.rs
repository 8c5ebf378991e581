//! Making a conversation: one statement, by itself or with others that are made at the same time.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, Jsonb, Nullable, Text as SqlText, Uuid as SqlUuid};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Conversation, Entity, NewConversation, RepositoryError, UserId};
use uuid::Uuid;

use super::{conversation, owned, text};
use crate::postgres::Postgres;
use crate::postgres::coalescer::{Waiting, Write, run_together};
use crate::postgres::error::Fault;
use crate::postgres::json::Json;
use crate::postgres::row::{ColumnsOf, ConversationRow};
use crate::postgres::statement::statement;

statement! {
    /// Makes a conversation, or gives no row.
    Create(include_str!("create.sql")) of Binds => ColumnsOf<ConversationRow> {
        conversation_id as SqlUuid,
        user_id as SqlUuid,
        agent_id as SqlUuid,
        model_id as SqlText,
        system_prompt as Nullable<SqlText>,
        metadata as Jsonb,
        topic_summary as Nullable<SqlText>,
        external_id as Nullable<SqlText>,
    }
}

statement! {
    /// Makes conversations: a row for each that was made.
    CreateBatch(include_str!("create_batch.sql")) of Columns => ColumnsOf<ConversationRow> {
        conversation_id as Array<SqlUuid>,
        user_id as Array<SqlUuid>,
        agent_id as Array<SqlUuid>,
        model_id as Array<SqlText>,
        system_prompt as Array<Nullable<SqlText>>,
        metadata as Array<Jsonb>,
        topic_summary as Array<Nullable<SqlText>>,
        external_id as Array<Nullable<SqlText>>,
    }
}

/// What the statement binds, in its order.
pub(super) struct Binds {
    conversation_id: Uuid,
    user_id: Uuid,
    agent_id: Uuid,
    model_id: String,
    system_prompt: Option<String>,
    metadata: Json,
    topic_summary: Option<String>,
    external_id: Option<String>,
}

/// The binds of several, column by column.
#[derive(Default)]
pub(super) struct Columns {
    conversation_id: Vec<Uuid>,
    user_id: Vec<Uuid>,
    agent_id: Vec<Uuid>,
    model_id: Vec<String>,
    system_prompt: Vec<Option<String>>,
    metadata: Vec<Json>,
    topic_summary: Vec<Option<String>>,
    external_id: Vec<Option<String>>,
}

impl Columns {
    fn push(&mut self, binds: Binds) {
        self.conversation_id.push(binds.conversation_id);
        self.user_id.push(binds.user_id);
        self.agent_id.push(binds.agent_id);
        self.model_id.push(binds.model_id);
        self.system_prompt.push(binds.system_prompt);
        self.metadata.push(binds.metadata);
        self.topic_summary.push(binds.topic_summary);
        self.external_id.push(binds.external_id);
    }
}

/// A conversation that is to be made.
pub(in crate::postgres) struct Creation {
    user_id: UserId,
    new: NewConversation,
}

impl Creation {
    pub(super) const fn new(user_id: UserId, new: NewConversation) -> Self {
        Self { user_id, new }
    }

    /// The conversation that this very command made before.
    ///
    /// # Errors
    /// `AlreadyExists` where something else is in the way, or nothing that can be seen.
    pub(super) async fn found(&self, store: &Postgres) -> RepositoryResult<Conversation> {
        let existing = self.existing(store).await?;
        existing.map_or(Err(IN_USE), |existing| self.made(existing))
    }

    fn binds(&self) -> Binds {
        let Self { user_id, new } = self;
        Binds {
            conversation_id: new.conversation_id.into(),
            user_id: (*user_id).into(),
            agent_id: new.agent_id.into(),
            model_id: new.model_id.to_string(),
            system_prompt: text(new.system_prompt.clone()),
            metadata: Json(new.metadata.as_json().to_owned()),
            topic_summary: text(new.topic_summary.clone()),
            external_id: text(new.external_id.clone()),
        }
    }
}

/// What a create is refused with.
const IN_USE: RepositoryError = RepositoryError::AlreadyExists { entity: Entity::Conversation };

impl Write for Creation {
    type Done = Conversation;

    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn conversation_id(&self) -> Uuid {
        self.new.conversation_id.into()
    }

    fn key(&self) -> Uuid {
        self.new.conversation_id.into()
    }

    fn bytes(&self) -> usize {
        let texts = [&self.new.system_prompt, &self.new.topic_summary, &self.new.external_id];
        let texts = texts.into_iter().flatten().chain([&self.new.model_id]);
        self.new.metadata.as_json().len() + texts.map(|text| text.as_str().len()).sum::<usize>()
    }

    async fn try_alone(&self, store: &Postgres) -> RepositoryResult<Option<Conversation>> {
        let binds = self.binds();
        let answer = store.write(self.user_id, binds.conversation_id, &Create(&binds)).await;
        conversation(self.user_id, answer.map_err(Fault::into_error)?.rows)
    }

    async fn decide(&self, store: &Postgres) -> RepositoryResult<Conversation> {
        // Something of this id is in the way: what this very command made before, or anything else. Where it was
        // another of the same statement that was refused, nothing is.
        if let Some(existing) = self.existing(store).await? {
            return self.made(existing);
        }
        if let Some(made) = self.try_alone(store).await? {
            return Ok(made);
        }
        self.found(store).await
    }

    async fn together(batch: Vec<Waiting<Self>>) -> Vec<Waiting<Self>> {
        let mut columns = Columns::default();
        for waiting in &batch {
            columns.push(waiting.write.binds());
        }
        let (rows, batch) = run_together::<_, ConversationRow>(batch, &CreateBatch(&columns)).await;
        let mut made: HashMap<Uuid, _> = rows.into_iter().map(|row| (row.conversation_id(), row)).collect();
        let mut undecided = Vec::new();
        for waiting in batch {
            let Creation { user_id, new } = &waiting.write;
            let row = made.remove(new.conversation_id.as_uuid());
            match row.and_then(|row| row.of(*user_id).try_into().ok()) {
                Some(made) => waiting.answer(Ok(made)),
                None => undecided.push(waiting),
            }
        }
        undecided
    }
}

impl Creation {
    /// The user's conversation of this id.
    async fn existing(&self, store: &Postgres) -> RepositoryResult<Option<Conversation>> {
        let query = owned(self.user_id, self.new.conversation_id).select(ConversationRow::as_select());
        conversation(self.user_id, store.read(self.user_id, &query).await?)
    }

    /// `existing`, if this command made it.
    fn made(&self, existing: Conversation) -> RepositoryResult<Conversation> {
        if self.new.made(self.user_id, &existing) { Ok(existing) } else { Err(IN_USE) }
    }
}

impl Postgres {
    /// Makes a conversation, by itself or with others.
    pub(super) async fn create_conversation(
        &self,
        user_id: UserId,
        new: NewConversation,
    ) -> RepositoryResult<Conversation> {
        self.coalesced(Creation { user_id, new }, self.creations.as_ref()).await
    }
}
