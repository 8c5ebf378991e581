//! Retention in memory.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::retention::{ABANDONED_AFTER, LONGEST_WAIT, turn_of};
use lcs_domain::{
    Actor, ArchiveId, Conversation, ConversationId, ConversationStatus, Keeping, PageLimit, PurgeReason,
    PurgeReport, PurgedConversation, RetentionPolicy, RetentionRepository, UserId,
};

use super::{Memory, Tables, Tombstone};
use crate::audit;
use crate::tombstone::user_hash;

impl Tables {
    /// What the policy would let go now; each with whether a hold is on it.
    pub(super) fn due(
        &self,
        policy: RetentionPolicy,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = (PurgedConversation, bool)> {
        self.conversations.values().filter_map(move |row| {
            let Conversation { conversation_id, user_id, agent_id, status, updated_at, .. } =
                row.conversation;
            let own = self.overrides.get(&user_id).map(|own| own.keep);
            let is_deleted = status == ConversationStatus::Deleted;
            let reason = if is_deleted { PurgeReason::Deleted } else { PurgeReason::Expired };
            let purged = PurgedConversation { conversation_id, user_id, agent_id, reason };
            let restored = self.restorations.get(&conversation_id).is_some_and(|until| *until > now);
            let is_due = policy.is_due(status, updated_at, own, now) && (is_deleted || !restored);
            is_due.then(|| (purged, self.is_held(user_id, conversation_id)))
        })
    }

    pub(super) fn is_held(&self, user_id: UserId, conversation_id: ConversationId) -> bool {
        self.holds.values().any(|hold| hold.holds(user_id, conversation_id))
    }
}

impl Tables {
    /// Removes a conversation and leaves its tombstone; says how many turns it had.
    pub(super) fn purge(
        &mut self,
        purged: &PurgedConversation,
        archive_id: Option<ArchiveId>,
        now: DateTime<Utc>,
    ) -> u64 {
        let PurgedConversation { conversation_id, user_id, agent_id, reason } = *purged;
        self.forget_all(usize::MAX, |_, request| {
            request.user_id == user_id && request.target.conversation_id == conversation_id
        });
        self.tombstones.insert(
            conversation_id,
            Tombstone { user_hash: user_hash(user_id), reason, archive_id, at: now },
        );
        self.restorations.remove(&conversation_id);
        self.agents.remove(&agent_id);
        let mut turns = 0;
        let row = self.conversations.remove(&conversation_id);
        for stored in row.into_iter().flat_map(|row| row.turns) {
            turns += 1;
            self.turns.remove(&stored.turn.turn_id);
        }
        turns
    }
}

#[async_trait]
impl RetentionRepository for Memory {
    #[tracing::instrument(name = "db.retention.count_due", skip_all)]
    async fn count_due(&self, policy: RetentionPolicy) -> RepositoryResult<u64> {
        Ok(self.tables().due(policy, self.clock.now()).filter(|(_, is_held)| !is_held).count() as u64)
    }

    #[tracing::instrument(name = "db.retention.count_held", skip_all)]
    async fn count_held(&self, policy: RetentionPolicy) -> RepositoryResult<u64> {
        Ok(self.tables().due(policy, self.clock.now()).filter(|(_, is_held)| *is_held).count() as u64)
    }

    #[tracing::instrument(name = "db.retention.purge_batch", skip_all)]
    async fn purge_batch(&self, policy: RetentionPolicy, limit: PageLimit) -> RepositoryResult<PurgeReport> {
        let mut tables = self.tables();
        let now = self.clock.now();
        let mut turns = 0;
        let due = tables.due(policy, now).filter(|(_, is_held)| !is_held);
        let purged: Vec<_> = due.map(|(purged, _)| purged).take(limit.get() as usize).collect();
        for purged in &purged {
            turns += tables.purge(purged, None, now);
        }
        if let Some(event) = audit::purge(Actor::retention(), &purged, turns) {
            tables.record(event, now);
        }
        Ok(PurgeReport { purged, busy: false })
    }

    #[tracing::instrument(name = "db.retention.take_turn", skip_all)]
    async fn take_turn(&self, count: u32, per_second: NonZeroU32) -> RepositoryResult<Duration> {
        let mut tables = self.tables();
        let now = self.clock.now();
        let at = tables.next_purge.unwrap_or(now).clamp(now, now + LONGEST_WAIT);
        tables.next_purge = Some(at + turn_of(count, per_second));
        Ok((at - now).to_std().unwrap_or_default())
    }

    #[tracing::instrument(name = "db.retention.purge_requests", skip_all)]
    async fn purge_requests(&self, limit: PageLimit) -> RepositoryResult<u64> {
        let cut_off = self.clock.now() - ABANDONED_AFTER;
        let forgotten = self.tables().forget_all(limit.get() as usize, |tables, request| {
            let has_turn = tables.turns.get(&request.target.turn_id) == Some(&request.target.conversation_id);
            request.lease_until.is_some_and(|lease_until| lease_until < cut_off) && !has_turn
        });
        Ok(forgotten as u64)
    }

    #[tracing::instrument(name = "db.retention.keeping", skip_all)]
    async fn keeping(
        &self,
        user_id: UserId,
        conversations: Vec<ConversationId>,
    ) -> RepositoryResult<Keeping> {
        let tables = self.tables();
        let own = tables.overrides.get(&user_id).map(|own| own.keep);
        let until = |id: &ConversationId| {
            let owner = tables.conversations.get(id).map(|row| row.conversation.user_id);
            let until = tables.restorations.get(id).filter(|_| owner == Some(user_id));
            until.map(|until| (*id, *until))
        };
        let restored = conversations.iter().filter_map(until).collect();
        let held = conversations.into_iter().filter(|id| tables.is_held(user_id, *id)).collect();
        Ok(Keeping { own, held, restored })
    }
}
