//! The rows that the workloads run on, and their ids: the same for every implementation.
//!
//! Conversations are numbered from 1. The first of them are *hot*: they have 10 turns and an agent's state, and
//! take the appends. The next are *history*: 50 turns, to be read. All others have no turn.

mod memory;
mod postgres;
mod sqlite;

use std::env;

use lcs_domain::{AgentId, ConversationId, UserId};
use md5::{Digest, Md5};
use uuid::Uuid;

use crate::Result;

pub use self::memory::{grow as grow_memory, load as load_memory};
pub use self::postgres::{grow as grow_postgres, load as load_postgres, payload_rows};
pub use self::sqlite::{grow as grow_sqlite, load as load_sqlite};

/// How many turns a hot conversation has.
pub const HOT_TURNS: u64 = 10;
/// How many turns a history conversation has.
pub const HISTORY_TURNS: u64 = 50;
/// The conversation that is grown to n turns has this number, and n more. It is the first user's.
pub const GROWN: u64 = 1_000_000;
/// What every conversation was begun with.
pub const MODEL: &str = "gpt-4o-mini";
/// The system prompt that every conversation was begun with.
pub const SYSTEM_PROMPT: &str = "You are a helpful assistant.";

/// How many rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Users.
    pub users: u64,
    /// Conversations of each user.
    pub conversations_per_user: u64,
    /// Hot conversations.
    pub hot: u64,
    /// History conversations.
    pub history: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { users: 10_000, conversations_per_user: 20, hot: 2_000, history: 200 }
    }
}

impl Sizes {
    /// Enough to see that everything works.
    pub const QUICK: Self = Self { users: 500, conversations_per_user: 20, hot: 640, history: 32 };

    /// The sizes that the environment names (`BENCH_USERS`, `BENCH_CONV_PER_USER`, `BENCH_HOT`, `BENCH_HIST`).
    ///
    /// # Errors
    /// A sentence, where one is no number.
    pub fn from_environment() -> Result<Self> {
        let default = Self::default();
        Ok(Self {
            users: number("BENCH_USERS", default.users)?,
            conversations_per_user: number("BENCH_CONV_PER_USER", default.conversations_per_user)?,
            hot: number("BENCH_HOT", default.hot)?,
            history: number("BENCH_HIST", default.history)?,
        })
    }

    /// All conversations.
    #[must_use]
    pub const fn conversations(&self) -> u64 {
        self.users * self.conversations_per_user
    }

    /// How many turns a conversation has before anything is measured.
    #[must_use]
    pub const fn turns(&self, conversation: u64) -> u64 {
        if conversation <= self.hot {
            HOT_TURNS
        } else if conversation <= self.hot + self.history {
            HISTORY_TURNS
        } else {
            0
        }
    }

    /// The user whose conversation this is.
    #[must_use]
    pub fn owner(&self, conversation: u64) -> UserId {
        let place = conversation.saturating_sub(1).checked_div(self.conversations_per_user);
        user_id(if conversation > GROWN { 1 } else { place.unwrap_or_default() + 1 })
    }
}

fn number(name: &str, default: u64) -> Result<u64> {
    match env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} is {text:?}: write a number").into()),
        Err(_) => Ok(default),
    }
}

/// The conversation of this number.
#[must_use]
pub fn conversation_id(number: u64) -> ConversationId {
    ConversationId::from_uuid(uuid("conv", number))
}

/// The agent of the conversation of this number.
#[must_use]
pub fn agent_id(number: u64) -> AgentId {
    AgentId::from_uuid(uuid("agent", number))
}

/// The user of this number.
#[must_use]
pub fn user_id(number: u64) -> UserId {
    UserId::from_uuid(uuid("user", number))
}

fn uuid(kind: &str, number: u64) -> Uuid {
    Uuid::from_bytes(Md5::digest(format!("{kind}-{number}")).into())
}

/// How many seconds ago a conversation was last changed: scattered over a hundred days.
const fn idle_seconds(conversation: u64) -> u64 {
    conversation * 7_919 % 8_640_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_other_languages() {
        assert_eq!(conversation_id(1).to_string(), "a2e653d5-609c-7b02-4ae5-3c8fc81bf016");
        assert_eq!(agent_id(2_000).to_string(), "16bf93ec-7f95-10f8-5882-1347ca6098f9");
        assert_eq!(user_id(3).to_string(), "134ad24e-9980-6ca1-1119-7065657dbf5e");
    }

    #[test]
    fn each_user_has_as_many_conversations() {
        let sizes = Sizes::default();
        assert_eq!(sizes.owner(1), user_id(1));
        assert_eq!(sizes.owner(20), user_id(1));
        assert_eq!(sizes.owner(21), user_id(2));
        assert_eq!(sizes.owner(sizes.conversations()), user_id(10_000));
        assert_eq!(sizes.owner(GROWN + 10), user_id(1));
    }
}
