//! `journal`: what waits to be replayed, and what the database refused, in the journals of this machine.
//!
//! It works beside a service that runs: that one finds what was decided here within seconds.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use lcs_domain::journal::ConflictResolution;
use lcs_domain::{Clock, PageLimit, SystemClock};
use lcs_storage::sqlite::{ConflictLine, JournalLine, JournalLook, JournalSlot};
use serde_json::{Value, json};

use super::{Context, sentence};
use crate::output::age::ago;
use crate::output::table::Table;
use crate::output::text::{count, one_line};
use crate::output::{Output, note};

#[derive(Subcommand)]
pub(super) enum Journal {
    /// What was acknowledged and is not in the database yet, oldest first.
    List,
    /// What the database refused when it was replayed, with the reasons.
    Conflicts,
    /// Try conflicts once more.
    Retry(Chosen),
    /// Forget conflicts, forever.
    Discard {
        #[command(flatten)]
        chosen: Chosen,
        /// They were acknowledged, and are nowhere else: say that you mean it.
        #[arg(long)]
        yes: bool,
    },
    /// Make entries that cannot be read conflicts, so that those behind them are replayed.
    SetAside(Chosen),
}

#[derive(Args)]
pub(super) struct Chosen {
    /// Their numbers.
    #[arg(value_name = "NUMBER", required_unless_present = "all")]
    numbers: Vec<u64>,
    /// All that there are now.
    #[arg(long, conflicts_with = "numbers")]
    all: bool,
    /// The journal that they are in, where a number is in more than one.
    #[arg(long, value_name = "NUMBER")]
    slot: Option<u32>,
}

/// What is done with each.
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
            Self::Retry(chosen) => {
                let retry = Decision::Resolve(ConflictResolution::Retry);
                let found = find(&journals, &chosen, retry).await?;
                return decide(&mut output, &found, retry, "put back to be replayed").await;
            }
            Self::Discard { chosen, yes } => {
                let discard = Decision::Resolve(ConflictResolution::Discard);
                let found = find(&journals, &chosen, discard).await?;
                if !yes && !found.is_empty() {
                    confirm(&mut output, found.len())?;
                }
                return decide(&mut output, &found, discard, "discarded").await;
            }
            Self::SetAside(chosen) => {
                let found = find(&journals, &chosen, Decision::SetAside).await?;
                return decide(&mut output, &found, Decision::SetAside, "set aside").await;
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
            row.push(one_line(&reason));
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

/// One that is to be decided.
struct Found<'a> {
    journal: &'a Opened,
    number: u64,
}

/// What is chosen, all of it: where a number is nowhere, nothing is done with the others.
async fn find<'a>(journals: &'a [Opened], chosen: &Chosen, decision: Decision) -> Result<Vec<Found<'a>>> {
    let (mut found, mut missing) = (Vec::new(), chosen.numbers.clone());
    for journal in
        journals.iter().filter(|journal| chosen.slot.is_none_or(|slot| slot == journal.slot.number))
    {
        for line in all_lines(&journal.look, decision).await? {
            let number = line.sequence;
            // Of entries, all that may be set aside: the others will be replayed.
            let is_meant = match decision {
                Decision::Resolve(_) => true,
                Decision::SetAside => line.content.is_err(),
            };
            if chosen.all && is_meant || chosen.numbers.contains(&number) {
                if found.iter().any(|found: &Found<'_>| found.number == number) && !chosen.all {
                    bail!("{} {number} is in more than one journal: write its --slot", decision.noun());
                }
                missing.retain(|missing| *missing != number);
                found.push(Found { journal, number });
            }
        }
    }
    match missing.first() {
        Some(number) => Err(absent(decision, *number)),
        None => Ok(found),
    }
}

/// Every conflict of a journal, or every entry.
async fn all_lines(look: &JournalLook, decision: Decision) -> Result<Vec<JournalLine>> {
    if let Decision::Resolve(_) = decision {
        return Ok(all_conflicts(look).await?.into_iter().map(|conflict| conflict.line).collect());
    }
    let mut entries: Vec<JournalLine> = Vec::new();
    loop {
        let page = look.entries(entries.last().map_or(0, |line| line.sequence), PageLimit::MAX).await?;
        if page.is_empty() {
            return Ok(entries);
        }
        entries.extend(page);
    }
}

/// Does it with each, also where one of them fails, and says of how many it is done.
async fn decide(
    output: &mut Output,
    found: &[Found<'_>],
    decision: Decision,
    done: &str,
) -> Result<ExitCode> {
    let (mut decided, mut failures) = (Vec::new(), Vec::new());
    for Found { journal, number } in found {
        let is_done = match decision {
            Decision::Resolve(resolution) => journal.look.resolve(*number, resolution).await,
            Decision::SetAside => journal.look.set_aside(*number).await,
        };
        match is_done {
            Ok(true) => decided.push((journal.slot.number, *number)),
            // Somebody else has decided meanwhile.
            Ok(false) => failures.push(absent(decision, *number)),
            Err(error) => failures.push(error.into()),
        }
    }
    if output.is_json() {
        let named: Vec<_> =
            decided.iter().map(|(slot, number)| json!({ "slot": slot, "number": number })).collect();
        output.json(&json!({ "done": done, "decided": named }))?;
    } else if let [(_, number)] = decided.as_slice() {
        output.line(&format!("The {} {number} is {done}.", decision.noun()))?;
    } else if decided.len() > 1 {
        output.line(&format!("{} {} are {done}.", decided.len(), decision.nouns()))?;
    } else if failures.is_empty() {
        output.line(&format!("There are no {} to decide about.", decision.nouns()))?;
    }
    let Some(last) = failures.pop() else { return Ok(ExitCode::SUCCESS) };
    for failure in failures {
        note(&format!("error: {}", sentence(&failure)));
    }
    Err(last)
}

impl Decision {
    const fn noun(self) -> &'static str {
        match self {
            Self::Resolve(_) => "conflict",
            Self::SetAside => "entry",
        }
    }

    const fn nouns(self) -> &'static str {
        match self {
            Self::Resolve(_) => "conflicts",
            Self::SetAside => "unreadable entries",
        }
    }
}

/// Asks a person. A script says that it means it.
fn confirm(output: &mut Output, conflicts: usize) -> Result<()> {
    if !io::stdin().is_terminal() || output.is_json() {
        bail!("a conflict that is discarded is gone forever: write --yes to mean it");
    }
    let what = count(conflicts as u64, "conflict");
    note(&format!("{what} will be gone forever: they were acknowledged, and are nowhere else."));
    if !output.is_confirmed()? {
        bail!("not discarded");
    }
    Ok(())
}

fn absent(decision: Decision, number: u64) -> anyhow::Error {
    let (what, list) = match decision {
        Decision::Resolve(_) => ("conflict", "conflicts"),
        Decision::SetAside => ("entry", "list"),
    };
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
