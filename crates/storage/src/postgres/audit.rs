//! The audit log in PostgreSQL. The database itself gives each row its place and its hashes: whoever writes, the chain is
//! one.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Bytea, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid};
use lcs_domain::audit::{AuditHash, AuditHead};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, AuditAction, AuditDetail, AuditQuery, AuditRecord, AuditRepository, ConversationId, NewAuditEvent,
    RepositoryError, UserId,
};
use uuid::Uuid;

use super::Postgres;
use super::browse::Looking;
use super::connect::Purpose;
use super::error::Fault;
use super::operation::{Effect, detached};
use super::row::no_row;
use super::statement::statement;

statement! {
    /// Adds a row.
    Record(include_str!("audit/record.sql")) -> Bool {
        actor: String as SqlText,
        on_behalf_of: Option<Uuid> as Nullable<SqlUuid>,
        action: &'static str as SqlText,
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
        outcome: &'static str as SqlText,
        detail: String as SqlText,
    }
}

statement! {
    /// The newest rows.
    Newest(include_str!("audit/newest.sql")) of Asked => Columns {
        user_id as Nullable<SqlUuid>,
        conversation_id as Nullable<SqlUuid>,
        action as Nullable<SqlText>,
        limit as BigInt,
    }
}

statement! {
    /// Rows behind a place.
    Page(include_str!("audit/page.sql")) of Asked => Columns {
        user_id as Nullable<SqlUuid>,
        conversation_id as Nullable<SqlUuid>,
        action as Nullable<SqlText>,
        limit as BigInt,
        after as BigInt,
    }
}

statement! {
    /// The newest rows about a conversation.
    Trail(include_str!("audit/trail.sql")) -> Columns {
        conversation_id: Uuid as SqlUuid,
        limit: i64 as BigInt,
    }
}

statement! {
    /// The end of the chain.
    Head("SELECT sequence, hash FROM audit_head") -> (BigInt, Bytea) {}
}

impl Record {
    pub(super) fn of(event: &NewAuditEvent) -> Self {
        Self {
            actor: event.actor.as_str().to_owned(),
            on_behalf_of: event.on_behalf_of.map(Uuid::from),
            action: event.action.as_str(),
            conversation_id: event.conversation_id.map(Uuid::from),
            outcome: event.outcome.as_str(),
            detail: event.detail.as_json().to_owned(),
        }
    }
}

/// What a page is asked for by.
pub(super) struct Asked {
    user_id: Option<Uuid>,
    conversation_id: Option<Uuid>,
    action: Option<&'static str>,
    limit: i64,
    after: i64,
}

type Columns = (
    BigInt,
    Timestamptz,
    SqlText,
    Nullable<SqlUuid>,
    SqlText,
    Nullable<SqlUuid>,
    SqlText,
    SqlText,
    Bytea,
    Bytea,
);

#[derive(diesel::Queryable)]
struct RecordRow {
    sequence: i64,
    at: DateTime<Utc>,
    actor: String,
    on_behalf_of: Option<Uuid>,
    action: String,
    conversation_id: Option<Uuid>,
    outcome: String,
    detail: String,
    previous_hash: Vec<u8>,
    hash: Vec<u8>,
}

impl TryFrom<RecordRow> for AuditRecord {
    type Error = RepositoryError;

    fn try_from(row: RecordRow) -> Result<Self, RepositoryError> {
        let wrong = |column, reason| inconsistent("audit_events", column, row.sequence, reason);
        Ok(Self {
            sequence: u64::try_from(row.sequence).map_err(|_| wrong("sequence", "negative"))?,
            at: row.at,
            actor: row.actor,
            on_behalf_of: row.on_behalf_of.map(UserId::from_uuid),
            action: row.action,
            conversation_id: row.conversation_id.map(ConversationId::from_uuid),
            outcome: row.outcome,
            detail: AuditDetail::from_stored(row.detail),
            previous_hash: hash(row.previous_hash).ok_or_else(|| wrong("previous_hash", NO_HASH))?,
            hash: hash(row.hash).ok_or_else(|| wrong("hash", NO_HASH))?,
        })
    }
}

const NO_HASH: &str = "not the 32 bytes of a hash";

fn hash(bytes: Vec<u8>) -> Option<AuditHash> {
    bytes.try_into().ok().map(AuditHash)
}

fn inconsistent(table: &'static str, column: &'static str, sequence: i64, reason: &str) -> RepositoryError {
    RepositoryError::Inconsistent { table, column, row: sequence.to_string(), reason: reason.to_owned() }
}

#[async_trait]
impl AuditRepository for Postgres {
    #[tracing::instrument(name = "db.audit.record", skip_all, fields(action = %event.action))]
    async fn record(&self, event: NewAuditEvent) -> RepositoryResult<()> {
        let query = Record::of(&event);
        let store = self.operation();
        detached(Uuid::nil(), async move {
            let answer = store.run::<bool>(Purpose::Service, Effect::Writes(Uuid::nil()), &query).await;
            answer.map(|_| ()).map_err(Fault::into_error)
        })
        .await
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
            let trail = Trail { conversation_id: id.into(), limit: limit.get().into() };
            let answer = self.run::<RecordRow>(Purpose::Maintenance, Effect::Reads, &Looking(&trail)).await;
            let rows = answer.map_err(Fault::into_error)?.rows;
            return rows.into_iter().map(AuditRecord::try_from).collect();
        }
        let asked = Asked {
            user_id: query.user_id.map(Uuid::from),
            conversation_id: query.conversation_id.map(Uuid::from),
            action: query.action.map(AuditAction::as_str),
            limit: query.limit.get().into(),
            after: query.after.map_or(0, |after| i64::try_from(after).unwrap_or(i64::MAX)),
        };
        let answer = match query.after {
            None => self.run(Purpose::Maintenance, Effect::Reads, &Newest(&asked)).await,
            Some(_) => self.run(Purpose::Maintenance, Effect::Reads, &Page(&asked)).await,
        };
        let rows: Vec<RecordRow> = answer.map_err(Fault::into_error)?.rows;
        rows.into_iter().map(AuditRecord::try_from).collect()
    }

    #[tracing::instrument(name = "db.audit.chain_head", skip_all)]
    async fn chain_head(&self) -> RepositoryResult<AuditHead> {
        let answer = self.run::<(i64, Vec<u8>)>(Purpose::Maintenance, Effect::Reads, &Head {}).await;
        let (sequence, bytes) = answer.map_err(Fault::into_error)?.one().ok_or_else(no_row)?;
        let wrong = |column, reason| inconsistent("audit_head", column, sequence, reason);
        Ok(AuditHead {
            sequence: u64::try_from(sequence).map_err(|_| wrong("sequence", "negative"))?,
            hash: hash(bytes).ok_or_else(|| wrong("hash", NO_HASH))?,
        })
    }
}

impl Postgres {
    /// Who does what is done now: who is configured, or else `otherwise`.
    pub(super) fn actor_or(&self, otherwise: impl FnOnce() -> Actor) -> String {
        let configured = self.pool().connector().config().actor.clone();
        configured.unwrap_or_else(otherwise).as_str().to_owned()
    }
}
