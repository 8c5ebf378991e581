//! What cannot be archived: conversations that cannot be read, or are not what may be stored. One of them fails the
//! archive that it was to be in; it is found by halves then, so that it keeps no other in the database.

use lcs_domain::{ArchiveId, ConversationId, RepositoryError};
use serde::Serialize;

use super::ArchiveService;
use crate::archive::ArchiveError;
use crate::archive::volume::Volume;

/// How many of them a run leaves at most: where there are more, it is the database that is damaged.
pub(super) const MOST: usize = 1_000;

/// A conversation that could not be archived, and is kept in the database for that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unarchived {
    /// Which.
    pub conversation_id: ConversationId,
    /// Why not. Nothing of its content is in it.
    pub reason: String,
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// That of something in what was to be archived.
    Conversation,
    /// Either that or the whole database's: where some can be read, it is theirs that cannot.
    Either,
    /// Neither: nothing can be archived.
    Neither,
}

impl Fault {
    const fn of(error: &ArchiveError) -> Self {
        match error {
            ArchiveError::Store(
                RepositoryError::Inconsistent { .. }
                | RepositoryError::Invalid { .. }
                | RepositoryError::TooLarge { .. },
            )
            | ArchiveError::Damaged { .. } => Self::Conversation,
            ArchiveError::Store(RepositoryError::Backend { .. }) => Self::Either,
            ArchiveError::Store(_)
            | ArchiveError::NoPlace
            | ArchiveError::Place { .. }
            | ArchiveError::Missing { .. }
            | ArchiveError::Elsewhere { .. }
            | ArchiveError::Temporary(_) => Self::Neither,
        }
    }
}

impl ArchiveService {
    /// Which of these are to blame that they could not be archived together, by `error`: none where it is nothing of
    /// theirs. `some_can` says whether others could be read before.
    ///
    /// Nothing is written but temporary files of this machine: a place that fails is not looked at.
    ///
    /// # Errors
    /// What else fails meanwhile.
    pub(super) async fn unreadable(
        &self,
        error: &ArchiveError,
        ids: Vec<ConversationId>,
        mut some_can: bool,
    ) -> Result<Vec<Unarchived>, ArchiveError> {
        if Fault::of(error) == Fault::Neither {
            return Ok(Vec::new());
        }
        let (mut parts, mut found, mut doubtful) = (vec![ids], Vec::new(), Vec::new());
        while let Some(ids) = parts.pop() {
            let (error, fault) = match self.draft(&ids).await {
                Ok(behind) => {
                    some_can |= behind.len() < ids.len();
                    parts.extend(Some(behind).filter(|behind| !behind.is_empty()));
                    continue;
                }
                Err(error) => match Fault::of(&error) {
                    Fault::Neither => return Err(error),
                    fault => (error, fault),
                },
            };
            if let [conversation_id] = ids.as_slice() {
                let one = Unarchived { conversation_id: *conversation_id, reason: reason(error) };
                if fault == Fault::Either { doubtful.push(one) } else { found.push(one) }
            } else {
                let (one, other) = ids.split_at(ids.len() / 2);
                parts.extend([other.to_vec(), one.to_vec()]);
            }
        }
        if some_can || !found.is_empty() {
            found.append(&mut doubtful);
        }
        for Unarchived { conversation_id, reason } in &found {
            tracing::error!(%conversation_id, reason, "a conversation cannot be archived, and is kept");
        }
        Ok(found)
    }

    /// Writes these as if they were to be archived, and reads that: those that one file has no room for.
    async fn draft(&self, ids: &[ConversationId]) -> Result<Vec<ConversationId>, ArchiveError> {
        let desk = self.files()?.desk();
        let volume = Volume::write(desk, self.exported(ids.to_vec()), self.clock.now()).await?;
        if !volume.is_full {
            volume.check(desk, ArchiveId::generate()).await?;
            return Ok(Vec::new());
        }
        let written: Vec<_> = volume.conversations.iter().map(|entry| entry.conversation_id).collect();
        volume.check(desk, ArchiveId::generate()).await?;
        Ok(ids.iter().copied().filter(|id| !written.contains(id)).collect())
    }
}

/// Why a conversation cannot be archived. The archive that it would have been in is none that anybody knows.
fn reason(error: ArchiveError) -> String {
    match error {
        ArchiveError::Damaged { reason, .. } => {
            format!("what is written of it cannot be read back: {reason}")
        }
        error => error.to_string(),
    }
}
