//! A worker: answers a harness's commands over a store of this program's.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use lcs_app::PersistenceManager;
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_storage::postgres::PostgresConfig;
use lcs_storage::sqlite::SqliteConfig;
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::api::Api;
use crate::dataset::{self, GROWN, Sizes};
use crate::protocol::{Answer, Command};
use crate::workload::{Host, Workload};
use crate::{Result, load};

/// How many connections there may be.
const POOL_SIZE: u32 = 32;

/// Which store a worker is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The PostgreSQL that `BENCH_PG_HOST`, `_PORT`, `_USER`, `_DB` and perhaps `_PASSWORD` name.
    Postgres,
    /// The file that `BENCH_SQLITE_PATH` names.
    Sqlite,
    /// This process's memory.
    Memory,
    /// The same PostgreSQL, through `lcs-persistence serve`.
    Http,
}

impl FromStr for Store {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "pg" => Ok(Self::Postgres),
            "sqlite" => Ok(Self::Sqlite),
            "memory" => Ok(Self::Memory),
            "http" => Ok(Self::Http),
            _ => Err(format!("there is no store {text:?}: write pg, sqlite, memory or http")),
        }
    }
}

/// A worker over one store.
#[derive(Debug)]
pub struct Worker {
    store: Store,
    sizes: Sizes,
    /// What the fallback's journal is in.
    folder: TempDir,
    /// From `setup` on.
    host: Option<Arc<Host>>,
}

impl Worker {
    /// A worker that has not connected to anything yet.
    ///
    /// # Errors
    /// A sentence, where the environment cannot be read or there is no room for the journal.
    pub fn new(store: Store) -> Result<Self> {
        Ok(Self { store, sizes: Sizes::from_environment()?, folder: tempfile::tempdir()?, host: None })
    }

    /// Answers a command.
    pub async fn answer(&mut self, command: Command) -> Answer {
        match self.obey(command).await {
            Ok(answer) => answer,
            Err(error) => Answer::Failed { error: error.to_string() },
        }
    }

    async fn obey(&mut self, command: Command) -> Result<Answer> {
        match command {
            Command::Hello => return Ok(self.hello()),
            Command::Setup => {
                self.open().await?;
                self.load().await?;
            }
            Command::Tables => self.open().await?,
            Command::Grow { n } => {
                self.grow(n).await?;
                return Ok(Answer::Done { ok: true, conv: Some(GROWN + n) });
            }
            Command::Run(run) => {
                let workload = Workload::from_str(&run.workload)?;
                return Ok(Answer::Measured(load::run(self.host()?, workload, &run, self.sizes).await?));
            }
            Command::Quit => self.host = None,
        }
        Ok(Answer::Done { ok: true, conv: None })
    }

    fn hello(&self) -> Answer {
        let (name, store) = match self.store {
            Store::Postgres => ("lcs-persistence-pg", "PostgreSQL"),
            Store::Sqlite => ("lcs-persistence-sqlite", "SQLite"),
            Store::Memory => ("lcs-persistence-memory", "memory"),
            Store::Http => ("lcs-persistence-http", "PostgreSQL, through its service"),
        };
        let all = format!("PersistenceManager over {store}, default configuration, pool of {POOL_SIZE}");
        let page = "payloads as JSON text, each checked once when it was stored; pages of at most 200 turns";
        let notes = [("*", all.as_str()), ("W3", page)].map(|(key, note)| (key.to_owned(), note.to_owned()));
        Answer::Hello {
            name: name.to_owned(),
            workloads: Workload::ALL.iter().map(ToString::to_string).collect(),
            notes: BTreeMap::from(notes),
        }
    }

    fn host(&self) -> Result<&Arc<Host>> {
        self.host.as_ref().ok_or_else(|| "there are no tables yet: send setup first".into())
    }

    async fn open(&mut self) -> Result<()> {
        let store = match self.store {
            Store::Postgres | Store::Http => StoreConfiguration::Postgresql(Box::new(postgres()?)),
            Store::Sqlite => StoreConfiguration::Sqlite(SqliteConfig::file(file()?)),
            Store::Memory => StoreConfiguration::Memory,
        };
        let mut configuration = Configuration::new(store);
        configuration.journal.folder = self.folder.path().join("journal");
        // W7 is how fast it goes, not how fast it may.
        configuration.retention_conversations_per_second = 0;
        let manager = PersistenceManager::initialize(configuration).await?;
        let mut host = Host::new(manager, self.sizes);
        if self.store == Store::Http {
            host = host.over(Api::serve(&url()?).await?);
        }
        self.host = Some(Arc::new(host));
        Ok(())
    }

    async fn load(&self) -> Result<()> {
        match self.store {
            Store::Postgres | Store::Http => dataset::load_postgres(&client().await?, self.sizes).await,
            Store::Sqlite => dataset::load_sqlite(&file()?, self.sizes),
            Store::Memory => dataset::load_memory(self.host()?.manager(), self.sizes).await,
        }
    }

    async fn grow(&self, turns: u64) -> Result<()> {
        match self.store {
            Store::Postgres | Store::Http => dataset::grow_postgres(&client().await?, turns).await,
            Store::Sqlite => dataset::grow_sqlite(&file()?, self.sizes, turns),
            Store::Memory => dataset::grow_memory(self.host()?.manager(), self.sizes, turns).await,
        }
    }
}

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|_| format!("{name} is not set: the harness sets it").into())
}

fn file() -> Result<PathBuf> {
    Ok(variable("BENCH_SQLITE_PATH")?.into())
}

fn postgres() -> Result<PostgresConfig> {
    Ok(PostgresConfig {
        host: variable("BENCH_PG_HOST")?,
        port: variable("BENCH_PG_PORT")?.parse()?,
        user: variable("BENCH_PG_USER")?,
        database: variable("BENCH_PG_DB")?,
        password: env::var("BENCH_PG_PASSWORD").ok().map(Into::into),
        pool_size: POOL_SIZE,
        max_overflow: 0,
        ..PostgresConfig::default()
    })
}

/// The same as an address.
fn url() -> Result<String> {
    let [host, port, user, database] =
        ["BENCH_PG_HOST", "BENCH_PG_PORT", "BENCH_PG_USER", "BENCH_PG_DB"].map(variable);
    let password = env::var("BENCH_PG_PASSWORD").map(|password| format!(":{password}")).unwrap_or_default();
    Ok(format!("postgres://{}{password}@{}:{}/{}", user?, host?, port?, database?))
}

/// A connection of its own, to load rows.
async fn client() -> Result<tokio_postgres::Client> {
    let mut config = tokio_postgres::Config::new();
    config.host(variable("BENCH_PG_HOST")?).port(variable("BENCH_PG_PORT")?.parse()?);
    config.user(variable("BENCH_PG_USER")?).dbname(variable("BENCH_PG_DB")?);
    if let Ok(password) = env::var("BENCH_PG_PASSWORD") {
        config.password(password);
    }
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
