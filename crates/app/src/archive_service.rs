//! The archive: conversations that retention would remove are written to files outside of the database first, and come
//! back from there.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `archival` | conversations into archives |
//! | `begun` | what is left where the process is asked to end |
//! | `unreadable` | what cannot be archived |
//! | `settlement` | what was interrupted, replaced or is to be deleted |
//! | `restoration` | conversations back into the database |
//! | `verification` | whether archives are what they should be |
//!
//! Each step is made so that everything may end behind it: the next run finds in the database how far it came. A
//! conversation is removed from the database only where its archive was read back, and an archive's files are deleted only
//! where the database says that nothing is archived in it, and never will be.

mod archival;
mod begun;
mod restoration;
mod settlement;
mod unreadable;
mod verification;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use lcs_domain::archive::{Archive, ArchiveState, Forgotten, Tombstone, UserHash};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    ArchiveId, Clock, ConversationId, PageLimit, Repositories, RepositoryError, RetentionPolicy,
};
use serde::Serialize;

pub(crate) use self::archival::Archived;
use self::begun::Left;
pub use self::restoration::{RestoreReport, RestoreTarget, Unrestored};
use self::settlement::log_damaged;
pub use self::unreadable::Unarchived;
pub use self::verification::{Finding, Leftover, VerifyReport};
use crate::archive::step::Observer;
use crate::archive::{ArchiveError, ArchiveFiles, ArchiveUrl, Manifest, Step};

/// How often what somebody else is at as well is tried.
const TRIES: u32 = 5;
/// How often archives are settled for who leaves them. Each other one who leaves some closes what is being written, once a
/// round of theirs.
const LEAVING_TRIES: u32 = 30;

/// Who is at work, and so how patient with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A task of the service: where another one is at it, that one does the work.
    Leaves,
    /// Somebody who asked for it: what another one may be at, is done too.
    Insists,
}

/// An archive that cannot be read: it may have been to be written anew, or looked into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadArchive {
    /// Which.
    pub archive_id: ArchiveId,
    /// Why not.
    pub reason: String,
}

impl UnreadArchive {
    fn of(error: ArchiveError) -> Option<Self> {
        match error {
            ArchiveError::Damaged { archive_id, reason } => Some(Self { archive_id, reason }),
            _ => None,
        }
    }
}

/// What it means to who leaves archives that one of them cannot be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It may hold what is to be in none.
    Needed,
    /// It is somebody else's matter, and is told.
    Unneeded,
    /// It is known: its files are stated to be lost.
    Lost,
}

/// Moves conversations to archives and back.
#[derive(Clone)]
pub struct ArchiveService {
    repositories: Arc<dyn Repositories>,
    clock: Arc<dyn Clock>,
    policy: RetentionPolicy,
    per_second: Option<NonZeroU32>,
    url: Option<ArchiveUrl>,
    files: Arc<OnceLock<ArchiveFiles>>,
    observer: Observer,
    left: Left,
}

impl std::fmt::Debug for ArchiveService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveService").field("url", &self.url).finish_non_exhaustive()
    }
}

impl ArchiveService {
    pub(crate) fn new(
        repositories: Arc<dyn Repositories>,
        clock: Arc<dyn Clock>,
        policy: RetentionPolicy,
        per_second: Option<NonZeroU32>,
        url: Option<ArchiveUrl>,
    ) -> Self {
        let (files, observer, left) = (Arc::default(), Observer::default(), Left::default());
        Self { repositories, clock, policy, per_second, url, files, observer, left }
    }

    /// The same with archives in a place of the host's own.
    #[must_use]
    pub(crate) fn with_files(self, files: ArchiveFiles) -> Self {
        Self { files: Arc::new(files.into()), ..self }
    }

    /// The same, but `observer` is told of each step.
    #[must_use]
    pub(crate) fn with_observer(self, observer: Observer) -> Self {
        Self { observer, ..self }
    }

    /// Whether there is a place for archives.
    #[must_use]
    pub fn has_place(&self) -> bool {
        self.url.is_some() || self.files.get().is_some()
    }

    /// The place where archives are.
    ///
    /// # Errors
    /// `NoPlace` where none is configured, `Place` where it cannot be opened.
    pub fn files(&self) -> Result<&ArchiveFiles, ArchiveError> {
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let url = self.url.as_ref().ok_or(ArchiveError::NoPlace)?;
        let files = ArchiveFiles::open(url)?;
        Ok(self.files.get_or_init(|| files))
    }

    /// The same, whose work with files does not wait for this one's.
    fn aside(&self) -> Self {
        let aside = self.files().map(|files| Arc::new(files.aside().into()));
        // Without a place it says so where it needs one.
        Self { files: aside.unwrap_or_else(|_| Arc::clone(&self.files)), ..self.clone() }
    }

    /// The same for who only looks: a folder that is not there is not made.
    ///
    /// # Errors
    /// As above, and `Place` where it is not there.
    pub fn files_there(&self) -> Result<&ArchiveFiles, ArchiveError> {
        match self.url.as_ref().filter(|_| self.is_unmade()) {
            Some(url) => {
                let (place, reason) = (url.to_string(), "it is not there".to_owned());
                Err(ArchiveError::Place { place, what: "opened", reason })
            }
            None => self.files(),
        }
    }

    /// Whether the place is a folder that is not there.
    fn is_unmade(&self) -> bool {
        self.files.get().is_none() && self.url.as_ref().is_some_and(|url| !url.is_there())
    }

    /// A page of the archives that the database knows, in the order of their ids.
    pub async fn list(&self, after: Option<ArchiveId>, limit: PageLimit) -> RepositoryResult<Vec<Archive>> {
        self.repositories.archives().list_archives(after, limit).await
    }

    /// An archive, and what it says of itself: the manifest is `None` where it is not there.
    pub async fn show(
        &self,
        archive_id: ArchiveId,
    ) -> Result<Option<(Archive, Option<Manifest>)>, ArchiveError> {
        let Some(archive) = self.repositories.archives().find_archive(archive_id).await? else {
            return Ok(None);
        };
        Ok(Some((archive, self.files_there()?.manifest(archive_id).await?)))
    }

    /// What is left of a removed conversation, and which archive holds it.
    pub async fn tombstone(&self, conversation_id: ConversationId) -> RepositoryResult<Option<Tombstone>> {
        self.repositories.archives().tombstone(conversation_id).await
    }

    /// Sees to it that no archive holds these conversations any more: for an erasure. Their tombstones say `erased`
    /// afterwards, and the archives that held them are written anew without them, or deleted. Says how many were held.
    /// Done again, it is the same; what was interrupted is finished.
    ///
    /// # Errors
    /// Where an archive that may hold one of them could not be replaced: nothing is promised then, and it has to be
    /// done again.
    pub async fn forget(&self, conversations: &[ConversationId]) -> Result<u64, ArchiveError> {
        self.leave(Forgotten::Conversations(conversations.to_vec())).await
    }

    /// The same for all conversations of the user with this pseudonym.
    pub async fn forget_user(&self, user: UserHash) -> Result<u64, ArchiveError> {
        self.leave(Forgotten::User(user)).await
    }

    async fn leave(&self, what: Forgotten) -> Result<u64, ArchiveError> {
        self.leave_all(what, |_| Need::Needed).await.map(|(left, _)| left)
    }

    /// The same, but only those archives have to be replaced that are needed: those that cannot be, and are not, are told.
    pub(crate) async fn leave_all(
        &self,
        what: Forgotten,
        need_of: impl Fn(ArchiveId) -> Need + Send + Sync,
    ) -> Result<(u64, Vec<UnreadArchive>), ArchiveError> {
        let archives = self.repositories.archives();
        let left = archives.leave_archives(what).await?;
        for _ in 0..LEAVING_TRIES {
            let (mut damaged, mut passed) = (Vec::new(), BTreeSet::new());
            for error in self.settle(Patience::Insists).await?.damaged {
                let ArchiveError::Damaged { archive_id, .. } = error else { return Err(error) };
                match need_of(archive_id) {
                    Need::Needed => return Err(error),
                    Need::Unneeded => damaged.push(error),
                    Need::Lost => {}
                }
                passed.insert(archive_id);
            }
            let unfinished = archives.unfinished_archives(None, PageLimit::MAX).await?;
            let is_open = |archive: &Archive| was_written(archive) && !passed.contains(&archive.archive_id);
            if !unfinished.iter().any(is_open) {
                damaged.iter().for_each(log_damaged);
                return Ok((left, damaged.into_iter().filter_map(UnreadArchive::of).collect()));
            }
        }
        // Somebody else replaces archives all the time.
        let reason = "archives are being replaced by others: try again".to_owned();
        Err(RepositoryError::Overloaded { reason }.into())
    }

    fn done(&self, step: Step) {
        tracing::debug!(%step, "archive");
        self.observer.done(step);
    }
}

/// Whether an archive that is not settled has files somewhere: they are to be written anew, or deleted.
pub(crate) fn was_written(archive: &Archive) -> bool {
    match archive.state {
        ArchiveState::Stale => true,
        ArchiveState::GivenUp => archive.content.conversations > 0,
        ArchiveState::Begun | ArchiveState::Complete => false,
    }
}

#[cfg(test)]
mod tests;
