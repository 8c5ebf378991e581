//! Statements in a transaction that has locks before they look.
//!
//! A statement sees what was committed when it began. What is decided by rows that somebody else may be adding just
//! now has to begin when that is over: so the lock is taken by a statement of its own, ahead of it in the same
//! transaction, and the transaction is one whose statements each see what is committed by then, whatever the server's
//! default is. The messages are sent together and cost one round trip.
//!
//! A purge takes one of two lanes, which are tried and not waited for: so two batches may be under way at once. Then
//! comes the lock of holds. Who changes what may be purged (holds, users' own retention), erases, or removes what an archive
//! holds has it alone; a batch of a purge shares it with the other one, and with who begins what may be erased. They are
//! taken in this order, before any row's, but for an import and a restore of one long conversation, which take the lock
//! of holds when its rows are written, at the end.

use std::borrow::Cow;

use diesel::prelude::QueryResult;
use diesel::sql_types::Text as SqlText;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use lcs_domain::UserId;

use super::on_behalf::{begin_on_behalf_of, transaction};
use super::statement::{Connection, Single, Statement, statement};

/// Shares the holds' lock, and waits longer for it than for any behind it: whoever has this one keeps others waiting. Stands
/// in a block that keeps the time for the others as `patience`.
macro_rules! share_holds_patiently {
    () => {
        "PERFORM set_config('lock_timeout', '30s', true), \
            pg_advisory_xact_lock_shared(hashtext('lcs-persistence hold'), hashtext(current_schema())); \
        PERFORM set_config('lock_timeout', patience, true); "
    };
}

/// For a purge: `lcs.purges` says whether a lane was free. A block, so that nothing is answered but the statement. It may
/// have to wait behind who waits for the batch in the other lane.
const PURGE: &str = concat!(
    "BEGIN ISOLATION LEVEL READ COMMITTED; DO $$ DECLARE patience text := current_setting('lock_timeout'); BEGIN \
    PERFORM set_config('lcs.purges', (CASE \
        WHEN pg_try_advisory_xact_lock(hashtext('lcs-persistence retention'), hashtext(current_schema())) THEN true \
        ELSE pg_try_advisory_xact_lock(hashtext('lcs-persistence retention 2'), hashtext(current_schema())) \
        END)::text, true); \
    IF current_setting('lcs.purges')::boolean THEN ",
    share_holds_patiently!(),
    "END IF; END $$"
);

/// Records what a purge has removed, as its statement has left it in `lcs.purged`. A statement of its own: turns and
/// states go when the one before it ends, and whoever waits for the head of the log must not wait for that as well.
const PURGED: &str = "INSERT INTO audit_events (actor, action, outcome, detail) \
    SELECT event ->> 'actor', COALESCE(event ->> 'action', 'purge'), 'done', event ->> 'detail' \
      FROM (SELECT NULLIF(current_setting('lcs.purged', true), '')::jsonb) AS purged (event) \
     WHERE event IS NOT NULL";

/// For who changes what a purge may remove. It waits for the batches of a purge that are under way, which may take longer
/// than a row's lock; no other one begins meanwhile.
const HOLDS: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '30s'; DO $$ BEGIN \
    PERFORM pg_advisory_xact_lock(hashtext('lcs-persistence hold'), hashtext(current_schema())); END $$";

/// For who begins what may be erased.
const BESIDE_ERASURES: &str = "DO $$ BEGIN \
    PERFORM pg_advisory_xact_lock_shared(hashtext('lcs-persistence hold'), hashtext(current_schema())); END $$";

/// The same for who may wait longer.
const BESIDE_ERASURES_PATIENTLY: &str = concat!(
    "DO $$ DECLARE patience text := current_setting('lock_timeout'); BEGIN ",
    share_holds_patiently!(),
    "END $$"
);

statement! {
    /// The holds' lock, inside a transaction that is begun already.
    TakeHolds(
        "SELECT set_config('lock_timeout', '30s', true), \
                pg_advisory_xact_lock(hashtext('lcs-persistence hold'), hashtext(current_schema()))::text"
    ) -> (SqlText, SqlText) {}
}

/// A statement behind what takes its locks, and before what has to be done after it.
pub(super) struct Locked<'q, Q> {
    opening: Cow<'static, str>,
    query: &'q Q,
    closing: Option<&'static str>,
}

impl<'q, Q> Locked<'q, Q> {
    /// A purge.
    pub(super) fn purge(query: &'q Q) -> Self {
        Self { opening: PURGE.into(), query, closing: Some(PURGED) }
    }

    /// What removes what an archive holds. It waits for the batches of a purge that are under way.
    pub(super) fn archival(query: &'q Q) -> Self {
        Self { opening: HOLDS.into(), query, closing: Some(PURGED) }
    }

    /// What changes what a purge may remove.
    pub(super) fn holds(query: &'q Q) -> Self {
        Self { opening: HOLDS.into(), query, closing: None }
    }

    /// What begins what may be erased: an erasure's step comes before it or behind it. On behalf of this user, where
    /// row-level security asks for one.
    pub(super) fn beside_erasures(user_id: Option<UserId>, query: &'q Q) -> Self {
        let opening = format!("{}; {BESIDE_ERASURES}", begin_on_behalf_of(user_id));
        Self { opening: opening.into(), query, closing: None }
    }
}

impl<'q, Q> Locked<'q, Q> {
    /// What takes in what may be erased. It waits for a batch of an erasure.
    pub(super) fn import(query: &'q Q) -> Self {
        let opening = format!("{}; {BESIDE_ERASURES_PATIENTLY}", begin_on_behalf_of(None));
        Self { opening: opening.into(), query, closing: None }
    }
}

impl<Q: Single<U>, U: Send + 'static> Statement<U> for Locked<'_, Q> {
    fn rows<'a>(
        &'a self,
        connection: &'a mut Connection,
    ) -> BoxFuture<'a, QueryResult<BoxStream<'a, QueryResult<U>>>> {
        transaction(self.opening.clone().into_owned(), self.query, self.closing, connection).boxed()
    }
}
