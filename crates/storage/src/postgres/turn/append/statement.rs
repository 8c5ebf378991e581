//! The statements of an append.
//!
//! The first ones do what nearly every append comes to, and nothing else: they append where nothing stands
//! against it. Only [`Decide`] says what stood against it, and a replay from a refusal.

use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};

use super::batch::Columns;
use super::binds::Binds;
use crate::postgres::statement::statement;

statement! {
    /// Appends a turn, or gives no row: its number, and the state's revision.
    Alone(include_str!("alone.sql")) of Binds => (Integer, BigInt) {
        user_id as SqlUuid,
        conversation_id as SqlUuid,
        turn_id as SqlUuid,
        content_hash as Bytea,
        input_messages as Nullable<Jsonb>,
        input_messages_sealed as Nullable<Bytea>,
        output_message as Nullable<Jsonb>,
        output_message_sealed as Nullable<Bytea>,
        started_at as Timestamptz,
        completed_at as Timestamptz,
        metadata as Jsonb,
        expected_turn_count as Nullable<Integer>,
    }
}

statement! {
    /// Appends a turn and stores the agent's state, or gives no row.
    AloneWithState(include_str!("alone_with_state.sql")) of Binds => (Integer, BigInt) {
        user_id as SqlUuid,
        conversation_id as SqlUuid,
        turn_id as SqlUuid,
        content_hash as Bytea,
        input_messages as Nullable<Jsonb>,
        input_messages_sealed as Nullable<Bytea>,
        output_message as Nullable<Jsonb>,
        output_message_sealed as Nullable<Bytea>,
        started_at as Timestamptz,
        completed_at as Timestamptz,
        metadata as Jsonb,
        expected_turn_count as Nullable<Integer>,
        agent_id as Nullable<SqlUuid>,
        expected_revision as Nullable<BigInt>,
        agent_config as Nullable<Jsonb>,
        agent_config_sealed as Nullable<Bytea>,
        current_state as Nullable<Jsonb>,
        current_state_sealed as Nullable<Bytea>,
    }
}

statement! {
    /// Appends turns of different conversations: a row for each that was appended, with its number and the
    /// state's revision.
    Batch(include_str!("batch.sql")) of Columns => (SqlUuid, Integer, BigInt) {
        user_id as Array<SqlUuid>,
        conversation_id as Array<SqlUuid>,
        turn_id as Array<SqlUuid>,
        content_hash as Array<Bytea>,
        input_messages as Array<Nullable<Jsonb>>,
        input_messages_sealed as Array<Nullable<Bytea>>,
        output_message as Array<Nullable<Jsonb>>,
        output_message_sealed as Array<Nullable<Bytea>>,
        started_at as Array<Timestamptz>,
        completed_at as Array<Timestamptz>,
        metadata as Array<Jsonb>,
        expected_turn_count as Array<Nullable<Integer>>,
        agent_id as Array<Nullable<SqlUuid>>,
        expected_revision as Array<Nullable<BigInt>>,
        agent_config as Array<Nullable<Jsonb>>,
        agent_config_sealed as Array<Nullable<Bytea>>,
        current_state as Array<Nullable<Jsonb>>,
        current_state_sealed as Array<Nullable<Bytea>>,
    }
}

statement! {
    /// Locks, decides, writes, and reports in exactly one row.
    Decide(include_str!("decide.sql")) of Binds => (
        Nullable<Integer>,
        Nullable<BigInt>,
        Nullable<Integer>,
        Nullable<Bool>,
        Nullable<Text>,
        Nullable<Integer>,
        Nullable<BigInt>,
        Nullable<SqlUuid>,
    ) {
        user_id as SqlUuid,
        conversation_id as SqlUuid,
        turn_id as SqlUuid,
        content_hash as Bytea,
        input_messages as Nullable<Jsonb>,
        input_messages_sealed as Nullable<Bytea>,
        output_message as Nullable<Jsonb>,
        output_message_sealed as Nullable<Bytea>,
        started_at as Timestamptz,
        completed_at as Timestamptz,
        metadata as Jsonb,
        expected_turn_count as Nullable<Integer>,
        agent_id as Nullable<SqlUuid>,
        expected_revision as Nullable<BigInt>,
        agent_config as Nullable<Jsonb>,
        agent_config_sealed as Nullable<Bytea>,
        current_state as Nullable<Jsonb>,
        current_state_sealed as Nullable<Bytea>,
    }
}
