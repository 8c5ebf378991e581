//! Requests that are being answered, in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::request::MAX_LEASE;
use lcs_domain::{
    BeginRequest, Begun, ConversationId, Interruption, RepositoryError, RequestId, RequestRepository,
    RequestTarget, TurnId, UserId,
};

use super::Sqlite;
use super::error::Failure;
use super::row::{BlobUuid, Cell, Micros, Reader};
use super::schema::requests::{self, dsl};

#[derive(Insertable)]
#[diesel(table_name = requests, treat_none_as_default_value = false)]
struct NewRow<'a> {
    request_id: BlobUuid,
    user_id: BlobUuid,
    idempotency_key: Option<String>,
    request_hash: &'a [u8],
    conversation_id: BlobUuid,
    turn_id: BlobUuid,
    lease_until: Option<Micros>,
    created_at: Micros,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = requests, check_for_backend(Backend))]
struct RequestRow {
    request_id: Cell<Vec<u8>>,
    request_hash: Cell<Vec<u8>>,
    conversation_id: Cell<Vec<u8>>,
    turn_id: Cell<Vec<u8>>,
    lease_until: Option<Cell<i64>>,
}

/// A request that an attempt may be another attempt at.
struct Known {
    request_id: RequestId,
    is_same: bool,
    target: RequestTarget,
    /// `None`: it is answered.
    lease_until: Option<DateTime<Utc>>,
}

impl Known {
    fn of(row: RequestRow, begin: &BeginRequest) -> Result<Self, RepositoryError> {
        let reader = Reader::new("requests", "request_id", row.request_id)?;
        Ok(Self {
            request_id: RequestId::from_uuid(reader.key()),
            is_same: reader.bytes("request_hash", row.request_hash)? == begin.request_hash,
            target: RequestTarget {
                conversation_id: ConversationId::from_uuid(
                    reader.uuid("conversation_id", row.conversation_id)?,
                ),
                turn_id: TurnId::from_uuid(reader.uuid("turn_id", row.turn_id)?),
            },
            lease_until: row.lease_until.map(|cell| reader.time("lease_until", cell)).transpose()?,
        })
    }
}

/// The request that the user's key names; without a key, the one of this request id.
fn find(
    connection: &mut SqliteConnection,
    user_id: UserId,
    begin: &BeginRequest,
) -> Result<Option<Known>, Failure> {
    let own = dsl::requests.filter(dsl::user_id.eq(BlobUuid::from(user_id)));
    let own = own.select(RequestRow::as_select());
    let row = match begin.idempotency_key.as_deref() {
        Some(key) => own.filter(dsl::idempotency_key.eq(key)).get_result(connection),
        None => own
            .filter(dsl::request_id.eq(BlobUuid::from(begin.request_id)))
            .filter(dsl::idempotency_key.is_null())
            .get_result(connection),
    };
    Ok(row.optional()?.map(|row| Known::of(row, begin)).transpose()?)
}

fn lease_end(now: DateTime<Utc>, lease: Duration) -> Micros {
    let lease = TimeDelta::from_std(lease.min(MAX_LEASE)).unwrap_or_default();
    now.checked_add_signed(lease).unwrap_or(now).into()
}

/// Begins or takes over in the transaction that has the write lock.
fn begin_in(
    connection: &mut SqliteConnection,
    user_id: UserId,
    begin: &BeginRequest,
    now: DateTime<Utc>,
) -> Result<Begun, Failure> {
    let lease_until = lease_end(now, begin.lease);
    let target = RequestTarget { conversation_id: begin.conversation_id, turn_id: begin.turn_id };
    let Some(known) = find(connection, user_id, begin)? else {
        let row = NewRow {
            request_id: begin.request_id.into(),
            user_id: user_id.into(),
            idempotency_key: begin.idempotency_key.clone(),
            request_hash: &begin.request_hash,
            conversation_id: target.conversation_id.into(),
            turn_id: target.turn_id.into(),
            lease_until: Some(lease_until),
            created_at: now.into(),
        };
        diesel::insert_into(dsl::requests).values(row).execute(connection)?;
        return Ok(Begun::Started(target));
    };
    if !known.is_same {
        return Err(RepositoryError::IdempotencyMismatch { turn_id: known.target.turn_id }.into());
    }
    match known.lease_until {
        None => Ok(Begun::Finished(known.target)),
        Some(lease_until) if lease_until > now && known.request_id != begin.request_id => {
            Ok(Begun::InProgress { lease_left: (lease_until - now).to_std().unwrap_or_default() })
        }
        Some(lease_until) if lease_until > now => Ok(Begun::Started(known.target)),
        Some(_) => {
            diesel::update(dsl::requests.find(BlobUuid::from(known.request_id)))
                .set((
                    dsl::request_id.eq(BlobUuid::from(begin.request_id)),
                    dsl::lease_until.eq(lease_until),
                    dsl::interrupted_at.eq(None::<Micros>),
                ))
                .execute(connection)?;
            Ok(Begun::Started(known.target))
        }
    }
}

/// The user's request of this id.
#[diesel::dsl::auto_type(no_type_alias)]
fn owned(user_id: UserId, request_id: RequestId) -> _ {
    let user_id: BlobUuid = BlobUuid::from(user_id);
    let request_id: BlobUuid = BlobUuid::from(request_id);
    dsl::requests.filter(dsl::request_id.eq(request_id)).filter(dsl::user_id.eq(user_id))
}

#[async_trait]
impl RequestRepository for Sqlite {
    #[tracing::instrument(name = "db.request.begin", skip_all, fields(%user_id, request_id = %begin.request_id))]
    async fn begin(&self, user_id: UserId, begin: BeginRequest) -> RepositoryResult<Begun> {
        begin.validate()?;
        self.database
            .write(begin.request_id, move |connection, now| begin_in(connection, user_id, &begin, now))
            .await
    }

    #[tracing::instrument(name = "db.request.renew", skip_all, fields(requests = requests.len()))]
    async fn renew(
        &self,
        requests: &[(UserId, RequestId)],
        lease: Duration,
    ) -> RepositoryResult<Vec<RequestId>> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let requests = requests.to_vec();
        self.database
            .write("(it has none: just run it again)", move |connection, now| {
                let mut interrupted = Vec::new();
                for (user_id, request_id) in requests {
                    let running = owned(user_id, request_id).filter(dsl::lease_until.is_not_null());
                    // It is asked several times a second: a lease that has most of its time left is not written again.
                    let most = lease_end(now, lease.mul_f32(0.75));
                    let renewed = dsl::lease_until.between(most, lease_end(now, lease));
                    diesel::update(running.filter(diesel::dsl::not(renewed)))
                        .set(dsl::lease_until.eq(lease_end(now, lease)))
                        .execute(connection)?;
                    let since: Option<Option<i64>> =
                        running.select(dsl::interrupted_at).get_result(connection).optional()?;
                    if since.flatten().is_some() {
                        interrupted.push(request_id);
                    }
                }
                Ok(interrupted)
            })
            .await
    }

    #[tracing::instrument(name = "db.request.finish", skip_all, fields(%user_id, %request_id))]
    async fn finish(&self, user_id: UserId, request_id: RequestId) -> RepositoryResult<()> {
        self.database
            .write(request_id, move |connection, _| {
                diesel::delete(owned(user_id, request_id).filter(dsl::idempotency_key.is_null()))
                    .execute(connection)?;
                diesel::update(owned(user_id, request_id))
                    .set(dsl::lease_until.eq(None::<Micros>))
                    .execute(connection)?;
                Ok(())
            })
            .await
    }

    #[tracing::instrument(name = "db.request.abandon", skip_all, fields(%user_id, %request_id))]
    async fn abandon(&self, user_id: UserId, request_id: RequestId) -> RepositoryResult<()> {
        self.database
            .write(request_id, move |connection, _| {
                diesel::delete(owned(user_id, request_id).filter(dsl::lease_until.is_not_null()))
                    .execute(connection)?;
                Ok(())
            })
            .await
    }

    #[tracing::instrument(name = "db.request.interrupt", skip_all, fields(%user_id, %request_id))]
    async fn interrupt(
        &self,
        user_id: UserId,
        request_id: RequestId,
    ) -> RepositoryResult<Option<Interruption>> {
        self.database
            .write(request_id, move |connection, now| {
                let running = owned(user_id, request_id).filter(dsl::lease_until.gt(Micros::from(now)));
                let told = diesel::update(running)
                    .set(dsl::interrupted_at.eq(Micros::from(now)))
                    .execute(connection)?;
                if told == 1 {
                    return Ok(Some(Interruption::Requested));
                }
                let known: i64 = owned(user_id, request_id).count().get_result(connection)?;
                Ok((known == 1).then_some(Interruption::NotRunning))
            })
            .await
    }
}
