//! `import`: conversations out of a file, or from standard input.

mod reject;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use indicatif::ProgressBar;
use lcs_app::PersistenceManager;
use lcs_app::llama_stack::{LlamaStack, LlamaStackConfig};
use lcs_app::transfer::arrival::{Arrival, Reject};
use lcs_app::transfer::compression::Compression;
use lcs_app::transfer::file;
use lcs_app::transfer::import::{Import as Importing, ImportListener, ImportReport};
use lcs_app::transfer::source::{langgraph, lcs_cache, llama_stack, openai_agents};
use lcs_domain::audit::AuditOutcome;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AuditAction, AuditDetail, NewAuditEvent, PayloadLimits, Repositories as _, UserId};
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::sqlite;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::reject::Rejects;
use super::operator::operator;
use super::stop::Stop;
use super::{Context, beginner};
use crate::output::text::count;
use crate::output::{Output, is_broken_pipe, note, progress};

/// How many batches are read ahead of the store.
const AHEAD: usize = 2;

#[derive(Args)]
pub(super) struct Import {
    /// The file, or - for standard input. Its end says how it is compressed: .gz or .zst. Of another system, its
    /// database: a file, or postgres://USER:PASSWORD@HOST:PORT/NAME, with ?namespace=SCHEMA behind it where its tables
    /// are in a schema of their own.
    #[arg(value_name = "SOURCE", value_parser = super::secret)]
    source: SecretString,
    /// What the source is.
    #[arg(long, value_name = "KIND", default_value = "export")]
    from: Kind,
    /// Whose conversations the sessions of a system become that knows no users: the name that signs in, or id: and the id that is shown.
    #[arg(long, value_name = "ID", value_parser = super::named)]
    user: Option<String>,
    /// Where LCS's metadata of conversations and turns are: a SQLite file, or a PostgreSQL URL as above.
    #[arg(long, value_name = "DATABASE", required_if_eq("from", "llama-stack"), value_parser = super::secret)]
    metadata: Option<SecretString>,
    /// The time zone that lcs-cache-postgres's server wrote times in; its own where it is not said.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Store nothing: only read and check, and look whether it is there already.
    #[arg(long)]
    dry_run: bool,
    /// Where to note what could not be imported, a JSON object for each [default: beside the file].
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

/// What an import can be from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A file that `export` wrote.
    Export,
    /// LCS's conversation cache in PostgreSQL.
    LcsCachePostgres,
    /// LCS's conversation cache in a SQLite file.
    LcsCacheSqlite,
    /// LangGraph's checkpoints in PostgreSQL.
    LanggraphPostgres,
    /// A Llama Stack's conversations, by HTTP; --metadata says whose they are.
    LlamaStack,
    /// The OpenAI Agents SDK's sessions in a SQLite file.
    OpenaiAgentsSqlite,
}

/// What is read, and how far it has come.
struct Source {
    arrivals: mpsc::Receiver<Arrival>,
    /// What is wrong with the source as a whole.
    done: JoinHandle<Result<()>>,
    bar: ProgressBar,
    position: Arc<AtomicU64>,
}

impl Import {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        // A dry run makes nothing: in a store that is not there, nothing is stored.
        let context = if self.dry_run { context.with_nothing() } else { context };
        let mut output = context.output;
        let limits = context.configuration.payload_limits;
        let configured = context.configuration.llama_stack.clone();
        let configured = configured.unwrap_or_else(|| LlamaStackConfig::new(String::new()));
        let rejects = self.rejects()?;
        let source = self.open(limits, configured).await?;
        let manager = PersistenceManager::builder(context.configuration).operator().initialize().await?;
        let mut stop = Stop::listen();
        let mut listener = Listener { rejects, bar: source.bar.clone(), position: source.position };
        let import = Importing::new(manager.repositories(), manager.clock().clone(), self.dry_run);
        let ended = import.run(source.arrivals, &mut listener, stop.requested()).await;
        listener.bar.finish_and_clear();
        let read = match &ended {
            // It has ended: nothing comes any more.
            Ok(report) if !report.stopped => {
                let read = source.done.await.context("the source could not be read").flatten();
                let how =
                    if report.seen() == 0 { "cannot be imported" } else { "is not imported to its end" };
                read.with_context(|| format!("{} {how}", self.shown()))
            }
            _ => Ok(()),
        };
        let recorded =
            if self.dry_run { Ok(()) } else { record(&manager, ended.as_ref().ok(), read.is_ok()).await };
        let is_whole = !self.dry_run && read.is_ok() && ended.as_ref().is_ok_and(|report| !report.stopped);
        let rejects = listener.rejects.close(is_whole);
        let report = ended.context("the import was not finished: run it again to go on")?;
        // What is stored is said, however the rest went; and the rest, where nobody reads the answer any more.
        // Of a source of which nothing came, there is only to say what is wrong with it.
        let said = if read.is_err() && report.seen() == 0 {
            Ok(())
        } else {
            self.say(&mut output, &report, rejects.as_ref().ok().and_then(Option::as_deref))
        };
        read?;
        recorded.context("the import cannot be recorded in the audit log")?;
        rejects?;
        let is_failed = report.rejected > 0 || report.stopped;
        match said {
            // Nobody reads the answer: the code says that it failed.
            Err(error) if is_failed && is_broken_pipe(&error) => {}
            said => said?,
        }
        Ok(if is_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Whose the conversations of a system become that knows no users.
    fn owner(&self) -> Result<UserId> {
        let user = self
            .user
            .as_deref()
            .context("this source names no user: say whose its conversations become, with --user")?;
        beginner(user)
    }

    async fn open(&self, limits: PayloadLimits, configured: LlamaStackConfig) -> Result<Source> {
        let (sender, arrivals) = mpsc::channel(AHEAD);
        let (position, path) = (Arc::new(AtomicU64::new(0)), PathBuf::from(self.source()));
        let mut bar = progress::counter();
        let done = match self.from {
            Kind::Export => {
                let (input, shown) = self.input(&position)?;
                bar = shown;
                tokio::task::spawn_blocking(move || Ok(file::read(input, limits, sender)?))
            }
            Kind::LcsCachePostgres => {
                let database = Postgres::connect(PostgresConfig::from_url(self.source())?).await?;
                let rows = database.lcs_cache(self.time_zone.clone());
                tokio::spawn(async move { Ok(lcs_cache::read(rows, limits, sender).await?) })
            }
            Kind::LcsCacheSqlite => {
                let rows = sqlite::source::lcs_cache(path);
                tokio::spawn(async move { Ok(lcs_cache::read(rows, limits, sender).await?) })
            }
            Kind::LanggraphPostgres => {
                let database = Postgres::connect(PostgresConfig::from_url(self.source())?).await?;
                let (threads, user) = (database.langgraph(), self.owner()?);
                tokio::spawn(async move { Ok(langgraph::read(threads, user, limits, sender).await?) })
            }
            Kind::LlamaStack => {
                let metadata = self.metadata();
                let rows = if is_postgres(metadata) {
                    Postgres::connect(PostgresConfig::from_url(metadata)?).await?.lcs_metadata()
                } else {
                    sqlite::source::lcs_metadata(PathBuf::from(metadata))
                };
                // Its key and certificates are those of the service; its address is written here.
                let config = LlamaStackConfig { url: self.source().to_owned(), ..configured };
                let stack = LlamaStack::new(&config).map_err(|error| anyhow!(error.reason))?;
                tokio::spawn(async move { Ok(llama_stack::read(rows, stack, limits, sender).await?) })
            }
            Kind::OpenaiAgentsSqlite => {
                let (rows, user) = (sqlite::source::openai_agents(path), self.owner()?);
                tokio::spawn(async move { Ok(openai_agents::read(rows, user, limits, sender).await?) })
            }
        };
        Ok(Source { arrivals, done, bar, position })
    }

    /// The file, and a bar over it.
    fn input(&self, position: &Arc<AtomicU64>) -> Result<(Box<dyn Read + Send>, ProgressBar)> {
        if self.source() == "-" {
            return Ok((Box::new(io::stdin()), progress::counter()));
        }
        let path = Path::new(self.source());
        let at = || format!("{} cannot be read", path.display());
        let file = File::open(path).with_context(at)?;
        let size = file.metadata().with_context(at)?.len();
        let mut read = BufReader::new(Counted { reader: file, position: Arc::clone(position) });
        // What is empty is no compressed file that was cut off.
        let is_empty = read.fill_buf().with_context(at)?.is_empty();
        let compression = if is_empty { Compression::None } else { Compression::of(path) };
        Ok((compression.reader(read).with_context(at)?, progress::bytes(size)))
    }

    fn source(&self) -> &str {
        self.source.expose_secret()
    }

    fn metadata(&self) -> &str {
        self.metadata.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default()
    }

    /// The source without its password, which a URL may have.
    fn shown(&self) -> &str {
        match self.from {
            Kind::LcsCachePostgres | Kind::LanggraphPostgres => "the source, a PostgreSQL database,",
            Kind::LlamaStack => "the Llama Stack",
            Kind::Export | Kind::LcsCacheSqlite | Kind::OpenaiAgentsSqlite => self.source(),
        }
    }

    /// The files that are read, none of which is a URL: that is said, and not quoted, for a password may be in it.
    fn files(&self) -> Result<Vec<&Path>> {
        let file = match self.from {
            Kind::LcsCachePostgres | Kind::LanggraphPostgres => return Ok(Vec::new()),
            Kind::LlamaStack if is_postgres(self.metadata()) => return Ok(Vec::new()),
            Kind::LlamaStack if self.metadata().contains("://") => {
                bail!("--metadata is neither a file nor a URL that begins with postgres:// or postgresql://")
            }
            Kind::LlamaStack => self.metadata(),
            Kind::Export | Kind::LcsCacheSqlite | Kind::OpenaiAgentsSqlite => self.source(),
        };
        if file.contains("://") {
            bail!(
                "the source is a URL where a file belongs: name a file, or say --from lcs-cache-postgres, \
                 --from langgraph-postgres or --from llama-stack"
            );
        }
        if file == "-" {
            return Ok(Vec::new());
        }
        let path = Path::new(file);
        if path.is_dir() {
            bail!("{file} is a folder: name the file that is to be imported");
        }
        if matches!(path.try_exists(), Ok(false)) {
            bail!("{file} cannot be read: there is no file of that name");
        }
        Ok(vec![path])
    }

    fn rejects(&self) -> Result<Rejects> {
        let files = self.files()?;
        let beside = || match self.from {
            Kind::Export | Kind::LcsCacheSqlite | Kind::OpenaiAgentsSqlite if self.source() != "-" => {
                PathBuf::from(format!("{}.rejects.jsonl", self.source()))
            }
            _ => PathBuf::from("import.rejects.jsonl"),
        };
        Rejects::at(self.rejects.clone().unwrap_or_else(beside), &files)
    }

    fn say(&self, output: &mut Output, report: &ImportReport, rejects: Option<&Path>) -> Result<()> {
        if output.is_json() {
            let mut answer = json!(report);
            let fields = answer.as_object_mut().ok_or_else(|| anyhow!("a report is an object"))?;
            fields.insert("dry_run".into(), self.dry_run.into());
            fields.insert("rejects".into(), json!(rejects));
            return Ok(output.json(&answer)?);
        }
        let verb = if self.dry_run { "Would import" } else { "Imported" };
        let mut line =
            format!("{verb} {} with {}", count(report.stored, "conversation"), count(report.turns, "turn"));
        if report.present > 0 {
            line = format!("{line}; {} there already", report.present);
        }
        if report.continued > 0 {
            line = format!("{line}; {} there already, and changed since", report.continued);
        }
        if report.rejected > 0 {
            line = format!("{line}; {} rejected", report.rejected);
        }
        output.line(&format!("{line}."))?;
        if let Some(rejects) = rejects {
            note(&format!("What was rejected, and why: {}", rejects.display()));
        }
        if report.stopped {
            note("Stopped. Run it again to go on.");
        }
        Ok(())
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// Records the import in the audit log, whose counts are not known where the store failed.
async fn record(
    manager: &PersistenceManager,
    report: Option<&ImportReport>,
    is_read: bool,
) -> RepositoryResult<()> {
    let mut event = NewAuditEvent::done(operator(), AuditAction::Import);
    if let Some(report) = report {
        event.detail = AuditDetail::default()
            .count("stored", report.stored)
            .count("turns", report.turns)
            .count("present", report.present)
            .count("continued", report.continued)
            .count("rejected", report.rejected);
    }
    if report.is_none_or(|report| report.stopped) || !is_read {
        event.outcome = AuditOutcome::Failed;
    }
    manager.repositories().audit().record(event).await
}

/// Counts the bytes that are read, compressed as they are.
struct Counted<R> {
    reader: R,
    position: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

struct Listener {
    rejects: Rejects,
    bar: ProgressBar,
    position: Arc<AtomicU64>,
}

impl ImportListener for Listener {
    fn rejected(&mut self, reject: &Reject) -> io::Result<()> {
        self.rejects.note(reject)
    }

    fn progress(&mut self, report: &ImportReport) {
        self.bar.set_position(self.position.load(Ordering::Relaxed));
        let seconds = self.bar.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        let turns_a_second = u64_of(precise(report.turns) / seconds);
        let rejected = report.rejected;
        let seen = count(report.seen(), "conversation");
        self.bar.set_message(format!("{seen}, {turns_a_second} turns/s, {rejected} rejected"));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate that people read")]
const fn precise(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate that people read")]
const fn u64_of(number: f64) -> u64 {
    number as u64
}
