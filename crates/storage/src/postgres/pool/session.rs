//! One connection, and whether it is still of use.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::PoolableConnection;
use lcs_domain::RepositoryError;
use tokio::time::{Instant, timeout};

use crate::postgres::error::Fault;
use crate::postgres::statement::Statement;

/// How much longer than the server's own limit an answer is waited for: for the way there and back.
const GRACE: Duration = Duration::from_secs(1);

/// One connection.
pub(in crate::postgres) struct Session {
    connection: AsyncPgConnection,
    made_at: Instant,
    answer_within: Duration,
    discarded: bool,
}

impl Session {
    pub(super) fn new(connection: AsyncPgConnection, statement_timeout: Duration) -> Self {
        let answer_within = statement_timeout.saturating_add(GRACE);
        Self { connection, made_at: Instant::now(), answer_within, discarded: false }
    }

    /// Whether nothing is known against this connection, and it is newer than `newer_than`.
    pub(super) fn is_usable(&mut self, newer_than: Option<Instant>) -> bool {
        !self.discarded
            && newer_than.is_none_or(|then| self.made_at > then)
            && !PoolableConnection::is_broken(&mut self.connection)
    }

    /// Has this connection closed instead of used again.
    pub(super) fn discard(&mut self) {
        self.discarded = true;
    }

    /// Runs `query`.
    ///
    /// Whoever gives up on this leaves a statement running, behind which the next one would wait: the
    /// connection is used again only when its answer has come.
    pub(in crate::postgres) async fn load<U>(&mut self, query: &impl Statement<U>) -> Result<Vec<U>, Fault> {
        self.discarded = true;
        let answer = timeout(self.answer_within, query.fetch(&mut self.connection)).await;
        let answer = match answer {
            Ok(answer) => answer.map_err(Fault::from),
            Err(_) => Err(Fault::Lost(format!("no answer came within {:?}", self.answer_within))),
        };
        // A server that takes no writes may have been the primary a moment ago: the next connection asks anew.
        self.discarded =
            matches!(answer, Err(Fault::Lost(_) | Fault::Refused(RepositoryError::ReadOnly { .. })));
        answer
    }

    /// The bare connection, which then belongs to no pool.
    pub(in crate::postgres) fn into_connection(self) -> AsyncPgConnection {
        self.connection
    }
}
