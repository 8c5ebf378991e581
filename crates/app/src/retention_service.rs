//! Retention: removes what has been idle longer than the policy allows, batch by batch.

mod purge;

use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Conversation, ConversationId, PageLimit, PurgeReason, PurgeReport, Repositories, RetentionPolicy, UserId,
};
use serde::Serialize;

use crate::archive::ArchiveError;
use crate::archive_service::{ArchiveService, Archived, Patience, Unarchived};
use crate::pace::Pace;

/// Removes conversations that the configured policy allows to go.
#[derive(Clone)]
pub struct RetentionService {
    repositories: Arc<dyn Repositories>,
    policy: RetentionPolicy,
    /// How many conversations may go in a second; `None`: as fast as it goes.
    per_second: Option<NonZeroU32>,
    /// Where what expires goes first; `None`: nowhere.
    archives: Option<ArchiveService>,
    /// Whether what expires is archived.
    is_archiving: bool,
}

/// What a cleaning run did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CleanupReport {
    /// Conversations removed because they had been idle too long.
    pub expired: u64,
    /// Conversations moved to archives because they had been idle too long.
    pub archived: u64,
    /// Conversations that were to be archived and could not be: they are kept.
    pub unarchived: Vec<Unarchived>,
    /// Conversations removed because their user had deleted them.
    pub deleted: u64,
    /// Conversations that would have been removed, and are kept because a legal hold is on them; `None` where they
    /// were not counted.
    pub held: Option<u64>,
    /// Requests removed that had come to no answer.
    pub requests: u64,
    /// Whether the run ended early because others were cleaning up: they do the rest.
    pub busy: bool,
}

impl CleanupReport {
    /// Conversations removed from the database, for whatever reason.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.expired + self.archived + self.deleted
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
        Self { repositories, policy, per_second, archives: None, is_archiving: false }
    }

    /// The same, which finishes what was begun of archives, and archives what expires where that is on.
    pub(crate) fn with_archives(self, archives: ArchiveService, is_archiving: bool) -> Self {
        Self { archives: Some(archives), is_archiving, ..self }
    }

    fn archiving(&self) -> Option<&ArchiveService> {
        self.archives.as_ref().filter(|_| self.is_archiving)
    }

    /// Whether what expires is archived.
    #[must_use]
    pub const fn archives(&self) -> bool {
        self.is_archiving
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
            let restored = keeping.restored.iter().find(|(id, _)| *id == conversation.conversation_id);
            let kept_until = restored.map(|(_, until)| *until);
            let unheld_until = self.policy.expires_at(status, updated_at, keeping.own);
            let unheld_until = unheld_until.map(|at| kept_until.map_or(at, |until| until.max(at)));
            let expires_at = unheld_until.filter(|_| !held);
            Expiry { conversation_id: conversation.conversation_id, expires_at, unheld_until, held }
        };
        Ok(conversations.iter().map(expiry).collect())
    }

    /// Removes what is due until nothing is left that is due and not locked by somebody else, or until as many others
    /// turn out to be at it as may at once; then what was left behind of requests. No more than the configured rate
    /// allows goes in a second, of all replicas together. With a rate, others may only be at a batch of theirs: it is
    /// tried again. Without one, two batches are under way at once.
    ///
    /// Where archival is on, what expires is archived, and removed only where its archive was read back; what its user
    /// deleted is removed as ever. A conversation that cannot be archived is kept and named, and keeps no other.
    ///
    /// `progress` is told after each batch how many conversations it removed. Dropping the future stops
    /// between two batches or lets those under way finish; what is removed stays removed, and the next run goes on.
    ///
    /// # Errors
    /// What is wrong with the database, or with the place of the archives: then nothing more is begun, and what is under way
    /// is waited for.
    pub async fn cleanup_old_conversations(
        &self,
        progress: impl FnMut(u64) + Send,
    ) -> Result<CleanupReport, ArchiveError> {
        self.cleanup(Patience::Insists, progress).await
    }

    /// The same, as patient with others who are at work as is said.
    pub async fn cleanup(
        &self,
        patience: Patience,
        progress: impl FnMut(u64) + Send,
    ) -> Result<CleanupReport, ArchiveError> {
        let mut report = CleanupReport::default();
        self.cleanup_into(patience, &mut report, progress).await?;
        Ok(report)
    }

    /// The same, and `report` has what was done also where it fails in the end.
    pub async fn cleanup_into(
        &self,
        patience: Patience,
        report: &mut CleanupReport,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<(), ArchiveError> {
        let policy = if self.is_archiving { self.policy.deleted_only() } else { self.policy };
        let pace = Pace::new(self.per_second, Arc::clone(&self.repositories));
        if !purge::all(self.repositories.retention(), &pace, policy, report, &mut progress).await? {
            report.busy = true;
            tracing::info!(
                expired = report.expired,
                deleted = report.deleted,
                "retention run left to others that are under way"
            );
            return Ok(());
        }
        let mut archived = Archived::default();
        let ended = match self.archiving() {
            Some(service) => service.archive_due(patience, &mut archived, &mut progress).await,
            None => self.finish_archives(patience).await,
        };
        report.archived = archived.conversations;
        report.busy = archived.busy;
        report.unarchived = archived.unarchived;
        loop {
            let removed = self.repositories.retention().purge_requests(PageLimit::MAX).await?;
            report.requests += removed;
            if removed < PageLimit::MAX.get().into() {
                break;
            }
        }
        // Behind the requests, which have nothing to do with it.
        ended?;
        // What is removed is removed, and is said, also where this cannot be counted in time.
        match self.count_held().await {
            Ok(held) => report.held = Some(held),
            Err(error) => tracing::warn!(error = %error, "what is held was not counted"),
        }
        tracing::info!(
            expired = report.expired,
            archived = report.archived,
            unarchived = report.unarchived.len(),
            deleted = report.deleted,
            held = report.held,
            requests = report.requests,
            "retention run finished"
        );
        Ok(())
    }

    /// Where nothing is archived any more, what was begun before is finished all the same.
    async fn finish_archives(&self, patience: Patience) -> Result<(), ArchiveError> {
        match &self.archives {
            Some(archives) if archives.has_place() => archives.finish_begun(patience).await,
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lcs_domain::{NewConversation, Text};
    use lcs_storage::memory::Memory;
    use tokio::time::Instant;

    use super::*;
    use crate::paused_clock::PausedClock;

    /// What a batch removed, and when.
    type Removed = Vec<(Duration, u64)>;

    /// Replicas of a service, on one store with so much that is due.
    async fn replicas<const N: usize>(due: u32, per_second: u32) -> [RetentionService; N] {
        let clock = Arc::new(PausedClock::new());
        let store = Arc::new(Memory::new(clock.clone()));
        for _ in 0..due {
            let new = NewConversation::begin(Text::name("m", "/model_id").unwrap());
            store.conversations().create(UserId::generate(), new).await.unwrap();
        }
        clock.advance(Duration::from_hours(2));
        let policy = RetentionPolicy::idle_longer_than(Duration::from_hours(1)).unwrap();
        [(); N].map(|()| RetentionService::new(store.clone(), policy, NonZeroU32::new(per_second)))
    }

    async fn run(service: &RetentionService, begun: Instant) -> (u64, Removed) {
        let mut removed = Vec::new();
        let report = service.cleanup_old_conversations(|batch| removed.push((begun.elapsed(), batch))).await;
        (report.unwrap().expired, removed)
    }

    fn assert_paced(removed: &Removed, per_second: u32) {
        for (at, _) in removed {
            let within = removed.iter().filter(|(other, _)| other.abs_diff(*at) < Duration::from_secs(1));
            let within: u64 = within.filter(|(other, _)| other >= at).map(|(_, batch)| batch).sum();
            assert!(within <= per_second.into(), "{within} in the second from {at:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_goes_in_a_second_than_is_allowed() {
        for (due, per_second, seconds) in
            [(1_000, 100, 10.0), (70, 7, 10.0), (5_000, 2_000, 2.5), (0, 1, 0.0)]
        {
            let [service] = replicas(due, per_second).await;
            let begun = Instant::now();
            let (expired, removed) = run(&service, begun).await;
            assert_eq!(expired, u64::from(due));
            assert_paced(&removed, per_second);
            assert!((begun.elapsed().as_secs_f64() - seconds).abs() < 0.2, "{:?}", begun.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn replicas_together_keep_the_pace() {
        let [one, two, three] = replicas(900, 100).await;
        let begun = Instant::now();
        let (one, two, three) = tokio::join!(run(&one, begun), run(&two, begun), run(&three, begun));
        assert_eq!(one.0 + two.0 + three.0, 900);
        let removed = [one.1, two.1, three.1].concat();
        assert_paced(&removed, 100);
        assert!(begun.elapsed() < Duration::from_secs(14), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_is_waited_for() {
        let [service] = replicas(1_000, 0).await;
        let begun = Instant::now();
        assert_eq!(run(&service, begun).await.0, 1_000);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
