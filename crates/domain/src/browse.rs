//! What an operator looks for among the conversations of all users, and what is found.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    AgentState, Conversation, ConversationCursor, ConversationId, ConversationStatus, PageLimit,
    RepositoryError, Text, UserId,
};

/// The conversations whose ids begin with the same digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdBeginning {
    /// The first id that begins so.
    pub first: ConversationId,
    /// The last one.
    pub last: ConversationId,
}

impl IdBeginning {
    /// Whether `id` begins so.
    #[must_use]
    pub fn is_of(&self, id: ConversationId) -> bool {
        (self.first..=self.last).contains(&id)
    }

    /// The id, where all of it was written.
    #[must_use]
    pub fn whole(&self) -> Option<ConversationId> {
        (self.first == self.last).then_some(self.first)
    }
}

impl FromStr for IdBeginning {
    type Err = RepositoryError;

    /// Reads 1 to 32 hexadecimal digits, with or without dashes, or an id in any of its forms.
    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        const DIGITS: usize = 32;
        if let Ok(id) = text.parse::<ConversationId>() {
            return Ok(Self { first: id, last: id });
        }
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        let filled = |with: char| {
            let is_beginning = (1..=DIGITS).contains(&digits.len());
            let filled: String = digits.chars().chain(std::iter::repeat(with)).take(DIGITS).collect();
            Uuid::try_parse(&filled).ok().filter(|_| is_beginning).map(ConversationId::from_uuid)
        };
        match (filled('0'), filled('f')) {
            (Some(first), Some(last)) => Ok(Self { first, last }),
            _ => Err(RepositoryError::invalid(
                "/id",
                "not the beginning of an id: write its first digits, like 018f3a5c",
            )),
        }
    }
}

/// Which conversations to find, of all users and of every status: those that all of it holds of, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FindConversations {
    /// Only those whose ids begin so.
    pub id: Option<IdBeginning>,
    /// Only this user's.
    pub user_id: Option<UserId>,
    /// Only those whose topic has this in it, whatever the case of its letters, as far as the store knows that of
    /// others than ASCII's.
    pub topic: Option<Text>,
    /// Go on behind this one; `None`: begin with the newest.
    pub after: Option<ConversationCursor>,
    /// How many at most.
    pub limit: PageLimit,
}

impl FindConversations {
    /// Refuses a topic that is longer than a topic can be.
    ///
    /// Every store calls it before anything else.
    pub fn validate(&self) -> Result<(), RepositoryError> {
        self.topic.as_ref().map_or(Ok(()), |topic| topic.require_summary("/topic"))
    }

    /// Whether a conversation with this topic is one of those looked for, as far as that goes.
    #[must_use]
    pub fn finds_topic(&self, topic: Option<&str>) -> bool {
        let Some(part) = &self.topic else { return true };
        topic.is_some_and(|topic| topic.to_lowercase().contains(&part.to_lowercase()))
    }
}

/// A conversation that was found, with what a list shows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundConversation {
    /// Its id.
    pub conversation_id: ConversationId,
    /// Whose it is.
    pub user_id: UserId,
    /// What it is about, in a line.
    pub topic_summary: Option<Text>,
    /// Whether it takes turns, or is deleted.
    pub status: ConversationStatus,
    /// How many turns it has.
    pub turn_count: u32,
    /// When it was made, by the store's clock.
    pub created_at: DateTime<Utc>,
    /// When it was last changed, by the store's clock: what they are ordered by, and then by id.
    pub updated_at: DateTime<Utc>,
}

/// A page of what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundConversations {
    /// The conversations.
    pub conversations: Vec<FoundConversation>,
    /// Where the next page goes on; `None`: this was the last.
    pub next: Option<ConversationCursor>,
}

impl FoundConversations {
    /// The page of at most `limit` from `conversations`, of which a store reads one more than it shows.
    #[must_use]
    pub fn cut(mut conversations: Vec<FoundConversation>, limit: PageLimit) -> Self {
        let limit = limit.get() as usize;
        let more = conversations.len() > limit;
        conversations.truncate(limit);
        let next = conversations.last().filter(|_| more).map(|last| ConversationCursor {
            updated_at: last.updated_at,
            conversation_id: last.conversation_id,
        });
        Self { conversations, next }
    }
}

/// A conversation as an operator sees it, whatever its status, with its agent's state: of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenedConversation {
    /// The conversation.
    pub conversation: Conversation,
    /// Its agent's state, where one is stored.
    pub agent_state: Option<AgentState>,
}

/// What is left of a conversation whose rows were removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remains {
    /// Its id.
    pub conversation_id: ConversationId,
    /// Why they were removed: a [`PurgeReason`](crate::PurgeReason), or a word that a newer program wrote.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_by_its_beginning_in_any_form() {
        let id: ConversationId = "018f3a5c-7d1e-7b3a-9c55-0242ac120002".parse().unwrap();
        for text in [
            "0",
            "018f3a5c",
            " 018F3A5C-7d ",
            "018f3a5c-7d1e-7b3a-9c55-0242ac12000",
            &id.to_string(),
            "{018f3a5c-7d1e-7b3a-9c55-0242ac120002}",
        ] {
            assert!(text.parse::<IdBeginning>().unwrap().is_of(id), "{text}");
        }
        assert!(!"018f3a5d".parse::<IdBeginning>().unwrap().is_of(id));
        assert_eq!("018f3a5c".parse::<IdBeginning>().unwrap().whole(), None);
        assert_eq!(id.to_string().parse::<IdBeginning>().unwrap().whole(), Some(id));
        for text in ["", "-", "x", "018g", "018f3a5c7d1e7b3a9c550242ac1200021", "0é"] {
            let error = text.parse::<IdBeginning>().unwrap_err().to_string();
            assert!(error.contains("write its first digits"), "{text}: {error}");
        }
    }

    #[test]
    fn a_topic_is_found_by_a_part_whatever_its_case() {
        let topic = |part: &str| FindConversations {
            topic: Some(Text::summary(part, "/topic").unwrap()),
            ..FindConversations::default()
        };
        assert!(topic("PODS").finds_topic(Some("Why do pods restart?")));
        assert!(!topic("p_ds").finds_topic(Some("Why do pods restart?")));
        assert!(!topic("").finds_topic(None) && FindConversations::default().finds_topic(None));
    }
}
