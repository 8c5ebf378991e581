//! Why something could not be done with archives: one sentence each, and nothing of what a server answers but its code.

use std::error::Error as StdError;
use std::io;

use lcs_domain::{ArchiveId, RepositoryError};
use thiserror::Error;

/// Why an archive could not be written, read or deleted.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] RepositoryError),
    /// There is nowhere to look.
    #[error("there is no place for archives: write persistence.archive_url")]
    NoPlace,
    /// The place does not answer, or refuses.
    #[error("the archives at {place} cannot be {what}: {reason}")]
    Place {
        /// Where they are.
        place: String,
        /// What was to be done.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// What the database says is archived is in none of the place's files.
    #[error(
        "the files of archive {archive_id} are not all in {place}: look whether that is the right place for archives, \
         and whether they are there"
    )]
    Missing {
        /// Which one.
        archive_id: ArchiveId,
        /// Where it was looked.
        place: String,
    },
    /// What an earlier run has seen in one place is not in the one that is configured now.
    #[error(
        "archive {archive_id} was in {was} when this erasure came to it, and it is not known that its files there are \
         deleted, for the place is {place} now: write the other one into persistence.archive_url again"
    )]
    Elsewhere {
        /// Which one.
        archive_id: ArchiveId,
        /// Where it was seen.
        was: String,
        /// Where it was looked.
        place: String,
    },
    /// An archive is not what it should be.
    #[error("archive {archive_id} is damaged: {reason}; restore its files from a copy")]
    Damaged {
        /// Which one.
        archive_id: ArchiveId,
        /// What is wrong with it.
        reason: String,
    },
    /// A file on this machine failed.
    #[error("a temporary file of the archive failed: {0}")]
    Temporary(#[from] io::Error),
}

impl ArchiveError {
    /// `archive_id` is not as it should be.
    pub(crate) fn damaged(archive_id: ArchiveId, reason: impl Into<String>) -> Self {
        Self::Damaged { archive_id, reason: reason.into() }
    }
}

/// What an error of the object store says, without what a server may have put into it: an address may hold a
/// signature, and a body anything.
pub(crate) fn reason(error: &object_store::Error) -> String {
    match error {
        object_store::Error::NotFound { .. } => return "it is not there".to_owned(),
        object_store::Error::PermissionDenied { .. } => {
            return "access is denied: look at the credentials in the environment, or the folder's owner"
                .to_owned();
        }
        object_store::Error::Unauthenticated { .. } => {
            return "the credentials in the environment are not taken".to_owned();
        }
        _ => {}
    }
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    let mut text = String::new();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.to_string();
        }
        text = error.to_string();
        cause = error.source();
    }
    let code = between(&text, "<Code>", "</Code>").map(|code| format!(" ({code})")).unwrap_or_default();
    match after(&text, "status code: ") {
        Some(status) => format!("the server answered {status}{code}"),
        None => {
            "it did not answer as it should: look at the address, the credentials and the network".to_owned()
        }
    }
}

/// The word between `begin` and `end`, where it is one.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (word, _) = text.split_once(begin)?.1.split_once(end)?;
    (word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(word)
}

/// The number behind `begin`.
fn after<'a>(text: &'a str, begin: &str) -> Option<&'a str> {
    let rest = text.split_once(begin)?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end).filter(|number| number.len() == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn canary_a_reason_says_what_a_server_answered_and_quotes_nothing_of_it() {
        let text = "Error performing PUT http://h/b?sig=canary: Server returned non-2xx status code: 403 Forbidden: \
                    <Error><Code>InvalidAccessKeyId</Code><Message>canary</Message></Error>";
        assert_eq!(reason(&generic(text)), "the server answered 403 (InvalidAccessKeyId)");
        let odd = "status code: 500: <Code>a canary</Code>";
        assert_eq!(reason(&generic(odd)), "the server answered 500");
        assert!(!reason(&generic("canary")).contains("canary"));
        let refused = object_store::Error::Generic {
            store: "S3",
            source: io::Error::from(io::ErrorKind::ConnectionRefused).into(),
        };
        assert_eq!(reason(&refused), "connection refused");
    }
}
