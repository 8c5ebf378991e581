//! The journals of a process, as an operator sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lcs_tests::chaos::replica::Failure;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::process::{PATIENCE, Process};

/// The journal and the number of an entry in it.
pub(crate) type Entry = (u64, u64);

impl Process {
    /// What waits in its journals.
    pub(crate) async fn waiting(&self) -> Result<BTreeSet<Entry>, Failure> {
        entries(&self.said(&["journal", "list"]).await?, "entries")
    }

    /// What the database refused.
    pub(crate) async fn conflicts(&self) -> Result<BTreeSet<Entry>, Failure> {
        entries(&self.said(&["journal", "conflicts"]).await?, "conflicts")
    }

    /// Has its journals shown in each form: what they show is searched for secrets.
    pub(crate) async fn show_journals(&self) -> Result<(), Failure> {
        for command in ["list", "conflicts"] {
            self.shown(&["journal", command]).await?;
            self.said(&["journal", command]).await?;
        }
        self.metric("lcs_journal_entries").await?;
        Ok(())
    }

    /// Waits until nothing is left in its journals that the database has not refused.
    pub(crate) async fn until_replayed(&self) -> Result<(), Failure> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.waiting().await?.is_empty() {
                return Ok(());
            }
            sleep(Duration::from_millis(500)).await;
        }
        Err("the journal is not replayed".into())
    }

    /// Does as an operator would: has every turn and conversation that the database refused tried once more.
    /// Gives how many there were, by kind and reason.
    pub(crate) async fn retry_conflicts(&self) -> Result<BTreeMap<String, usize>, Failure> {
        let refused = self.said(&["journal", "conflicts"]).await?;
        let refused = refused.get("conflicts").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut reasons = BTreeMap::new();
        for conflict in refused {
            // An agent's state that lost to another replica's loses again: it is made again from the turns.
            if conflict.get("kind").and_then(Value::as_str) == Some("save") {
                continue;
            }
            let text = |name| conflict.get(name).map(Value::to_string).unwrap_or_default();
            self.said(&["journal", "retry", &text("number"), "--slot", &text("slot")]).await?;
            *reasons.entry(format!("{}: {}", text("kind"), text("reason"))).or_default() += 1;
        }
        Ok(reasons)
    }
}

fn entries(said: &Value, of: &str) -> Result<BTreeSet<Entry>, Failure> {
    let lines = said.get(of).and_then(Value::as_array).ok_or_else(|| format!("no {of} in {said}"))?;
    let number = |line: &Value, name| line.get(name).and_then(Value::as_u64).ok_or("an entry without number");
    let entries = lines.iter().map(|line| Ok((number(line, "slot")?, number(line, "number")?)));
    entries.collect()
}
