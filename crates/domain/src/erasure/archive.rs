//! The archives that held something of what is erased.

use chrono::{DateTime, Utc};
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
    /// The address of the place where it was seen the last time; `None`: it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What that place is known by, whatever address it has; `None`: nobody has asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place_id: Option<String>,
    /// By whom its files are stated to be lost; `None`: they were there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostArchive>,
}

/// The statement that an archive's files are lost for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostArchive {
    /// Who states it.
    pub stated_by: String,
    /// When.
    pub stated_at: DateTime<Utc>,
}

/// Adds to `noted` what is not noted yet. Of what is, it is as it was first; where it was seen the last time, and that it
/// is stated to be lost, is added.
pub fn note(noted: &mut Vec<ErasedArchive>, more: Vec<ErasedArchive>) {
    for archive in more {
        let known = noted.iter_mut().find(|known| known.archive_id == archive.archive_id);
        let Some(known) = known else {
            noted.push(archive);
            continue;
        };
        if archive.place.is_some() {
            (known.place, known.place_id) = (archive.place, archive.place_id);
        }
        known.lost = known.lost.take().or(archive.lost);
    }
}
