//! What is asked about erasures: which there were, what is left, and what is not to come back.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid,
};
use lcs_domain::erasure::{
    ArchivedOfTarget, Erased, ErasedConversation, OwnedConversation, RemainingRows, user_hash,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{ArchiveId, ConversationId, Erasure, ErasureTarget, PageLimit, UserId};
use tokio::time::Instant;
use uuid::Uuid;

use super::Owner;
use super::columns;
use super::row::{Columns, ErasureRow};
use crate::postgres::Postgres;
use crate::postgres::connect::Purpose;
use crate::postgres::error::Fault;
use crate::postgres::hold::parts;
use crate::postgres::operation::Effect;
use crate::postgres::statement::statement;

statement! {
    /// The erasures of a target that have ended.
    Ended(concat!(
        "-- $1 conversation_id  $2 user_hash  $3 limit\nSELECT ", columns!(), " FROM erasures \
         WHERE certificate IS NOT NULL \
         AND ($1 IS NOT NULL AND conversation_id = $1 OR $1 IS NULL AND conversation_id IS NULL AND user_hash = $2) \
         ORDER BY sequence DESC LIMIT $3",
    )) -> Columns {
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
        user_hash: Option<Vec<u8>> as Nullable<Bytea>,
        limit: i64 as BigInt,
    }
}

statement! {
    /// The erasures that have not ended and are of something of a target.
    OfTarget(concat!(
        "-- $1 conversation_id  $2 user_hash\nSELECT ", columns!(), " FROM erasures WHERE certificate IS NULL \
         AND (conversation_id = $1 OR user_hash = $2 AND ($1 IS NULL OR conversation_id IS NULL)) \
         ORDER BY sequence",
    )) -> Columns {
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
        user_hash: Option<Vec<u8>> as Nullable<Bytea>,
    }
}

statement! {
    /// The last erasure that has noted what the archives' place is known by; one that has not ended comes first.
    Placed(concat!(
        "SELECT ", columns!(), " FROM erasures WHERE archives LIKE '%\"place_id\":\"%' \
         ORDER BY certificate IS NOT NULL, sequence DESC LIMIT 1",
    )) -> Columns {}
}

statement! {
    /// Which conversations are erased, or of users who are.
    AreErased(include_str!("erased.sql")) -> (Timestamptz, SqlUuid, SqlUuid, Nullable<Timestamptz>, Bool) {
        user_ids: Vec<Uuid> as Array<SqlUuid>,
        conversation_ids: Vec<Uuid> as Array<SqlUuid>,
    }
}

statement! {
    /// The archives that tombstones of a target name, each with how many.
    ArchivedIn(
        "-- $1 conversation_id  $2 user_hash (one of them is null)\n\
         SELECT archive_id, count(*) FROM conversation_tombstones \
          WHERE archive_id IS NOT NULL AND (conversation_id = $1 OR user_hash = $2) \
          GROUP BY archive_id ORDER BY archive_id"
    ) -> (SqlUuid, BigInt) {
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
        user_hash: Option<Vec<u8>> as Nullable<Bytea>,
    }
}

statement! {
    /// The number of the last step of any erasure.
    Latest("SELECT coalesce(max(sequence), 0) FROM erasures") -> BigInt {}
}

statement! {
    /// The tables that are looked at: their names as SQL has them, and which of the two columns they have.
    Tables(include_str!("tables.sql")) -> (SqlText, Bool, Bool) {}
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = SqlText)]
    name: String,
    #[diesel(sql_type = BigInt)]
    number: i64,
}

type ErasedRow = (DateTime<Utc>, Uuid, Uuid, Option<DateTime<Utc>>, bool);

impl Postgres {
    pub(super) async fn ended(
        &self,
        target: ErasureTarget,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Erasure>> {
        let (_, conversation_id) = parts(target.into());
        let user_hash = target.user().map(|user_id| user_hash(user_id).0.to_vec());
        let query = Ended { conversation_id, user_hash, limit: limit.get().into() };
        let answer = self.run::<ErasureRow>(Purpose::Maintenance, Effect::Reads, &query).await;
        answer.map_err(Fault::into_error)?.rows.into_iter().map(Erasure::try_from).collect()
    }

    pub(super) async fn unfinished_of(&self, target: ErasureTarget) -> RepositoryResult<Vec<Erasure>> {
        let (user_id, conversation_id) = parts(target.into());
        let owner = Owner { user_id, conversation_id };
        let answer = self.run::<Option<Vec<u8>>>(Purpose::Maintenance, Effect::Reads, &owner).await;
        let user_hash = answer.map_err(Fault::into_error)?.one().flatten();
        let query = OfTarget { conversation_id, user_hash };
        let answer = self.run::<ErasureRow>(Purpose::Maintenance, Effect::Reads, &query).await;
        answer.map_err(Fault::into_error)?.rows.into_iter().map(Erasure::try_from).collect()
    }

    pub(super) async fn last_placed(&self) -> RepositoryResult<Option<Erasure>> {
        let answer = self.run::<ErasureRow>(Purpose::Maintenance, Effect::Reads, &Placed {}).await;
        answer.map_err(Fault::into_error)?.one().map(Erasure::try_from).transpose()
    }

    pub(in crate::postgres) async fn which_are_erased(
        &self,
        mut asked: Vec<OwnedConversation>,
    ) -> RepositoryResult<Erased> {
        // One statement for all of them, unless row-level security shows each the holds of one user.
        let one_by_one = self.pool().connector().config().row_level_security;
        if one_by_one {
            asked.sort_unstable_by_key(|owned| *owned.user_id.as_uuid());
        }
        let mut rows = Vec::new();
        for asked in asked.chunk_by(|one, next| !one_by_one || one.user_id == next.user_id) {
            let Some(first) = asked.first() else { continue };
            let query = AreErased {
                user_ids: asked.iter().map(|owned| owned.user_id.into()).collect(),
                conversation_ids: asked.iter().map(|owned| owned.conversation_id.into()).collect(),
            };
            let found: Vec<ErasedRow> = self.read(first.user_id, &query).await?;
            rows.extend(found);
        }
        // Where nothing is erased, it does not matter what time it is; and where there were many answers, the first one's is past.
        let now = match rows.first() {
            Some(_) if one_by_one => self.ago(Purpose::Service, TimeDelta::zero(), Instant::now()).await?,
            first => first.map_or(DateTime::UNIX_EPOCH, |(now, ..)| *now),
        };
        let erased =
            |(_, user_id, conversation_id, user_erased_at, is_erased): ErasedRow| ErasedConversation {
                owned: OwnedConversation {
                    user_id: UserId::from_uuid(user_id),
                    conversation_id: ConversationId::from_uuid(conversation_id),
                },
                user_erased_at,
                is_erased,
            };
        Ok(Erased { now, conversations: rows.into_iter().map(erased).collect() })
    }

    pub(super) async fn archived_in_each(
        &self,
        target: ErasureTarget,
    ) -> RepositoryResult<Vec<ArchivedOfTarget>> {
        let (_, conversation_id) = parts(target.into());
        let user_hash = target.user().map(|user_id| user_hash(user_id).0.to_vec());
        let query = ArchivedIn { conversation_id, user_hash };
        let answer = self.run::<(Uuid, i64)>(Purpose::Maintenance, Effect::Reads, &query).await;
        let rows = answer.map_err(Fault::into_error)?.rows.into_iter();
        Ok(rows
            .map(|(archive_id, number)| ArchivedOfTarget {
                archive_id: ArchiveId::from_uuid(archive_id),
                conversations: number.unsigned_abs(),
            })
            .collect())
    }

    pub(super) async fn latest(&self) -> RepositoryResult<u64> {
        let answer = self.run::<i64>(Purpose::Service, Effect::Reads, &Latest {}).await;
        Ok(answer.map_err(Fault::into_error)?.one().unwrap_or_default().unsigned_abs())
    }

    /// Counts in all tables by one statement, which is of one snapshot.
    pub(super) async fn count_remaining(
        &self,
        target: ErasureTarget,
    ) -> RepositoryResult<Vec<RemainingRows>> {
        let answer = self.run::<(String, bool, bool)>(Purpose::Maintenance, Effect::Reads, &Tables {}).await;
        let tables = answer.map_err(Fault::into_error)?.rows;
        let counts = tables.iter().filter_map(|(name, has_user, has_conversation)| {
            let condition = match target {
                ErasureTarget::User(_) if *has_user => "user_id = $1",
                ErasureTarget::User(_) => {
                    "conversation_id IN (SELECT conversation_id FROM conversation_tombstones \
                     WHERE user_hash = sha256(uuid_send($1)))"
                }
                ErasureTarget::Conversation(_) if *has_conversation => "conversation_id = $1",
                ErasureTarget::Conversation(_) => return None,
            };
            Some(format!("SELECT '{name}' AS name, count(*) AS number FROM {name} WHERE {condition}"))
        });
        let counts = counts.collect::<Vec<_>>().join(" UNION ALL ");
        if counts.is_empty() {
            return Ok(Vec::new());
        }
        let (user_id, conversation_id) = parts(target.into());
        let id = user_id.or(conversation_id).unwrap_or_default();
        // The names are the catalogue's own, and quoted by it.
        let query = diesel::sql_query(counts).bind::<SqlUuid, _>(id);
        let answer = self.run::<CountRow>(Purpose::Maintenance, Effect::Reads, &query).await;
        let rows = answer.map_err(Fault::into_error)?.rows.into_iter();
        Ok(rows.map(|row| RemainingRows { table: row.name, rows: row.number.unsigned_abs() }).collect())
    }
}
