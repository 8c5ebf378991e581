//! `retention`: users whose conversations are kept for another time than all others'.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use lcs_app::PersistenceManager;
use lcs_app::known_user;
use lcs_domain::{Clock, Keep, NewRetentionOverride, PageLimit, RetentionOverride, SystemClock, UserId};
use serde_json::json;

use super::Context;
use crate::output::Output;
use crate::output::age::ago;
use crate::output::table::Table;
use crate::output::text::one_line;

#[derive(Subcommand)]
pub(super) enum Retention {
    /// Say how long a user's conversations are kept, whatever is configured.
    Set {
        #[command(flatten)]
        whose: Whose,
        /// Days without a change, 1 to 36500, or forever.
        #[arg(long, value_name = "DAYS", value_parser = keep)]
        keep: Keep,
    },
    /// Go back to what is configured.
    Remove(Whose),
    /// The users who have a retention of their own.
    List,
}

#[derive(Args)]
pub(super) struct Whose {
    /// The user: the name that signs in, or id: and the id that is shown.
    #[arg(long, value_name = "ID", value_parser = known_user)]
    user: UserId,
}

impl Retention {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let actor = context.actor.clone();
        let Context { configuration, mut output, .. } = match self {
            Self::List => context.of_what_is_there()?,
            Self::Set { .. } | Self::Remove(_) => context.of_what_lasts()?,
        };
        let manager = PersistenceManager::builder(configuration).operator().initialize().await?;
        let repositories = manager.repositories();
        let overrides = repositories.retention_overrides();
        match self {
            Self::Set { whose, keep } => {
                let user_id = whose.user;
                let own =
                    overrides.set_override(NewRetentionOverride { user_id, keep, set_by: actor }).await?;
                if output.is_json() {
                    output.json(&own)?;
                } else {
                    output.line(&format!("User {user_id}: kept {}.", spoken(keep)))?;
                }
            }
            Self::Remove(whose) => {
                let user_id = whose.user;
                let removed = overrides.remove_override(user_id, actor).await?.is_some();
                if output.is_json() {
                    output.json(&json!({ "user_id": user_id, "removed": removed }))?;
                } else if removed {
                    output.line(&format!("User {user_id}: kept as configured."))?;
                } else {
                    output.line(&format!("User {user_id} had no retention of their own."))?;
                }
            }
            Self::List => {
                let (mut all, mut after) = (Vec::new(), None);
                loop {
                    let page = overrides.overrides(after, PageLimit::MAX).await?;
                    let Some(last) = page.last() else { break };
                    after = Some(last.user_id);
                    all.extend(page);
                }
                print(&mut output, &all)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(output: &mut Output, all: &[RetentionOverride]) -> Result<()> {
    if output.is_json() {
        return Ok(output.json(&json!({ "overrides": all }))?);
    }
    if all.is_empty() {
        return Ok(output.line("No user has a retention of their own.")?);
    }
    let now = SystemClock.now();
    let mut table = Table::new(["USER", "KEPT", "SET", "BY"]);
    for own in all {
        let cells = [own.user_id.to_string(), spoken(own.keep), ago(own.set_at, now), one_line(&own.set_by)];
        table.row(cells);
    }
    Ok(output.table(&table)?)
}

fn spoken(keep: Keep) -> String {
    match keep {
        Keep::Forever => "forever".to_owned(),
        Keep::Days(1) => "1 day".to_owned(),
        Keep::Days(days) => format!("{days} days"),
    }
}

fn keep(text: &str) -> Result<Keep, String> {
    if text == "forever" {
        return Ok(Keep::Forever);
    }
    let days = text.parse().ok().and_then(|days| Keep::days(days).ok());
    days.ok_or_else(|| format!("write days from 1 to {}, or forever", Keep::MAX_DAYS))
}
