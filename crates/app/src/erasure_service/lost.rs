//! Archives that an operator states to be lost for good.

use lcs_domain::erasure::{ErasedArchive, LostArchive};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{ArchiveId, AuditDetail, AuditOutcome, Erasure, NewErasure, RepositoryError};

use super::ErasureService;
use super::archives::{in_an_archive, of_others};
use super::place_id::PlaceId;
use crate::archive::{ArchiveError, ArchiveFiles};

/// Where a statement is made.
const OPTION: &str = "--lost-archive";

impl ErasureService {
    /// These archives as they are to be noted, whose files an operator states to be lost. Nothing is begun for it: a slip of
    /// the pen leaves no erasure behind.
    ///
    /// # Errors
    /// `Invalid` where the files of one are there, or it holds nothing of the target: by what tombstones say, and by what is
    /// noted by erasures that share something with it and have not ended.
    pub(super) async fn stated_lost(
        &self,
        asked: &NewErasure,
        lost: &[ArchiveId],
        place_id: &PlaceId,
    ) -> RepositoryResult<Vec<ErasedArchive>> {
        let mut stated = Vec::new();
        if lost.is_empty() {
            return Ok(stated);
        }
        let archived = self.repositories.erasures().archived_of(asked.target).await?;
        // Behind what the tombstones say: who has left an archive since had noted it before.
        let unfinished = self.repositories.erasures().unfinished_erasures(asked.target).await?;
        let own = unfinished.iter().find(|erasure| asked.is_of(erasure));
        let mut noted = own.map_or_else(Vec::new, |own| own.archives.clone());
        noted.extend(of_others(asked, &noted, &unfinished));
        for archive_id in lost.iter().copied() {
            let named = archived.iter().find(|archived| archived.archive_id == archive_id);
            if named.is_none() && noted.iter().all(|noted| noted.archive_id != archive_id) {
                let reason = format!(
                    "archive {archive_id} holds nothing of it by what the database says: look whether the id is right"
                );
                return Err(RepositoryError::invalid(OPTION, reason));
            }
            let files = self.archives.files_there().map_err(in_an_archive)?;
            if files.is_there(archive_id).await.map_err(in_an_archive)? {
                return Err(not_lost(archive_id, files));
            }
            let missing = self.elsewhere(&noted, files.missing(archive_id), place_id).await;
            if matches!(missing, ArchiveError::Elsewhere { .. }) {
                return Err(in_an_archive(missing));
            }
            let archived = named.map_or(0, |archived| archived.conversations);
            let lost = LostArchive { stated_by: asked.actor.to_string(), stated_at: self.clock.now() };
            stated.push(ErasedArchive {
                archive_id,
                archived,
                held: archived,
                sha256: None,
                place: None,
                place_id: None,
                lost: Some(lost),
            });
        }
        Ok(stated)
    }

    /// Notes that, and records it.
    pub(super) async fn note_lost(
        &self,
        asked: &NewErasure,
        begun: &Erasure,
        stated: Vec<ErasedArchive>,
    ) -> RepositoryResult<()> {
        if stated.is_empty() {
            return Ok(());
        }
        let ids: Vec<ArchiveId> = stated.iter().map(|archive| archive.archive_id).collect();
        self.repositories.erasures().note_archives(asked.clone(), stated).await?;
        for archive_id in ids {
            let detail = AuditDetail::default().word("step", "archive_lost").id("archive_id", archive_id);
            self.repositories.audit().record(asked.event(begun, AuditOutcome::Done, detail)).await?;
        }
        Ok(())
    }
}

/// Whether somebody states that it is.
pub(super) fn is_lost(noted: &[ErasedArchive], archive_id: ArchiveId) -> bool {
    noted.iter().any(|noted| noted.archive_id == archive_id && noted.lost.is_some())
}

/// An archive that is stated to be lost is there.
pub(super) fn not_lost(archive_id: ArchiveId, files: &ArchiveFiles) -> RepositoryError {
    let reason = format!(
        "archive {archive_id} is in {files}, so it is not lost: put its files back from a copy where they are damaged, or \
         delete what is there of it, and run the erasure again"
    );
    RepositoryError::invalid(OPTION, reason)
}
