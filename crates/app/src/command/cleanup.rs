//! `cleanup`: retention, by hand.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use lcs_app::PersistenceManager;
use serde_json::json;

use super::Context;
use crate::output::progress;
use crate::output::text::count;

#[derive(Args)]
pub(super) struct Cleanup {
    /// Only count what would be removed.
    #[arg(long)]
    dry_run: bool,
}

impl Cleanup {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let context = context.of_what_is_there()?;
        let mut output = context.output;
        let days = context.configuration.conversation_retention_days;
        let manager = PersistenceManager::builder(context.configuration).operator().initialize().await?;
        let due = manager.retention().count_due().await?;
        if self.dry_run {
            if output.is_json() {
                output.json(&json!({ "dry_run": true, "due": due, "retention_days": days }))?;
            } else {
                let line = format!(
                    "{} would be removed: idle longer than {days} days, or deleted by their users.",
                    count(due, "conversation")
                );
                output.line(&line)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let bar = progress::bar(due);
        let report = manager.retention().cleanup_old_conversations(|removed| bar.inc(removed)).await;
        bar.finish_and_clear();
        let report = report?;
        if output.is_json() {
            let (expired, deleted) = (report.expired, report.deleted);
            let answer =
                json!({ "dry_run": false, "expired": expired, "deleted": deleted, "retention_days": days });
            output.json(&answer)?;
        } else {
            output.line(&format!(
                "Removed {}: {} idle longer than {days} days, {} deleted by their users.",
                count(report.total(), "conversation"),
                report.expired,
                report.deleted
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
