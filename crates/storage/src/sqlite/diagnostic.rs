//! What `doctor` asks of a SQLite file. A check that cannot be made is a finding too, and the others go on.

use async_trait::async_trait;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use lcs_domain::DiagnosticRepository;
use lcs_domain::diagnostic::Finding;
use lcs_domain::repository::RepositoryResult;

use super::error::Failure;
use super::{Sqlite, migration};
use crate::migration::MigrationStatus;

/// Rows that must not be.
struct Check {
    name: &'static str,
    /// Counts them.
    sql: &'static str,
    /// What they are, for people.
    rows: &'static str,
    remedy: &'static str,
}

const RESTORE: &str = "restore the file from a backup";

const CHECKS: [Check; 4] = [
    Check {
        name: "orphaned_turns",
        sql: "SELECT count(*) FROM conversation_turns t WHERE NOT EXISTS (SELECT 1 FROM conversations c \
              WHERE c.conversation_id = t.conversation_id AND c.user_id = t.user_id)",
        rows: "turns without a conversation of their user",
        remedy: "something else wrote to the file: restore it from a backup, or delete these turns",
    },
    Check {
        name: "turn_heads",
        sql: "SELECT count(*) FROM conversations c WHERE c.turn_count <> (SELECT count(*) \
              FROM conversation_turns t WHERE t.conversation_id = c.conversation_id) OR c.turn_count <> \
              (SELECT coalesce(max(turn_number), 0) FROM conversation_turns t \
              WHERE t.conversation_id = c.conversation_id)",
        rows: "conversations whose turn count disagrees with their turns",
        remedy: "something else wrote to the file: restore it from a backup",
    },
    Check {
        name: "duplicate_conversations",
        // Past the index that forbids them, because that may be what is damaged.
        sql: "SELECT count(*) FROM (SELECT 1 FROM conversations NOT INDEXED WHERE external_id IS NOT NULL \
              GROUP BY user_id, external_id HAVING count(*) > 1)",
        rows: "external ids that name more than one conversation of a user",
        remedy: "delete the conversations that are not wanted, then run `REINDEX` on the file",
    },
    Check {
        name: "agent_states",
        sql: "SELECT count(*) FROM agent_states s WHERE NOT EXISTS (SELECT 1 FROM conversations c \
              WHERE c.conversation_id = s.conversation_id AND c.user_id = s.user_id \
              AND c.agent_id = s.agent_id AND c.state_revision >= s.revision \
              AND c.turn_count >= s.through_turn)",
        rows: "agent states that disagree with their conversation",
        remedy: "delete these states: the agents are made again from their turns",
    },
];

impl Check {
    fn run(&self, connection: &mut SqliteConnection, file: &str) -> Finding {
        let count: QueryResult<i64> = sql::<BigInt>(self.sql).get_result(connection);
        match count {
            Ok(0) => Finding::ok(self.name, format!("no {}", self.rows)),
            Ok(count) => Finding::error(self.name, format!("{count} {}", self.rows), self.remedy),
            Err(error) => unable(self.name, error.into(), file),
        }
    }
}

fn unable(check: &'static str, failure: Failure, file: &str) -> Finding {
    Finding::error(check, format!("cannot be checked: {}", failure.into_repository(file)), RESTORE)
}

fn schema(status: &[MigrationStatus]) -> Finding {
    const CHECK: &str = "schema";
    let pending = status.iter().filter(|migration| !migration.applied).count();
    if let Some(unknown) = status.iter().rev().find(|migration| migration.name == "unknown") {
        let detail = format!("at {}, which this program does not know", unknown.version);
        return Finding::error(CHECK, detail, "run the newest program that was used on this database");
    }
    match status.last() {
        Some(newest) if pending == 0 => Finding::ok(CHECK, format!("at {}", newest.version)),
        _ => Finding::error(
            CHECK,
            format!("{pending} migrations are pending"),
            "run `lcs-persistence migrate run`",
        ),
    }
}

/// The indexes that have names of their own, with the trigger, and SQLite's look at what they index: the
/// file's pages, and each row against the schema.
fn indexes(connection: &mut SqliteConnection, file: &str) -> Finding {
    const CHECK: &str = "indexes";
    const MISSING: &str = "SELECT 3 - count(*) FROM sqlite_schema WHERE name IN ('conversations_user_id_idx', \
                           'conversations_status_idx', 'conversations_refuse_tombstoned')";
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text)]
        quick_check: String,
    }
    let mut look = || -> QueryResult<(i64, Vec<Line>)> {
        let missing = sql::<BigInt>(MISSING).get_result(connection)?;
        Ok((missing, diesel::sql_query("PRAGMA quick_check").load(connection)?))
    };
    match look() {
        Ok((_, lines)) if lines.iter().any(|line| line.quick_check != "ok") => {
            Finding::error(CHECK, format!("the file is damaged in {} places", lines.len()), RESTORE)
        }
        Ok((0, _)) => Finding::ok(CHECK, "all there, in a well-formed file"),
        Ok((missing, _)) => Finding::error(
            CHECK,
            format!("{missing} indexes and triggers are missing"),
            "create them again as migrations/sqlite does",
        ),
        Err(error) => unable(CHECK, error.into(), file),
    }
}

fn diagnose(connection: &mut SqliteConnection, pool: Finding, file: &str) -> Vec<Finding> {
    let schema = match migration::status(connection) {
        Ok(status) => schema(&status),
        Err(failure) => unable("schema", failure, file),
    };
    let mut findings = vec![schema, pool];
    findings.extend(CHECKS.iter().map(|check| check.run(connection, file)));
    findings.push(indexes(connection, file));
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
