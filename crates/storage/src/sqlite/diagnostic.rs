//! What `doctor` asks of a SQLite file. A check that cannot be made is a finding too, and the others go on.

use async_trait::async_trait;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use lcs_domain::diagnostic::Finding;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{DiagnosticRepository, RepositoryError};

use super::error::Failure;
use super::{Sqlite, migration};
use crate::migration::MigrationStatus;

/// Rows that must not be.
struct Check {
    name: &'static str,
    /// Counts them.
    sql: &'static str,
    /// What one of them is, and what several are, for people.
    rows: (&'static str, &'static str),
    remedy: &'static str,
}

const RESTORE: &str = "restore the file from a backup";
const MIGRATE: &str = "run `lcs-persistence migrate run`";

/// The indexes that have names of their own, and the trigger, as the migrations make them. The others are
/// part of their tables.
const STATEMENTS: [(&str, &str); 18] = [
    ("conversations_user_id_idx", "CREATE INDEX conversations_user_id_idx ON conversations (user_id);"),
    ("conversations_status_idx", "CREATE INDEX conversations_status_idx ON conversations (status);"),
    (
        "requests_conversation_id_idx",
        "CREATE INDEX requests_conversation_id_idx ON requests (conversation_id);",
    ),
    (
        "requests_lease_until_idx",
        "CREATE INDEX requests_lease_until_idx ON requests (lease_until) WHERE lease_until IS NOT NULL;",
    ),
    (
        "conversations_refuse_tombstoned",
        "CREATE TRIGGER conversations_refuse_tombstoned BEFORE INSERT ON conversations \
         WHEN EXISTS (SELECT 1 FROM conversation_tombstones t WHERE t.conversation_id = NEW.conversation_id) \
         BEGIN SELECT RAISE(ABORT, 'the conversation has been purged'); END;",
    ),
    (
        "audit_events_on_behalf_of_idx",
        "CREATE INDEX audit_events_on_behalf_of_idx ON audit_events (on_behalf_of, sequence) \
         WHERE on_behalf_of IS NOT NULL;",
    ),
    (
        "audit_events_conversation_id_idx",
        "CREATE INDEX audit_events_conversation_id_idx ON audit_events (conversation_id, sequence) \
         WHERE conversation_id IS NOT NULL;",
    ),
    ("audit_events_action_idx", "CREATE INDEX audit_events_action_idx ON audit_events (action, sequence);"),
    (
        "conversation_tombstones_archive_id_idx",
        "CREATE INDEX conversation_tombstones_archive_id_idx ON conversation_tombstones (archive_id) \
         WHERE archive_id IS NOT NULL;",
    ),
    ("holds_user_id_idx", "CREATE INDEX holds_user_id_idx ON holds (user_id) WHERE released_at IS NULL;"),
    (
        "erasures_user_hash_idx",
        "CREATE INDEX erasures_user_hash_idx ON erasures (user_hash) WHERE conversation_id IS NULL;",
    ),
    (
        "erasures_conversation_id_idx",
        "CREATE INDEX erasures_conversation_id_idx ON erasures (conversation_id) WHERE conversation_id IS NOT NULL;",
    ),
    (
        "conversation_tombstones_user_hash_idx",
        "CREATE INDEX conversation_tombstones_user_hash_idx ON conversation_tombstones (user_hash);",
    ),
    (
        "audit_events_refuse_update",
        "CREATE TRIGGER audit_events_refuse_update BEFORE UPDATE ON audit_events \
         BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END;",
    ),
    (
        "audit_events_refuse_delete",
        "CREATE TRIGGER audit_events_refuse_delete BEFORE DELETE ON audit_events \
         BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END;",
    ),
    (
        "audit_head_refuse_delete",
        "CREATE TRIGGER audit_head_refuse_delete BEFORE DELETE ON audit_head \
         BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END;",
    ),
    (
        "conversation_turns_forget_words",
        "CREATE TRIGGER conversation_turns_forget_words BEFORE DELETE ON conversation_turns \
         WHEN OLD.rowid <= (SELECT place FROM turn_words_progress) BEGIN \
         DELETE FROM turn_words WHERE rowid = OLD.rowid; END;",
    ),
    (
        "conversation_turns_last_words",
        "CREATE TRIGGER conversation_turns_last_words AFTER DELETE ON conversation_turns \
         WHEN EXISTS (SELECT 1 FROM turn_words_progress WHERE place = OLD.rowid AND turn_id = OLD.turn_id) \
         BEGIN UPDATE turn_words_progress SET (place, turn_id) = ( \
         SELECT coalesce(max(t.rowid), 0), coalesce(t.turn_id, x'') FROM conversation_turns t WHERE t.rowid < OLD.rowid); END;",
    ),
];

const CHECKS: [Check; 4] = [
    Check {
        name: "orphaned_turns",
        sql: "SELECT count(*) FROM conversation_turns t WHERE NOT EXISTS (SELECT 1 FROM conversations c \
              WHERE c.conversation_id = t.conversation_id AND c.user_id = t.user_id)",
        rows: ("turn without a conversation of its user", "turns without a conversation of their user"),
        remedy: "something else wrote to the file: restore it from a backup, or delete these turns",
    },
    Check {
        name: "turn_heads",
        sql: "SELECT count(*) FROM conversations c WHERE c.turn_count <> (SELECT count(*) \
              FROM conversation_turns t WHERE t.conversation_id = c.conversation_id) OR c.turn_count <> \
              (SELECT coalesce(max(turn_number), 0) FROM conversation_turns t \
              WHERE t.conversation_id = c.conversation_id)",
        rows: (
            "conversation whose turn count disagrees with its turns",
            "conversations whose turn count disagrees with their turns",
        ),
        remedy: "something else wrote to the file: restore it from a backup",
    },
    Check {
        name: "duplicate_conversations",
        // Past the index that forbids them, because that may be what is damaged.
        sql: "SELECT count(*) FROM (SELECT 1 FROM conversations NOT INDEXED WHERE external_id IS NOT NULL \
              GROUP BY user_id, external_id HAVING count(*) > 1)",
        rows: (
            "external id that names more than one conversation of a user",
            "external ids that name more than one conversation of a user",
        ),
        remedy: "delete the conversations that are not wanted, then run `REINDEX` on the file",
    },
    Check {
        name: "agent_states",
        sql: "SELECT count(*) FROM agent_states s WHERE NOT EXISTS (SELECT 1 FROM conversations c \
              WHERE c.conversation_id = s.conversation_id AND c.user_id = s.user_id \
              AND c.agent_id = s.agent_id AND c.state_revision >= s.revision \
              AND c.turn_count >= s.through_turn)",
        rows: (
            "agent state that disagrees with its conversation",
            "agent states that disagree with their conversation",
        ),
        remedy: "delete these states: the agents are made again from their turns",
    },
];

impl Check {
    fn run(&self, connection: &mut SqliteConnection, file: &str) -> Finding {
        let count: QueryResult<i64> = sql::<BigInt>(self.sql).get_result(connection);
        match count {
            Ok(0) => Finding::ok(self.name, format!("no {}", self.rows.0)),
            Ok(count) => Finding::error(self.name, counted(count, self.rows), self.remedy),
            Err(error) => unable(self.name, error.into(), file),
        }
    }
}

/// `(one, many)` with their number.
pub(super) fn counted(count: i64, (one, many): (&str, &str)) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn unable(check: &'static str, failure: Failure, file: &str) -> Finding {
    let error = failure.into_repository(file);
    let remedy = match error {
        RepositoryError::Backend { .. } => RESTORE,
        RepositoryError::SchemaSkew { .. } => {
            "run `lcs-persistence migrate run`; where it has nothing to run, \
                                               restore the file from a backup"
        }
        _ => "do what the error says, then look again",
    };
    Finding::error(check, format!("cannot be checked: {error}"), remedy)
}

fn schema(status: &[MigrationStatus]) -> Finding {
    const CHECK: &str = "schema";
    let pending: i64 = status.iter().map(|migration| i64::from(!migration.applied)).sum();
    if let Some(unknown) = status.iter().rev().find(|migration| migration.name == "unknown") {
        let detail = format!("at {}, which this program does not know", unknown.version);
        return Finding::error(CHECK, detail, "run the newest program that was used on this database");
    }
    match status.last() {
        Some(newest) if pending == 0 => Finding::ok(CHECK, format!("at {}", newest.version)),
        _ => Finding::error(
            CHECK,
            counted(pending, ("migration is pending", "migrations are pending")),
            MIGRATE,
        ),
    }
}

/// What of [`STATEMENTS`] is missing. `migrated`: no migration is pending, so that none would make it.
fn indexes(connection: &mut SqliteConnection, migrated: bool, file: &str) -> Finding {
    const CHECK: &str = "indexes";
    let found = sql::<Text>("SELECT name FROM sqlite_schema WHERE type IN ('index', 'trigger')");
    let found: Vec<String> = match found.load(connection) {
        Ok(found) => found,
        Err(error) => return unable(CHECK, error.into(), file),
    };
    let (names, statements): (Vec<&str>, Vec<&str>) =
        STATEMENTS.into_iter().filter(|(name, _)| !found.iter().any(|found| found == name)).unzip();
    if names.is_empty() {
        return Finding::ok(CHECK, "all indexes and triggers are there");
    }
    let remedy = if migrated {
        format!("make them in the file with a SQLite shell: {}", statements.join(" "))
    } else {
        MIGRATE.to_owned()
    };
    Finding::error(CHECK, format!("missing: {}", names.join(", ")), remedy)
}

/// SQLite's look at the file's pages, and at each row against the schema.
fn integrity(connection: &mut SqliteConnection, file: &str) -> Finding {
    const CHECK: &str = "integrity";
    match sql::<Text>("PRAGMA quick_check").load::<String>(connection) {
        Ok(lines) if lines.iter().all(|line| line == "ok") => Finding::ok(CHECK, "the file is well-formed"),
        Ok(lines) => {
            let places = i64::try_from(lines.len()).unwrap_or(i64::MAX);
            let places = counted(places, ("place", "places"));
            Finding::error(CHECK, format!("the file is damaged in {places}"), RESTORE)
        }
        Err(error) => unable(CHECK, error.into(), file),
    }
}

fn diagnose(connection: &mut SqliteConnection, pool: Finding, file: &str) -> Vec<Finding> {
    let (schema, migrated) = match migration::status(connection) {
        Ok(status) => (schema(&status), status.iter().all(|migration| migration.applied)),
        Err(failure) => (unable("schema", failure, file), true),
    };
    let mut findings = vec![schema, pool];
    findings.extend(CHECKS.iter().map(|check| check.run(connection, file)));
    findings.push(indexes(connection, migrated, file));
    findings.push(integrity(connection, file));
    findings
}

#[async_trait]
impl DiagnosticRepository for Sqlite {
    #[tracing::instrument(name = "db.diagnostic.diagnose", skip_all)]
    async fn diagnose(&self) -> RepositoryResult<Vec<Finding>> {
        let (pool, file) = (self.database.pool_finding(), self.database.file());
        self.database.read(move |connection| Ok(diagnose(connection, pool, &file))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_are_the_migrations() {
        let migration = concat!(
            include_str!("../../../../migrations/sqlite/2026-11-22-000001_conversations/up.sql"),
            include_str!("../../../../migrations/sqlite/2026-11-22-000002_requests/up.sql"),
            include_str!("../../../../migrations/sqlite/2026-11-26-000004_audit/up.sql"),
            include_str!("../../../../migrations/sqlite/2026-11-26-000005_holds/up.sql"),
            include_str!("../../../../migrations/sqlite/2026-11-26-000006_archives/up.sql"),
            include_str!("../../../../migrations/sqlite/2026-11-26-000007_erasures/up.sql"),
            include_str!("../../../../migrations/sqlite/2026-11-26-000008_search/up.sql"),
        );
        let words = |sql: &str| sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let made =
            migration.matches("\nCREATE INDEX ").count() + migration.matches("\nCREATE TRIGGER ").count();
        assert_eq!(made, STATEMENTS.len());
        for (name, statement) in STATEMENTS {
            assert!(statement.contains(name) && words(migration).contains(statement), "{statement}");
        }
    }
}
