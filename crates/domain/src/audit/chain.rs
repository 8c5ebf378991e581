//! The chain over the rows of the audit log, and how it is read to its end.

use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;

use super::{AuditHash, AuditQuery, AuditRecord};
use crate::PageLimit;
use crate::repository::{AuditRepository, RepositoryResult};

/// What every row's bytes begin with: another form would begin with another.
const FORM: &str = "lcs-audit-1";

/// The end of the chain: the last row's place and hash, kept beside the rows. Zeros where there is none yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AuditHead {
    /// The last row's place, which is how many there are.
    pub sequence: u64,
    /// Its hash.
    pub hash: AuditHash,
}

/// How a chain is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditBreak {
    /// The row that belongs here is not there.
    Missing,
    /// The row does not follow from the one before it: that one was changed, or this one put in.
    Unlinked,
    /// The row is not what its hash was made from.
    Changed,
    /// The row is not the one that was the last: it, or what is kept beside the rows, was changed.
    OtherEnd,
}

impl fmt::Display for AuditBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it is missing",
            Self::Unlinked => "it does not follow from the one before it",
            Self::Changed => "it was changed",
            Self::OtherEnd => "it is not the one that was recorded last",
        })
    }
}

/// What reading the chain came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditVerification {
    /// Every row follows from the one before it, up to this end.
    Intact(AuditHead),
    /// The row at this place is the first that does not.
    Broken {
        /// Its place.
        sequence: u64,
        /// What is wrong with it.
        reason: AuditBreak,
    },
}

impl AuditRecord {
    /// The hash that this row has where nobody has changed it: see the [module](super) for the bytes.
    #[must_use]
    pub fn computed_hash(&self) -> AuditHash {
        let mut hash = Sha256::new();
        let mut field = |bytes: Option<&[u8]>| {
            // A row of two gigabytes cannot be stored.
            let length = bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
            hash.update(length.to_be_bytes());
            hash.update(bytes.unwrap_or_default());
        };
        field(Some(FORM.as_bytes()));
        field(Some(&self.previous_hash.0));
        field(Some(&self.sequence.to_be_bytes()));
        field(Some(&self.at.timestamp_micros().to_be_bytes()));
        field(Some(self.actor.as_bytes()));
        field(self.on_behalf_of.as_ref().map(|id| id.as_uuid().as_bytes().as_slice()));
        field(Some(self.action.as_bytes()));
        field(self.conversation_id.as_ref().map(|id| id.as_uuid().as_bytes().as_slice()));
        field(Some(self.outcome.as_bytes()));
        field(Some(self.detail.as_json().as_bytes()));
        AuditHash(hash.finalize().into())
    }
}

impl AuditHead {
    /// Goes on to `record`, or says why it is not the next one.
    fn follow(&mut self, record: &AuditRecord) -> Result<(), AuditBreak> {
        if record.sequence != self.sequence + 1 {
            return Err(AuditBreak::Missing);
        }
        if record.previous_hash != self.hash {
            return Err(AuditBreak::Unlinked);
        }
        if record.computed_hash() != record.hash {
            return Err(AuditBreak::Changed);
        }
        *self = Self { sequence: record.sequence, hash: record.hash };
        Ok(())
    }
}

/// Reads the chain from its beginning to the end that it has now, page by page, and computes every hash anew.
///
/// # Errors
/// What the store answers where it cannot be read.
pub async fn verify(audit: &(impl AuditRepository + ?Sized)) -> RepositoryResult<AuditVerification> {
    let end = audit.chain_head().await?;
    let mut head = AuditHead::default();
    while head.sequence < end.sequence {
        let page = AuditQuery { after: Some(head.sequence), limit: PageLimit::MAX, ..AuditQuery::default() };
        let records = audit.records(page).await?;
        let expected = head.sequence + 1;
        if records.is_empty() {
            return Ok(AuditVerification::Broken { sequence: expected, reason: AuditBreak::Missing });
        }
        // What was recorded meanwhile is not looked at.
        for record in records.iter().take_while(|record| record.sequence <= end.sequence) {
            let sequence = head.sequence + 1;
            if let Err(reason) = head.follow(record) {
                return Ok(AuditVerification::Broken { sequence, reason });
            }
        }
        if head.sequence < expected {
            return Ok(AuditVerification::Broken { sequence: expected, reason: AuditBreak::Missing });
        }
    }
    if head != end {
        return Ok(AuditVerification::Broken { sequence: end.sequence, reason: AuditBreak::OtherEnd });
    }
    Ok(AuditVerification::Intact(head))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::{Actor, AuditAction, AuditDetail, NewAuditEvent};
    use super::*;
    use crate::{ConversationId, UserId};

    fn event() -> NewAuditEvent {
        NewAuditEvent {
            on_behalf_of: Some(UserId::from_text("ada")),
            detail: AuditDetail::default().count("turns", 3),
            ..NewAuditEvent::done(Actor::operator("root"), AuditAction::Export)
        }
    }

    /// The form is a promise: who has kept a hash can check it with a later version.
    #[test]
    fn the_bytes_of_a_row_are_fixed() {
        let first = event().chained(AuditHead::default(), DateTime::UNIX_EPOCH);
        assert_eq!(
            first.hash.to_string(),
            "9cf04128e383990d385f58ff8f36ea66376d7a0198dd42355cd5cc5867248830",
            "the SHA-256 of the fields as the module's documentation lists them"
        );
    }

    #[test]
    fn every_field_counts() {
        let record = event().chained(AuditHead::default(), DateTime::UNIX_EPOCH);
        let changes: [fn(&mut AuditRecord); 9] = [
            |record| record.sequence += 1,
            |record| record.at += std::time::Duration::from_micros(1),
            |record| record.actor.push('x'),
            |record| record.on_behalf_of = None,
            |record| record.action.push('x'),
            |record| record.conversation_id = Some(ConversationId::generate()),
            |record| record.outcome.push('x'),
            |record| record.detail = AuditDetail::default(),
            |record| record.previous_hash.0[31] = 1,
        ];
        for (place, change) in changes.into_iter().enumerate() {
            let mut other = record.clone();
            change(&mut other);
            assert_ne!(other.computed_hash(), record.hash, "{place}");
        }
    }
}
