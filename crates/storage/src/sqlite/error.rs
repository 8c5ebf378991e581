//! What SQLite says, in the domain's words: the one place where its errors are read.
//!
//! Diesel keeps SQLite's extended code to itself and passes on the kind of a broken constraint and the
//! message. The messages are SQLite's own (`sqlite3_errmsg`), fixed English in the bundled library, and
//! the tests at the foot hold them against that library.

use diesel::ConnectionError;
use diesel::result::{DatabaseErrorKind, Error};
use lcs_domain::{Entity, RepositoryError};

use super::migration;

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
    /// The failure of work on `file` that was definitely not applied.
    pub(super) fn into_repository(self, file: &str) -> RepositoryError {
        match self {
            Self::Refused(error) => error,
            Self::Database(error) => translate(error, file),
        }
    }

    /// The failure of the COMMIT of the write with this key.
    ///
    /// What is known to come before the commit record is whole was not applied. After any other failure
    /// the record may be in the log, and a restart would find it there.
    pub(super) fn into_commit_failure(self, file: &str, key: &str) -> RepositoryError {
        match self.into_repository(file) {
            error @ (RepositoryError::StorageFull { .. } | RepositoryError::Overloaded { .. }) => error,
            _ => RepositoryError::OutcomeUnknown { key: key.to_owned() },
        }
    }
}

/// The failure to open `file`.
pub(super) fn of_connection(error: ConnectionError, file: &str) -> RepositoryError {
    match error {
        ConnectionError::CouldntSetupConfiguration(error) => translate(error, file),
        ConnectionError::BadConnection(_) => RepositoryError::unavailable(format!(
            "{file} cannot be opened: check the path and who may write there"
        )),
        error => RepositoryError::Backend {
            reason: format!("{file} cannot be opened"),
            source: Some(error.into()),
        },
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
        "database or disk is full" => RepositoryError::StorageFull {
            reason: format!("no room for {file}: free some space on its disk"),
        },
        "attempt to write a readonly database" => read_only(file),
        "database is locked" | "database table is locked" | "database schema is locked: main" => {
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
        _ if message.starts_with("no such table") || message.starts_with("no such column") => {
            RepositoryError::SchemaSkew {
                found: "an older version or none".to_owned(),
                supported: migration::newest(),
                remedy: "run `lcs-persistence migrate run`".to_owned(),
            }
        }
        _ => return None,
    })
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
