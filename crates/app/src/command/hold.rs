//! `hold`: what must be kept, whatever its age.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use lcs_app::PersistenceManager;
use lcs_app::known_user;
use lcs_domain::{
    Clock, ConversationId, Hold, HoldId, HoldTarget, NewHold, PageLimit, PurgeReason, RepositoryError,
    SystemClock, Text, UserId,
};
use serde_json::json;

use super::Context;
use crate::output::Output;
use crate::output::age::ago;
use crate::output::table::Table;
use crate::output::text::one_line;

#[derive(Subcommand)]
pub(super) enum HoldCommand {
    /// Keep a conversation, or all of a user's: nothing of it is purged, archived away or erased until it is released.
    Place(Place),
    /// Let go of what a hold is on. It cannot be taken back: place another one.
    Release {
        /// The hold.
        #[arg(value_name = "ID")]
        hold: HoldId,
    },
    /// The holds that are in force.
    List(List),
}

#[derive(Args)]
pub(super) struct Place {
    /// The conversation to keep.
    #[arg(long, value_name = "ID", required_unless_present = "user", conflicts_with = "user")]
    conversation: Option<ConversationId>,
    /// The user whose conversations are to be kept, those that they begin later too: the name that signs in, or id: and the id that is
    /// shown.
    #[arg(long, value_name = "ID", value_parser = known_user)]
    user: Option<UserId>,
    /// Why: the name of the matter.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The hold's own id, to place the same one again where an answer was lost.
    #[arg(long, value_name = "ID")]
    id: Option<HoldId>,
}

#[derive(Args)]
pub(super) struct List {
    /// Only those that keep this conversation.
    #[arg(long, value_name = "ID", conflicts_with = "user")]
    conversation: Option<ConversationId>,
    /// Only those that keep something of this user's: the name that signs in, or id: and the id that is shown.
    #[arg(long, value_name = "ID", value_parser = known_user)]
    user: Option<UserId>,
}

fn target(conversation: Option<ConversationId>, user: Option<UserId>) -> Option<HoldTarget> {
    conversation.map(HoldTarget::Conversation).or_else(|| user.map(HoldTarget::User))
}

impl HoldCommand {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let actor = context.actor.clone();
        let Context { configuration, mut output, .. } = match self {
            Self::List(_) => context.of_what_is_there()?,
            Self::Place(_) | Self::Release { .. } => context.of_what_lasts()?,
        };
        let manager = PersistenceManager::builder(configuration).operator().initialize().await?;
        let repositories = manager.repositories();
        let holds = repositories.holds();
        match self {
            Self::Place(place) => {
                let Some(target) = target(place.conversation, place.user) else {
                    bail!("say what is to be kept: --conversation or --user");
                };
                let new = NewHold {
                    hold_id: place.id.unwrap_or_else(HoldId::generate),
                    target,
                    reason: Text::name(place.reason, "/reason")?,
                    placed_by: actor,
                };
                let placed = holds.place(new).await;
                if let (Err(RepositoryError::NotFound { .. }), Some(id)) = (&placed, place.conversation)
                    && let Ok(Some(left)) = repositories.archives().tombstone(id).await
                    && let (PurgeReason::Expired, Some(archive_id)) = (left.reason, left.archive_id)
                {
                    bail!(
                        "conversation {id} is in archive {archive_id}, and is held there by a hold on its user only: \
                         place that, or restore the conversation first (`restore --conversation {id}`)"
                    );
                }
                let hold = placed?;
                if hold.released_at.is_some() {
                    bail!("hold {} was released, and keeps nothing: place another one", hold.hold_id);
                }
                let printed = if output.is_json() {
                    output.json(&hold)
                } else {
                    output.line(&format!("Placed hold {} on {}.", hold.hold_id, kept(&hold)))
                };
                printed.with_context(|| format!("hold {} is placed", hold.hold_id))?;
            }
            Self::Release { hold } => {
                let Some(released) = holds.release(hold, actor).await? else { bail!("hold not found") };
                let printed = if output.is_json() {
                    output.json(&released)
                } else {
                    output.line(&format!("Released hold {hold} on {}.", kept(&released)))
                };
                printed.with_context(|| format!("hold {hold} is released"))?;
            }
            Self::List(list) => {
                let all = match target(list.conversation, list.user) {
                    Some(target) => holds.holding(target).await?,
                    None => all(holds).await?,
                };
                print(&mut output, &all)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn all(holds: &dyn lcs_domain::HoldRepository) -> Result<Vec<Hold>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = holds.list_holds(after, PageLimit::MAX).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some(last.hold_id);
        all.extend(page);
    }
}

/// What it is on.
fn kept(hold: &Hold) -> String {
    match hold.conversation_id {
        Some(conversation_id) => format!("conversation {conversation_id}"),
        None => format!("user {}", hold.user_id),
    }
}

fn print(output: &mut Output, holds: &[Hold]) -> Result<()> {
    if output.is_json() {
        return Ok(output.json(&json!({ "holds": holds }))?);
    }
    if holds.is_empty() {
        return Ok(output.line("No hold is in force.")?);
    }
    let now = SystemClock.now();
    let mut table = Table::new(["HOLD", "KEEPS", "PLACED", "BY", "REASON"]);
    for hold in holds {
        table.row([
            hold.hold_id.to_string(),
            kept(hold),
            ago(hold.placed_at, now),
            one_line(&hold.placed_by),
            one_line(&hold.reason),
        ]);
    }
    Ok(output.table(&table)?)
}
