//! A process of its own on a SQLite file, for tests that kill it or run several at once.
//!
//! `sqlite-worker migrate FILE` prints each migration that it applied. `sqlite-worker append FILE USER
//! CONVERSATION COUNT` prints each turn's id after it was acknowledged. `sqlite-worker journal FOLDER COUNT` does
//! so of turns that go into a journal, eight at once.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use lcs_domain::journal::JournalOperation;
use lcs_domain::{
    AppendTurn, Clock, ConversationId, JournalRepository, Metadata, NewTurn, Payload, SystemClock, TurnId,
    TurnRepository, UserId,
};
use lcs_storage::journal::JournalLimits;
use lcs_storage::migration::Migrations;
use lcs_storage::sqlite::{Sqlite, SqliteConfig, SqliteJournal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let open = async |file: &str| {
        let patience = Duration::from_mins(2);
        let config =
            SqliteConfig { busy_timeout: patience, pool_timeout: patience, ..SqliteConfig::file(file) };
        Sqlite::open(config, Arc::new(SystemClock)).await
    };
    match arguments.as_slice() {
        ["migrate", file] => {
            for name in open(file).await?.run_pending().await? {
                say(&name)?;
            }
        }
        ["append", file, user, conversation, count] => {
            let (store, user_id, conversation_id) = (open(file).await?, user.parse()?, conversation.parse()?);
            let payload = Payload::from_serialize(&"x".repeat(2_000))?;
            for _ in 0..count.parse()? {
                let (turn_id, now) = (TurnId::generate(), SystemClock.now());
                let turn = NewTurn::new(turn_id, payload.clone(), None, now, now, Metadata::default())?;
                let append =
                    AppendTurn { conversation_id, turn, expected_turn_count: None, agent_state: None };
                store.append(user_id, append).await?;
                say(&turn_id.to_string())?;
            }
        }
        ["journal", folder, count] => {
            let journal =
                SqliteJournal::open(folder, JournalLimits::default(), Arc::new(SystemClock)).await?;
            let count: u32 = count.parse()?;
            let lanes = (0..8).map(|_| record(journal.clone(), count / 8));
            futures_util::future::try_join_all(lanes).await?;
        }
        _ => return Err("usage: sqlite-worker migrate|append|journal FILE ...".into()),
    }
    Ok(())
}

/// Records turns one after the other.
async fn record(journal: SqliteJournal, count: u32) -> Result<(), Box<dyn Error>> {
    let (user_id, payload) = (UserId::from_text("alice"), Payload::from_serialize(&"x".repeat(2_000))?);
    for _ in 0..count {
        let (turn_id, now) = (TurnId::generate(), SystemClock.now());
        let turn = NewTurn::new(turn_id, payload.clone(), None, now, now, Metadata::default())?;
        let conversation_id = ConversationId::generate();
        let append = AppendTurn { conversation_id, turn, expected_turn_count: None, agent_state: None };
        journal.record(user_id, JournalOperation::Append(append)).await?;
        say(&turn_id.to_string())?;
    }
    Ok(())
}

/// One line, out at once: who reads it may kill this process next.
fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
