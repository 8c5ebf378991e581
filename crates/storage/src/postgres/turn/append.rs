//! Appending a turn: one statement, one round trip, exactly once.
//!
//! An append goes out by itself when no other is under way, and together with those that wait otherwise: see
//! [`coalescer`](crate::postgres::coalescer). Either way a statement goes first that appends where nothing stands against it. Where
//! something does, [`Postgres::decide`] runs the statement that says what.

mod batch;
mod binds;
mod statement;

use std::mem::discriminant;

use diesel::prelude::*;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AppendTurn, Appended, ConversationStatus, Durability, Entity, RepositoryError, UserId};
use uuid::Uuid;

use self::binds::Binds;
use self::statement::{Alone, AloneWithState, Decide};
use crate::postgres::Postgres;
use crate::postgres::coalescer::{Waiting, Write};
use crate::postgres::error::Fault;
use crate::postgres::row::no_row;
use crate::row::Row;

/// How often the statement is run at most until a refusal is taken as final.
const RUNS: u32 = 8;

/// An append, and what its statements are given.
pub(in crate::postgres) struct Append {
    user_id: UserId,
    command: AppendTurn,
    binds: Binds,
}

impl Write for Append {
    type Done = Appended;

    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn conversation_id(&self) -> Uuid {
        self.binds.conversation_id
    }

    fn key(&self) -> Uuid {
        self.binds.turn_id
    }

    fn bytes(&self) -> usize {
        self.binds.bytes()
    }

    async fn try_alone(&self, store: &Postgres) -> RepositoryResult<Option<Appended>> {
        store.try_alone(self).await
    }

    async fn decide(&self, store: &Postgres) -> RepositoryResult<Appended> {
        store.decide(self).await
    }

    async fn together(batch: Vec<Waiting<Self>>) -> Vec<Waiting<Self>> {
        batch::append(batch).await
    }
}

/// What running a statement once came to. The outer error is a failure, the inner one a refusal.
type Verdict = RepositoryResult<RepositoryResult<Appended>>;

impl Append {
    fn row(&self) -> Row {
        Row { table: "conversations", key: self.command.conversation_id.into() }
    }

    fn appended(&self, number: i32, state_revision: i64) -> RepositoryResult<Appended> {
        let row = self.row();
        Ok(Appended {
            turn_number: Some(row.count("turn_count", number)?),
            state_revision: row.revision("state_revision", state_revision)?,
            replayed: false,
            durability: Durability::Durable,
        })
    }
}

impl Postgres {
    /// Appends, by itself or with others.
    pub(super) async fn append_turn(
        &self,
        user_id: UserId,
        command: AppendTurn,
    ) -> RepositoryResult<Appended> {
        let binds = Binds::of(user_id, &command)?;
        self.coalesced(Append { user_id, command, binds }, self.appends.as_ref()).await
    }

    /// Appends where nothing stands against it; `None`: something does, and nothing was done.
    async fn try_alone(&self, append: &Append) -> RepositoryResult<Option<Appended>> {
        let Append { user_id, binds, .. } = append;
        let answer = match &binds.agent_id {
            Some(_) => self.write(*user_id, binds.turn_id, &AloneWithState(binds)).await,
            None => self.write(*user_id, binds.turn_id, &Alone(binds)).await,
        };
        match answer {
            Ok(answer) => {
                answer.one().map(|(number, revision)| append.appended(number, revision)).transpose()
            }
            // A turn of this id is there already.
            Err(Fault::Constraint(name)) if name == "conversation_turns_pkey" => Ok(None),
            Err(fault) => Err(fault.into_error()),
        }
    }

    /// Decides, and runs the statement again until a refusal says the same twice: a first one may come from
    /// the snapshot before a lock wait, in which this very turn was not yet to be seen.
    async fn decide(&self, append: &Append) -> RepositoryResult<Appended> {
        let mut verdict = self.decide_once(append).await?;
        for _ in 1..RUNS {
            let Err(refusal) = verdict else { break };
            verdict = self.decide_once(append).await?;
            if verdict.as_ref().is_err_and(|again| discriminant(again) == discriminant(&refusal)) {
                break;
            }
        }
        verdict
    }

    async fn decide_once(&self, append: &Append) -> Verdict {
        match self.write(append.user_id, append.binds.turn_id, &Decide(&append.binds)).await {
            Ok(answer) => answer.one().ok_or_else(no_row).and_then(|report| verdict(report, append)),
            // Another transaction stored a turn of this id meanwhile: run again, it is a replay; unless
            // the turn stands in another conversation, then it comes to this every time.
            Err(Fault::Constraint(name)) if name == "conversation_turns_pkey" => {
                Ok(Err(RepositoryError::IdempotencyMismatch { turn_id: append.command.turn.turn_id() }))
            }
            Err(fault) => Err(fault.into_error()),
        }
    }
}

/// The one row that [`Decide`] gives.
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

/// What the statement's report means; refusals in the order that the port gives them.
fn verdict(report: Report, append: &Append) -> Verdict {
    let row = append.row();
    let command = &append.command;
    let (Some(status), Some(turn_count), Some(state_revision)) =
        (report.status, report.turn_count, report.state_revision)
    else {
        return Ok(Err(RepositoryError::not_found(Entity::Conversation)));
    };
    if let Some(number) = report.appended {
        return append.appended(number, report.revision.unwrap_or(-1)).map(Ok);
    }
    let turn_count = row.count("turn_count", turn_count)?;
    let revision = row.revision("state_revision", state_revision)?;
    let status: ConversationStatus =
        status.parse().map_err(|_| row.inconsistent("status", "not a known status"))?;
    Ok(Err(match (status, report.replayed, &command.agent_state, command.expected_turn_count) {
        (ConversationStatus::Deleted, ..) => RepositoryError::not_found(Entity::Conversation),
        (_, Some(number), ..) if report.same_content == Some(true) => {
            let appended = append.appended(number, state_revision)?;
            return Ok(Ok(Appended { replayed: true, ..appended }));
        }
        (_, Some(_), ..) => RepositoryError::IdempotencyMismatch { turn_id: command.turn.turn_id() },
        (ConversationStatus::Archived, ..) => RepositoryError::Closed { entity: Entity::Conversation },
        (_, _, Some(state), _) if report.agent_id != Some(state.agent_id.into()) => {
            RepositoryError::not_found(Entity::AgentState)
        }
        (_, _, _, Some(expected)) if expected != turn_count => RepositoryError::Conflict {
            entity: Entity::Conversation,
            expected: expected.into(),
            observed: turn_count.into(),
        },
        (_, _, Some(state), _) if state.expected_revision != revision => RepositoryError::Conflict {
            entity: Entity::AgentState,
            expected: state.expected_revision,
            observed: revision,
        },
        // Nothing stands against it: what did was there only before the wait.
        _ => RepositoryError::Overloaded { reason: "the append was overtaken too often: try again".into() },
    }))
}
