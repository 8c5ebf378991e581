//! The newest rows about one conversation, for somebody who waits in front of a page: by indexes, and for some seconds.

use std::time::Duration;

use diesel::connection::DefaultLoadingMode;
use diesel::dsl::{AsSelect, IntoBoxed, Select, exists, select};
use diesel::prelude::*;
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};
use lcs_domain::{AuditAction, ConversationId, RepositoryError};
use tokio::time::Instant;

use super::{BATCHES, RecordRow};
use crate::sqlite::error::Failure;
use crate::sqlite::limited::limited;
use crate::sqlite::row::BlobUuid;
use crate::sqlite::schema::{audit_events, conversation_tombstones, restorations};

/// How long a look may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

type Rows = IntoBoxed<'static, Select<audit_events::table, AsSelect<RecordRow, Backend>>, Backend>;

fn newest() -> Rows {
    let rows = audit_events::table.select(RecordRow::as_select()).into_boxed::<Backend>();
    rows.order(audit_events::sequence.desc())
}

/// What names the conversation itself.
fn own(conversation_id: ConversationId) -> Rows {
    newest().filter(audit_events::conversation_id.eq(BlobUuid::from(conversation_id)))
}

/// What was done to many conversations at once.
fn batches(action: AuditAction) -> Rows {
    newest().filter(audit_events::action.eq(action.as_str()))
}

/// The newest rows about this conversation, in their order. Which conversations a batch names stands in its text: they are
/// looked through only where a tombstone or a restoration says that this one was removed once, and not behind `end`.
pub(super) fn trail(
    connection: &mut SqliteConnection,
    conversation_id: ConversationId,
    limit: usize,
    end: Instant,
) -> Result<Vec<RecordRow>, Failure> {
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows: Vec<RecordRow> = limited(own(conversation_id), most).load(connection)?;
    if was_removed(connection, conversation_id)? {
        let named = conversation_id.to_string();
        for action in BATCHES {
            let enough = rows.len() + limit;
            for row in batches(action).load_iter::<RecordRow, DefaultLoadingMode>(connection)? {
                if Instant::now() > end {
                    let reason = format!("looking through the audit log took longer than {PATIENCE:?}");
                    return Err(RepositoryError::Overloaded { reason }.into());
                }
                let row = row?;
                if row.names(&named) && !row.is_of(conversation_id) {
                    rows.push(row);
                }
                if rows.len() == enough {
                    break;
                }
            }
        }
    }
    rows.sort_by_key(|row| row.sequence.peek().copied());
    rows.drain(..rows.len().saturating_sub(limit));
    Ok(rows)
}

fn was_removed(connection: &mut SqliteConnection, conversation_id: ConversationId) -> Result<bool, Failure> {
    let id = BlobUuid::from(conversation_id);
    let tombstone = conversation_tombstones::table.find(id).select(conversation_tombstones::conversation_id);
    let restoration = restorations::table.find(id).select(restorations::conversation_id);
    let is_purged: bool = select(exists(tombstone)).get_result(connection)?;
    let is_back: bool = select(exists(restoration)).get_result(connection)?;
    Ok(is_purged || is_back)
}

impl RecordRow {
    /// Whether its text has this in it.
    fn names(&self, id: &str) -> bool {
        self.detail.peek().is_some_and(|detail| detail.contains(id))
    }

    fn is_of(&self, conversation_id: ConversationId) -> bool {
        let id = self.conversation_id.as_ref().and_then(|id| id.peek());
        id.is_some_and(|id| id.as_slice() == conversation_id.as_uuid().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection as _;
    use diesel::dsl::sql;
    use diesel::sql_types::{BigInt, Text};

    use super::*;

    const LOG: &str = include_str!("../../../../../migrations/sqlite/2026-11-26-000004_audit/up.sql");
    const REMOVED: &str = "CREATE TABLE conversation_tombstones (conversation_id BLOB PRIMARY KEY); \
                           CREATE TABLE restorations (conversation_id BLOB PRIMARY KEY)";

    fn log() -> SqliteConnection {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        connection.batch_execute(LOG).unwrap();
        connection.batch_execute(REMOVED).unwrap();
        connection
    }

    fn record(connection: &mut SqliteConnection, sequence: i64, of: &str, action: &str, detail: &str) {
        let row = format!(
            "INSERT INTO audit_events VALUES \
             ({sequence}, 0, 'service', NULL, '{action}', {of}, 'done', '{detail}', zeroblob(32), zeroblob(32))"
        );
        connection.batch_execute(&row).unwrap();
    }

    fn blob(id: ConversationId) -> String {
        format!("x'{}'", id.as_uuid().simple())
    }

    fn look(connection: &mut SqliteConnection, id: ConversationId, limit: usize) -> Vec<i64> {
        let rows = trail(connection, id, limit, Instant::now() + PATIENCE).ok().unwrap();
        rows.into_iter().map(|row| row.sequence.get().unwrap()).collect()
    }

    #[test]
    fn both_looks_go_by_an_index_in_its_order() {
        let mut connection = log();
        let plan = |connection: &mut SqliteConnection, rows: &Rows| {
            let query = format!("EXPLAIN QUERY PLAN {}", diesel::debug_query::<Backend, _>(rows));
            let plan = sql::<(BigInt, BigInt, BigInt, Text)>(&query);
            let plan: Vec<(i64, i64, i64, String)> = plan.load(connection).unwrap();
            plan.into_iter().map(|row| row.3).collect::<Vec<_>>()
        };
        for (rows, index) in [
            (own(ConversationId::generate()), "audit_events_conversation_id_idx (conversation_id=?)"),
            (batches(AuditAction::Purge), "audit_events_action_idx (action=?)"),
        ] {
            // One search, and no sort behind it: the first row is there before the last one is read.
            let expected = format!("SEARCH audit_events USING INDEX {index}");
            assert_eq!(plan(&mut connection, &rows), [expected]);
        }
    }

    #[test]
    fn batches_are_looked_through_only_for_a_conversation_that_was_removed_once() {
        let [stored, removed, restored] = std::array::from_fn(|_| ConversationId::generate());
        let mut connection = log();
        let tombstone = format!("INSERT INTO conversation_tombstones VALUES ({})", blob(removed));
        connection.batch_execute(&tombstone).unwrap();
        let restoration = format!("INSERT INTO restorations VALUES ({})", blob(restored));
        connection.batch_execute(&restoration).unwrap();
        let all = format!("{{\"conversation_ids\":[\"{stored}\",\"{removed}\",\"{restored}\"]}}");
        let mut sequence = 0;
        let mut next = |connection: &mut SqliteConnection, of: &str, action: &str, detail: &str| {
            sequence += 1;
            record(connection, sequence, of, action, detail);
        };
        for id in [stored, removed, restored] {
            next(&mut connection, &blob(id), "conversation_deleted", "{}");
        }
        next(&mut connection, "NULL", "purge", &all);
        next(&mut connection, "NULL", "purge", "{}");
        next(&mut connection, "NULL", "restore", &all);
        // Its own, which names it in its text as well, is there once.
        next(&mut connection, &blob(removed), "erase", &all);
        assert_eq!(look(&mut connection, stored, 10), [1]);
        assert_eq!(look(&mut connection, removed, 10), [2, 4, 6, 7]);
        assert_eq!(look(&mut connection, restored, 10), [3, 4, 6, 7]);
        assert_eq!(look(&mut connection, removed, 2), [6, 7], "the newest");
        assert_eq!(look(&mut connection, restored, 1), [7]);
    }

    #[test]
    fn a_look_through_batches_ends() {
        let (stored, removed) = (ConversationId::generate(), ConversationId::generate());
        let mut connection = log();
        let tombstone = format!("INSERT INTO conversation_tombstones VALUES ({})", blob(removed));
        connection.batch_execute(&tombstone).unwrap();
        record(&mut connection, 1, "NULL", "purge", "{}");
        let over = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        assert!(trail(&mut connection, removed, 10, over).is_err());
        assert!(trail(&mut connection, stored, 10, over).ok().unwrap().is_empty());
    }
}
