//! What is said where something cannot be written: what that is, why, and what to do.

use std::fmt::Display;
use std::io;

/// The error of writing `target`, as one sentence that ends with what to do. It keeps its kind, by which it is known
/// that nobody reads any more.
pub(super) fn unwritten(target: impl Display, error: &io::Error, elsewhere: &str) -> io::Error {
    let room = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room there, or "
        }
        _ => "",
    };
    io::Error::new(error.kind(), format!("{target} cannot be written ({error}): {room}{elsewhere}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_asked_for_where_there_is_none() {
        for (kind, expected) in [
            (
                io::ErrorKind::StorageFull,
                "a.jsonl cannot be written (no storage space): make room there, or name b",
            ),
            (io::ErrorKind::PermissionDenied, "a.jsonl cannot be written (permission denied): name b"),
        ] {
            let said = unwritten("a.jsonl", &kind.into(), "name b");
            assert_eq!((said.kind(), said.to_string().as_str()), (kind, expected));
        }
    }
}
