//! Whether archives are what they should be: their files whole, and what the database says of them there.

use std::collections::HashSet;

use lcs_domain::archive::{Archive, ArchiveState};
use lcs_domain::{ArchiveId, PageLimit};
use serde::Serialize;

use super::ArchiveService;
use crate::archive::ArchiveError;
use crate::archive::volume::check;

/// What a look at the archives came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Archives whose files were read and are right.
    pub whole: u64,
    /// How many conversations those hold.
    pub conversations: u64,
    /// Archives that are not finished, or are to be replaced or deleted by the next run.
    pub unfinished: u64,
    /// What is wrong.
    pub damaged: Vec<Finding>,
    /// Files of archives that the database does not know: of another database, or of one that was set back.
    pub unknown: Vec<ArchiveId>,
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
    /// Reads every archive, or this one, and finds what is damaged or missing. Changes nothing.
    ///
    /// `progress` is told of each that was read.
    pub async fn verify(
        &self,
        only: Option<ArchiveId>,
        mut progress: impl FnMut() + Send,
    ) -> Result<VerifyReport, ArchiveError> {
        let (mut report, mut after, mut known) = (VerifyReport::default(), None, HashSet::new());
        // Before the database is asked: what is begun meanwhile is in its answer.
        let listed = match only {
            None => self.files()?.list().await?,
            Some(_) => std::collections::BTreeMap::new(),
        };
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
                match self.verify_one(&archive).await {
                    Ok(()) => {
                        report.whole += u64::from(archive.state == ArchiveState::Complete);
                        report.unfinished += u64::from(archive.state != ArchiveState::Complete);
                        report.conversations += archive.content.conversations;
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
        report.unknown = listed.into_keys().filter(|id| !known.contains(id)).collect();
        Ok(report)
    }

    async fn verify_one(&self, archive: &Archive) -> Result<(), ArchiveError> {
        let archive_id = archive.archive_id;
        let archived = self.repositories.archives().archived_in(archive_id).await?;
        if archived.is_empty() && archive.state != ArchiveState::Complete {
            return Ok(());
        }
        let files = self.files()?;
        let manifest = files.manifest_of(archive_id).await?;
        check(files.data(&manifest).await?, &manifest).await?;
        let held: HashSet<_> = manifest.conversations.iter().map(|entry| entry.conversation_id).collect();
        match archived.iter().find(|id| !held.contains(id)) {
            Some(id) => Err(ArchiveError::damaged(
                archive_id,
                format!("conversation {id}, which the database says is archived in it, is not in it"),
            )),
            None => Ok(()),
        }
    }
}
