//! The journal's records: what is read was written so, and comes to the same record again.

use lcs_domain::RepositoryError;
use lcs_storage::journal::record::{decode, encode};

/// The bytes of a record.
pub fn check(bytes: &[u8]) {
    match decode(7, bytes) {
        Ok(operation) => {
            let written = encode(&operation).expect("what was read can be written");
            let again = decode(7, &written).expect("what was written can be read");
            assert_eq!(again, operation);
            assert_eq!(encode(&again).expect("it was written before"), written);
            assert_eq!(again.conversation_id(), operation.conversation_id());
        }
        Err(RepositoryError::Inconsistent { table, column, row, reason }) => {
            assert_eq!((table, column, row.as_str()), ("journal_entries", "operation", "7"));
            // The same few sentences, whatever the bytes are: nothing of them is told.
            assert!(!reason.is_empty() && reason.len() < 120, "{reason}");
        }
        Err(other) => panic!("a record that cannot be read is inconsistent, not: {other:?}"),
    }
}
