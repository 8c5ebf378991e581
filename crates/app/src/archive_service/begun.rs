//! Archives that this process has begun and does not get to close, because it is asked to end.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lcs_domain::ArchiveId;
use lcs_domain::archive::ArchiveState;
use tokio::time::timeout;

use super::ArchiveService;
use crate::archive::ArchiveError;

/// How long a process that is asked to end is at what it leaves.
const LETTING_GO: Duration = Duration::from_secs(5);

/// Those whose writers were dropped at their work.
#[derive(Debug, Clone, Default)]
pub(super) struct Left(Arc<Mutex<Vec<ArchiveId>>>);

/// An archive that somebody here is at: left where this is dropped before it is done.
#[derive(Debug)]
pub(super) struct AtIt {
    archive_id: ArchiveId,
    left: Left,
    is_done: bool,
}

impl AtIt {
    /// It is closed, or given up, or its writer has said why not.
    pub(super) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for AtIt {
    fn drop(&mut self) {
        if !self.is_done {
            self.left.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.archive_id);
        }
    }
}

impl ArchiveService {
    /// Gives up the archives that this process was at when what it did was dropped, for it is to end: nobody need wait for
    /// them then. It takes no longer than a person waits; what is not done by then is as behind a kill.
    pub async fn let_go_in_time(&self) {
        match timeout(LETTING_GO, self.let_go()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "an archive that was begun is not given up"),
            Err(_) => tracing::warn!("an archive that was begun is not given up: it took too long"),
        }
    }

    /// From now on this process is at that archive.
    pub(super) fn at(&self, archive_id: ArchiveId) -> AtIt {
        AtIt { archive_id, left: self.left.clone(), is_done: false }
    }

    /// What was removed from the database under one of them is in it: the next run of anybody puts the rest of it right.
    async fn let_go(&self) -> Result<(), ArchiveError> {
        let left = mem::take(&mut *self.left.0.lock().unwrap_or_else(PoisonError::into_inner));
        for archive_id in left {
            let archives = self.repositories.archives();
            // Its beginning, or its end, may still have been on its way to the database.
            let found = archives.find_archive(archive_id).await?;
            if found.is_some_and(|archive| archive.state != ArchiveState::Begun) {
                continue;
            }
            // A write that was under way may still end: the database remembers the archive until that is deleted too.
            if archives.give_up_archive(archive_id).await? == Some(ArchiveState::GivenUp) {
                self.empty(archive_id).await?;
            }
        }
        Ok(())
    }
}
