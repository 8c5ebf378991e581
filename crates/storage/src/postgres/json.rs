//! A `jsonb` column as JSON text: nothing is parsed on the way in or out, PostgreSQL does that once.

use std::io::Write;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Jsonb;
use lcs_domain::{Metadata, Payload};

/// The version of jsonb's binary form: one byte, then the text.
pub(super) const VERSION: u8 = 1;

/// The JSON text of a `jsonb` value.
#[derive(Debug, Clone, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Jsonb)]
pub(super) struct Json(pub(super) String);

impl ToSql<Jsonb, Pg> for Json {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&[VERSION])?;
        out.write_all(self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<Jsonb, Pg> for Json {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        text(&value).map(|text| Self(text.to_owned()))
    }
}

/// A payload out of a `jsonb` value: copied once, from the connection's buffer to where it stays.
#[derive(Debug, FromSqlRow)]
pub(super) struct Read(pub(super) Payload);

impl FromSql<Jsonb, Pg> for Read {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        text(&value).map(|text| Self(Payload::from_stored(text)))
    }
}

/// A conversation's or a turn's metadata out of a `jsonb` value, copied once.
#[derive(Debug, FromSqlRow)]
pub(super) struct ReadMetadata(pub(super) Metadata);

impl FromSql<Jsonb, Pg> for ReadMetadata {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        text(&value).map(|text| Self(Metadata::from_stored(text)))
    }
}

fn text<'a>(value: &'a PgValue<'_>) -> deserialize::Result<&'a str> {
    match value.as_bytes() {
        [VERSION, text @ ..] => Ok(std::str::from_utf8(text)?),
        _ => Err("a jsonb value of a version that this program does not know".into()),
    }
}
