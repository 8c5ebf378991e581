//! Hand-written statements that are parsed once a connection, and cost one round trip.
//!
//! Diesel prepares its own `UPDATE`s and upserts anew on every call. A statement of this kind is cached by
//! its type. Its text begins with a comment that lists its binds in order (`-- $1 user_id  $2 ...`): that
//! is where Diesel numbers them, and the text below may name them as often and in any order it likes.

use std::any::TypeId;
use std::collections::HashSet;
use std::sync::OnceLock;

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
///
/// The binds are the statement's own fields, or, where it is declared `of` another type, that type's: so that
/// several statements can be run with the same binds.
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

        $crate::postgres::statement::walk!($name, $text, self, self, { $($field as $bind),* });
    };
    (
        $(#[$doc:meta])*
        $name:ident($text:expr) of $binds:ty => $row:ty { $($field:ident as $bind:ty),* $(,)? }
    ) => {
        $(#[$doc])*
        pub(super) struct $name<'b>(pub(super) &'b $binds);

        impl diesel::query_builder::QueryId for $name<'_> {
            type QueryId = $name<'static>;
        }

        impl diesel::query_builder::Query for $name<'_> {
            type SqlType = $row;
        }

        $crate::postgres::statement::walk!($name<'_>, $text, self, self.0, { $($field as $bind),* });
    };
}
pub(super) use statement;

/// How a statement is written: its text, with the binds where they are first named.
macro_rules! walk {
    ($name:ty, $text:expr, $self:ident, $binds:expr, { $($field:ident as $bind:ty),* }) => {
        impl diesel::query_builder::QueryFragment<diesel::pg::Pg> for $name {
            fn walk_ast<'b>(
                &'b $self,
                mut out: diesel::query_builder::AstPass<'_, 'b, diesel::pg::Pg>,
            ) -> diesel::QueryResult<()> {
                static PIECES: std::sync::OnceLock<Option<Vec<&'static str>>> = std::sync::OnceLock::new();
                let count = <[&str]>::len(&[$(stringify!($field)),*]);
                let text = $crate::postgres::statement::Text::new(&PIECES, $text, count)?;
                $(let text = text.bind::<$bind, _>(&mut out, &$binds.$field)?;)*
                text.end(&mut out);
                Ok(())
            }
        }
    };
}
pub(super) use walk;

/// A statement's text while its binds are put in.
pub(super) struct Text(std::slice::Iter<'static, &'static str>);

impl Text {
    /// The text of a statement with so many binds, cut where each of them is first named: once, into `pieces`.
    pub(super) fn new(
        pieces: &'static OnceLock<Option<Vec<&'static str>>>,
        text: &'static str,
        binds: usize,
    ) -> QueryResult<Self> {
        let pieces = pieces.get_or_init(|| cut(text, binds)).as_ref().ok_or_else(|| {
            Error::QueryBuilderError("the statement does not name its binds in their order".into())
        })?;
        Ok(Self(pieces.iter()))
    }

    /// Writes the text up to where the next bind is first named, and binds `value` there.
    pub(super) fn bind<'b, ST, T>(mut self, out: &mut AstPass<'_, 'b, Pg>, value: &'b T) -> QueryResult<Self>
    where
        Pg: HasSqlType<ST>,
        T: ToSql<ST, Pg>,
    {
        out.push_sql(self.0.next().copied().unwrap_or_default());
        out.push_bind_param::<ST, T>(value)?;
        Ok(self)
    }

    /// Writes what is left of the text.
    pub(super) fn end(mut self, out: &mut AstPass<'_, '_, Pg>) {
        out.push_sql(self.0.next().copied().unwrap_or_default());
    }
}

/// The parts of `text` between the places where its binds are first named; `None` where one is not.
fn cut(text: &'static str, binds: usize) -> Option<Vec<&'static str>> {
    let mut pieces = Vec::with_capacity(binds + 1);
    let mut rest = text;
    for number in 1..=binds {
        let (before, after) = rest.split_once(&format!("${number}"))?;
        pieces.push(before);
        rest = after;
    }
    pieces.push(rest);
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_each_bind_is_first_named() {
        assert_eq!(cut("-- $1 a $2 b\nSELECT $2, $1", 2).unwrap(), ["-- ", " a ", " b\nSELECT $2, $1"]);
        assert_eq!(cut("SELECT 1", 0).unwrap(), ["SELECT 1"]);
        assert_eq!(cut("-- $1", 2), None);
    }
}
