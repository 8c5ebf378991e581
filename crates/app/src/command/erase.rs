//! `erase`: all that is of a user or a conversation, for good, with a certificate.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use lcs_app::erasure_service::{CertifiedErasure, Outcome, Remaining};
use lcs_app::known_user;
use lcs_app::{PersistenceManager, UnreadArchive};
use lcs_domain::erasure::ErasedRows;
use lcs_domain::{ArchiveId, ConversationId, ErasureTarget, RepositoryError, UserId};
use serde_json::json;

use super::Context;
use crate::output::text::{count, one_line};
use crate::output::whole_file::WholeFile;
use crate::output::{Output, note, progress};

/// What a certificate's name begins with until it is whole.
const CERTIFICATE_PREFIX: &str = ".lcs-erasure-";

#[derive(Args)]
pub(super) struct Erase {
    #[command(flatten)]
    target: Target,
    /// Only count what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Only look whether anything is left: the exit code is 1 where there is.
    #[arg(long, conflicts_with_all = ["dry_run", "yes", "certificate"])]
    verify: bool,
    /// The files of this archive are lost for good, and are not looked for: it must hold something of what is erased, and
    /// not be there. More than one may be named.
    #[arg(long, value_name = "ARCHIVE", conflicts_with_all = ["dry_run", "verify"])]
    lost_archive: Vec<ArchiveId>,
    /// It cannot be taken back: say that you mean it.
    #[arg(long)]
    yes: bool,
    /// Where to write the certificate [default: erasure-ID.json in this folder]
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// The user of whom everything is erased: the name that signs in, or id: and the id that is shown. The same id can begin anew
    /// afterwards.
    #[arg(long, value_name = "ID", value_parser = known_user)]
    user: Option<UserId>,
    /// The conversation to erase, whoever's it is.
    #[arg(long, value_name = "ID")]
    conversation: Option<ConversationId>,
}

impl Erase {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let target = match (self.target.conversation, self.target.user) {
            (Some(conversation_id), _) => ErasureTarget::Conversation(conversation_id),
            (None, Some(user)) => ErasureTarget::User(user),
            (None, None) => bail!("say what is to be erased: --user or --conversation"),
        };
        let actor = context.actor.clone();
        let only_looks = self.dry_run || self.verify;
        if self.verify
            && let Some(said) = context.nothing_yet()
        {
            // Where nobody has looked, nothing is said to be erased.
            bail!("{said}: look whether this is the right database");
        }
        let context = if only_looks { context.of_what_is_there()? } else { context.of_what_lasts()? };
        let Context { configuration, mut output, .. } = context;
        if let Some(path) = &self.certificate {
            writable(path)?;
        }
        let manager = super::archive::open(PersistenceManager::builder(configuration)).await?;
        let erasure = manager.erasure();
        if self.verify {
            return verified(&mut output, &erasure.remaining_anywhere(target).await?);
        }
        if self.dry_run {
            let (found, unread) = erasure.foreseen(target).await?;
            if output.is_json() {
                output.json(&json!({ "dry_run": true, "found": found, "archives_unread": unread }))?;
            } else {
                output.line(&format!("Would be erased: {found}."))?;
                if let Some(why) = unread {
                    output.line(&format!("Archives are counted as the database has them: {why}."))?;
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        // That the archives are out of reach is no reason to keep the rows: there is no certificate then.
        let found = erasure.remaining_by_the_store(target).await?;
        if let ErasureTarget::Conversation(conversation_id) = target
            && found.is_nothing()
            && manager.repositories().archives().tombstone(conversation_id).await?.is_none()
        {
            // Erased, the id could never be used again: a slip of the pen would keep another conversation out.
            bail!("nothing is known of conversation {conversation_id}: look whether the id is right");
        }
        if !self.yes {
            confirm(&mut output, &found)?;
        }
        let conversations = found.tables.iter().find(|table| table.table == "conversations");
        let bar = progress::bar(conversations.map_or(0, |table| table.rows));
        let progress = |removed: &ErasedRows| bar.set_position(removed.conversations);
        let run = Box::pin(erasure.erase(target, actor, &self.lost_archive, progress));
        let outcome = super::archive::unless_requested(&manager, run).await;
        bar.finish_and_clear();
        let outcome = outcome.context(
            "stopped: what is erased stays erased; run it again: it goes on, or hands out the certificate",
        )?;
        match outcome.map_err(refusal)? {
            Outcome::Certified(certified) => {
                for UnreadArchive { archive_id, reason } in &certified.unread_archives {
                    note(&format!(
                        "Not written anew: archive {archive_id}, which by what the database says holds nothing of it: \
                         {reason}"
                    ));
                }
                let path = self
                    .certificate
                    .unwrap_or_else(|| PathBuf::from(format!("erasure-{}.json", certified.erasure_id)));
                keep(&certified, &path).context(
                    "it is erased, but without its certificate: run the same again with another --certificate, and it \
                     is handed out again",
                )?;
                print(&mut output, &certified, &path)?;
                Ok(ExitCode::SUCCESS)
            }
            Outcome::Left(left) => {
                let cure = if left.unread.is_empty() {
                    "see that nobody writes for it meanwhile, and run it again"
                } else {
                    "make what cannot be read a conflict (`lcs-persistence journal set-aside NUMBER`), discard that \
                     (`journal discard NUMBER --yes`), and run it again"
                };
                bail!("there is no certificate, because something is left: {left}; {cure}")
            }
        }
    }
}

/// Who is refused is an operator: they are told why it is held.
fn refusal(error: RepositoryError) -> anyhow::Error {
    match error {
        RepositoryError::Held { hold_id, reason } => anyhow!(
            "not erased: kept by the legal hold {hold_id}, for \"{}\"; release that first, if it may go",
            one_line(&reason)
        ),
        error => error.into(),
    }
}

/// Refuses a place for the certificate before anything is erased.
fn writable(path: &Path) -> Result<()> {
    if path.try_exists().unwrap_or_default() {
        bail!("{} is there already: name another file for the certificate", path.display());
    }
    let begun = WholeFile::begin(path, CERTIFICATE_PREFIX);
    begun.map(drop).context("the certificate would have no place")
}

/// Writes the certificate: the file is whole or not there.
fn keep(certified: &CertifiedErasure, path: &Path) -> Result<()> {
    let mut file = WholeFile::begin(path, CERTIFICATE_PREFIX)?;
    serde_json::to_writer(&mut file, certified)?;
    file.write_all(b"\n")?;
    Ok(file.keep(false)?)
}

fn verified(output: &mut Output, found: &Remaining) -> Result<ExitCode> {
    let is_nothing = found.is_nothing();
    if output.is_json() {
        output.json(&json!({ "erased": is_nothing, "found": found }))?;
    } else if is_nothing {
        let tables = count(found.tables.len() as u64, "table");
        output.line(&format!(
            "Nothing is left: {tables}, archives and the journals of this machine were looked at."
        ))?;
    } else {
        output.line(&format!("Something is left: {found}."))?;
    }
    Ok(if is_nothing { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks a person. A script says that it means it.
fn confirm(output: &mut Output, found: &Remaining) -> Result<()> {
    if !io::stdin().is_terminal() || output.is_json() {
        bail!("what is erased is gone forever: write --yes to mean it, or --dry-run to see what it is");
    }
    note(&format!("It will be gone forever: {found}."));
    if !output.is_confirmed()? {
        bail!("not erased");
    }
    Ok(())
}

fn print(output: &mut Output, certified: &CertifiedErasure, path: &Path) -> Result<()> {
    if output.is_json() {
        return Ok(output.json(certified)?);
    }
    let ErasedRows { conversations, turns, agent_states, requests, .. } = certified.removed;
    let said = if certified.removed.is_empty() && !certified.earlier.is_empty() {
        let earlier = count(certified.earlier.len() as u64, "earlier certificate");
        format!("There was nothing to erase any more; there is {earlier}")
    } else if certified.removed.is_empty() {
        "There was nothing to erase".to_owned()
    } else {
        format!(
            "Erased {}, {}, {} and {}",
            count(conversations, "conversation"),
            count(turns, "turn"),
            count(agent_states, "agent state"),
            count(requests, "request"),
        )
    };
    let archived = match certified.archived {
        0 => String::new(),
        archived => format!(", and {} out of archives", count(archived, "conversation")),
    };
    output.line(&format!("{said}{archived}. Nothing is left. The certificate: {}", path.display()))?;
    Ok(())
}
