//! Whether the place is the one where the archives are that an erasure is about.

use std::slice;

use lcs_domain::archive::ArchiveState;
use lcs_domain::erasure::ErasedArchive;
use lcs_domain::{ArchiveId, PageLimit};

use super::ErasureService;
use super::archives::{Reading, Seen};
use super::lost::{is_lost, not_lost};
use super::place_id::PlaceId;
use crate::archive::{ArchiveError, ArchiveFiles};

/// How many archives are looked for at most to know a place by.
const KNOWN_BY: usize = 16;

/// What is known of a place: by the archives that the database says are complete, or by its own id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// One of them is there, or it is the id that was noted.
    Right,
    /// None is, nor is it that: this archive is elsewhere, for example.
    Other(ArchiveId),
    /// There are none, and no id was noted, so nobody can tell.
    Nobody,
}

impl Known {
    /// An archive that is missed there, where it is another place.
    const fn absent(self) -> Option<ArchiveId> {
        match self {
            Self::Other(absent) => Some(absent),
            Self::Right | Self::Nobody => None,
        }
    }
}

impl ErasureService {
    /// The place of the archives, which is not made: `None` where there is none, and no archive either.
    ///
    /// # Errors
    /// `NoPlace`, `Place` and `Missing` where the database knows of archives, and they are not to be looked at: a place
    /// where none is of those that are complete is another one. Who is to erase goes on there by what the database says, and is
    /// refused where that matters.
    pub(super) async fn place(&self, reading: Reading) -> Result<Option<&ArchiveFiles>, ArchiveError> {
        let is_none = self.archives.list(None, PageLimit::new(1)?).await?.is_empty();
        let files = match self.archives.files_there() {
            Ok(files) => files,
            Err(ArchiveError::NoPlace) if reading == Reading::Named => return Ok(None),
            Err(ArchiveError::NoPlace | ArchiveError::Place { .. }) if is_none => return Ok(None),
            Err(error) => return Err(error),
        };
        if reading == Reading::Everything
            && let Some(absent) = self.absent_of_complete(files).await?
        {
            return Err(files.missing(absent));
        }
        Ok(Some(files))
    }

    /// Refuses where the files of an archive that tombstones name are not there: they may be in another place. Those of
    /// one that the database has done with are deleted already, for somebody else's sake.
    pub(super) async fn require_files(
        &self,
        holding: &[ErasedArchive],
        noted: &[ErasedArchive],
    ) -> Result<(), ArchiveError> {
        let named = holding.iter().filter(|archive| archive.archived > 0);
        for ErasedArchive { archive_id, .. } in named.filter(|archive| !is_lost(noted, archive.archive_id)) {
            match self.archives.files()?.require(*archive_id).await {
                Err(ArchiveError::Missing { .. }) if self.archives.is_gone(*archive_id).await? => {}
                required => required?,
            }
        }
        Ok(())
    }

    /// Refuses where an earlier run has noted an archive, this one has not read it, and the place is another one by now,
    /// as far as anybody can tell: the archive's files may be where they were. What is there of one that the database has
    /// done with goes: whoever was to delete it may have looked in another place.
    pub(super) async fn require_noted(
        &self,
        noted: &[ErasedArchive],
        seen: &Seen,
    ) -> Result<(), ArchiveError> {
        let is_unread =
            |noted: &&ErasedArchive| noted.lost.is_none() && !seen.read.contains(&noted.archive_id);
        let unread = noted.iter().filter(is_unread);
        for archive in unread {
            let (archive_id, files) = (archive.archive_id, self.archives.files_there()?);
            if files.is_there(archive_id).await? {
                self.delete_forgotten(archive_id).await?;
                continue;
            }
            // Nobody has seen its files.
            if archive.place.is_none() && archive.sha256.is_none() {
                continue;
            }
            let missing = self.elsewhere(noted, files.missing(archive_id), &seen.place_id).await;
            let is_elsewhere = matches!(missing, ArchiveError::Elsewhere { .. });
            if is_elsewhere || !self.is_the_place(files, slice::from_ref(archive), &seen.place_id).await? {
                return Err(missing);
            }
        }
        Ok(())
    }

    /// Refuses where an archive is there that is stated to be lost. What is there of a noted one that the database has done
    /// with goes: this run may have read it, and somebody else, who looked in another place, have taken it for deleted.
    pub(super) async fn require_gone(&self, noted: &[ErasedArchive]) -> Result<(), ArchiveError> {
        for ErasedArchive { archive_id, lost, .. } in noted {
            let (archive_id, files) = (*archive_id, self.archives.files_there()?);
            if !files.is_there(archive_id).await? {
                continue;
            }
            if lost.is_some() {
                return Err(not_lost(archive_id, files).into());
            }
            self.delete_forgotten(archive_id).await?;
        }
        Ok(())
    }

    /// Deletes an archive that the database has done with.
    async fn delete_forgotten(&self, archive_id: ArchiveId) -> Result<(), ArchiveError> {
        if self.repositories.archives().find_archive(archive_id).await?.is_none() {
            self.archives.delete(archive_id).await?;
        }
        Ok(())
    }

    /// Where it was, where an archive is missed that was noted in another place: at another address, and without what that
    /// place is known by.
    pub(super) async fn elsewhere(
        &self,
        noted: &[ErasedArchive],
        error: ArchiveError,
        place_id: &PlaceId,
    ) -> ArchiveError {
        let ArchiveError::Missing { archive_id, place } = error else { return error };
        let seen = noted.iter().find(|noted| noted.archive_id == archive_id);
        let was = seen.and_then(|noted| noted.place.clone()).filter(|was| *was != place);
        let Some(was) = was else { return ArchiveError::Missing { archive_id, place } };
        if let Some(known_by) = seen.and_then(|noted| noted.place_id.as_ref())
            && let Ok(files) = self.archives.files_there()
            && let Ok(Some(here)) = place_id.read(files).await
            && here == known_by
        {
            // It was moved, and is the same place.
            return ArchiveError::Missing { archive_id, place };
        }
        ArchiveError::Elsewhere { archive_id, was, place }
    }

    /// Whether it is the place that was known when these were `noted`. Where that was not asked for, whether one of the
    /// archives is there that the database says are complete; where it says of none, nobody can tell.
    pub(super) async fn is_the_place(
        &self,
        files: &ArchiveFiles,
        noted: &[ErasedArchive],
        place_id: &PlaceId,
    ) -> Result<bool, ArchiveError> {
        self.known_by(files, noted, place_id).await.map(|known| known.absent().is_none())
    }

    /// One of the archives that the database says are complete, where it is another place by what they tell.
    pub(super) async fn absent_of_complete(
        &self,
        files: &ArchiveFiles,
    ) -> Result<Option<ArchiveId>, ArchiveError> {
        self.known_by_archives(files).await.map(Known::absent)
    }

    /// Whether the place is seen to be the right one, where an erasure has noted any archives.
    pub(super) async fn is_confirmed(
        &self,
        noted: &[ErasedArchive],
        place_id: &PlaceId,
    ) -> Result<Option<bool>, ArchiveError> {
        if noted.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.known_by(self.archives.files_there()?, noted, place_id).await? == Known::Right))
    }

    /// Notes what the place is known by with archives that were seen in it: so it is known also when they are gone.
    pub(super) async fn name_the_place(
        &self,
        holding: &mut [ErasedArchive],
        place_id: &PlaceId,
    ) -> Result<(), ArchiveError> {
        if holding.iter().all(|archive| archive.place.is_none()) {
            return Ok(());
        }
        let place_id = place_id.named(self.archives.files_there()?).await?;
        for archive in holding.iter_mut().filter(|archive| archive.place.is_some()) {
            archive.place_id = Some(place_id.clone());
        }
        Ok(())
    }

    async fn known_by(
        &self,
        files: &ArchiveFiles,
        noted: &[ErasedArchive],
        place_id: &PlaceId,
    ) -> Result<Known, ArchiveError> {
        // An archive that the database says is complete may have been made since, in another place.
        let Some(last) = noted.iter().rfind(|archive| archive.place_id.is_some()) else {
            return self.known_by_archives(files).await;
        };
        let here = place_id.read(files).await?;
        let is_right = here.is_some() && noted.iter().any(|archive| archive.place_id.as_ref() == here);
        Ok(if is_right { Known::Right } else { Known::Other(last.archive_id) })
    }

    async fn known_by_archives(&self, files: &ArchiveFiles) -> Result<Known, ArchiveError> {
        let (mut known, mut looked, mut after) = (Known::Nobody, 0, None);
        loop {
            let page = self.archives.list(after, PageLimit::MAX).await?;
            let Some(last) = page.last() else { return Ok(known) };
            after = Some(last.archive_id);
            for archive in page.into_iter().filter(|archive| archive.state == ArchiveState::Complete) {
                if looked == KNOWN_BY {
                    return Ok(known);
                }
                if files.is_there(archive.archive_id).await? {
                    return Ok(Known::Right);
                }
                // Somebody may have replaced it since it was listed.
                let now = self.repositories.archives().find_archive(archive.archive_id).await?;
                if now.is_none_or(|now| now.state != ArchiveState::Complete) {
                    continue;
                }
                if known == Known::Nobody {
                    known = Known::Other(archive.archive_id);
                }
                looked += 1;
            }
        }
    }
}
