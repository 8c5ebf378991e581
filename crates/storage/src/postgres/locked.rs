//! Statements in a transaction that has locks before they look.
//!
//! A statement sees what was committed when it began. What is decided by rows that somebody else may be adding just
//! now has to begin when that is over: so the lock is taken by a statement of its own, ahead of it in the same
//! transaction. The messages are sent together and cost one round trip.
//!
//! Two locks: one for whoever purges, which is tried and not waited for; one for who changes what may be purged (holds,
//! users' own retention), which a purge has too. They are taken in this order, before any row's.

use diesel::prelude::QueryResult;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use super::on_behalf::transaction;
use super::statement::{Connection, Single, Statement};

/// For a purge: `lcs.purges` says whether nobody else is at it. A block, so that nothing is answered but the
/// statement.
pub(super) const PURGE: &str = "BEGIN; DO $$ BEGIN \
    PERFORM set_config('lcs.purges', pg_try_advisory_xact_lock(\
        hashtext('lcs-persistence retention'), hashtext(current_schema()))::text, true); \
    IF current_setting('lcs.purges')::boolean THEN \
        PERFORM pg_advisory_xact_lock(hashtext('lcs-persistence hold'), hashtext(current_schema())); \
    END IF; END $$";

/// For who changes what a purge may remove.
pub(super) const HOLDS: &str = "BEGIN; DO $$ BEGIN \
    PERFORM pg_advisory_xact_lock(hashtext('lcs-persistence hold'), hashtext(current_schema())); END $$";

/// A statement behind what takes its locks.
pub(super) struct Locked<'q, Q>(pub(super) &'static str, pub(super) &'q Q);

impl<Q: Single<U>, U: Send + 'static> Statement<U> for Locked<'_, Q> {
    fn rows<'a>(
        &'a self,
        connection: &'a mut Connection,
    ) -> BoxFuture<'a, QueryResult<BoxStream<'a, QueryResult<U>>>> {
        transaction(self.0.to_owned(), self.1, connection).boxed()
    }
}
