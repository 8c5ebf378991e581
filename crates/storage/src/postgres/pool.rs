//! The pool of connections, and why there is none when there is none.

mod connect_log;
mod kept;
mod session;
mod waiting;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bb8::{ErrorSink, ManageConnection, PooledConnection, QueueStrategy};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{PoolStatus, RepositoryError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use self::connect_log::ConnectLog;
use self::kept::Kept;
pub(super) use self::session::Session;
pub use self::waiting::NO_ANSWER_YET;
use super::connect::{ConnectFailure, Connector, Purpose};
use super::retry::{RetryBudget, Tries};

/// How long a connection stays idle before it is let go.
const IDLE_TIMEOUT: Duration = Duration::from_mins(10);
/// How soon it is looked again whether a connection that is there, while no other one can be made, is alive.
const STILL_THERE: Duration = Duration::from_millis(100);

/// A connection out of the pool, or one of its own for maintenance.
pub(super) enum Lease {
    /// It goes back when this is dropped.
    Pooled(Box<PooledConnection<'static, Manager>>),
    /// It is closed when this is dropped, unless it is [given back](Pool::give_back).
    Own(Box<Session>),
}

impl Lease {
    pub(super) fn session(&mut self) -> &mut Session {
        match self {
            Self::Pooled(session) => session,
            Self::Own(session) => session,
        }
    }
}

/// The connections of one store.
pub(super) struct Pool {
    connections: bb8::Pool<Manager>,
    connector: Arc<Connector>,
    /// The last connections for maintenance.
    kept: Arc<Kept>,
    budget: RetryBudget,
    failures: watch::Receiver<Option<ConnectFailure>>,
    failed: Arc<AtomicU64>,
}

impl Pool {
    /// A pool without a connection yet: the server need not be there.
    pub(super) fn new(connector: Connector) -> Self {
        let connector = Arc::new(connector);
        let (sender, failures) = watch::channel(None);
        let (failed, log) = (Arc::new(AtomicU64::new(0)), ConnectLog::default());
        let config = connector.config();
        let max_size = config.pool_size.saturating_add(config.max_overflow).max(1);
        let connections = bb8::Pool::builder()
            .max_size(max_size)
            .connection_timeout(config.pool_timeout.max(Duration::from_millis(1)))
            .max_lifetime(config.pool_recycle.filter(|age| !age.is_zero()))
            .idle_timeout(IDLE_TIMEOUT)
            // No `SELECT 1` for each checkout: what is known to be broken is thrown away here, and an
            // statement that meets a dead connection is run again on a new one.
            .test_on_check_out(false)
            // A failed attempt is told at once, to those who wait: they decide whether to try again.
            .retry_connection(false)
            // The last used has the warmest statement cache; the others may grow idle and go.
            .queue_strategy(QueueStrategy::Lifo)
            .error_sink(Box::new(FailureSink {
                failures: sender,
                failed: Arc::clone(&failed),
                log: log.clone(),
            }))
            .build_unchecked(Manager { connector: Arc::clone(&connector), log });
        Self {
            connections,
            connector,
            kept: Arc::default(),
            budget: RetryBudget::of(max_size),
            failures,
            failed,
        }
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(super) const fn budget(&self) -> &RetryBudget {
        &self.budget
    }

    pub(super) fn state(&self) -> bb8::State {
        self.connections.state()
    }

    pub(super) fn status(&self) -> PoolStatus {
        let connects_failed = self.failed.load(Ordering::Relaxed);
        PoolStatus { connects_failed, ..crate::pool::status(&self.connections) }
    }

    /// A connection for `purpose`, made later than `newer_than`.
    ///
    /// # Errors
    /// `Unavailable`, with the reason, where there is none and none can be made: at once where it is of no
    /// use to try again, else at the end of the operation. `Overloaded` where all are in use for longer than
    /// the pool's timeout, or until then. `ReadOnly` where only servers that take no writes can be reached.
    pub(super) async fn lease(
        &self,
        purpose: Purpose,
        newer_than: Option<Instant>,
        tries: &mut Tries,
    ) -> RepositoryResult<Lease> {
        let deadline = tries.deadline();
        let mut leased = pin!(self.try_lease(purpose, newer_than, tries));
        // Mostly there is a connection: no timer is made for what is ready.
        if let Poll::Ready(leased) = poll_fn(|context| Poll::Ready(leased.as_mut().poll(context))).await {
            return leased;
        }
        tokio::select! {
            biased;
            leased = &mut leased => return leased,
            () = sleep(waiting::NOTICED) => {}
        }
        if matches!(purpose, Purpose::Maintenance) || self.state().connections == 0 {
            waiting::tell(self.connector.config(), deadline);
        }
        leased.await
    }

    async fn try_lease(
        &self,
        purpose: Purpose,
        newer_than: Option<Instant>,
        tries: &mut Tries,
    ) -> RepositoryResult<Lease> {
        if let (Purpose::Maintenance, Some(session)) = (purpose, self.kept.take(newer_than)) {
            return Ok(Lease::Own(Box::new(session)));
        }
        let config = self.connector.config();
        let began = Instant::now();
        // Maintenance may work for minutes; that nobody is there is told as soon as to all others.
        let connect_by = tries.deadline().min(began + config.operation_timeout);
        let checkout_by = tries.deadline().min(began + config.pool_timeout);
        let mut failures = self.failures.clone();
        failures.mark_unchanged();
        loop {
            let failure = match purpose {
                // On the heap: it is rare and large, and the future of each statement would else keep room for it.
                Purpose::Maintenance => match Box::pin(self.connector.connect(purpose)).await {
                    Ok(connection) => {
                        return Ok(Lease::Own(Box::new(Session::new(
                            connection,
                            config.maintenance_timeout,
                        ))));
                    }
                    Err(failure) => failure,
                },
                Purpose::Service => tokio::select! {
                    biased;
                    lease = timeout_at(checkout_by, self.connections.get_owned()) => match lease {
                        Ok(Ok(mut session)) => {
                            if session.is_usable(newer_than) {
                                return Ok(Lease::Pooled(Box::new(session)));
                            }
                            session.discard();
                            continue;
                        }
                        Ok(Err(_)) | Err(_) => return Err(self.none_free(began.elapsed())),
                    },
                    failure = self.next_failure(&mut failures) => failure,
                },
            };
            if failure.is_lasting() || !tries.pause(connect_by).await {
                return Err(failure.to_error());
            }
        }
    }

    /// Lets a connection whose statement is done be used again.
    pub(super) fn give_back(&self, lease: Lease) {
        if let Lease::Own(session) = lease {
            self.kept.put(*session);
        }
    }

    /// A connection for maintenance, of its own.
    pub(super) async fn own_session(&self, tries: &mut Tries) -> RepositoryResult<Session> {
        // A new one: what the caller does with it is not run again where it turns out to be dead.
        match self.lease(Purpose::Maintenance, Some(Instant::now()), tries).await? {
            Lease::Own(session) => Ok(*session),
            Lease::Pooled(_) => Err(RepositoryError::unavailable("no connection for maintenance")),
        }
    }

    /// What it means that no connection came in the time that there was.
    fn none_free(&self, waited: Duration) -> RepositoryError {
        let (open, limit) = (self.connections.state().connections, self.connections.config().max_size);
        if open < limit {
            let last = self.failures.borrow().as_ref().map(ConnectFailure::to_error);
            return last.unwrap_or_else(|| {
                let address = self.connector.config().address();
                RepositoryError::unavailable(format!("{address} was not connected to within {waited:.1?}"))
            });
        }
        RepositoryError::Overloaded {
            reason: format!(
                "all {limit} connections were in use for {waited:.1?}: try again later, or raise pool_size or \
                 max_overflow"
            ),
        }
    }

    /// The next failure to connect that leaves the pool without any connection. While there is one, it is
    /// worth waiting for: that the pool cannot grow is no concern of those whom it serves. But the one that is there may turn
    /// out to be dead, of which nothing is heard: so it is looked again whether it is still there.
    async fn next_failure(&self, failures: &mut watch::Receiver<Option<ConnectFailure>>) -> ConnectFailure {
        let mut seen = None;
        loop {
            if let Some(failure) = seen.take_if(|_| self.state().connections == 0) {
                return failure;
            }
            tokio::select! {
                changed = failures.changed() => match changed {
                    Ok(()) => seen.clone_from(&failures.borrow_and_update()),
                    // The sender lives in the pool: without it there is nothing to wait for but the pool itself.
                    Err(_) => return std::future::pending().await,
                },
                () = sleep(STILL_THERE), if seen.is_some() => {}
            }
        }
    }
}

/// Makes the pool's connections, and tells the broken ones.
pub(super) struct Manager {
    connector: Arc<Connector>,
    log: ConnectLog,
}

impl ManageConnection for Manager {
    type Connection = Session;
    type Error = ConnectFailure;

    async fn connect(&self) -> Result<Session, ConnectFailure> {
        let connection = self.connector.connect(Purpose::Service).await?;
        self.log.connected();
        Ok(Session::new(connection, self.connector.config().statement_timeout))
    }

    async fn is_valid(&self, _session: &mut Session) -> Result<(), ConnectFailure> {
        Ok(())
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        !session.is_usable(None)
    }
}

/// Logs why a connection could not be made, remembers the last reason, and tells those who wait.
#[derive(Debug, Clone)]
struct FailureSink {
    failures: watch::Sender<Option<ConnectFailure>>,
    failed: Arc<AtomicU64>,
    log: ConnectLog,
}

impl ErrorSink<ConnectFailure> for FailureSink {
    fn sink(&self, failure: ConnectFailure) {
        self.log.failed(&failure);
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.failures.send_replace(Some(failure));
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<ConnectFailure>> {
        Box::new(self.clone())
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::timeout;

    use super::*;
    use crate::postgres::config::PostgresConfig;
    use crate::testing::TestPostgres;

    #[tokio::test]
    async fn who_waits_hears_of_a_failure_when_the_last_connection_is_gone_and_nothing_is_said() {
        let connector = |url: &str| Connector::new(PostgresConfig::from_url(url).unwrap()).unwrap();
        let nobody = connector("postgres://u@127.0.0.1:1/d").connect(Purpose::Service).await;
        let failure = nobody.err().unwrap();
        let database = TestPostgres::create().await;
        let pool = Pool::new(connector(database.url()));
        let mut last = pool.connections.get_owned().await.unwrap();

        let (sender, mut failures) = watch::channel(None);
        let mut next = pin!(pool.next_failure(&mut failures));
        sender.send_replace(Some(failure.clone()));
        assert_eq!(next.as_mut().now_or_never(), None, "it may be served by the one that is there");
        last.discard();
        drop(last);
        assert_eq!(pool.state().connections, 0);
        let heard = timeout(Duration::from_secs(30), next).await;
        assert_eq!(heard.expect("it is looked again"), failure);
    }
}
