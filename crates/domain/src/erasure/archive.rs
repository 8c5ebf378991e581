//! The archives that held something of what is erased.

use serde::{Deserialize, Serialize};

use crate::ArchiveId;

/// How many conversations of a target are archived in an archive, as the store says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchivedOfTarget {
    /// The archive.
    pub archive_id: ArchiveId,
    /// How many tombstones of the target name it, whatever else they say.
    pub conversations: u64,
}

/// An archive as it was before an erasure had it written anew, or deleted. It says nothing of what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedArchive {
    /// The archive.
    pub archive_id: ArchiveId,
    /// How many conversations of the target were archived in it.
    pub archived: u64,
    /// How many its file held: more where it was about to be written anew already.
    pub held: u64,
    /// The SHA-256 of its file, in hexadecimal digits; `None`: it had no manifest that can be read.
    pub sha256: Option<String>,
}

/// Adds to `noted` what is not noted yet.
pub fn note(noted: &mut Vec<ErasedArchive>, more: Vec<ErasedArchive>) {
    for archive in more {
        if noted.iter().all(|known| known.archive_id != archive.archive_id) {
            noted.push(archive);
        }
    }
}
