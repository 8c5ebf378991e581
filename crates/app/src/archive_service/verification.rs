//! Whether archives are what they should be: their files whole, and what the database says of them there.

use std::collections::HashSet;

use lcs_domain::archive::{Archive, ArchiveState};
use lcs_domain::{ArchiveId, PageLimit};
use serde::Serialize;

use super::ArchiveService;
use crate::archive::ArchiveError;
use crate::archive::files::DATA;
use crate::archive::volume::check;

/// What a look at the archives came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Archives whose files were read and are right.
    pub whole: u64,
    /// How many conversations were read in files that are right.
    pub conversations: u64,
    /// Archives that are not finished, or are to be replaced or deleted by the next run.
    pub unfinished: u64,
    /// What is wrong.
    pub damaged: Vec<Finding>,
    /// Archives in the place that the database does not know: of another database, or of one that was set back.
    pub unknown: Vec<ArchiveId>,
    /// What stands beside the files of archives, or has no manifest: left of writes that were interrupted, or of one
    /// that is under way.
    pub leftovers: Vec<Leftover>,
}

impl VerifyReport {
    fn leave(&mut self, archive_id: ArchiveId, files: Vec<String>) {
        self.leftovers.extend(files.into_iter().map(|file| Leftover { archive_id, file }));
    }

    /// Whether all archives are as they should be, and no others are there.
    #[must_use]
    pub const fn is_right(&self) -> bool {
        self.damaged.is_empty() && self.unknown.is_empty()
    }
}

/// A file that is none of its archive's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// In whose folder it is.
    pub archive_id: ArchiveId,
    /// Its name there.
    pub file: String,
}

/// What is wrong with an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which.
    pub archive_id: ArchiveId,
    /// What is wrong with it.
    pub reason: String,
}

impl ArchiveService {
    /// Reads every archive, or this one, and finds what is damaged or missing. Changes nothing, and makes nothing: where
    /// nothing was ever archived, the place may not be there yet.
    ///
    /// `progress` is told of each that was read.
    ///
    /// # Errors
    /// `NoPlace`, and `Place` where it is not there, and the database knows of archives.
    pub async fn verify(
        &self,
        only: Option<ArchiveId>,
        mut progress: impl FnMut() + Send,
    ) -> Result<VerifyReport, ArchiveError> {
        let (mut report, mut after, mut known) = (VerifyReport::default(), None, HashSet::new());
        // Before the database is asked: what is begun meanwhile is in its answer.
        let mut listed = Vec::new();
        // Those whose files are there, but for the manifest.
        let mut headless = HashSet::new();
        if self.is_unmade() && self.list(None, PageLimit::new(1)?).await?.is_empty() {
            return Ok(report);
        }
        let place = self.files_there()?;
        if let Some(archive_id) = only {
            report.leave(archive_id, place.leftovers(archive_id).await?);
            headless.extend(place.is_headless(archive_id).await?.then_some(archive_id));
        } else {
            for (archive_id, files) in place.list().await? {
                listed.push(archive_id);
                headless.extend((files.data.is_some() && !files.manifest).then_some(archive_id));
                report.leave(archive_id, files.leftovers);
            }
        }
        loop {
            let page = match only {
                None => self.list(after, PageLimit::MAX).await?,
                Some(id) if after.is_none() => {
                    self.repositories.archives().find_archive(id).await?.into_iter().collect()
                }
                Some(_) => Vec::new(),
            };
            let Some(last) = page.last() else { break };
            after = Some(last.archive_id);
            for archive in page {
                known.insert(archive.archive_id);
                // Of one that holds what counts, it is damage.
                if matches!(archive.state, ArchiveState::Complete | ArchiveState::Stale) {
                    headless.remove(&archive.archive_id);
                }
                match self.verify_one(&archive).await {
                    Ok(conversations) => {
                        report.whole += u64::from(archive.state == ArchiveState::Complete);
                        report.unfinished += u64::from(archive.state != ArchiveState::Complete);
                        report.conversations += conversations;
                    }
                    // It was replaced while it was read.
                    Err(ArchiveError::Damaged { archive_id, .. }) if self.is_gone(archive_id).await? => {}
                    Err(ArchiveError::Damaged { archive_id, reason }) => {
                        report.damaged.push(Finding { archive_id, reason });
                    }
                    Err(error) => return Err(error),
                }
                progress();
            }
        }
        // One that the database does not know is told as such: no cleanup deletes it.
        let mut headless: Vec<_> = headless.into_iter().filter(|id| known.contains(id)).collect();
        headless.sort_unstable();
        for archive_id in headless {
            report.leave(archive_id, vec![DATA.to_owned()]);
        }
        for archive_id in listed.into_iter().filter(|id| !known.contains(id)) {
            if self.is_unknown(archive_id).await? {
                report.unknown.push(archive_id);
            }
        }
        Ok(report)
    }

    /// Whether the database does not know this archive, and it is there: one that was deleted meanwhile is neither.
    async fn is_unknown(&self, archive_id: ArchiveId) -> Result<bool, ArchiveError> {
        let is_known = self.repositories.archives().find_archive(archive_id).await?.is_some();
        Ok(!is_known && self.files()?.is_there(archive_id).await?)
    }

    /// Reads its files where they have to be there, and says how many conversations are in them.
    async fn verify_one(&self, archive: &Archive) -> Result<u64, ArchiveError> {
        let archive_id = archive.archive_id;
        let archived = self.repositories.archives().archived_in(archive_id).await?;
        if archived.is_empty() && archive.state != ArchiveState::Complete {
            return Ok(0);
        }
        let files = self.files()?;
        let manifest = files.manifest_of(archive_id).await?;
        check(files.desk(), files.data(&manifest).await?, &manifest).await?;
        let held: HashSet<_> = manifest.conversations.iter().map(|entry| entry.conversation_id).collect();
        match archived.iter().find(|id| !held.contains(id)) {
            Some(id) => Err(ArchiveError::damaged(
                archive_id,
                format!("conversation {id}, which the database says is archived in it, is not in it"),
            )),
            None => Ok(manifest.conversations.len() as u64),
        }
    }
}
