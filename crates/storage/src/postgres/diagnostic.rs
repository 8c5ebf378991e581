//! What `doctor` asks of a PostgreSQL database.

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Bool, Text as SqlText};
use lcs_domain::RepositoryError;
use lcs_domain::diagnostic::Finding;
use lcs_domain::repository::{DiagnosticRepository, RepositoryResult};

use super::Postgres;
use super::connect::Purpose;
use super::error::Fault;
use super::operation::Effect;
use super::row::no_row;
use super::statement::statement;
use crate::migration::{MigrationStatus, Migrations};

/// The indexes that promises and plans rest on.
const INDEXES: [&str; 29] = [
    "agent_states_conversation_id_key",
    "agent_states_pkey",
    "archives_pkey",
    "audit_events_conversation_id_idx",
    "audit_events_on_behalf_of_idx",
    "audit_events_pkey",
    "conversation_tombstones_archive_id_idx",
    "conversation_tombstones_pkey",
    "conversation_tombstones_user_hash_idx",
    "conversation_turns_conversation_id_turn_number_key",
    "conversation_turns_pkey",
    "conversations_agent_id_key",
    "conversations_pkey",
    "conversations_status_idx",
    "conversations_user_id_active_hour_idx",
    "conversations_user_id_external_id_key",
    "erasures_conversation_id_idx",
    "erasures_pkey",
    "erasures_sequence_key",
    "erasures_user_hash_idx",
    "holds_pkey",
    "holds_user_id_idx",
    "requests_conversation_id_idx",
    "requests_lease_until_idx",
    "requests_pkey",
    "requests_user_id_idempotency_key_key",
    "restorations_pkey",
    "retention_overrides_pkey",
    "retention_pace_pkey",
];

const MIGRATE: &str = "run `lcs-persistence migrate run`";

statement! {
    /// Counts the rows that must not be.
    Rows(include_str!("diagnostic/rows.sql")) -> (BigInt, BigInt, BigInt, BigInt) {}
}

statement! {
    /// The indexes of the schema, and whether they are in use.
    Indexes(include_str!("diagnostic/indexes.sql")) -> (SqlText, Bool) {
        namespace: String as SqlText,
    }
}

statement! {
    /// The locale of the server's messages to this role.
    Messages("SELECT current_setting('lc_messages')") -> SqlText {}
}

#[async_trait]
impl DiagnosticRepository for Postgres {
    #[tracing::instrument(name = "db.diagnostic.diagnose", skip_all)]
    async fn diagnose(&self) -> RepositoryResult<Vec<Finding>> {
        let mut findings = vec![schema(&Migrations::status(self).await?), self.pool_finding()];
        let security = self.row_level_security().await?;
        findings.extend(security.findings());
        findings.extend(if security.hides() { hidden_rows() } else { self.row_findings().await? });
        findings.push(self.index_finding().await?);
        let answer = self.run::<String>(Purpose::Maintenance, Effect::Reads, &Messages {}).await;
        findings.push(messages(&answer.map_err(Fault::into_error)?.one().ok_or_else(no_row)?));
        Ok(findings)
    }
}

impl Postgres {
    fn pool_finding(&self) -> Finding {
        let state = self.pool().state();
        let config = self.pool().connector().config();
        let detail = format!(
            "{} connections open, {} idle, at most {} (pool_size {} and max_overflow {})",
            state.connections,
            state.idle_connections,
            config.pool_size.saturating_add(config.max_overflow),
            config.pool_size,
            config.max_overflow,
        );
        match state.statistics.get_timed_out {
            0 => Finding::ok("pool", detail),
            timed_out => Finding::warning(
                "pool",
                format!("{detail}; {timed_out} operations found none free in time"),
                "raise pool_size or max_overflow, and max_connections on the server with them",
            ),
        }
    }

    async fn row_findings(&self) -> RepositoryResult<[Finding; 4]> {
        let answer = self.run(Purpose::Maintenance, Effect::Reads, &Rows {}).await;
        let counts = match answer.map_err(Fault::into_error) {
            Ok(answer) => answer.one().ok_or_else(no_row)?,
            Err(RepositoryError::SchemaSkew { .. }) => {
                return Ok(ROW_CHECKS.map(|(check, ..)| {
                    Finding::warning(
                        check,
                        "not looked at: the tables are not as this program knows",
                        MIGRATE,
                    )
                }));
            }
            Err(error) => return Err(error),
        };
        let (orphans, heads, duplicates, states): (i64, i64, i64, i64) = counts;
        let mut counts = [orphans, heads, duplicates, states].into_iter();
        Ok(ROW_CHECKS.map(|(check, right, wrong, remedy)| match counts.next().unwrap_or_default() {
            0 => Finding::ok(check, right),
            count => Finding::error(check, format!("{count} {wrong}"), remedy),
        }))
    }

    async fn index_finding(&self) -> RepositoryResult<Finding> {
        let query = Indexes { namespace: self.pool().connector().config().namespace.clone() };
        let answer = self.run(Purpose::Maintenance, Effect::Reads, &query).await;
        let found: Vec<(String, bool)> = answer.map_err(Fault::into_error)?.rows;
        let is = |name: &&str, valid| found.iter().any(|index| index.0 == **name && index.1 == valid);
        let missing: Vec<&str> =
            INDEXES.into_iter().filter(|name| !is(name, true) && !is(name, false)).collect();
        let invalid: Vec<&str> = INDEXES.into_iter().filter(|name| is(name, false)).collect();
        Ok(match (missing.as_slice(), invalid.as_slice()) {
            ([], []) => Finding::ok("indexes", format!("all {} indexes are there and valid", INDEXES.len())),
            ([], invalid) => Finding::error(
                "indexes",
                format!("invalid: {}", invalid.join(", ")),
                "rebuild each with REINDEX INDEX CONCURRENTLY",
            ),
            (missing, _) => Finding::error(
                "indexes",
                format!("missing: {}", missing.join(", ")),
                format!("{MIGRATE}; where it has nothing to run, make them as the migrations do"),
            ),
        })
    }
}

/// What is said of the rows where this role cannot see them.
fn hidden_rows() -> [Finding; 4] {
    ROW_CHECKS.map(|(check, ..)| {
        Finding::warning(
            check,
            "not looked at: row-level security hides the users' rows from this role",
            "run `lcs-persistence doctor` as the auditor or the operator",
        )
    })
}

/// The checks on rows, in the order of [`Rows`]: name, all is well, what is counted, remedy.
const ROW_CHECKS: [(&str, &str, &str, &str); 4] = [
    (
        "orphaned_turns",
        "every turn belongs to a conversation of its user",
        "turns belong to no conversation of their user",
        "restore the conversations from a backup, or delete these turns",
    ),
    (
        "turn_heads",
        "every conversation has the turns that its head counts",
        "conversations have other turns than their head counts",
        "restore the turns from a backup; until then appends to these conversations may be refused",
    ),
    (
        "duplicate_conversations",
        "no user has two conversations of one external id",
        "external ids stand for several conversations of a user",
        "delete the surplus conversations, then make the index conversations_user_id_external_id_key again",
    ),
    (
        "agent_states",
        "every agent state agrees with its conversation",
        "agent states disagree with their conversation's user, agent, revision or turns",
        "delete these states: the agents are made again from their turns",
    ),
];

/// What the locale of the server's messages means: some are told apart by their English words.
fn messages(locale: &str) -> Finding {
    const CHECK: &str = "messages";
    if ["C", "POSIX"].contains(&locale)
        || ["C.", "en", "English"].iter().any(|start| locale.starts_with(start))
    {
        return Finding::ok(CHECK, format!("the server's messages are English ({locale})"));
    }
    Finding::warning(
        CHECK,
        format!(
            "the server's messages may not be English (lc_messages is {locale:?}): deadlocks, lock timeouts \
             and ended connections are then taken for permanent failures"
        ),
        "set lc_messages to C for this role, as a superuser: ALTER ROLE ... SET lc_messages = 'C'",
    )
}

/// What the migrations' status says of the schema.
fn schema(status: &[MigrationStatus]) -> Finding {
    let names = |which: fn(&&MigrationStatus) -> bool| {
        status.iter().filter(which).map(|migration| migration.version.as_str()).collect::<Vec<_>>().join(", ")
    };
    let unknown = names(|migration| migration.name == "unknown");
    let pending = names(|migration| !migration.applied);
    match (unknown.as_str(), pending.as_str()) {
        ("", "") => Finding::ok("schema", format!("all {} migrations are applied", status.len())),
        ("", pending) => Finding::error("schema", format!("migrations to be applied: {pending}"), MIGRATE),
        (unknown, _) => Finding::error(
            "schema",
            format!("migrations that this program does not know: {unknown}"),
            "a newer program has migrated this database: upgrade this one",
        ),
    }
}

#[cfg(test)]
mod tests {
    use lcs_domain::diagnostic::Severity;

    use super::*;

    #[test]
    fn messages_in_another_language_are_warned_of() {
        for locale in ["C", "POSIX", "C.UTF-8", "en_US.utf8", "en_GB", "English_United States.1252"] {
            assert_eq!(messages(locale).severity, Severity::Ok, "{locale}");
        }
        for locale in ["de_DE.utf8", "cs_CZ", ""] {
            let finding = messages(locale);
            assert_eq!(finding.severity, Severity::Warning, "{locale}");
            assert!(finding.remedy.unwrap().contains("SET lc_messages = 'C'"));
        }
    }
}
