//! Cursors: a place in a list that survives its own text, or a refusal that says what to send.

use lcs_domain::{ConversationCursor, RepositoryError};

/// Any text is a cursor or is refused.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match text.parse::<ConversationCursor>() {
        Ok(cursor) => {
            let again = cursor.to_string().parse::<ConversationCursor>().expect("its own text is a cursor");
            assert_eq!(again, cursor);
            // Every store can hold the time, and so can be asked for what stands behind it.
            assert!(
                (1..=9999).contains(&chrono::Datelike::year(&cursor.updated_at)),
                "{}",
                cursor.updated_at
            );
        }
        Err(RepositoryError::Invalid { pointer, reason }) => {
            assert_eq!((pointer.as_str(), reason.contains("not a cursor of ours")), ("/cursor", true));
        }
        Err(other) => panic!("a cursor is refused as invalid, not: {other:?}"),
    }
}
