//! Conversations into archives.

use std::time::Duration;

use futures_util::stream::BoxStream;
use lcs_domain::archive::{ArchiveState, ArchivedHead};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{ExportFilter, Exported};
use lcs_domain::{ArchiveId, ConversationId, ConversationStatus};

use super::unreadable::{MOST, Unarchived};
use super::{ArchiveService, Patience};
use crate::archive::manifest::Entry;
use crate::archive::volume::{Volume, check};
use crate::archive::{ArchiveError, ArchiveFiles, Manifest, Step};
use crate::pace::Pace;

/// How many conversations an archive has at most.
const PER_ARCHIVE: u32 = 1_000;
/// For how long the conversations of one archive are removed at most, where there is a pace to be kept.
const ONE_ARCHIVE: Duration = Duration::from_mins(1);
/// For how long somebody may be at an archive until another one takes it that he is gone.
pub(super) const AT_WORK: Duration = Duration::from_mins(10);

/// What a run came to.
#[derive(Debug, Default)]
pub(crate) struct Archived {
    /// Conversations that are in archives now, and not in the database any more.
    pub(crate) conversations: u64,
    /// Whether it was left to somebody else who is at it.
    pub(crate) busy: bool,
    /// What could not be archived, and is kept.
    pub(crate) unarchived: Vec<Unarchived>,
}

impl ArchiveService {
    /// Archives what the policy lets expire, until nothing is left. What was interrupted before is finished first. A
    /// conversation that cannot be read, or written so that it can be read back, is passed over.
    ///
    /// `progress` is told of each batch that is removed from the database, and `archived` of all that was done, where it
    /// fails in the end too.
    pub(crate) async fn archive_due(
        &self,
        patience: Patience,
        archived: &mut Archived,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), ArchiveError> {
        // Where there is no place, nothing is begun.
        self.files()?;
        let pace = self.pace();
        let settled = self.settle_at(patience, &pace, progress).await?.logged();
        archived.conversations += settled.removed;
        if settled.busy {
            archived.busy = true;
            return Ok(());
        }
        let limit = pace.within(ONE_ARCHIVE).min(PER_ARCHIVE);
        loop {
            let except = archived.unarchived.iter().map(|one| one.conversation_id).collect();
            let due = self.repositories.archives().due_for_archive(self.policy, except, limit).await?;
            if due.is_empty() {
                return Ok(());
            }
            let archive_id = ArchiveId::generate();
            let unless_within = if patience == Patience::Leaves { AT_WORK } else { Duration::ZERO };
            let at_it = self.at(archive_id);
            // Before the first byte of it is anywhere: whatever is interrupted, the database knows of it.
            if !self.repositories.archives().begin_archive(archive_id, unless_within).await? {
                at_it.done();
                archived.busy = true;
                return Ok(());
            }
            self.done(Step::Begun);
            let ended = self.archive(archive_id, due.clone(), &pace, progress).await;
            let was_taken = ended.is_err() && self.abandon(archive_id).await;
            at_it.done();
            match ended {
                // All of it has changed, or somebody else has it: it is not tried for ever.
                Ok(0) => return Ok(()),
                Ok(removed) => archived.conversations += removed,
                Err(error) => {
                    let found = self.unreadable(&error, due, archived.conversations > 0).await?;
                    if found.is_empty()
                        && was_taken
                        && matches!(error, ArchiveError::Damaged { .. } | ArchiveError::Place { .. })
                    {
                        archived.busy = true;
                        return Ok(());
                    }
                    if found.is_empty() || archived.unarchived.len() + found.len() > MOST {
                        return Err(error);
                    }
                    archived.unarchived.extend(found);
                }
            }
        }
    }

    /// These as they are read to be archived.
    pub(super) fn exported(
        &self,
        ids: Vec<ConversationId>,
    ) -> BoxStream<'static, RepositoryResult<Exported>> {
        self.repositories.transfers().export(ExportFilter {
            statuses: vec![ConversationStatus::Active, ConversationStatus::Archived],
            conversation_ids: Some(ids),
            ..ExportFilter::default()
        })
    }

    /// Moves these to an archive that is begun.
    async fn archive(
        &self,
        archive_id: ArchiveId,
        due: Vec<ConversationId>,
        pace: &Pace,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<u64, ArchiveError> {
        let volume = Volume::write(self.files()?.desk(), self.exported(due), self.clock.now()).await?;
        let manifest = Manifest::new(archive_id, self.clock.now(), None);
        let manifest = self.put(self.files()?, volume, manifest).await?;
        self.finish(&manifest, pace, progress).await
    }

    /// Puts an archive's files where they belong: the manifest last, when the file was read back and is right.
    pub(super) async fn put(
        &self,
        files: &ArchiveFiles,
        volume: Volume,
        manifest: Manifest,
    ) -> Result<Manifest, ArchiveError> {
        let manifest = volume.described(manifest);
        files.put_data(manifest.archive_id, volume.file, || self.done(Step::Sending)).await?;
        self.done(Step::Written);
        check(files.desk(), files.data(&manifest).await?, &manifest).await?;
        self.done(Step::Checked);
        files.put_manifest(&manifest).await?;
        let read = files.manifest_of(manifest.archive_id).await?;
        if read != manifest {
            return Err(ArchiveError::damaged(manifest.archive_id, "its manifest is not what was written"));
        }
        self.done(Step::Described);
        Ok(manifest)
    }

    /// Removes from the database what an archive holds whose files are there, and closes it.
    pub(super) async fn finish(
        &self,
        manifest: &Manifest,
        pace: &Pace,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<u64, ArchiveError> {
        let archive_id = manifest.archive_id;
        let archives = self.repositories.archives();
        self.tidy(archive_id).await?;
        let heads: Vec<ArchivedHead> = manifest.conversations.iter().map(Entry::head).collect();
        let mut total = 0;
        for batch in heads.chunks(pace.batch().get() as usize) {
            pace.wait().await?;
            let Some(removed) = archives.remove_archived(archive_id, self.policy, batch.to_vec()).await?
            else {
                // Somebody else has closed it meanwhile, and it is as they left it.
                break;
            };
            self.done(Step::Removed);
            total += removed;
            progress(removed);
        }
        let state = archives.close_archive(archive_id, manifest.content()).await?;
        self.done(Step::Closed);
        match state {
            Some(ArchiveState::Stale) => self.replace(archive_id).await?,
            // Where the database does not know it, it was given up and forgotten before its files came.
            Some(ArchiveState::GivenUp) | None => self.delete(archive_id).await?,
            Some(ArchiveState::Complete | ArchiveState::Begun) => {}
        }
        Ok(total)
    }
}
