//! Searching in SQLite: the words of turns are in a full-text index that nobody keeps but who searches.
//!
//! An append does not write to it. A search first adds the turns that came since the last one, some at a time, so that
//! whoever appends meanwhile waits for a few and not for all; then it reads. Where the file cannot be written, the turns that
//! are missing are read one by one.

pub(in crate::sqlite) mod index;

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::{Binary, Text as SqlText};
use diesel::sqlite::SqliteConnection;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::search::turn_text;
use lcs_domain::{
    ConversationId, ConversationSummary, ListSummaries, RepositoryError, SearchConversations, Turn, UserId,
};

use self::index::{State, turns_behind, turns_with};
use super::summary::newest_first;
use crate::row::TurnRecord;
use crate::sqlite::Sqlite;
use crate::sqlite::error::Failure;
use crate::sqlite::row::{BlobUuid, TurnRow};

const FIND: &str = "SELECT DISTINCT t.conversation_id AS conversation_id \
     FROM turn_words JOIN conversation_turns t ON t.rowid = turn_words.rowid \
     WHERE turn_words MATCH ? AND t.user_id = ?";

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Binary)]
    conversation_id: Vec<u8>,
}

/// The turn's conversation, and its text that is searched.
fn text_of(row: TurnRow) -> Result<(ConversationId, String), Failure> {
    let turn: Turn = TurnRecord::try_from(row)?.try_into()?;
    let text = turn_text(&turn.input_messages, turn.output_message.as_ref())?;
    Ok((turn.conversation_id, text))
}

/// The word that says whose a turn is, of the user's id in hexadecimal digits: no text has it, since its first
/// character is no letter.
pub(in crate::sqlite) fn owner_word(digits: &str) -> String {
    format!("\u{e000}{digits}")
}

impl Sqlite {
    pub(super) async fn find_words(
        &self,
        user_id: UserId,
        search: SearchConversations,
    ) -> RepositoryResult<Vec<ConversationSummary>> {
        let state = self.database.read(index::state).await?;
        let mut is_behind = !state.is_sound || state.is_behind;
        while is_behind {
            match self.database.write(user_id, |connection, _| index::add(connection)).await {
                Ok(more) => is_behind = more,
                // What it has can be read, and the rest is looked at.
                Err(RepositoryError::ReadOnly { .. } | RepositoryError::StorageFull { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        self.database.read_snapshot(move |connection| find(connection, user_id, &search)).await
    }
}

/// The id as the file has it.
fn key(conversation_id: ConversationId) -> Vec<u8> {
    conversation_id.as_uuid().as_bytes().to_vec()
}

fn find(
    connection: &mut SqliteConnection,
    user_id: UserId,
    search: &SearchConversations,
) -> Result<Vec<ConversationSummary>, Failure> {
    let State { is_sound, is_behind } = index::state(connection)?;
    let mut said: HashSet<Vec<u8>> = HashSet::new();
    if is_sound {
        let owner = owner_word(&user_id.as_uuid().simple().to_string());
        // Quoted, a word is a word and no operator; all of them have to be there.
        let words = search.query.words().iter().chain([&owner]).map(|word| format!("\"{word}\""));
        let words = words.collect::<Vec<_>>().join(" ");
        if search.query.has_phrases() {
            // The index knows that words are there, and not where: their turns are looked at.
            turns_with(connection, words, user_id, |row| {
                let (conversation_id, text) = text_of(row)?;
                if search.query.matches(&text) {
                    said.insert(key(conversation_id));
                }
                Ok(())
            })?;
        } else {
            let found: Vec<Found> = diesel::sql_query(FIND)
                .bind::<SqlText, _>(words)
                .bind::<Binary, _>(BlobUuid::from(user_id))
                .load(connection)?;
            said.extend(found.into_iter().map(|found| found.conversation_id));
        }
    }
    if !is_sound || is_behind {
        let first = if is_sound { None } else { Some(0) };
        turns_behind(connection, first, Some(user_id), |behind| {
            let (conversation_id, text) = text_of(behind.row)?;
            if search.query.matches(&text) {
                said.insert(key(conversation_id));
            }
            Ok(true)
        })?;
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use diesel::connection::SimpleConnection as _;
    use lcs_domain::{
        AppendTurn, Clock as _, ConversationRepository, Metadata, NewConversation, NewTurn, Payload,
        SystemClock, Text, TurnId, TurnRepository,
    };

    use super::*;
    use crate::migration::Migrations as _;
    use crate::sqlite::SqliteConfig;

    #[tokio::test]
    async fn what_a_full_disk_does_not_take_into_the_index_is_searched_all_the_same() {
        let store = Sqlite::open(SqliteConfig::memory(), Arc::new(SystemClock)).await.unwrap();
        store.run_pending().await.unwrap();
        let user_id = UserId::generate();
        let new = NewConversation::begin(Text::name("m", "/model_id").unwrap());
        let conversation = store.create(user_id, new).await.unwrap();
        let say = async |text: &str| {
            let (said, now) = (Payload::from_serialize(text).unwrap(), SystemClock.now());
            let turn = NewTurn::new(TurnId::generate(), said, None, now, now, Metadata::default()).unwrap();
            let conversation_id = conversation.conversation_id;
            let append = AppendTurn { conversation_id, turn, expected_turn_count: None, agent_state: None };
            store.append(user_id, append).await.unwrap();
        };
        let found = async |words: &str| {
            let search = SearchConversations { query: words.parse().unwrap(), after: None, limit: 9 };
            store.search(user_id, search).await.unwrap().len()
        };
        say("needle").await;
        assert_eq!(found("needle").await, 1);
        // Many words, and no page for them.
        let many: Vec<String> = (0..20_000).map(|n| format!("{n:x}")).collect();
        say(&(many.join(" ") + " thread")).await;
        let full = "PRAGMA max_page_count = 1";
        store.database.write("test", move |connection, _| Ok(connection.batch_execute(full)?)).await.unwrap();
        assert_eq!((found("thread").await, found("needle").await, found("hay").await), (1, 1, 0));
        let state = store.database.read(index::state).await.unwrap();
        assert!(state.is_sound && state.is_behind, "it was not added");
    }
}
