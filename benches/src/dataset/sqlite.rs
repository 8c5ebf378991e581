//! The rows in a SQLite file, loaded by SQL in one transaction.

use std::path::Path;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use diesel::sqlite::SqliteConnection;
use lcs_domain::{Clock as _, SystemClock, TurnId};

use super::{GROWN, HOT_TURNS, MODEL, SYSTEM_PROMPT, Sizes, agent_id, conversation_id, idle_seconds};
use crate::Result;
use crate::payload::{Payloads, VARIANTS};

/// Loads the rows into the file, which has the schema.
///
/// # Errors
/// What SQLite says of it.
pub fn load(file: &Path, sizes: Sizes) -> Result<()> {
    let mut loader = Loader::open(file)?;
    loader.connection.batch_execute("PRAGMA synchronous = OFF; BEGIN IMMEDIATE")?;
    for number in 1..=sizes.conversations() {
        loader.conversation(sizes, number, sizes.turns(number), number <= sizes.hot)?;
    }
    // No ANALYZE: the stores do not run it either. SQLite prepares each statement anew with each value where it was run.
    Ok(loader.connection.batch_execute("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")?)
}

/// Makes the conversation of `turns` turns.
///
/// # Errors
/// What SQLite says of it.
pub fn grow(file: &Path, sizes: Sizes, turns: u64) -> Result<()> {
    let mut loader = Loader::open(file)?;
    loader.connection.batch_execute("BEGIN IMMEDIATE")?;
    loader.conversation(sizes, GROWN + turns, turns, false)?;
    Ok(loader.connection.batch_execute("COMMIT")?)
}

struct Loader {
    connection: SqliteConnection,
    /// Each variant's documents as JSON.
    documents: Vec<[String; 5]>,
    now: i64,
}

impl Loader {
    fn open(file: &Path) -> Result<Self> {
        let path = file.to_str().ok_or("the path of the SQLite file is not UTF-8")?;
        let mut connection = SqliteConnection::establish(path)?;
        connection.batch_execute("PRAGMA busy_timeout = 30000; PRAGMA foreign_keys = ON")?;
        let documents = Payloads::all().iter().map(|all| all.documents().map(ToString::to_string)).collect();
        Ok(Self { connection, documents, now: SystemClock.now().timestamp_micros() })
    }

    fn documents(&self, number: u64) -> Result<&[String; 5]> {
        let variant = usize::try_from(number % VARIANTS as u64)?;
        self.documents.get(variant).ok_or_else(|| "there is no such variant".into())
    }

    fn conversation(&mut self, sizes: Sizes, number: u64, turns: u64, with_state: bool) -> Result<()> {
        let (id, agent, user) = (conversation_id(number), agent_id(number), sizes.owner(number));
        let (id, agent, user) =
            (id.as_uuid().as_bytes(), agent.as_uuid().as_bytes(), user.as_uuid().as_bytes());
        let changed = self.now - i64::try_from(idle_seconds(number))? * 1_000_000;
        let [_, _, metadata, config, state] = self.documents(number)?.clone();
        let new = diesel::sql_query(
            "INSERT INTO conversations (conversation_id, user_id, agent_id, model_id, system_prompt, created_at,
                                        updated_at, metadata, turn_count, state_revision)
             VALUES (?, ?, ?, ?, ?, ?6, ?6, ?7, ?8, ?9)",
        );
        new.bind::<Binary, _>(id.as_slice())
            .bind::<Binary, _>(user.as_slice())
            .bind::<Binary, _>(agent.as_slice())
            .bind::<Text, _>(MODEL)
            .bind::<Text, _>(SYSTEM_PROMPT)
            .bind::<BigInt, _>(changed)
            .bind::<Text, _>(metadata)
            .bind::<BigInt, _>(i64::try_from(turns)?)
            .bind::<BigInt, _>(i64::from(with_state))
            .execute(&mut self.connection)?;
        for place in 1..=turns {
            let [input, output, metadata, ..] = self.documents(number + place)?.clone();
            let turn = TurnId::generate();
            let turn = turn.as_uuid().as_bytes();
            diesel::sql_query(
                "INSERT INTO conversation_turns (turn_id, conversation_id, user_id, turn_number, input_messages,
                                                 output_message, started_at, completed_at, metadata, content_hash)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9)",
            )
            .bind::<Binary, _>(turn.as_slice())
            .bind::<Binary, _>(id.as_slice())
            .bind::<Binary, _>(user.as_slice())
            .bind::<BigInt, _>(i64::try_from(place)?)
            .bind::<Text, _>(input)
            .bind::<Text, _>(output)
            .bind::<BigInt, _>(self.now)
            .bind::<Text, _>(metadata)
            // Nobody sends these turns again: any 32 bytes do.
            .bind::<Binary, _>(turn.repeat(2))
            .execute(&mut self.connection)?;
        }
        if with_state {
            diesel::sql_query(
                "INSERT INTO agent_states (agent_id, conversation_id, user_id, agent_config, current_state, revision,
                                           through_turn)
                 VALUES (?, ?, ?, ?, ?, 1, ?)",
            )
            .bind::<Binary, _>(agent.as_slice())
            .bind::<Binary, _>(id.as_slice())
            .bind::<Binary, _>(user.as_slice())
            .bind::<Text, _>(config)
            .bind::<Text, _>(state)
            .bind::<BigInt, _>(i64::try_from(HOT_TURNS)?)
            .execute(&mut self.connection)?;
        }
        Ok(())
    }
}
