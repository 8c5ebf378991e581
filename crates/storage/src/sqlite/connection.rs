//! Opening connections: the settings that the promises need, and the manager through which a pool makes
//! them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8::{ErrorSink, ManageConnection};
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use lcs_domain::RepositoryError;
use tokio::task::spawn_blocking;

use super::{error, migration};

/// Why work that was not begun never will be.
pub(super) const SHUTTING_DOWN: &str = "the program is shutting down";

/// The settings of a connection, in SQLite's words.
///
/// `busy_timeout` comes first, so that the others wait where they have to. FULL syncs the log with each
/// commit: what was acknowledged survives a loss of power. What is removed is overwritten with zeros, so that no page
/// which is free keeps it.
pub(super) fn settings(busy_timeout: Duration, writes: bool) -> String {
    let busy_ms = busy_timeout.as_millis().min(i32::MAX.unsigned_abs().into());
    let query_only = if writes { "OFF" } else { "ON" };
    format!(
        "PRAGMA busy_timeout={busy_ms}; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; \
         PRAGMA secure_delete=ON; PRAGMA query_only={query_only};"
    )
}

/// Makes a pool's connections.
#[derive(Debug, Clone)]
pub(super) struct Manager {
    /// What is opened, as a URI.
    pub(super) uri: Arc<str>,
    /// What it is called in errors.
    pub(super) file: Arc<str>,
    /// What is set on each connection.
    pub(super) settings: String,
    /// Why the last connection could not be made; the pool itself only says that it waited in vain.
    pub(super) last_error: LastError,
}

impl Manager {
    pub(super) fn open(&self) -> Result<SqliteConnection, RepositoryError> {
        let mut connection = SqliteConnection::establish(&self.uri)
            .map_err(|error| error::of_connection(error, &self.file))?;
        connection
            .batch_execute(&self.settings)
            .map_err(|error| error::Failure::from(error).into_repository(&self.file))?;
        Ok(connection)
    }
}

impl ManageConnection for Manager {
    type Connection = SqliteConnection;
    type Error = RepositoryError;

    async fn connect(&self) -> Result<SqliteConnection, RepositoryError> {
        let manager = self.clone();
        let connection = spawn_blocking(move || manager.open())
            .await
            .map_err(|_| RepositoryError::unavailable(SHUTTING_DOWN))??;
        self.last_error.clear();
        Ok(connection)
    }

    async fn is_valid(&self, _: &mut SqliteConnection) -> Result<(), RepositoryError> {
        Ok(())
    }

    /// A connection whose work panicked, or whose transaction did not end, is closed: that rolls it back.
    fn has_broken(&self, connection: &mut SqliteConnection) -> bool {
        std::thread::panicking() || AnsiTransactionManager::is_broken_transaction_manager(connection)
    }
}

/// Why a pool could not make its last connection.
#[derive(Debug, Clone, Default)]
pub(super) struct LastError(Arc<Mutex<Option<String>>>);

impl LastError {
    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl ErrorSink<RepositoryError> for LastError {
    fn sink(&self, error: RepositoryError) {
        if matches!(&error, RepositoryError::Unavailable { reason, .. } if reason == SHUTTING_DOWN) {
            // A pool fills up behind whom it serves; what ends soon after never needed that connection.
            tracing::debug!(%error, "a connection to the database file is no longer needed");
            return;
        }
        tracing::warn!(%error, "a connection to the database file could not be made");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<RepositoryError>> {
        Box::new(self.clone())
    }
}

/// Switches the file to a write-ahead log, so that readers and the writer never wait for each other: a file
/// of this program, or one without tables.
pub(super) fn log_ahead(connection: &mut SqliteConnection, file: &str) -> Result<(), RepositoryError> {
    #[derive(QueryableByName)]
    struct Mode {
        #[diesel(sql_type = Text)]
        journal_mode: String,
    }
    migration::expect_ours(connection, file).map_err(|failure| failure.into_repository(file))?;
    let mode: Result<Mode, _> = diesel::sql_query("PRAGMA journal_mode=WAL").get_result(connection);
    match mode.map_err(|error| error::Failure::from(error).into_repository(file)) {
        Ok(mode) if mode.journal_mode == "wal" => Ok(()),
        Ok(_) => Err(RepositoryError::Backend {
            reason: format!(
                "the disk under {file} cannot hold a write-ahead log: put the file on a local disk"
            ),
            source: None,
        }),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shutdown_is_no_reason_why_connections_cannot_be_made() {
        let last_error = LastError::default();
        last_error.sink(RepositoryError::unavailable(SHUTTING_DOWN));
        assert_eq!(last_error.get(), None);
        last_error.sink(RepositoryError::unavailable("the disk is gone"));
        assert_eq!(last_error.get().as_deref(), Some("the database is unavailable: the disk is gone"));
    }
}
