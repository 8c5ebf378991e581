//! An append as the binds of its statements: made once, whichever of them is run.

use std::io::Write as _;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Jsonb;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AppendTurn, Payload, UserId};
use uuid::Uuid;

use crate::postgres::json::VERSION;
use crate::postgres::row::{count_bind, revision_bind};
use crate::sealed::Sealed;

/// A payload for a `jsonb` column: its text goes from where it is to the socket.
#[derive(Debug, Clone)]
pub(super) struct Plain(Payload);

impl ToSql<Jsonb, Pg> for Plain {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&[VERSION])?;
        out.write_all(self.0.as_json().as_bytes())?;
        Ok(IsNull::No)
    }
}

/// What the statements bind, in their order.
#[derive(Debug, Clone)]
pub(super) struct Binds {
    pub(super) user_id: Uuid,
    pub(super) conversation_id: Uuid,
    pub(super) turn_id: Uuid,
    pub(super) content_hash: Vec<u8>,
    pub(super) input_messages: Option<Plain>,
    pub(super) input_messages_sealed: Option<Vec<u8>>,
    pub(super) output_message: Option<Plain>,
    pub(super) output_message_sealed: Option<Vec<u8>>,
    pub(super) started_at: DateTime<Utc>,
    pub(super) completed_at: DateTime<Utc>,
    pub(super) metadata: Plain,
    pub(super) expected_turn_count: Option<i32>,
    pub(super) agent_id: Option<Uuid>,
    pub(super) expected_revision: Option<i64>,
    pub(super) agent_config: Option<Plain>,
    pub(super) agent_config_sealed: Option<Vec<u8>>,
    pub(super) current_state: Option<Plain>,
    pub(super) current_state_sealed: Option<Vec<u8>>,
}

impl Binds {
    pub(super) fn of(user_id: UserId, append: &AppendTurn) -> RepositoryResult<Self> {
        let turn = &append.turn;
        let state = append.agent_state.as_ref();
        let (input_messages, input_messages_sealed) = payload(Some(turn.input_messages()))?;
        let (output_message, output_message_sealed) = payload(turn.output_message())?;
        let (agent_config, agent_config_sealed) =
            payload(state.and_then(|state| state.agent_config.as_ref()))?;
        let (current_state, current_state_sealed) = payload(state.map(|state| &state.current_state))?;
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
            metadata: Plain(turn.metadata().as_payload().clone()),
            expected_turn_count: append.expected_turn_count.map(count_bind),
            agent_id: state.map(|state| state.agent_id.into()),
            expected_revision: state.map(|state| revision_bind(state.expected_revision)),
            agent_config,
            agent_config_sealed,
            current_state,
            current_state_sealed,
        })
    }

    /// How many bytes of payload it has, about.
    pub(super) fn bytes(&self) -> usize {
        let plain = [&self.input_messages, &self.output_message, &self.agent_config, &self.current_state];
        let sealed = [
            &self.input_messages_sealed,
            &self.output_message_sealed,
            &self.agent_config_sealed,
            &self.current_state_sealed,
        ];
        let plain = plain.into_iter().flatten().map(|plain| plain.0.as_json().len());
        let sealed = sealed.into_iter().flatten().map(Vec::len);
        plain.sum::<usize>() + sealed.sum::<usize>() + self.metadata.0.as_json().len()
    }
}

/// The binds of the two columns of `payload`.
fn payload(payload: Option<&Payload>) -> RepositoryResult<(Option<Plain>, Option<Vec<u8>>)> {
    let Some(payload) = payload else { return Ok((None, None)) };
    Ok(match Sealed::of(payload)? {
        Some(Sealed(sealed)) => (None, Some(sealed)),
        None => (Some(Plain(payload.clone())), None),
    })
}
