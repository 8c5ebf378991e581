//! Retention: removes what has been idle longer than the policy allows, batch by batch.

use std::sync::Arc;

use lcs_domain::repository::RepositoryResult;
use lcs_domain::{PageLimit, PurgeReason, PurgeReport, Repositories, RetentionPolicy};
use serde::Serialize;

/// How many conversations one batch removes: small enough that its locks are short.
const BATCH: PageLimit = PageLimit::MAX;

/// Removes conversations that the configured policy allows to go.
#[derive(Clone)]
pub struct RetentionService {
    repositories: Arc<dyn Repositories>,
    policy: RetentionPolicy,
}

/// What a cleaning run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CleanupReport {
    /// Conversations removed because they had been idle too long.
    pub expired: u64,
    /// Conversations removed because their user had deleted them.
    pub deleted: u64,
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

impl std::fmt::Debug for RetentionService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RetentionService").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl RetentionService {
    pub(crate) fn new(repositories: Arc<dyn Repositories>, policy: RetentionPolicy) -> Self {
        Self { repositories, policy }
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

    /// Removes what is due until nothing is left that is due and not locked by somebody else, or until
    /// somebody else turns out to be at it; then what was left behind of requests.
    ///
    /// `progress` is told after each batch how many conversations it removed. Dropping the future stops
    /// between two batches or lets the running one finish; what is removed stays removed.
    pub async fn cleanup_old_conversations(
        &self,
        mut progress: impl FnMut(u64),
    ) -> RepositoryResult<CleanupReport> {
        let mut report = CleanupReport::default();
        loop {
            let batch = self.repositories.retention().purge_batch(self.policy, BATCH).await?;
            let removed = batch.purged.len();
            report.count(&batch);
            progress(removed as u64);
            if batch.busy {
                report.busy = true;
                tracing::info!(
                    expired = report.expired,
                    deleted = report.deleted,
                    "retention run left to another one that is under way"
                );
                return Ok(report);
            }
            if removed < BATCH.get() as usize {
                break;
            }
        }
        loop {
            let removed = self.repositories.retention().purge_requests(BATCH).await?;
            report.requests += removed;
            if removed < BATCH.get().into() {
                break;
            }
        }
        tracing::info!(
            expired = report.expired,
            deleted = report.deleted,
            requests = report.requests,
            "retention run finished"
        );
        Ok(report)
    }
}
