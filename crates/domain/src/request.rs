//! A request that is being answered: what replicas must know of it, so that a retry does not ask the model
//! again, and anyone can interrupt it.

use std::time::Duration;

use crate::{ConversationId, RequestId, TurnId};

/// The longest idempotency key, in bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// A SHA-256 over what makes a request that request: the same key with another hash is refused.
pub type RequestHash = [u8; 32];

/// Begins a request, or finds the one that its key names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginRequest {
    /// Names this attempt; what is interrupted.
    pub request_id: RequestId,
    /// The caller's retry key, 1 to [`MAX_IDEMPOTENCY_KEY_BYTES`] bytes without U+0000; `None`: it is never retried.
    pub idempotency_key: Option<String>,
    /// What is asked for.
    pub request_hash: RequestHash,
    /// The conversation that the turn goes to.
    pub conversation_id: ConversationId,
    /// The turn that will answer it.
    pub turn_id: TurnId,
    /// How long it is known to be worked on, unless it is renewed. By the store's clock.
    pub lease: Duration,
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
