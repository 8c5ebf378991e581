//! Opening connections: the file with its rights, the settings that the promises need, and the manager
//! through which a pool makes them.

use std::fmt::Write;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8::{ErrorSink, ManageConnection};
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use lcs_domain::RepositoryError;
use tokio::task::spawn_blocking;

use super::error;

/// The settings of a connection, in SQLite's words.
///
/// `busy_timeout` comes first, so that the others wait where they have to. FULL syncs the log with each
/// commit: what was acknowledged survives a loss of power.
pub(super) fn settings(busy_timeout: Duration, writes: bool) -> String {
    let busy_ms = busy_timeout.as_millis().min(i32::MAX.unsigned_abs().into());
    let query_only = if writes { "OFF" } else { "ON" };
    format!(
        "PRAGMA busy_timeout={busy_ms}; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; \
         PRAGMA query_only={query_only};"
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
            .map_err(|_| RepositoryError::unavailable("the program is shutting down"))??;
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
        tracing::warn!(%error, "a connection to the database file could not be made");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<RepositoryError>> {
        Box::new(self.clone())
    }
}

/// The URI by which SQLite opens `path`, whatever characters stand in it.
pub(super) fn uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// Makes the file and the folders above it where they are missing: for their owner alone, because
/// conversations are nobody else's. What is there keeps its mode. `false`: it may only be read.
pub(super) fn prepare(path: &Path) -> Result<bool, RepositoryError> {
    let name = path.display().to_string();
    match create(path) {
        Err(error) if is_read_only(&error) && path.exists() => Ok(false),
        Err(error) if is_read_only(&error) => Err(error::read_only(&name)),
        Err(error) => Err(RepositoryError::unavailable(format!("{name} cannot be opened: {error}"))),
        Ok(()) => Ok(true),
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

fn create(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        private(DirBuilder::new().recursive(true)).create(folder)?;
    }
    match private(OpenOptions::new().write(true).create_new(true)).open(path) {
        Ok(file) => {
            // The name of a new file is the folder's content: it is synced like what is committed later.
            file.sync_all()?;
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            OpenOptions::new().write(true).open(path).map(drop)
        }
        Err(error) => Err(error),
    }
}

/// Something that is made with a mode.
trait Mode {
    fn owner_only(&mut self);
}

#[cfg(unix)]
impl Mode for DirBuilder {
    fn owner_only(&mut self) {
        std::os::unix::fs::DirBuilderExt::mode(self, 0o700);
    }
}

#[cfg(unix)]
impl Mode for OpenOptions {
    fn owner_only(&mut self) {
        std::os::unix::fs::OpenOptionsExt::mode(self, 0o600);
    }
}

#[cfg(not(unix))]
impl<T> Mode for T {
    fn owner_only(&mut self) {}
}

fn private<T: Mode>(builder: &mut T) -> &mut T {
    builder.owner_only();
    builder
}

/// Switches the file to a write-ahead log, so that readers and the writer never wait for each other.
pub(super) fn log_ahead(connection: &mut SqliteConnection, file: &str) -> Result<(), RepositoryError> {
    #[derive(QueryableByName)]
    struct Mode {
        #[diesel(sql_type = Text)]
        journal_mode: String,
    }
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
