//! Keyset pages: a page goes on from where the last one ended, whatever was inserted meanwhile.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use crate::{Conversation, ConversationId, ConversationStatus, Durability, RepositoryError, Turn, clock};

/// How many items a page has at most: 1 to [`PageLimit::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit(u32);

impl PageLimit {
    /// The largest page.
    pub const MAX: Self = Self(200);

    /// A page of at most `limit` items.
    pub fn new(limit: u32) -> Result<Self, RepositoryError> {
        if (1..=Self::MAX.0).contains(&limit) {
            Ok(Self(limit))
        } else {
            let reason = format!("{limit} is no page size: write a number from 1 to {}", Self::MAX.0);
            Err(RepositoryError::invalid("/limit", reason))
        }
    }

    /// The number of items.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for PageLimit {
    /// 50 items.
    fn default() -> Self {
        Self(50)
    }
}

/// Which of a user's conversations to list, newest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListConversations {
    /// Go on behind this one; `None`: begin with the newest.
    pub after: Option<ConversationCursor>,
    /// How many at most.
    pub limit: PageLimit,
    /// Only those of this status; `None`: all but the deleted, which are never listed.
    pub status: Option<ConversationStatus>,
}

/// A place in the list of a user's conversations: behind the one with this time and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversationCursor {
    /// When the conversation was last changed.
    pub updated_at: DateTime<Utc>,
    /// Its id, to tell conversations of the same microsecond apart.
    pub conversation_id: ConversationId,
}

impl ConversationCursor {
    /// The place behind `conversation`.
    #[must_use]
    pub const fn behind(conversation: &Conversation) -> Self {
        Self { updated_at: conversation.updated_at, conversation_id: conversation.conversation_id }
    }
}

impl fmt::Display for ConversationCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.updated_at.timestamp_micros(), self.conversation_id.as_uuid().simple())
    }
}

impl FromStr for ConversationCursor {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        let place = || {
            let (micros, id) = text.split_once('_')?;
            Some(Self {
                updated_at: clock::storable(DateTime::from_timestamp_micros(micros.parse().ok()?)?, "")
                    .ok()?,
                conversation_id: id.parse().ok()?,
            })
        };
        place().ok_or_else(|| {
            RepositoryError::invalid(
                "/cursor",
                "not a cursor of ours: send one from `next` of the page before",
            )
        })
    }
}

impl Serialize for ConversationCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A page of a user's conversations, newest first: by `updated_at` falling, then by id rising.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConversationPage {
    /// The conversations.
    pub conversations: Vec<Conversation>,
    /// Where the next page goes on; `None`: this was the last.
    pub next: Option<ConversationCursor>,
    /// How durable what this answer speaks of is.
    pub durability: Durability,
}

impl ConversationPage {
    /// The page of at most `limit` from `conversations`, of which a store reads one more than it shows.
    #[must_use]
    pub fn cut(mut conversations: Vec<Conversation>, limit: PageLimit, durability: Durability) -> Self {
        let limit = limit.get() as usize;
        let more = conversations.len() > limit;
        conversations.truncate(limit);
        let next = conversations.last().filter(|_| more).map(ConversationCursor::behind);
        Self { conversations, next, durability }
    }
}

/// Which turns of a conversation to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnRange {
    /// The first turns with a number above this one; `After(0)` begins with the first.
    After(u32),
    /// The last turns with a number below this one.
    Before(u32),
    /// The last turns of all.
    Newest,
}

/// A page of a conversation's turns, read with its head in one snapshot. Always in the order of turn
/// numbers, rising.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TurnPage {
    /// The turns.
    pub turns: Vec<Turn>,
    /// How many turns the conversation has.
    pub turn_count: u32,
    /// How durable what this answer speaks of is.
    pub durability: Durability,
}

impl TurnPage {
    /// Whether there are turns behind the last of this page.
    #[must_use]
    pub fn has_later(&self) -> bool {
        self.turns.last().is_some_and(|turn| turn.turn_number < self.turn_count)
    }

    /// Whether there are turns before the first of this page.
    #[must_use]
    pub fn has_earlier(&self) -> bool {
        self.turns.first().is_some_and(|turn| turn.turn_number > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let cursor = ConversationCursor {
            updated_at: DateTime::from_timestamp_micros(1_795_333_153_126_200).unwrap(),
            conversation_id: ConversationId::generate(),
        };
        assert_eq!(cursor.to_string().parse::<ConversationCursor>().unwrap(), cursor);
    }

    #[test]
    fn p10_a_foreign_cursor_is_refused() {
        for text in [
            "",
            "_",
            "1_",
            "x_018f3a5c7d1e7b3a9c550242ac120002",
            "99999999999999999999_018f3a5c7d1e7b3a9c550242ac120002",
            "-8334601228800000000_018f3a5c7d1e7b3a9c550242ac120002",
        ] {
            let error = text.parse::<ConversationCursor>().unwrap_err();
            assert!(
                error.to_string().starts_with("invalid value at /cursor: not a cursor of ours"),
                "{text}"
            );
        }
    }

    #[test]
    fn p10_a_page_has_1_to_200_items() {
        assert!(PageLimit::new(1).is_ok() && PageLimit::new(200).is_ok());
        for limit in [0, 201] {
            assert!(matches!(PageLimit::new(limit), Err(RepositoryError::Invalid { .. })));
        }
    }
}
