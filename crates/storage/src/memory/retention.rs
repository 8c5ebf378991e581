//! Retention in memory.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::retention::ABANDONED_AFTER;
use lcs_domain::{
    Actor, Conversation, ConversationStatus, PageLimit, PurgeReason, PurgeReport, PurgedConversation,
    RetentionPolicy, RetentionRepository,
};

use super::{Memory, Tables};
use crate::audit;

/// Before when a conversation must have been changed last to go; `None`: time does not reach back that far.
fn cut_off(policy: RetentionPolicy, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    TimeDelta::from_std(policy.idle()).ok().and_then(|idle| now.checked_sub_signed(idle))
}

/// Why the conversation may go, if it may.
fn due(conversation: &Conversation, cut_off: Option<DateTime<Utc>>) -> Option<PurgeReason> {
    if conversation.status == ConversationStatus::Deleted {
        return Some(PurgeReason::Deleted);
    }
    cut_off.filter(|cut_off| conversation.updated_at < *cut_off).map(|_| PurgeReason::Expired)
}

impl Tables {
    fn due(&self, cut_off: Option<DateTime<Utc>>) -> impl Iterator<Item = PurgedConversation> {
        self.conversations.values().filter_map(move |row| {
            let Conversation { conversation_id, user_id, agent_id, .. } = row.conversation;
            due(&row.conversation, cut_off).map(|reason| PurgedConversation {
                conversation_id,
                user_id,
                agent_id,
                reason,
            })
        })
    }
}

#[async_trait]
impl RetentionRepository for Memory {
    #[tracing::instrument(name = "db.retention.count_due", skip_all)]
    async fn count_due(&self, policy: RetentionPolicy) -> RepositoryResult<u64> {
        let cut_off = cut_off(policy, self.clock.now());
        Ok(self.tables().due(cut_off).count() as u64)
    }

    #[tracing::instrument(name = "db.retention.purge_batch", skip_all)]
    async fn purge_batch(&self, policy: RetentionPolicy, limit: PageLimit) -> RepositoryResult<PurgeReport> {
        let mut tables = self.tables();
        let now = self.clock.now();
        let cut_off = cut_off(policy, now);
        let mut turns = 0;
        let purged: Vec<_> = tables.due(cut_off).take(limit.get() as usize).collect();
        for PurgedConversation { conversation_id, user_id, agent_id, .. } in &purged {
            tables.forget_all(usize::MAX, |_, request| {
                request.user_id == *user_id && request.target.conversation_id == *conversation_id
            });
            tables.tombstones.insert(*conversation_id, *user_id);
            tables.agents.remove(agent_id);
            let row = tables.conversations.remove(conversation_id);
            for stored in row.into_iter().flat_map(|row| row.turns) {
                turns += 1;
                tables.turns.remove(&stored.turn.turn_id);
            }
        }
        if let Some(event) = audit::purge(Actor::retention(), &purged, turns) {
            tables.record(event, now);
        }
        Ok(PurgeReport { purged, busy: false })
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
}
