//! What is left of a purged conversation: enough to know it again, nothing to know its user by.

use lcs_domain::UserId;
use sha2::{Digest, Sha256};

/// A pseudonym for `user_id` in a tombstone.
pub(crate) fn user_hash(user_id: UserId) -> [u8; 32] {
    Sha256::digest(user_id.as_uuid().as_bytes()).into()
}
