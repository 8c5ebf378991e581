//! What SQLite says, in the domain's words: the one place where its errors are read.
//!
//! Diesel keeps SQLite's extended code to itself and passes on the kind of a broken constraint and the
//! message. The messages are SQLite's own (`sqlite3_errmsg`), fixed English in the bundled library, and
//! the tests at the foot hold them against that library.

use diesel::ConnectionError;
use diesel::result::{DatabaseErrorKind, Error};
use lcs_domain::{Entity, RepositoryError};

use super::{file, migration};

/// Why work inside a closure came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// A refusal in the domain's words.
    Refused(RepositoryError),
    /// SQLite's or Diesel's error, still to be read.
    Database(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<RepositoryError> for Failure {
    fn from(error: RepositoryError) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// The failure of work on `file` that was definitely not applied. It may look at the disk.
    pub(super) fn into_repository(self, file: &str) -> RepositoryError {
        match self {
            Self::Database(error) if may_lack_room(&error) && file::lacks_room(file) => storage_full(file),
            failure => failure.into_said(file),
        }
    }

    fn into_said(self, file: &str) -> RepositoryError {
        match self {
            Self::Refused(error) => error,
            Self::Database(error) => translate(error, file),
        }
    }

    /// The failure of the COMMIT of the write with this key.
    ///
    /// What is known to come before the commit record is whole was not applied. After any other failure
    /// the record may be in the log, and a restart would find it there; also where the disk is full, if
    /// SQLite only says that it gave an error.
    pub(super) fn into_commit_failure(self, file: &str, key: &str) -> RepositoryError {
        match self.into_said(file) {
            error @ (RepositoryError::StorageFull { .. } | RepositoryError::Overloaded { .. }) => error,
            _ => RepositoryError::OutcomeUnknown { key: key.to_owned() },
        }
    }
}

/// The failure to open `file`.
pub(super) fn of_connection(error: ConnectionError, file: &str) -> RepositoryError {
    match error {
        ConnectionError::CouldntSetupConfiguration(error) => Failure::from(error).into_repository(file),
        ConnectionError::BadConnection(_) if file::lacks_room(file) => storage_full(file),
        ConnectionError::BadConnection(_) => RepositoryError::unavailable(format!(
            "{file} cannot be opened: check the path and who may write there"
        )),
        error => RepositoryError::Backend {
            reason: format!("{file} cannot be opened"),
            source: Some(error.into()),
        },
    }
}

/// Whether SQLite may say this where the disk is full: of its log's index it does.
fn may_lack_room(error: &Error) -> bool {
    match error {
        Error::RollbackErrorOnCommit { commit_error, .. } => may_lack_room(commit_error),
        Error::DatabaseError(_, information) => {
            let message = information.message();
            message.starts_with("disk I/O error") || message == "unable to open database file"
        }
        _ => false,
    }
}

fn translate(error: Error, file: &str) -> RepositoryError {
    match error {
        // What made the rollback necessary says more than how the rollback went.
        Error::RollbackErrorOnCommit { commit_error, .. } => translate(*commit_error, file),
        Error::DatabaseError(DatabaseErrorKind::UniqueViolation, ref information) => {
            let entity = match information.message() {
                message if message.contains(": conversation_turns.") => Entity::Turn,
                message if message.contains(": agent_states.") => Entity::AgentState,
                message if message.contains(": requests.") => Entity::Request,
                _ => Entity::Conversation,
            };
            RepositoryError::AlreadyExists { entity }
        }
        Error::DatabaseError(_, ref information) => {
            of_message(information.message(), file).unwrap_or_else(|| backend(error, file))
        }
        error => backend(error, file),
    }
}

fn backend(error: Error, file: &str) -> RepositoryError {
    RepositoryError::Backend { reason: format!("an operation on {file} failed"), source: Some(error.into()) }
}

fn of_message(message: &str, file: &str) -> Option<RepositoryError> {
    Some(match message {
        "database or disk is full" => storage_full(file),
        "attempt to write a readonly database" => read_only(file),
        "database is locked" | "locking protocol" => {
            RepositoryError::Overloaded { reason: format!("another process holds the write lock of {file}") }
        }
        "database disk image is malformed" => damaged(file, "is damaged"),
        "file is not a database" => damaged(file, "is not a SQLite database"),
        "unable to open database file" => RepositoryError::unavailable(format!(
            "{file} cannot be opened: check the path and who may write there"
        )),
        "the conversation has been purged" => RepositoryError::AlreadyExists { entity: Entity::Conversation },
        _ if message.starts_with("disk I/O error") => RepositoryError::unavailable(format!(
            "the disk under {file} gave an I/O error: look at its health"
        )),
        _ if message.starts_with("database table is locked") => {
            RepositoryError::Overloaded { reason: format!("another connection holds a lock in {file}") }
        }
        _ if message.starts_with("no such table")
            || message.starts_with("no such column")
            || message.contains("has no column named") =>
        {
            RepositoryError::SchemaSkew {
                found: "an older version or none".to_owned(),
                supported: migration::newest(),
                remedy: "run `lcs-persistence migrate run`".to_owned(),
            }
        }
        _ => return None,
    })
}

/// The refusal of what needs room on the file's disk.
pub(super) fn storage_full(file: &str) -> RepositoryError {
    RepositoryError::StorageFull { reason: format!("no room for {file}: free some space on its disk") }
}

/// The refusal of a write to a file that may only be read.
pub(super) fn read_only(file: &str) -> RepositoryError {
    RepositoryError::ReadOnly {
        reason: format!("{file} may not be written: check its owner, its mode and its disk"),
    }
}

fn damaged(file: &str, how: &str) -> RepositoryError {
    RepositoryError::Backend { reason: format!("{file} {how}: restore it from a backup"), source: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diesel::connection::SimpleConnection;
    use diesel::prelude::*;
    use diesel::sqlite::SqliteConnection;
    use std::path::Path;

    const SCHEMA: &str = include_str!("../../../../migrations/sqlite/2026-11-22-000001_conversations/up.sql");

    fn migrated() -> SqliteConnection {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        connection.batch_execute(SCHEMA).unwrap();
        connection
    }

    fn refusal(connection: &mut SqliteConnection, sql: &str) -> RepositoryError {
        Failure::from(connection.batch_execute(sql).unwrap_err()).into_repository("FILE")
    }

    fn conversation(id: u8, agent: u8) -> String {
        let bytes = |byte: u8| format!("x'{}'", format!("{byte:02x}").repeat(16));
        format!(
            "INSERT INTO conversations (conversation_id, user_id, agent_id, model_id, external_id) \
             VALUES ({}, {}, {}, 'm', 'e{id}');",
            bytes(id),
            bytes(9),
            bytes(agent),
        )
    }

    fn file(folder: &Path, content: &[u8]) -> SqliteConnection {
        let path = folder.join("file.db");
        std::fs::write(&path, content).unwrap();
        SqliteConnection::establish(path.to_str().unwrap()).unwrap()
    }

    #[test]
    fn a_full_disk_is_storage_full() {
        let mut connection = migrated();
        connection.batch_execute("PRAGMA max_page_count=1").unwrap();
        let sql = "CREATE TABLE t (b BLOB); INSERT INTO t VALUES (zeroblob(1000000))";
        assert!(matches!(refusal(&mut connection, sql), RepositoryError::StorageFull { .. }));
    }

    #[test]
    fn a_read_only_file_is_read_only() {
        let mut connection = migrated();
        connection.batch_execute("PRAGMA query_only=ON").unwrap();
        assert!(matches!(refusal(&mut connection, &conversation(1, 1)), RepositoryError::ReadOnly { .. }));
    }

    #[test]
    fn a_lock_held_by_another_is_overloaded() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = file(folder.path(), b"");
        one.batch_execute("BEGIN IMMEDIATE").unwrap();
        let path = folder.path().join("file.db");
        let mut other = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        let error = refusal(&mut other, "BEGIN IMMEDIATE");
        assert_eq!(error.to_string(), "overloaded: another process holds the write lock of FILE");
    }

    #[test]
    fn what_is_no_database_or_a_damaged_one_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let mut no_database = file(folder.path(), &[b'x'; 4096]);
        let error = refusal(&mut no_database, "SELECT * FROM conversations");
        assert_eq!(
            error.to_string(),
            "the storage backend failed: FILE is not a SQLite database: restore it from a backup"
        );

        let mut sound = file(folder.path(), b"");
        sound.batch_execute(SCHEMA).unwrap();
        drop(sound);
        let mut bytes = std::fs::read(folder.path().join("file.db")).unwrap();
        bytes[4096..].fill(0xff);
        let mut damaged = file(folder.path(), &bytes);
        let error = refusal(&mut damaged, &conversation(1, 1));
        assert_eq!(
            error.to_string(),
            "the storage backend failed: FILE is damaged: restore it from a backup"
        );
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = match SqliteConnection::establish(folder.path().to_str().unwrap()) {
            Ok(mut connection) => refusal(&mut connection, "PRAGMA journal_mode=WAL"),
            Err(error) => of_connection(error, "FILE"),
        };
        assert_eq!(
            error.to_string(),
            "the database is unavailable: FILE cannot be opened: check the path and who may write there"
        );
    }

    #[test]
    fn a_schema_that_is_missing_or_older_is_schema_skew() {
        let mut empty = SqliteConnection::establish(":memory:").unwrap();
        for sql in [
            conversation(1, 1).as_str(),
            "CREATE TABLE conversations (a); SELECT model_id FROM conversations",
            &conversation(1, 1),
        ] {
            let error = refusal(&mut empty, sql);
            assert_eq!(
                error.to_string(),
                format!(
                    "the database schema is at an older version or none, this program knows {}: run \
                     `lcs-persistence migrate run`",
                    migration::newest()
                )
            );
        }
    }

    #[test]
    fn a_taken_id_already_exists() {
        let mut connection = migrated();
        connection.batch_execute(&conversation(1, 1)).unwrap();
        for again in [conversation(1, 2), conversation(2, 1), conversation(2, 2).replace("e2", "e1")] {
            assert!(matches!(
                refusal(&mut connection, &again),
                RepositoryError::AlreadyExists { entity: Entity::Conversation }
            ));
        }
    }

    #[test]
    fn p6_the_schema_refuses_a_purged_id_to_whoever_writes() {
        let mut connection = migrated();
        let tombstone = "INSERT INTO conversation_tombstones (conversation_id, user_hash, reason) \
                         VALUES (x'01010101010101010101010101010101', x'00', 'deleted')";
        connection.batch_execute(tombstone).unwrap();
        assert!(matches!(
            refusal(&mut connection, &conversation(1, 1)),
            RepositoryError::AlreadyExists { entity: Entity::Conversation }
        ));
        connection.batch_execute(&conversation(2, 1)).unwrap();
    }

    #[test]
    fn the_schema_refuses_what_no_row_may_be() {
        let mut connection = migrated();
        connection.batch_execute(&conversation(1, 1)).unwrap();
        for change in
            ["status = 'gone'", "metadata = '{'", "turn_count = -1", "user_id = x'00'", "model_id = NULL"]
        {
            let error = refusal(&mut connection, &format!("UPDATE conversations SET {change}"));
            assert_eq!(
                error.to_string(),
                "the storage backend failed: an operation on FILE failed",
                "{change}"
            );
        }
    }

    #[test]
    fn a_commit_that_failed_is_unknown_unless_it_certainly_did_not_happen() {
        let failed = |message: &str| {
            let error = Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_owned()));
            Failure::from(error).into_commit_failure("FILE", "KEY")
        };
        assert!(matches!(failed("database or disk is full"), RepositoryError::StorageFull { .. }));
        assert!(matches!(failed("database is locked"), RepositoryError::Overloaded { .. }));
        assert!(matches!(failed("disk I/O error"), RepositoryError::OutcomeUnknown { key } if key == "KEY"));
    }
}
