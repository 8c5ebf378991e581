//! What shows that something is erased: counts, hashes, times. It names nobody who was erased, and nothing that was said;
//! it does name the place of the archives, and who has stated that one is lost.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lcs_domain::audit::{AuditHash, AuditHead};
use lcs_domain::erasure::{ErasedArchive, ErasedRows};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{ArchiveId, ConversationId, Entity, Erasure, ErasureId, RepositoryError};
use lcs_storage::sqlite::JournalMatches;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Remaining, RewrittenArchive, UnreadOperation, sha256, unwritable};
use crate::archive_service::UnreadArchive;

/// What every certificate of this form says of itself.
pub(super) const FORMAT: &str = "lcs-erasure-1";

/// What an erasure did. Its hash stands in the audit log.
#[derive(Debug, Serialize)]
pub struct Certificate {
    /// The form of this document.
    pub format: &'static str,
    /// The erasure.
    pub erasure_id: ErasureId,
    /// What was erased, by a name that is nobody's.
    pub target: Target,
    /// When it was begun, by the store's clock.
    pub begun_at: DateTime<Utc>,
    /// When its last step was, by the store's clock.
    pub erased_at: DateTime<Utc>,
    /// How many rows were removed.
    pub erased: ErasedRows,
    /// The hash over what was removed; see [`ContentDigest`](lcs_domain::erasure::ContentDigest).
    pub content_sha256: AuditHash,
    /// What was removed from the journals of the machine, by the run that ended the erasure.
    pub journals: JournalRows,
    /// Conversations that were taken out of archives.
    pub archived_conversations: u64,
    /// The archives that held something of it, and what became of them.
    pub archives: Vec<RewrittenArchive>,
    /// The keys that were destroyed. Nothing is encrypted by this version: none.
    pub key_ids: Vec<String>,
    /// What the look behind it found.
    pub verification: Verification,
    /// The erasures of the same target that had ended before.
    pub earlier: Vec<Earlier>,
    /// The program.
    pub software: &'static str,
    /// The newest migration of the database; null where the store has none.
    pub schema: Option<String>,
}

/// What was erased, by a name that is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Target {
    /// `user` or `conversation`.
    pub kind: &'static str,
    /// The SHA-256 of the user's id; null where nobody knows whose the conversation was.
    pub user_hash: Option<AuditHash>,
    /// The conversation, where it is one.
    pub conversation_id: Option<ConversationId>,
}

impl Target {
    pub(super) fn of(erasure: &Erasure) -> Self {
        let Erasure { user_hash, conversation_id, .. } = *erasure;
        Self {
            kind: if conversation_id.is_some() { "conversation" } else { "user" },
            user_hash,
            conversation_id,
        }
    }
}

/// Operations in journals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct JournalRows {
    /// Those that had not reached the database.
    pub entries: u64,
    /// Those that the database had refused.
    pub conflicts: u64,
}

impl JournalRows {
    pub(super) fn add(&mut self, matches: &JournalMatches) {
        self.entries += matches.entries.len() as u64;
        self.conflicts += matches.conflicts.len() as u64;
    }
}

/// What the look behind an erasure found: nothing, else there is no certificate.
#[derive(Debug, Serialize)]
pub struct Verification {
    /// When, by the program's clock.
    pub at: DateTime<Utc>,
    /// Rows that name the target, by table.
    pub tables: BTreeMap<String, u64>,
    /// Operations in the journals of the machine.
    pub journals: JournalRows,
    /// Operations there that cannot be read.
    pub unread: Vec<UnreadOperation>,
    /// Archives that hold something of it.
    pub archives: Vec<ErasedArchive>,
    /// Archives that are to be written anew for somebody else's sake, and cannot be read: by what the database says, they
    /// hold nothing of it.
    pub unread_archives: Vec<ArchiveId>,
    /// Whether the place was seen to be the right one: by an archive that the database says is complete, or by the id that
    /// was noted with those that are gone; null: no archive is noted.
    pub place_confirmed: Option<bool>,
}

impl Verification {
    pub(super) fn of(
        at: DateTime<Utc>,
        found: Remaining,
        unread: &[UnreadArchive],
        place_confirmed: Option<bool>,
    ) -> Self {
        let unread_archives = unread.iter().map(|unread| unread.archive_id).collect();
        let tables = found.tables.into_iter().map(|table| (table.table, table.rows)).collect();
        let Remaining { journals, unread, archives, .. } = found;
        Self { at, tables, journals, unread, archives, unread_archives, place_confirmed }
    }
}

/// An erasure that had ended before.
#[derive(Debug, Serialize)]
pub struct Earlier {
    erasure_id: ErasureId,
    erased_at: DateTime<Utc>,
    conversations: u64,
    certificate_sha256: AuditHash,
}

impl Earlier {
    pub(super) fn of(erasure: &Erasure) -> Option<Self> {
        Some(Self {
            erasure_id: erasure.erasure_id,
            erased_at: erasure.erased_at,
            conversations: erasure.removed.conversations,
            certificate_sha256: sha256(erasure.certificate.as_deref()?),
        })
    }
}

/// A certificate as it is handed out, with its hash and the audit log's row that has it.
#[derive(Debug, Serialize)]
pub struct CertifiedErasure {
    /// The certificate, to the byte as it is hashed.
    pub certificate: Box<RawValue>,
    /// The SHA-256 of its text.
    pub sha256: AuditHash,
    /// The row of the audit log that says that it ended.
    pub audit: Option<AuditHead>,
    /// Earlier certificates of the same target that removed something, as they were handed out: none is lost with its
    /// file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<CertifiedErasure>,
    /// What it removed.
    #[serde(skip)]
    pub removed: ErasedRows,
    /// How many conversations it took out of archives.
    #[serde(skip)]
    pub archived: u64,
    /// The erasure.
    #[serde(skip)]
    pub erasure_id: ErasureId,
    /// Archives of others that could not be read, where this run found some.
    #[serde(skip)]
    pub unread_archives: Vec<UnreadArchive>,
}

impl CertifiedErasure {
    pub(super) fn of(erasure: &Erasure, earlier: &[Erasure]) -> RepositoryResult<Self> {
        let Some(text) = erasure.certificate.clone() else {
            return Err(RepositoryError::not_found(Entity::Erasure));
        };
        let with_rows = earlier.iter().filter(|earlier| !earlier.removed.is_empty());
        Ok(Self {
            sha256: sha256(&text),
            certificate: RawValue::from_string(text).map_err(unwritable)?,
            audit: erasure.recorded,
            earlier: with_rows.map(|earlier| Self::of(earlier, &[])).collect::<Result<_, _>>()?,
            removed: erasure.removed,
            archived: erasure.archives.iter().map(|archive| archive.archived).sum(),
            erasure_id: erasure.erasure_id,
            unread_archives: Vec::new(),
        })
    }
}
