//! The words of what is erased, in the index that searches make. What is taken out of it is only marked there; it is gone
//! when the parts of the index are merged.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text as SqlText};
use diesel::sqlite::SqliteConnection;
use lcs_domain::ErasureTarget;
use lcs_domain::repository::RepositoryResult;

use super::super::Sqlite;
use super::super::conversation::search::{index, owner_word};
use super::super::error::Failure;

/// How many pages of the index are merged in one transaction: whoever writes meanwhile waits for so many.
const PAGES: i32 = 500;

/// Rows of the index that are no turn's.
const OF_NO_TURN: &str = "SELECT w.rowid AS place FROM turn_words w \
     LEFT JOIN conversation_turns t ON t.rowid = w.rowid WHERE t.rowid IS NULL";

/// The same, and those that say of themselves that they are this user's.
const OF_USER: &str = "SELECT rowid AS place FROM turn_words WHERE turn_words MATCH ?";

#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = BigInt)]
    place: i64,
}

#[derive(QueryableByName)]
struct Changes {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// The rows of the index that name the target, or that nobody knows the turn of: they may be its own.
fn places(connection: &mut SqliteConnection, target: ErasureTarget) -> Result<Vec<i64>, Failure> {
    let mut found: Vec<Place> = diesel::sql_query(OF_NO_TURN).load(connection)?;
    if let Some(user_id) = target.user() {
        let word = owner_word(&user_id.as_uuid().simple().to_string());
        let of_user = diesel::sql_query(OF_USER).bind::<SqlText, _>(format!("\"{word}\""));
        found.extend(of_user.load::<Place>(connection)?);
    }
    let mut places: Vec<i64> = found.into_iter().map(|found| found.place).collect();
    places.sort_unstable();
    places.dedup();
    Ok(places)
}

/// How many rows of the index name the target.
pub(super) fn count(connection: &mut SqliteConnection, target: ErasureTarget) -> Result<u64, Failure> {
    Ok(places(connection, target)?.len() as u64)
}

/// Takes out of the index what there is of the target. With its turns their words went; where the rows of turns were
/// numbered anew since, they were others, and the index is made again.
pub(super) fn forget(connection: &mut SqliteConnection, target: ErasureTarget) -> Result<(), Failure> {
    if !index::state(connection)?.is_sound {
        return index::empty(connection);
    }
    for place in places(connection, target)? {
        diesel::sql_query("DELETE FROM turn_words WHERE rowid = ?")
            .bind::<BigInt, _>(place)
            .execute(connection)?;
    }
    Ok(())
}

/// Merges some more of the index, or begins to; whether there was anything to do.
fn merge(connection: &mut SqliteConnection, pages: i32) -> Result<bool, Failure> {
    let changes = |connection: &mut SqliteConnection| {
        diesel::sql_query("SELECT total_changes() AS number").get_result::<Changes>(connection)
    };
    let before = changes(connection)?.number;
    diesel::sql_query(format!("INSERT INTO turn_words (turn_words, rank) VALUES ('merge', {pages})"))
        .execute(connection)?;
    // The command itself is one.
    Ok(changes(connection)?.number - before > 1)
}

impl Sqlite {
    /// Has nothing be in the index any more of what was taken out of it.
    pub(super) async fn merge_words(&self) -> RepositoryResult<()> {
        let mut pages = -PAGES;
        while self.database.write("the index of words", move |connection, _| merge(connection, pages)).await?
        {
            pages = PAGES;
        }
        Ok(())
    }
}
