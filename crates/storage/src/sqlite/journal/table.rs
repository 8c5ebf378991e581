//! The journal's two tables: each function is a step of a transaction.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use lcs_domain::journal::{ConflictResolution, JournalConflict, JournalEntry, JournalOperation};
use lcs_domain::{PageLimit, RepositoryError, SaveAgentState, UserId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::super::error::Failure;
use super::super::limited::limited;
use super::super::row::{BlobUuid, Cell, Micros};
use super::super::schema::{journal_conflicts, journal_entries};
use super::tally::Tally;
use crate::journal::record::{self, inconsistent};

/// What is said of a row that is not what was written.
const DAMAGED: &str = "it is not what was written: run `lcs-persistence journal set-aside` with its number";

/// A row of either table, in the columns that both have.
#[derive(Queryable)]
pub(super) struct Stored {
    sequence: Cell<i64>,
    user_id: Cell<Vec<u8>>,
    recorded_at: Cell<i64>,
    operation: Cell<Vec<u8>>,
    checksum: Cell<Vec<u8>>,
}

/// A row's content, with the number by which it is named also where the rest cannot be read.
pub(super) struct Read {
    pub(super) sequence: u64,
    pub(super) bytes: u64,
    pub(super) entry: Result<JournalEntry, RepositoryError>,
}

impl Stored {
    /// Whose it is, also where the rest cannot be read.
    pub(super) fn user(&self) -> Option<UserId> {
        let bytes = self.user_id.peek()?;
        Uuid::from_slice(bytes).ok().map(UserId::from_uuid)
    }

    pub(super) fn read(self) -> Read {
        // SQLite gives the row's own key as nothing but an integer.
        let sequence = self.sequence.get().unwrap_or_default().unsigned_abs();
        let operation = self.operation.get();
        let bytes = operation.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let entry = (|| {
            let (user_id, recorded_at) = (self.user_id.get()?, self.recorded_at.get()?);
            let operation = operation?;
            let user_id = Uuid::from_slice(&user_id).map_err(|_| DAMAGED)?;
            if checksum(user_id, recorded_at, &operation) != self.checksum.get()?.as_slice() {
                return Err(DAMAGED);
            }
            let recorded_at = DateTime::from_timestamp_micros(recorded_at).ok_or(DAMAGED)?;
            Ok((UserId::from_uuid(user_id), recorded_at, operation))
        })();
        let entry = entry.map_err(|reason| inconsistent(sequence, reason)).and_then(
            |(user_id, recorded_at, operation)| {
                let operation = record::decode(sequence, &operation)?;
                Ok(JournalEntry { sequence, user_id, recorded_at, operation })
            },
        );
        Read { sequence, bytes, entry }
    }
}

fn checksum(user_id: Uuid, recorded_at: i64, operation: &[u8]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(user_id.as_bytes()).chain_update(recorded_at.to_be_bytes());
    hash.chain_update(operation).finalize().into()
}

/// A sequence number as the column has it. One that it cannot have is no row's.
pub(super) fn column(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

/// Entries behind `after`, as far as they can be read.
pub(super) fn stored_entries(
    connection: &mut SqliteConnection,
    after: u64,
    limit: PageLimit,
) -> QueryResult<Vec<Stored>> {
    let behind = journal_entries::table
        .filter(journal_entries::sequence.gt(column(after)))
        .order(journal_entries::sequence);
    limited(behind, limit.get().into()).load(connection)
}

/// Conflicts behind `after`, with their reasons and times, as far as they can be read.
pub(super) fn stored_conflicts(
    connection: &mut SqliteConnection,
    after: u64,
    limit: PageLimit,
) -> QueryResult<Vec<(Stored, String, i64)>> {
    use journal_conflicts::dsl;
    let behind =
        dsl::journal_conflicts.filter(dsl::sequence.gt(column(after))).order(dsl::sequence).select((
            (dsl::sequence, dsl::user_id, dsl::recorded_at, dsl::operation, dsl::checksum),
            dsl::reason,
            dsl::refused_at,
        ));
    limited(behind, limit.get().into()).load(connection)
}

/// Entries behind `after`, all of them readable.
pub(super) fn entries(
    connection: &mut SqliteConnection,
    after: u64,
    limit: PageLimit,
) -> Result<Vec<JournalEntry>, Failure> {
    let entries = stored_entries(connection, after, limit)?.into_iter();
    Ok(entries.map(|stored| stored.read().entry).collect::<Result<_, _>>()?)
}

/// Conflicts behind `after`. Those that cannot be read are told and passed over: they are counted, a look
/// from outside names them, and an operator has them in hand already.
pub(super) fn conflicts(
    connection: &mut SqliteConnection,
    mut after: u64,
    limit: PageLimit,
) -> Result<Vec<JournalConflict>, Failure> {
    loop {
        let stored = stored_conflicts(connection, after, limit)?;
        let found = stored.len();
        let mut conflicts = Vec::with_capacity(found);
        for (stored, reason, refused_at) in stored {
            let Read { sequence, entry, .. } = stored.read();
            after = sequence;
            match (entry, DateTime::from_timestamp_micros(refused_at)) {
                (Ok(entry), Some(refused_at)) => {
                    conflicts.push(JournalConflict { entry, reason, refused_at });
                }
                (Err(error), _) => tracing::warn!(%error, "a conflict of the journal cannot be read"),
                (Ok(_), None) => tracing::warn!(sequence, "a conflict of the journal has no readable time"),
            }
        }
        // An empty page is the end: one of which nothing can be read is not.
        if found == 0 || !conflicts.is_empty() {
            return Ok(conflicts);
        }
    }
}

/// Takes an operation as the newest entry, and gives its number.
pub(super) fn insert(
    connection: &mut SqliteConnection,
    tally: &mut Tally,
    user_id: UserId,
    operation: &[u8],
    now: DateTime<Utc>,
) -> Result<u64, Failure> {
    use journal_entries::dsl;
    let checksum = checksum(user_id.into(), now.timestamp_micros(), operation);
    let sequence: i64 = diesel::insert_into(dsl::journal_entries)
        .values((
            dsl::user_id.eq(BlobUuid::from(user_id)),
            dsl::recorded_at.eq(Micros::from(now)),
            dsl::operation.eq(operation),
            dsl::checksum.eq(checksum.as_slice()),
        ))
        .returning(dsl::sequence)
        .get_result(connection)?;
    tally.entry(operation.len() as u64, now);
    Ok(sequence.unsigned_abs())
}

/// Forgets an entry; `false` where there is none of this number.
pub(super) fn remove(
    connection: &mut SqliteConnection,
    tally: &mut Tally,
    sequence: u64,
) -> QueryResult<bool> {
    let bytes: Option<i64> = diesel::delete(journal_entries::table.find(column(sequence)))
        .returning(diesel::dsl::sql::<BigInt>("length(operation)"))
        .get_result(connection)
        .optional()?;
    if let Some(bytes) = bytes {
        tally.no_entry(bytes.unsigned_abs());
    }
    Ok(bytes.is_some())
}

/// Makes an entry a conflict, readable or not; `false` where there is none of this number.
pub(super) fn refuse(
    connection: &mut SqliteConnection,
    tally: &mut Tally,
    sequence: u64,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<bool, Failure> {
    let moved = diesel::sql_query(
        "INSERT INTO journal_conflicts (sequence, user_id, recorded_at, operation, checksum, reason, refused_at) \
         SELECT sequence, user_id, recorded_at, operation, checksum, ?, ? FROM journal_entries \
         WHERE sequence = ?",
    )
    .bind::<diesel::sql_types::Text, _>(reason)
    .bind::<BigInt, _>(now.timestamp_micros())
    .bind::<BigInt, _>(column(sequence))
    .execute(connection)?;
    if moved == 0 {
        return Ok(false);
    }
    tally.conflict();
    remove(connection, tally, sequence)?;
    tally.look_for_oldest(connection)?;
    Ok(true)
}

/// The entry of this number.
pub(super) fn find(
    connection: &mut SqliteConnection,
    sequence: u64,
) -> Result<Option<JournalEntry>, Failure> {
    let stored: Option<Stored> =
        journal_entries::table.find(column(sequence)).get_result(connection).optional()?;
    Ok(stored.map(|stored| stored.read().entry).transpose()?)
}

/// Makes the agent state of an appending entry a conflict of its own.
pub(super) fn refuse_agent_state(
    connection: &mut SqliteConnection,
    tally: &mut Tally,
    sequence: u64,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let Some(JournalEntry { user_id, recorded_at, operation, .. }) = find(connection, sequence)? else {
        return Ok(());
    };
    let JournalOperation::Append(mut append) = operation else {
        return Ok(());
    };
    let whole = JournalOperation::Append(append.clone());
    let Some(state) = append.agent_state.take() else {
        return Ok(());
    };
    let save = SaveAgentState {
        agent_id: state.agent_id,
        conversation_id: append.conversation_id,
        agent_config: state.agent_config,
        current_state: Some(state.current_state),
        expected_revision: state.expected_revision,
        // Its own turn is somewhere behind these. It may be shown that one again; none that it has not
        // seen is kept from it.
        through_turn: append.expected_turn_count.unwrap_or_default(),
    };
    let (whole, rest) = (record::encode(&whole)?, record::encode(&JournalOperation::Append(append))?);
    rewrite(connection, sequence, user_id, recorded_at, &rest)?;
    tally.resized(whole.len() as u64, rest.len() as u64);
    // Through the entries, because a number comes from there.
    let saved = record::encode(&JournalOperation::Save(save))?;
    let number = insert(connection, tally, user_id, &saved, recorded_at)?;
    refuse(connection, tally, number, reason, now).map(drop)
}

/// Notes what an updating entry is about to be done to.
pub(super) fn note_tried(
    connection: &mut SqliteConnection,
    tally: &mut Tally,
    sequence: u64,
    tried_on: DateTime<Utc>,
) -> Result<(), Failure> {
    let Some(JournalEntry { user_id, recorded_at, mut operation, .. }) = find(connection, sequence)? else {
        return Ok(());
    };
    let before = record::encode(&operation)?;
    let JournalOperation::Update { base, .. } = &mut operation else {
        return Ok(());
    };
    base.tried_on = Some(tried_on);
    let noted = record::encode(&operation)?;
    rewrite(connection, sequence, user_id, recorded_at, &noted)?;
    tally.resized(before.len() as u64, noted.len() as u64);
    Ok(())
}

/// Gives an entry another record.
fn rewrite(
    connection: &mut SqliteConnection,
    sequence: u64,
    user_id: UserId,
    recorded_at: DateTime<Utc>,
    operation: &[u8],
) -> QueryResult<usize> {
    use journal_entries::dsl;
    let checksum = checksum(user_id.into(), recorded_at.timestamp_micros(), operation);
    diesel::update(dsl::journal_entries.find(column(sequence)))
        .set((dsl::operation.eq(operation), dsl::checksum.eq(checksum.as_slice())))
        .execute(connection)
}

/// Does with a conflict what an operator decided; `false` where there is none of this number.
pub(super) fn resolve(
    connection: &mut SqliteConnection,
    tally: &mut Tally,
    sequence: u64,
    resolution: ConflictResolution,
) -> Result<bool, Failure> {
    use journal_conflicts::dsl;
    let of_number = dsl::journal_conflicts.find(column(sequence));
    if resolution == ConflictResolution::Retry {
        let stored: Option<Stored> = of_number
            .select((dsl::sequence, dsl::user_id, dsl::recorded_at, dsl::operation, dsl::checksum))
            .get_result(connection)
            .optional()?;
        let Some(stored) = stored else {
            return Ok(false);
        };
        let entry = stored.read().entry?;
        let operation = record::encode(&entry.operation.for_whatever_is_there())?;
        // Not a moment younger: what was erased since is not to come back by it.
        insert(connection, tally, entry.user_id, &operation, entry.recorded_at)?;
    }
    let gone = diesel::delete(of_number).execute(connection)? > 0;
    if gone {
        tally.no_conflict();
    }
    Ok(gone)
}

/// Writes, so that the disk has to take something.
pub(super) fn write_something(connection: &mut SqliteConnection) -> Result<(), Failure> {
    use diesel::connection::SimpleConnection;
    #[derive(QueryableByName)]
    struct Version {
        #[diesel(sql_type = BigInt)]
        user_version: i64,
    }
    let Version { user_version } = diesel::sql_query("PRAGMA user_version").get_result(connection)?;
    // The number means nothing here, and any number is as good.
    let next = (user_version + 1) % 1_000_000;
    Ok(connection.batch_execute(&format!("PRAGMA user_version={next}"))?)
}
