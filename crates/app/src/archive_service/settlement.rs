//! What is not as it should be: archives that were interrupted, that hold more than the database says, or nothing.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::TimeDelta;
use lcs_domain::archive::{Archive, ArchiveContent, ArchiveState};
use lcs_domain::{ArchiveId, PageLimit};

use super::archival::AT_WORK;
use super::{ArchiveService, Patience};
use crate::archive::volume::Volume;
use crate::archive::{ArchiveError, Manifest, Step};
use crate::pace::Pace;

/// For how long an archive that is begun may be without a manifest until nobody is waited for any more.
const GRACE: TimeDelta = TimeDelta::hours(1);

/// What was settled.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Conversations removed from the database on the way.
    pub(super) removed: u64,
    /// Whether somebody else seems to be at work.
    pub(super) busy: bool,
    /// What is wrong with archives that could not be settled. The others are.
    pub(super) damaged: Vec<ArchiveError>,
}

impl Settled {
    /// The same, and what is wrong is logged: for who does not tell it.
    pub(super) fn logged(self) -> Self {
        self.damaged.iter().for_each(log_damaged);
        self
    }
}

/// Logs what is wrong with an archive that could not be settled.
pub(super) fn log_damaged(error: &ArchiveError) {
    tracing::error!(%error, "an archive cannot be settled");
}

impl ArchiveService {
    /// Finishes what was begun of archives and interrupted.
    pub(crate) async fn finish_begun(&self, patience: Patience) -> Result<(), ArchiveError> {
        self.settle(patience).await.map(|settled| drop(settled.logged()))
    }

    /// The pace at which conversations are removed from the database.
    pub(super) fn pace(&self) -> Pace {
        Pace::new(self.per_second, Arc::clone(&self.repositories))
    }

    /// Settles every archive that is not complete.
    pub(super) async fn settle(&self, patience: Patience) -> Result<Settled, ArchiveError> {
        self.settle_at(patience, &self.pace(), &mut |_| ()).await
    }

    /// The same at a pace.
    pub(super) async fn settle_at(
        &self,
        patience: Patience,
        pace: &Pace,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Settled, ArchiveError> {
        let (mut settled, mut after) = (Settled::default(), None);
        loop {
            let mut some = self.repositories.archives().unfinished_archives(after, PageLimit::MAX).await?;
            let Some(last) = some.last() else { return Ok(settled) };
            after = Some(last.archive_id);
            // What somebody has written in the place of another one takes that before it is written once more.
            some.sort_by_key(|archive| archive.state != ArchiveState::Begun);
            for archive in some {
                let age = self.clock.now() - archive.begun_at;
                let is_fresh = age < TimeDelta::from_std(AT_WORK).unwrap_or(TimeDelta::MAX);
                if archive.state == ArchiveState::Begun && is_fresh && patience == Patience::Leaves {
                    settled.busy = true;
                    continue;
                }
                match self.settle_one(&archive, age, pace, progress).await {
                    Ok(removed) => settled.removed += removed,
                    Err(error @ ArchiveError::Damaged { .. }) => settled.damaged.push(error),
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Settles one; says how many conversations were removed from the database with that.
    async fn settle_one(
        &self,
        archive: &Archive,
        age: TimeDelta,
        pace: &Pace,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<u64, ArchiveError> {
        let archive_id = archive.archive_id;
        match archive.state {
            ArchiveState::Complete => Ok(0),
            ArchiveState::Stale => self.replace(archive_id).await.map(|()| 0),
            // It was never closed: whoever began it may still write its files. It is remembered until he is gone.
            ArchiveState::GivenUp if archive.content.conversations == 0 && age < GRACE => {
                self.empty(archive_id).await.map(|()| 0)
            }
            ArchiveState::GivenUp => self.delete_if_empty(archive_id).await.map(|()| 0),
            ArchiveState::Begun => match self.begun(archive_id).await {
                Ok(Some(manifest)) => {
                    let at_it = self.at(archive_id);
                    let finished = match manifest.replaces {
                        // Whoever wrote it may be about to, and finds it done.
                        Some(old) => self.take_place(old, &manifest).await.map(|()| 0),
                        None => self.finish(&manifest, pace, progress).await,
                    };
                    at_it.done();
                    finished
                }
                // Its files are not all there yet. Where nobody is at it any more, they never will be.
                Ok(None) if age < GRACE => Ok(0),
                Ok(None) | Err(ArchiveError::Damaged { .. }) => self.give_up(archive_id).await.map(|()| 0),
                Err(error) => Err(error),
            },
        }
    }

    /// Deletes one that was given up, where still no tombstone names it: a program of before may have overlooked some.
    async fn delete_if_empty(&self, archive_id: ArchiveId) -> Result<(), ArchiveError> {
        match self.repositories.archives().give_up_archive(archive_id).await? {
            Some(ArchiveState::Stale) => self.replace(archive_id).await,
            _ => self.delete(archive_id).await,
        }
    }

    /// The manifest of an archive that was begun, where its files are all there, and right.
    async fn begun(&self, archive_id: ArchiveId) -> Result<Option<Manifest>, ArchiveError> {
        let files = self.files()?;
        let Some(manifest) = files.manifest(archive_id).await? else { return Ok(None) };
        crate::archive::volume::check(files.desk(), files.data(&manifest).await?, &manifest).await?;
        Ok(Some(manifest))
    }

    /// Nobody but this process writes the files of this archive, and it has stopped: nobody needs to wait for it. What
    /// cannot be done of that now, the next run does. Whether somebody else had given it up while it was written, and
    /// may have deleted what was there of it.
    pub(super) async fn abandon(&self, archive_id: ArchiveId) -> bool {
        let archives = self.repositories.archives();
        let is_taken = |archive: &Archive| {
            archive.state == ArchiveState::GivenUp && archive.content == ArchiveContent::default()
        };
        let found = archives.find_archive(archive_id).await;
        let was_taken = found.is_ok_and(|found| found.as_ref().is_none_or(is_taken));
        if matches!(archives.give_up_archive(archive_id).await, Ok(Some(ArchiveState::GivenUp) | None)) {
            let _ = self.delete(archive_id).await;
        }
        was_taken
    }

    /// Closes an archive that was not finished.
    async fn give_up(&self, archive_id: ArchiveId) -> Result<(), ArchiveError> {
        match self.repositories.archives().give_up_archive(archive_id).await? {
            Some(ArchiveState::GivenUp) => self.empty(archive_id).await,
            Some(ArchiveState::Stale) => self.replace(archive_id).await,
            _ => Ok(()),
        }
    }

    /// Puts an archive in the place of this one, which holds more than the database says, or deletes it, where it holds
    /// nothing of that.
    pub(super) async fn replace(&self, old: ArchiveId) -> Result<(), ArchiveError> {
        let archives = self.repositories.archives();
        if archives.archived_in(old).await?.is_empty() {
            return match archives.give_up_archive(old).await? {
                Some(ArchiveState::GivenUp) => self.delete(old).await,
                // Somebody else was at it: the next run sees to it.
                _ => Ok(()),
            };
        }
        let new = ArchiveId::generate();
        let at_it = self.at(new);
        // Before anything is read: whoever takes something out of archives meanwhile closes those that are begun, for
        // they may hold it too.
        if !archives.begin_archive(new, std::time::Duration::ZERO).await? {
            at_it.done();
            return Ok(());
        }
        self.done(Step::Begun);
        let written = self.write_replacement(old, new).await;
        let was_taken = !matches!(written, Ok(Some(_))) && self.abandon(new).await;
        let replaced = match written {
            Ok(Some(manifest)) => self.take_place(old, &manifest).await,
            Ok(None) => self.delete_given_up(old).await,
            // It is no damage: who needs the old one replaced looks again.
            Err(error) if was_taken => {
                tracing::debug!(%error, %old, %new, "an archive was taken over while it was written");
                self.delete_given_up(old).await
            }
            Err(error) => Err(error),
        };
        at_it.done();
        replaced
    }

    /// Deletes an archive where it is given up. What was restored from it meanwhile is in none any more; what is left in it
    /// otherwise is no waste yet.
    async fn delete_given_up(&self, old: ArchiveId) -> Result<(), ArchiveError> {
        let found = self.repositories.archives().find_archive(old).await?;
        if found.is_some_and(|archive| archive.state == ArchiveState::GivenUp) {
            self.delete(old).await?;
        }
        Ok(())
    }

    /// Lets an archive that is written take the place of this one, which is deleted then.
    async fn take_place(&self, old: ArchiveId, manifest: &Manifest) -> Result<(), ArchiveError> {
        let new = manifest.archive_id;
        self.tidy(new).await?;
        let ids = manifest.conversations.iter().map(|entry| entry.conversation_id).collect();
        let archives = self.repositories.archives();
        let state = archives.replace_archive(old, new, ids, manifest.content()).await?;
        self.done(Step::Replaced);
        match state {
            // Something came back while its files were written, or since: they hold it still.
            Some(ArchiveState::Stale) => Box::pin(self.replace(new)).await?,
            // Nobody knows of it any more, where it was given up and forgotten while its files were written.
            Some(ArchiveState::GivenUp) | None => self.delete(new).await?,
            Some(ArchiveState::Complete | ArchiveState::Begun) => {}
        }
        self.delete_given_up(old).await
    }

    /// Deletes what a killed process left beside the files of an archive that is about to be complete: nobody looks at it
    /// again then.
    pub(super) async fn tidy(&self, archive_id: ArchiveId) -> Result<(), ArchiveError> {
        if let Err(error) = self.files()?.delete_leftovers(archive_id).await {
            tracing::warn!(%archive_id, %error, "files beside an archive's own could not be deleted");
        }
        Ok(())
    }

    /// Writes the files of an archive that is to take the place of another; `None`: that one is gone.
    async fn write_replacement(
        &self,
        old: ArchiveId,
        new: ArchiveId,
    ) -> Result<Option<Manifest>, ArchiveError> {
        let keep: HashSet<_> = self.repositories.archives().archived_in(old).await?.into_iter().collect();
        let files = self.files()?;
        let read = match files.manifest_of(old).await {
            Ok(manifest) => files.data(&manifest).await.map(|data| (manifest, data)),
            Err(error) => Err(error),
        };
        let (manifest, data) = match read {
            // It may just have been replaced, and its files deleted.
            Err(ArchiveError::Damaged { .. }) if self.is_gone(old).await? => return Ok(None),
            read => read?,
        };
        let count = keep.len();
        let volume = Volume::copy(files.desk(), data, keep, &manifest).await?;
        if volume.conversations.len() != count {
            let missing = "it does not hold all that the database says is archived in it";
            return Err(ArchiveError::damaged(old, missing));
        }
        let fresh = Manifest::new(new, self.clock.now(), Some(old));
        self.put(files, volume, fresh).await.map(Some)
    }

    /// Whether this archive is forgotten, or about to be: then it is no wonder that its files are gone.
    pub(crate) async fn is_gone(&self, archive_id: ArchiveId) -> Result<bool, ArchiveError> {
        let archive = self.repositories.archives().find_archive(archive_id).await?;
        Ok(archive.is_none_or(|archive| archive.state == ArchiveState::GivenUp))
    }

    /// Deletes the files of an archive that is given up, and what is left there of a write that was interrupted.
    pub(super) async fn empty(&self, archive_id: ArchiveId) -> Result<(), ArchiveError> {
        let files = self.files()?;
        files.delete_data(archive_id).await?;
        files.delete_leftovers(archive_id).await?;
        self.done(Step::Emptied);
        files.delete_manifest(archive_id).await?;
        self.done(Step::Deleted);
        Ok(())
    }

    /// The same, and forgets it.
    pub(crate) async fn delete(&self, archive_id: ArchiveId) -> Result<(), ArchiveError> {
        self.empty(archive_id).await?;
        self.repositories.archives().forget_archive(archive_id).await?;
        self.done(Step::Forgotten);
        Ok(())
    }
}
