//! One connection, and whether it is still of use.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::PoolableConnection;
use futures_util::future::ready;
use futures_util::{StreamExt, TryStreamExt};
use lcs_domain::RepositoryError;
use lcs_domain::repository::RepositoryResult;
use tokio::time::{Instant, timeout, timeout_at};

use crate::postgres::error::Fault;
use crate::postgres::statement::{Connection, Statement};
use crate::stream::Rows;

/// How much longer than the server's own limit an answer is waited for: for the way there and back.
const GRACE: Duration = Duration::from_secs(1);

/// One connection.
pub(in crate::postgres) struct Session {
    connection: Connection,
    made_at: Instant,
    answer_within: Duration,
    discarded: bool,
}

impl Session {
    pub(super) fn new(connection: AsyncPgConnection, statement_timeout: Duration) -> Self {
        let answer_within = statement_timeout.saturating_add(GRACE);
        Self { connection: connection.into(), made_at: Instant::now(), answer_within, discarded: false }
    }

    /// Whether nothing is known against this connection, and it is newer than `newer_than`.
    pub(super) fn is_usable(&mut self, newer_than: Option<Instant>) -> bool {
        !self.discarded
            && newer_than.is_none_or(|then| self.made_at > then)
            && !PoolableConnection::is_broken(&mut self.connection.inner)
    }

    /// Has this connection closed instead of used again.
    pub(super) fn discard(&mut self) {
        self.discarded = true;
    }

    /// Runs `query` within this connection's own time.
    pub(in crate::postgres) async fn load<U: Send>(
        &mut self,
        query: &impl Statement<U>,
    ) -> Result<Vec<U>, Fault> {
        let deadline = Instant::now() + self.answer_within;
        self.load_by(deadline, query).await
    }

    /// Runs `query`; its answer has to be there by `deadline`.
    ///
    /// Where it is not, the socket is closed, and nothing is cancelled: a commit that waits for a standby would
    /// take a cancellation for the word to go on, and say that it is done.
    ///
    /// Whoever gives up on this leaves a statement running, behind which the next one would wait: the
    /// connection is used again only when its answer has come.
    pub(in crate::postgres) async fn load_by<U: Send>(
        &mut self,
        deadline: Instant,
        query: &impl Statement<U>,
    ) -> Result<Vec<U>, Fault> {
        self.discarded = true;
        let began = Instant::now();
        let end = deadline.min(began + self.answer_within);
        let answer = timeout_at(end, query.fetch(&mut self.connection)).await;
        let answer = match answer {
            Ok(answer) => answer.map_err(Fault::from),
            Err(_) => Err(Fault::Lost(format!("no answer came within {:.1?}", began.elapsed()))),
        };
        self.discarded = answer.as_ref().is_err_and(is_lasting);
        answer
    }

    /// Runs `query` and hands its rows on while they come.
    ///
    /// Where nobody reads them any more, what is left of the answer is read here, so that the connection can
    /// be used again; where that takes long, or anything fails, it is closed.
    pub(in crate::postgres) async fn hand_on<U, T>(
        &mut self,
        query: &impl Statement<U>,
        rows: &mut Rows<T>,
        mut convert: impl FnMut(U) -> RepositoryResult<T>,
    ) -> Result<(), Fault> {
        let silence = Fault::Lost(format!("no answer came within {:?}", self.answer_within));
        self.discarded = true;
        let mut answer = match timeout(self.answer_within, query.rows(&mut self.connection)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let fault = Fault::from(error);
                self.discarded = is_lasting(&fault);
                return Err(fault);
            }
            Err(_) => return Err(silence),
        };
        loop {
            let row = match timeout(self.answer_within, answer.next()).await {
                Ok(Some(row)) => row?,
                Ok(None) => break,
                Err(_) => return Err(silence),
            };
            if !rows.send(convert(row)?).await? {
                let rest = answer.try_for_each(|_| ready(Ok(())));
                self.discarded = !timeout(GRACE, rest).await.is_ok_and(|read| read.is_ok());
                return Ok(());
            }
        }
        self.discarded = false;
        Ok(())
    }

    /// The bare connection, which then belongs to no pool.
    pub(in crate::postgres) fn into_connection(self) -> AsyncPgConnection {
        self.connection.inner
    }
}

/// Whether `fault` is one that the same connection would give again. A server that takes no writes may have
/// been the primary a moment ago: the next connection asks anew.
const fn is_lasting(fault: &Fault) -> bool {
    matches!(fault, Fault::Lost(_) | Fault::Refused(RepositoryError::ReadOnly { .. }))
}
