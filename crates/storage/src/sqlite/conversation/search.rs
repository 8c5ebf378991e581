//! Searching in SQLite: the words of turns are in a full-text index that nobody keeps but who searches.
//!
//! An append does not write to it. A search first adds the turns that came since the last one, some at a time, so that
//! whoever appends meanwhile waits for a few and not for all; then it reads.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Text as SqlText};
use diesel::sqlite::SqliteConnection;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{ConversationId, ConversationSummary, ListSummaries, SearchConversations, UserId};

use super::summary::newest_first;
use crate::sqlite::Sqlite;
use crate::sqlite::error::Failure;
use crate::sqlite::row::BlobUuid;

/// How many turns are added in one transaction.
const BATCH: i64 = 500;

/// Whether the rows are numbered as they were when the index was made, and whether any is not in it.
const STATE: &str = "SELECT p.place = 0 OR EXISTS (SELECT 1 FROM conversation_turns t \
     WHERE t.rowid = p.place AND t.turn_id = p.turn_id) AS is_sound, \
     EXISTS (SELECT 1 FROM conversation_turns t WHERE t.rowid > p.place) AS is_behind \
     FROM turn_words_progress p";

/// The end of the next batch.
const NEXT: &str = "SELECT max(place) AS place FROM (SELECT t.rowid AS place FROM conversation_turns t \
     WHERE t.rowid > (SELECT place FROM turn_words_progress) ORDER BY t.rowid LIMIT ?)";

const ADD: &str = "INSERT INTO turn_words (rowid, words) SELECT place, words FROM turn_text \
     WHERE place > (SELECT place FROM turn_words_progress) AND place <= ?";

const MOVE_ON: &str = "UPDATE turn_words_progress SET (place, turn_id) = (SELECT t.rowid, t.turn_id \
     FROM conversation_turns t WHERE t.rowid = ?)";

const FIND: &str = "SELECT DISTINCT t.conversation_id AS conversation_id \
     FROM turn_words JOIN conversation_turns t ON t.rowid = turn_words.rowid \
     WHERE turn_words MATCH ? AND t.user_id = ?";

#[derive(QueryableByName)]
struct State {
    #[diesel(sql_type = Bool)]
    is_sound: bool,
    #[diesel(sql_type = Bool)]
    is_behind: bool,
}

#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = diesel::sql_types::Nullable<BigInt>)]
    place: Option<i64>,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Binary)]
    conversation_id: Vec<u8>,
}

fn state(connection: &mut SqliteConnection) -> Result<State, Failure> {
    Ok(diesel::sql_query(STATE).get_result(connection)?)
}

/// Adds some turns to the index: whether there are more.
fn add(connection: &mut SqliteConnection) -> Result<bool, Failure> {
    if !state(connection)?.is_sound {
        diesel::sql_query("INSERT INTO turn_words (turn_words) VALUES ('delete-all')").execute(connection)?;
        diesel::sql_query("UPDATE turn_words_progress SET place = 0, turn_id = x''").execute(connection)?;
    }
    let next: Place = diesel::sql_query(NEXT).bind::<BigInt, _>(BATCH).get_result(connection)?;
    if let Some(place) = next.place {
        diesel::sql_query(ADD).bind::<BigInt, _>(place).execute(connection)?;
        diesel::sql_query(MOVE_ON).bind::<BigInt, _>(place).execute(connection)?;
    }
    Ok(state(connection)?.is_behind)
}

impl Sqlite {
    pub(super) async fn find_words(
        &self,
        user_id: UserId,
        search: SearchConversations,
    ) -> RepositoryResult<Vec<ConversationSummary>> {
        let State { is_sound, is_behind } = self.database.read(state).await?;
        let mut is_behind = !is_sound || is_behind;
        while is_behind {
            is_behind = self.database.write(user_id, |connection, _| add(connection)).await?;
        }
        self.database.read_snapshot(move |connection| find(connection, user_id, &search)).await
    }
}

fn find(
    connection: &mut SqliteConnection,
    user_id: UserId,
    search: &SearchConversations,
) -> Result<Vec<ConversationSummary>, Failure> {
    // Quoted, a word is a word and no operator; all of them have to be there.
    let words: Vec<String> = search.query.words().iter().map(|word| format!("\"{word}\"")).collect();
    let said: Vec<Found> = diesel::sql_query(FIND)
        .bind::<SqlText, _>(words.join(" "))
        .bind::<Binary, _>(BlobUuid::from(user_id))
        .load(connection)?;
    let said: HashSet<Vec<u8>> = said.into_iter().map(|found| found.conversation_id).collect();
    let has_said = |id: ConversationId| said.contains(id.as_uuid().as_bytes().as_slice());
    let mut found = Vec::new();
    let all = ListSummaries { after: search.after, limit: None };
    newest_first(connection, user_id, all, |summary| {
        let is_about = || summary.topic_summary.as_ref().is_some_and(|topic| search.query.matches(topic));
        if has_said(summary.conversation_id) || is_about() {
            found.push(summary);
        }
        Ok(found.len() < search.limit as usize)
    })?;
    found.truncate(search.limit as usize);
    Ok(found)
}
