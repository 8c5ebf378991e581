//! What archives hold of a target, and what became of them.

use std::collections::{BTreeMap, BTreeSet};

use lcs_domain::archive::{Archive, ArchiveState, Forgotten, UserHash};
use lcs_domain::erasure::ErasedArchive;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{ArchiveId, Erasure, ErasureTarget, NewErasure, PageLimit, RepositoryError};
use serde::Serialize;

use super::ErasureService;
use super::lost::is_lost;
use super::place_id::PlaceId;
use super::step::Step;
use crate::archive::{ArchiveError, ArchiveFiles, Manifest};
use crate::archive_service::{Need, UnreadArchive, was_written};

/// How often archives are looked into that others replace meanwhile.
const TRIES: u32 = 5;

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

/// What archives hold of a target.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Those that hold something.
    pub(super) holding: Vec<ErasedArchive>,
    /// Where all are read, those that cannot be, and that no tombstone of the target names.
    pub(super) unread: Vec<UnreadArchive>,
}

/// What a run of an erasure has come to know of archives.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Those whose manifests it has read: what became of their files, it has seen to itself.
    pub(super) read: BTreeSet<ArchiveId>,
    /// What their place is known by.
    pub(super) place_id: PlaceId,
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
    ) -> RepositoryResult<Found> {
        self.read_archives(target, reading).await.map_err(in_an_archive)
    }

    async fn read_archives(&self, target: ErasureTarget, reading: Reading) -> Result<Found, ArchiveError> {
        let mut found = self.read_once(target, reading).await?;
        for _ in 1..TRIES {
            if reading == Reading::Nothing || !self.is_moved(&found.holding).await? {
                break;
            }
            found = self.read_once(target, reading).await?;
        }
        Ok(found)
    }

    /// Whether somebody replaced one of these while they were looked into: what it held is in another one by now.
    async fn is_moved(&self, holding: &[ErasedArchive]) -> Result<bool, ArchiveError> {
        for archive in holding.iter().filter(|archive| archive.place.is_none()) {
            if self.archives.is_gone(archive.archive_id).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn read_once(&self, target: ErasureTarget, reading: Reading) -> Result<Found, ArchiveError> {
        let archived = self.repositories.erasures().archived_of(target).await?.into_iter();
        let mut found: BTreeMap<ArchiveId, u64> =
            archived.map(|archived| (archived.archive_id, archived.conversations)).collect();
        let files = if reading == Reading::Nothing { None } else { self.place(reading).await? };
        // Those whose files have to be there, whoever is in them.
        let mut written = BTreeSet::new();
        // Those of which something is there, and no manifest.
        let mut headless = BTreeSet::new();
        if let Some(files) = files {
            let others = match reading {
                Reading::Nothing => Vec::new(),
                Reading::Named => {
                    let unsettled = self.unsettled().await?;
                    written.extend(unsettled.iter().filter(|one| was_written(one)).map(|one| one.archive_id));
                    unsettled.into_iter().map(|archive| archive.archive_id).collect()
                }
                Reading::Everything => {
                    let listed = files.list().await?;
                    headless.extend(listed.iter().filter(|(_, files)| !files.manifest).map(|(id, _)| *id));
                    listed.into_keys().collect()
                }
            };
            for archive_id in others {
                found.entry(archive_id).or_default();
            }
        }
        let Found { mut holding, mut unread } = Found::default();
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
                    Some(files) if self.absent_of_complete(files).await?.is_some() => {
                        return Err(files.missing(archive_id));
                    }
                    _ => continue,
                },
                // Its file may hold anybody's, and nothing says whose.
                Ok(None) if archived == 0 && headless.contains(&archive_id) => {
                    let reason = "its manifest is not there".to_owned();
                    if let Some(files) = files
                        && self.is_headless(files, archive_id).await?
                    {
                        unread.push(UnreadArchive { archive_id, reason });
                    }
                    continue;
                }
                // Its files are elsewhere, or it is not written yet: the store's word counts.
                Ok(None) => (archived, None, None),
                Err(ArchiveError::Damaged { .. }) if archived > 0 => (archived, None, here),
                // It was not finished: it is deleted, or it is said that it cannot be.
                Err(ArchiveError::Damaged { .. }) if reading == Reading::Named => continue,
                // The others are looked into all the same.
                Err(ArchiveError::Damaged { archive_id, reason }) => {
                    unread.push(UnreadArchive { archive_id, reason });
                    continue;
                }
                Err(error) => return Err(error),
            };
            if archived > 0 || held > 0 {
                let (place_id, lost) = (None, None);
                holding.push(ErasedArchive { archive_id, archived, held, sha256, place, place_id, lost });
            }
        }
        Ok(Found { holding, unread })
    }

    /// Whether nobody can tell what is there of an archive without a manifest. One that is begun and not closed is being
    /// written, and out of rows that no erasure has met: erasures close those that they find.
    async fn is_headless(&self, files: &ArchiveFiles, archive_id: ArchiveId) -> Result<bool, ArchiveError> {
        let archive = self.repositories.archives().find_archive(archive_id).await?;
        if archive.is_some_and(|archive| archive.state == ArchiveState::Begun) {
            return Ok(false);
        }
        // It may have been finished or deleted meanwhile.
        Ok(files.is_there(archive_id).await? && matches!(files.manifest(archive_id).await, Ok(None)))
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

    /// Has no archive hold anything of it: files are written anew or deleted. Which those are is noted before, so that
    /// it is known also where this is stopped.
    ///
    /// Those are the archives that tombstones of the target name, and those that are not settled and name it in their
    /// manifests. What is settled holds what tombstones say, and nothing else. Those that are noted by an erasure that shares
    /// something with this one and has not ended count as if this one had noted them: no tombstone names them any more. So
    /// an archive that cannot be read, and that no tombstone of the target names nor such a note, is somebody else's matter:
    /// it is told, and keeps nobody's certificate. What it may hold besides, of which nobody has noted anything, nobody can
    /// know.
    pub(super) async fn erase_in_archives(
        &self,
        asked: &NewErasure,
        erased: Erasure,
        seen: &mut Seen,
    ) -> RepositoryResult<Erasure> {
        if !self.archives.has_place()
            && erased.archives.is_empty()
            && self.archives.list(None, PageLimit::new(1)?).await?.is_empty()
            && self.noted_by_others(asked, &erased.archives).await?.is_empty()
        {
            return Ok(erased);
        }
        let mut holding = match self.read_archives(asked.target, Reading::Named).await {
            Ok(found) => found.holding,
            Err(error) => {
                return Err(in_an_archive(self.elsewhere(&erased.archives, error, &seen.place_id).await));
            }
        };
        let read = holding.iter().filter(|archive| archive.sha256.is_some());
        seen.read.extend(read.map(|archive| archive.archive_id));
        // Behind what the tombstones say: who has left an archive since had noted it before.
        let noted_by_others = self.noted_by_others(asked, &erased.archives).await?;
        // Behind this nothing names these archives any more, and files that are not found count as deleted.
        self.require_files(&holding, &erased.archives).await.map_err(in_an_archive)?;
        self.require_noted(&erased.archives, seen).await.map_err(in_an_archive)?;
        self.require_noted(&noted_by_others, seen).await.map_err(in_an_archive)?;
        self.name_the_place(&mut holding, &seen.place_id).await.map_err(in_an_archive)?;
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
        let need_of = |archive_id: ArchiveId| {
            let mut all = noted.archives.iter().chain(&noted_by_others);
            if is_lost(&noted.archives, archive_id) {
                Need::Lost
            } else if all.any(|noted| noted.archive_id == archive_id && noted.lost.is_none()) {
                Need::Needed
            } else {
                Need::Unneeded
            }
        };
        seen.unread = self.archives.leave_all(what, need_of).await.map_err(in_an_archive)?.1;
        self.require_gone(&noted.archives).await.map_err(in_an_archive)?;
        self.require_gone(&noted_by_others).await.map_err(in_an_archive)?;
        self.done(Step::Rewritten);
        Ok(noted)
    }

    /// What erasures that share something with this one have noted and it has not, and that have not ended.
    async fn noted_by_others(
        &self,
        asked: &NewErasure,
        own: &[ErasedArchive],
    ) -> RepositoryResult<Vec<ErasedArchive>> {
        let unfinished = self.repositories.erasures().unfinished_erasures(asked.target).await?;
        Ok(of_others(asked, own, &unfinished))
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

/// What others of the `unfinished` erasures than the one `asked` for have noted, and it has not.
pub(super) fn of_others(
    asked: &NewErasure,
    own: &[ErasedArchive],
    unfinished: &[Erasure],
) -> Vec<ErasedArchive> {
    let others = unfinished.iter().filter(|erasure| !asked.is_of(erasure));
    let noted = others.flat_map(|erasure| &erasure.archives);
    noted.filter(|noted| own.iter().all(|own| own.archive_id != noted.archive_id)).cloned().collect()
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

pub(super) fn in_an_archive(error: ArchiveError) -> RepositoryError {
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
