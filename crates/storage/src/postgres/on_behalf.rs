//! Statements on behalf of one user, which row-level security lets see that user's rows alone.
//!
//! The user is named in a setting that ends with its transaction, so that none is left on a connection:
//!
//! ```sql
//! BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lcs.user_id = '...'
//! -- the statement
//! COMMIT
//! ```
//!
//! The three are sent together and cost one round trip. The answer counts when the commit is answered.

use diesel::prelude::QueryResult;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::future::{self, BoxFuture, MaybeDone};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use lcs_domain::UserId;
use tokio::task::unconstrained;

use super::Postgres;
use super::statement::{Connection, Single, Statement};

/// A statement on behalf of a user.
pub(super) struct OnBehalf<'q, Q> {
    /// `None` where row-level security is not configured: then the statement goes alone.
    user_id: Option<UserId>,
    query: &'q Q,
}

impl Postgres {
    pub(super) fn on_behalf_of<'q, Q>(&self, user_id: UserId, query: &'q Q) -> OnBehalf<'q, Q> {
        OnBehalf { user_id: self.named(user_id), query }
    }

    /// The user, where statements have to name one.
    pub(super) fn named(&self, user_id: UserId) -> Option<UserId> {
        self.pool().connector().config().row_level_security.then_some(user_id)
    }
}

/// How a transaction begins that is this user's.
pub(super) fn begin_on_behalf_of(user_id: Option<UserId>) -> String {
    let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
    user_id.map_or(begin.to_owned(), |user_id| {
        format!("{begin}; SET LOCAL lcs.user_id = '{}'", user_id.as_uuid())
    })
}

impl<Q: Single<U>, U: Send + 'static> Statement<U> for OnBehalf<'_, Q> {
    fn rows<'a>(
        &'a self,
        connection: &'a mut Connection,
    ) -> BoxFuture<'a, QueryResult<BoxStream<'a, QueryResult<U>>>> {
        match self.user_id {
            Some(user_id) => {
                let begin = begin_on_behalf_of(Some(user_id));
                transaction(begin, self.query, None, connection).boxed()
            }
            None => async move {
                let rows: BoxStream<'a, _> = self.query.send(&connection.inner).await?;
                Ok(rows)
            }
            .boxed(),
        }
    }
}

/// Runs `query` in a transaction of its own, which `opening` begins, and behind it `closing`. However the query ends, so does the transaction, before the
/// end of the rows is seen: a caller who has seen that may use the connection again.
pub(super) async fn transaction<'a, U: Send + 'static>(
    opening: String,
    query: &'a impl Single<U>,
    closing: Option<&'static str>,
    connection: &'a mut Connection,
) -> QueryResult<BoxStream<'a, QueryResult<U>>> {
    let Connection { inner, parsed } = connection;
    let inner = &*inner;
    let begun = execute(inner, opening);
    let rows = query.send(inner);
    let mut commit = Box::pin(future::maybe_done(end(inner, closing)));
    let id = query.id();
    let (begun, rows) = if id.is_some_and(|id| parsed.contains(&id)) {
        // Each is sent when it is first polled, and they are polled in this order. Unconstrained, because a
        // task that has used up its share of time would be told to wait where there is nothing to wait for:
        // the commit would go first.
        let commit = async { commit.as_mut().now_or_never() };
        let (begun, rows, _) = unconstrained(future::join3(begun, rows, commit)).await;
        (begun, rows)
    } else {
        // It is parsed first: the commit would not wait for that.
        unconstrained(future::join(begun, rows)).await
    };
    match begun.and(rows) {
        Ok(rows) => {
            parsed.extend(id);
            Ok(ended_by(rows, commit))
        }
        Err(error) => {
            // Of a transaction that has failed, this is the end as well.
            commit.as_mut().await;
            Err(error)
        }
    }
}

fn execute(mut connection: &AsyncPgConnection, sql: String) -> BoxFuture<'_, QueryResult<()>> {
    async move { connection.batch_execute(&sql).await }.boxed()
}

/// Commits, behind `closing`: where that failed, the commit is none, and does not say so.
fn end<'a>(
    connection: &'a AsyncPgConnection,
    closing: Option<&'static str>,
) -> BoxFuture<'a, QueryResult<()>> {
    let commit = execute(connection, "COMMIT".to_owned());
    let Some(closing) = closing else { return commit };
    let closed = execute(connection, closing.to_owned());
    async move {
        // Both are sent when they are first polled, in this order.
        let (closed, committed) = unconstrained(future::join(closed, commit)).await;
        closed.and(committed)
    }
    .boxed()
}

/// A commit that may be on its way already.
type Commit<'a> = std::pin::Pin<Box<MaybeDone<BoxFuture<'a, QueryResult<()>>>>>;

/// `rows`, and behind them the commit's error, if it ends with one.
fn ended_by<'a, U: Send + 'static>(
    rows: BoxStream<'static, QueryResult<U>>,
    commit: Commit<'a>,
) -> BoxStream<'a, QueryResult<U>> {
    stream::unfold(Some((rows, commit)), |left| async move {
        let (mut rows, mut commit) = left?;
        let end = match rows.next().await {
            Some(Ok(row)) => return Some((Ok(row), Some((rows, commit)))),
            Some(Err(error)) => Some(error),
            None => None,
        };
        // Nobody reads what may be left, and the commit's answer comes behind it.
        drop(rows);
        commit.as_mut().await;
        let committed = commit.as_mut().take_output().unwrap_or(Ok(()));
        end.or(committed.err()).map(|error| (Err(error), None))
    })
    .boxed()
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use diesel::sql_types::Text;

    use super::*;
    use crate::postgres::PostgresConfig;
    use crate::postgres::connect::{Connector, Purpose};
    use crate::postgres::statement::statement;
    use crate::testing::TestPostgres;

    statement! {
        /// Who is named.
        Named("SELECT current_setting('lcs.user_id')") -> Text {}
    }

    #[tokio::test]
    async fn a_busy_task_sends_what_belongs_together_in_its_order() {
        let database = TestPostgres::create().await;
        let connector = Connector::new(PostgresConfig::from_url(database.url()).unwrap()).unwrap();
        let mut connection = Connection::from(connector.connect(Purpose::Service).await.unwrap());
        // Its share of time used up to any degree, a task is told to wait at every lock.
        for used in 0..200 {
            for _ in 0..used {
                tokio::task::coop::consume_budget().await;
            }
            let user_id = UserId::generate();
            let query = OnBehalf { user_id: Some(user_id), query: &Named {} };
            let named: Vec<String> = query.fetch(&mut connection).await.unwrap();
            assert_eq!(named, [user_id.to_string()], "after {used}");
        }
    }
}
