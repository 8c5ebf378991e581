//! `audit`: what was done, by whom and when, and whether anybody has changed that since.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use lcs_app::PersistenceManager;
use lcs_app::known_user;
use lcs_domain::audit::{AuditVerification, verify};
use lcs_domain::{AuditAction, AuditQuery, AuditRecord, ConversationId, PageLimit, UserId};
use serde_json::json;

use super::Context;
use crate::output::table::Table;
use crate::output::text::{count, one_line};
use crate::output::{Output, note};

#[derive(Subcommand)]
pub(super) enum Audit {
    /// What was recorded, oldest first: the newest of it, or what is behind a number.
    List(List),
    /// Compute every hash anew, from the first row to the last. Exits with 1 where one does not follow.
    Verify,
}

#[derive(Args)]
pub(super) struct List {
    /// Only what was this user's, or done for them: the name that signs in, or id: and the id that is shown.
    #[arg(long, value_name = "ID", value_parser = known_user)]
    user: Option<UserId>,
    /// Only what was about this conversation.
    #[arg(long, value_name = "ID")]
    conversation: Option<ConversationId>,
    /// Only this, such as purge, `hold_placed` or `access_denied`.
    #[arg(long, value_name = "ACTION")]
    action: Option<AuditAction>,
    /// Continue after this number; 0 begins with the first.
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// How many at most: 1 to 200.
    #[arg(long, value_name = "NUMBER", default_value = "50", value_parser = super::page_limit)]
    limit: PageLimit,
}

impl Audit {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        if let Some(said) = context.nothing_yet() {
            // Not what a database in its stead would record.
            return self.of_nothing(context.output, &said);
        }
        let Context { configuration, mut output, .. } = context.of_what_is_there()?;
        let manager = PersistenceManager::builder(configuration).operator().initialize().await?;
        let repositories = manager.repositories();
        match self {
            Self::List(list) => {
                let query = list.query();
                let records = repositories.audit().records(query).await?;
                print(&mut output, &records, query)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Verify => match verify(repositories.audit()).await? {
                AuditVerification::Intact(end) => {
                    if output.is_json() {
                        output.json(&json!({ "intact": true, "rows": end.sequence, "hash": end.hash }))?;
                    } else {
                        let rows = count(end.sequence, "row");
                        output.line(&format!("The chain of {rows} is whole. It ends in {}.", end.hash))?;
                    }
                    Ok(ExitCode::SUCCESS)
                }
                AuditVerification::Broken { sequence, reason } => {
                    if output.is_json() {
                        output.json(&json!({ "intact": false, "sequence": sequence, "reason": reason }))?;
                    } else {
                        output.line(&format!("The chain is broken at row {sequence}: {reason}."))?;
                    }
                    Ok(ExitCode::FAILURE)
                }
            },
        }
    }

    /// Of a log that is not there nothing is listed, and nothing is said to be whole.
    fn of_nothing(self, mut output: Output, said: &str) -> Result<ExitCode> {
        match self {
            Self::List(list) => {
                print(&mut output, &[], list.query())?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Verify => bail!("there is no log to verify: {said}"),
        }
    }
}

impl List {
    fn query(&self) -> AuditQuery {
        AuditQuery {
            user_id: self.user,
            conversation_id: self.conversation,
            action: self.action,
            after: self.after,
            limit: self.limit,
            is_look: false,
        }
    }
}

fn print(output: &mut Output, records: &[AuditRecord], query: AuditQuery) -> Result<()> {
    if output.is_json() {
        let last = records.last().map(|last| last.sequence);
        let is_full = records.len() >= query.limit.get() as usize;
        let next = last.filter(|_| is_full && query.after.is_some());
        return Ok(output.json(&json!({ "events": records, "next": next }))?);
    }
    if records.is_empty() {
        return Ok(output.line("Nothing is recorded of that.")?);
    }
    let mut table = Table::new(["NUMBER", "TIME", "WHO", "WHAT", "OUTCOME", "ABOUT", "DETAIL"]);
    for record in records {
        let about = record.conversation_id.map(|id| id.to_string());
        let about = about.or_else(|| record.on_behalf_of.map(|id| format!("user {id}"))).unwrap_or_default();
        table.row([
            record.sequence.to_string(),
            record.at.format("%Y-%m-%d %H:%M:%S").to_string(),
            one_line(&record.actor),
            one_line(&record.action),
            one_line(&record.outcome),
            about,
            shortened(record.detail.as_json()),
        ]);
    }
    output.table(&table)?;
    if query.after.is_some()
        && records.len() >= query.limit.get() as usize
        && let Some(last) = records.last()
    {
        note(&format!("There may be more: --after {}", last.sequence));
    }
    Ok(())
}

/// A purge names all that it removed: the whole of it is in the JSON.
fn shortened(detail: &str) -> String {
    const MOST: usize = 100;
    let line = one_line(detail);
    if line.chars().count() <= MOST {
        return line;
    }
    line.chars().take(MOST).chain("...".chars()).collect()
}
