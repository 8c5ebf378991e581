//! `archive`: what retention has moved out of the database.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;
use lcs_app::{PersistenceManager, PersistenceManagerBuilder, VerifyReport};
use lcs_domain::{Archive, ArchiveId, PageLimit};
use serde_json::json;

use super::Context;
use super::stop::Stop;
use crate::output::table::Table;
use crate::output::text::count;
use crate::output::{note, progress};

const ARCHIVE: [&str; 6] = ["ARCHIVE", "BEGUN", "STATE", "CONVERSATIONS", "TURNS", "BYTES"];

#[derive(Subcommand)]
pub(super) enum ArchiveCommand {
    /// List the archives, the oldest first.
    List {
        /// How many to show.
        #[arg(long, value_name = "NUMBER", default_value = "50", value_parser = super::page_limit)]
        limit: PageLimit,
        /// Show those behind this one.
        #[arg(long, value_name = "ARCHIVE")]
        after: Option<ArchiveId>,
    },
    /// Show one archive and the conversations in it.
    Show {
        /// The archive's id.
        #[arg(value_name = "ARCHIVE")]
        archive: ArchiveId,
    },
    /// Read archives, and find what is damaged or missing, or nobody knows of. The exit code is 1 where something is.
    Verify {
        /// Only this one.
        #[arg(value_name = "ARCHIVE")]
        archive: Option<ArchiveId>,
    },
}

impl ArchiveCommand {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let context = context.of_what_is_there()?;
        let mut output = context.output;
        let manager = open(PersistenceManager::builder(context.configuration)).await?;
        match self {
            Self::List { limit, after } => {
                let archives = manager.archives().list(after, limit).await?;
                if output.is_json() {
                    output.json(&json!({ "archives": archives }))?;
                } else if archives.is_empty() {
                    output.line("Nothing is archived.")?;
                } else {
                    let mut table = Table::new(ARCHIVE);
                    for archive in &archives {
                        table.row(cells(archive));
                    }
                    output.table(&table)?;
                    if archives.len() == limit.get() as usize
                        && let Some(last) = archives.last()
                    {
                        note(&format!("There may be more: archive list --after {}", last.archive_id));
                    }
                }
            }
            Self::Show { archive } => {
                let Some((known, manifest)) = manager.archives().show(archive).await? else {
                    bail!("there is no archive {archive}: `archive list` shows those that are there");
                };
                if output.is_json() {
                    output.json(&json!({ "archive": known, "manifest": manifest }))?;
                    return Ok(ExitCode::SUCCESS);
                }
                let mut table = Table::new(ARCHIVE);
                table.row(cells(&known));
                output.table(&table)?;
                let Some(manifest) = manifest else {
                    output.line("Its manifest is not there.")?;
                    return Ok(ExitCode::SUCCESS);
                };
                output.line("")?;
                let mut table = Table::new(["CONVERSATION", "TURNS", "LAST CHANGED"]);
                for entry in &manifest.conversations {
                    let changed = entry.updated_at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
                    table.row(vec![entry.conversation_id.to_string(), entry.turn_count.to_string(), changed]);
                }
                output.table(&table)?;
            }
            Self::Verify { archive } => {
                if let Some(id) = archive
                    && manager.archives().show(id).await.is_ok_and(|found| found.is_none())
                {
                    bail!("there is no archive {id}: `archive list` shows those that are there");
                }
                let bar = progress::counter();
                let report = manager.archives().verify(archive, || bar.inc(1)).await;
                bar.finish_and_clear();
                let report = report?;
                if output.is_json() {
                    output.json(&report)?;
                } else {
                    say(&mut output, &report)?;
                }
                return Ok(if report.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The services as an operator has them.
pub(super) async fn open(builder: PersistenceManagerBuilder) -> Result<PersistenceManager> {
    Ok(super::kill_point::killed_where_asked(builder).operator().initialize().await?)
}

/// What `work` comes to; `None` where the process is asked to end before. What `work` was at in archives is given up then, so
/// that nobody waits for it; asked again, or where that takes long, it is left as it is.
pub(super) async fn unless_requested<T>(
    manager: &PersistenceManager,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut stop = Stop::listen();
    let ended = stop.unless_requested(work).await;
    if ended.is_none() {
        stop.unless_requested(manager.archives().let_go_in_time()).await;
    }
    ended
}

fn cells(archive: &Archive) -> Vec<String> {
    let Archive { archive_id, state, begun_at, content } = archive;
    vec![
        archive_id.to_string(),
        begun_at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        state.as_str().replace('_', " "),
        content.conversations.to_string(),
        content.turns.to_string(),
        content.bytes.to_string(),
    ]
}

fn say(output: &mut crate::output::Output, report: &VerifyReport) -> Result<()> {
    for finding in &report.damaged {
        output.line(&format!("Damaged: archive {}: {}", finding.archive_id, finding.reason))?;
    }
    for archive_id in &report.unknown {
        output.line(&format!("Unknown: archive {archive_id}: the database does not know it"))?;
    }
    for left in &report.leftovers {
        let (id, file) = (left.archive_id, &left.file);
        output.line(&format!(
            "Left over: archive {id}: {file} is of a write that was interrupted, or is under way"
        ))?;
    }
    let (whole, held) = (count(report.whole, "archive"), count(report.conversations, "conversation"));
    output.line(&format!("{whole} of {held} read, and right."))?;
    if report.unfinished > 0 {
        output.line(&format!(
            "To be finished by a later cleanup: {}, which may hold conversations that are gone from the database \
             already.",
            count(report.unfinished, "archive")
        ))?;
    }
    Ok(())
}
