//! Retention: removes what has been idle longer than the policy allows, batch by batch.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Conversation, ConversationId, PageLimit, PurgeReason, PurgeReport, Repositories, RetentionPolicy, UserId,
};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

/// How many conversations one batch removes at most: so few that its locks are short.
const BATCH: PageLimit = PageLimit::MAX;

/// How often in a row a paced run that finds somebody else at it tries again with its next batch.
const BUSY_TRIES: u32 = 5;

/// Removes conversations that the configured policy allows to go.
#[derive(Clone)]
pub struct RetentionService {
    repositories: Arc<dyn Repositories>,
    policy: RetentionPolicy,
    /// How many conversations may go in a second; `None`: as fast as it goes.
    per_second: Option<NonZeroU32>,
}

/// What a cleaning run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CleanupReport {
    /// Conversations removed because they had been idle too long.
    pub expired: u64,
    /// Conversations removed because their user had deleted them.
    pub deleted: u64,
    /// Conversations that would have been removed, and are kept because a legal hold is on them; `None` where they
    /// were not counted.
    pub held: Option<u64>,
    /// Requests removed that had come to no answer.
    pub requests: u64,
    /// Whether the run ended early because somebody else was cleaning up: they do the rest.
    pub busy: bool,
}

impl CleanupReport {
    /// Conversations removed, for whatever reason.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.expired + self.deleted
    }

    fn count(&mut self, batch: &PurgeReport) {
        for purged in &batch.purged {
            match purged.reason {
                PurgeReason::Expired => self.expired += 1,
                PurgeReason::Deleted | PurgeReason::Erased => self.deleted += 1,
            }
        }
    }
}

/// How long a conversation is kept yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Expiry {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// From when on it may be removed, if it is not changed before; `None`: it is kept, because a hold is on it or its
    /// user's are kept for ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// The same, whether a hold is on it or not: what its user is told, who is not to learn of holds.
    pub unheld_until: Option<DateTime<Utc>>,
    /// Whether a legal hold is on it.
    pub held: bool,
}

impl std::fmt::Debug for RetentionService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RetentionService").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl RetentionService {
    pub(crate) fn new(
        repositories: Arc<dyn Repositories>,
        policy: RetentionPolicy,
        per_second: Option<NonZeroU32>,
    ) -> Self {
        Self { repositories, policy, per_second }
    }

    /// The policy in force.
    #[must_use]
    pub const fn policy(&self) -> RetentionPolicy {
        self.policy
    }

    /// How many conversations a run would remove now.
    pub async fn count_due(&self) -> RepositoryResult<u64> {
        self.repositories.retention().count_due(self.policy).await
    }

    /// How many it would remove besides, if no legal hold were on them.
    pub async fn count_held(&self) -> RepositoryResult<u64> {
        self.repositories.retention().count_held(self.policy).await
    }

    /// How long these conversations of this user's are kept yet, in their order.
    pub async fn expiries(
        &self,
        user_id: UserId,
        conversations: &[Conversation],
    ) -> RepositoryResult<Vec<Expiry>> {
        let ids: Vec<_> = conversations.iter().map(|conversation| conversation.conversation_id).collect();
        let keeping = self.repositories.retention().keeping(user_id, ids).await?;
        let expiry = |conversation: &Conversation| {
            let held = keeping.held.contains(&conversation.conversation_id);
            let (status, updated_at) = (conversation.status, conversation.updated_at);
            let unheld_until = self.policy.expires_at(status, updated_at, keeping.own);
            let expires_at = unheld_until.filter(|_| !held);
            Expiry { conversation_id: conversation.conversation_id, expires_at, unheld_until, held }
        };
        Ok(conversations.iter().map(expiry).collect())
    }

    /// How many are removed at once: a second's worth, as far as that is no more than a batch may be. One short
    /// while of each second disturbs fewer than several.
    fn batch(&self) -> PageLimit {
        let paced = self.per_second.map(|rate| rate.get().min(BATCH.get()));
        paced.and_then(|batch| PageLimit::new(batch).ok()).unwrap_or(BATCH)
    }

    /// Removes what is due until nothing is left that is due and not locked by somebody else, or until
    /// somebody else turns out to be at it; then what was left behind of requests. No more than the configured rate
    /// allows goes in a second. With a rate, somebody else may only be at a batch of theirs: it is tried again.
    ///
    /// `progress` is told after each batch how many conversations it removed. Dropping the future stops
    /// between two batches or lets the running one finish; what is removed stays removed, and the next run goes on.
    pub async fn cleanup_old_conversations(
        &self,
        mut progress: impl FnMut(u64),
    ) -> RepositoryResult<CleanupReport> {
        let mut report = CleanupReport::default();
        let (limit, mut next, mut tries) = (self.batch(), Instant::now(), 0);
        loop {
            sleep_until(next).await;
            let batch = self.repositories.retention().purge_batch(self.policy, limit).await?;
            let removed = batch.purged.len();
            report.count(&batch);
            progress(removed as u64);
            tries = if batch.busy { tries + 1 } else { 0 };
            if batch.busy && (self.per_second.is_none() || tries >= BUSY_TRIES) {
                report.busy = true;
                tracing::info!(
                    expired = report.expired,
                    deleted = report.deleted,
                    "retention run left to another one that is under way"
                );
                return Ok(report);
            }
            if !batch.busy && removed < limit.get() as usize {
                break;
            }
            if let Some(rate) = self.per_second {
                // What took longer than it may is not caught up with.
                let pace = Duration::from_secs(1) * limit.get() / rate.get();
                next = (next + pace).max(Instant::now());
            }
        }
        loop {
            let removed = self.repositories.retention().purge_requests(BATCH).await?;
            report.requests += removed;
            if removed < BATCH.get().into() {
                break;
            }
        }
        // What is removed is removed, and is said, also where this cannot be counted in time.
        match self.count_held().await {
            Ok(held) => report.held = Some(held),
            Err(error) => tracing::warn!(error = %error, "what is held was not counted"),
        }
        tracing::info!(
            expired = report.expired,
            deleted = report.deleted,
            held = report.held,
            requests = report.requests,
            "retention run finished"
        );
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use lcs_domain::Clock as _;
    use lcs_domain::{ManualClock, NewConversation, SystemClock, Text};
    use lcs_storage::memory::Memory;

    use super::*;

    async fn service(due: u32, per_second: u32) -> RetentionService {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let store = Arc::new(Memory::new(clock.clone()));
        for _ in 0..due {
            let new = NewConversation::begin(Text::name("m", "/model_id").unwrap());
            store.conversations().create(UserId::generate(), new).await.unwrap();
        }
        clock.advance(Duration::from_hours(2));
        let policy = RetentionPolicy::idle_longer_than(Duration::from_hours(1)).unwrap();
        RetentionService::new(store, policy, NonZeroU32::new(per_second))
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_goes_in_a_second_than_is_allowed() {
        for (due, per_second, seconds) in
            [(1_000, 100, 10.0), (70, 7, 10.0), (5_000, 2_000, 2.5), (0, 1, 0.0)]
        {
            let service = service(due, per_second).await;
            let begun = Instant::now();
            let mut removed = Vec::new();
            let report = service
                .cleanup_old_conversations(|batch| removed.push((begun.elapsed(), batch)))
                .await
                .unwrap();
            assert_eq!(report.expired, u64::from(due));
            for (at, _) in &removed {
                let within = removed.iter().filter(|(other, _)| other.abs_diff(*at) < Duration::from_secs(1));
                let within: u64 = within.filter(|(other, _)| other >= at).map(|(_, batch)| batch).sum();
                assert!(within <= per_second.into(), "{within} in the second from {at:?}");
            }
            assert!((begun.elapsed().as_secs_f64() - seconds).abs() < 0.2, "{:?}", begun.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_is_waited_for() {
        let service = service(1_000, 0).await;
        let begun = Instant::now();
        assert_eq!(service.cleanup_old_conversations(|_| ()).await.unwrap().expired, 1_000);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
