//! The commands: what can be asked for, and how each is carried out over the services.

mod archive;
mod audit;
mod chat;
mod cleanup;
mod conversation;
mod doctor;
mod erase;
mod export;
mod hint;
mod hold;
mod import;
mod journal;
mod kill_point;
mod log;
mod message;
mod migrate;
mod no_answer;
mod operator;
mod restore;
mod retention;
mod serve;
mod stats;
mod stop;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, bail};
use clap::{Args, Parser, Subcommand};
use lcs_agent_cache::fallback::FallbackMode;
use lcs_app::configuration::{Configuration, StoreConfiguration, default_sqlite_path};
use lcs_app::known_user;
use lcs_domain::{Actor, PageLimit, UserId};
use lcs_storage::sqlite::{SqliteConfig, SqliteFile};
use secrecy::SecretString;

use self::hint::Again;
use crate::output::Output;
use crate::output::text::word;

/// The exit code for a command line that is not understood.
pub(crate) const EXIT_USAGE: u8 = 2;

/// The exit code where nobody reads the answer any more: what a shell says of a program that the signal ended.
pub(crate) const EXIT_UNREAD: u8 = 141;

/// The user that LCS uses where nobody has to sign in.
const DEFAULT_USER: &str = "00000000-0000-0000-0000-000";

const DATABASE_URL_HELP: &str = "Where the conversations are: postgres://USER:PASSWORD@HOST:PORT/NAME, \
    sqlite:PATH or memory: [env: LCS_PERSISTENCE_DATABASE_URL]";
const LOG_LEVEL_HELP: &str = "What to log on standard error: off, error, warn, info, debug or trace, or by module \
    as in lcs_storage=debug,info [env: RUST_LOG] [default: error, serve: info]";

/// Conversations, turns and agent states that survive a restart.
///
/// With no configuration the conversations are in a SQLite file in the platform's data folder. The database's
/// schema is brought up to date when it is needed; `migrate` does it by hand.
#[derive(Parser)]
#[command(name = "lcs-persistence", version, arg_required_else_help = true)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Global {
    /// Read the persistence section of this lightspeed-stack.yaml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long, global = true, value_name = "URL", value_parser = secret, help = DATABASE_URL_HELP)]
    database_url: Option<SecretString>,
    /// Answer in JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[arg(long, global = true, value_name = "LEVEL", help = LOG_LEVEL_HELP)]
    log_level: Option<String>,
    /// How to write the log's lines: for people, or as one JSON object each.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: log::LogFormat,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the HTTP API until it is stopped.
    Serve(serve::Serve),
    /// Talk to an agent.
    Chat(chat::Chat),
    /// List, show or delete conversations.
    #[command(subcommand)]
    Conversations(conversation::Conversations),
    /// Bring the database's schema up to date, or one step back, or show how it stands.
    #[command(subcommand)]
    Migrate(migrate::Migrate),
    /// List what waits in the journal, and decide about what the database refused.
    #[command(subcommand)]
    Journal(journal::Journal),
    /// Remove what has been idle longer than the configuration allows, and what was deleted.
    Cleanup(cleanup::Cleanup),
    /// Show what was moved to archives, and whether that is whole.
    #[command(subcommand)]
    Archive(archive::ArchiveCommand),
    /// Take conversations back from archives.
    Restore(restore::Restore),
    /// Write conversations, with their turns and agents' states, to a file.
    Export(export::Export),
    /// Take in conversations out of a file. What is there already stays as it is.
    Import(import::Import),
    /// Say for how long single users' conversations are kept.
    #[command(subcommand)]
    Retention(retention::Retention),
    /// Keep what must be kept, whatever its age: legal holds.
    #[command(subcommand)]
    Hold(hold::HoldCommand),
    /// Erase all that is of a user, or a conversation, for good, and get a certificate.
    Erase(erase::Erase),
    /// Show what was done and by whom, and whether that was changed since.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Show how much is stored, how it grows, and how the database is doing. Changes nothing.
    Stats(stats::Stats),
    /// Look for what is wrong: with the connection, the schema, the stored rows. Changes nothing.
    Doctor,
}

/// Whose conversations it is about.
#[derive(Args)]
struct User {
    /// The user: the name that signs in, or id: and the id that is shown.
    #[arg(long, value_name = "ID", default_value = DEFAULT_USER, value_parser = named)]
    user: String,
}

impl User {
    /// Who that is.
    fn id(&self) -> Result<UserId> {
        known_user(&self.user).map_err(Error::msg)
    }

    /// The option that names this user again; nothing where it is the default one.
    fn option(&self) -> String {
        if self.user == DEFAULT_USER { String::new() } else { format!(" --user {}", word(&self.user)) }
    }
}

/// What every command needs.
struct Context {
    configuration: Configuration,
    output: Output,
    again: Again,
    /// Who runs the command.
    actor: Actor,
}

impl Context {
    /// The database file where there is none yet.
    fn missing_file(&self) -> Option<&Path> {
        match &self.configuration.store {
            StoreConfiguration::Sqlite(SqliteConfig { file: SqliteFile::Path(path), .. }) => {
                // What cannot be looked at is not missing: opening it says what is wrong.
                (!path.try_exists().unwrap_or(true)).then_some(path.as_path())
            }
            _ => None,
        }
    }

    /// What is said on a fresh machine, where even the default database file is not there yet.
    fn nothing_yet(&self) -> Option<String> {
        let path = self.missing_file().filter(|path| is_default(path))?;
        Some(format!("nothing is stored yet: the first conversation makes {}", path.display()))
    }

    /// As if a database file that is not there were, with nothing in it: none is made.
    fn with_nothing(mut self) -> Self {
        if let Some(path) = self.missing_file() {
            let nothing = SqliteConfig { file: SqliteFile::Memory, ..SqliteConfig::file(path) };
            self.configuration.store = StoreConfiguration::Sqlite(nothing).acting_as(self.actor.clone());
        }
        self
    }

    /// For commands that only look, or remove: they make no database file. At the default path its absence
    /// is the state of a fresh machine, and they find nothing; at a path that was written it is a mistake.
    fn of_what_is_there(self) -> anyhow::Result<Self> {
        if let Some(path) = self.missing_file().filter(|path| !is_default(path)) {
            bail!("{}", no_file(path));
        }
        Ok(self.with_nothing())
    }

    /// For commands whose work has to last: there is a store already, and it outlives the process.
    fn of_what_lasts(self) -> anyhow::Result<Self> {
        match self.missing_file() {
            Some(path) if is_default(path) => bail!("{}", no_default_file(path)),
            Some(path) => bail!("{}", no_file(path)),
            None => {}
        }
        match &self.configuration.store {
            StoreConfiguration::Sqlite(SqliteConfig { file: SqliteFile::Path(_), .. })
            | StoreConfiguration::Postgresql(_) => Ok(self),
            StoreConfiguration::Sqlite(_) | StoreConfiguration::Memory => {
                bail!(
                    "the store is memory only, and this would end with it: name a database file or a server"
                )
            }
        }
    }
}

fn is_default(path: &Path) -> bool {
    default_sqlite_path().as_deref() == Some(path)
}

fn no_file(path: &Path) -> String {
    format!(
        "there is no database file at {}: correct the path; serve, chat, import and migrate run make one",
        path.display()
    )
}

/// Of a path that nobody wrote.
fn no_default_file(path: &Path) -> String {
    format!(
        "there is no database yet at {}, where it is by default, and nothing is stored: where it is elsewhere, name it with \
         --config or --database-url",
        path.display()
    )
}

impl CommandLine {
    /// Carries the command out. The exit code is a failure also where the answer is bad news.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let is_service = matches!(self.command, Command::Serve(_));
        let log = log::start(self.global.log_level.as_deref(), is_service, self.global.log_format)?;
        let mut configuration =
            Configuration::load(self.global.config.as_deref(), self.global.database_url.as_ref())?;
        if !is_service && configuration.fallback.mode == FallbackMode::Journal {
            // Who asks once is told that the database is gone; what would a journal be replayed by?
            configuration.fallback.mode = FallbackMode::Refuse;
        }
        let again = Again::new(self.global.config.as_deref(), self.global.database_url.as_ref());
        let actor = operator::operator();
        if !is_service {
            configuration.store = configuration.store.acting_as(actor.clone());
        }
        let context = Context { configuration, output: Output::stdout(self.global.json), again, actor };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("the runtime cannot be started")?;
        let done = runtime.block_on(async {
            match self.command {
                Command::Serve(serve) => serve.run(context).await,
                Command::Chat(chat) => chat.run(context).await,
                Command::Conversations(conversations) => conversations.run(context).await,
                Command::Migrate(migrate) => migrate.run(context).await,
                Command::Journal(journal) => journal.run(context).await,
                Command::Cleanup(cleanup) => cleanup.run(context).await,
                Command::Archive(archive) => archive.run(context).await,
                Command::Restore(restore) => restore.run(context).await,
                Command::Export(export) => export.run(context).await,
                Command::Import(import) => import.run(context).await,
                Command::Retention(retention) => retention.run(context).await,
                Command::Hold(hold) => hold.run(context).await,
                Command::Erase(erase) => erase.run(context).await,
                Command::Audit(audit) => audit.run(context).await,
                Command::Stats(stats) => stats.run(context).await,
                Command::Doctor => doctor::run(context).await,
            }
        });
        // A look-up or a lock that a command no longer waits for does not keep the process.
        runtime.shutdown_timeout(Duration::from_secs(1));
        log.finish();
        done
    }
}

/// An error and its causes as one sentence. A cause that the sentence already holds is not said twice.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if sentence.is_empty() {
            sentence = cause;
        } else if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}

/// A parser that cannot fail: an error would show the text, and a password with it.
#[expect(clippy::unnecessary_wraps, reason = "clap wants a parser that could fail")]
fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(text))
}

fn page_limit(text: &str) -> Result<PageLimit, &'static str> {
    let limit = text.parse().ok().and_then(|limit| PageLimit::new(limit).ok());
    limit.ok_or("write a number from 1 to 200")
}

/// What names a user, as it was written.
fn named(text: &str) -> Result<String, String> {
    known_user(text).map(|_| text.to_owned())
}

/// The user under whose name something may be begun.
fn beginner(text: &str) -> Result<UserId> {
    if !UserId::is_name(text) {
        bail!(
            "a user is at most {} bytes of text without control characters: write another --user",
            UserId::MAX_NAME_BYTES
        );
    }
    known_user(text).map_err(Error::msg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn causes_are_folded_into_one_sentence() {
        let error = anyhow::anyhow!("connection refused")
            .context("the database is unavailable")
            .context("the turn is not stored: the database is unavailable");
        assert_eq!(
            sentence(&error),
            "the turn is not stored: the database is unavailable: connection refused"
        );
    }
}
