//! The way in: from a configuration to the services.

mod journal;

use std::fmt;
use std::future::ready;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lcs_agent_cache::fallback::{FallbackMode, FallbackStatus};
use lcs_agent_cache::{CacheConfig, Fallback};
use lcs_domain::agent::{AgentError, AgentRuntime};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Clock, PageLimit, PayloadLimits, Repositories, RepositoryError, SystemClock};
use lcs_storage::memory::Memory;
use lcs_storage::sqlite::SqliteJournal;
use tokio::time::{sleep, timeout};

use crate::agent_manager::Parts;
use crate::archive::ArchiveFiles;
use crate::archive::step::Observer;
use crate::configuration::{Configuration, ModelConfiguration};
use crate::echo::EchoRuntime;
use crate::erasure_service::step::Observer as ErasureObserver;
use crate::responses::ResponsesRuntime;
use crate::task_log::TaskLog;
use crate::telemetry::Timed;
use crate::{
    AgentStatePersistenceService, AnalyticsService, ArchiveService, ConversationPersistenceService,
    DatabaseService, ErasureService, PersistentAgentManager, RetentionService,
};

/// How long a start waits for the database: then the service answers, if only that it is not ready.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait for a database that was not there at the start, before it is tried again.
const MIGRATION_PAUSE: Duration = Duration::from_secs(1);

/// All services over one store.
#[derive(Clone)]
pub struct PersistenceManager {
    database: DatabaseService,
    conversations: ConversationPersistenceService,
    agent_states: AgentStatePersistenceService,
    agents: PersistentAgentManager,
    retention: RetentionService,
    analytics: AnalyticsService,
    archives: ArchiveService,
    erasure: ErasureService,
    fallback: Arc<Fallback>,
    journal: Option<SqliteJournal>,
    runtime: Arc<dyn AgentRuntime>,
    clock: Arc<dyn Clock>,
    payload_limits: PayloadLimits,
    request_lease: Duration,
}

impl fmt::Debug for PersistenceManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistenceManager")
            .field("database", &self.database)
            .field("agents", &self.agents)
            .field("fallback", &self.fallback)
            .finish_non_exhaustive()
    }
}

impl PersistenceManager {
    /// Opens the configured store, brings its schema up to date, and makes the services over it, with
    /// agents of the configured model. The model's server is not called before it is needed.
    ///
    /// # Errors
    /// `Invalid` where the model's server cannot be called as it is configured, or the fallback's journal
    /// cannot be written, `Unavailable` where the database cannot be reached, `SchemaSkew` where its schema is newer than this program.
    pub async fn initialize(configuration: Configuration) -> RepositoryResult<Self> {
        Self::builder(configuration).initialize().await
    }

    /// The same in steps, for a host with agents, a store or a clock of its own.
    #[must_use]
    pub fn builder(configuration: Configuration) -> PersistenceManagerBuilder {
        PersistenceManagerBuilder {
            configuration,
            runtime: None,
            repositories: None,
            clock: Arc::new(SystemClock),
            is_operator: false,
            archive_files: None,
            archive_observer: Observer::default(),
            erasure_observer: ErasureObserver::default(),
        }
    }

    /// The store: its migrations and its health.
    #[must_use]
    pub const fn database(&self) -> &DatabaseService {
        &self.database
    }

    /// Conversations and turns, for hosts that call their own model.
    #[must_use]
    pub const fn conversation_service(&self) -> &ConversationPersistenceService {
        &self.conversations
    }

    /// Agent states, for hosts that keep their own agents.
    #[must_use]
    pub const fn agent_state_service(&self) -> &AgentStatePersistenceService {
        &self.agent_states
    }

    /// Agents that answer, and whose turns are stored.
    #[must_use]
    pub const fn agent_manager(&self) -> &PersistentAgentManager {
        &self.agents
    }

    /// Removes what has been idle too long.
    #[must_use]
    pub const fn retention(&self) -> &RetentionService {
        &self.retention
    }

    /// What retention has moved out of the database, and how it comes back.
    #[must_use]
    pub const fn archives(&self) -> &ArchiveService {
        &self.archives
    }

    /// Erases all that is of a user or a conversation.
    #[must_use]
    pub const fn erasure(&self) -> &ErasureService {
        &self.erasure
    }

    /// Reports of what is stored.
    #[must_use]
    pub const fn analytics(&self) -> &AnalyticsService {
        &self.analytics
    }

    /// The repositories that the services work on: the store, with the fallback before it.
    #[must_use]
    pub fn repositories(&self) -> Arc<dyn Repositories> {
        self.fallback.clone()
    }

    /// What makes the agents.
    #[must_use]
    pub const fn runtime(&self) -> &Arc<dyn AgentRuntime> {
        &self.runtime
    }

    /// Where time comes from.
    #[must_use]
    pub const fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The limits on one document.
    #[must_use]
    pub const fn payload_limits(&self) -> PayloadLimits {
        self.payload_limits
    }

    /// How long a request whose process is gone still counts as being answered.
    pub(crate) const fn request_lease(&self) -> Duration {
        self.request_lease
    }

    /// The journal of this process, where the fallback's mode has one.
    #[must_use]
    pub const fn journal(&self) -> Option<&SqliteJournal> {
        self.journal.as_ref()
    }

    /// Whether the services reach the store, or what stands in for it meanwhile.
    #[must_use]
    pub fn fallback_status(&self) -> FallbackStatus {
        self.fallback.status()
    }
}

/// A [`PersistenceManager`] in the making.
pub struct PersistenceManagerBuilder {
    configuration: Configuration,
    runtime: Option<Arc<dyn AgentRuntime>>,
    repositories: Option<Arc<dyn Repositories>>,
    clock: Arc<dyn Clock>,
    is_operator: bool,
    archive_files: Option<ArchiveFiles>,
    archive_observer: Observer,
    erasure_observer: ErasureObserver,
}

impl fmt::Debug for PersistenceManagerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistenceManagerBuilder")
            .field("configuration", &self.configuration)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

impl PersistenceManagerBuilder {
    /// Uses these agents instead of those of the configured model.
    #[must_use]
    pub fn runtime(mut self, runtime: Arc<dyn AgentRuntime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Uses this store instead of the configured one; it is taken as it is, without migrations.
    #[must_use]
    pub fn repositories(mut self, repositories: Arc<dyn Repositories>) -> Self {
        self.repositories = Some(repositories);
        self
    }

    /// Takes time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Keeps archives in this place instead of the configured one.
    #[must_use]
    pub fn archive_files(mut self, files: ArchiveFiles) -> Self {
        self.archive_files = Some(files);
        self
    }

    /// Tells `observer` of each step of archives.
    #[must_use]
    pub fn archive_observer(mut self, observer: Observer) -> Self {
        self.archive_observer = observer;
        self
    }

    /// Tells `observer` of each step of erasures.
    #[must_use]
    pub fn erasure_observer(mut self, observer: ErasureObserver) -> Self {
        self.erasure_observer = observer;
        self
    }

    /// For what an operator does over all users, retention: row-level security need not hold the role.
    #[must_use]
    pub const fn operator(mut self) -> Self {
        self.is_operator = true;
        self
    }

    /// Opens the store and makes the services; see [`PersistenceManager::initialize`].
    pub async fn initialize(self) -> RepositoryResult<PersistenceManager> {
        let is_operator = self.is_operator;
        let manager = self.open().await?;
        migrate(&manager.database, is_operator).await?;
        Ok(manager)
    }

    /// The same for a service that is to start while its database is not there yet: the schema is brought
    /// up to date as soon as it is. Until then the fallback's mode decides what is answered.
    ///
    /// # Errors
    /// What waiting does not cure; and that the database is not there, where the configuration requires it.
    pub async fn start(self) -> RepositoryResult<PersistenceManager> {
        let is_operator = self.is_operator;
        let is_required = self.configuration.require_database_at_start;
        let manager = self.open().await?;
        let database = manager.database.clone();
        let mut first: Attempt = Box::pin(async move { migrate(&database, is_operator).await });
        let attempt: Attempt = match timeout(START_PATIENCE, &mut first).await {
            Ok(Ok(())) => return Ok(manager),
            Ok(Err(error)) if is_required || !may_pass(&error) => return Err(error),
            Ok(Err(error)) => Box::pin(ready(Err(error))),
            Err(_) if is_required => {
                let reason = format!("it did not answer within {START_PATIENCE:?} of the start");
                return Err(RepositoryError::unavailable(reason));
            }
            Err(_) => first,
        };
        tracing::warn!("started without the database, or before its schema is current: it is tried again");
        tokio::spawn(migrate_when_there(manager.database.clone(), is_operator, attempt));
        Ok(manager)
    }

    async fn open(self) -> RepositoryResult<PersistenceManager> {
        let Self { configuration, runtime, repositories, clock, archive_files, archive_observer, .. } = self;
        let erasure_observer = self.erasure_observer;
        // Before anything else: who cannot keep the mode's promise does not start in that mode.
        let journal = match configuration.fallback.mode {
            FallbackMode::Journal => Some(journal::open(&configuration.journal, Arc::clone(&clock)).await?),
            _ => None,
        };
        let runtime = match runtime {
            Some(runtime) => runtime,
            None => runtime_of(&configuration.model)
                .map_err(|error| RepositoryError::invalid("/model", error.reason))?,
        };
        let database = match repositories {
            Some(repositories) => DatabaseService::over(repositories),
            None => DatabaseService::open(&configuration.store, Arc::clone(&clock)).await?,
        };
        let archival = (archive_files, archive_observer);
        let mut manager = compose(&configuration, database, journal, runtime, clock, archival).await?;
        manager.erasure = manager.erasure.with_observer(erasure_observer);
        Ok(manager)
    }
}

/// Brings the schema up to date, and refuses it where it does not keep users apart as it is configured to.
async fn migrate(database: &DatabaseService, is_operator: bool) -> RepositoryResult<()> {
    for migration in database.migrate().await? {
        tracing::info!(%migration, "applied a migration");
    }
    database.check_security(is_operator).await
}

/// A try to bring the schema up to date.
type Attempt = Pin<Box<dyn Future<Output = RepositoryResult<()>> + Send>>;

/// Goes on with `attempt`, and with others behind it.
async fn migrate_when_there(database: DatabaseService, is_operator: bool, mut attempt: Attempt) {
    let mut log = TaskLog::of("schema");
    loop {
        let migrated = attempt.await;
        log.note(&migrated);
        if migrated.is_ok() {
            break;
        }
        sleep(MIGRATION_PAUSE).await;
        let database = database.clone();
        attempt = Box::pin(async move { migrate(&database, is_operator).await });
    }
    tracing::info!("the database is there, and its schema is current");
}

/// Whether waiting may cure it: the database is gone, starts, is full, or somebody else is migrating it.
fn may_pass(error: &RepositoryError) -> bool {
    matches!(
        error,
        RepositoryError::Unavailable { .. }
            | RepositoryError::OutcomeUnknown { .. }
            | RepositoryError::Overloaded { .. }
            | RepositoryError::ReadOnly { .. }
            | RepositoryError::StorageFull { .. }
    )
}

/// The agents of the configured model.
fn runtime_of(model: &ModelConfiguration) -> Result<Arc<dyn AgentRuntime>, AgentError> {
    Ok(match model {
        ModelConfiguration::Echo => Arc::new(EchoRuntime),
        ModelConfiguration::Responses(config) => Arc::new(ResponsesRuntime::new((**config).clone())?),
    })
}

/// How many turns an agent that is made again is given: no fewer than its model wants to see again.
fn recent_turns(configuration: &Configuration) -> PageLimit {
    let wanted = match &configuration.model {
        ModelConfiguration::Echo => 0,
        ModelConfiguration::Responses(config) => config.history_turns.min(PageLimit::MAX.get()),
    };
    PageLimit::new(wanted.max(configuration.recent_turns.get())).unwrap_or(configuration.recent_turns)
}

/// Puts cache and fallback between the store and the services.
async fn compose(
    configuration: &Configuration,
    database: DatabaseService,
    journal: Option<SqliteJournal>,
    runtime: Arc<dyn AgentRuntime>,
    clock: Arc<dyn Clock>,
    (archive_files, archive_observer): (Option<ArchiveFiles>, Observer),
) -> RepositoryResult<PersistenceManager> {
    let memory_clock = Arc::clone(&clock);
    let memory = move || -> Arc<dyn Repositories> { Arc::new(Memory::new(Arc::clone(&memory_clock))) };
    let store: Arc<dyn Repositories> = Arc::new(Timed::over(database.repositories()));
    let fallback = match &journal {
        Some(journal) => journal::fallback(store, memory, configuration.fallback, journal).await?,
        None => Arc::new(Fallback::new(store, memory, configuration.fallback)),
    };
    let repositories: Arc<dyn Repositories> = fallback.clone();
    let policy = configuration.retention_policy()?;
    let per_second = NonZeroU32::new(configuration.retention_conversations_per_second);
    let url = configuration.archive_url.clone();
    let mut archives =
        ArchiveService::new(Arc::clone(&repositories), Arc::clone(&clock), policy, per_second, url);
    if let Some(files) = archive_files {
        archives = archives.with_files(files);
    }
    let archives = archives.with_observer(archive_observer);
    let retention = RetentionService::new(Arc::clone(&repositories), policy, per_second)
        .with_archives(archives.clone(), configuration.enable_archival);
    let analytics = AnalyticsService::new(Arc::clone(&repositories), policy);
    let agents = PersistentAgentManager::new(Parts {
        repositories: Arc::clone(&repositories),
        runtime: Arc::clone(&runtime),
        cache: CacheConfig::new(configuration.agent_cache_max_size, configuration.agent_cache_ttl)
            .with_max_bytes(configuration.agent_cache_max_bytes),
        clock: Arc::clone(&clock),
        retention: retention.clone(),
        enable_rehydration: configuration.enable_rehydration,
        recent_turns: recent_turns(configuration),
        payload_limits: configuration.payload_limits,
    });
    let erasure = ErasureService::new(
        database.clone(),
        agents.clone(),
        archives.clone(),
        fallback.clone(),
        configuration.journal.folder.clone(),
        Arc::clone(&clock),
    );
    Ok(PersistenceManager {
        database,
        conversations: ConversationPersistenceService::new(Arc::clone(&repositories)),
        agent_states: AgentStatePersistenceService::new(repositories),
        agents,
        retention,
        analytics,
        archives,
        erasure,
        fallback,
        journal,
        runtime,
        clock,
        payload_limits: configuration.payload_limits,
        request_lease: configuration.service.request_lease,
    })
}
