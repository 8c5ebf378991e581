//! Erasure in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use lcs_domain::audit::AuditHash;
use lcs_domain::erasure::{
    ArchivedOfTarget, ContentDigest, Erased, ErasedArchive, ErasedConversation, ErasedRows, ErasureStep,
    OwnedConversation, RemainingRows, note,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    ArchiveId, AuditDetail, AuditOutcome, Conversation, ConversationId, Entity, Erasure, ErasureRepository,
    ErasureTarget, NewConversation, NewErasure, PageLimit, PurgeReason, PurgedConversation, RepositoryError,
    UserId,
};

use super::{Memory, Row, Tables};
use crate::erasure;
use crate::tombstone::user_hash;

impl Tables {
    fn owner(&self, conversation_id: ConversationId) -> Option<UserId> {
        self.conversations.get(&conversation_id).map(|row| row.conversation.user_id)
    }

    fn refuse_held(&self, target: ErasureTarget) -> RepositoryResult<()> {
        let held = self.holding(target.into()).next();
        held.map_or(Ok(()), |hold| Err(hold.refusal()))
    }

    fn erasure(&mut self, asked: &NewErasure) -> RepositoryResult<&mut Erasure> {
        let found = self.erasures.iter_mut().find(|erasure| erasure.erasure_id == asked.erasure_id);
        found.filter(|erasure| asked.is_of(erasure)).ok_or(RepositoryError::not_found(Entity::Erasure))
    }

    /// The user's hash, where it is known whose the target is.
    fn hash_of(&self, target: ErasureTarget) -> Option<AuditHash> {
        let hash = match target {
            ErasureTarget::User(user_id) => Some(user_hash(user_id)),
            ErasureTarget::Conversation(conversation_id) => {
                let purged = self.tombstones.get(&conversation_id).map(|tombstone| tombstone.user_hash);
                self.owner(conversation_id).map(user_hash).or(purged)
            }
        };
        hash.map(AuditHash)
    }

    fn of_target(&self, target: ErasureTarget) -> Vec<ConversationId> {
        let is_of = |row: &&Row| match target {
            ErasureTarget::User(user_id) => row.conversation.user_id == user_id,
            ErasureTarget::Conversation(conversation_id) => {
                row.conversation.conversation_id == conversation_id
            }
        };
        let found = self.conversations.values().filter(is_of).map(|row| row.conversation.conversation_id);
        let mut found: Vec<_> = found.collect();
        found.sort_unstable();
        found
    }

    fn forget_requests(&mut self, is_of: impl Fn(UserId, ConversationId) -> bool) -> u64 {
        let is_of =
            |_: &Self, request: &super::Request| is_of(request.user_id, request.target.conversation_id);
        self.forget_all(usize::MAX, is_of) as u64
    }

    pub(super) fn erased_of(&self, asked: Vec<OwnedConversation>, now: DateTime<Utc>) -> Erased {
        let erased = |owned: OwnedConversation| {
            let OwnedConversation { user_id, conversation_id } = owned;
            let of_user = NewErasure::of(ErasureTarget::User(user_id), lcs_domain::Actor::unknown());
            // An erasure that a hold has stopped before its end erases nothing of what is held.
            let is_held = self.holds.values().any(|hold| hold.holds(user_id, conversation_id));
            let counts = |erasure: &&Erasure| erasure.certificate.is_some() || !is_held;
            let of_user = self.erasures.iter().filter(|erasure| of_user.is_of(erasure)).filter(counts);
            let user_erased_at = of_user.map(|erasure| erasure.erased_at).max();
            let tombstone = self.tombstones.get(&conversation_id);
            let is_erased = tombstone.is_some_and(|tombstone| tombstone.reason == PurgeReason::Erased)
                || self
                    .erasures
                    .iter()
                    .filter(counts)
                    .any(|erasure| erasure.conversation_id == Some(conversation_id));
            (is_erased || user_erased_at.is_some()).then_some(ErasedConversation {
                owned,
                user_erased_at,
                is_erased,
            })
        };
        Erased { now, conversations: asked.into_iter().filter_map(erased).collect() }
    }

    /// What is left of the target when its conversations are gone.
    fn erase_the_rest(&mut self, target: ErasureTarget) -> ErasedRows {
        let requests = self.forget_requests(|user_id, conversation_id| match target {
            ErasureTarget::User(erased) => user_id == erased,
            ErasureTarget::Conversation(erased) => conversation_id == erased,
        });
        let before = self.holds.len();
        self.holds.retain(|_, hold| match target {
            ErasureTarget::User(user_id) => hold.user_id != user_id,
            ErasureTarget::Conversation(conversation_id) => hold.conversation_id != Some(conversation_id),
        });
        let removed = target.user().and_then(|user_id| self.overrides.remove(&user_id));
        let mut tombstones = 0;
        for (conversation_id, tombstone) in &mut self.tombstones {
            let is_of = match target {
                ErasureTarget::User(user_id) => tombstone.user_hash == user_hash(user_id),
                ErasureTarget::Conversation(erased) => *conversation_id == erased,
            };
            if is_of && tombstone.reason != PurgeReason::Erased {
                tombstone.reason = PurgeReason::Erased;
                tombstones += 1;
            }
        }
        ErasedRows {
            requests,
            holds: (before - self.holds.len()) as u64,
            retention_overrides: u64::from(removed.is_some()),
            tombstones,
            ..ErasedRows::default()
        }
    }
}

#[async_trait]
impl ErasureRepository for Memory {
    #[tracing::instrument(name = "db.erasure.begin_erasure", skip_all, fields(erasure_id = %new.erasure_id))]
    async fn begin_erasure(&self, new: NewErasure) -> RepositoryResult<Erasure> {
        let mut tables = self.tables();
        tables.refuse_held(new.target)?;
        let now = self.clock.now();
        let unfinished =
            tables.erasures.iter().find(|erasure| erasure.certificate.is_none() && new.is_of(erasure));
        if let Some(erasure) = unfinished {
            return Ok(erasure.clone());
        }
        if tables.erasures.iter().any(|erasure| erasure.erasure_id == new.erasure_id) {
            return Err(RepositoryError::AlreadyExists { entity: Entity::Erasure });
        }
        let erasure = new.begun(tables.hash_of(new.target), now);
        tables.erased += 1;
        tables.record(erasure::begun(&new, &erasure), now);
        tables.erasures.push(erasure.clone());
        Ok(erasure)
    }

    #[tracing::instrument(name = "db.erasure.erase_some", skip_all, fields(erasure_id = %erasure.erasure_id))]
    async fn erase_some(&self, erasure: NewErasure, limit: PageLimit) -> RepositoryResult<ErasureStep> {
        let mut tables = self.tables();
        let found = tables.erasure(&erasure)?;
        if found.certificate.is_some() {
            return Ok(ErasureStep { erasure: found.clone(), has_more: false });
        }
        let content = found.content;
        tables.refuse_held(erasure.target)?;
        let now = self.clock.now();
        let conversations = tables.of_target(erasure.target);
        let has_more = conversations.len() > limit.get() as usize;
        let (mut removed, mut digest, mut gone) =
            (ErasedRows::default(), ContentDigest::behind(content), Vec::new());
        for conversation_id in conversations.into_iter().take(limit.get() as usize) {
            removed.requests += tables.forget_requests(|_, requested| requested == conversation_id);
            let Some(row) = tables.conversations.get(&conversation_id) else { continue };
            let purged = PurgedConversation {
                conversation_id,
                user_id: row.conversation.user_id,
                agent_id: row.conversation.agent_id,
                reason: PurgeReason::Erased,
            };
            removed.conversations += 1;
            removed.turns += row.turns.len() as u64;
            removed.agent_states += u64::from(row.state.is_some());
            let hashes: Vec<u8> = row.turns.iter().flat_map(|stored| stored.content_hash).collect();
            digest.add(conversation_id, hashes);
            tables.purge(&purged, None, now);
            gone.push(conversation_id);
        }
        if !has_more {
            removed += tables.erase_the_rest(erasure.target);
        }
        tables.erased += 1;
        let stored = tables.erasure(&erasure)?;
        stored.removed += removed;
        stored.content = digest.hash();
        stored.erased_at = now;
        let after = stored.clone();
        if let Some(event) = erasure::step(&erasure, &after, removed, &gone) {
            tables.record(event, now);
        }
        Ok(ErasureStep { erasure: after, has_more })
    }

    #[tracing::instrument(name = "db.erasure.archived_of", skip_all)]
    async fn archived_of(&self, target: ErasureTarget) -> RepositoryResult<Vec<ArchivedOfTarget>> {
        let mut counts: BTreeMap<ArchiveId, u64> = BTreeMap::new();
        for (conversation_id, tombstone) in &self.tables().tombstones {
            let is_of = match target {
                ErasureTarget::User(user_id) => tombstone.user_hash == user_hash(user_id),
                ErasureTarget::Conversation(erased) => *conversation_id == erased,
            };
            if let Some(archive_id) = tombstone.archive_id.filter(|_| is_of) {
                *counts.entry(archive_id).or_default() += 1;
            }
        }
        let counts = counts.into_iter();
        Ok(counts.map(|(archive_id, conversations)| ArchivedOfTarget { archive_id, conversations }).collect())
    }

    #[tracing::instrument(name = "db.erasure.note_archives", skip_all, fields(erasure_id = %erasure.erasure_id))]
    async fn note_archives(
        &self,
        erasure: NewErasure,
        archives: Vec<ErasedArchive>,
    ) -> RepositoryResult<Erasure> {
        let mut tables = self.tables();
        if tables.erasure(&erasure)?.certificate.is_none() {
            // Behind this, the files go: one that was placed since the last batch comes in time.
            tables.refuse_held(erasure.target)?;
        }
        let found = tables.erasure(&erasure)?;
        if found.certificate.is_none() {
            note(&mut found.archives, archives);
        }
        Ok(found.clone())
    }

    #[tracing::instrument(name = "db.erasure.end_erasure", skip_all, fields(erasure_id = %erasure.erasure_id))]
    async fn end_erasure(
        &self,
        erasure: NewErasure,
        certificate: String,
        detail: AuditDetail,
    ) -> RepositoryResult<Erasure> {
        let mut tables = self.tables();
        let now = self.clock.now();
        let found = tables.erasure(&erasure)?.clone();
        if found.certificate.is_some() {
            return Ok(found);
        }
        tables.record(erasure.event(&found, AuditOutcome::Done, detail), now);
        tables.erased += 1;
        let recorded = tables.audit_head();
        let stored = tables.erasure(&erasure)?;
        stored.certificate = Some(certificate);
        stored.recorded = Some(recorded);
        Ok(stored.clone())
    }

    #[tracing::instrument(name = "db.erasure.ended_erasures", skip_all)]
    async fn ended_erasures(
        &self,
        target: ErasureTarget,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Erasure>> {
        let asked = NewErasure::of(target, lcs_domain::Actor::unknown());
        let tables = self.tables();
        let ended = tables.erasures.iter().rev();
        let ended = ended.filter(|erasure| erasure.certificate.is_some() && asked.is_of(erasure));
        Ok(ended.take(limit.get() as usize).cloned().collect())
    }

    #[tracing::instrument(name = "db.erasure.unfinished_erasures", skip_all)]
    async fn unfinished_erasures(&self, target: ErasureTarget) -> RepositoryResult<Vec<Erasure>> {
        let tables = self.tables();
        let hash = tables.hash_of(target);
        let is_of = |erasure: &&Erasure| {
            let is_users = hash.is_some() && erasure.user_hash == hash;
            match target {
                ErasureTarget::User(_) => is_users,
                ErasureTarget::Conversation(conversation_id) => {
                    erasure.conversation_id.map_or(is_users, |of| of == conversation_id)
                }
            }
        };
        let unfinished = tables.erasures.iter().filter(|erasure| erasure.certificate.is_none());
        Ok(unfinished.filter(is_of).cloned().collect())
    }

    #[tracing::instrument(name = "db.erasure.last_placed_erasure", skip_all)]
    async fn last_placed_erasure(&self) -> RepositoryResult<Option<Erasure>> {
        let tables = self.tables();
        let has_place = |erasure: &&Erasure| erasure.archives.iter().any(|noted| noted.place_id.is_some());
        let placed = tables.erasures.iter().filter(has_place);
        Ok(placed.max_by_key(|erasure| erasure.certificate.is_none()).cloned())
    }

    #[tracing::instrument(name = "db.erasure.remaining", skip_all)]
    async fn remaining(&self, target: ErasureTarget) -> RepositoryResult<Vec<RemainingRows>> {
        let tables = self.tables();
        let conversations = tables.of_target(target);
        let rows = || conversations.iter().filter_map(|id| tables.conversations.get(id));
        let is_of = |user_id: UserId, conversation_id: Option<ConversationId>| match target {
            ErasureTarget::User(erased) => user_id == erased,
            ErasureTarget::Conversation(erased) => conversation_id == Some(erased),
        };
        let requests = tables
            .requests
            .values()
            .filter(|request| is_of(request.user_id, Some(request.target.conversation_id)));
        let holds = tables.holds.values().filter(|hold| is_of(hold.user_id, hold.conversation_id));
        let own = target.user().and_then(|user_id| tables.overrides.get(&user_id));
        let counts = [
            ("agent_states", rows().filter(|row| row.state.is_some()).count()),
            ("conversation_turns", rows().map(|row| row.turns.len()).sum()),
            ("conversations", conversations.len()),
            ("holds", holds.count()),
            ("requests", requests.count()),
            ("retention_overrides", usize::from(own.is_some())),
        ];
        let counts = counts.into_iter();
        Ok(counts.map(|(table, rows)| RemainingRows { table: table.to_owned(), rows: rows as u64 }).collect())
    }

    #[tracing::instrument(name = "db.erasure.erased", skip_all, fields(conversations = conversations.len()))]
    async fn erased(&self, conversations: Vec<OwnedConversation>) -> RepositoryResult<Erased> {
        Ok(self.tables().erased_of(conversations, self.clock.now()))
    }

    #[tracing::instrument(
        name = "db.erasure.create_unless_erased",
        skip_all,
        fields(%user_id, conversation_id = %new.conversation_id)
    )]
    async fn create_unless_erased(
        &self,
        user_id: UserId,
        new: NewConversation,
        age: TimeDelta,
    ) -> RepositoryResult<Option<Conversation>> {
        new.validate()?;
        let now = self.clock.now();
        let mut tables = self.tables();
        let owned = OwnedConversation { user_id, conversation_id: new.conversation_id };
        if tables.erased_of(vec![owned], now).includes_of_age(owned, age) {
            return Ok(None);
        }
        tables.create(user_id, new, now).map(Some)
    }

    #[tracing::instrument(name = "db.erasure.latest_erasure", skip_all)]
    async fn latest_erasure(&self) -> RepositoryResult<u64> {
        Ok(self.tables().erased)
    }
}
