//! Row-level security in the database: switched on, and looked at.
//!
//! The policies come with the migrations and do nothing by themselves. What is dangerous is a database and a
//! configuration that do not agree: a lock that is believed to be there, or one that hides everything.

use std::fmt::Write as _;

use diesel::sql_types::{Bool, Text as SqlText};
use diesel_async::SimpleAsyncConnection as _;
use lcs_domain::RepositoryError;
use lcs_domain::diagnostic::Finding;
use lcs_domain::repository::RepositoryResult;

use super::Postgres;
use super::connect::{Purpose, quoted};
use super::error::Fault;
use super::operation::Effect;
use super::row::no_row;
use super::statement::statement;

const SECURE: &str = "run `lcs-persistence migrate run` as their owner, with this configuration";

statement! {
    /// How row-level security stands on the tables.
    Tables(include_str!("row_level_security/tables.sql")) -> (SqlText, Bool, Bool, Bool, Bool, Bool, Bool) {
        namespace: String as SqlText,
    }
}

statement! {
    /// This role, and whether it can be a superuser or one with BYPASSRLS.
    CurrentRole(
        "SELECT current_user::text, bool_or(rolsuper), bool_or(rolbypassrls) FROM pg_roles \
         WHERE pg_has_role(oid, 'MEMBER')"
    ) -> (SqlText, Bool, Bool) {}
}

/// A table that holds users' rows.
#[derive(diesel::Queryable)]
#[expect(clippy::struct_excessive_bools, reason = "the columns of one look at the catalogue")]
struct Table {
    name: String,
    is_on: bool,
    is_forced: bool,
    has_policy: bool,
    is_owned: bool,
    /// Whether policies apply to this role at all.
    is_active: bool,
    /// Whether another policy than the user's lets this role through.
    is_let_through: bool,
}

impl Table {
    const fn is_secured(&self) -> bool {
        self.is_on && self.is_forced && self.has_policy
    }

    /// Whether this role sees the rows of all users.
    const fn is_open(&self) -> bool {
        !self.is_active || self.is_let_through
    }
}

/// How row-level security stands, for this role.
pub(super) struct RowLevelSecurity {
    is_configured: bool,
    role: (String, bool, bool),
    tables: Vec<Table>,
}

impl RowLevelSecurity {
    /// The names of the tables that `which` holds of.
    fn names(&self, which: impl Fn(&&Table) -> bool) -> Vec<&str> {
        self.tables.iter().filter(which).map(|table| table.name.as_str()).collect()
    }

    /// Whether rows are hidden from this role unless it names their user.
    pub(super) fn hides(&self) -> bool {
        self.tables.iter().any(|table| !table.is_open())
    }

    /// What is wrong between the configuration and the database, and what to do.
    fn disagreement(&self) -> Option<(String, String)> {
        let unsecured = self.names(|table| !table.is_secured());
        if self.is_configured {
            return (!unsecured.is_empty()).then(|| {
                let problem = format!(
                    "row-level security is configured, and not in force on {}: it is off there, not forced, \
                     or without its policy",
                    unsecured.join(", ")
                );
                (problem, SECURE.to_owned())
            });
        }
        let hidden = self.names(|table| !table.is_open());
        (!hidden.is_empty()).then(|| {
            let problem = format!(
                "row-level security is on for {}, and not configured: nobody would find anything there",
                hidden.join(", ")
            );
            (problem, "set persistence.database.row_level_security to true, or switch it off".to_owned())
        })
    }

    /// Why this role is not held to one user's rows, or could set itself free.
    fn freedom(&self) -> Option<String> {
        let (role, is_superuser, bypasses) = &self.role;
        if *is_superuser {
            return Some(format!("{role} is a superuser"));
        }
        if *bypasses {
            return Some(format!("{role} has BYPASSRLS"));
        }
        let owned = self.names(|table| table.is_owned);
        (!owned.is_empty()).then(|| format!("{role} owns {}", owned.join(", ")))
    }

    /// What lets this role see every user's rows by design: it is an operator's or an auditor's.
    fn access_to_all(&self) -> Option<String> {
        let open = self.names(|table| table.is_let_through);
        (!open.is_empty()).then(|| format!("a policy lets {} see every user's rows", self.role.0))
    }

    /// What `doctor` says of it.
    pub(super) fn findings(&self) -> [Finding; 2] {
        const SECURITY: &str = "row_level_security";
        const ROLE: &str = "role";
        let security = match self.disagreement() {
            Some((problem, remedy)) => Finding::error(SECURITY, problem, remedy),
            None if self.is_configured => {
                Finding::ok(SECURITY, format!("on and forced for all {} tables of users", self.tables.len()))
            }
            None => Finding::ok(SECURITY, "not configured: the statements' own conditions keep users apart"),
        };
        let role = match (self.freedom(), self.access_to_all()) {
            (Some(freedom), _) if self.is_configured => {
                Finding::error(ROLE, format!("{freedom}: row-level security does not hold it"), CONNECT_AS)
            }
            (Some(freedom), _) => Finding::warning(
                ROLE,
                format!("{freedom}: it may do more than the service needs"),
                CONNECT_AS,
            ),
            (None, Some(access)) => {
                Finding::ok(ROLE, format!("{access}: right for an operator or auditor, not for the service"))
            }
            (None, None) => Finding::ok(ROLE, format!("{} is no superuser and owns no table", self.role.0)),
        };
        [security, role]
    }
}

/// What to do about a role that may do too much.
const CONNECT_AS: &str = "connect as a role of its own for the service: see docs/SECURITY.md";

impl Postgres {
    /// How row-level security stands, for the role of this store.
    pub(super) async fn row_level_security(&self) -> RepositoryResult<RowLevelSecurity> {
        let config = self.pool().connector().config();
        let query = Tables { namespace: config.namespace.clone() };
        let tables =
            self.run(Purpose::Maintenance, Effect::Reads, &query).await.map_err(Fault::into_error)?;
        let role = self.run(Purpose::Maintenance, Effect::Reads, &CurrentRole {}).await;
        Ok(RowLevelSecurity {
            is_configured: config.row_level_security,
            role: role.map_err(Fault::into_error)?.one().ok_or_else(no_row)?,
            tables: tables.rows,
        })
    }

    /// Refuses what looks at all users' rows, where they are hidden from this role.
    pub(super) async fn require_all_rows(&self) -> RepositoryResult<()> {
        if self.row_level_security().await?.hides() {
            let reason =
                "row-level security hides the users' rows from this role: ask as the auditor or the operator";
            return Err(RepositoryError::Denied { reason: reason.into() });
        }
        Ok(())
    }

    /// See [`Migrations::secure`](crate::migration::Migrations::secure).
    pub(super) async fn secure_tables(&self) -> RepositoryResult<Vec<String>> {
        let security = self.row_level_security().await?;
        if !security.is_configured || security.disagreement().is_none() {
            return Ok(Vec::new());
        }
        let foreign = security.names(|table| !table.is_owned);
        if !foreign.is_empty() {
            let (role, tables) = (&security.role.0, foreign.join(", "));
            return Err(refused(format!("{role} does not own {tables}: {SECURE}")));
        }
        let tables = security.tables.into_iter().filter(|table| !(table.is_on && table.is_forced));
        let tables: Vec<String> = tables.map(|table| table.name).collect();
        let mut sql = String::new();
        for table in &tables {
            let table = quoted(table);
            let _ = write!(sql, "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;");
        }
        // All of them or none: they are one message, and so one transaction.
        let session = self.pool().own_session(&mut self.tries(Purpose::Maintenance)).await?;
        let switched = session.into_connection().batch_execute(&sql).await;
        switched.map_err(|error| Fault::from(error).into_error())?;
        tracing::info!(tables = tables.join(", "), "row-level security is switched on");
        Ok(tables)
    }

    /// See [`Migrations::check_security`](crate::migration::Migrations::check_security).
    pub(super) async fn check_row_level_security(&self, is_operator: bool) -> RepositoryResult<()> {
        let security = self.row_level_security().await?;
        if let Some((problem, remedy)) = security.disagreement() {
            return Err(refused(format!("{problem}; {remedy}")));
        }
        if !is_operator
            && security.is_configured
            && let Some(freedom) = security.freedom().or(security.access_to_all())
        {
            return Err(refused(format!("{freedom}: row-level security would not hold it; {CONNECT_AS}")));
        }
        Ok(())
    }
}

fn refused(reason: String) -> RepositoryError {
    RepositoryError::Backend { reason, source: None }
}
