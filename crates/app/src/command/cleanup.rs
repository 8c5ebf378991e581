//! `cleanup`: retention, by hand.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use lcs_app::{CleanupReport, Patience, PersistenceManager, Unarchived};
use serde_json::{Value, json};

use super::Context;
use crate::output::text::count;
use crate::output::{note, progress};

#[derive(Args)]
pub(super) struct Cleanup {
    /// Only count what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Remove no more conversations in a second; 0 as fast as it goes [default: `retention_conversations_per_second`]
    #[arg(long, value_name = "NUMBER")]
    per_second: Option<u32>,
}

/// The configured days, for people and programs.
struct Days {
    active: u32,
    archived: u32,
    deleted: u32,
}

impl Days {
    /// Idle longer than what.
    fn limit(&self) -> String {
        if self.active == self.archived {
            format!("{} days", self.active)
        } else {
            format!("{} days ({} where archived)", self.active, self.archived)
        }
    }

    fn json(&self, mut answer: Value) -> Value {
        if let Value::Object(answer) = &mut answer {
            answer.insert("retention_days".to_owned(), self.active.into());
            answer.insert("archived_retention_days".to_owned(), self.archived.into());
            answer.insert("deleted_retention_days".to_owned(), self.deleted.into());
        }
        answer
    }
}

impl Cleanup {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let mut context = context.of_what_is_there()?;
        let mut output = context.output;
        let configuration = &mut context.configuration;
        let days = Days {
            active: configuration.conversation_retention_days,
            archived: configuration.archived_conversation_retention_days,
            deleted: configuration.deleted_conversation_retention_days,
        };
        if let Some(per_second) = self.per_second {
            configuration.retention_conversations_per_second = per_second;
        }
        let manager = super::archive::open(PersistenceManager::builder(context.configuration)).await?;
        let retention = manager.retention();
        let due = retention.count_due().await?;
        if self.dry_run {
            let held = retention.count_held().await?;
            if output.is_json() {
                let answer = json!({ "dry_run": true, "due": due, "held": held });
                output.json(&days.json(answer))?;
            } else {
                output.line(&format!(
                    "{} would be removed: idle longer than {}, or deleted by their users.{}",
                    count(due, "conversation"),
                    days.limit(),
                    kept(Some(held))
                ))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let bar = progress::bar(due);
        let mut report = CleanupReport::default();
        let run = retention.cleanup_into(Patience::Insists, &mut report, |removed| bar.inc(removed));
        let ended = super::archive::unless_requested(&manager, run).await;
        bar.finish_and_clear();
        let CleanupReport { expired, archived, unarchived, deleted, held, busy, .. } = report;
        let Some(ended) = ended else {
            name(&unarchived);
            bail!("stopped: what is removed stays removed; run it again to go on");
        };
        if let Err(error) = ended {
            name(&unarchived);
            return Err(error.into());
        }
        if output.is_json() {
            let answer = json!({
                "dry_run": false, "expired": expired, "archived": archived, "unarchived": unarchived,
                "deleted": deleted, "held": held, "busy": busy
            });
            output.json(&days.json(answer))?;
        } else {
            output.line(&format!(
                "Removed {}: {} idle longer than {}{}, {deleted} deleted by their users.{}{}",
                count(expired + archived + deleted, "conversation"),
                expired + archived,
                days.limit(),
                if retention.archives() { " and archived" } else { "" },
                kept(held),
                if busy { " Others are at the rest." } else { "" },
            ))?;
            name(&unarchived);
        }
        Ok(if unarchived.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Names what could not be archived.
fn name(unarchived: &[Unarchived]) {
    for one in unarchived {
        note(&format!("Not archived, and kept: conversation {}: {}", one.conversation_id, one.reason));
    }
}

/// What was kept, for people; nothing where nothing was, or it was not counted.
fn kept(held: Option<u64>) -> String {
    match held {
        None | Some(0) => String::new(),
        Some(held) => format!(" Kept under legal hold: {}; see `hold list`.", count(held, "conversation")),
    }
}
