//! `restore`: conversations out of archives, back into the database.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use lcs_app::known_user;
use lcs_app::{PersistenceManager, RestoreReport, RestoreTarget};
use lcs_domain::{ConversationId, UserId};
use serde_json::json;

use super::Context;
use crate::output::text::count;
use crate::output::{note, progress};

#[derive(Args)]
pub(super) struct Restore {
    #[command(flatten)]
    target: Target,
    /// How many days retention leaves it alone, at least [default: `conversation_retention_days`]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    keep_days: Option<u32>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// This conversation.
    #[arg(long, value_name = "ID")]
    conversation: Option<ConversationId>,
    /// All that this user has in archives: the name that signs in, or id: and the id that is shown.
    #[arg(long, value_name = "ID", value_parser = known_user)]
    user: Option<UserId>,
    /// Everything that is archived.
    #[arg(long)]
    all: bool,
}

impl Target {
    fn meant(&self) -> RestoreTarget {
        match (self.conversation, self.user) {
            (Some(id), _) => RestoreTarget::Conversation(id),
            (None, Some(user)) => RestoreTarget::User(user),
            (None, None) => RestoreTarget::All,
        }
    }
}

impl Restore {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let context = context.of_what_lasts()?;
        let mut output = context.output;
        let manager = super::archive::open(PersistenceManager::builder(context.configuration)).await?;
        let archives = manager.archives();
        let keep =
            self.keep_days.map_or_else(|| archives.usual_keep(), |days| Duration::from_hours(24) * days);
        let bar = progress::counter();
        let run = Box::pin(archives.restore(self.target.meant(), keep, |seen| bar.inc(seen)));
        let ended = super::archive::unless_requested(&manager, run).await;
        bar.finish_and_clear();
        let report = ended.context("stopped: what has come back stays; run it again to go on")??;
        if output.is_json() {
            output.json(&json!(report))?;
        } else {
            output.line(&said(&report))?;
            for refused in &report.refused {
                note(&format!("Not restored: {}: {}", refused.conversation_id, refused.reason));
            }
            report.damaged.iter().for_each(|damaged| note(damaged));
            if report.unsettled {
                note("Archives still hold what has come back: run cleanup to have them replaced.");
            }
        }
        let is_whole = report.refused.is_empty() && report.damaged.is_empty();
        Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn said(report: &RestoreReport) -> String {
    if report.restored == 0 && report.refused.is_empty() && report.damaged.is_empty() {
        return match report.present {
            0 => "Nothing to restore: nothing of that is archived.".to_owned(),
            present => format!("Nothing to restore: {} came back before.", count(present, "conversation")),
        };
    }
    let restored = count(report.restored, "conversation");
    let mut said = format!("Restored {restored} with {}", count(report.turns, "turn"));
    if report.present > 0 {
        said = format!("{said}; {} there already", report.present);
    }
    format!("{said}.")
}
