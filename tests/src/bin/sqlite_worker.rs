//! A process of its own on a SQLite file, for tests that kill it or run several at once.
//!
//! `sqlite-worker migrate FILE` prints each migration that it applied. `sqlite-worker append FILE USER
//! CONVERSATION COUNT` prints each turn's id after it was acknowledged.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use lcs_domain::{AppendTurn, Clock, Metadata, NewTurn, Payload, SystemClock, TurnId, TurnRepository};
use lcs_storage::migration::Migrations;
use lcs_storage::sqlite::{Sqlite, SqliteConfig};

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
        _ => return Err("usage: sqlite-worker migrate|append FILE ...".into()),
    }
    Ok(())
}

/// One line, out at once: who reads it may kill this process next.
fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
