//! What PostgreSQL's refusals mean to the domain: constraints by their names, the rest by kind.
//!
//! diesel-async keeps eight SQLSTATEs apart and hides all others: they come as [`DatabaseErrorKind::Unknown`]
//! with a message. [`of_message`] is the one place where messages are read; whatever it does not know is
//! permanent. Nothing here reads an error's details: PostgreSQL quotes row data there.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error};
use lcs_domain::{Entity, RepositoryError};

use super::migration;

/// Why a prepared statement is not the one that was prepared.
pub(super) const LOST_STATEMENT: &str = "the server does not know a statement as this connection prepared it: \
    a pooler in transaction mode stands between; use PgBouncer 1.21 or later with max_prepared_statements, or \
    session mode";

/// What a statement came to instead of a result.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection is gone or gave no answer: the statement may or may not have been applied.
    Lost(String),
    /// The server rolled the statement back to let another one go on: try again at once.
    Yielded,
    /// A row was refused by the constraint of this name.
    Constraint(String),
    /// Refused for good; not applied.
    Refused(RepositoryError),
}

impl Fault {
    /// The refusal that this fault is to a caller for whom no constraint has a meaning of its own.
    pub(super) fn into_error(self) -> RepositoryError {
        match self {
            Self::Lost(reason) => RepositoryError::unavailable(reason),
            Self::Yielded => overloaded("deadlocks with other statements did not end: try again"),
            Self::Constraint(name) => of_constraint(&name),
            Self::Refused(error) => error,
        }
    }
}

impl From<RepositoryError> for Fault {
    fn from(error: RepositoryError) -> Self {
        Self::Refused(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::DatabaseError(kind, information) => of_database(kind, information.as_ref()),
            Error::BrokenTransactionManager => Self::Lost("the connection broke in a transaction".into()),
            // Diesel's own errors name columns and types, never values.
            error => Self::Refused(RepositoryError::Backend {
                reason: "PostgreSQL's answer could not be read".into(),
                source: Some(Box::new(error)),
            }),
        }
    }
}

fn of_database(kind: DatabaseErrorKind, information: &dyn DatabaseErrorInformation) -> Fault {
    let message = information.message();
    match kind {
        DatabaseErrorKind::UnableToSendCommand => Fault::Lost(format!("the connection was lost: {message}")),
        DatabaseErrorKind::SerializationFailure => Fault::Yielded,
        DatabaseErrorKind::ReadOnlyTransaction => {
            Fault::Refused(RepositoryError::ReadOnly { reason: read_only(message) })
        }
        DatabaseErrorKind::UniqueViolation
        | DatabaseErrorKind::ForeignKeyViolation
        | DatabaseErrorKind::NotNullViolation
        | DatabaseErrorKind::CheckViolation
        | DatabaseErrorKind::ExclusionViolation
        | DatabaseErrorKind::RestrictViolation => Fault::Constraint(
            information.constraint_name().or(information.column_name()).unwrap_or("unnamed").to_owned(),
        ),
        _ => of_message(message),
    }
}

/// What a row's refusal by the constraint `name` is to the domain.
fn of_constraint(name: &str) -> RepositoryError {
    match name {
        "conversations_pkey"
        | "conversations_agent_id_key"
        | "conversations_user_id_external_id_key"
        | "conversation_tombstones_pkey" => RepositoryError::AlreadyExists { entity: Entity::Conversation },
        // An append gives it another meaning.
        "conversation_turns_pkey" => RepositoryError::AlreadyExists { entity: Entity::Turn },
        "erasures_pkey" => RepositoryError::AlreadyExists { entity: Entity::Erasure },
        "requests_pkey" => RepositoryError::AlreadyExists { entity: Entity::Request },
        "conversation_turns_conversation_id_turn_number_key" => RepositoryError::Inconsistent {
            table: "conversations",
            column: "turn_count",
            row: "the one appended to".into(),
            reason: "a turn stands where the next one belongs: run `lcs-persistence doctor`".into(),
        },
        _ => RepositoryError::Backend {
            reason: format!("PostgreSQL's constraint {name} refused the row"),
            source: None,
        },
    }
}

/// What a message means whose SQLSTATE is hidden. Messages are PostgreSQL's own English ones. Where a
/// server speaks another language, all of them are permanent failures: a deadlock, a lock that is held for
/// too long and a connection that was ended are then not tried again. `doctor` warns of such a server.
pub(super) fn of_message(message: &str) -> Fault {
    let starts = |prefix: &str| message.starts_with(prefix);
    let holds = |part: &str| message.contains(part);
    if starts("deadlock detected") {
        Fault::Yielded
    } else if [
        "terminating connection",
        "cached plan must not change result type",
        // PgBouncer's, when it ends a client's connection or has lost its own.
        "server conn",
        "server closed the connection",
        "server login",
        "server_l",
        "query_wait_timeout",
        "client_idle_timeout",
        "idle transaction timeout",
        "pgbouncer ",
        "bouncer config error",
    ]
    .into_iter()
    .any(starts)
    {
        Fault::Lost(format!("the connection was lost: {message}"))
    } else if starts("the database system is ") {
        Fault::Refused(RepositoryError::unavailable(message))
    } else if starts("canceling statement due to lock timeout") {
        Fault::Refused(overloaded("another statement held the row's lock for too long: try again"))
    } else if starts("canceling statement due to") {
        Fault::Refused(overloaded("the statement took longer than the statement timeout: try again"))
    } else if holds("too many clients")
        || holds("remaining connection slots")
        || holds("too many connections")
    {
        Fault::Refused(overloaded(&too_many(message)))
    } else if starts("out of memory") || starts("out of shared memory") {
        Fault::Refused(overloaded(&format!("the server is {message}")))
    } else if holds("No space left on device") || holds("Disk quota exceeded") {
        Fault::Refused(RepositoryError::StorageFull {
            reason: "the server's disk has no room: free some there, then try again".into(),
        })
    } else if holds("in a read-only transaction") {
        Fault::Refused(RepositoryError::ReadOnly { reason: read_only(message) })
    } else if starts("prepared statement ") {
        backend(LOST_STATEMENT)
    } else if message.ends_with("does not exist")
        && ["relation ", "column ", "function ", "type ", "schema "].into_iter().any(starts)
    {
        Fault::Refused(not_migrated())
    } else if starts("unrecognized configuration parameter \"lcs.user_id\"")
        || starts("invalid input syntax for type uuid: \"\"")
    {
        // The policies' own failure where no user is named.
        denied(
            "row-level security hides the rows from this role: set persistence.database.row_level_security to \
             true; what concerns all users needs the operator's role",
        )
    } else if starts("new row violates row-level security policy") {
        denied(
            "row-level security refused a row of the user's own: see that its policies are those of \
             `lcs-persistence migrate run`",
        )
    } else if starts("permission denied") {
        denied(&format!(
            "{message}: run this as the role whose work it is, or grant it; migrations/roles.sql says which role may what"
        ))
    } else {
        // An unknown message may quote a value, as "invalid input syntax" does: it is not repeated.
        backend("PostgreSQL refused the statement: see the server's log")
    }
}

fn backend(reason: &str) -> Fault {
    Fault::Refused(RepositoryError::Backend { reason: reason.into(), source: None })
}

fn denied(reason: &str) -> Fault {
    Fault::Refused(RepositoryError::Denied { reason: reason.into() })
}

fn overloaded(reason: &str) -> RepositoryError {
    RepositoryError::Overloaded { reason: reason.into() }
}

/// The sentence for a server without a free connection slot.
pub(super) fn too_many(message: &str) -> String {
    format!("{message}: raise max_connections on the server, or lower pool_size and max_overflow")
}

fn read_only(message: &str) -> String {
    format!("{message}: connect to the primary, not to a standby")
}

/// A schema that lacks what a statement names.
pub(super) fn not_migrated() -> RepositoryError {
    RepositoryError::SchemaSkew {
        found: "an older migration or none".into(),
        supported: migration::newest(),
        remedy: "run `lcs-persistence migrate run`".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(message: &str) -> RepositoryError {
        of_message(message).into_error()
    }

    #[test]
    fn an_unknown_message_is_permanent_and_not_repeated() {
        let error = refusal("invalid input syntax for type json: hunter2");
        assert!(!error.is_retryable());
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn messages_are_told_apart() {
        assert!(matches!(of_message("deadlock detected"), Fault::Yielded));
        assert!(matches!(of_message("terminating connection due to administrator command"), Fault::Lost(_)));
        assert!(matches!(refusal("sorry, too many clients already"), RepositoryError::Overloaded { .. }));
        assert!(matches!(
            refusal("could not extend file \"base/1/2\": No space left on device"),
            RepositoryError::StorageFull { .. }
        ));
        assert!(matches!(
            refusal("the database system is shutting down"),
            RepositoryError::Unavailable { .. }
        ));
        for missing in
            ["relation \"conversations\"", "column c.topic", "column \"topic\" of relation \"conversations\""]
        {
            assert!(refusal(&format!("{missing} does not exist")).to_string().contains("migrate run"));
        }
    }

    #[test]
    fn what_the_role_may_not_do_is_told_apart_from_what_is_wrong_with_a_row() {
        for message in [
            "permission denied for table conversations",
            "permission denied for schema lcs",
            "new row violates row-level security policy for table \"conversations\"",
            "unrecognized configuration parameter \"lcs.user_id\"",
        ] {
            assert!(matches!(refusal(message), RepositoryError::Denied { .. }), "{message}");
        }
    }

    #[test]
    fn a_lost_prepared_statement_points_to_the_pooler() {
        for message in
            ["prepared statement \"s1\" does not exist", "prepared statement \"s1\" already exists"]
        {
            let error = refusal(message);
            assert!(matches!(error, RepositoryError::Backend { .. }), "{error:?}");
            assert!(error.to_string().contains("max_prepared_statements"), "{error}");
        }
        assert!(matches!(refusal("cursor \"c\" does not exist"), RepositoryError::Backend { .. }));
    }

    #[test]
    fn constraints_are_told_by_their_names() {
        assert!(matches!(
            of_constraint("conversations_agent_id_key"),
            RepositoryError::AlreadyExists { entity: Entity::Conversation }
        ));
        assert!(matches!(
            of_constraint("conversation_turns_conversation_id_turn_number_key"),
            RepositoryError::Inconsistent { .. }
        ));
        assert!(of_constraint("other_check").to_string().contains("other_check"));
    }
}
