//! The settings that every connection has, and whether they are in force: a pooler may stand between.
//!
//! | pooler | how they are made | what is looked at, once a process |
//! | --- | --- | --- |
//! | none | with the startup packet | whether the packet came through |
//! | session | on each connection | whether a second connection shares the first one's |
//! | transaction | on the role, by the operator | whether they are there, and named statements are kept apart |

use std::fmt::Write as _;

use diesel::prelude::QueryResult;
use diesel::sql_types::{Bool, Nullable, Text as SqlText};
use diesel_async::AsyncPgConnection;
use futures_util::TryStreamExt as _;

use super::failure::ConnectFailure;
use super::{Purpose, quoted};
use crate::postgres::config::{PostgresConfig, Server};
use crate::postgres::error::Fault;
use crate::postgres::statement::{Single, statement};

statement! {
    /// Whether the startup packet's settings came through.
    Through("SELECT COALESCE(current_setting('lcs_persistence.settings', true), '') = 'sent'") -> Bool {}
}

statement! {
    /// The name that the server has for this statement, and a mark that was on the connection. Leaves the mark
    /// there, or only in its own transaction.
    Probe(
        "-- $1 whether the mark is local\n\
         SELECT (SELECT name FROM pg_prepared_statements WHERE statement LIKE '%whether the mark is local%' LIMIT 1), \
                current_setting('lcs_persistence.session', true), \
                set_config('lcs_persistence.session', 'taken', $1)"
    ) -> (Nullable<SqlText>, Nullable<SqlText>, SqlText) {
        is_local: bool as Bool,
    }
}

statement! {
    /// Makes the settings on this connection, and the isolation level that all statements are written for.
    Make(
        "-- $1 statement_timeout  $2 lock_timeout  $3 idle_in_transaction_session_timeout\n\
         -- $4 client_connection_check_interval  $5 search_path\n\
         SELECT set_config('statement_timeout', $1, false) || \
                    set_config('default_transaction_isolation', 'read committed', false) IS NULL, \
                set_config('lock_timeout', $2, false), \
                set_config('idle_in_transaction_session_timeout', $3, false), \
                set_config('client_connection_check_interval', $4, false), \
                set_config('search_path', $5, false)"
    ) -> (Bool, SqlText, SqlText, SqlText, SqlText) {
        statement_timeout: String as SqlText,
        lock_timeout: String as SqlText,
        idle_timeout: String as SqlText,
        check_interval: String as SqlText,
        search_path: String as SqlText,
    }
}

statement! {
    /// Whether the role has time limits and its transactions see what is committed meanwhile, and the schema that
    /// unqualified names are looked up in first.
    OfRole(
        "SELECT NOT '0' IN (current_setting('statement_timeout'), current_setting('lock_timeout'), \
                            current_setting('idle_in_transaction_session_timeout')) \
                AND current_setting('default_transaction_isolation') = 'read committed', \
                current_schema()::text"
    ) -> (Bool, Nullable<SqlText>) {}
}

statement! {
    /// Whether commits wait for no standby.
    IsAsynchronous("SELECT current_setting('synchronous_standby_names') = ''") -> Bool {}
}

type Probed = (Option<String>, Option<String>, String);

/// The settings for `purpose`, by their names. `client_connection_check_interval`: a statement whose client has
/// gone keeps its locks until the server looks.
fn settings(config: &PostgresConfig, purpose: Purpose) -> [(&'static str, String); 5] {
    let statement_timeout = match purpose {
        Purpose::Service => config.statement_timeout,
        Purpose::Maintenance => config.maintenance_timeout,
    };
    // Zero would mean "no limit" to the server.
    let millis =
        |time: std::time::Duration| time.as_millis().clamp(1, i32::MAX.unsigned_abs().into()).to_string();
    [
        ("statement_timeout", millis(statement_timeout)),
        ("lock_timeout", millis(config.lock_timeout)),
        ("idle_in_transaction_session_timeout", millis(config.idle_in_transaction_timeout)),
        ("client_connection_check_interval", "500".into()),
        ("search_path", quoted(&config.namespace)),
    ]
}

/// The settings as the startup packet has them, with a mark that shows whether it came through.
pub(super) fn options(config: &PostgresConfig, purpose: Purpose) -> String {
    let mut options =
        String::from("-c lcs_persistence.settings=sent -c default_transaction_isolation=read\\ committed");
    for (name, value) in settings(config, purpose) {
        let _ = write!(options, " -c {name}=");
        // The server splits the options at white space that no backslash stands before.
        for character in value.chars() {
            if character.is_whitespace() || character == '\\' {
                options.push('\\');
            }
            options.push(character);
        }
    }
    options
}

/// The one row of `query`.
async fn ask<U: Send>(
    connection: &mut AsyncPgConnection,
    server: &Server,
    query: &impl Single<U>,
) -> Result<U, ConnectFailure> {
    let rows: QueryResult<Vec<U>> = async { query.send(connection).await?.try_collect().await }.await;
    let rows = rows.map_err(|error| ConnectFailure::of_fault(Fault::from(error), server))?;
    rows.into_iter().next().ok_or_else(|| ConnectFailure::ended(server))
}

/// Looks whether the settings of the startup packet are in force.
pub(super) async fn came_through(
    connection: &mut AsyncPgConnection,
    server: &Server,
) -> Result<(), ConnectFailure> {
    if ask(connection, server, &Through {}).await? {
        return Ok(());
    }
    Err(ConnectFailure::pooler(format!(
        "a pooler stands before the server at {} and drops its settings: write how it shares connections \
         as database.pooler, session or transaction",
        server.address()
    )))
}

/// Makes the settings on a connection that nobody else has.
pub(super) async fn make(
    connection: &mut AsyncPgConnection,
    server: &Server,
    config: &PostgresConfig,
    purpose: Purpose,
) -> Result<(), ConnectFailure> {
    let [(_, statement_timeout), (_, lock_timeout), (_, idle_timeout), (_, check_interval), (_, search_path)] =
        settings(config, purpose);
    let make = Make { statement_timeout, lock_timeout, idle_timeout, check_interval, search_path };
    let _made: (bool, String, String, String, String) = ask(connection, server, &make).await?;
    Ok(())
}

/// Marks a connection as taken, and refuses one that was: then the pooler gives it to several at once.
pub(super) async fn take(connection: &mut AsyncPgConnection, server: &Server) -> Result<(), ConnectFailure> {
    let shared = || {
        ConnectFailure::pooler(format!(
            "database.pooler is session, and the pooler before the server at {} gives one connection to \
             several clients: put it into session mode and have it reset what a client leaves behind; or write \
             transaction, if it is PgBouncer 1.21 or later with max_prepared_statements",
            server.address()
        ))
    };
    match ask::<Probed>(connection, server, &Probe { is_local: false }).await {
        Ok((name, mark, _)) => {
            let is_marked = mark.is_some_and(|mark| !mark.is_empty());
            if is_marked || is_renamed(name.as_deref()) { Err(shared()) } else { Ok(()) }
        }
        // The statement's name was in use already, or is not known any more.
        Err(failure) if failure.is_of_pooler() => Err(shared()),
        Err(failure) => Err(failure),
    }
}

/// Looks whether a pooler in transaction mode keeps named statements apart, and whether the role has the
/// settings that nobody can make on a connection there.
pub(super) async fn fits_transactions(
    connection: &mut AsyncPgConnection,
    server: &Server,
    config: &PostgresConfig,
) -> Result<(), ConnectFailure> {
    let (name, _, _): Probed = ask(connection, server, &Probe { is_local: true }).await?;
    let at = server.address();
    if !is_renamed(name.as_deref()) {
        return Err(ConnectFailure::pooler(format!(
            "database.pooler is transaction, and the pooler before the server at {at} does not keep the named \
             statements of its clients apart: use PgBouncer 1.21 or later with max_prepared_statements above \
             0, or its session mode with database.pooler session"
        )));
    }
    let (has_limits, schema): (bool, Option<String>) = ask(connection, server, &OfRole {}).await?;
    if has_limits && schema.is_none_or(|schema| schema == config.namespace) {
        return Ok(());
    }
    let role = format!("ALTER ROLE {} IN DATABASE {}", quoted(&config.user), quoted(&config.database));
    let commands: Vec<_> = settings(config, Purpose::Service)
        .into_iter()
        .chain([("default_transaction_isolation", "'read committed'".to_owned())])
        .map(|(name, value)| format!("{role} SET {name} = {value}"))
        .collect();
    Err(ConnectFailure::pooler(format!(
        "behind a pooler in transaction mode the settings have to be the role's, and at {at} they are not: run \
         {}; then have the pooler reconnect",
        commands.join("; ")
    )))
}

/// Warns where a promotion would lose what was acknowledged.
pub(super) async fn warn_of_loss(
    connection: &mut AsyncPgConnection,
    server: &Server,
) -> Result<(), ConnectFailure> {
    if ask(connection, server, &IsAsynchronous {}).await? {
        tracing::warn!(
            server = server.address(),
            "several servers are configured and commits wait for none but this one: a promotion loses the \
             turns that the standby does not have yet; set synchronous_standby_names to keep them"
        );
    }
    Ok(())
}

/// Whether a pooler has given our statement a name of its own; ours are `s` and a number.
fn is_renamed(name: Option<&str>) -> bool {
    name.is_some_and(|name| name.strip_prefix('s').is_none_or(|number| number.parse::<u64>().is_err()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_go_with_the_startup_packet() {
        let config = PostgresConfig { namespace: "my \"odd\\ name".into(), ..PostgresConfig::default() };
        assert_eq!(
            options(&config, Purpose::Service),
            "-c lcs_persistence.settings=sent -c default_transaction_isolation=read\\ committed \
             -c statement_timeout=3000 -c lock_timeout=2000 \
             -c idle_in_transaction_session_timeout=5000 -c client_connection_check_interval=500 \
             -c search_path=\"my\\ \"\"odd\\\\\\ name\""
        );
        assert!(options(&config, Purpose::Maintenance).contains(" -c statement_timeout=300000 "));
    }

    #[test]
    fn a_poolers_name_for_a_statement_is_told_from_ours() {
        assert!(is_renamed(Some("PGBOUNCER_1")) && is_renamed(Some("")) && is_renamed(Some("sx")));
        assert!(!is_renamed(Some("s0")) && !is_renamed(Some("s12")) && !is_renamed(None));
    }
}
