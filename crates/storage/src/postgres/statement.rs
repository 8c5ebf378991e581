//! Hand-written statements that are parsed once a connection, and cost one round trip.
//!
//! Diesel prepares its own `UPDATE`s and upserts anew on every call. A statement of this kind is cached by
//! its type. Its text begins with a comment that lists its binds in order (`-- $1 user_id  $2 ...`): that
//! is where Diesel numbers them, and the text below may name them as often and in any order it likes.

use std::any::TypeId;
use std::collections::HashSet;

use diesel::deserialize::FromSqlRow;
use diesel::pg::Pg;
use diesel::prelude::QueryResult;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::CompatibleType;
use diesel::result::Error;
use diesel::serialize::ToSql;
use diesel::sql_types::HasSqlType;
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt};

/// A connection, and what it has parsed.
pub(super) struct Connection {
    pub(super) inner: AsyncPgConnection,
    /// The statements of which it is known that they are not parsed again.
    pub(super) parsed: HashSet<TypeId>,
}

impl From<AsyncPgConnection> for Connection {
    fn from(inner: AsyncPgConnection) -> Self {
        Self { inner, parsed: HashSet::new() }
    }
}

/// What is run on a connection, any number of times, and gives rows of `U`.
pub(super) trait Statement<U>: Sync {
    /// Runs it: the answer's rows as they come.
    fn rows<'a>(
        &'a self,
        connection: &'a mut Connection,
    ) -> BoxFuture<'a, QueryResult<BoxStream<'a, QueryResult<U>>>>;

    /// Runs it and reads its answer to the end: a row may come before the commit, the end does not.
    fn fetch<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, QueryResult<Vec<U>>>
    where
        U: Send + 'a,
    {
        async move { self.rows(connection).await?.try_collect().await }.boxed()
    }
}

/// A single statement, of which a connection can have several on the way.
///
/// Diesel's own `load` consumes its query, and asks of a borrowed one what no async function can name.
pub(super) trait Single<U>: Sync {
    /// What a connection knows it by that has parsed it; `None` where it is parsed on every call.
    fn id(&self) -> Option<TypeId>;

    /// Sends it, and waits for the beginning of its answer.
    fn send<'a>(
        &'a self,
        connection: &'a AsyncPgConnection,
    ) -> BoxFuture<'a, QueryResult<BoxStream<'static, QueryResult<U>>>>;
}

impl<Q, U, ST> Single<U> for Q
where
    Q: Query + QueryFragment<Pg> + QueryId + Sync,
    Q::SqlType: CompatibleType<U, Pg, SqlType = ST>,
    U: FromSqlRow<ST, Pg> + Send + 'static,
{
    fn id(&self) -> Option<TypeId> {
        let is_cached = self.is_safe_to_cache_prepared(&Pg).unwrap_or(false);
        Q::query_id().filter(|_| is_cached)
    }

    fn send<'a>(
        &'a self,
        mut connection: &'a AsyncPgConnection,
    ) -> BoxFuture<'a, QueryResult<BoxStream<'static, QueryResult<U>>>> {
        async move {
            let rows = AsyncConnectionCore::load(&mut connection, self).await?;
            Ok(rows.map(|row| U::build_from_row(&row?).map_err(Error::DeserializationError)).boxed())
        }
        .boxed()
    }
}

impl<Q, U, ST> Statement<U> for Q
where
    Q: Query + QueryFragment<Pg> + QueryId + Sync,
    Q::SqlType: CompatibleType<U, Pg, SqlType = ST>,
    U: FromSqlRow<ST, Pg> + Send + 'static,
{
    fn rows<'a>(
        &'a self,
        connection: &'a mut Connection,
    ) -> BoxFuture<'a, QueryResult<BoxStream<'a, QueryResult<U>>>> {
        async move {
            let rows: BoxStream<'a, _> = self.send(&connection.inner).await?;
            Ok(rows)
        }
        .boxed()
    }
}

/// Declares a statement: its text, the row it gives, and its binds, in their order.
macro_rules! statement {
    (
        $(#[$doc:meta])*
        $name:ident($text:expr) -> $row:ty { $($field:ident: $type:ty as $bind:ty),* $(,)? }
    ) => {
        $(#[$doc])*
        pub(super) struct $name {
            $(pub(super) $field: $type),*
        }

        impl diesel::query_builder::QueryId for $name {
            type QueryId = Self;
        }

        impl diesel::query_builder::Query for $name {
            type SqlType = $row;
        }

        impl diesel::query_builder::QueryFragment<diesel::pg::Pg> for $name {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, diesel::pg::Pg>,
            ) -> diesel::QueryResult<()> {
                let text = $crate::postgres::statement::Text::new($text);
                $(let text = text.bind::<$bind, _>(&mut out, &self.$field)?;)*
                text.end(&mut out);
                Ok(())
            }
        }
    };
}
pub(super) use statement;

/// A statement's text while its binds are put in.
pub(super) struct Text {
    rest: &'static str,
    number: u32,
}

impl Text {
    pub(super) fn new(text: &'static str) -> Self {
        Self { rest: text, number: 0 }
    }

    /// Writes the text up to where the next bind is first named, and binds `value` there.
    pub(super) fn bind<'b, ST, T>(self, out: &mut AstPass<'_, 'b, Pg>, value: &'b T) -> QueryResult<Self>
    where
        Pg: HasSqlType<ST>,
        T: ToSql<ST, Pg>,
    {
        let number = self.number + 1;
        // The first line names the binds in their order, so that the next one stands where the next `$` is.
        let (before, after) = self.rest.split_once('$').unwrap_or((self.rest, ""));
        let length = after.bytes().take_while(u8::is_ascii_digit).count();
        let (named, after) = after.split_at_checked(length).unwrap_or(("", after));
        if named.parse() != Ok(number) {
            let problem = format!("the statement does not name ${number} where it should");
            return Err(Error::QueryBuilderError(problem.into()));
        }
        out.push_sql(before);
        out.push_bind_param::<ST, T>(value)?;
        Ok(Self { rest: after, number })
    }

    /// Writes what is left of the text.
    pub(super) fn end(self, out: &mut AstPass<'_, '_, Pg>) {
        out.push_sql(self.rest);
    }
}
