//! Requests that are being answered, in memory.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::request::MAX_LEASE;
use lcs_domain::{
    BeginRequest, Begun, Entity, Interruption, RepositoryError, RequestId, RequestRepository, RequestTarget,
    UserId,
};

use super::{Memory, Request, Tables};

/// The end of a lease that begins now.
fn lease_end(now: DateTime<Utc>, lease: Duration) -> DateTime<Utc> {
    let lease = TimeDelta::from_std(lease.min(MAX_LEASE)).unwrap_or_default();
    now.checked_add_signed(lease).unwrap_or(now)
}

impl Request {
    fn is_of(&self, user_id: UserId, begin: &BeginRequest) -> bool {
        self.user_id == user_id && self.idempotency_key == begin.idempotency_key
    }

    /// What the request, which `request_id` answers, is to the attempt `begin`. `None`: it may be taken over.
    fn to(
        &self,
        request_id: RequestId,
        begin: &BeginRequest,
        now: DateTime<Utc>,
    ) -> RepositoryResult<Option<Begun>> {
        if self.hash != begin.request_hash {
            return Err(RepositoryError::IdempotencyMismatch { turn_id: self.target.turn_id });
        }
        let Some(lease_until) = self.lease_until else {
            return Ok(Some(Begun::Finished(self.target)));
        };
        Ok((lease_until > now).then(|| {
            if request_id == begin.request_id {
                Begun::Started(self.target)
            } else {
                Begun::InProgress { lease_left: (lease_until - now).to_std().unwrap_or_default() }
            }
        }))
    }
}

impl Tables {
    /// The user's request of this id: a foreign one is absent (P9).
    fn request_mut(&mut self, user_id: UserId, request_id: RequestId) -> Option<&mut Request> {
        self.requests.get_mut(&request_id).filter(|request| request.user_id == user_id)
    }

    /// Forgets up to `limit` requests that `is_stale` says so of, and says how many.
    pub(super) fn forget_all(&mut self, limit: usize, is_stale: impl Fn(&Self, &Request) -> bool) -> usize {
        let stale = self.requests.iter().filter(|(_, request)| is_stale(self, request)).take(limit);
        let stale: Vec<RequestId> = stale.map(|(id, _)| *id).collect();
        stale.into_iter().filter_map(|request_id| self.forget(request_id)).count()
    }

    fn forget(&mut self, request_id: RequestId) -> Option<Request> {
        let request = self.requests.remove(&request_id)?;
        if let Some(key) = &request.idempotency_key {
            self.keys.remove(&(request.user_id, key.clone()));
        }
        Some(request)
    }
}

#[async_trait]
impl RequestRepository for Memory {
    #[tracing::instrument(name = "db.request.begin", skip_all, fields(request_id = %begin.request_id))]
    async fn begin(&self, user_id: UserId, begin: BeginRequest) -> RepositoryResult<Begun> {
        begin.validate()?;
        let mut tables = self.tables();
        // Under the lock: a lease that somebody else has just been given did not begin in the future.
        let now = self.clock.now();
        let key = begin.idempotency_key.clone().map(|key| (user_id, key));
        let known = match &key {
            Some(key) => tables.keys.get(key).copied(),
            None => Some(begin.request_id),
        };
        let known = known.and_then(|id| Some((id, tables.requests.get(&id)?)));
        let known = known.filter(|(_, request)| request.is_of(user_id, &begin));
        let mut target = RequestTarget { conversation_id: begin.conversation_id, turn_id: begin.turn_id };
        let mut before = None;
        if let Some((request_id, request)) = known {
            if let Some(begun) = request.to(request_id, &begin, now)? {
                return Ok(begun);
            }
            target = request.target;
            before = Some(request_id);
        }
        if before != Some(begin.request_id) && tables.requests.contains_key(&begin.request_id) {
            return Err(RepositoryError::AlreadyExists { entity: Entity::Request });
        }
        before.map(|request_id| tables.forget(request_id));
        let request = Request {
            user_id,
            idempotency_key: begin.idempotency_key,
            hash: begin.request_hash,
            target,
            lease_until: Some(lease_end(now, begin.lease)),
            is_interrupted: false,
        };
        tables.requests.insert(begin.request_id, request);
        if let Some(key) = key {
            tables.keys.insert(key, begin.request_id);
        }
        Ok(Begun::Started(target))
    }

    #[tracing::instrument(name = "db.request.renew", skip_all, fields(requests = requests.len()))]
    async fn renew(
        &self,
        requests: &[(UserId, RequestId)],
        lease: Duration,
    ) -> RepositoryResult<Vec<RequestId>> {
        let lease_until = lease_end(self.clock.now(), lease);
        let mut tables = self.tables();
        let mut interrupted = Vec::new();
        for (user_id, request_id) in requests {
            let request = tables.request_mut(*user_id, *request_id);
            let Some(request) = request.filter(|request| request.lease_until.is_some()) else { continue };
            request.lease_until = Some(lease_until);
            if request.is_interrupted {
                interrupted.push(*request_id);
            }
        }
        Ok(interrupted)
    }

    #[tracing::instrument(name = "db.request.finish", skip_all, fields(%request_id))]
    async fn finish(&self, user_id: UserId, request_id: RequestId) -> RepositoryResult<()> {
        let mut tables = self.tables();
        if let Some(request) = tables.request_mut(user_id, request_id) {
            request.lease_until = None;
            if request.idempotency_key.is_none() {
                tables.forget(request_id);
            }
        }
        Ok(())
    }

    #[tracing::instrument(name = "db.request.abandon", skip_all, fields(%request_id))]
    async fn abandon(&self, user_id: UserId, request_id: RequestId) -> RepositoryResult<()> {
        let mut tables = self.tables();
        if tables.request_mut(user_id, request_id).is_some_and(|request| request.lease_until.is_some()) {
            tables.forget(request_id);
        }
        Ok(())
    }

    #[tracing::instrument(name = "db.request.interrupt", skip_all, fields(%request_id))]
    async fn interrupt(
        &self,
        user_id: UserId,
        request_id: RequestId,
    ) -> RepositoryResult<Option<Interruption>> {
        let now = self.clock.now();
        let mut tables = self.tables();
        Ok(tables.request_mut(user_id, request_id).map(|request| {
            if request.lease_until.is_some_and(|lease_until| lease_until > now) {
                request.is_interrupted = true;
                Interruption::Requested
            } else {
                Interruption::NotRunning
            }
        }))
    }
}
