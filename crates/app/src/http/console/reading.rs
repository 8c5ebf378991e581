//! Who has read what: recorded in the audit log before anything is shown.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AuditAction, ConversationId, NewAuditEvent, UserId};
use tokio::time::Instant;

use super::super::service::Service;
use super::visitor::Visitor;

/// How long somebody who turns its pages still reads the same conversation.
const WINDOW: Duration = Duration::from_mins(15);
/// How many are known at most.
const MOST: usize = 1_000;

/// Who reads what: the key that he is known by, the name beside it, and the conversation.
type Reading = ([u8; 32], String, ConversationId);

/// What was opened lately, and by whom.
#[derive(Debug, Default)]
pub(in crate::http) struct Readings(Mutex<HashMap<Reading, Instant>>);

impl Readings {
    fn is_recorded(&self, reading: &Reading) -> bool {
        let readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readings.get(reading).is_some_and(|at| at.elapsed() < WINDOW)
    }

    fn note(&self, reading: Reading) {
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readings.retain(|_, at| at.elapsed() < WINDOW);
        if readings.len() >= MOST {
            // Who is forgotten is recorded once more.
            readings.clear();
        }
        readings.insert(reading, Instant::now());
    }
}

impl Service {
    /// Records that the visitor reads this conversation of this user's, unless that is recorded already. Where it cannot
    /// be, nothing is to be shown.
    pub(super) async fn reads(
        &self,
        visitor: &Visitor,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<()> {
        let reading = (visitor.key, visitor.actor.as_str().to_owned(), conversation_id);
        if self.readings().is_recorded(&reading) {
            return Ok(());
        }
        let event = NewAuditEvent {
            on_behalf_of: Some(user_id),
            conversation_id: Some(conversation_id),
            ..NewAuditEvent::done(visitor.actor.clone(), AuditAction::ConversationRead)
        };
        self.repositories().audit().record(event).await?;
        self.readings().note(reading);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(key: u8, name: &str, id: ConversationId) -> Reading {
        ([key; 32], name.to_owned(), id)
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_on_reading_is_recorded_once_and_who_comes_back_again() {
        let (readings, id) = (Readings::default(), ConversationId::generate());
        assert!(!readings.is_recorded(&reading(1, "a", id)));
        readings.note(reading(1, "a", id));
        assert!(readings.is_recorded(&reading(1, "a", id)));
        assert!(!readings.is_recorded(&reading(2, "a", id)));
        assert!(
            !readings.is_recorded(&reading(1, "b", id))
                && !readings.is_recorded(&reading(1, "a", ConversationId::generate()))
        );
        tokio::time::advance(WINDOW).await;
        assert!(!readings.is_recorded(&reading(1, "a", id)));
        for _ in 0..3 * MOST {
            readings.note(reading(1, "a", ConversationId::generate()));
        }
        assert!(readings.0.lock().unwrap().len() <= MOST);
    }
}
