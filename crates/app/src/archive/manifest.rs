//! What an archive says of itself: which conversations are in its file, and what that file's bytes are known by.

use chrono::{DateTime, Utc};
use lcs_domain::archive::{ArchiveContent, ArchivedHead, UserHash};
use lcs_domain::audit::AuditHash;
use lcs_domain::{ArchiveId, Conversation, ConversationId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// The name of this format.
const FORMAT: &str = "lcs-persistence-archive";
/// Its version; later ones are not read.
const VERSION: u32 = 1;

/// The manifest of an archive. No user's id is in it, and nothing that was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    version: u32,
    /// The archive.
    pub archive_id: ArchiveId,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// The archive in whose place it is, where it is in one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<ArchiveId>,
    /// The bytes of its file.
    pub bytes: u64,
    /// The file's SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// How many turns are in it.
    pub turns: u64,
    /// The conversations in it, in the order of their ids.
    pub conversations: Vec<Entry>,
}

/// A conversation in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Whose it is, by the pseudonym that its tombstone has too.
    pub user_hash: String,
    /// How many turns it has.
    pub turn_count: u32,
    /// The last revision of its agent's state.
    pub state_revision: u64,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Entry {
    /// What `conversation` is in a manifest.
    #[must_use]
    pub fn of(conversation: &Conversation) -> Self {
        Self {
            conversation_id: conversation.conversation_id,
            user_hash: UserHash::of(conversation.user_id).to_string(),
            turn_count: conversation.turn_count,
            state_revision: conversation.state_revision,
            updated_at: conversation.updated_at,
        }
    }

    /// What the database compares it by.
    #[must_use]
    pub const fn head(&self) -> ArchivedHead {
        ArchivedHead {
            conversation_id: self.conversation_id,
            turn_count: self.turn_count,
            state_revision: self.state_revision,
            updated_at: self.updated_at,
        }
    }
}

/// A manifest as it is written: with what its own bytes are known by.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<M> {
    sha256: String,
    manifest: M,
}

impl Manifest {
    /// The manifest of an archive that is written now.
    #[must_use]
    pub fn new(archive_id: ArchiveId, created_at: DateTime<Utc>, replaces: Option<ArchiveId>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            archive_id,
            created_at,
            replaces,
            bytes: 0,
            sha256: String::new(),
            turns: 0,
            conversations: Vec::new(),
        }
    }

    /// How much is in the archive.
    #[must_use]
    pub const fn content(&self) -> ArchiveContent {
        ArchiveContent {
            conversations: self.conversations.len() as u64,
            turns: self.turns,
            bytes: self.bytes,
        }
    }

    /// The manifest as a file.
    pub(super) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let manifest = RawValue::from_string(serde_json::to_string(self)?)?;
        let sha256 = hex(manifest.get().as_bytes());
        let mut bytes = serde_json::to_vec(&Sealed { sha256, manifest })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The manifest of this archive that a file holds.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(archive_id: ArchiveId, bytes: &[u8]) -> Result<Self, &'static str> {
        const NONE: &str = "its manifest is none that this program knows";
        let sealed: Sealed<Box<RawValue>> = serde_json::from_slice(bytes).map_err(|_| NONE)?;
        if hex(sealed.manifest.get().as_bytes()) != sealed.sha256 {
            return Err("its manifest was changed after it was written");
        }
        let manifest: Self = serde_json::from_str(sealed.manifest.get()).map_err(|_| NONE)?;
        if manifest.format != FORMAT || manifest.version != VERSION {
            return Err(NONE);
        }
        if manifest.archive_id != archive_id {
            return Err("its manifest is another archive's");
        }
        Ok(manifest)
    }
}

/// The SHA-256 of `bytes`, in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    AuditHash(Sha256::digest(bytes).into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lcs_domain::UserId;

    fn manifest() -> Manifest {
        let entry = Entry {
            conversation_id: ConversationId::generate(),
            user_hash: UserHash::of(UserId::generate()).to_string(),
            turn_count: 2,
            state_revision: 1,
            updated_at: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
        };
        let new = Manifest::new(ArchiveId::generate(), DateTime::UNIX_EPOCH, Some(ArchiveId::generate()));
        Manifest { conversations: vec![entry], turns: 2, bytes: 7, sha256: hex(b"x"), ..new }
    }

    #[test]
    fn a_manifest_is_read_back_and_every_flipped_bit_is_found() {
        let manifest = manifest();
        let bytes = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::read(manifest.archive_id, &bytes).unwrap(), manifest);
        assert!(Manifest::read(ArchiveId::generate(), &bytes).is_err());
        for (place, bit) in (0..bytes.len() - 1).flat_map(|place| [(place, 0), (place, 3)]) {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            assert!(Manifest::read(manifest.archive_id, &flipped).is_err(), "byte {place}, bit {bit}");
        }
        for end in 0..bytes.len() - 1 {
            assert!(Manifest::read(manifest.archive_id, &bytes[..end]).is_err(), "cut off at {end}");
        }
    }
}
