//! What is left of a purged conversation: enough to know it again, nothing to know its user by.

use lcs_domain::UserId;
use lcs_domain::archive::UserHash;

/// A pseudonym for `user_id` in a tombstone.
pub(crate) fn user_hash(user_id: UserId) -> [u8; 32] {
    UserHash::of(user_id).0
}
