//! Archives in memory: the plainest form of what the port promises.

use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use lcs_domain::archive::{
    Archive, ArchiveContent, ArchiveState, ArchivedHead, Forgotten, Restored, Tombstone, UserHash,
};
use lcs_domain::audit::AuditHash;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{Imported, IncomingConversation, IncomingHead, Refusal};
use lcs_domain::{
    Actor, ArchiveId, ArchiveRepository, ConversationId, ConversationStatus, Hold, NewTurn, PageLimit,
    PurgeReason, RetentionPolicy,
};

use super::{Memory, Tables};
use crate::audit;

impl Tables {
    /// The conversations that this archive holds, whatever the reason is by now for which they were removed.
    fn archived(&self, archive_id: ArchiveId) -> Vec<ConversationId> {
        let named = self.tombstones.iter().filter(|(_, left)| left.archive_id == Some(archive_id));
        let mut ids: Vec<_> = named.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    fn is_begun(&self, archive_id: ArchiveId) -> bool {
        self.archives.get(&archive_id).is_some_and(|archive| archive.state == ArchiveState::Begun)
    }

    /// Closes it with so much in it.
    fn close(&mut self, archive_id: ArchiveId, content: ArchiveContent) -> Option<ArchiveState> {
        let archived = self.archived(archive_id).len() as u64;
        let archive = self.archives.get_mut(&archive_id)?;
        if archive.state == ArchiveState::Begun {
            archive.content = content;
            archive.state = ArchiveState::closed(archived, content.conversations);
        }
        Some(archive.state)
    }

    /// Given up where no tombstone names it, and else stale.
    fn give_up(&mut self, archive_id: ArchiveId) -> Option<ArchiveState> {
        let is_empty = self.archived(archive_id).is_empty();
        let archive = self.archives.get_mut(&archive_id)?;
        archive.state = if is_empty { ArchiveState::GivenUp } else { ArchiveState::Stale };
        Some(archive.state)
    }

    fn restore(
        &mut self,
        archive_id: ArchiveId,
        keep: Duration,
        incoming: IncomingConversation,
        now: DateTime<Utc>,
    ) -> Restored {
        if let Err(error) = incoming.validate() {
            return Restored::Refused(Refusal::invalid(&error));
        }
        let conversation = &incoming.head.conversation;
        let (id, user_id) = (conversation.conversation_id, conversation.user_id);
        let Some(left) = self.tombstones.get(&id).copied() else {
            return match self.conversations.get(&id) {
                Some(row) if row.conversation.user_id == user_id => Restored::Present,
                Some(_) => Restored::Refused(Refusal::in_use(lcs_domain::Entity::Conversation)),
                None => Restored::Refused(Refusal::not_archived()),
            };
        };
        match left.archive_id {
            _ if left.reason != PurgeReason::Expired => return Restored::Refused(Refusal::deleted()),
            None => return Restored::Refused(Refusal::not_archived()),
            Some(other) if other != archive_id || self.is_begun(archive_id) => return Restored::Elsewhere,
            Some(_) => {}
        }
        self.tombstones.remove(&id);
        match self.import(incoming, now) {
            Imported::Stored => {}
            Imported::Present | Imported::Continued => return Restored::Present,
            Imported::Refused(refusal) => {
                self.tombstones.insert(id, left);
                return Restored::Refused(refusal);
            }
        }
        let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
        self.restorations.insert(id, now.checked_add_signed(keep).unwrap_or(DateTime::<Utc>::MAX_UTC));
        if let Some(archive) = self.archives.get_mut(&archive_id) {
            archive.state = ArchiveState::Stale;
        }
        Restored::Stored
    }
}

#[async_trait]
impl ArchiveRepository for Memory {
    #[tracing::instrument(name = "db.archive.due_for_archive", skip_all)]
    async fn due_for_archive(
        &self,
        policy: RetentionPolicy,
        except: Vec<ConversationId>,
        limit: u32,
    ) -> RepositoryResult<Vec<ConversationId>> {
        let tables = self.tables();
        let due = tables.due(policy, self.clock.now());
        let expired = due.filter(|(due, is_held)| due.reason == PurgeReason::Expired && !is_held);
        let ids = expired.map(|(due, _)| due.conversation_id).filter(|id| !except.contains(id));
        Ok(ids.take(limit as usize).collect())
    }

    #[tracing::instrument(name = "db.archive.begin_archive", skip_all, fields(%archive_id))]
    async fn begin_archive(&self, archive_id: ArchiveId, unless_within: Duration) -> RepositoryResult<bool> {
        let mut tables = self.tables();
        let now = self.clock.now();
        if let Some(archive) = tables.archives.get(&archive_id) {
            return Ok(archive.state == ArchiveState::Begun);
        }
        let within = TimeDelta::from_std(unless_within).unwrap_or(TimeDelta::MAX);
        let is_busy = tables
            .archives
            .values()
            .any(|archive| archive.state == ArchiveState::Begun && now - archive.begun_at < within);
        if !is_busy {
            let content = ArchiveContent::default();
            let archive = Archive { archive_id, state: ArchiveState::Begun, begun_at: now, content };
            tables.archives.insert(archive_id, archive);
        }
        Ok(!is_busy)
    }

    #[tracing::instrument(name = "db.archive.remove_archived", skip_all, fields(%archive_id))]
    async fn remove_archived(
        &self,
        archive_id: ArchiveId,
        policy: RetentionPolicy,
        heads: Vec<ArchivedHead>,
    ) -> RepositoryResult<Option<u64>> {
        let mut tables = self.tables();
        let now = self.clock.now();
        if !tables.is_begun(archive_id) {
            return Ok(None);
        }
        let is_same = |id: ConversationId| {
            let row = tables.conversations.get(&id);
            row.is_some_and(|row| heads.contains(&ArchivedHead::of(&row.conversation)))
        };
        let due: Vec<_> = tables
            .due(policy, now)
            .filter(|(due, is_held)| due.reason == PurgeReason::Expired && !is_held)
            .map(|(due, _)| due)
            .filter(|due| is_same(due.conversation_id))
            .collect();
        let mut turns = 0;
        for purged in &due {
            turns += tables.purge(purged, Some(archive_id), now);
        }
        let ids: Vec<_> = due.iter().map(|purged| purged.conversation_id).collect();
        if let Some(event) = audit::archival(Actor::retention(), archive_id, &ids, turns) {
            tables.record(event, now);
        }
        Ok(Some(ids.len() as u64))
    }

    #[tracing::instrument(name = "db.archive.close_archive", skip_all, fields(%archive_id))]
    async fn close_archive(
        &self,
        archive_id: ArchiveId,
        content: ArchiveContent,
    ) -> RepositoryResult<Option<ArchiveState>> {
        Ok(self.tables().close(archive_id, content))
    }

    #[tracing::instrument(name = "db.archive.replace_archive", skip_all, fields(%old, %new))]
    async fn replace_archive(
        &self,
        old: ArchiveId,
        new: ArchiveId,
        conversations: Vec<ConversationId>,
        content: ArchiveContent,
    ) -> RepositoryResult<Option<ArchiveState>> {
        let mut tables = self.tables();
        if !tables.is_begun(new) {
            return Ok(tables.archives.get(&new).map(|archive| archive.state));
        }
        for id in conversations {
            if let Some(left) = tables.tombstones.get_mut(&id)
                && left.archive_id == Some(old)
            {
                left.archive_id = Some(new);
            }
        }
        tables.give_up(old);
        Ok(tables.close(new, content))
    }

    #[tracing::instrument(name = "db.archive.give_up_archive", skip_all, fields(%archive_id))]
    async fn give_up_archive(&self, archive_id: ArchiveId) -> RepositoryResult<Option<ArchiveState>> {
        Ok(self.tables().give_up(archive_id))
    }

    #[tracing::instrument(name = "db.archive.forget_archive", skip_all, fields(%archive_id))]
    async fn forget_archive(&self, archive_id: ArchiveId) -> RepositoryResult<()> {
        let is_given_up = |archive: &Archive| archive.state == ArchiveState::GivenUp;
        let mut tables = self.tables();
        if tables.archives.get(&archive_id).is_some_and(is_given_up) {
            tables.archives.remove(&archive_id);
        }
        Ok(())
    }

    #[tracing::instrument(name = "db.archive.find_archive", skip_all, fields(%archive_id))]
    async fn find_archive(&self, archive_id: ArchiveId) -> RepositoryResult<Option<Archive>> {
        Ok(self.tables().archives.get(&archive_id).copied())
    }

    #[tracing::instrument(name = "db.archive.list_archives", skip_all)]
    async fn list_archives(
        &self,
        after: Option<ArchiveId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Archive>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let tables = self.tables();
        let behind = tables.archives.range((from, Bound::Unbounded)).map(|(_, archive)| *archive);
        Ok(behind.take(limit.get() as usize).collect())
    }

    #[tracing::instrument(name = "db.archive.unfinished_archives", skip_all)]
    async fn unfinished_archives(
        &self,
        after: Option<ArchiveId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Archive>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let tables = self.tables();
        let behind = tables.archives.range((from, Bound::Unbounded)).map(|(_, archive)| *archive);
        let unfinished = behind.filter(|archive| archive.state != ArchiveState::Complete);
        Ok(unfinished.take(limit.get() as usize).collect())
    }

    #[tracing::instrument(name = "db.archive.archived_in", skip_all, fields(%archive_id))]
    async fn archived_in(&self, archive_id: ArchiveId) -> RepositoryResult<Vec<ConversationId>> {
        Ok(self.tables().archived(archive_id))
    }

    #[tracing::instrument(name = "db.archive.restorable_in", skip_all, fields(%archive_id))]
    async fn restorable_in(&self, archive_id: ArchiveId) -> RepositoryResult<Vec<ConversationId>> {
        let tables = self.tables();
        let has_expired = |id: &ConversationId| {
            tables.tombstones.get(id).is_some_and(|left| left.reason == PurgeReason::Expired)
        };
        let mut ids = tables.archived(archive_id);
        ids.retain(has_expired);
        Ok(ids)
    }

    #[tracing::instrument(name = "db.archive.tombstone", skip_all, fields(%conversation_id))]
    async fn tombstone(&self, conversation_id: ConversationId) -> RepositoryResult<Option<Tombstone>> {
        let left = self.tables().tombstones.get(&conversation_id).copied();
        Ok(left.map(|left| Tombstone { reason: left.reason, archive_id: left.archive_id }))
    }

    #[tracing::instrument(name = "db.archive.is_restored", skip_all, fields(%conversation_id))]
    async fn is_restored(&self, conversation_id: ConversationId) -> RepositoryResult<bool> {
        let tables = self.tables();
        let row = tables.conversations.get(&conversation_id);
        let is_there = row.is_some_and(|row| row.conversation.status != ConversationStatus::Deleted);
        Ok(is_there && tables.restorations.contains_key(&conversation_id))
    }

    #[tracing::instrument(name = "db.archive.archives_of_user", skip_all)]
    async fn archives_of_user(&self, user: UserHash) -> RepositoryResult<Vec<ArchiveId>> {
        let tables = self.tables();
        let theirs = tables
            .tombstones
            .values()
            .filter(|left| UserHash(left.user_hash) == user && left.reason == PurgeReason::Expired);
        let mut ids: Vec<_> = theirs.filter_map(|left| left.archive_id).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    #[tracing::instrument(name = "db.archive.leave_archives", skip_all)]
    async fn leave_archives(&self, what: Forgotten) -> RepositoryResult<u64> {
        let mut tables = self.tables();
        let is_meant = |id: &ConversationId, left: &super::Tombstone| match &what {
            Forgotten::Conversations(ids) => ids.contains(id),
            Forgotten::User(user) => UserHash(left.user_hash) == *user,
        };
        let is_held = |hold: &&Hold| match &what {
            Forgotten::User(user) => hold.holds_some_of(AuditHash(user.0)),
            Forgotten::Conversations(ids) => {
                let mut left = ids.iter().filter_map(|id| tables.tombstones.get(id));
                left.any(|left| hold.holds_all_of(AuditHash(left.user_hash)))
            }
        };
        if let Some(hold) = tables.holds.values().find(is_held) {
            return Err(hold.refusal());
        }
        let (mut left_archives, mut count) = (Vec::new(), 0);
        for (id, left) in &mut tables.tombstones {
            if !is_meant(id, left) {
                continue;
            }
            if let Some(archive_id) = left.archive_id.take() {
                left_archives.push(archive_id);
                count += 1;
                if left.reason == PurgeReason::Expired {
                    left.reason = PurgeReason::Erased;
                }
            }
        }
        let begun: Vec<_> = tables.archives.keys().filter(|id| tables.is_begun(**id)).copied().collect();
        for archive_id in left_archives.into_iter().chain(begun) {
            tables.give_up(archive_id);
        }
        Ok(count)
    }

    #[tracing::instrument(name = "db.archive.restore", skip_all, fields(%archive_id, conversations = conversations.len()))]
    async fn restore(
        &self,
        archive_id: ArchiveId,
        keep: Duration,
        conversations: Vec<IncomingConversation>,
    ) -> RepositoryResult<Vec<Restored>> {
        let mut tables = self.tables();
        let now = self.clock.now();
        let (mut restored, mut ids, mut turns) = (Vec::new(), Vec::new(), 0);
        for incoming in conversations {
            let (id, count) = (incoming.head.conversation.conversation_id, incoming.turns.len() as u64);
            let outcome = tables.restore(archive_id, keep, incoming, now);
            if outcome == Restored::Stored {
                ids.push(id);
                turns += count;
            }
            restored.push(outcome);
        }
        if let Some(event) = audit::restoration(Actor::service(), archive_id, &ids, turns) {
            tables.record(event, now);
        }
        Ok(restored)
    }

    #[tracing::instrument(name = "db.archive.restore_long", skip_all, fields(%archive_id))]
    async fn restore_long(
        &self,
        archive_id: ArchiveId,
        keep: Duration,
        head: IncomingHead,
        turns: BoxStream<'static, RepositoryResult<NewTurn>>,
    ) -> RepositoryResult<Restored> {
        // What is in memory afterwards may be so before.
        let turns: Vec<NewTurn> = match turns.try_collect().await {
            Ok(turns) => turns,
            Err(error) => return Restored::of_refusal(error),
        };
        let restored = self.restore(archive_id, keep, vec![IncomingConversation { head, turns }]).await?;
        Ok(restored.into_iter().next().unwrap_or(Restored::Elsewhere))
    }
}
