//! Legal holds in memory.

use std::ops::Bound;

use async_trait::async_trait;
use lcs_domain::audit::AuditHash;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, AuditAction, Entity, Hold, HoldId, HoldRepository, HoldTarget, NewHold, PageLimit, RepositoryError,
};

use super::{Memory, Tables};
use crate::audit::hold_event;

impl Tables {
    /// The holds in force that keep something of `target`: of a conversation too that is in an archive only.
    pub(super) fn holding(&self, target: HoldTarget) -> impl Iterator<Item = &Hold> {
        let (owner, hash) = match target {
            HoldTarget::User(user_id) => (Some(user_id), None),
            HoldTarget::Conversation(id) => {
                let owner = self.conversations.get(&id).map(|row| row.conversation.user_id);
                let left =
                    self.tombstones.get(&id).filter(|left| owner.is_none() && left.archive_id.is_some());
                (owner, left.map(|tombstone| AuditHash(tombstone.user_hash)))
            }
        };
        let concerns = move |hold: &&Hold| {
            hold.concerns(target, owner) || hash.is_some_and(|hash| hold.holds_all_of(hash))
        };
        self.holds.values().filter(concerns)
    }
}

#[async_trait]
impl HoldRepository for Memory {
    #[tracing::instrument(name = "db.hold.place", skip_all, fields(hold_id = %hold.hold_id))]
    async fn place(&self, hold: NewHold) -> RepositoryResult<Hold> {
        hold.validate()?;
        let mut tables = self.tables();
        let now = self.clock.now();
        if let Some(placed) = tables.holds.get(&hold.hold_id) {
            return if hold.made(placed) {
                Ok(placed.clone())
            } else {
                Err(RepositoryError::AlreadyExists { entity: Entity::Hold })
            };
        }
        let (user_id, conversation_id) = match hold.target {
            HoldTarget::User(user_id) => (user_id, None),
            HoldTarget::Conversation(conversation_id) => {
                let row = tables.conversations.get(&conversation_id);
                let row = row.ok_or(RepositoryError::not_found(Entity::Conversation))?;
                (row.conversation.user_id, Some(conversation_id))
            }
        };
        let placed = hold.placed(user_id, conversation_id, now);
        tables.holds.insert(hold.hold_id, placed.clone());
        tables.record(hold_event(hold.placed_by, AuditAction::HoldPlaced, &placed), now);
        Ok(placed)
    }

    #[tracing::instrument(name = "db.hold.release", skip_all, fields(%hold_id))]
    async fn release(&self, hold_id: HoldId, released_by: Actor) -> RepositoryResult<Option<Hold>> {
        let mut tables = self.tables();
        let now = self.clock.now();
        let Some(hold) = tables.holds.get_mut(&hold_id) else { return Ok(None) };
        if hold.released_at.is_some() {
            return Ok(Some(hold.clone()));
        }
        hold.released_at = Some(now);
        hold.released_by = Some(released_by.as_str().to_owned());
        let released = hold.clone();
        tables.record(hold_event(released_by, AuditAction::HoldReleased, &released), now);
        Ok(Some(released))
    }

    #[tracing::instrument(name = "db.hold.list_holds", skip_all)]
    async fn list_holds(&self, after: Option<HoldId>, limit: PageLimit) -> RepositoryResult<Vec<Hold>> {
        let tables = self.tables();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = tables.holds.range((from, Bound::Unbounded)).map(|(_, hold)| hold);
        let in_force = behind.filter(|hold| hold.released_at.is_none());
        Ok(in_force.take(limit.get() as usize).cloned().collect())
    }

    #[tracing::instrument(name = "db.hold.holding", skip_all)]
    async fn holding(&self, target: HoldTarget) -> RepositoryResult<Vec<Hold>> {
        let tables = self.tables();
        Ok(tables.holding(target).cloned().collect())
    }
}
