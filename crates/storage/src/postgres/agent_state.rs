//! Agent states in PostgreSQL.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Bytea, Integer, Jsonb, Nullable, Text as SqlText, Uuid as SqlUuid};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentId, AgentState, AgentStateRepository, ConversationId, ConversationStatus, Durability, Entity,
    RepositoryError, SaveAgentState, Saved, UserId,
};
use uuid::Uuid;

use super::Postgres;
use super::error::Fault;
use super::json::Json;
use super::operation::detached;
use super::retry::outcome_unknown;
use super::row::{AgentStateRow, ColumnsOf, binds, no_row, revision_bind};
use super::statement::statement;
use crate::row::Row;

statement! {
    /// The state of this agent.
    Get(include_str!("agent_state/get.sql")) -> ColumnsOf<AgentStateRow> {
        user_id: Uuid as SqlUuid,
        agent_id: Uuid as SqlUuid,
    }
}

statement! {
    /// The state of the agent that speaks in this conversation.
    GetByConversation(include_str!("agent_state/get_by_conversation.sql")) -> ColumnsOf<AgentStateRow> {
        user_id: Uuid as SqlUuid,
        conversation_id: Uuid as SqlUuid,
    }
}

statement! {
    /// Locks the conversation, compares, stores, and reports in one row.
    Save(include_str!("agent_state/save.sql")) -> (
        Nullable<BigInt>,
        Nullable<SqlText>,
        Nullable<Integer>,
        Nullable<BigInt>,
        Nullable<SqlUuid>,
    ) {
        user_id: Uuid as SqlUuid,
        conversation_id: Uuid as SqlUuid,
        agent_id: Uuid as SqlUuid,
        expected_revision: i64 as BigInt,
        agent_config: Option<Json> as Nullable<Jsonb>,
        agent_config_sealed: Option<Vec<u8>> as Nullable<Bytea>,
        current_state: Option<Json> as Nullable<Jsonb>,
        current_state_sealed: Option<Vec<u8>> as Nullable<Bytea>,
        through_turn: i64 as BigInt,
    }
}

statement! {
    /// Deletes a state and raises the conversation's revision.
    Delete(include_str!("agent_state/delete.sql")) -> (Bool, Nullable<BigInt>) {
        user_id: Uuid as SqlUuid,
        agent_id: Uuid as SqlUuid,
    }
}

/// The one row that a save gives.
#[derive(Queryable)]
struct Report {
    /// The revision that was stored.
    saved: Option<i64>,
    /// The locked conversation, before anything was written.
    status: Option<String>,
    turn_count: Option<i32>,
    state_revision: Option<i64>,
    agent_id: Option<Uuid>,
}

#[async_trait]
impl AgentStateRepository for Postgres {
    #[tracing::instrument(name = "db.agent_state.get", skip_all, fields(%user_id, %agent_id))]
    async fn get(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<Option<AgentState>> {
        let query = Get { user_id: user_id.into(), agent_id: agent_id.into() };
        state(user_id, self.read(user_id, &query).await?)
    }

    #[tracing::instrument(
        name = "db.agent_state.get_by_conversation",
        skip_all,
        fields(%user_id, %conversation_id)
    )]
    async fn get_by_conversation(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<AgentState>> {
        let query = GetByConversation { user_id: user_id.into(), conversation_id: conversation_id.into() };
        state(user_id, self.read(user_id, &query).await?)
    }

    #[tracing::instrument(
        name = "db.agent_state.save",
        skip_all,
        fields(%user_id, conversation_id = %save.conversation_id, agent_id = %save.agent_id)
    )]
    async fn save(&self, user_id: UserId, save: SaveAgentState) -> RepositoryResult<Saved> {
        let store = self.operation();
        detached(save.agent_id.into(), async move { store.save_state(user_id, &save).await }).await
    }

    #[tracing::instrument(name = "db.agent_state.delete", skip_all, fields(%user_id, %agent_id))]
    async fn delete(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<bool> {
        let store = self.operation();
        detached(agent_id.into(), async move {
            let query = Delete { user_id: user_id.into(), agent_id: agent_id.into() };
            let mut repeated = false;
            // A state that was stored while the first run waited for the lock shows only in a second one.
            for _ in 0..2 {
                let answer = store.write(user_id, query.agent_id, &query).await.map_err(Fault::into_error)?;
                repeated |= answer.repeated;
                let (deleted, revision): (bool, Option<i64>) = answer.one().ok_or_else(no_row)?;
                // There is none, there was one, and an attempt's answer was lost: that one deleted it.
                if deleted || (repeated && revision.is_some_and(|revision| revision > 0)) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }
}

impl Postgres {
    async fn save_state(&self, user_id: UserId, save: &SaveAgentState) -> RepositoryResult<Saved> {
        let (agent_config, agent_config_sealed) = binds(save.agent_config.as_ref())?;
        let (current_state, current_state_sealed) = binds(save.current_state.as_ref())?;
        let query = Save {
            user_id: user_id.into(),
            conversation_id: save.conversation_id.into(),
            agent_id: save.agent_id.into(),
            expected_revision: revision_bind(save.expected_revision),
            agent_config,
            agent_config_sealed,
            current_state,
            current_state_sealed,
            through_turn: save.through_turn.into(),
        };
        let answer = self.write(user_id, query.agent_id, &query).await.map_err(Fault::into_error)?;
        let repeated = answer.repeated;
        let report = answer.one().ok_or_else(no_row)?;
        match verdict(report, save)? {
            Err(refusal) if repeated => self.refused_after_a_loss(user_id, save, refusal).await,
            verdict => verdict,
        }
    }

    /// What a save came to whose first answer was lost, and which was refused when it was run again.
    ///
    /// A save has no key. That attempt may have stored what stands there now; or what stood there before somebody
    /// else went on from it, of which nothing is left to be seen.
    async fn refused_after_a_loss(
        &self,
        user_id: UserId,
        save: &SaveAgentState,
        refusal: RepositoryError,
    ) -> RepositoryResult<Saved> {
        let next = save.expected_revision.checked_add(1);
        match refusal {
            RepositoryError::Conflict { observed, .. } if next.is_some_and(|next| observed >= next) => {}
            RepositoryError::Closed { .. } => {}
            // What that attempt was refused for as well, since ids stay and counts only grow; or the conversation is
            // gone, and the state with it.
            refusal => return Err(refusal),
        }
        match AgentStateRepository::get(self, user_id, save.agent_id).await? {
            Some(stored) if Some(stored.revision) == next => {
                let is_ours = stored.through_turn == save.through_turn
                    && stored.current_state == save.current_state
                    && save.agent_config.as_ref().is_none_or(|config| *config == stored.agent_config);
                if is_ours {
                    return Ok(Saved { revision: stored.revision, durability: Durability::Durable });
                }
                Err(refusal)
            }
            // Nobody has gone on from what this save was to go on from.
            Some(stored) if stored.revision <= save.expected_revision => Err(refusal),
            _ => Err(outcome_unknown(save.agent_id.into())),
        }
    }
}

/// What a save's report means; refusals in the order that the port gives them.
fn verdict(report: Report, save: &SaveAgentState) -> RepositoryResult<RepositoryResult<Saved>> {
    let row = Row { table: "conversations", key: save.conversation_id.into() };
    let (Some(status), Some(turn_count), Some(state_revision)) =
        (report.status, report.turn_count, report.state_revision)
    else {
        return Ok(Err(RepositoryError::not_found(Entity::Conversation)));
    };
    if let Some(revision) = report.saved {
        let revision = row.revision("state_revision", revision)?;
        return Ok(Ok(Saved { revision, durability: Durability::Durable }));
    }
    let status: ConversationStatus =
        status.parse().map_err(|_| row.inconsistent("status", "not a known status"))?;
    Ok(Err(match status {
        ConversationStatus::Deleted => RepositoryError::not_found(Entity::Conversation),
        ConversationStatus::Archived => RepositoryError::Closed { entity: Entity::Conversation },
        ConversationStatus::Active if report.agent_id != Some(save.agent_id.into()) => {
            RepositoryError::not_found(Entity::AgentState)
        }
        ConversationStatus::Active => save
            .refuse_unknown_turns(row.count("turn_count", turn_count)?)
            .err()
            .unwrap_or(conflict(save, row.revision("state_revision", state_revision)?)),
    }))
}

fn conflict(save: &SaveAgentState, observed: u64) -> RepositoryError {
    RepositoryError::Conflict { entity: Entity::AgentState, expected: save.expected_revision, observed }
}

/// The only state among `rows`, which are this user's.
fn state(user_id: UserId, rows: Vec<AgentStateRow>) -> RepositoryResult<Option<AgentState>> {
    rows.into_iter().next().map(|row| row.of(user_id).try_into()).transpose()
}
