//! `export`: conversations into a file, or onto standard output.

mod time;

use std::io::{BufWriter, IntoInnerError, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use lcs_app::PersistenceManager;
use lcs_app::known_user;
use lcs_app::transfer::compression::Compression;
use lcs_app::transfer::export::export;
use lcs_domain::audit::AuditOutcome;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::ExportFilter;
use lcs_domain::transfer::record::Trailer;
use lcs_domain::{AuditAction, AuditDetail, ConversationStatus, NewAuditEvent, Repositories, UserId};
use serde_json::json;

use super::Context;
use super::operator::operator;
use super::stop::Stop;
use crate::output::text::count;
use crate::output::whole_file::WholeFile;
use crate::output::{note, progress, standard};

const UNRECORDED: &str = "the export cannot be recorded in the audit log";

#[derive(Args)]
pub(super) struct Export {
    /// The file, or - for standard output. Its end says how it is compressed: .gz or .zst.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only this user's conversations: the name that signs in, or id: and the id that is shown.
    #[arg(long, value_name = "ID", value_parser = known_user)]
    user: Option<UserId>,
    /// Only conversations last changed then or later: 2026-01-31, or 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<DateTime<Utc>>,
    /// Only conversations last changed before then.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    until: Option<DateTime<Utc>>,
    /// Only conversations of this status; can be given several times. All but the deleted, where it is not.
    #[arg(long, value_name = "active|archived|deleted")]
    status: Vec<ConversationStatus>,
    /// Replace the file, if it is there.
    #[arg(long)]
    force: bool,
}

impl Export {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let context = context.of_what_is_there()?;
        let mut output = context.output;
        let to_stdout = self.file == Path::new("-");
        if !to_stdout {
            WholeFile::may_be(&self.file)?;
            if !self.force && self.file.try_exists().unwrap_or_default() {
                bail!("{} is there already: choose another name, or say --force", self.file.display());
            }
        }
        let manager = PersistenceManager::builder(context.configuration).operator().initialize().await?;
        let mut stop = Stop::listen();
        // Before the first byte of it can be read: there is no export that nobody knows of.
        let begun = self.record(&manager, AuditOutcome::Begun, AuditDetail::default()).await;
        begun.context(UNRECORDED)?;
        let done = tokio::select! {
            biased;
            () = stop.requested() => Err(anyhow!("stopped: nothing is exported")),
            done = self.write(&manager, to_stdout) => done,
        };
        let recorded = self.record_end(&manager, done.as_ref().ok()).await;
        let done = done?;
        recorded.context(UNRECORDED)?;
        if output.is_json() {
            let line = json!({
                "file": self.file, "conversations": done.conversations, "agent_states": done.agent_states,
                "turns": done.turns,
            });
            if to_stdout {
                note(&line.to_string());
            } else {
                output.json(&line)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let what = format!(
            "Exported {} with {} and {}",
            count(done.conversations, "conversation"),
            count(done.turns, "turn"),
            count(done.agent_states, "agent state"),
        );
        if to_stdout {
            note(&format!("{what}."));
        } else {
            output.line(&format!("{what} to {}", self.file.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn filter(&self) -> ExportFilter {
        let statuses = match self.status.as_slice() {
            [] => ExportFilter::default().statuses,
            statuses => statuses.to_vec(),
        };
        ExportFilter {
            user_id: self.user,
            changed_from: self.since,
            changed_before: self.until,
            statuses,
            conversation_ids: None,
        }
    }

    async fn write(&self, manager: &PersistenceManager, to_stdout: bool) -> Result<Trailer> {
        if to_stdout {
            let mut writer = BufWriter::new(standard());
            let done = self.write_to(manager, &mut writer).await?;
            writer.flush()?;
            return Ok(done);
        }
        let partial = WholeFile::begin(&self.file, ".export-")?;
        let mut writer = Compression::of(&self.file).writer(BufWriter::new(partial))?;
        let done = self.write_to(manager, &mut writer).await?;
        let partial = writer.finish()?.into_inner().map_err(IntoInnerError::into_error)?;
        partial.keep(self.force)?;
        Ok(done)
    }

    async fn write_to(
        &self,
        manager: &PersistenceManager,
        writer: &mut (impl Write + Send),
    ) -> Result<Trailer> {
        let store = manager.repositories();
        let bar = progress::bar(store.transfers().count_exported(self.filter()).await?);
        let done = export(&store, &**manager.clock(), self.filter(), writer, || bar.inc(1)).await;
        bar.finish_and_clear();
        Ok(done?)
    }

    /// Records how it ended; without a trailer, it failed or was stopped.
    async fn record_end(&self, manager: &PersistenceManager, done: Option<&Trailer>) -> RepositoryResult<()> {
        let detail = AuditDetail::default();
        let Some(done) = done else { return self.record(manager, AuditOutcome::Failed, detail).await };
        let detail = detail
            .count("conversations", done.conversations)
            .count("turns", done.turns)
            .count("agent_states", done.agent_states);
        self.record(manager, AuditOutcome::Done, detail).await
    }

    async fn record(
        &self,
        manager: &PersistenceManager,
        outcome: AuditOutcome,
        detail: AuditDetail,
    ) -> RepositoryResult<()> {
        let event = NewAuditEvent {
            on_behalf_of: self.filter().user_id,
            outcome,
            detail,
            ..NewAuditEvent::done(operator(), AuditAction::Export)
        };
        manager.repositories().audit().record(event).await
    }
}
