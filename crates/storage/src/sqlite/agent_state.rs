//! Agent states in SQLite.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentId, AgentState, AgentStateRepository, ConversationId, ConversationStatus, Durability, Entity,
    Payload, RepositoryError, SaveAgentState, Saved, UserId,
};

use super::Sqlite;
use super::conversation::{DELETED, Place, find_place};
use super::error::Failure;
use super::row::{AgentStateRow, BlobUuid, Cell, Micros, Reader};
use super::schema::{agent_states, conversations};
use super::turn::AdvanceHead;
use crate::row::AgentStateRecord;
use crate::sealed::Columns;

/// A state on its way into its row.
#[derive(Clone)]
pub(super) struct StoreState {
    agent_id: BlobUuid,
    conversation_id: BlobUuid,
    user_id: BlobUuid,
    /// `None` keeps the configuration that is stored.
    agent_config: Option<Columns>,
    current_state: Columns,
}

impl StoreState {
    pub(super) fn new(
        user_id: UserId,
        conversation_id: ConversationId,
        agent_id: AgentId,
        agent_config: Option<&Payload>,
        current_state: Option<&Payload>,
    ) -> RepositoryResult<Self> {
        Ok(Self {
            agent_id: agent_id.into(),
            conversation_id: conversation_id.into(),
            user_id: user_id.into(),
            agent_config: agent_config.map(Columns::of).transpose()?,
            current_state: Columns::of_option(current_state)?,
        })
    }

    /// Stores this state as the conversation's `revision`, having seen `through_turn` turns.
    pub(super) fn store(
        self,
        connection: &mut SqliteConnection,
        revision: u64,
        through_turn: u32,
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        let keeps_config = self.agent_config.is_none();
        let nothing = || Columns { plain: Some("{}".to_owned()), sealed: None };
        let upsert = Upsert {
            agent_id: self.agent_id,
            conversation_id: self.conversation_id,
            user_id: self.user_id,
            keeps_config,
            agent_config: self.agent_config.unwrap_or_else(nothing),
            current_state: self.current_state,
            now: now.into(),
            revision: revision.cast_signed(),
            through_turn: through_turn.into(),
        };
        upsert.execute(connection)?;
        Ok(())
    }
}

/// Stores a state, whether there was one or not. A fragment of our own for the sake of its cache, like
/// [`AdvanceHead`].
#[derive(QueryId)]
struct Upsert {
    agent_id: BlobUuid,
    conversation_id: BlobUuid,
    user_id: BlobUuid,
    keeps_config: bool,
    agent_config: Columns,
    current_state: Columns,
    now: Micros,
    revision: i64,
    through_turn: i64,
}

impl QueryFragment<Backend> for Upsert {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        out.push_sql(
            "INSERT INTO agent_states (agent_id, conversation_id, user_id, agent_config, agent_config_sealed, \
             current_state, current_state_sealed, created_at, updated_at, revision, through_turn) VALUES (",
        );
        out.push_bind_param::<Binary, _>(&self.agent_id)?;
        for id in [&self.conversation_id, &self.user_id] {
            out.push_sql(", ");
            out.push_bind_param::<Binary, _>(id)?;
        }
        for columns in [&self.agent_config, &self.current_state] {
            out.push_sql(", ");
            out.push_bind_param::<Nullable<Text>, _>(&columns.plain)?;
            out.push_sql(", ");
            out.push_bind_param::<Nullable<Binary>, _>(&columns.sealed)?;
        }
        for time in [&self.now, &self.now] {
            out.push_sql(", ");
            out.push_bind_param::<BigInt, _>(time)?;
        }
        for number in [&self.revision, &self.through_turn] {
            out.push_sql(", ");
            out.push_bind_param::<BigInt, _>(number)?;
        }
        out.push_sql(") ON CONFLICT (agent_id) DO UPDATE SET agent_config = iif(");
        out.push_bind_param::<Bool, _>(&self.keeps_config)?;
        out.push_sql(", agent_config, excluded.agent_config), agent_config_sealed = iif(");
        out.push_bind_param::<Bool, _>(&self.keeps_config)?;
        out.push_sql(
            ", agent_config_sealed, excluded.agent_config_sealed), current_state = excluded.current_state, \
             current_state_sealed = excluded.current_state_sealed, \
             updated_at = max(updated_at, excluded.updated_at), revision = excluded.revision, \
             through_turn = excluded.through_turn",
        );
        Ok(())
    }
}

impl RunQueryDsl<SqliteConnection> for Upsert {}

/// Refuses what was made from another revision than the last one (P4).
pub(super) fn expect_revision(place: &Place, expected: u64) -> RepositoryResult<()> {
    if expected == place.state_revision {
        return Ok(());
    }
    Err(RepositoryError::Conflict { entity: Entity::AgentState, expected, observed: place.state_revision })
}

fn into_state(row: Option<AgentStateRow>) -> Result<Option<AgentState>, Failure> {
    Ok(row.map(AgentStateRecord::try_from).transpose()?.map(AgentState::try_from).transpose()?)
}

#[async_trait]
impl AgentStateRepository for Sqlite {
    #[tracing::instrument(name = "db.agent_state.get", skip_all, fields(%user_id, %agent_id))]
    async fn get(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<Option<AgentState>> {
        self.database
            .read(move |connection| {
                let row = agent_states::table
                    .inner_join(conversations::table)
                    .filter(agent_states::agent_id.eq(BlobUuid::from(agent_id)))
                    .filter(agent_states::user_id.eq(BlobUuid::from(user_id)))
                    .filter(conversations::user_id.eq(BlobUuid::from(user_id)))
                    .filter(conversations::status.ne(DELETED))
                    .select(AgentStateRow::as_select())
                    .get_result(connection)
                    .optional()?;
                into_state(row)
            })
            .await
    }

    #[tracing::instrument(name = "db.agent_state.get_by_conversation", skip_all, fields(%user_id, %conversation_id))]
    async fn get_by_conversation(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<AgentState>> {
        self.database
            .read(move |connection| {
                let row = agent_states::table
                    .inner_join(conversations::table)
                    .filter(agent_states::conversation_id.eq(BlobUuid::from(conversation_id)))
                    .filter(agent_states::user_id.eq(BlobUuid::from(user_id)))
                    .filter(conversations::user_id.eq(BlobUuid::from(user_id)))
                    .filter(conversations::status.ne(DELETED))
                    .select(AgentStateRow::as_select())
                    .get_result(connection)
                    .optional()?;
                into_state(row)
            })
            .await
    }

    #[tracing::instrument(name = "db.agent_state.save", skip_all, fields(%user_id, conversation_id = %save.conversation_id, agent_id = %save.agent_id))]
    async fn save(&self, user_id: UserId, save: SaveAgentState) -> RepositoryResult<Saved> {
        let state = StoreState::new(
            user_id,
            save.conversation_id,
            save.agent_id,
            save.agent_config.as_ref(),
            save.current_state.as_ref(),
        )?;
        self.database
            .write(save.agent_id, move |connection, now| {
                let place = find_place(connection, user_id, save.conversation_id)?
                    .ok_or(RepositoryError::not_found(Entity::Conversation))?;
                if place.status == ConversationStatus::Archived {
                    return Err(RepositoryError::Closed { entity: Entity::Conversation }.into());
                }
                if place.agent_id != save.agent_id {
                    return Err(RepositoryError::not_found(Entity::AgentState).into());
                }
                save.refuse_unknown_turns(place.turn_count)?;
                expect_revision(&place, save.expected_revision)?;
                let revision = place.state_revision + 1;
                raise_revision(connection, save.conversation_id.into(), now)?;
                state.store(connection, revision, save.through_turn, now)?;
                Ok(Saved { revision, durability: Durability::Durable })
            })
            .await
    }

    #[tracing::instrument(name = "db.agent_state.delete", skip_all, fields(%user_id, %agent_id))]
    async fn delete(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<bool> {
        self.database
            .write(agent_id, move |connection, now| {
                let row: Option<(Cell<Vec<u8>>, Cell<Vec<u8>>)> = agent_states::table
                    .inner_join(conversations::table)
                    .filter(agent_states::agent_id.eq(BlobUuid::from(agent_id)))
                    .filter(agent_states::user_id.eq(BlobUuid::from(user_id)))
                    .filter(conversations::user_id.eq(BlobUuid::from(user_id)))
                    .filter(conversations::status.ne(DELETED))
                    .select((agent_states::agent_id, agent_states::conversation_id))
                    .get_result(connection)
                    .optional()?;
                let Some((key, conversation_id)) = row else {
                    return Ok(false);
                };
                let reader = Reader::new("agent_states", "agent_id", key)?;
                let conversation_id = reader.uuid("conversation_id", conversation_id)?;
                diesel::delete(agent_states::table.find(BlobUuid::from(agent_id))).execute(connection)?;
                raise_revision(connection, conversation_id.into(), now)?;
                Ok(true)
            })
            .await
    }
}

fn raise_revision(
    connection: &mut SqliteConnection,
    conversation_id: BlobUuid,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    AdvanceHead { conversation_id, turns: 0, revisions: 1, now: now.into() }.execute(connection)?;
    Ok(())
}
