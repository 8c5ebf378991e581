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
    if causes(error).any(|cause| cause.to_string().starts_with(TOKEN_REQUEST)) {
        return "the credentials in the environment, or those of the machine, give no token".to_owned();
    }
    let io = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
    let (status, code) = answer(error);
    let named = code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    match (status.as_deref(), io) {
        (Some(_), _) if is_of_bucket(code.as_deref()) => {
            "the bucket or container is not there: make it, or look at the address".to_owned()
        }
        (Some("404"), _) => "it is not there".to_owned(),
        (Some("403"), Some(_)) => "access is denied: look at the folder's owner".to_owned(),
        (Some("403"), None) => {
            format!(
                "access is denied{named}: look at the credentials in the environment, and at their rights"
            )
        }
        (Some("401"), _) => format!("the credentials in the environment are not taken{named}"),
        (_, Some(io)) => io.to_string(),
        (Some(status), None) => format!("the server answered {status}{named}"),
        (None, None) => {
            "it did not answer as it should: look at the address, the credentials and the network".to_owned()
        }
    }
}

/// Why it cannot be opened, where nothing was asked yet: what the environment says under `names`, of which nothing is
/// quoted.
pub(crate) fn unopened(error: &object_store::Error, names: &str) -> String {
    let io = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
    let io = io.map(|io| format!(" ({io})")).unwrap_or_default();
    format!("what the environment says of it cannot be used{io}: look at {names}")
}

/// Whether it says that the object is not there, and not that its whole bucket is not.
pub(crate) fn is_not_there(error: &object_store::Error) -> bool {
    let is_not_found = matches!(error, object_store::Error::NotFound { .. });
    is_not_found && !is_of_bucket(answer(error).1.as_deref())
}

/// Whether a file or folder of this machine was not there any more.
pub(crate) fn is_gone(error: &object_store::Error) -> bool {
    let mut io = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    io.any(|io| io.kind() == io::ErrorKind::NotFound)
}

/// Whether it says that the object is there already. Azure has the same status for a container that is being deleted.
pub(crate) fn is_there_already(error: &object_store::Error) -> bool {
    let is_there = matches!(error, object_store::Error::AlreadyExists { .. });
    is_there && !is_of_bucket(answer(error).1.as_deref())
}

/// What an error begins with that is no answer of the place, but of who gives tokens for it.
const TOKEN_REQUEST: &str = "Error performing token request";

fn is_of_bucket(code: Option<&str>) -> bool {
    matches!(code, Some("NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted"))
}

fn causes(error: &object_store::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let first: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |&error| error.source())
}

/// The status and the code that a server answered, as far as they are known.
fn answer(error: &object_store::Error) -> (Option<String>, Option<String>) {
    let text = causes(error).last().map(ToString::to_string).unwrap_or_default();
    // Of a delete among many, the code or the status is told behind what the server said.
    let told = text.rsplit_once(" (code: ").map(|(_, rest)| format!("<Code>{rest}"));
    let told = told.as_deref().and_then(|told| between(told, "<Code>", ")"));
    let code =
        between(&text, "<Code>", "</Code>").or(told.filter(|told| status_at_the_start(told).is_none()));
    let status = match error {
        object_store::Error::NotFound { .. } => Some("404"),
        object_store::Error::PermissionDenied { .. } => Some("403"),
        object_store::Error::Unauthenticated { .. } => Some("401"),
        _ => after(&text, "status code: ")
            .or(told.and_then(status_at_the_start))
            .or(told.filter(|told| *told == "AccessDenied").map(|_| "403")),
    };
    (status.map(str::to_owned), code.map(str::to_owned))
}

/// The word between `begin` and `end`, where it is one.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (word, _) = text.split_once(begin)?.1.split_once(end)?;
    (word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(word)
}

/// The number behind `begin`.
fn after<'a>(text: &'a str, begin: &str) -> Option<&'a str> {
    status_at_the_start(text.split_once(begin)?.1)
}

fn status_at_the_start(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).filter(|number| number.len() == 3)
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
        assert_eq!(
            reason(&generic(text)),
            "access is denied (InvalidAccessKeyId): look at the credentials in the environment, and at their rights"
        );
        let text = "Server returned non-2xx status code: 400 Bad Request: <Error><Code>InvalidArgument</Code></Error>";
        assert_eq!(reason(&generic(text)), "the server answered 400 (InvalidArgument)");
        let odd = "status code: 500: <Code>a canary</Code>";
        assert_eq!(reason(&generic(odd)), "the server answered 500");
        assert!(!reason(&generic("canary")).contains("canary"));
        let refused = object_store::Error::Generic {
            store: "S3",
            source: io::Error::from(io::ErrorKind::ConnectionRefused).into(),
        };
        assert_eq!(reason(&refused), "connection refused");
    }
    #[test]
    fn canary_a_delete_that_is_refused_among_many_is_told_by_its_code_alone() {
        let of_s3 = "DeleteObjects request failed for key a/canary: canary (code: 404) (code: AccessDenied)";
        assert!(
            reason(&generic(of_s3)).starts_with("access is denied (AccessDenied): "),
            "{}",
            reason(&generic(of_s3))
        );
        let of_azure = "Bulk delete request failed for key a/canary: Conflict (code: 409)";
        assert_eq!(reason(&generic(of_azure)), "the server answered 409");
    }

    #[test]
    fn a_bucket_that_is_not_there_is_no_object_that_is_not_there() {
        let not_found = |text: &str| object_store::Error::NotFound { path: "a".into(), source: text.into() };
        let answered =
            |code: &str| format!("Server returned non-2xx status code: 404 Not Found: <Code>{code}</Code>");
        for code in ["NoSuchBucket", "ContainerNotFound"] {
            let error = not_found(&answered(code));
            assert!(!is_not_there(&error));
            assert!(reason(&error).starts_with("the bucket or container is not there"), "{}", reason(&error));
            assert!(reason(&generic(&answered(code))).starts_with("the bucket or container is not there"));
        }
        for code in ["NoSuchKey", "BlobNotFound"] {
            assert!(is_not_there(&not_found(&answered(code))));
            assert_eq!(reason(&not_found(&answered(code))), "it is not there");
        }
    }

    #[test]
    fn a_container_that_is_being_deleted_is_no_object_that_is_there() {
        let conflict = |code: &str| {
            let text = format!("Server returned non-2xx status code: 409 Conflict: <Code>{code}</Code>");
            object_store::Error::AlreadyExists { path: "a".into(), source: text.into() }
        };
        assert!(is_there_already(&conflict("BlobAlreadyExists")));
        let going = conflict("ContainerBeingDeleted");
        assert!(!is_there_already(&going));
        assert!(reason(&going).starts_with("the bucket or container is not there"), "{}", reason(&going));
    }

    #[test]
    fn canary_what_the_environment_says_wrongly_is_named_and_not_quoted() {
        let said = unopened(&generic("Invalid Access Key: canary"), "AZURE_STORAGE_ACCOUNT_KEY");
        assert_eq!(said, "what the environment says of it cannot be used: look at AZURE_STORAGE_ACCOUNT_KEY");
        let asked = "Error performing token request: Error performing GET http://canary?sig=canary";
        assert_eq!(
            reason(&generic(asked)),
            "the credentials in the environment, or those of the machine, give no token"
        );
    }
}
