//! A request that is being answered: what replicas must know of it, so that a retry does not ask the model
//! again, and anyone can interrupt it.

use std::time::Duration;

use crate::{ConversationId, RepositoryError, RequestId, TurnId};

/// The longest idempotency key, in bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// The longest lease. One that is asked for longer is cut to it.
pub const MAX_LEASE: Duration = Duration::from_hours(24);

/// A SHA-256 over what makes a request that request: the same key with another hash is refused.
pub type RequestHash = [u8; 32];

/// Begins a request, or finds the one that its key names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginRequest {
    /// Names this attempt; what is interrupted. Made by the server.
    pub request_id: RequestId,
    /// The caller's retry key, 1 to [`MAX_IDEMPOTENCY_KEY_BYTES`] bytes without U+0000; `None`: it is never retried.
    pub idempotency_key: Option<String>,
    /// What is asked for.
    pub request_hash: RequestHash,
    /// The conversation that the turn goes to.
    pub conversation_id: ConversationId,
    /// The turn that will answer it.
    pub turn_id: TurnId,
    /// How long it is known to be worked on, unless it is renewed: at most [`MAX_LEASE`], by the store's clock.
    pub lease: Duration,
}

impl BeginRequest {
    /// Refuses a key that no store can keep (P10).
    ///
    /// Every store calls it before anything else.
    pub fn validate(&self) -> Result<(), RepositoryError> {
        const POINTER: &str = "/idempotency_key";
        let Some(key) = &self.idempotency_key else { return Ok(()) };
        if key.is_empty() {
            return Err(RepositoryError::invalid(POINTER, "it is empty: write a key, or send none"));
        }
        if key.len() > MAX_IDEMPOTENCY_KEY_BYTES {
            let reason =
                format!("it is {} bytes long: write a key of at most {MAX_IDEMPOTENCY_KEY_BYTES}", key.len());
            return Err(RepositoryError::invalid(POINTER, reason));
        }
        if key.contains('\0') {
            return Err(RepositoryError::invalid(POINTER, "it contains U+0000: remove that character"));
        }
        Ok(())
    }
}

/// What a begun request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is the caller's to answer now. Where an earlier attempt ended without an answer, the turn and
    /// the conversation are that one's: what it may have stored is found under them.
    Started(RequestTarget),
    /// Another attempt with this key is being answered; its lease ends after this time.
    InProgress {
        /// How long that attempt has been given.
        lease_left: Duration,
    },
    /// An earlier attempt with this key was answered; the answer is the turn.
    Finished(RequestTarget),
}

/// Where a request's answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestTarget {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The turn.
    pub turn_id: TurnId,
}

/// What an interruption came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// Whoever answers the request is told to stop.
    Requested,
    /// It is not being answered any more.
    NotRunning,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_a_key_that_cannot_be_kept_is_refused_with_a_pointer() {
        let with = |key: Option<&str>| BeginRequest {
            request_id: RequestId::generate(),
            idempotency_key: key.map(str::to_owned),
            request_hash: [0; 32],
            conversation_id: ConversationId::generate(),
            turn_id: TurnId::generate(),
            lease: Duration::ZERO,
        };
        for key in [None, Some("k"), Some(&*"k".repeat(MAX_IDEMPOTENCY_KEY_BYTES))] {
            assert!(with(key).validate().is_ok(), "{key:?}");
        }
        for key in ["", "a\0b", &"k".repeat(MAX_IDEMPOTENCY_KEY_BYTES + 1)] {
            let error = with(Some(key)).validate().unwrap_err().to_string();
            assert!(error.starts_with("invalid value at /idempotency_key: it "), "{error}");
            assert!(key.is_empty() || !error.contains(key), "{error}");
        }
    }
}
