//! Conversations in memory.

use std::cmp::Reverse;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::search::turn_text;
use lcs_domain::{
    Actor, Conversation, ConversationCursor, ConversationId, ConversationPage, ConversationRepository,
    ConversationStatus, ConversationSummary, ConversationUpdate, Durability, Entity, Head, ListConversations,
    ListSummaries, NewConversation, NewTurn, RepositoryError, SearchConversations, SearchQuery, UserId,
};

use super::{Memory, Row, StoredTurn, Tables};
use crate::audit::deletion;
use crate::tombstone::user_hash;

impl Tables {
    /// Whether an id of `new` is in use or was, or the user has another conversation of its external id.
    fn has_used(&self, user_id: UserId, new: &NewConversation) -> bool {
        self.tombstones.contains_key(&new.conversation_id)
            || self.conversations.contains_key(&new.conversation_id)
            || self.agents.contains_key(&new.agent_id)
            || new.external_id.is_some()
                && self.conversations.values().any(|Row { conversation, .. }| {
                    conversation.user_id == user_id && conversation.external_id == new.external_id
                })
    }

    /// Makes a conversation, or finds the one that this very command made.
    pub(super) fn create(
        &mut self,
        user_id: UserId,
        new: NewConversation,
        now: DateTime<Utc>,
    ) -> RepositoryResult<Conversation> {
        if let Some(row) = self.conversations.get(&new.conversation_id)
            && new.made(user_id, &row.conversation)
        {
            return Ok(row.conversation.clone());
        }
        if self.has_used(user_id, &new) {
            return Err(RepositoryError::AlreadyExists { entity: Entity::Conversation });
        }
        Ok(self.insert(user_id, new, now).conversation.clone())
    }

    /// Makes a conversation without turns.
    fn insert(&mut self, user_id: UserId, new: NewConversation, now: DateTime<Utc>) -> &mut Row {
        self.agents.insert(new.agent_id, new.conversation_id);
        let conversation = Conversation {
            conversation_id: new.conversation_id,
            user_id,
            agent_id: new.agent_id,
            model_id: new.model_id,
            system_prompt: new.system_prompt,
            created_at: now,
            updated_at: now,
            status: ConversationStatus::Active,
            metadata: new.metadata,
            turn_count: 0,
            state_revision: 0,
            topic_summary: new.topic_summary,
            external_id: new.external_id,
            durability: Durability::Volatile,
        };
        let row = Row { conversation, turns: Vec::new(), state: None };
        self.conversations.entry(new.conversation_id).insert_entry(row).into_mut()
    }

    /// The user's conversations behind `after`, newest first.
    fn behind(&self, user_id: UserId, after: Option<ConversationCursor>) -> Vec<&Row> {
        let is_behind = |found: &Conversation, cursor: ConversationCursor| {
            found.updated_at < cursor.updated_at
                || found.updated_at == cursor.updated_at && found.conversation_id > cursor.conversation_id
        };
        let own = self.conversations.values().filter(|row| row.is_open_to(user_id));
        let behind = own.filter(|row| after.is_none_or(|cursor| is_behind(&row.conversation, cursor)));
        let mut rows: Vec<&Row> = behind.collect();
        rows.sort_by_key(|row| (Reverse(row.conversation.updated_at), row.conversation.conversation_id));
        rows
    }
}

impl Row {
    /// Whether its topic or one of its turns has all the words.
    fn has_words(&self, query: &SearchQuery) -> RepositoryResult<bool> {
        if self.conversation.topic_summary.as_ref().is_some_and(|topic| query.matches(topic)) {
            return Ok(true);
        }
        for StoredTurn { turn, .. } in &self.turns {
            if query.matches(&turn_text(&turn.input_messages, turn.output_message.as_ref())?) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What a list shows of the conversation.
fn summary(row: &Row) -> ConversationSummary {
    let conversation = row.conversation.clone();
    ConversationSummary {
        conversation_id: conversation.conversation_id,
        external_id: conversation.external_id,
        created_at: conversation.created_at,
        updated_at: conversation.updated_at,
        status: conversation.status,
        model_id: conversation.model_id,
        turn_count: conversation.turn_count,
        last_turn: row.turns.last().map(|stored| stored.turn.metadata.clone()),
        topic_summary: conversation.topic_summary,
    }
}

impl Tables {
    /// Deletes the user's conversation, and records that `actor` did.
    pub(super) fn delete(
        &mut self,
        user_id: UserId,
        conversation_id: ConversationId,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> bool {
        let Ok(row) = self.open_mut(user_id, conversation_id) else {
            return false;
        };
        row.touch(now);
        row.conversation.status = ConversationStatus::Deleted;
        let turns = row.conversation.turn_count;
        self.record(deletion(actor, user_id, conversation_id, turns), now);
        true
    }
}

#[async_trait]
impl ConversationRepository for Memory {
    #[tracing::instrument(name = "db.conversation.create", skip_all, fields(conversation_id = %new.conversation_id))]
    async fn create(&self, user_id: UserId, new: NewConversation) -> RepositoryResult<Conversation> {
        new.validate()?;
        let now = self.clock.now();
        self.tables().create(user_id, new, now)
    }

    #[tracing::instrument(
        name = "db.conversation.adopt",
        skip_all,
        fields(conversation_id = %new.conversation_id, turns = turns.len())
    )]
    async fn adopt(
        &self,
        user_id: UserId,
        new: NewConversation,
        turns: Vec<NewTurn>,
    ) -> RepositoryResult<Conversation> {
        new.validate()?;
        NewTurn::refuse_repeated(&turns)?;
        let now = self.clock.now();
        let mut tables = self.tables();
        if let Some(row) = tables.open(user_id, new.conversation_id) {
            return Ok(row.conversation.clone());
        }
        if tables.has_used(user_id, &new) {
            return Err(RepositoryError::AlreadyExists { entity: Entity::Conversation });
        }
        if turns.iter().any(|turn| tables.turns.contains_key(&turn.turn_id())) {
            return Err(RepositoryError::AlreadyExists { entity: Entity::Turn });
        }
        tables.turns.extend(turns.iter().map(|turn| (turn.turn_id(), new.conversation_id)));
        let row = tables.insert(user_id, new, now);
        for turn in &turns {
            row.push(turn);
        }
        Ok(row.conversation.clone())
    }

    #[tracing::instrument(name = "db.conversation.was_deleted", skip_all, fields(%conversation_id))]
    async fn was_deleted(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<bool> {
        let tables = self.tables();
        let deleted = tables.conversations.get(&conversation_id).is_some_and(|row| {
            row.conversation.user_id == user_id && row.conversation.status == ConversationStatus::Deleted
        });
        let tombstone = tables.tombstones.get(&conversation_id);
        Ok(deleted || tombstone.is_some_and(|tombstone| tombstone.user_hash == user_hash(user_id)))
    }

    #[tracing::instrument(name = "db.conversation.get", skip_all, fields(%conversation_id))]
    async fn get(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<Conversation>> {
        Ok(self.tables().open(user_id, conversation_id).map(|row| row.conversation.clone()))
    }

    #[tracing::instrument(name = "db.conversation.head", skip_all, fields(%conversation_id))]
    async fn head(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<Option<Head>> {
        Ok(self.tables().open(user_id, conversation_id).map(|Row { conversation, .. }| Head {
            turn_count: conversation.turn_count,
            state_revision: conversation.state_revision,
            status: conversation.status,
            durability: Durability::Volatile,
        }))
    }

    #[tracing::instrument(name = "db.conversation.list", skip_all)]
    async fn list(&self, user_id: UserId, list: ListConversations) -> RepositoryResult<ConversationPage> {
        let tables = self.tables();
        let rows = tables.behind(user_id, list.after).into_iter().map(|row| &row.conversation);
        let rows = rows.filter(|found| list.status.is_none_or(|status| found.status == status));
        let read = rows.take(list.limit.get() as usize + 1).cloned().collect();
        Ok(ConversationPage::cut(read, list.limit, Durability::Volatile))
    }

    #[tracing::instrument(name = "db.conversation.summaries", skip_all)]
    fn summaries(
        &self,
        user_id: UserId,
        list: ListSummaries,
    ) -> BoxStream<'static, RepositoryResult<ConversationSummary>> {
        let limit = list.limit.map_or(usize::MAX, |limit| limit as usize);
        let tables = self.tables();
        let rows = tables.behind(user_id, list.after).into_iter().take(limit).map(summary);
        stream::iter(rows.map(Ok).collect::<Vec<_>>()).boxed()
    }

    #[tracing::instrument(name = "db.conversation.search", skip_all)]
    async fn search(
        &self,
        user_id: UserId,
        search: SearchConversations,
    ) -> RepositoryResult<Vec<ConversationSummary>> {
        let tables = self.tables();
        let mut found = Vec::new();
        for row in tables.behind(user_id, search.after) {
            if found.len() >= search.limit as usize {
                break;
            }
            if row.has_words(&search.query)? {
                found.push(summary(row));
            }
        }
        Ok(found)
    }

    #[tracing::instrument(name = "db.conversation.update", skip_all, fields(%conversation_id))]
    async fn update(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        update: ConversationUpdate,
    ) -> RepositoryResult<Conversation> {
        update.validate()?;
        let now = self.clock.now();
        let mut tables = self.tables();
        let row = tables.open_mut(user_id, conversation_id)?;
        if update.is_empty() {
            return Ok(row.conversation.clone());
        }
        update.refuse_changed(row.conversation.updated_at)?;
        let moved_on = row.conversation.updated_at + TimeDelta::microseconds(1);
        row.touch(now.max(moved_on));
        let conversation = &mut row.conversation;
        if let Some(topic_summary) = update.topic_summary {
            conversation.topic_summary = topic_summary;
        }
        if let Some(status) = update.status {
            conversation.status = status.into();
        }
        if let Some(metadata) = update.metadata {
            conversation.metadata = metadata;
        }
        Ok(conversation.clone())
    }

    #[tracing::instrument(name = "db.conversation.delete", skip_all, fields(%conversation_id))]
    async fn delete(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<bool> {
        let now = self.clock.now();
        Ok(self.tables().delete(user_id, conversation_id, Actor::user(user_id), now))
    }
}
