//! The audit log in SQLite. The write lock makes its rows one chain.

mod trail;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};
use lcs_domain::audit::{AuditHash, AuditHead};
use lcs_domain::erasure::user_hash;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, AuditAction, AuditDetail, AuditQuery, AuditRecord, AuditRepository, ConversationId, NewAuditEvent,
    RepositoryError, UserId,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::Sqlite;
use super::error::Failure;
use super::limited::limited;
use super::row::{BlobUuid, Cell, Micros};
use super::schema::{audit_events, audit_head};

/// What is done to many conversations at once.
const BATCHES: [AuditAction; 4] =
    [AuditAction::Purge, AuditAction::Archive, AuditAction::Restore, AuditAction::Erase];

#[derive(Insertable)]
#[diesel(table_name = audit_events, treat_none_as_default_value = false)]
struct NewRow<'a> {
    sequence: i64,
    at: Micros,
    actor: &'a str,
    on_behalf_of: Option<BlobUuid>,
    action: &'a str,
    conversation_id: Option<BlobUuid>,
    outcome: &'a str,
    detail: &'a str,
    previous_hash: &'a [u8],
    hash: &'a [u8],
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = audit_events, check_for_backend(Backend))]
struct RecordRow {
    sequence: Cell<i64>,
    at: Cell<i64>,
    actor: Cell<String>,
    on_behalf_of: Option<Cell<Vec<u8>>>,
    action: Cell<String>,
    conversation_id: Option<Cell<Vec<u8>>>,
    outcome: Cell<String>,
    detail: Cell<String>,
    previous_hash: Cell<Vec<u8>>,
    hash: Cell<Vec<u8>>,
}

impl TryFrom<RecordRow> for AuditRecord {
    type Error = RepositoryError;

    fn try_from(row: RecordRow) -> Result<Self, RepositoryError> {
        let sequence = place("audit_events", row.sequence)?;
        let wrong = |column: &'static str| {
            move |reason| inconsistent("audit_events", column, &sequence.to_string(), reason)
        };
        let id = |cell: Option<Cell<Vec<u8>>>| {
            cell.map(|cell| cell.get().and_then(|bytes| uuid(&bytes))).transpose()
        };
        let time =
            |micros| DateTime::from_timestamp_micros(micros).ok_or("not a time that this program knows");
        Ok(Self {
            sequence,
            at: row.at.get().and_then(time).map_err(wrong("at"))?,
            actor: row.actor.get().map_err(wrong("actor"))?,
            on_behalf_of: id(row.on_behalf_of).map_err(wrong("on_behalf_of"))?.map(UserId::from_uuid),
            action: row.action.get().map_err(wrong("action"))?,
            conversation_id: id(row.conversation_id)
                .map_err(wrong("conversation_id"))?
                .map(ConversationId::from_uuid),
            outcome: row.outcome.get().map_err(wrong("outcome"))?,
            detail: AuditDetail::from_stored(row.detail.get().map_err(wrong("detail"))?),
            previous_hash: row.previous_hash.get().and_then(hash).map_err(wrong("previous_hash"))?,
            hash: row.hash.get().and_then(hash).map_err(wrong("hash"))?,
        })
    }
}

fn uuid(bytes: &[u8]) -> Result<Uuid, &'static str> {
    Uuid::from_slice(bytes).map_err(|_| "not the 16 bytes of an id")
}

fn hash(bytes: Vec<u8>) -> Result<AuditHash, &'static str> {
    bytes.try_into().map(AuditHash).map_err(|_| "not the 32 bytes of a hash")
}

fn place(table: &'static str, sequence: Cell<i64>) -> Result<u64, RepositoryError> {
    let sequence = sequence.get().and_then(|sequence| u64::try_from(sequence).map_err(|_| "negative"));
    sequence.map_err(|reason| inconsistent(table, "sequence", "with a damaged key", reason))
}

fn inconsistent(table: &'static str, column: &'static str, row: &str, reason: &str) -> RepositoryError {
    RepositoryError::Inconsistent { table, column, row: row.to_owned(), reason: reason.to_owned() }
}

pub(super) fn head(connection: &mut SqliteConnection) -> Result<AuditHead, Failure> {
    let (sequence, bytes): (Cell<i64>, Cell<Vec<u8>>) =
        audit_head::table.select((audit_head::sequence, audit_head::hash)).get_result(connection)?;
    let wrong = |reason| inconsistent("audit_head", "hash", "the only one", reason);
    Ok(AuditHead {
        sequence: place("audit_head", sequence)?,
        hash: bytes.get().and_then(hash).map_err(wrong)?,
    })
}

/// Adds to the log, in the transaction in which the rest is done.
pub(super) fn record(
    connection: &mut SqliteConnection,
    event: NewAuditEvent,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let record = event.chained(head(connection)?, now);
    let sequence = i64::try_from(record.sequence).unwrap_or(i64::MAX);
    let row = NewRow {
        sequence,
        at: now.into(),
        actor: &record.actor,
        on_behalf_of: record.on_behalf_of.map(BlobUuid::from),
        action: &record.action,
        conversation_id: record.conversation_id.map(BlobUuid::from),
        outcome: &record.outcome,
        detail: record.detail.as_json(),
        previous_hash: &record.previous_hash.0,
        hash: &record.hash.0,
    };
    diesel::insert_into(audit_events::table).values(row).execute(connection)?;
    diesel::update(audit_head::table)
        .set((audit_head::sequence.eq(sequence), audit_head::hash.eq(record.hash.0.as_slice())))
        .execute(connection)?;
    Ok(())
}

#[async_trait]
impl AuditRepository for Sqlite {
    #[tracing::instrument(name = "db.audit.record", skip_all, fields(action = %event.action))]
    async fn record(&self, event: NewAuditEvent) -> RepositoryResult<()> {
        self.database.write("audit", move |connection, now| record(connection, event, now)).await
    }

    #[tracing::instrument(name = "db.audit.records", skip_all)]
    async fn records(&self, query: AuditQuery) -> RepositoryResult<Vec<AuditRecord>> {
        if let AuditQuery {
            is_look: true,
            conversation_id: Some(id),
            user_id: None,
            action: None,
            after: None,
            limit,
        } = query
        {
            let look = move |connection: &mut SqliteConnection| {
                let end = Instant::now() + trail::PATIENCE;
                let rows = trail::trail(connection, id, limit.get() as usize, end)?;
                Ok(rows.into_iter().map(AuditRecord::try_from).collect::<Result<_, _>>()?)
            };
            return self.database.read_snapshot(look).await;
        }
        self.database
            .read(move |connection| {
                let mut rows = audit_events::table.select(RecordRow::as_select()).into_boxed::<Backend>();
                if let Some(user_id) = query.user_id {
                    // An erasure names its user by a hash.
                    let named = sql::<Bool>("instr(detail, ")
                        .bind::<Text, _>(user_hash(user_id).to_string())
                        .sql(") > 0");
                    rows = rows.filter(
                        audit_events::on_behalf_of
                            .is(BlobUuid::from(user_id))
                            .or(audit_events::action.eq(AuditAction::Erase.as_str()).and(named)),
                    );
                }
                if let Some(conversation_id) = query.conversation_id {
                    // A batch of a purge, an archive or an erasure names its conversations.
                    let named = sql::<Bool>("instr(detail, ")
                        .bind::<Text, _>(conversation_id.to_string())
                        .sql(") > 0");
                    rows = rows.filter(
                        audit_events::conversation_id
                            .is(BlobUuid::from(conversation_id))
                            .or(audit_events::action.eq_any(BATCHES.map(AuditAction::as_str)).and(named)),
                    );
                }
                if let Some(action) = query.action {
                    rows = rows.filter(audit_events::action.eq(action.as_str()));
                }
                let limit = i64::from(query.limit.get());
                let rows: Vec<RecordRow> = if let Some(after) = query.after {
                    let after = i64::try_from(after).unwrap_or(i64::MAX);
                    let rows = rows.filter(audit_events::sequence.gt(after)).order(audit_events::sequence);
                    limited(rows, limit).load(connection)?
                } else {
                    let rows = rows.order(audit_events::sequence.desc());
                    let mut newest = limited(rows, limit).load(connection)?;
                    newest.reverse();
                    newest
                };
                Ok(rows.into_iter().map(AuditRecord::try_from).collect::<Result<_, _>>()?)
            })
            .await
    }

    #[tracing::instrument(name = "db.audit.chain_head", skip_all)]
    async fn chain_head(&self) -> RepositoryResult<AuditHead> {
        self.database.read(head).await
    }
}

impl Sqlite {
    /// Who does what is done now: who is configured, or else `otherwise`.
    pub(super) fn actor_or(&self, otherwise: impl FnOnce() -> Actor) -> Actor {
        self.actor.clone().unwrap_or_else(otherwise)
    }
}
