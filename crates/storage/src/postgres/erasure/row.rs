//! An erasure's row.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bytea, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid};
use lcs_domain::audit::{AuditHash, AuditHead};
use lcs_domain::erasure::ErasedRows;
use lcs_domain::{ConversationId, Erasure, ErasureId, RepositoryError};
use uuid::Uuid;

use crate::erasure::archives_of;
use crate::row::Row;

/// Its columns, in the order in which they are asked for.
pub(super) type Columns = (
    SqlUuid,
    Nullable<Bytea>,
    Nullable<SqlUuid>,
    Timestamptz,
    Timestamptz,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    Bytea,
    Nullable<SqlText>,
    Nullable<SqlText>,
    Nullable<BigInt>,
    Nullable<Bytea>,
);

#[derive(diesel::Queryable)]
pub(super) struct ErasureRow {
    erasure_id: Uuid,
    user_hash: Option<Vec<u8>>,
    conversation_id: Option<Uuid>,
    begun_at: DateTime<Utc>,
    erased_at: DateTime<Utc>,
    conversations: i64,
    turns: i64,
    agent_states: i64,
    requests: i64,
    holds: i64,
    retention_overrides: i64,
    tombstones: i64,
    content_hash: Vec<u8>,
    archives: Option<String>,
    certificate: Option<String>,
    audit_sequence: Option<i64>,
    audit_hash: Option<Vec<u8>>,
}

impl TryFrom<ErasureRow> for Erasure {
    type Error = RepositoryError;

    fn try_from(row: ErasureRow) -> Result<Self, RepositoryError> {
        let key = row.erasure_id;
        let hash = |column: &'static str, bytes: Vec<u8>| {
            let wrong = |_| Row { table: "erasures", key }.inconsistent(column, "not the 32 bytes of a hash");
            bytes.try_into().map(AuditHash).map_err(wrong)
        };
        let audit_hash = row.audit_hash.map(|bytes| hash("audit_hash", bytes)).transpose()?;
        let place = row.audit_sequence.zip(audit_hash);
        Ok(Self {
            erasure_id: ErasureId::from_uuid(key),
            user_hash: row.user_hash.map(|bytes| hash("user_hash", bytes)).transpose()?,
            conversation_id: row.conversation_id.map(ConversationId::from_uuid),
            begun_at: row.begun_at,
            erased_at: row.erased_at,
            removed: ErasedRows {
                conversations: row.conversations.unsigned_abs(),
                turns: row.turns.unsigned_abs(),
                agent_states: row.agent_states.unsigned_abs(),
                requests: row.requests.unsigned_abs(),
                holds: row.holds.unsigned_abs(),
                retention_overrides: row.retention_overrides.unsigned_abs(),
                tombstones: row.tombstones.unsigned_abs(),
            },
            content: hash("content_hash", row.content_hash)?,
            archives: archives_of(row.archives.as_deref())
                .map_err(|reason| Row { table: "erasures", key }.inconsistent("archives", reason))?,
            certificate: row.certificate,
            recorded: place.map(|(sequence, hash)| AuditHead { sequence: sequence.unsigned_abs(), hash }),
        })
    }
}
