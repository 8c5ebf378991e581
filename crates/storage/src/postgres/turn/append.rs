//! Appending a turn: one statement, one round trip, exactly once.

use std::mem::discriminant;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    BigInt, Bool, Bytea, Integer, Jsonb, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AppendTurn, Appended, ConversationStatus, Durability, Entity, RepositoryError, UserId};
use uuid::Uuid;

use crate::postgres::Postgres;
use crate::postgres::error::Fault;
use crate::postgres::json::Json;
use crate::postgres::row::{binds, count_bind, no_row, revision_bind};
use crate::postgres::statement::statement;
use crate::row::Row;

/// How often the statement is run at most until a refusal is taken as final.
const RUNS: u32 = 8;

statement! {
    /// Locks, decides, writes, and reports in exactly one row.
    Append(include_str!("append.sql")) -> (
        Nullable<Integer>,
        Nullable<BigInt>,
        Nullable<Integer>,
        Nullable<Bool>,
        Nullable<SqlText>,
        Nullable<Integer>,
        Nullable<BigInt>,
        Nullable<SqlUuid>,
    ) {
        user_id: Uuid as SqlUuid,
        conversation_id: Uuid as SqlUuid,
        turn_id: Uuid as SqlUuid,
        content_hash: Vec<u8> as Bytea,
        input_messages: Option<Json> as Nullable<Jsonb>,
        input_messages_sealed: Option<Vec<u8>> as Nullable<Bytea>,
        output_message: Option<Json> as Nullable<Jsonb>,
        output_message_sealed: Option<Vec<u8>> as Nullable<Bytea>,
        started_at: DateTime<Utc> as Timestamptz,
        completed_at: DateTime<Utc> as Timestamptz,
        metadata: Json as Jsonb,
        expected_turn_count: Option<i32> as Nullable<Integer>,
        agent_id: Option<Uuid> as Nullable<SqlUuid>,
        expected_revision: Option<i64> as Nullable<BigInt>,
        agent_config: Option<Json> as Nullable<Jsonb>,
        agent_config_sealed: Option<Vec<u8>> as Nullable<Bytea>,
        current_state: Option<Json> as Nullable<Jsonb>,
        current_state_sealed: Option<Vec<u8>> as Nullable<Bytea>,
    }
}

impl Append {
    fn of(user_id: UserId, append: &AppendTurn) -> RepositoryResult<Self> {
        let turn = &append.turn;
        let state = append.agent_state.as_ref();
        let (input_messages, input_messages_sealed) = binds(Some(turn.input_messages()))?;
        let (output_message, output_message_sealed) = binds(turn.output_message())?;
        let (agent_config, agent_config_sealed) = binds(state.and_then(|state| state.agent_config.as_ref()))?;
        let (current_state, current_state_sealed) = binds(state.map(|state| &state.current_state))?;
        Ok(Self {
            user_id: user_id.into(),
            conversation_id: append.conversation_id.into(),
            turn_id: turn.turn_id().into(),
            content_hash: turn.content_hash().to_vec(),
            input_messages,
            input_messages_sealed,
            output_message,
            output_message_sealed,
            started_at: turn.started_at(),
            completed_at: turn.completed_at(),
            metadata: Json(turn.metadata().as_json().to_owned()),
            expected_turn_count: append.expected_turn_count.map(count_bind),
            agent_id: state.map(|state| state.agent_id.into()),
            expected_revision: state.map(|state| revision_bind(state.expected_revision)),
            agent_config,
            agent_config_sealed,
            current_state,
            current_state_sealed,
        })
    }
}

/// The one row that an append gives.
#[derive(Queryable)]
struct Report {
    /// The number of the turn that was appended.
    appended: Option<i32>,
    /// The conversation's revision after that.
    revision: Option<i64>,
    /// The number of the turn that has this id already.
    replayed: Option<i32>,
    /// Whether that turn has this content.
    same_content: Option<bool>,
    /// The locked conversation, before anything was written.
    status: Option<String>,
    turn_count: Option<i32>,
    state_revision: Option<i64>,
    agent_id: Option<Uuid>,
}

impl Postgres {
    /// Appends, and runs the statement again until a refusal says the same twice: a first one may come
    /// from the snapshot before a lock wait, in which this very turn was not yet to be seen.
    pub(super) async fn append_turn(
        &self,
        user_id: UserId,
        append: &AppendTurn,
    ) -> RepositoryResult<Appended> {
        let query = Append::of(user_id, append)?;
        let mut verdict = self.append_once(user_id, &query, append).await?;
        for _ in 1..RUNS {
            let Err(refusal) = verdict else { break };
            verdict = self.append_once(user_id, &query, append).await?;
            if verdict.as_ref().is_err_and(|again| discriminant(again) == discriminant(&refusal)) {
                break;
            }
        }
        verdict
    }

    /// Runs the statement once. The outer error is a failure, the inner one a refusal.
    async fn append_once(
        &self,
        user_id: UserId,
        query: &Append,
        append: &AppendTurn,
    ) -> RepositoryResult<RepositoryResult<Appended>> {
        match self.write(user_id, query.turn_id, query).await {
            Ok(answer) => answer.one().ok_or_else(no_row).and_then(|report| verdict(report, append)),
            // Another transaction stored a turn of this id meanwhile: run again, it is a replay; unless
            // the turn stands in another conversation, then it comes to this every time.
            Err(Fault::Constraint(name)) if name == "conversation_turns_pkey" => {
                Ok(Err(RepositoryError::IdempotencyMismatch { turn_id: append.turn.turn_id() }))
            }
            Err(fault) => Err(fault.into_error()),
        }
    }
}

/// What the statement's report means; refusals in the order that the port gives them.
fn verdict(report: Report, append: &AppendTurn) -> RepositoryResult<RepositoryResult<Appended>> {
    let row = Row { table: "conversations", key: append.conversation_id.into() };
    let (Some(status), Some(turn_count), Some(state_revision)) =
        (report.status, report.turn_count, report.state_revision)
    else {
        return Ok(Err(RepositoryError::not_found(Entity::Conversation)));
    };
    let turn_count = row.count("turn_count", turn_count)?;
    let state_revision = row.revision("state_revision", state_revision)?;
    let stored = |number, state_revision, replayed| {
        row.count("turn_count", number).map(|number| Appended {
            turn_number: Some(number),
            state_revision,
            replayed,
            durability: Durability::Durable,
        })
    };
    if let Some(number) = report.appended {
        let revision = row.revision("state_revision", report.revision.unwrap_or(-1))?;
        return stored(number, revision, false).map(Ok);
    }
    let status: ConversationStatus =
        status.parse().map_err(|_| row.inconsistent("status", "not a known status"))?;
    Ok(Err(match (status, report.replayed, &append.agent_state, append.expected_turn_count) {
        (ConversationStatus::Deleted, ..) => RepositoryError::not_found(Entity::Conversation),
        (_, Some(number), ..) if report.same_content == Some(true) => {
            return stored(number, state_revision, true).map(Ok);
        }
        (_, Some(_), ..) => RepositoryError::IdempotencyMismatch { turn_id: append.turn.turn_id() },
        (ConversationStatus::Archived, ..) => RepositoryError::Closed { entity: Entity::Conversation },
        (_, _, Some(state), _) if report.agent_id != Some(state.agent_id.into()) => {
            RepositoryError::not_found(Entity::AgentState)
        }
        (_, _, _, Some(expected)) if expected != turn_count => RepositoryError::Conflict {
            entity: Entity::Conversation,
            expected: expected.into(),
            observed: turn_count.into(),
        },
        (_, _, Some(state), _) if state.expected_revision != state_revision => RepositoryError::Conflict {
            entity: Entity::AgentState,
            expected: state.expected_revision,
            observed: state_revision,
        },
        // Nothing stands against it: what did was there only before the wait.
        _ => RepositoryError::Overloaded { reason: "the append was overtaken too often: try again".into() },
    }))
}
