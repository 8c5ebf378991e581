//! The index of words: how far it is, and what is added to it.

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text as SqlText};
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};
use lcs_domain::UserId;
use lcs_domain::search::words;

use super::{owner_word, text_of};
use crate::sqlite::error::Failure;
use crate::sqlite::row::{BlobUuid, TurnRow};
use crate::sqlite::schema::conversation_turns as turns;

/// How many turns are added in one transaction, and how many bytes of text: whoever appends waits for so many.
const TURNS: usize = 500;
const BYTES: usize = 1 << 20;

/// Whether the rows are numbered as they were when the index was made, and whether any is not in it.
const STATE: &str = "SELECT p.place = 0 OR EXISTS (SELECT 1 FROM conversation_turns t \
     WHERE t.rowid = p.place AND t.turn_id = p.turn_id) AS is_sound, \
     EXISTS (SELECT 1 FROM conversation_turns t WHERE t.rowid > p.place) AS is_behind \
     FROM turn_words_progress p";

const PLACE: &str = "SELECT place FROM turn_words_progress";

const MOVE_ON: &str = "UPDATE turn_words_progress SET (place, turn_id) = (SELECT t.rowid, t.turn_id \
     FROM conversation_turns t WHERE t.rowid = ?)";

#[derive(QueryableByName)]
pub(in crate::sqlite) struct State {
    #[diesel(sql_type = Bool)]
    pub(in crate::sqlite) is_sound: bool,
    #[diesel(sql_type = Bool)]
    pub(super) is_behind: bool,
}

#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = BigInt)]
    place: i64,
}

/// A turn that is not in the index.
pub(super) struct Behind {
    place: i64,
    /// Whose it is, in hexadecimal digits.
    owner: String,
    pub(super) row: TurnRow,
}

pub(in crate::sqlite) fn state(connection: &mut SqliteConnection) -> Result<State, Failure> {
    Ok(diesel::sql_query(STATE).get_result(connection)?)
}

/// Shows `take` the turns that are not in the index, of one user or of all, in the order of their rows, as long as it
/// wants more. `from`: those behind this place.
pub(super) fn turns_behind(
    connection: &mut SqliteConnection,
    from: Option<i64>,
    user_id: Option<UserId>,
    mut take: impl FnMut(Behind) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let from = match from {
        Some(from) => from,
        None => diesel::sql_query(PLACE).get_result::<Place>(connection)?.place,
    };
    let place = || diesel::dsl::sql::<BigInt>("conversation_turns.rowid");
    let owner = diesel::dsl::sql::<SqlText>("lower(hex(conversation_turns.user_id))");
    let mut query = turns::table
        .filter(place().gt(from))
        .select((place(), owner, TurnRow::as_select()))
        .order(place())
        .into_boxed::<Backend>();
    if let Some(user_id) = user_id {
        query = query.filter(turns::user_id.eq(BlobUuid::from(user_id)));
    }
    for row in query.load_iter::<(i64, String, TurnRow), DefaultLoadingMode>(connection)? {
        let (place, owner, row) = row?;
        if !take(Behind { place, owner, row })? {
            break;
        }
    }
    Ok(())
}

/// Shows `take` the user's turns that have these words, by the index, in its own language.
pub(super) fn turns_with(
    connection: &mut SqliteConnection,
    words: String,
    user_id: UserId,
    mut take: impl FnMut(TurnRow) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let have = diesel::dsl::sql::<Bool>(
        "conversation_turns.rowid IN (SELECT rowid FROM turn_words WHERE turn_words MATCH ",
    )
    .bind::<SqlText, _>(words)
    .sql(")");
    let query = turns::table
        .filter(turns::user_id.eq(BlobUuid::from(user_id)))
        .filter(have)
        .select(TurnRow::as_select());
    for row in query.load_iter::<TurnRow, DefaultLoadingMode>(connection)? {
        take(row?)?;
    }
    Ok(())
}

/// Empties the index: whoever searches makes it again.
pub(in crate::sqlite) fn empty(connection: &mut SqliteConnection) -> Result<(), Failure> {
    diesel::sql_query("INSERT INTO turn_words (turn_words) VALUES ('delete-all')").execute(connection)?;
    diesel::sql_query("UPDATE turn_words_progress SET place = 0, turn_id = x''").execute(connection)?;
    Ok(())
}

/// Adds some turns to the index: whether there are more.
pub(super) fn add(connection: &mut SqliteConnection) -> Result<bool, Failure> {
    if !state(connection)?.is_sound {
        empty(connection)?;
    }
    let (mut some, mut bytes) = (Vec::new(), 0);
    turns_behind(connection, None, None, |Behind { place, owner, row }| {
        let (_, text) = text_of(row)?;
        bytes += text.len();
        let words: Vec<String> = words(&text).chain([owner_word(&owner)]).collect();
        some.push((place, words.join(" ")));
        Ok(some.len() < TURNS && bytes < BYTES)
    })?;
    for (place, words) in &some {
        diesel::sql_query("INSERT INTO turn_words (rowid, words) VALUES (?, ?)")
            .bind::<BigInt, _>(place)
            .bind::<SqlText, _>(words)
            .execute(connection)?;
    }
    if let Some((place, _)) = some.last() {
        diesel::sql_query(MOVE_ON).bind::<BigInt, _>(place).execute(connection)?;
    }
    Ok(state(connection)?.is_behind)
}
