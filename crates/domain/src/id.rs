//! Typed ids: an agent's id cannot be passed where a conversation's belongs.
//!
//! Ids that we make are version 7 UUIDs, so that rows made together lie together in an index.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// The namespace in which a user id that is no UUID becomes a version 5 one. Fixed for ever: another
/// value would give every such user a new identity.
const USER_NAMESPACE: Uuid = Uuid::from_u128(0x6c63_7370_6572_7369_7374_656e_6365_0001);

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind} id {text:?} is not a UUID: write it like 018f3a5c-7d1e-7b3a-9c55-0242ac120002")]
pub struct InvalidId {
    kind: &'static str,
    text: String,
}

impl InvalidId {
    fn new(kind: &'static str, text: &str) -> Self {
        // A malformed id may be anything, a whole document too: what is shown of it is bounded.
        Self { kind, text: text.chars().take(64).collect() }
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id that `uuid` stands for.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID behind this id.
            #[must_use]
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }

            /// A new id, version 7: unique, and ordered by the time of its making.
            #[expect(clippy::disallowed_methods, reason = "the one place where ids are made")]
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Reads a UUID in any of its usual forms: with or without dashes, braced, or as a URN.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text.trim()).map(Self).map_err(|_| InvalidId::new($kind, text))
            }
        }
    };
}

id! {
    /// Names a conversation. Made by the server, never by a caller, so that nobody can probe for another's.
    ConversationId, "conversation"
}
id! {
    /// Names a turn, and is its idempotency key: the same id stored twice is one turn.
    TurnId, "turn"
}
id! {
    /// Names an agent: the one that speaks in a conversation.
    AgentId, "agent"
}
id! {
    /// Names a user: the owner of conversations.
    UserId, "user"
}

id! {
    /// Names a request that is being answered: one attempt at it.
    RequestId, "request"
}

id! {
    /// Names an archive: its files are named after it.
    ArchiveId, "archive"
}

id! {
    /// Names a legal hold, and is its key: the same hold placed twice is one.
    HoldId, "hold"
}

id! {
    /// Names an erasure.
    ErasureId, "erasure"
}

impl UserId {
    /// How long the name of a user may be, in bytes.
    pub const MAX_NAME_BYTES: usize = 1024;

    /// Whether somebody may begin under this name, who goes into answers, logs and other services: text that is not
    /// empty, no longer than [`Self::MAX_NAME_BYTES`], and without control characters. Users of other names may be there
    /// all the same: a host or another system may have begun them.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        (1..=Self::MAX_NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
    }

    /// The user that `text` names, whatever its form: a UUID in its usual form (lower case, with dashes)
    /// is taken as it is, any other text (a numeric org id, a JWT subject) becomes a version 5 UUID of our
    /// own namespace, always the same one.
    ///
    /// Two different texts never name one user (P9). So a UUID in an unusual form is a text like any other,
    /// and so is a version 5 one: it could be what another user's text has become.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match Uuid::parse_str(text) {
            Ok(uuid) if uuid.get_version_num() != 5 && uuid.hyphenated().to_string() == text => Self(uuid),
            _ => Self(Uuid::new_v5(&USER_NAMESPACE, text.as_bytes())),
        }
    }
}

impl ConversationId {
    /// The conversation that another system knows by `text`: a version 5 UUID of user and text, so that
    /// nobody can learn from an id whether another user has that conversation (P9).
    #[must_use]
    pub fn from_external_id(user_id: UserId, text: &str) -> Self {
        Self(Uuid::new_v5(user_id.as_uuid(), format!("conversation:{text}").as_bytes()))
    }
}

impl AgentId {
    /// The agent of a conversation that a service begins on a user's behalf: the same for the same
    /// conversation, so that an attempt that is repeated or taken over makes it once.
    #[must_use]
    pub fn of_conversation(conversation_id: ConversationId) -> Self {
        Self(Uuid::new_v5(conversation_id.as_uuid(), b"agent"))
    }
}

impl TurnId {
    /// The turn id that a user's idempotency key stands for: a version 5 UUID of user and key, so that
    /// two users with the same key never meet.
    #[must_use]
    pub fn from_idempotency_key(user_id: UserId, key: &str) -> Self {
        Self(Uuid::new_v5(user_id.as_uuid(), key.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_uuid_forms_name_the_same_conversation() {
        let dashed: ConversationId = "018f3a5c-7d1e-7b3a-9c55-0242ac120002".parse().unwrap();
        for form in [
            "018f3a5c7d1e7b3a9c550242ac120002",
            "{018f3a5c-7d1e-7b3a-9c55-0242ac120002}",
            "urn:uuid:018f3a5c-7d1e-7b3a-9c55-0242ac120002",
            " 018F3A5C-7D1E-7B3A-9C55-0242AC120002 ",
        ] {
            assert_eq!(form.parse::<ConversationId>().unwrap(), dashed, "{form}");
        }
    }

    #[test]
    fn a_malformed_id_says_what_to_write_and_is_cut() {
        let error = "abc".parse::<TurnId>().unwrap_err().to_string();
        assert!(error.starts_with("turn id \"abc\" is not a UUID: write it like"), "{error}");
        let error = "x".repeat(10_000).parse::<TurnId>().unwrap_err().to_string();
        assert!(error.len() < 200, "{}", error.len());
    }

    #[test]
    fn a_textual_user_is_the_same_user_every_time() {
        let lcs_default = UserId::from_text("00000000-0000-0000-0000-000");
        assert_eq!(lcs_default, UserId::from_text("00000000-0000-0000-0000-000"));
        assert_eq!(lcs_default.as_uuid().get_version_num(), 5);
        assert_ne!(lcs_default, UserId::from_text("12345"));
        let uuid = "018f3a5c-7d1e-7b3a-9c55-0242ac120002";
        assert_eq!(UserId::from_text(uuid).to_string(), uuid);
    }

    #[test]
    fn a_name_is_text_that_can_be_shown() {
        let longest = "a".repeat(UserId::MAX_NAME_BYTES);
        for name in ["alice", " ", "00000000-0000-0000-0000-000", "日本", &longest] {
            assert!(UserId::is_name(name), "{name}");
        }
        for other in ["", "a\u{7}b", "a\nb", "a\u{85}", &format!("{longest}a")] {
            assert!(!UserId::is_name(other), "{other:?}");
        }
    }

    #[test]
    fn p9_no_two_texts_name_one_user() {
        let alice = UserId::from_text("alice").to_string();
        let texts = [
            "alice",
            &alice,
            " alice",
            "018f3a5c-7d1e-7b3a-9c55-0242ac120002",
            "018F3A5C-7D1E-7B3A-9C55-0242AC120002",
            "{018f3a5c-7d1e-7b3a-9c55-0242ac120002}",
        ];
        let mut users: Vec<UserId> = texts.iter().map(|text| UserId::from_text(text)).collect();
        users.sort_unstable();
        users.dedup();
        assert_eq!(users.len(), texts.len());
    }

    #[test]
    fn the_users_namespace_never_changes() {
        assert_eq!(UserId::from_text("alice").to_string(), "0216064b-ec6f-57fc-b025-fb656f3d0c50");
    }

    #[test]
    fn made_ids_are_version_7_and_rise() {
        let ids: Vec<TurnId> = (0..100).map(|_| TurnId::generate()).collect();
        assert!(ids.is_sorted());
        assert_eq!(ids[0].as_uuid().get_version_num(), 7);
    }

    #[test]
    fn p9_two_users_with_one_external_id_have_two_conversations() {
        let (a, b) = (UserId::from_text("a"), UserId::from_text("b"));
        assert_ne!(ConversationId::from_external_id(a, "x"), ConversationId::from_external_id(b, "x"));
        assert_eq!(ConversationId::from_external_id(a, "x"), ConversationId::from_external_id(a, "x"));
    }

    #[test]
    fn two_users_with_one_key_have_two_turns() {
        let (a, b) = (UserId::from_text("a"), UserId::from_text("b"));
        assert_ne!(TurnId::from_idempotency_key(a, "k"), TurnId::from_idempotency_key(b, "k"));
        assert_eq!(TurnId::from_idempotency_key(a, "k"), TurnId::from_idempotency_key(a, "k"));
    }
}
