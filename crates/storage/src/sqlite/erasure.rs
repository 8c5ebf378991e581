//! Erasure in SQLite. The write lock keeps it apart from holds; what is removed is overwritten in the file.

mod looking;
mod row;
mod words;

pub(super) use self::looking::is_erased;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use lcs_domain::audit::AuditHash;
use lcs_domain::erasure::{
    ArchivedOfTarget, ContentDigest, Erased, ErasedArchive, ErasedRows, ErasureStep, OwnedConversation,
    RemainingRows, note, user_hash,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AuditDetail, AuditOutcome, Conversation, ConversationId, Entity, Erasure, ErasureRepository,
    ErasureTarget, HoldTarget, NewConversation, NewErasure, PageLimit, PurgeReason, RepositoryError, UserId,
};

use self::row::ErasureRow;
use super::error::Failure;
use super::limited::limited;
use super::row::{BlobUuid, Cell, Micros, Reader};
use super::schema::{
    agent_states, conversation_tombstones, conversation_turns, conversations, erasures, holds, requests,
    retention_overrides,
};
use super::{Sqlite, audit, conversation, hold};
use crate::erasure;

/// The erasure of this id, if it is of this target.
fn find(connection: &mut SqliteConnection, asked: &NewErasure) -> Result<Erasure, Failure> {
    let row = erasures::table.find(BlobUuid::from(asked.erasure_id)).select(ErasureRow::as_select());
    let found = row.get_result(connection).optional()?.map(Erasure::try_from).transpose()?;
    let found = found.filter(|erasure| asked.is_of(erasure));
    Ok(found.ok_or(RepositoryError::not_found(Entity::Erasure))?)
}

fn refuse_held(connection: &mut SqliteConnection, target: ErasureTarget) -> Result<(), Failure> {
    let held = hold::holding(connection, HoldTarget::from(target))?;
    held.first().map_or(Ok(()), |hold| Err(hold.refusal().into()))
}

/// The number of the next step.
fn next(connection: &mut SqliteConnection) -> QueryResult<i64> {
    let last: Option<i64> =
        erasures::table.select(diesel::dsl::max(erasures::sequence)).get_result(connection)?;
    Ok(last.unwrap_or_default() + 1)
}

/// Whose the target is, as a hash.
fn hash_of(connection: &mut SqliteConnection, target: ErasureTarget) -> Result<Option<AuditHash>, Failure> {
    let conversation_id = match target {
        ErasureTarget::User(user_id) => return Ok(Some(user_hash(user_id))),
        ErasureTarget::Conversation(conversation_id) => conversation_id,
    };
    if let Some(owner) = hold::owner(connection, conversation_id)? {
        return Ok(Some(user_hash(owner)));
    }
    hold::hash_in_tombstone(connection, conversation_id)
}

fn begin(
    connection: &mut SqliteConnection,
    asked: &NewErasure,
    now: DateTime<Utc>,
) -> Result<Erasure, Failure> {
    refuse_held(connection, asked.target)?;
    let hash = hash_of(connection, asked.target)?;
    if let Some(erasure) = looking::of_target(connection, asked.target, false, 1)?.into_iter().next() {
        return Ok(erasure);
    }
    let erasure = asked.begun(hash, now);
    let sequence = next(connection)?;
    diesel::insert_into(erasures::table).values(row::new(&erasure, sequence)).execute(connection)?;
    audit::record(connection, erasure::begun(asked, &erasure), now)?;
    Ok(erasure)
}

/// The target's conversations, one more than are asked for where there are more.
fn conversations_of(
    connection: &mut SqliteConnection,
    target: ErasureTarget,
    limit: PageLimit,
) -> Result<Vec<ConversationId>, Failure> {
    let mut rows = conversations::table.select(conversations::conversation_id).into_boxed();
    rows = match target {
        ErasureTarget::User(user_id) => rows.filter(conversations::user_id.eq(BlobUuid::from(user_id))),
        ErasureTarget::Conversation(id) => rows.filter(conversations::conversation_id.eq(BlobUuid::from(id))),
    };
    let rows = rows.order(conversations::conversation_id);
    let keys: Vec<Cell<Vec<u8>>> = limited(rows, i64::from(limit.get()) + 1).load(connection)?;
    let read = |key| Ok(Reader::new("conversations", "conversation_id", key)?.key());
    keys.into_iter().map(read).map(|id| id.map(ConversationId::from_uuid)).collect()
}

/// Removes one conversation, and leaves its tombstone.
fn remove(
    connection: &mut SqliteConnection,
    id: ConversationId,
    digest: &mut ContentDigest,
    now: DateTime<Utc>,
) -> Result<ErasedRows, Failure> {
    let Some(owner) = hold::owner(connection, id)? else { return Ok(ErasedRows::default()) };
    let key = BlobUuid::from(id);
    let hashes: Vec<Vec<u8>> = conversation_turns::table
        .filter(conversation_turns::conversation_id.eq(key))
        .order(conversation_turns::turn_number)
        .select(conversation_turns::content_hash)
        .load(connection)?;
    let states: i64 =
        agent_states::table.filter(agent_states::conversation_id.eq(key)).count().get_result(connection)?;
    let asked =
        diesel::delete(requests::table).filter(requests::conversation_id.eq(key)).execute(connection)?;
    diesel::insert_into(conversation_tombstones::table)
        .values((
            conversation_tombstones::conversation_id.eq(key),
            conversation_tombstones::user_hash.eq(user_hash(owner).0.as_slice()),
            conversation_tombstones::reason.eq(PurgeReason::Erased.as_str()),
            conversation_tombstones::at.eq(Micros::from(now)),
        ))
        .on_conflict(conversation_tombstones::conversation_id)
        .do_update()
        .set(conversation_tombstones::reason.eq(PurgeReason::Erased.as_str()))
        .execute(connection)?;
    diesel::delete(conversations::table.find(key)).execute(connection)?;
    digest.add(id, hashes.concat());
    Ok(ErasedRows {
        conversations: 1,
        turns: hashes.len() as u64,
        agent_states: states.unsigned_abs(),
        requests: asked as u64,
        ..ErasedRows::default()
    })
}

/// Removes what else there is of a target when its conversations are gone.
fn remove_the_rest(connection: &mut SqliteConnection, target: ErasureTarget) -> Result<ErasedRows, Failure> {
    let is_other = conversation_tombstones::reason.ne(PurgeReason::Erased.as_str());
    let erased = conversation_tombstones::reason.eq(PurgeReason::Erased.as_str());
    let mut removed = ErasedRows::default();
    match target {
        ErasureTarget::User(user_id) => {
            let key = BlobUuid::from(user_id);
            let of_user = diesel::delete(requests::table).filter(requests::user_id.eq(key));
            removed.requests = of_user.execute(connection)? as u64;
            let released = diesel::delete(holds::table).filter(holds::user_id.eq(key));
            removed.holds = released.execute(connection)? as u64;
            let own = diesel::delete(retention_overrides::table.find(key));
            removed.retention_overrides = own.execute(connection)? as u64;
            let hash = user_hash(user_id).0;
            let of_user = conversation_tombstones::user_hash.eq(hash.as_slice());
            let marked = diesel::update(conversation_tombstones::table).filter(of_user.and(is_other));
            removed.tombstones = marked.set(erased).execute(connection)? as u64;
        }
        ErasureTarget::Conversation(conversation_id) => {
            let key = BlobUuid::from(conversation_id);
            let of_it = diesel::delete(requests::table).filter(requests::conversation_id.eq(key));
            removed.requests = of_it.execute(connection)? as u64;
            let released = diesel::delete(holds::table).filter(holds::conversation_id.eq(key));
            removed.holds = released.execute(connection)? as u64;
            let marked = diesel::update(conversation_tombstones::table)
                .filter(conversation_tombstones::conversation_id.eq(key).and(is_other));
            removed.tombstones = marked.set(erased).execute(connection)? as u64;
        }
    }
    Ok(removed)
}

fn erase_some(
    connection: &mut SqliteConnection,
    asked: &NewErasure,
    limit: PageLimit,
    now: DateTime<Utc>,
) -> Result<ErasureStep, Failure> {
    let before = find(connection, asked)?;
    if before.certificate.is_some() {
        return Ok(ErasureStep { erasure: before, has_more: false });
    }
    refuse_held(connection, asked.target)?;
    let mut ids = conversations_of(connection, asked.target, limit)?;
    let has_more = ids.len() > limit.get() as usize;
    ids.truncate(limit.get() as usize);
    let mut digest = ContentDigest::behind(before.content);
    let mut removed = ErasedRows::default();
    for id in &ids {
        removed += remove(connection, *id, &mut digest, now)?;
    }
    if !has_more {
        removed += remove_the_rest(connection, asked.target)?;
        words::forget(connection, asked.target)?;
    }
    let mut erasure = Erasure { erased_at: now, content: digest.hash(), ..before };
    erasure.removed += removed;
    let sequence = next(connection)?;
    diesel::update(erasures::table.find(BlobUuid::from(erasure.erasure_id)))
        .set((
            erasures::sequence.eq(sequence),
            erasures::erased_at.eq(Micros::from(now)),
            erasures::content_hash.eq(erasure.content.0.as_slice()),
            row::counts(&erasure.removed),
        ))
        .execute(connection)?;
    if let Some(event) = erasure::step(asked, &erasure, removed, &ids) {
        audit::record(connection, event, now)?;
    }
    Ok(ErasureStep { erasure, has_more })
}

#[async_trait]
impl ErasureRepository for Sqlite {
    #[tracing::instrument(name = "db.erasure.begin_erasure", skip_all, fields(erasure_id = %new.erasure_id))]
    async fn begin_erasure(&self, new: NewErasure) -> RepositoryResult<Erasure> {
        self.database.write(new.erasure_id, move |connection, now| begin(connection, &new, now)).await
    }

    #[tracing::instrument(name = "db.erasure.erase_some", skip_all, fields(erasure_id = %erasure.erasure_id))]
    async fn erase_some(&self, erasure: NewErasure, limit: PageLimit) -> RepositoryResult<ErasureStep> {
        let step = self
            .database
            .write(erasure.erasure_id, move |connection, now| erase_some(connection, &erasure, limit, now));
        let step = step.await?;
        if !step.has_more {
            self.merge_words().await?;
            // What the log of changes still has of it is overwritten as well.
            self.database.empty_log().await?;
        }
        Ok(step)
    }

    #[tracing::instrument(name = "db.erasure.archived_of", skip_all)]
    async fn archived_of(&self, target: ErasureTarget) -> RepositoryResult<Vec<ArchivedOfTarget>> {
        self.database.read(move |connection| looking::archived_of(connection, target)).await
    }

    #[tracing::instrument(name = "db.erasure.note_archives", skip_all, fields(erasure_id = %erasure.erasure_id))]
    async fn note_archives(
        &self,
        erasure: NewErasure,
        archives: Vec<ErasedArchive>,
    ) -> RepositoryResult<Erasure> {
        self.database
            .write(erasure.erasure_id, move |connection, _| {
                let mut found = find(connection, &erasure)?;
                if found.certificate.is_none() {
                    // Behind this, the files go: one that was placed since the last batch comes in time.
                    refuse_held(connection, erasure.target)?;
                    note(&mut found.archives, archives);
                    let text = erasure::archives_text(&found.archives)?;
                    diesel::update(erasures::table.find(BlobUuid::from(found.erasure_id)))
                        .set(erasures::archives.eq(text))
                        .execute(connection)?;
                }
                Ok(found)
            })
            .await
    }

    #[tracing::instrument(name = "db.erasure.end_erasure", skip_all, fields(erasure_id = %erasure.erasure_id))]
    async fn end_erasure(
        &self,
        erasure: NewErasure,
        certificate: String,
        detail: AuditDetail,
    ) -> RepositoryResult<Erasure> {
        self.database
            .write(erasure.erasure_id, move |connection, now| {
                let found = find(connection, &erasure)?;
                if found.certificate.is_some() {
                    return Ok(found);
                }
                audit::record(connection, erasure.event(&found, AuditOutcome::Done, detail), now)?;
                let recorded = audit::head(connection)?;
                let sequence = next(connection)?;
                diesel::update(erasures::table.find(BlobUuid::from(found.erasure_id)))
                    .set((
                        erasures::sequence.eq(sequence),
                        erasures::certificate.eq(Some(certificate.as_str())),
                        erasures::audit_sequence.eq(i64::try_from(recorded.sequence).ok()),
                        erasures::audit_hash.eq(Some(recorded.hash.0.as_slice())),
                    ))
                    .execute(connection)?;
                Ok(Erasure { certificate: Some(certificate), recorded: Some(recorded), ..found })
            })
            .await
    }

    #[tracing::instrument(name = "db.erasure.ended_erasures", skip_all)]
    async fn ended_erasures(
        &self,
        target: ErasureTarget,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Erasure>> {
        self.database
            .read(move |connection| looking::of_target(connection, target, true, limit.get().into()))
            .await
    }

    #[tracing::instrument(name = "db.erasure.unfinished_erasures", skip_all)]
    async fn unfinished_erasures(&self, target: ErasureTarget) -> RepositoryResult<Vec<Erasure>> {
        self.database
            .read_snapshot(move |connection| {
                let hash = hash_of(connection, target)?;
                looking::unfinished(connection, target, hash)
            })
            .await
    }

    #[tracing::instrument(name = "db.erasure.last_placed_erasure", skip_all)]
    async fn last_placed_erasure(&self) -> RepositoryResult<Option<Erasure>> {
        self.database.read(looking::last_placed).await
    }

    #[tracing::instrument(name = "db.erasure.remaining", skip_all)]
    async fn remaining(&self, target: ErasureTarget) -> RepositoryResult<Vec<RemainingRows>> {
        self.database.read_snapshot(move |connection| looking::remaining(connection, target)).await
    }

    #[tracing::instrument(name = "db.erasure.erased", skip_all, fields(conversations = conversations.len()))]
    async fn erased(&self, conversations: Vec<OwnedConversation>) -> RepositoryResult<Erased> {
        let now = self.database.now();
        let erased = move |connection: &mut SqliteConnection| looking::erased(connection, conversations);
        Ok(Erased { now, conversations: self.database.read_snapshot(erased).await? })
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
        let owned = OwnedConversation { user_id, conversation_id: new.conversation_id };
        // Before it waits for others who write: what they erase is erased since.
        let asked = self.database.now();
        self.database
            .write(new.conversation_id, move |connection, now| {
                let conversations = looking::erased(connection, vec![owned])?;
                if (Erased { now: asked, conversations }).includes_of_age(owned, age) {
                    return Ok(None);
                }
                conversation::create(connection, user_id, new, now).map(Some)
            })
            .await
    }

    #[tracing::instrument(name = "db.erasure.latest_erasure", skip_all)]
    async fn latest_erasure(&self) -> RepositoryResult<u64> {
        self.database.read(|connection| Ok(next(connection)?.unsigned_abs() - 1)).await
    }
}
