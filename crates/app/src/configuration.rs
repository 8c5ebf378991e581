//! What the operator decides: the `persistence:` section of `lightspeed-stack.yaml`, a URL, the environment.
//!
//! Each key has LCS's documented name and default; `docs/CONFIGURATION.md` lists them all. The store is
//! the first that is said of: `--database-url`, the variable [`DATABASE_URL_VARIABLE`], the file's section,
//! and else a SQLite file in the platform's data folder. A password is held as a secret: neither
//! `Debug` nor any error shows it, and it never goes through a URL on its way to the server.

mod archive;
mod authentication;
mod database;
mod database_url;
mod document;
mod fallback;
mod file;
mod model;
mod operator;
mod problem;
mod reader;
mod service;
mod variable;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;
use lcs_agent_cache::fallback::FallbackConfig;
use lcs_domain::audit::AuditHash;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Actor, PageLimit, PayloadLimits, RetentionPolicy};
use lcs_storage::postgres::PostgresConfig;
use lcs_storage::sqlite::SqliteConfig;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::archive::ArchiveUrl;
use crate::llama_stack::LlamaStackConfig;

pub use self::authentication::{
    AuthenticationConfig, AuthenticationModule, JwkSource, JwkTokenConfig, TrustedProxyConfig,
};
pub use self::database::PASSWORD_VARIABLE;
pub use self::database_url::{DatabaseUrl, PostgresqlUrl};
use self::document::{Database, Fallback, Model, Persistence, Value};
pub use self::fallback::JournalConfiguration;
pub use self::model::ModelConfiguration;
pub use self::operator::OperatorConfig;
pub use self::problem::{ConfigurationError, Problem};
use self::reader::Reader;
pub use self::service::ServiceConfig;
pub use self::variable::Environment;

/// The environment variable that says which store to use, after `--database-url` and before the file.
pub const DATABASE_URL_VARIABLE: &str = "LCS_PERSISTENCE_DATABASE_URL";

/// Everything that is configured. Each field has its documented default but the store.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Where the conversations are.
    pub store: StoreConfiguration,
    /// How many agents are kept alive in memory.
    pub agent_cache_max_size: usize,
    /// How many bytes they have together at most.
    pub agent_cache_max_bytes: u64,
    /// How long an agent is kept alive after it was last stored.
    pub agent_cache_ttl: Duration,
    /// Whether an agent that is no longer in memory is made again from what is stored.
    pub enable_rehydration: bool,
    /// How many days a conversation may be idle before cleaning up removes it: at most 36,500.
    pub conversation_retention_days: u32,
    /// The same for one that is archived.
    pub archived_conversation_retention_days: u32,
    /// How many days what its user deleted is kept yet; 0: cleaning up removes it at once.
    pub deleted_conversation_retention_days: u32,
    /// How many conversations cleaning up removes in a second at most; 0: as many as it can.
    pub retention_conversations_per_second: u32,
    /// Whether what expires is archived before it is removed.
    pub enable_archival: bool,
    /// Where archives are; what is there can be restored whether archival is on or not.
    pub archive_url: Option<ArchiveUrl>,
    /// What happens while the database is gone.
    pub fallback: FallbackConfig,
    /// The journal of the fallback's mode of that name.
    pub journal: JournalConfiguration,
    /// Whether a start fails where the database is not there.
    pub require_database_at_start: bool,
    /// How large a document may be.
    pub payload_limits: PayloadLimits,
    /// How many of the newest turns an agent sees again when it is made again.
    pub recent_turns: PageLimit,
    /// How the service is reached, what it takes, and who is let in.
    pub service: ServiceConfig,
    /// Who answers.
    pub model: ModelConfiguration,
    /// The Llama Stack that conversations may still be in.
    pub llama_stack: Option<LlamaStackConfig>,
}

/// Where the conversations are.
#[derive(Debug, Clone)]
pub enum StoreConfiguration {
    /// In a PostgreSQL database.
    Postgresql(Box<PostgresConfig>),
    /// In a SQLite file.
    Sqlite(SqliteConfig),
    /// In this process's memory, gone with it.
    Memory,
}

impl StoreConfiguration {
    /// The same store, at which `actor` is at work: the audit log names them. In memory each user is themselves.
    #[must_use]
    pub fn acting_as(mut self, actor: Actor) -> Self {
        match &mut self {
            Self::Postgresql(config) => config.actor = Some(actor),
            Self::Sqlite(config) => config.actor = Some(actor),
            Self::Memory => {}
        }
        self
    }

    /// Who is at work; `None`: each user.
    pub(crate) fn actor(&self) -> Option<&Actor> {
        match self {
            Self::Postgresql(config) => config.actor.as_ref(),
            Self::Sqlite(config) => config.actor.as_ref(),
            Self::Memory => None,
        }
    }

    /// The same store, whose appends share a commit or do not. In memory there is none.
    fn coalescing_appends(mut self, coalesces: bool) -> Self {
        match &mut self {
            Self::Postgresql(config) => config.coalesce_appends = coalesces,
            Self::Sqlite(config) => config.coalesce_appends = coalesces,
            Self::Memory => {}
        }
        self
    }
}

impl Configuration {
    /// The defaults, with `store`.
    #[must_use]
    pub fn new(store: StoreConfiguration) -> Self {
        let mut reader = Reader::new(&|_| None, Vec::new());
        Self::read(&mut reader, &Persistence::default(), store)
    }

    /// The configuration of this process: of `file` and `database_url` where they are given, and of its environment.
    pub fn load(
        file: Option<&Path>,
        database_url: Option<&SecretString>,
    ) -> Result<Self, ConfigurationError> {
        Self::load_with(file, database_url, &|name| std::env::var_os(name))
    }

    /// As [`load`](Self::load), with another environment than the process's.
    pub fn load_with(
        file: Option<&Path>,
        database_url: Option<&SecretString>,
        environment: Environment<'_>,
    ) -> Result<Self, ConfigurationError> {
        let database_url = match database_url {
            Some(url) => Some(read_url("--database-url", url)?),
            None => variable::get(DATABASE_URL_VARIABLE, environment)
                .map_err(|message| {
                    ConfigurationError::new("the configuration", vec![Problem::new("", message)])
                })?
                .filter(|url| !url.is_empty())
                .map(|url| read_url(DATABASE_URL_VARIABLE, &SecretString::from(url)))
                .transpose()?,
        };
        let yaml = file.map(read_file).transpose()?.unwrap_or_default();
        let origin = file.map_or_else(|| "the configuration".into(), |file| file.display().to_string());
        Self::from_yaml_with(&yaml, database_url, environment)
            .map_err(|problems| ConfigurationError::new(origin, problems))
    }

    /// The configuration that the text of a `lightspeed-stack.yaml` holds.
    pub fn from_yaml(yaml: &str, environment: Environment<'_>) -> Result<Self, ConfigurationError> {
        Self::from_yaml_with(yaml, None, environment)
            .map_err(|problems| ConfigurationError::new("the configuration", problems))
    }

    fn from_yaml_with(
        yaml: &str,
        database_url: Option<DatabaseUrl>,
        environment: Environment<'_>,
    ) -> Result<Self, Vec<Problem>> {
        let (persistence, problems) = document::parse(yaml).map_err(|problem| vec![problem])?;
        let persistence = persistence.unwrap_or_default();
        let mut reader = Reader::new(environment, problems);
        let store = store(&mut reader, &persistence, database_url);
        let configuration = Self::read(&mut reader, &persistence, store);
        let problems = reader.into_problems();
        if problems.is_empty() { Ok(configuration) } else { Err(problems) }
    }

    /// A hash of all that is configured but the secrets, which `Debug` does not show: another configuration, and
    /// another version of the program, has another one.
    #[must_use]
    pub fn fingerprint(&self) -> AuditHash {
        let text = format!("{} {self:?}", env!("CARGO_PKG_VERSION"));
        AuditHash(Sha256::digest(text).into())
    }

    /// When a conversation may be purged.
    ///
    /// # Errors
    /// None within the ranges that the configuration has: more than a thousand years are refused.
    pub fn retention_policy(&self) -> RepositoryResult<RetentionPolicy> {
        let days = |days| Duration::from_hours(24) * days;
        RetentionPolicy::idle_longer_than(days(self.conversation_retention_days))?
            .archived_longer_than(days(self.archived_conversation_retention_days))?
            .deleted_longer_than(days(self.deleted_conversation_retention_days))
    }

    /// Everything but the store.
    fn read(reader: &mut Reader<'_>, persistence: &Persistence, store: StoreConfiguration) -> Self {
        let mut number = |name: &str, value: &Value, range, unit, default: u32| {
            reader.number(&format!("persistence.{name}"), value, range, unit, default)
        };
        let max_size =
            number("agent_cache_max_size", &persistence.agent_cache_max_size, 1..=1_000_000, "agents", 1_000);
        let agents_max_bytes = number(
            "agent_cache_max_bytes",
            &persistence.agent_cache_max_bytes,
            1_048_576..=u32::MAX,
            "bytes",
            268_435_456,
        );
        let ttl_seconds = number(
            "agent_cache_ttl_seconds",
            &persistence.agent_cache_ttl_seconds,
            1..=366 * 24 * 3_600,
            "seconds",
            3_600,
        );
        let days = number(
            "conversation_retention_days",
            &persistence.conversation_retention_days,
            1..=36_500,
            "days",
            90,
        );
        let archived_days = number(
            "archived_conversation_retention_days",
            &persistence.archived_conversation_retention_days,
            1..=36_500,
            "days",
            days,
        );
        let deleted_days = number(
            "deleted_conversation_retention_days",
            &persistence.deleted_conversation_retention_days,
            0..=36_500,
            "days",
            0,
        );
        let per_second = number(
            "retention_conversations_per_second",
            &persistence.retention_conversations_per_second,
            0..=1_000_000,
            "conversations",
            20,
        );
        let max_bytes = number(
            "max_document_bytes",
            &persistence.max_document_bytes,
            // PostgreSQL's jsonb cannot hold every document that is much larger.
            1_024..=16_777_216,
            "bytes",
            4_194_304,
        );
        let recent_turns =
            number("recent_turns", &persistence.recent_turns, 1..=PageLimit::MAX.get(), "turns", 20);
        let (enable_archival, archive_url) = archive::read(reader, persistence);
        let coalesces = reader.flag("persistence.coalesce_appends", &persistence.coalesce_appends, true);
        let store = store.coalescing_appends(coalesces);
        let section = persistence.fallback.as_ref();
        let (fallback, journal) = fallback::read(reader, section.unwrap_or(&Fallback::default()), &store);
        Self {
            store,
            agent_cache_max_size: size(max_size),
            agent_cache_max_bytes: agents_max_bytes.into(),
            agent_cache_ttl: Duration::from_secs(ttl_seconds.into()),
            enable_rehydration: reader.flag(
                "persistence.enable_rehydration",
                &persistence.enable_rehydration,
                true,
            ),
            conversation_retention_days: days,
            archived_conversation_retention_days: archived_days,
            deleted_conversation_retention_days: deleted_days,
            retention_conversations_per_second: per_second,
            enable_archival,
            archive_url,
            fallback,
            journal,
            require_database_at_start: reader.flag(
                "persistence.require_database_at_start",
                &persistence.require_database_at_start,
                false,
            ),
            payload_limits: PayloadLimits { max_bytes: size(max_bytes) },
            // Within the range above there is nothing that it refuses.
            recent_turns: PageLimit::new(recent_turns).unwrap_or_default(),
            service: service::read(reader, persistence),
            model: model::read(
                reader,
                persistence.model.as_ref().unwrap_or(&Model::default()),
                size(max_bytes),
            ),
            llama_stack: persistence.llama_stack.as_ref().map(|section| model::llama_stack(reader, section)),
        }
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The store: what the URL says, else what the section says, else the built-in default.
fn store(
    reader: &mut Reader<'_>,
    persistence: &Persistence,
    database_url: Option<DatabaseUrl>,
) -> StoreConfiguration {
    const TYPE: &str = "persistence.type";
    let kinds = [
        ("postgresql", Kind::Postgresql),
        ("postgres", Kind::Postgresql),
        ("sqlite", Kind::Sqlite),
        ("memory", Kind::Memory),
    ];
    // LCS's default is PostgreSQL, and it asks for a database then; without one there is our own.
    let default = if persistence.database.is_some() { Kind::Postgresql } else { Kind::Sqlite };
    let kind = reader.word(TYPE, &persistence.kind, &kinds, "postgresql, sqlite or memory", default);
    let database = persistence.database.as_ref();
    let (kind, url) = match database_url {
        Some(DatabaseUrl::Postgresql(url)) => (Kind::Postgresql, Some(*url)),
        Some(DatabaseUrl::Sqlite(path)) => return StoreConfiguration::Sqlite(SqliteConfig::file(path)),
        Some(DatabaseUrl::Memory) => return StoreConfiguration::Memory,
        None => (kind, None),
    };
    match kind {
        Kind::Postgresql => {
            let database = database::read(reader, database.unwrap_or(&Database::default()), url);
            StoreConfiguration::Postgresql(Box::new(database))
        }
        Kind::Sqlite => StoreConfiguration::Sqlite(SqliteConfig::file(sqlite_path(reader, persistence))),
        Kind::Memory => StoreConfiguration::Memory,
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Postgresql,
    Sqlite,
    Memory,
}

fn sqlite_path(reader: &mut Reader<'_>, persistence: &Persistence) -> PathBuf {
    const PATH: &str = "persistence.sqlite.path";
    let path = persistence.sqlite.as_ref().and_then(|sqlite| reader.path(PATH, &sqlite.path));
    path.or_else(default_sqlite_path).unwrap_or_else(|| {
        reader.problem(PATH, "there is no home folder to put the default into: write the path of a file");
        PathBuf::new()
    })
}

/// `lcs-persistence/conversations.sqlite` in the platform's data folder: where the conversations are when
/// nothing is said of it. `None` without a home folder.
#[must_use]
pub fn default_sqlite_path() -> Option<PathBuf> {
    Some(data_folder()?.join("conversations.sqlite"))
}

/// Our folder in the platform's data folder. `None` without a home folder.
fn data_folder() -> Option<PathBuf> {
    let folders = etcetera::choose_base_strategy().ok()?;
    Some(folders.data_dir().join("lcs-persistence"))
}

fn read_url(origin: &str, url: &SecretString) -> Result<DatabaseUrl, ConfigurationError> {
    DatabaseUrl::parse(url.expose_secret())
        .map_err(|message| ConfigurationError::new(origin, vec![Problem::new("", message)]))
}

fn read_file(file: &Path) -> Result<String, ConfigurationError> {
    fs::read_to_string(file).map_err(|error| {
        let message = match error.kind() {
            io::ErrorKind::InvalidData => "it is not UTF-8 text: save it as UTF-8".to_owned(),
            kind => reason(kind),
        };
        ConfigurationError::new(format!("{} cannot be read", file.display()), vec![Problem::new("", message)])
    })
}

/// Why a file cannot be read, for people.
fn reason(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "this process may not read it".into(),
        io::ErrorKind::IsADirectory => "it is a folder".into(),
        kind => kind.to_string(),
    }
}
