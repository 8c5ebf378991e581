//! `journal`: what waits to be replayed, and what the database refused, in the journals of this machine.
//!
//! It works beside a service that runs: that one finds what was decided here within seconds.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use lcs_domain::journal::ConflictResolution;
use lcs_domain::{Clock, PageLimit, SystemClock};
use lcs_storage::sqlite::{ConflictLine, JournalLine, JournalLook, JournalSlot};
use serde_json::{Value, json};

use super::Context;
use crate::output::age::ago;
use crate::output::table::Table;
use crate::output::{Output, text};

#[derive(Subcommand)]
pub(super) enum Journal {
    /// What was acknowledged and is not in the database yet, oldest first.
    List,
    /// What the database refused when it was replayed, with the reasons.
    Conflicts,
    /// Try a conflict once more.
    Retry(One),
    /// Forget a conflict, forever.
    Discard {
        #[command(flatten)]
        one: One,
        /// It was acknowledged, and is nowhere else: say that you mean it.
        #[arg(long)]
        yes: bool,
    },
    /// Make an entry that cannot be read a conflict, so that those behind it are replayed.
    SetAside(One),
}

#[derive(Args)]
pub(super) struct One {
    /// Its number.
    #[arg(value_name = "NUMBER")]
    number: u64,
    /// The journal that it is in, where the number is in more than one.
    #[arg(long, value_name = "NUMBER")]
    slot: Option<u32>,
}

/// What is done with one.
#[derive(Clone, Copy)]
enum Decision {
    Resolve(ConflictResolution),
    SetAside,
}

impl Journal {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let Context { configuration, mut output, .. } = context;
        let journals = open_all(&configuration.journal.folder).await?;
        match self {
            Self::List => list(&mut output, &journals).await?,
            Self::Conflicts => conflicts(&mut output, &journals).await?,
            Self::Retry(one) => {
                let retry = Decision::Resolve(ConflictResolution::Retry);
                decide(&mut output, &journals, &one, retry, "put back to be replayed").await?;
            }
            Self::Discard { one, yes } => {
                if !yes {
                    bail!("a conflict that is discarded is gone forever: write --yes to mean it");
                }
                let discard = Decision::Resolve(ConflictResolution::Discard);
                decide(&mut output, &journals, &one, discard, "discarded").await?;
            }
            Self::SetAside(one) => {
                decide(&mut output, &journals, &one, Decision::SetAside, "set aside as a conflict").await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A journal that is looked into.
pub(super) struct Opened {
    pub(super) slot: JournalSlot,
    pub(super) look: JournalLook,
}

async fn open_all(folder: &Path) -> Result<Vec<Opened>> {
    let mut journals = Vec::new();
    for slot in JournalSlot::all(folder).await? {
        journals.push(open(slot).await?);
    }
    Ok(journals)
}

pub(super) async fn open(slot: JournalSlot) -> lcs_domain::repository::RepositoryResult<Opened> {
    let look = slot.look(Arc::new(SystemClock)).await?;
    Ok(Opened { slot, look })
}

async fn list(output: &mut Output, journals: &[Opened]) -> Result<()> {
    let (mut table, mut entries) =
        (Table::new(["SLOT", "NUMBER", "KIND", "CONVERSATION", "TAKEN"]), Vec::new());
    for Opened { slot, look } in journals {
        let mut after = 0;
        loop {
            let page = look.entries(after, PageLimit::MAX).await?;
            let Some(last) = page.last() else { break };
            after = last.sequence;
            for line in &page {
                table.row([vec![slot.number.to_string()], cells(line)].concat());
                entries.push(value(slot, line));
            }
        }
    }
    if output.is_json() {
        return Ok(output.json(&json!({ "entries": entries }))?);
    }
    if entries.is_empty() {
        return Ok(output.line("Nothing waits in the journal.")?);
    }
    Ok(output.table(&table)?)
}

async fn conflicts(output: &mut Output, journals: &[Opened]) -> Result<()> {
    let headings = ["SLOT", "NUMBER", "KIND", "CONVERSATION", "TAKEN", "REASON"];
    let (mut table, mut conflicts) = (Table::new(headings), Vec::new());
    for Opened { slot, look } in journals {
        for ConflictLine { line, reason, refused_at } in all_conflicts(look).await? {
            let mut row = [vec![slot.number.to_string()], cells(&line)].concat();
            row.push(text::one_line(&reason));
            table.row(row);
            let mut conflict = value(slot, &line);
            if let Some(conflict) = conflict.as_object_mut() {
                conflict.insert("reason".to_owned(), json!(reason));
                conflict.insert("refused_at".to_owned(), json!(refused_at));
            }
            conflicts.push(conflict);
        }
    }
    if output.is_json() {
        return Ok(output.json(&json!({ "conflicts": conflicts }))?);
    }
    if conflicts.is_empty() {
        return Ok(output.line("There are no conflicts.")?);
    }
    Ok(output.table(&table)?)
}

/// Every conflict of a journal.
pub(super) async fn all_conflicts(
    look: &JournalLook,
) -> Result<Vec<ConflictLine>, lcs_domain::RepositoryError> {
    let mut conflicts: Vec<ConflictLine> = Vec::new();
    loop {
        let after = conflicts.last().map_or(0, |conflict| conflict.line.sequence);
        let page = look.conflicts(after, PageLimit::MAX).await?;
        if page.is_empty() {
            return Ok(conflicts);
        }
        conflicts.extend(page);
    }
}

async fn decide(
    output: &mut Output,
    journals: &[Opened],
    one: &One,
    decision: Decision,
    done: &str,
) -> Result<()> {
    let number = one.number;
    let what = match decision {
        Decision::Resolve(_) => "conflict",
        Decision::SetAside => "entry",
    };
    let mut having = Vec::new();
    for journal in journals.iter().filter(|journal| one.slot.is_none_or(|slot| slot == journal.slot.number)) {
        let (after, first) = (number.saturating_sub(1), PageLimit::new(1)?);
        let found = match decision {
            Decision::Resolve(_) => {
                journal.look.conflicts(after, first).await?.into_iter().next().map(|conflict| conflict.line)
            }
            Decision::SetAside => journal.look.entries(after, first).await?.into_iter().next(),
        };
        if found.is_some_and(|line| line.sequence == number) {
            having.push(journal);
        }
    }
    let journal = match having.as_slice() {
        [journal] => journal,
        [] => return Err(absent(what, number)),
        [..] => bail!("{what} {number} is in more than one journal: write its --slot"),
    };
    let is_done = match decision {
        Decision::Resolve(resolution) => journal.look.resolve(number, resolution).await?,
        Decision::SetAside => journal.look.set_aside(number).await?,
    };
    if !is_done {
        return Err(absent(what, number));
    }
    if output.is_json() {
        let slot = journal.slot.number;
        return Ok(output.json(&json!({ "slot": slot, "number": number, "done": done }))?);
    }
    Ok(output.line(&format!("The {what} {number} is {done}."))?)
}

fn absent(what: &str, number: u64) -> anyhow::Error {
    let list = if what == "entry" { "list" } else { "conflicts" };
    anyhow!("there is no {what} {number}: `lcs-persistence journal {list}` names them")
}

/// Number, kind, conversation and age.
fn cells(line: &JournalLine) -> Vec<String> {
    let number = line.sequence.to_string();
    match &line.content {
        Ok(content) => {
            let taken = ago(content.recorded_at, SystemClock.now());
            vec![number, content.kind.to_string(), content.conversation_id.to_string(), taken]
        }
        Err(_) => vec![number, "unreadable".to_owned(), String::new(), String::new()],
    }
}

fn value(slot: &JournalSlot, line: &JournalLine) -> Value {
    let (number, bytes) = (line.sequence, line.bytes);
    match &line.content {
        Ok(content) => json!({
            "slot": slot.number,
            "number": number,
            "bytes": bytes,
            "kind": content.kind.as_str(),
            "user_id": content.user_id,
            "conversation_id": content.conversation_id,
            "recorded_at": content.recorded_at,
        }),
        Err(reason) => json!({ "slot": slot.number, "number": number, "bytes": bytes, "unreadable": reason }),
    }
}
