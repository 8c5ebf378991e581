//! Requests that are being answered, in PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Bytea, Double, Nullable, Text as SqlText, Uuid as SqlUuid};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::request::MAX_LEASE;
use lcs_domain::{
    BeginRequest, Begun, ConversationId, Entity, Interruption, RepositoryError, RequestId, RequestRepository,
    RequestTarget, TurnId, UserId,
};
use uuid::Uuid;

use super::Postgres;
use super::error::Fault;
use super::operation::detached;
use super::row::no_row;
use super::statement::statement;

type Row = (SqlUuid, Bytea, SqlUuid, SqlUuid, Nullable<Double>);

statement! {
    /// Begins, takes over, or looks: gives the request of the key in one row.
    Begin(include_str!("request/begin.sql")) -> Row {
        user_id: Uuid as SqlUuid,
        request_id: Uuid as SqlUuid,
        idempotency_key: Option<String> as Nullable<SqlText>,
        request_hash: Vec<u8> as Bytea,
        conversation_id: Uuid as SqlUuid,
        turn_id: Uuid as SqlUuid,
        lease_seconds: f64 as Double,
    }
}

statement! {
    /// The request that has the id already, if it is this one.
    Find(include_str!("request/find.sql")) -> Row {
        user_id: Uuid as SqlUuid,
        request_id: Uuid as SqlUuid,
        idempotency_key: Option<String> as Nullable<SqlText>,
    }
}

statement! {
    /// Renews leases, and gives the requests that are to be stopped.
    Renew(include_str!("request/renew.sql")) -> SqlUuid {
        user_ids: Vec<Uuid> as Array<SqlUuid>,
        request_ids: Vec<Uuid> as Array<SqlUuid>,
        lease_seconds: f64 as Double,
    }
}

statement! {
    /// Marks a request as answered.
    Finish(include_str!("request/finish.sql")) -> SqlUuid {
        user_id: Uuid as SqlUuid,
        request_id: Uuid as SqlUuid,
    }
}

statement! {
    /// Forgets a request that is not answered.
    Abandon(include_str!("request/abandon.sql")) -> SqlUuid {
        user_id: Uuid as SqlUuid,
        request_id: Uuid as SqlUuid,
    }
}

statement! {
    /// Has a request stopped; whether it is being answered.
    Interrupt(include_str!("request/interrupt.sql")) -> Bool {
        user_id: Uuid as SqlUuid,
        request_id: Uuid as SqlUuid,
    }
}

/// The request that a key names now.
#[derive(Queryable)]
struct Known {
    /// The attempt that answers it.
    request_id: Uuid,
    request_hash: Vec<u8>,
    conversation_id: Uuid,
    turn_id: Uuid,
    /// How long its lease lasts; `None`: it is answered.
    lease_left: Option<f64>,
}

impl Known {
    /// What the request is to the attempt `begin`.
    fn to(&self, begin: &BeginRequest) -> RepositoryResult<Begun> {
        let target = RequestTarget {
            conversation_id: ConversationId::from_uuid(self.conversation_id),
            turn_id: TurnId::from_uuid(self.turn_id),
        };
        if self.request_hash != begin.request_hash {
            return Err(RepositoryError::IdempotencyMismatch { turn_id: target.turn_id });
        }
        Ok(match self.lease_left {
            None => Begun::Finished(target),
            Some(_) if self.request_id == *begin.request_id.as_uuid() => Begun::Started(target),
            Some(seconds) => {
                let lease_left = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                Begun::InProgress { lease_left }
            }
        })
    }
}

fn seconds(lease: Duration) -> f64 {
    lease.min(MAX_LEASE).as_secs_f64()
}

#[async_trait]
impl RequestRepository for Postgres {
    #[tracing::instrument(
        name = "db.request.begin",
        skip_all,
        fields(%user_id, request_id = %begin.request_id, conversation_id = %begin.conversation_id)
    )]
    async fn begin(&self, user_id: UserId, begin: BeginRequest) -> RepositoryResult<Begun> {
        begin.validate()?;
        let store = self.operation();
        detached(begin.request_id.into(), async move { store.begin_request(user_id, &begin).await }).await
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
        let mut requests = requests.to_vec();
        requests.sort_unstable_by_key(|(user, _)| *user.as_uuid());
        let store = self.operation();
        detached(Uuid::nil(), async move {
            let mut to_stop = Vec::new();
            // One statement for all of them, unless row-level security holds each to one user.
            let one_by_one = store.pool().connector().config().row_level_security;
            for requests in requests.chunk_by(|(one, _), (next, _)| !one_by_one || one == next) {
                let Some((user_id, _)) = requests.first() else { continue };
                let (user_ids, request_ids) =
                    requests.iter().map(|(user, request)| (Uuid::from(*user), Uuid::from(*request))).unzip();
                let query = Renew { user_ids, request_ids, lease_seconds: seconds(lease) };
                // It has no key and needs none: what is renewed twice is renewed.
                let answer = store.write::<Uuid>(*user_id, Uuid::nil(), &query).await;
                let rows = answer.map_err(Fault::into_error)?.rows;
                to_stop.extend(rows.into_iter().map(RequestId::from_uuid));
            }
            Ok(to_stop)
        })
        .await
    }

    #[tracing::instrument(name = "db.request.finish", skip_all, fields(%user_id, %request_id))]
    async fn finish(&self, user_id: UserId, request_id: RequestId) -> RepositoryResult<()> {
        let store = self.operation();
        detached(request_id.into(), async move {
            let query = Finish { user_id: user_id.into(), request_id: request_id.into() };
            store.write::<Uuid>(user_id, query.request_id, &query).await.map_err(Fault::into_error).map(drop)
        })
        .await
    }

    #[tracing::instrument(name = "db.request.abandon", skip_all, fields(%user_id, %request_id))]
    async fn abandon(&self, user_id: UserId, request_id: RequestId) -> RepositoryResult<()> {
        let store = self.operation();
        detached(request_id.into(), async move {
            let query = Abandon { user_id: user_id.into(), request_id: request_id.into() };
            store.write::<Uuid>(user_id, query.request_id, &query).await.map_err(Fault::into_error).map(drop)
        })
        .await
    }

    #[tracing::instrument(name = "db.request.interrupt", skip_all, fields(%user_id, %request_id))]
    async fn interrupt(
        &self,
        user_id: UserId,
        request_id: RequestId,
    ) -> RepositoryResult<Option<Interruption>> {
        let store = self.operation();
        detached(request_id.into(), async move {
            let query = Interrupt { user_id: user_id.into(), request_id: request_id.into() };
            let answer = store.write(user_id, query.request_id, &query).await.map_err(Fault::into_error)?;
            Ok(answer.one().map(|runs| if runs { Interruption::Requested } else { Interruption::NotRunning }))
        })
        .await
    }
}

impl Postgres {
    async fn begin_request(&self, user_id: UserId, begin: &BeginRequest) -> RepositoryResult<Begun> {
        let query = Begin {
            user_id: user_id.into(),
            request_id: begin.request_id.into(),
            idempotency_key: begin.idempotency_key.clone(),
            request_hash: begin.request_hash.to_vec(),
            conversation_id: begin.conversation_id.into(),
            turn_id: begin.turn_id.into(),
            lease_seconds: seconds(begin.lease),
        };
        match self.write::<Known>(user_id, query.request_id, &query).await {
            Ok(answer) => answer.one().ok_or_else(no_row)?.to(begin),
            // Something has this request id: what this very attempt made before, or anything else.
            Err(Fault::Constraint(name)) if name == "requests_pkey" => {
                let Begin { user_id: user, request_id, idempotency_key, .. } = query;
                let find = Find { user_id: user, request_id, idempotency_key };
                let known: Vec<Known> = self.read(user_id, &find).await?;
                let known =
                    known.first().ok_or(RepositoryError::AlreadyExists { entity: Entity::Request })?;
                known.to(begin)
            }
            Err(fault) => Err(fault.into_error()),
        }
    }
}
