//! Conversations back into the database.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use lcs_domain::archive::{ArchiveState, Restored, UserHash};
use lcs_domain::transfer::{IncomingConversation, IncomingHead};
use lcs_domain::{
    ArchiveId, ConversationId, ConversationStatus, NewTurn, PageLimit, PurgeReason, RepositoryError, UserId,
};
use serde::Serialize;
use tokio::sync::mpsc;

use super::{ArchiveService, Patience, TRIES};
use crate::archive::volume::arrivals;
use crate::archive::{ArchiveError, Manifest, Step};
use crate::transfer::arrival::Arrival;

/// Why what its user deleted does not come back.
const DELETED: &str = "it was deleted by its user: what is deleted stays deleted";

/// What is to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreTarget {
    /// One conversation.
    Conversation(ConversationId),
    /// All that a user has in archives.
    User(UserId),
    /// Everything that is archived.
    All,
}

/// A conversation that did not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unrestored {
    /// Which.
    pub conversation_id: ConversationId,
    /// Why not.
    pub reason: String,
}

/// What a restore came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// Conversations that are stored again.
    pub restored: u64,
    /// How many turns those have.
    pub turns: u64,
    /// Conversations that were stored again already.
    pub present: u64,
    /// What did not come back.
    pub refused: Vec<Unrestored>,
    /// What is wrong with archives that could not be read.
    pub damaged: Vec<String>,
    /// Whether archives still hold what has come back: the next cleaning run replaces them.
    pub unsettled: bool,
}

impl ArchiveService {
    /// For how long what comes back is left alone by retention, at least, where nothing else is said: as long as what
    /// was just used is.
    #[must_use]
    pub fn usual_keep(&self) -> Duration {
        self.policy.idle(ConversationStatus::Active)
    }

    /// Stores what was archived again, as it was, and leaves it alone for as long as `keep`. The archives that held it
    /// are replaced by others without it. Done again, it is the same; what was interrupted is finished. It does not wait
    /// for a run of this process that archives meanwhile.
    ///
    /// `progress` is told of conversations that were looked at.
    ///
    /// # Errors
    /// What is wrong with the place or the database. What has come back by then stays.
    pub async fn restore(
        &self,
        target: RestoreTarget,
        keep: Duration,
        progress: impl FnMut(u64) + Send,
    ) -> Result<RestoreReport, ArchiveError> {
        self.aside().restore_here(target, keep, progress).await
    }

    async fn restore_here(
        &self,
        target: RestoreTarget,
        keep: Duration,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<RestoreReport, ArchiveError> {
        let mut report = RestoreReport::default();
        let mut wanted = match target {
            RestoreTarget::Conversation(id) => {
                let Some(archive_id) = self.archive_of(id, &mut report).await? else {
                    // One that has come back by a run that was interrupted may still be in its archive.
                    self.settle_behind(&mut report).await;
                    return Ok(report);
                };
                vec![archive_id]
            }
            RestoreTarget::User(user_id) => {
                self.repositories.archives().archives_of_user(UserHash::of(user_id)).await?
            }
            RestoreTarget::All => self.all().await?,
        };
        for round in 0..TRIES {
            let mut elsewhere = false;
            for archive_id in &wanted {
                match self.restore_from(*archive_id, target, keep, &mut report, &mut progress).await {
                    Ok(moved) => elsewhere |= moved,
                    Err(error @ ArchiveError::Damaged { .. }) => report.damaged.push(error.to_string()),
                    Err(error) => return Err(error),
                }
            }
            if elsewhere && round + 1 == TRIES {
                let moved = match target {
                    RestoreTarget::Conversation(_) => "another process is moving it: run it again",
                    RestoreTarget::User(_) | RestoreTarget::All => {
                        "another process is moving some of it, which may not have come back: run it again"
                    }
                };
                report.damaged.push(moved.to_owned());
            }
            if !elsewhere || round + 1 == TRIES {
                break;
            }
            wanted = match target {
                RestoreTarget::Conversation(id) => {
                    self.archive_of(id, &mut report).await?.into_iter().collect()
                }
                RestoreTarget::User(user_id) => {
                    self.repositories.archives().archives_of_user(UserHash::of(user_id)).await?
                }
                RestoreTarget::All => self.all().await?,
            };
        }
        Ok(report)
    }

    /// Has what is back be in no archive any more, as far as that can be done now.
    async fn settle_behind(&self, report: &mut RestoreReport) {
        if !self.has_place() {
            return;
        }
        match self.settle(Patience::Insists).await {
            Ok(settled) => report.unsettled |= !settled.logged().damaged.is_empty(),
            // What is back is back.
            Err(error) => {
                tracing::warn!(%error, "an archive still holds what was restored");
                report.unsettled = true;
            }
        }
    }

    /// The archive that holds this conversation, or why none does, where it has not come back already.
    async fn archive_of(
        &self,
        conversation_id: ConversationId,
        report: &mut RestoreReport,
    ) -> Result<Option<ArchiveId>, ArchiveError> {
        let archives = self.repositories.archives();
        let left = archives.tombstone(conversation_id).await?;
        let reason = match left {
            None if archives.is_restored(conversation_id).await? => {
                report.present += 1;
                return Ok(None);
            }
            None if self.is_deleted(conversation_id).await? => DELETED,
            None => "it is not archived: it is stored, or never was here",
            Some(left) => match (left.reason, left.archive_id) {
                (PurgeReason::Expired, Some(archive_id)) => return Ok(Some(archive_id)),
                (PurgeReason::Expired, None) => "it had expired and was removed without being archived",
                (PurgeReason::Deleted, _) => DELETED,
                (PurgeReason::Erased, _) => "it was erased: what is erased stays erased",
            },
        };
        report.refused.push(Unrestored { conversation_id, reason: reason.to_owned() });
        Ok(None)
    }

    /// Whether it is stored yet, and deleted: that it came back once is nothing any more.
    async fn is_deleted(&self, conversation_id: ConversationId) -> Result<bool, ArchiveError> {
        match self.repositories.browse().open_conversation(conversation_id).await {
            Ok(opened) => {
                Ok(opened.is_some_and(|opened| opened.conversation.status == ConversationStatus::Deleted))
            }
            // Who may not see every user's rows is not told of this one.
            Err(RepositoryError::Denied { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn all(&self) -> Result<Vec<ArchiveId>, ArchiveError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.repositories.archives().list_archives(after, PageLimit::MAX).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = Some(last.archive_id);
            all.extend(page.iter().map(|archive| archive.archive_id));
        }
    }

    /// Restores what is wanted of one archive, and replaces it; whether something of it is elsewhere by now.
    async fn restore_from(
        &self,
        archive_id: ArchiveId,
        target: RestoreTarget,
        keep: Duration,
        report: &mut RestoreReport,
        progress: &mut (impl FnMut(u64) + Send),
    ) -> Result<bool, ArchiveError> {
        let archives = self.repositories.archives();
        let Some(mut archive) = archives.find_archive(archive_id).await? else { return Ok(true) };
        if archive.state == ArchiveState::Begun {
            // Nothing comes out of it before it is closed.
            self.finish_begun(Patience::Insists).await?;
            match archives.find_archive(archive_id).await? {
                Some(closed) if closed.state != ArchiveState::Begun => archive = closed,
                // One that is just begun may hold nothing yet that is nowhere else.
                Some(_) => return Ok(!archives.restorable_in(archive_id).await?.is_empty()),
                None => return Ok(true),
            }
        }
        let held: HashSet<_> = archives.restorable_in(archive_id).await?.into_iter().collect();
        let files = self.files()?;
        let mut elsewhere = false;
        if !held.is_empty() {
            let read = match files.manifest_of(archive_id).await {
                Ok(manifest) => files.data(&manifest).await.map(|data| (manifest, data)),
                Err(error) => Err(error),
            };
            let (manifest, data) = match read {
                // It was replaced just now.
                Err(ArchiveError::Damaged { .. }) if self.is_gone(archive_id).await? => {
                    return Ok(true);
                }
                read => read?,
            };
            let wanted = wanted(&manifest, target, &held);
            if !wanted.is_empty() {
                let mut restoring = Restoring { service: self, archive_id, keep, wanted, report };
                elsewhere = restoring.read(data, progress).await?;
            }
        }
        if archive.state != ArchiveState::Complete || report.restored > 0 {
            self.settle_behind(report).await;
        }
        Ok(elsewhere)
    }
}

/// Which of the conversations that the archive holds are meant.
fn wanted(
    manifest: &Manifest,
    target: RestoreTarget,
    held: &HashSet<ConversationId>,
) -> HashSet<ConversationId> {
    let user = match target {
        RestoreTarget::User(user_id) => Some(UserHash::of(user_id).to_string()),
        RestoreTarget::Conversation(_) | RestoreTarget::All => None,
    };
    let is_meant = |id: &ConversationId| match target {
        RestoreTarget::Conversation(wanted) => *id == wanted,
        RestoreTarget::User(_) | RestoreTarget::All => true,
    };
    let entries = manifest.conversations.iter();
    let entries = entries.filter(|entry| user.as_ref().is_none_or(|user| entry.user_hash == *user));
    entries.map(|entry| entry.conversation_id).filter(|id| held.contains(id) && is_meant(id)).collect()
}

/// An archive that is read.
struct Restoring<'a> {
    service: &'a ArchiveService,
    archive_id: ArchiveId,
    keep: Duration,
    wanted: HashSet<ConversationId>,
    report: &'a mut RestoreReport,
}

impl Restoring<'_> {
    /// Stores what is wanted; whether something of it is elsewhere by now.
    async fn read(
        &mut self,
        data: std::fs::File,
        progress: &mut (impl FnMut(u64) + Send),
    ) -> Result<bool, ArchiveError> {
        let archive_id = self.archive_id;
        let damaged = |reason: String| ArchiveError::damaged(archive_id, reason);
        let (mut arrivals, reading) = arrivals(self.service.files()?.desk(), data)?;
        let mut elsewhere = false;
        while let Some(arrival) = arrivals.recv().await {
            match arrival {
                Arrival::Reject(reject) => return Err(damaged(reject.reason)),
                Arrival::Batch(batch) => {
                    let batch: Vec<_> = batch
                        .into_iter()
                        .map(|(_, incoming)| incoming)
                        .filter(|incoming| self.wanted.contains(&incoming.head.conversation.conversation_id))
                        .collect();
                    if !batch.is_empty() {
                        progress(batch.len() as u64);
                        elsewhere |= self.batch(batch).await?;
                    }
                }
                Arrival::Long(_, head, mut turns) => {
                    if self.wanted.contains(&head.conversation.conversation_id) {
                        progress(1);
                        elsewhere |= self.long(*head, turns).await?;
                    } else {
                        while turns.recv().await.is_some() {}
                    }
                }
            }
        }
        reading.get().await?.map_err(|error| damaged(error.to_string()))?;
        Ok(elsewhere)
    }

    async fn batch(&mut self, batch: Vec<IncomingConversation>) -> Result<bool, ArchiveError> {
        let heads: Vec<_> = batch
            .iter()
            .map(|incoming| (incoming.head.conversation.conversation_id, incoming.turns.len() as u64))
            .collect();
        let archives = self.service.repositories.archives();
        let restored = archives.restore(self.archive_id, self.keep, batch).await?;
        self.service.done(Step::Restored);
        let mut elsewhere = false;
        for ((id, turns), restored) in heads.into_iter().zip(restored) {
            elsewhere |= self.note(id, turns, restored);
        }
        Ok(elsewhere)
    }

    async fn long(
        &mut self,
        head: IncomingHead,
        mut turns: mpsc::Receiver<lcs_domain::repository::RepositoryResult<NewTurn>>,
    ) -> Result<bool, ArchiveError> {
        let (id, count) = (head.conversation.conversation_id, head.conversation.turn_count.into());
        let turns = stream::poll_fn(move |context| turns.poll_recv(context)).boxed();
        let archives = self.service.repositories.archives();
        let restored = archives.restore_long(self.archive_id, self.keep, head, turns).await?;
        self.service.done(Step::Restored);
        Ok(self.note(id, count, restored))
    }

    fn note(&mut self, conversation_id: ConversationId, turns: u64, restored: Restored) -> bool {
        match restored {
            Restored::Stored => {
                self.report.restored += 1;
                self.report.turns += turns;
            }
            Restored::Present => self.report.present += 1,
            Restored::Elsewhere => return true,
            Restored::Refused(refusal) => {
                self.report.refused.push(Unrestored { conversation_id, reason: refusal.to_string() });
            }
        }
        false
    }
}
