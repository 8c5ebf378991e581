//! An erasure's row.

use diesel::prelude::*;
use diesel::sqlite::Sqlite as Backend;
use lcs_domain::audit::{AuditHash, AuditHead};
use lcs_domain::erasure::ErasedRows;
use lcs_domain::{ConversationId, Erasure, ErasureId, RepositoryError};

use super::super::row::{BlobUuid, Cell, Micros, Reader};
use super::super::schema::erasures;
use crate::erasure::archives_of;
use crate::row::Row;

#[derive(Insertable)]
#[diesel(table_name = erasures, treat_none_as_default_value = false)]
pub(super) struct NewRow<'a> {
    erasure_id: BlobUuid,
    sequence: i64,
    user_hash: Option<Vec<u8>>,
    conversation_id: Option<BlobUuid>,
    begun_at: Micros,
    erased_at: Micros,
    content_hash: &'a [u8],
}

/// The row of an erasure that begins.
pub(super) fn new(erasure: &Erasure, sequence: i64) -> NewRow<'_> {
    NewRow {
        erasure_id: erasure.erasure_id.into(),
        sequence,
        user_hash: erasure.user_hash.map(|hash| hash.0.to_vec()),
        conversation_id: erasure.conversation_id.map(BlobUuid::from),
        begun_at: erasure.begun_at.into(),
        erased_at: erasure.erased_at.into(),
        content_hash: &erasure.content.0,
    }
}

#[derive(AsChangeset)]
#[diesel(table_name = erasures)]
pub(super) struct Counts {
    conversations: i64,
    turns: i64,
    agent_states: i64,
    requests: i64,
    holds: i64,
    retention_overrides: i64,
    tombstones: i64,
}

/// What was removed, as the row has it.
pub(super) fn counts(removed: &ErasedRows) -> Counts {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Counts {
        conversations: number(removed.conversations),
        turns: number(removed.turns),
        agent_states: number(removed.agent_states),
        requests: number(removed.requests),
        holds: number(removed.holds),
        retention_overrides: number(removed.retention_overrides),
        tombstones: number(removed.tombstones),
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = erasures, check_for_backend(Backend))]
pub(super) struct ErasureRow {
    erasure_id: Cell<Vec<u8>>,
    user_hash: Option<Cell<Vec<u8>>>,
    conversation_id: Option<Cell<Vec<u8>>>,
    begun_at: Cell<i64>,
    erased_at: Cell<i64>,
    conversations: Cell<i64>,
    turns: Cell<i64>,
    agent_states: Cell<i64>,
    requests: Cell<i64>,
    holds: Cell<i64>,
    retention_overrides: Cell<i64>,
    tombstones: Cell<i64>,
    content_hash: Cell<Vec<u8>>,
    archives: Option<Cell<String>>,
    certificate: Option<Cell<String>>,
    audit_sequence: Option<Cell<i64>>,
    audit_hash: Option<Cell<Vec<u8>>>,
}

impl TryFrom<ErasureRow> for Erasure {
    type Error = RepositoryError;

    fn try_from(row: ErasureRow) -> Result<Self, RepositoryError> {
        let reader = Reader::new("erasures", "erasure_id", row.erasure_id)?;
        let damaged = Row { table: "erasures", key: reader.key() };
        let count = |column: &'static str, cell: Cell<i64>| {
            let number = cell.get().and_then(|number| u64::try_from(number).map_err(|_| "negative"));
            number.map_err(|reason| damaged.inconsistent(column, reason))
        };
        let hash = |column: &'static str, cell: Cell<Vec<u8>>| {
            let bytes =
                cell.get().and_then(|bytes| bytes.try_into().map_err(|_| "not the 32 bytes of a hash"));
            bytes.map(AuditHash).map_err(|reason| damaged.inconsistent(column, reason))
        };
        let conversation_id =
            row.conversation_id.map(|cell| reader.uuid("conversation_id", cell)).transpose()?;
        let audit_hash = row.audit_hash.map(|cell| hash("audit_hash", cell)).transpose()?;
        let audit_sequence = row.audit_sequence.map(|cell| count("audit_sequence", cell)).transpose()?;
        let place = audit_sequence.zip(audit_hash);
        Ok(Self {
            erasure_id: ErasureId::from_uuid(reader.key()),
            user_hash: row.user_hash.map(|cell| hash("user_hash", cell)).transpose()?,
            conversation_id: conversation_id.map(ConversationId::from_uuid),
            begun_at: reader.time("begun_at", row.begun_at)?,
            erased_at: reader.time("erased_at", row.erased_at)?,
            removed: ErasedRows {
                conversations: count("conversations", row.conversations)?,
                turns: count("turns", row.turns)?,
                agent_states: count("agent_states", row.agent_states)?,
                requests: count("requests", row.requests)?,
                holds: count("holds", row.holds)?,
                retention_overrides: count("retention_overrides", row.retention_overrides)?,
                tombstones: count("tombstones", row.tombstones)?,
            },
            content: hash("content_hash", row.content_hash)?,
            archives: archives_of(reader.optional_text("archives", row.archives)?.as_deref())
                .map_err(|reason| damaged.inconsistent("archives", reason))?,
            certificate: reader.optional_text("certificate", row.certificate)?,
            recorded: place.map(|(sequence, hash)| AuditHead { sequence, hash }),
        })
    }
}
