//! What is erased leaves the archives.

use std::collections::BTreeSet;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use lcs_domain::archive::{ArchiveState, Forgotten};
use lcs_domain::{ArchiveId, PurgeReason};

use super::{give_up, ids};
use crate::sqlite::error::Failure;
use crate::sqlite::hold;
use crate::sqlite::row::{BlobUuid, Cell, Reader};
use crate::sqlite::schema::{archives, conversation_tombstones as tombstones};

/// How many ids one statement names: SQLite binds no more than 32,766.
const BINDS: usize = 10_000;

/// A conversation and its archive.
type Archived = (Cell<Vec<u8>>, Option<Cell<Vec<u8>>>);

/// No archive holds these any more; says how many there were.
pub(super) fn leave(connection: &mut SqliteConnection, what: Forgotten) -> Result<u64, Failure> {
    hold::refuse_forgotten(connection, &what)?;
    let query = || {
        let archived = tombstones::table.filter(tombstones::archive_id.is_not_null());
        archived.select((tombstones::conversation_id, tombstones::archive_id))
    };
    let mut leaving: Vec<Archived> = Vec::new();
    match what {
        Forgotten::Conversations(ids) => {
            let ids: BTreeSet<_> = ids.into_iter().collect();
            let ids: Vec<_> = ids.into_iter().map(BlobUuid::from).collect();
            for some in ids.chunks(BINDS) {
                let some = query().filter(tombstones::conversation_id.eq_any(some));
                leaving.extend(some.load::<(_, _)>(connection)?);
            }
        }
        Forgotten::User(user) => {
            leaving = query().filter(tombstones::user_hash.eq(user.0.to_vec())).load(connection)?;
        }
    }
    let (mut touched, count) = (Vec::new(), leaving.len() as u64);
    for (key, archive_id) in leaving {
        let reader = Reader::new("conversation_tombstones", "conversation_id", key)?;
        if let Some(archive_id) = archive_id {
            touched.push(ArchiveId::from_uuid(reader.uuid("archive_id", archive_id)?));
        }
        let left = tombstones::table.find(BlobUuid::from(reader.key()));
        diesel::update(left.filter(tombstones::reason.eq(PurgeReason::Expired.as_str())))
            .set(tombstones::reason.eq(PurgeReason::Erased.as_str()))
            .execute(connection)?;
        diesel::update(left).set(tombstones::archive_id.eq(None::<BlobUuid>)).execute(connection)?;
    }
    let begun = archives::table
        .filter(archives::state.eq(ArchiveState::Begun.as_str()))
        .select(archives::archive_id)
        .load(connection)?;
    touched.extend(ids("archives", begun)?.into_iter().map(ArchiveId::from_uuid));
    touched.sort_unstable();
    touched.dedup();
    for archive_id in touched {
        give_up(connection, archive_id)?;
    }
    Ok(count)
}
