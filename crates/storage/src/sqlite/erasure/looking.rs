//! What is asked about erasures: which there were, what is left, and what is not to come back.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Text};
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};
use lcs_domain::audit::AuditHash;
use lcs_domain::erasure::{
    ArchivedOfTarget, ErasedConversation, OwnedConversation, RemainingRows, user_hash,
};
use lcs_domain::transfer::IncomingHead;
use lcs_domain::{ArchiveId, Conversation, Erasure, ErasureTarget, HoldTarget, PurgeReason};

use super::super::error::Failure;
use super::super::hold;
use super::super::limited::limited;
use super::super::row::{BlobUuid, Cell, Reader};
use super::super::schema::{conversation_tombstones, erasures};
use super::row::ErasureRow;
use super::words;

/// The tables that have a column for a user's id or a conversation's, but for those whose rows stay: they are known to
/// the database, and not only to this program.
const TABLES: &str = "\
    SELECT t.name AS name, max(c.name = 'user_id') AS has_user, max(c.name = 'conversation_id') AS has_conversation \
      FROM pragma_table_list t JOIN pragma_table_info(t.name) c \
     WHERE t.schema = 'main' AND t.type = 'table' AND c.name IN ('user_id', 'conversation_id') \
       AND t.name NOT IN ('audit_events', 'conversation_tombstones', 'erasures') \
     GROUP BY t.name ORDER BY t.name";

#[derive(QueryableByName)]
struct TableRow {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Bool)]
    has_user: bool,
    #[diesel(sql_type = Bool)]
    has_conversation: bool,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// The erasures of a target that have ended, or have not; the newest first.
pub(super) fn of_target(
    connection: &mut SqliteConnection,
    target: ErasureTarget,
    has_ended: bool,
    limit: i64,
) -> Result<Vec<Erasure>, Failure> {
    let mut rows = erasures::table.select(ErasureRow::as_select()).into_boxed();
    rows = match target {
        ErasureTarget::User(user_id) => {
            let hash = user_hash(user_id).0.to_vec();
            rows.filter(erasures::conversation_id.is_null().and(erasures::user_hash.eq(hash)))
        }
        ErasureTarget::Conversation(id) => rows.filter(erasures::conversation_id.eq(BlobUuid::from(id))),
    };
    rows = if has_ended {
        rows.filter(erasures::certificate.is_not_null())
    } else {
        rows.filter(erasures::certificate.is_null())
    };
    let rows: Vec<ErasureRow> = limited(rows.order(erasures::sequence.desc()), limit).load(connection)?;
    Ok(rows.into_iter().map(Erasure::try_from).collect::<Result<_, _>>()?)
}

/// The erasures that have not ended and are of something of a target, which is of the user with this hash.
pub(super) fn unfinished(
    connection: &mut SqliteConnection,
    target: ErasureTarget,
    hash: Option<AuditHash>,
) -> Result<Vec<Erasure>, Failure> {
    let hash = hash.map(|hash| hash.0.to_vec());
    let mut rows = erasures::table.select(ErasureRow::as_select()).into_boxed();
    rows = match target {
        ErasureTarget::User(_) => rows.filter(erasures::user_hash.eq(hash)),
        ErasureTarget::Conversation(id) => {
            let of_user = erasures::conversation_id.is_null().and(erasures::user_hash.eq(hash));
            rows.filter(erasures::conversation_id.eq(BlobUuid::from(id)).or(of_user))
        }
    };
    let rows: Vec<ErasureRow> =
        rows.filter(erasures::certificate.is_null()).order(erasures::sequence).load(connection)?;
    Ok(rows.into_iter().map(Erasure::try_from).collect::<Result<_, _>>()?)
}

/// The last erasure that has noted what the archives' place is known by; one that has not ended comes first.
pub(super) fn last_placed(connection: &mut SqliteConnection) -> Result<Option<Erasure>, Failure> {
    let row: Option<ErasureRow> = erasures::table
        .select(ErasureRow::as_select())
        .filter(erasures::archives.like("%\"place_id\":\"%"))
        .order((erasures::certificate.is_not_null(), erasures::sequence.desc()))
        .first(connection)
        .optional()?;
    Ok(row.map(Erasure::try_from).transpose()?)
}

/// How many rows of each table name the target.
pub(super) fn remaining(
    connection: &mut SqliteConnection,
    target: ErasureTarget,
) -> Result<Vec<RemainingRows>, Failure> {
    let tables: Vec<TableRow> = diesel::sql_query(TABLES).load(connection)?;
    let mut remaining = Vec::with_capacity(tables.len());
    for TableRow { name, has_user, has_conversation } in tables {
        let (condition, named_by) = match target {
            ErasureTarget::User(user_id) if has_user => {
                ("user_id = ?", user_id.as_uuid().as_bytes().to_vec())
            }
            ErasureTarget::User(user_id) => {
                let condition = "conversation_id IN \
                                 (SELECT conversation_id FROM conversation_tombstones WHERE user_hash = ?)";
                (condition, user_hash(user_id).0.to_vec())
            }
            ErasureTarget::Conversation(id) if has_conversation => {
                ("conversation_id = ?", id.as_uuid().as_bytes().to_vec())
            }
            ErasureTarget::Conversation(_) => continue,
        };
        // The name is the file's own.
        let name = name.replace('"', "\"\"");
        let count = format!("SELECT count(*) AS number FROM \"{name}\" WHERE {condition}");
        let CountRow { number } =
            diesel::sql_query(count).bind::<Binary, _>(named_by).get_result(connection)?;
        remaining.push(RemainingRows { table: name, rows: number.unsigned_abs() });
    }
    // It has no such column, and is no table that the list above names.
    remaining.push(RemainingRows { table: "turn_words".to_owned(), rows: words::count(connection, target)? });
    Ok(remaining)
}

/// The archives that tombstones of the target name, each with how many.
pub(super) fn archived_of(
    connection: &mut SqliteConnection,
    target: ErasureTarget,
) -> Result<Vec<ArchivedOfTarget>, Failure> {
    use conversation_tombstones as tombstones;
    let mut rows = tombstones::table
        .filter(tombstones::archive_id.is_not_null())
        .select(tombstones::archive_id)
        .into_boxed::<Backend>();
    rows = match target {
        ErasureTarget::User(user_id) => rows.filter(tombstones::user_hash.eq(user_hash(user_id).0.to_vec())),
        ErasureTarget::Conversation(id) => rows.filter(tombstones::conversation_id.eq(BlobUuid::from(id))),
    };
    let named: Vec<Option<Cell<Vec<u8>>>> = rows.load(connection)?;
    let mut counts: BTreeMap<ArchiveId, u64> = BTreeMap::new();
    for cell in named.into_iter().flatten() {
        let reader = Reader::new("conversation_tombstones", "archive_id", cell)?;
        *counts.entry(ArchiveId::from_uuid(reader.key())).or_default() += 1;
    }
    let counts = counts.into_iter();
    Ok(counts.map(|(archive_id, conversations)| ArchivedOfTarget { archive_id, conversations }).collect())
}

/// Whether an import that began then must not bring this in: it is not stored, and it was erased, or its user was since.
pub(in crate::sqlite) fn is_erased(
    connection: &mut SqliteConnection,
    head: &IncomingHead,
    began: DateTime<Utc>,
) -> Result<bool, Failure> {
    let Conversation { user_id, conversation_id, .. } = head.conversation;
    let is_any: bool =
        diesel::select(exists(erasures::table.select(erasures::erasure_id))).get_result(connection)?;
    if !is_any || hold::owner(connection, conversation_id)?.is_some() {
        return Ok(false);
    }
    let found = erased(connection, vec![OwnedConversation { user_id, conversation_id }])?;
    Ok(found.iter().any(|erased| erased.includes(began)))
}

/// Those of these that are erased, or of users who are.
pub(super) fn erased(
    connection: &mut SqliteConnection,
    asked: Vec<OwnedConversation>,
) -> Result<Vec<ErasedConversation>, Failure> {
    let mut found = Vec::new();
    for owned in asked {
        let key = BlobUuid::from(owned.conversation_id);
        let tombstone = conversation_tombstones::table
            .find(key)
            .filter(conversation_tombstones::reason.eq(PurgeReason::Erased.as_str()));
        // An erasure that a hold has stopped before its end erases nothing of what is held.
        let held = hold::holding(connection, HoldTarget::User(owned.user_id))?;
        let is_held = held.iter().any(|hold| hold.holds(owned.user_id, owned.conversation_id));
        let counts = || erasures::audit_sequence.is_not_null().or((!is_held).into_sql::<Bool>());
        let of_it = erasures::table.filter(erasures::conversation_id.eq(key).and(counts()));
        let has_tombstone: bool = diesel::select(exists(tombstone)).get_result(connection)?;
        let is_erased = has_tombstone || diesel::select(exists(of_it)).get_result(connection)?;
        let hash = user_hash(owned.user_id).0.to_vec();
        let user_erased_at: Option<i64> = erasures::table
            .filter(erasures::conversation_id.is_null().and(erasures::user_hash.eq(hash)).and(counts()))
            .select(diesel::dsl::max(erasures::erased_at))
            .get_result(connection)?;
        let user_erased_at = user_erased_at.and_then(DateTime::<Utc>::from_timestamp_micros);
        if is_erased || user_erased_at.is_some() {
            found.push(ErasedConversation { owned, user_erased_at, is_erased });
        }
    }
    Ok(found)
}
