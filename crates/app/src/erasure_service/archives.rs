//! What archives hold of a target, and what became of them.

use std::collections::{BTreeMap, BTreeSet};

use lcs_domain::archive::{Archive, ArchiveState, Forgotten, UserHash};
use lcs_domain::erasure::{ErasedArchive, LostArchive};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    ArchiveId, AuditDetail, AuditOutcome, Erasure, ErasureTarget, NewErasure, PageLimit, RepositoryError,
};
use serde::Serialize;

use super::ErasureService;
use super::step::Step;
use crate::archive::{ArchiveError, ArchiveFiles, Manifest};
use crate::archive_service::UnreadArchive;

/// How many archives are looked for at most to know a place by.
const KNOWN_BY: usize = 16;

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
    /// The archive that has what it held besides, where that was replaced itself: the last one. Null where it held nothing
    /// else, or nobody knows any more.
    pub replaced_by: Option<Replacement>,
}

/// What a run of an erasure has come to know of archives.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Those whose manifests it has read: what became of their files, it has seen to itself.
    read: BTreeSet<ArchiveId>,
    /// Those that are to be written anew, cannot be, and hold nothing of the target by what anybody knows.
    pub(super) unread: Vec<UnreadArchive>,
}

/// An archive that took another's place.
struct Link {
    old: ArchiveId,
    new: Replacement,
    /// Whether it holds what counts; else it was replaced itself, or never finished.
    counts: bool,
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
        let files = if reading == Reading::Nothing { None } else { self.place(reading).await? };
        // Those whose files have to be there, whoever is in them.
        let mut written = BTreeSet::new();
        if let Some(files) = files {
            let others = match reading {
                Reading::Nothing => Vec::new(),
                Reading::Named => {
                    let unsettled = self.unsettled().await?;
                    written.extend(unsettled.iter().filter(|one| was_written(one)).map(|one| one.archive_id));
                    unsettled.into_iter().map(|archive| archive.archive_id).collect()
                }
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
            let here = files.map(ToString::to_string);
            let (held, sha256, place) = match manifest {
                Ok(Some(manifest)) => (held(&manifest, target), Some(manifest.sha256), here),
                // It holds something, nobody knows whose, and its files are where nobody looks.
                Ok(None) if archived == 0 && written.contains(&archive_id) => match files {
                    Some(files) if !self.is_the_place(files).await? => return Err(files.missing(archive_id)),
                    _ => continue,
                },
                // Its files are elsewhere, or it is not written yet: the store's word counts.
                Ok(None) => (archived, None, None),
                Err(ArchiveError::Damaged { .. }) if archived > 0 => (archived, None, here),
                // It was not finished: it is deleted, or it is said that it cannot be.
                Err(ArchiveError::Damaged { .. }) if reading == Reading::Named => continue,
                Err(error) => return Err(error),
            };
            if archived > 0 || held > 0 {
                holding.push(ErasedArchive { archive_id, archived, held, sha256, place, lost: None });
            }
        }
        Ok(holding)
    }

    /// The place of the archives, which is not made: `None` where there is none, and no archive either.
    ///
    /// # Errors
    /// `NoPlace`, `Place` and `Missing` where the database knows of archives, and they are not to be looked at: a place
    /// where none is of those that are complete is another one. Who is to erase goes on there by what the database says, and is
    /// refused where that matters.
    async fn place(&self, reading: Reading) -> Result<Option<&ArchiveFiles>, ArchiveError> {
        let is_none = self.archives.list(None, PageLimit::new(1)?).await?.is_empty();
        let files = match self.archives.files_there() {
            Ok(files) => files,
            Err(ArchiveError::NoPlace) if reading == Reading::Named => return Ok(None),
            Err(ArchiveError::NoPlace | ArchiveError::Place { .. }) if is_none => return Ok(None),
            Err(error) => return Err(error),
        };
        if reading == Reading::Everything
            && let Some(absent) = self.absent(files).await?
        {
            return Err(files.missing(absent));
        }
        Ok(Some(files))
    }

    /// The archives that are about to be finished, written anew or deleted.
    async fn unsettled(&self) -> RepositoryResult<Vec<Archive>> {
        let (mut unsettled, mut after) = (Vec::new(), None);
        loop {
            let page = self.repositories.archives().unfinished_archives(after, PageLimit::MAX).await?;
            let Some(last) = page.last() else { return Ok(unsettled) };
            after = Some(last.archive_id);
            unsettled.extend(page);
        }
    }

    /// Where the archives' place cannot be looked at, why not; and how far it can be. Nothing is made there.
    pub(super) async fn reachable(
        &self,
        target: ErasureTarget,
    ) -> RepositoryResult<(Reading, Option<String>)> {
        match self.read_archives(target, Reading::Named).await {
            Ok(_) => Ok((Reading::Named, None)),
            Err(error @ (ArchiveError::Place { .. } | ArchiveError::Missing { .. })) => {
                Ok((Reading::Nothing, Some(error.to_string())))
            }
            Err(error) => Err(in_an_archive(error)),
        }
    }

    /// Notes that an operator states that the files of these archives are lost, and records that.
    ///
    /// # Errors
    /// `Invalid` where the files of one are there, or it holds nothing of the target.
    pub(super) async fn state_lost(
        &self,
        asked: &NewErasure,
        begun: &Erasure,
        lost: &[ArchiveId],
    ) -> RepositoryResult<()> {
        let invalid = |reason: String| RepositoryError::invalid("--lost-archive", reason);
        let archived = self.repositories.erasures().archived_of(asked.target).await?;
        let mut stated = Vec::new();
        for archive_id in lost.iter().copied() {
            let named = archived.iter().find(|archived| archived.archive_id == archive_id);
            let noted = begun.archives.iter().any(|noted| noted.archive_id == archive_id);
            if named.is_none() && !noted {
                return Err(invalid(format!(
                    "archive {archive_id} holds nothing of it by what the database says: look whether the id is right"
                )));
            }
            let files = self.archives.files().map_err(in_an_archive)?;
            if files.is_there(archive_id).await.map_err(in_an_archive)? {
                return Err(invalid(format!(
                    "archive {archive_id} is in {files}, so it is not lost: put its files back from a copy where they \
                     are damaged, or delete what is there of it"
                )));
            }
            let missing = elsewhere(&begun.archives, files.missing(archive_id));
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
                lost: Some(lost),
            });
        }
        for ErasedArchive { archive_id, .. } in &stated {
            let detail = AuditDetail::default().word("step", "archive_lost").id("archive_id", *archive_id);
            self.repositories.audit().record(asked.event(begun, AuditOutcome::Done, detail)).await?;
        }
        self.repositories.erasures().note_archives(asked.clone(), stated).await.map(drop)
    }

    /// Has no archive hold anything of it: files are written anew or deleted. Which those are is noted before, so that
    /// it is known also where this is stopped.
    ///
    /// Those are the archives that tombstones of the target name, and those that are not settled and name it in their
    /// manifests. What is settled holds what tombstones say, and nothing else. So an archive that cannot be read, and
    /// that no tombstone of the target names, is somebody else's matter: it is told, and keeps nobody's certificate. What it
    /// may hold besides, of which nobody has noted anything, nobody can know.
    pub(super) async fn erase_in_archives(
        &self,
        asked: &NewErasure,
        erased: Erasure,
        seen: &mut Seen,
    ) -> RepositoryResult<Erasure> {
        if !self.archives.has_place()
            && erased.archives.is_empty()
            && self.archives.list(None, PageLimit::new(1)?).await?.is_empty()
        {
            return Ok(erased);
        }
        let holding = self.read_archives(asked.target, Reading::Named).await;
        let holding = holding.map_err(|error| in_an_archive(elsewhere(&erased.archives, error)))?;
        let read = holding.iter().filter(|archive| archive.sha256.is_some());
        seen.read.extend(read.map(|archive| archive.archive_id));
        // Behind this nothing names these archives any more, and files that are not found count as deleted.
        self.require_files(&holding, &erased.archives).await.map_err(in_an_archive)?;
        self.require_noted(&erased.archives, &seen.read).await.map_err(in_an_archive)?;
        let noted = if holding.is_empty() {
            erased
        } else {
            self.repositories.erasures().note_archives(asked.clone(), holding).await?
        };
        self.done(Step::Noted);
        let what = match asked.target {
            ErasureTarget::User(user_id) => Forgotten::User(UserHash::of(user_id)),
            ErasureTarget::Conversation(conversation_id) => Forgotten::Conversations(vec![conversation_id]),
        };
        let is_needed = |archive_id: ArchiveId| {
            noted.archives.iter().any(|noted| noted.archive_id == archive_id && noted.lost.is_none())
        };
        seen.unread = self.archives.leave_all(what, is_needed).await.map_err(in_an_archive)?.1;
        seen.unread.retain(|unread| !is_lost(&noted.archives, unread.archive_id));
        self.done(Step::Rewritten);
        Ok(noted)
    }

    /// Refuses where the files of an archive that tombstones name are not there: they may be in another place. Those of
    /// one that the database has done with are deleted already, for somebody else's sake.
    async fn require_files(
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

    /// Refuses where an earlier run has noted an archive, this one has not `read` it, and the place is another one by now,
    /// as far as anybody can tell: the archive's files may be where they were. What is there of one that the database has
    /// done with goes: whoever was to delete it may have looked in another place.
    async fn require_noted(
        &self,
        noted: &[ErasedArchive],
        read: &BTreeSet<ArchiveId>,
    ) -> Result<(), ArchiveError> {
        let unread = noted.iter().filter(|noted| noted.lost.is_none() && !read.contains(&noted.archive_id));
        for ErasedArchive { archive_id, place, sha256, .. } in unread {
            let (archive_id, files) = (*archive_id, self.archives.files_there()?);
            if files.is_there(archive_id).await? {
                if self.repositories.archives().find_archive(archive_id).await?.is_none() {
                    self.archives.delete(archive_id).await?;
                }
                continue;
            }
            // Nobody has seen its files.
            if place.is_none() && sha256.is_none() {
                continue;
            }
            let missing = elsewhere(noted, files.missing(archive_id));
            if matches!(missing, ArchiveError::Elsewhere { .. }) || !self.is_the_place(files).await? {
                return Err(missing);
            }
        }
        Ok(())
    }

    /// Whether one of the archives is there that the database says are complete; where it says of none, nobody can tell.
    async fn is_the_place(&self, files: &ArchiveFiles) -> Result<bool, ArchiveError> {
        self.absent(files).await.map(|absent| absent.is_none())
    }

    /// One of the archives that the database says are complete, where none of them is there.
    async fn absent(&self, files: &ArchiveFiles) -> Result<Option<ArchiveId>, ArchiveError> {
        let (mut absent, mut looked, mut after) = (None, 0, None);
        loop {
            let page = self.archives.list(after, PageLimit::MAX).await?;
            let Some(last) = page.last() else { return Ok(absent) };
            after = Some(last.archive_id);
            for archive in page.into_iter().filter(|archive| archive.state == ArchiveState::Complete) {
                if looked == KNOWN_BY {
                    return Ok(absent);
                }
                if files.is_there(archive.archive_id).await? {
                    return Ok(None);
                }
                absent.get_or_insert(archive.archive_id);
                looked += 1;
            }
        }
    }

    /// What became of the archives that are noted: by what those say that were written since.
    pub(super) async fn rewritten(&self, erased: &Erasure) -> RepositoryResult<Vec<RewrittenArchive>> {
        let mut links = Vec::new();
        let mut after = None;
        while !erased.archives.is_empty() {
            let page = self.archives.list(after, PageLimit::MAX).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.archive_id);
            for archive in page.iter().filter(|archive| archive.begun_at >= erased.begun_at) {
                let files = self.archives.files().map_err(in_an_archive)?;
                let manifest = match files.manifest(archive.archive_id).await {
                    // What it took the place of, nobody knows.
                    Err(ArchiveError::Damaged { .. }) => None,
                    manifest => manifest.map_err(in_an_archive)?,
                };
                if let Some(Manifest { archive_id, replaces: Some(old), sha256, .. }) = manifest {
                    let counts = matches!(archive.state, ArchiveState::Complete | ArchiveState::Stale);
                    links.push(Link { old, new: Replacement { archive_id, sha256 }, counts });
                }
            }
        }
        let rewritten = |before: &ErasedArchive| RewrittenArchive {
            before: before.clone(),
            replaced_by: last(&links, before.archive_id),
        };
        Ok(erased.archives.iter().map(rewritten).collect())
    }
}

/// Whether an archive that is not settled has files somewhere: they are to be written anew, or deleted.
fn was_written(archive: &Archive) -> bool {
    match archive.state {
        ArchiveState::Stale => true,
        ArchiveState::GivenUp => archive.content.conversations > 0,
        ArchiveState::Begun | ArchiveState::Complete => false,
    }
}

/// Where it was, where an archive is missed that was noted in another place.
fn elsewhere(noted: &[ErasedArchive], error: ArchiveError) -> ArchiveError {
    let ArchiveError::Missing { archive_id, place } = error else { return error };
    let seen = noted.iter().find(|noted| noted.archive_id == archive_id);
    match seen.and_then(|noted| noted.place.clone()) {
        Some(was) if was != place => ArchiveError::Elsewhere { archive_id, was, place },
        _ => ArchiveError::Missing { archive_id, place },
    }
}

/// Whether somebody states that it is.
fn is_lost(noted: &[ErasedArchive], archive_id: ArchiveId) -> bool {
    noted.iter().any(|noted| noted.archive_id == archive_id && noted.lost.is_some())
}

/// The last archive that took the place of this one, or of one that did, and holds what counts.
fn last(links: &[Link], old: ArchiveId) -> Option<Replacement> {
    let (mut olds, mut followed) = (vec![old], BTreeSet::new());
    while let Some(old) = olds.pop() {
        for link in links.iter().filter(|link| link.old == old) {
            if link.counts {
                return Some(link.new.clone());
            }
            olds.extend(followed.insert(link.new.archive_id).then_some(link.new.archive_id));
        }
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_an_archives_place_is_the_last_one_that_counts() {
        let ids: Vec<_> = (0..5).map(|_| ArchiveId::generate()).collect();
        let link = |old: usize, new: usize, counts| Link {
            old: ids[old],
            new: Replacement { archive_id: ids[new], sha256: String::new() },
            counts,
        };
        let found = |links: &[Link]| last(links, ids[0]).map(|new| new.archive_id);
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[link(0, 1, true)]), Some(ids[1]));
        assert_eq!(found(&[link(0, 1, false)]), None, "one that was given up holds nothing");
        assert_eq!(found(&[link(0, 1, true), link(0, 2, false)]), Some(ids[1]), "tried twice");
        assert_eq!(found(&[link(0, 1, false), link(1, 2, false), link(2, 3, true)]), Some(ids[3]));
        assert_eq!(found(&[link(0, 1, false), link(1, 0, false)]), None, "a circle has no end");
    }
}
