//! Appends of different conversations in one statement, and one commit.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Append;
use super::binds::{Binds, Plain};
use super::statement::Batch;
use crate::postgres::coalescer::{Waiting, run_together};

/// The binds of several appends, column by column.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) user_id: Vec<Uuid>,
    pub(super) conversation_id: Vec<Uuid>,
    pub(super) turn_id: Vec<Uuid>,
    pub(super) content_hash: Vec<Vec<u8>>,
    pub(super) input_messages: Vec<Option<Plain>>,
    pub(super) input_messages_sealed: Vec<Option<Vec<u8>>>,
    pub(super) output_message: Vec<Option<Plain>>,
    pub(super) output_message_sealed: Vec<Option<Vec<u8>>>,
    pub(super) started_at: Vec<DateTime<Utc>>,
    pub(super) completed_at: Vec<DateTime<Utc>>,
    pub(super) metadata: Vec<Plain>,
    pub(super) expected_turn_count: Vec<Option<i32>>,
    pub(super) agent_id: Vec<Option<Uuid>>,
    pub(super) expected_revision: Vec<Option<i64>>,
    pub(super) agent_config: Vec<Option<Plain>>,
    pub(super) agent_config_sealed: Vec<Option<Vec<u8>>>,
    pub(super) current_state: Vec<Option<Plain>>,
    pub(super) current_state_sealed: Vec<Option<Vec<u8>>>,
}

impl Columns {
    fn push(&mut self, binds: Binds) {
        self.user_id.push(binds.user_id);
        self.conversation_id.push(binds.conversation_id);
        self.turn_id.push(binds.turn_id);
        self.content_hash.push(binds.content_hash);
        self.input_messages.push(binds.input_messages);
        self.input_messages_sealed.push(binds.input_messages_sealed);
        self.output_message.push(binds.output_message);
        self.output_message_sealed.push(binds.output_message_sealed);
        self.started_at.push(binds.started_at);
        self.completed_at.push(binds.completed_at);
        self.metadata.push(binds.metadata);
        self.expected_turn_count.push(binds.expected_turn_count);
        self.agent_id.push(binds.agent_id);
        self.expected_revision.push(binds.expected_revision);
        self.agent_config.push(binds.agent_config);
        self.agent_config_sealed.push(binds.agent_config_sealed);
        self.current_state.push(binds.current_state);
        self.current_state_sealed.push(binds.current_state_sealed);
    }
}

/// Runs the statement for `batch` and answers those whose turns were appended, or whose failure is everybody's.
/// Gives those that are still to be decided one by one.
pub(super) async fn append(batch: Vec<Waiting<Append>>) -> Vec<Waiting<Append>> {
    let mut columns = Columns::default();
    for waiting in &batch {
        columns.push(waiting.write.binds.clone());
    }
    let (rows, batch) = run_together::<_, (Uuid, i32, i64)>(batch, &Batch(&columns)).await;
    let appended: HashMap<_, _> =
        rows.into_iter().map(|(id, number, revision)| (id, (number, revision))).collect();
    let mut undecided = Vec::new();
    for waiting in batch {
        match appended.get(&waiting.write.binds.conversation_id) {
            Some((number, revision)) => {
                let appended = waiting.write.appended(*number, *revision);
                waiting.answer(appended);
            }
            None => undecided.push(waiting),
        }
    }
    undecided
}
