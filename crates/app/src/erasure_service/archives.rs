//! What archives hold of a target, and what became of them.

use std::collections::BTreeMap;

use lcs_domain::archive::UserHash;
use lcs_domain::erasure::ErasedArchive;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{ArchiveId, Erasure, ErasureTarget, NewErasure, PageLimit, RepositoryError};
use serde::Serialize;

use super::ErasureService;
use super::step::Step;
use crate::archive::{ArchiveError, Manifest};

/// Which archives are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// None: it is as the store says.
    Nothing,
    /// Those that the store names, and those that it says are not settled.
    Named,
    /// All whose files are there.
    Everything,
}

/// An archive that held something of what was erased, and what became of it. It says nothing of what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RewrittenArchive {
    /// The archive as it was. Its files are deleted.
    #[serde(flatten)]
    pub before: ErasedArchive,
    /// The archive that has what it held besides; null where it held nothing else, or that one is replaced too by now.
    pub replaced_by: Option<Replacement>,
}

/// An archive in the place of another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replacement {
    /// The archive.
    pub archive_id: ArchiveId,
    /// The SHA-256 of its file, in hexadecimal digits.
    pub sha256: String,
}

impl ErasureService {
    /// The archives that hold something of `target`.
    pub(super) async fn archives_with(
        &self,
        target: ErasureTarget,
        reading: Reading,
    ) -> RepositoryResult<Vec<ErasedArchive>> {
        self.read_archives(target, reading).await.map_err(in_an_archive)
    }

    async fn read_archives(
        &self,
        target: ErasureTarget,
        reading: Reading,
    ) -> Result<Vec<ErasedArchive>, ArchiveError> {
        let archived = self.repositories.erasures().archived_of(target).await?.into_iter();
        let mut found: BTreeMap<ArchiveId, u64> =
            archived.map(|archived| (archived.archive_id, archived.conversations)).collect();
        let reads = reading != Reading::Nothing && self.archives.has_place();
        let files = if reads { Some(self.archives.files()?) } else { None };
        if let Some(files) = files {
            let others = match reading {
                Reading::Nothing => Vec::new(),
                Reading::Named => self.unsettled().await?,
                Reading::Everything => files.list().await?.into_keys().collect(),
            };
            for archive_id in others {
                found.entry(archive_id).or_default();
            }
        }
        let mut holding = Vec::new();
        for (archive_id, archived) in found {
            let manifest = match files {
                Some(files) => files.manifest(archive_id).await,
                None => Ok(None),
            };
            let (held, sha256) = match manifest {
                Ok(Some(manifest)) => (held(&manifest, target), Some(manifest.sha256)),
                // Its files are elsewhere, or it is not written yet: the store's word counts.
                Ok(None) => (archived, None),
                Err(ArchiveError::Damaged { .. }) if archived > 0 => (archived, None),
                // It was not finished: it is deleted, or it is said that it cannot be.
                Err(ArchiveError::Damaged { .. }) if reading == Reading::Named => continue,
                Err(error) => return Err(error),
            };
            if archived > 0 || held > 0 {
                holding.push(ErasedArchive { archive_id, archived, held, sha256 });
            }
        }
        Ok(holding)
    }

    /// The archives that are about to be finished, written anew or deleted.
    async fn unsettled(&self) -> RepositoryResult<Vec<ArchiveId>> {
        let (mut unsettled, mut after) = (Vec::new(), None);
        loop {
            let page = self.repositories.archives().unfinished_archives(after, PageLimit::MAX).await?;
            let Some(last) = page.last() else { return Ok(unsettled) };
            after = Some(last.archive_id);
            unsettled.extend(page.iter().map(|archive| archive.archive_id));
        }
    }

    /// Has no archive hold anything of it: files are written anew or deleted. Which those are is noted before, so that
    /// it is known also where this is stopped.
    pub(super) async fn erase_in_archives(
        &self,
        asked: &NewErasure,
        erased: Erasure,
    ) -> RepositoryResult<Erasure> {
        if !self.archives.has_place() && self.archives.list(None, PageLimit::new(1)?).await?.is_empty() {
            return Ok(erased);
        }
        let holding = self.archives_with(asked.target, Reading::Named).await?;
        // Behind this nothing names these archives any more, and files that are not found count as deleted.
        self.require_files(&holding).await.map_err(in_an_archive)?;
        let noted = if holding.is_empty() {
            erased
        } else {
            self.repositories.erasures().note_archives(asked.clone(), holding).await?
        };
        self.done(Step::Noted);
        let left = match asked.target {
            ErasureTarget::User(user_id) => self.archives.forget_user(UserHash::of(user_id)).await,
            ErasureTarget::Conversation(conversation_id) => self.archives.forget(&[conversation_id]).await,
        };
        left.map_err(in_an_archive)?;
        self.done(Step::Rewritten);
        Ok(noted)
    }

    /// Refuses where the files of an archive that tombstones name are not there: they may be in another place. Those of
    /// one that the database has done with are deleted already, for somebody else's sake.
    async fn require_files(&self, holding: &[ErasedArchive]) -> Result<(), ArchiveError> {
        for ErasedArchive { archive_id, .. } in holding.iter().filter(|archive| archive.archived > 0) {
            match self.archives.files()?.require(*archive_id).await {
                Err(ArchiveError::Missing { .. }) if self.archives.is_gone(*archive_id).await? => {}
                required => required?,
            }
        }
        Ok(())
    }

    /// What became of the archives that are noted: by what those say that were written since.
    pub(super) async fn rewritten(&self, erased: &Erasure) -> RepositoryResult<Vec<RewrittenArchive>> {
        let mut replacements = BTreeMap::new();
        let mut after = None;
        while !erased.archives.is_empty() {
            let page = self.archives.list(after, PageLimit::MAX).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.archive_id);
            for archive in page.iter().filter(|archive| archive.begun_at >= erased.begun_at) {
                let files = self.archives.files().map_err(in_an_archive)?;
                let manifest = files.manifest(archive.archive_id).await.map_err(in_an_archive)?;
                if let Some(Manifest { archive_id, replaces: Some(old), sha256, .. }) = manifest {
                    replacements.insert(old, Replacement { archive_id, sha256 });
                }
            }
        }
        let rewritten = |before: &ErasedArchive| RewrittenArchive {
            before: before.clone(),
            replaced_by: replacements.get(&before.archive_id).cloned(),
        };
        Ok(erased.archives.iter().map(rewritten).collect())
    }
}

/// How many conversations of the target are in it.
fn held(manifest: &Manifest, target: ErasureTarget) -> u64 {
    let user_hash = target.user().map(|user_id| UserHash::of(user_id).to_string());
    let of_target = manifest.conversations.iter().filter(|entry| match target {
        ErasureTarget::User(_) => Some(&entry.user_hash) == user_hash.as_ref(),
        ErasureTarget::Conversation(conversation_id) => entry.conversation_id == conversation_id,
    });
    of_target.count() as u64
}

fn in_an_archive(error: ArchiveError) -> RepositoryError {
    match error {
        ArchiveError::Store(error) => error,
        error => RepositoryError::Backend {
            reason: format!("an archive may hold it still: {error}; run the erasure again then"),
            source: None,
        },
    }
}
