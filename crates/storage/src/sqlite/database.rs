//! The two pools over one file, and how work is run on them: one blocking closure for one operation.
//!
//! SQLite has one writer at a time. So has this module: the writing pool holds one connection, and waiting
//! for it is waiting in a fair queue, where waiting for SQLite's lock would be polling. Other processes
//! are waited for by SQLite's busy timeout.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bb8::{Pool, QueueStrategy, RunError};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Integer;
use diesel::sqlite::SqliteConnection;
use lcs_domain::diagnostic::Finding;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Clock, PoolStatus, RepositoryError};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, sleep};

use super::connection::{self, LastError, Manager};
use super::diagnostic::counted;
use super::error::{self, Failure};
use super::{SqliteConfig, SqliteFile, file};

/// How long to wait before a look whether another process has done with the file.
const POLL: Duration = Duration::from_millis(20);

/// How many times as long as for a lock it is tried to empty the log.
const CHECKPOINTS: u32 = 2;

/// What SQLite says of a checkpoint.
#[derive(QueryableByName)]
struct Checkpoint {
    /// Whether somebody was in the way.
    #[diesel(sql_type = Integer)]
    busy: i32,
}

/// The file and its connections.
#[derive(Debug, Clone)]
pub(super) struct Database {
    file: Arc<str>,
    writer: Pool<Manager>,
    readers: Pool<Manager>,
    pool_timeout: Duration,
    busy_timeout: Duration,
    last_error: LastError,
    clock: Arc<dyn Clock>,
}

impl Database {
    pub(super) async fn open(config: SqliteConfig, clock: Arc<dyn Clock>) -> RepositoryResult<Self> {
        let last_error = LastError::default();
        let (uri, file) = match &config.file {
            SqliteFile::Path(path) => (file::uri(path), path.display().to_string()),
            SqliteFile::Memory => (":memory:".to_owned(), "the database in memory".to_owned()),
        };
        let manager = |writes| Manager {
            uri: uri.as_str().into(),
            file: file.as_str().into(),
            settings: connection::settings(config.busy_timeout, writes),
            last_error: last_error.clone(),
        };
        if let SqliteFile::Path(path) = config.file.clone() {
            let writable = blocking(move || file::prepare(&path)).await?;
            match log_ahead(manager(true), config.busy_timeout).await {
                // What may only be read cannot be switched, and can still be read.
                Err(RepositoryError::ReadOnly { .. }) => {}
                // Where nothing can be made beside the file, SQLite cannot even read it.
                Err(RepositoryError::Unavailable { .. }) if !writable => return Err(error::read_only(&file)),
                result => result?,
            }
        }
        let pool = |size: u32, manager: Manager| {
            // Connections to a file do not go stale: none is closed for its age.
            Pool::builder()
                .max_size(size.max(1))
                .min_idle(1)
                .max_lifetime(None)
                .idle_timeout(None)
                .connection_timeout(config.pool_timeout)
                .test_on_check_out(false)
                .retry_connection(false)
                .queue_strategy(QueueStrategy::Lifo)
                .error_sink(Box::new(last_error.clone()))
                .build(manager)
        };
        let writer = pool(1, manager(true)).await?;
        let readers = match config.file {
            SqliteFile::Path(_) => pool(config.readers, manager(false)).await?,
            // What is in memory is its one connection's.
            SqliteFile::Memory => writer.clone(),
        };
        Ok(Self {
            file: file.as_str().into(),
            writer,
            readers,
            pool_timeout: config.pool_timeout,
            busy_timeout: config.busy_timeout,
            last_error,
            clock,
        })
    }

    /// Runs `work`, which is one statement or several that need not agree, on a reading connection.
    pub(super) async fn read<R, F>(&self, work: F) -> RepositoryResult<R>
    where
        R: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> Result<R, Failure> + Send + 'static,
    {
        let mut connection = self.checkout(&self.readers).await?;
        let file = Arc::clone(&self.file);
        blocking(move || work(&mut connection).map_err(|failure| failure.into_repository(&file))).await
    }

    /// Runs `work` on a reading connection, in one snapshot.
    pub(super) async fn read_snapshot<R, F>(&self, work: F) -> RepositoryResult<R>
    where
        R: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> Result<R, Failure> + Send + 'static,
    {
        self.read(move |connection| connection.transaction(work)).await
    }

    /// Runs `work` on the writing connection, in one transaction that holds the write lock from its
    /// beginning, and with the time at which it got it. Once begun it runs to its end, whatever becomes of
    /// the future.
    ///
    /// `key` is what the caller sends again where the outcome stays unknown.
    pub(super) async fn write<R, F>(&self, key: impl fmt::Display, work: F) -> RepositoryResult<R>
    where
        R: Send + 'static,
        F: FnOnce(&mut SqliteConnection, DateTime<Utc>) -> Result<R, Failure> + Send + 'static,
    {
        let mut connection = self.checkout(&self.writer).await?;
        let (file, clock, key) = (Arc::clone(&self.file), Arc::clone(&self.clock), key.to_string());
        blocking(move || {
            let mut end = End::Begin;
            let result = connection.immediate_transaction(|connection| match work(connection, clock.now()) {
                Ok(value) => {
                    end = End::Commit;
                    Ok(value)
                }
                Err(failure) => {
                    // Kept aside: SQLite rolls back by itself when its disk is full, and the rollback that
                    // then fails would be all that is told.
                    end = End::Rollback(failure);
                    Err(diesel::result::Error::RollbackTransaction.into())
                }
            });
            result.map_err(|failure: Failure| match end {
                End::Begin => failure.into_repository(&file),
                End::Commit => failure.into_commit_failure(&file, &key),
                End::Rollback(failure) => failure.into_repository(&file),
            })
        })
        .await
    }

    /// Brings the write-ahead log into the file and empties it: what was overwritten does not stay in it. Whoever reads
    /// from it is waited for, as long as for a lock, and once more; so is who else empties it.
    ///
    /// # Errors
    /// `Overloaded` where somebody reads from it all that time: what was to be overwritten may be in it still.
    pub(super) async fn empty_log(&self) -> RepositoryResult<()> {
        let mut connection = self.checkout(&self.writer).await?;
        let deadline = Instant::now() + self.busy_timeout * CHECKPOINTS;
        loop {
            let file = Arc::clone(&self.file);
            let done: Checkpoint;
            (connection, done) = blocking(move || {
                let done = diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)")
                    .get_result(&mut *connection)
                    .map_err(|error| Failure::from(error).into_repository(&file))?;
                Ok((connection, done))
            })
            .await?;
            if done.busy == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let reason = format!(
                    "the write-ahead log of {} still has what was removed, because somebody reads from it: end what \
                     reads (an export, a backup, another program), and try again",
                    self.file
                );
                return Err(RepositoryError::Overloaded { reason });
            }
            // Somebody else empties it: that is told at once, and not waited for.
            sleep(POLL).await;
        }
    }

    /// The time by which this store stamps and compares.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// What the file is called in errors and findings.
    pub(super) fn file(&self) -> Arc<str> {
        Arc::clone(&self.file)
    }

    /// How the readers' pool is doing.
    pub(super) fn pool_status(&self) -> PoolStatus {
        crate::pool::status(&self.readers)
    }

    /// How the pools are doing.
    pub(super) fn pool_finding(&self) -> Finding {
        let (readers, writer) = (self.readers.state().statistics, self.writer.state().statistics);
        let timed_out = readers.get_timed_out + writer.get_timed_out;
        let pools =
            format!("1 writer and {}", counted(self.readers.config().max_size.into(), ("reader", "readers")));
        match i64::try_from(timed_out).unwrap_or(i64::MAX) {
            0 => Finding::ok("pool", format!("{pools}; no operation has waited in vain")),
            vain => Finding::warning(
                "pool",
                format!("{pools}; {} waited in vain", counted(vain, ("operation has", "operations have"))),
                "look for slow disks and for other processes that hold the file",
            ),
        }
    }

    async fn checkout(
        &self,
        pool: &Pool<Manager>,
    ) -> RepositoryResult<bb8::PooledConnection<'static, Manager>> {
        pool.get_owned().await.map_err(|error| match (error, self.last_error.get()) {
            (RunError::User(error), _) => error,
            (RunError::TimedOut, Some(reason)) => RepositoryError::unavailable(reason),
            (RunError::TimedOut, None) => RepositoryError::Overloaded {
                reason: format!("no connection to {} was free for {:?}", self.file, self.pool_timeout),
            },
        })
    }
}

/// How far a transaction came.
enum End {
    /// It did not get the lock.
    Begin,
    /// Its work was done.
    Commit,
    /// Its work failed.
    Rollback(Failure),
}

/// Sets up the write-ahead log. The switch itself does not wait for other processes, so it is tried again.
async fn log_ahead(manager: Manager, budget: Duration) -> RepositoryResult<()> {
    let deadline = Instant::now() + budget;
    loop {
        let manager = manager.clone();
        let file = Arc::clone(&manager.file);
        match blocking(move || connection::log_ahead(&mut manager.open()?, &file)).await {
            Err(RepositoryError::Overloaded { .. }) if Instant::now() < deadline => sleep(POLL).await,
            result => return result,
        }
    }
}

/// Runs `work` on a thread that may block.
pub(super) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> RepositoryResult<R> + Send + 'static,
) -> RepositoryResult<R> {
    spawn_blocking(work).await.unwrap_or_else(|error: JoinError| {
        Err(if error.is_panic() {
            RepositoryError::Backend {
                reason: "an operation panicked and was rolled back".to_owned(),
                source: None,
            }
        } else {
            RepositoryError::unavailable(connection::SHUTTING_DOWN)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::Migrations;
    use crate::sqlite::Sqlite;
    use diesel::connection::SimpleConnection;
    use lcs_domain::{Conversation, ConversationRepository, NewConversation, SystemClock, Text, UserId};

    async fn create(store: &Sqlite, prompt_bytes: usize) -> RepositoryResult<Conversation> {
        let mut new = NewConversation::begin(Text::name("m", "/model_id").unwrap());
        new.system_prompt = Some(Text::prompt("x".repeat(prompt_bytes), "/system_prompt").unwrap());
        store.create(UserId::from_text("u"), new).await
    }

    async fn limit_pages(store: &Sqlite, pages: u32) {
        let pragma = format!("PRAGMA max_page_count={pages}");
        store
            .database
            .write("test", move |connection, _| Ok(connection.batch_execute(&pragma)?))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_full_store_refuses_whole_keeps_what_it_has_and_writes_again_when_there_is_room() {
        let store = Sqlite::open(SqliteConfig::memory(), Arc::new(SystemClock)).await.unwrap();
        store.run_pending().await.unwrap();
        limit_pages(&store, 70).await;
        let mut stored = Vec::new();
        let error = loop {
            match create(&store, 20_000).await {
                Ok(conversation) => stored.push(conversation),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, RepositoryError::StorageFull { .. }), "{error}");
        assert!(!stored.is_empty());
        limit_pages(&store, 1_000).await;
        stored.push(create(&store, 20_000).await.unwrap());
        for conversation in stored {
            let read = store.get(conversation.user_id, conversation.conversation_id).await.unwrap();
            assert_eq!(read, Some(conversation));
        }
    }

    #[tokio::test]
    async fn every_connection_syncs_each_commit_and_keeps_foreign_keys() {
        let folder = tempfile::tempdir().unwrap();
        let config = SqliteConfig::file(folder.path().join("a.db"));
        let database = Database::open(config, Arc::new(SystemClock)).await.unwrap();
        // 2 is FULL; readers may not write.
        for (pool, query_only) in [(&database.writer, 0), (&database.readers, 1)] {
            let mut connection = pool.get().await.unwrap();
            for (pragma, value) in [("synchronous", 2), ("foreign_keys", 1), ("query_only", query_only)] {
                let sql = format!("SELECT {pragma} FROM pragma_{pragma}");
                let found = diesel::dsl::sql::<diesel::sql_types::Integer>(&sql).get_result(&mut *connection);
                assert_eq!(found, Ok(value), "{pragma}");
            }
        }
    }

    #[tokio::test]
    async fn work_that_panics_is_rolled_back_and_the_store_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let config = SqliteConfig::file(folder.path().join("a.db"));
        let store = Sqlite::open(config, Arc::new(SystemClock)).await.unwrap();
        store.run_pending().await.unwrap();
        let result: RepositoryResult<()> = store
            .database
            .write("test", |connection, _| {
                connection.batch_execute("DROP TABLE conversation_turns").unwrap();
                panic!("on purpose");
            })
            .await;
        assert!(matches!(result, Err(RepositoryError::Backend { .. })));
        create(&store, 1).await.unwrap();
        let turns = "SELECT * FROM conversation_turns";
        store.database.write("test", |connection, _| Ok(connection.batch_execute(turns)?)).await.unwrap();
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_the_budget_for_a_connection() {
        let folder = tempfile::tempdir().unwrap();
        let config = SqliteConfig {
            pool_timeout: Duration::from_millis(10),
            ..SqliteConfig::file(folder.path().join("a.db"))
        };
        let store = Sqlite::open(config, Arc::new(SystemClock)).await.unwrap();
        store.run_pending().await.unwrap();
        let held = store.database.checkout(&store.database.writer).await.unwrap();
        let error = create(&store, 1).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Overloaded { .. }), "{error}");
        let pool = store.database.pool_finding();
        assert_eq!(pool.detail, "1 writer and 4 readers; 1 operation has waited in vain");
        drop(held);
        create(&store, 1).await.unwrap();
    }
}
