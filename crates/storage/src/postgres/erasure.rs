//! Erasure in PostgreSQL. Each step is a transaction of several statements on a connection of its own, under the lock
//! under which holds are placed: what is counted and hashed is what goes, and no hold comes in between.
//!
//! A step whose answer was lost is done again: it finds what there is left to do.

mod looking;
mod row;

use async_trait::async_trait;
use chrono::TimeDelta;
use diesel::sql_types::{Array, BigInt, Bytea, Nullable, Text as SqlText, Uuid as SqlUuid};
use lcs_domain::audit::AuditHash;
use lcs_domain::erasure::{
    ArchivedOfTarget, ContentDigest, Erased, ErasedArchive, ErasedRows, ErasureStep, OwnedConversation,
    RemainingRows, note, user_hash,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AuditDetail, AuditOutcome, Conversation, ConversationId, Entity, Erasure, ErasureRepository,
    ErasureTarget, Hold, NewAuditEvent, NewConversation, NewErasure, PageLimit, RepositoryError, UserId,
};
use uuid::Uuid;

use self::row::{Columns, ErasureRow};
use super::Postgres;
use super::audit::{Head, Record};
use super::connect::Purpose;
use super::error::Fault;
use super::hold::{HoldRow, Holding, parts};
use super::locked::TakeHolds;
use super::operation::detached;
use super::pool::Session;
use super::retry::outcome_unknown;
use super::row::no_row;
use super::statement::statement;
use super::transfer::{BeginWriting, Commit};
use crate::erasure;

/// The columns of an erasure.
macro_rules! columns {
    () => {
        "erasure_id, user_hash, conversation_id, begun_at, erased_at, conversations, turns, agent_states, requests, \
         holds, retention_overrides, tombstones, content_hash, archives, certificate, audit_sequence, audit_hash"
    };
}
use columns;

statement! {
    /// Whose the target is, as a hash.
    Owner(include_str!("erasure/owner.sql")) -> Nullable<Bytea> {
        user_id: Option<Uuid> as Nullable<SqlUuid>,
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
    }
}

statement! {
    /// The erasure of a target that was begun and has not ended.
    Unfinished(concat!(
        "-- $1 conversation_id  $2 user_hash\nSELECT ", columns!(), " FROM erasures WHERE certificate IS NULL \
         AND ($1 IS NOT NULL AND conversation_id = $1 OR $1 IS NULL AND conversation_id IS NULL AND user_hash = $2) \
         ORDER BY sequence LIMIT 1",
    )) -> Columns {
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
        user_hash: Option<Vec<u8>> as Nullable<Bytea>,
    }
}

statement! {
    /// Begins one. Its number is given under the holds' lock.
    Insert(concat!(
        "-- $1 erasure_id  $2 user_hash  $3 conversation_id  $4 content_hash\n\
         INSERT INTO erasures (erasure_id, sequence, user_hash, conversation_id, content_hash) \
         SELECT $1, coalesce(max(sequence), 0) + 1, $2, $3, $4 FROM erasures RETURNING ", columns!(),
    )) -> Columns {
        erasure_id: Uuid as SqlUuid,
        user_hash: Option<Vec<u8>> as Nullable<Bytea>,
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
        content_hash: Vec<u8> as Bytea,
    }
}

statement! {
    /// One by its id.
    Find(concat!("-- $1 erasure_id\nSELECT ", columns!(), " FROM erasures WHERE erasure_id = $1")) -> Columns {
        erasure_id: Uuid as SqlUuid,
    }
}

statement! {
    /// Conversations of a target, locked.
    Lock(include_str!("erasure/lock.sql")) -> (SqlUuid, SqlUuid) {
        user_id: Option<Uuid> as Nullable<SqlUuid>,
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
        limit: i64 as BigInt,
    }
}

statement! {
    /// How many turns they have, and these turns' hashes.
    Content(include_str!("erasure/content.sql")) -> (SqlUuid, BigInt, Bytea) {
        user_id: Uuid as SqlUuid,
        conversation_ids: Vec<Uuid> as Array<SqlUuid>,
    }
}

statement! {
    /// Removes them: how many, and how many states and requests with them.
    Remove(include_str!("erasure/remove.sql")) -> (BigInt, BigInt, BigInt) {
        user_id: Uuid as SqlUuid,
        conversation_ids: Vec<Uuid> as Array<SqlUuid>,
    }
}

statement! {
    /// Removes the rest: how many requests, holds, own retentions and marked tombstones.
    Rest(include_str!("erasure/rest.sql")) -> (BigInt, BigInt, BigInt, BigInt) {
        user_id: Option<Uuid> as Nullable<SqlUuid>,
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
        user_hash: Option<Vec<u8>> as Nullable<Bytea>,
    }
}

statement! {
    /// Notes what a step has removed.
    Note(concat!(
        "-- $1 erasure_id  $2 content_hash  $3 conversations  $4 turns  $5 agent_states  $6 requests  $7 holds  \
            $8 retention_overrides  $9 tombstones\n\
         UPDATE erasures SET sequence = (SELECT max(sequence) + 1 FROM erasures), erased_at = clock_timestamp(), \
                content_hash = $2, conversations = conversations + $3, turns = turns + $4, \
                agent_states = agent_states + $5, requests = requests + $6, holds = holds + $7, \
                retention_overrides = retention_overrides + $8, tombstones = tombstones + $9 \
          WHERE erasure_id = $1 RETURNING ", columns!(),
    )) -> Columns {
        erasure_id: Uuid as SqlUuid,
        content_hash: Vec<u8> as Bytea,
        conversations: i64 as BigInt,
        turns: i64 as BigInt,
        agent_states: i64 as BigInt,
        requests: i64 as BigInt,
        holds: i64 as BigInt,
        retention_overrides: i64 as BigInt,
        tombstones: i64 as BigInt,
    }
}

statement! {
    /// Notes which archives held something of it.
    NoteArchives(concat!(
        "-- $1 erasure_id  $2 archives\n\
         UPDATE erasures SET archives = $2 WHERE erasure_id = $1 RETURNING ", columns!(),
    )) -> Columns {
        erasure_id: Uuid as SqlUuid,
        archives: Option<String> as Nullable<SqlText>,
    }
}

statement! {
    /// Ends one.
    End(concat!(
        "-- $1 erasure_id  $2 certificate  $3 audit_sequence  $4 audit_hash\n\
         UPDATE erasures SET sequence = (SELECT max(sequence) + 1 FROM erasures), certificate = $2, \
                audit_sequence = $3, audit_hash = $4 WHERE erasure_id = $1 RETURNING ", columns!(),
    )) -> Columns {
        erasure_id: Uuid as SqlUuid,
        certificate: String as SqlText,
        audit_sequence: i64 as BigInt,
        audit_hash: Vec<u8> as Bytea,
    }
}

/// What a transaction does.
enum Step {
    Begin,
    Some(PageLimit),
    Archives(Vec<ErasedArchive>),
    End { certificate: String, detail: AuditDetail },
}

#[async_trait]
impl ErasureRepository for Postgres {
    #[tracing::instrument(name = "db.erasure.begin_erasure", skip_all, fields(erasure_id = %new.erasure_id))]
    async fn begin_erasure(&self, new: NewErasure) -> RepositoryResult<Erasure> {
        Ok(self.erase(new, Step::Begin).await?.erasure)
    }

    #[tracing::instrument(name = "db.erasure.erase_some", skip_all, fields(erasure_id = %erasure.erasure_id))]
    async fn erase_some(&self, erasure: NewErasure, limit: PageLimit) -> RepositoryResult<ErasureStep> {
        self.erase(erasure, Step::Some(limit)).await
    }

    #[tracing::instrument(name = "db.erasure.archived_of", skip_all)]
    async fn archived_of(&self, target: ErasureTarget) -> RepositoryResult<Vec<ArchivedOfTarget>> {
        self.archived_in_each(target).await
    }

    #[tracing::instrument(name = "db.erasure.note_archives", skip_all, fields(erasure_id = %erasure.erasure_id))]
    async fn note_archives(
        &self,
        erasure: NewErasure,
        archives: Vec<ErasedArchive>,
    ) -> RepositoryResult<Erasure> {
        Ok(self.erase(erasure, Step::Archives(archives)).await?.erasure)
    }

    #[tracing::instrument(name = "db.erasure.end_erasure", skip_all, fields(erasure_id = %erasure.erasure_id))]
    async fn end_erasure(
        &self,
        erasure: NewErasure,
        certificate: String,
        detail: AuditDetail,
    ) -> RepositoryResult<Erasure> {
        Ok(self.erase(erasure, Step::End { certificate, detail }).await?.erasure)
    }

    #[tracing::instrument(name = "db.erasure.ended_erasures", skip_all)]
    async fn ended_erasures(
        &self,
        target: ErasureTarget,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Erasure>> {
        self.ended(target, limit).await
    }

    #[tracing::instrument(name = "db.erasure.unfinished_erasures", skip_all)]
    async fn unfinished_erasures(&self, target: ErasureTarget) -> RepositoryResult<Vec<Erasure>> {
        self.unfinished_of(target).await
    }

    #[tracing::instrument(name = "db.erasure.last_placed_erasure", skip_all)]
    async fn last_placed_erasure(&self) -> RepositoryResult<Option<Erasure>> {
        self.last_placed().await
    }

    #[tracing::instrument(name = "db.erasure.remaining", skip_all)]
    async fn remaining(&self, target: ErasureTarget) -> RepositoryResult<Vec<RemainingRows>> {
        self.count_remaining(target).await
    }

    #[tracing::instrument(name = "db.erasure.erased", skip_all, fields(conversations = conversations.len()))]
    async fn erased(&self, conversations: Vec<OwnedConversation>) -> RepositoryResult<Erased> {
        self.which_are_erased(conversations).await
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
        self.create_late(user_id, new, age).await
    }

    #[tracing::instrument(name = "db.erasure.latest_erasure", skip_all)]
    async fn latest_erasure(&self) -> RepositoryResult<u64> {
        self.latest().await
    }
}

impl Postgres {
    /// Does `step` in a transaction of its own, as often as need be.
    async fn erase(&self, asked: NewErasure, step: Step) -> RepositoryResult<ErasureStep> {
        let store = self.clone();
        let key = Uuid::from(asked.erasure_id);
        detached(key, async move {
            let mut tries = store.tries(Purpose::Maintenance);
            loop {
                let mut session = store.pool().own_session(&mut tries).await?;
                let (error, is_lost) = match transact(&mut session, &asked, &step).await {
                    Ok(done) => return Ok(done),
                    Err(fault @ Fault::Yielded) => (fault.into_error(), false),
                    Err(Fault::Lost(reason)) => {
                        tracing::debug!(reason, "a step of an erasure is done again on a new connection");
                        (outcome_unknown(key), true)
                    }
                    Err(fault) => return Err(fault.into_error()),
                };
                if !tries.run_again(store.pool().budget()).await {
                    return Err(error);
                }
                if is_lost {
                    tracing::debug!("it is seen what the lost one did");
                }
            }
        })
        .await
    }
}

/// Whoever leaves before the commit closes the connection, and the server forgets it all.
async fn transact(session: &mut Session, asked: &NewErasure, step: &Step) -> Result<ErasureStep, Fault> {
    session.load::<i32>(&BeginWriting {}).await?;
    session.load::<(String, String)>(&TakeHolds {}).await?;
    let done = match step {
        Step::Begin => ErasureStep { erasure: begin(session, asked).await?, has_more: true },
        Step::Some(limit) => {
            let found = find(session, asked).await?;
            if found.certificate.is_some() {
                return Ok(ErasureStep { erasure: found, has_more: false });
            }
            erase_some(session, asked, found, *limit).await?
        }
        Step::Archives(archives) => {
            let found = find(session, asked).await?;
            if found.certificate.is_some() {
                return Ok(ErasureStep { erasure: found, has_more: false });
            }
            // Behind this, the files go: one that was placed since the last batch comes in time.
            refuse_held(session, asked.target).await?;
            let mut noted = found.archives;
            note(&mut noted, archives.clone());
            let archives = erasure::archives_text(&noted)?;
            let query = NoteArchives { erasure_id: asked.erasure_id.into(), archives };
            let erasure = one(session.load::<ErasureRow>(&query).await?)?.ok_or_else(no_row)?;
            ErasureStep { erasure, has_more: false }
        }
        Step::End { certificate, detail } => {
            let found = find(session, asked).await?;
            if found.certificate.is_some() {
                return Ok(ErasureStep { erasure: found, has_more: false });
            }
            let erasure = end(session, asked, &found, certificate, detail.clone()).await?;
            ErasureStep { erasure, has_more: false }
        }
    };
    session.load::<i32>(&Commit {}).await?;
    Ok(done)
}

async fn begin(session: &mut Session, asked: &NewErasure) -> Result<Erasure, Fault> {
    refuse_held(session, asked.target).await?;
    let (user_id, conversation_id) = parts(asked.target.into());
    let owner = session.load::<Option<Vec<u8>>>(&Owner { user_id, conversation_id }).await?;
    let hash = owner.into_iter().next().flatten();
    let unfinished = Unfinished { conversation_id, user_hash: hash.clone() };
    if let Some(erasure) = one(session.load::<ErasureRow>(&unfinished).await?)? {
        return Ok(erasure);
    }
    let content_hash = AuditHash::default().0.to_vec();
    let erasure_id = asked.erasure_id.into();
    let insert = Insert { erasure_id, user_hash: hash, conversation_id, content_hash };
    let erasure = one(session.load::<ErasureRow>(&insert).await?)?.ok_or_else(no_row)?;
    record(session, erasure::begun(asked, &erasure)).await?;
    Ok(erasure)
}

async fn erase_some(
    session: &mut Session,
    asked: &NewErasure,
    before: Erasure,
    limit: PageLimit,
) -> Result<ErasureStep, Fault> {
    refuse_held(session, asked.target).await?;
    let (user_id, conversation_id) = parts(asked.target.into());
    let lock = Lock { user_id, conversation_id, limit: i64::from(limit.get()) + 1 };
    let mut locked = session.load::<(Uuid, Uuid)>(&lock).await?;
    let has_more = locked.len() > limit.get() as usize;
    locked.truncate(limit.get() as usize);
    let mut digest = ContentDigest::behind(before.content);
    let mut removed = ErasedRows::default();
    let ids: Vec<Uuid> = locked.iter().map(|(conversation_id, _)| *conversation_id).collect();
    // All of them are one user's.
    if let Some((_, owner)) = locked.first().copied() {
        let content = Content { user_id: owner, conversation_ids: ids.clone() };
        let turns = session.load::<(Uuid, i64, Vec<u8>)>(&content).await?;
        for id in &ids {
            let found = turns.iter().find(|(of, ..)| of == id);
            let hashes = found.map_or(&[][..], |(_, _, hashes)| hashes);
            removed.turns += found.map_or(0, |(_, number, _)| number.unsigned_abs());
            digest.add(ConversationId::from_uuid(*id), hashes);
        }
        let remove = Remove { user_id: owner, conversation_ids: ids.clone() };
        let counts = session.load::<(i64, i64, i64)>(&remove).await?;
        let (conversations, states, requests) = counts.into_iter().next().ok_or_else(no_row)?;
        removed.conversations = conversations.unsigned_abs();
        removed.agent_states = states.unsigned_abs();
        removed.requests = requests.unsigned_abs();
    }
    if !has_more {
        let hash = asked.target.user().map(|user_id| user_hash(user_id).0.to_vec());
        let rest = Rest { user_id, conversation_id, user_hash: hash };
        let counts = session.load::<(i64, i64, i64, i64)>(&rest).await?;
        let (requests, holds, own, tombstones) = counts.into_iter().next().ok_or_else(no_row)?;
        removed.requests += requests.unsigned_abs();
        removed.holds = holds.unsigned_abs();
        removed.retention_overrides = own.unsigned_abs();
        removed.tombstones = tombstones.unsigned_abs();
    }
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let note = Note {
        erasure_id: before.erasure_id.into(),
        content_hash: digest.hash().0.to_vec(),
        conversations: number(removed.conversations),
        turns: number(removed.turns),
        agent_states: number(removed.agent_states),
        requests: number(removed.requests),
        holds: number(removed.holds),
        retention_overrides: number(removed.retention_overrides),
        tombstones: number(removed.tombstones),
    };
    let erasure = one(session.load::<ErasureRow>(&note).await?)?.ok_or_else(no_row)?;
    let gone: Vec<_> = ids.into_iter().map(ConversationId::from_uuid).collect();
    if let Some(event) = erasure::step(asked, &erasure, removed, &gone) {
        record(session, event).await?;
    }
    Ok(ErasureStep { erasure, has_more })
}

async fn end(
    session: &mut Session,
    asked: &NewErasure,
    found: &Erasure,
    certificate: &str,
    detail: AuditDetail,
) -> Result<Erasure, Fault> {
    record(session, asked.event(found, AuditOutcome::Done, detail)).await?;
    // The row that was just recorded: its transaction holds the head.
    let head = session.load::<(i64, Vec<u8>)>(&Head {}).await?;
    let (audit_sequence, audit_hash) = head.into_iter().next().ok_or_else(no_row)?;
    let erasure_id = asked.erasure_id.into();
    let end = End { erasure_id, certificate: certificate.to_owned(), audit_sequence, audit_hash };
    Ok(one(session.load::<ErasureRow>(&end).await?)?.ok_or_else(no_row)?)
}

async fn refuse_held(session: &mut Session, target: ErasureTarget) -> Result<(), Fault> {
    let (user_id, conversation_id) = parts(target.into());
    let holding = session.load::<HoldRow>(&Holding { user_id, conversation_id }).await?;
    holding.into_iter().next().map_or(Ok(()), |hold| Err(Hold::from(hold).refusal().into()))
}

async fn find(session: &mut Session, asked: &NewErasure) -> Result<Erasure, Fault> {
    let rows = session.load::<ErasureRow>(&Find { erasure_id: asked.erasure_id.into() }).await?;
    let found = one(rows)?.filter(|erasure| asked.is_of(erasure));
    Ok(found.ok_or(RepositoryError::not_found(Entity::Erasure))?)
}

async fn record(session: &mut Session, event: NewAuditEvent) -> Result<(), Fault> {
    session.load::<bool>(&Record::of(&event)).await.map(drop)
}

fn one(rows: Vec<ErasureRow>) -> RepositoryResult<Option<Erasure>> {
    rows.into_iter().next().map(Erasure::try_from).transpose()
}
