//! The PostgreSQL store: shared by replicas, durable when it says so.
//!
//! Every method is one statement, parsed once a connection, and one round trip; what is decided on a row
//! is decided under its lock, in that statement. Writes run in tasks of their own, so that a caller who
//! gives up leaves nothing half done, and a statement whose connection dies is run again on a new one
//! within the call's deadline: writes under their keys, so that they happen once.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `config`, `ssl`, `connect` | how to reach a server, and why it could not be reached |
//! | `on_behalf`, `row_level_security` | statements that row-level security holds to one user |
//! | `locked` | statements that have locks before they look |
//! | `pool`, `operation`, `retry` | connections, running one statement on them, and how often that is tried |
//! | `source` | other systems' tables |
//! | `statement`, `json`, `schema`, `row` | how statements and rows are written and read |
//! | `error` | what PostgreSQL's refusals mean to the domain |
//! | `conversation`, `turn`, `agent_state`, `request` | the users' ports |
//! | `retention`, `retention_override`, `hold`, `archive`, `audit`, `browse`, `transfer`, `diagnostic`, `analytics`, `migration` | the operator's ports |
//! | `retention`, `retention_override`, `hold`, `erasure`, `audit`, `browse`, `transfer`, `diagnostic`, `analytics`, `migration` | the operator's ports |

mod agent_state;
mod analytics;
mod archive;
mod audit;
mod browse;
mod coalescer;
mod config;
mod connect;
mod conversation;
mod diagnostic;
mod erasure;
mod error;
mod hold;
mod in_place;
mod json;
mod locked;
mod migration;
mod on_behalf;
mod operation;
mod pool;
mod request;
mod retention;
mod retention_override;
mod retry;
mod row;
mod row_level_security;
mod schema;
mod source;
mod ssl;
mod statement;
mod transfer;
mod turn;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::Integer;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentStateRepository, AnalyticsRepository, ArchiveRepository, AuditRepository, BrowseRepository,
    Capabilities, ConversationRepository, DiagnosticRepository, Durability, ErasureRepository,
    HoldRepository, PoolStatus, Repositories, RequestRepository, RetentionOverrideRepository,
    RetentionRepository, TransferRepository, TurnRepository,
};

use self::coalescer::Coalescer;
pub use self::config::{Pooler, PostgresConfig, Server, SslMode, TargetSessionAttrs, UnknownSslMode};
use self::connect::{Connector, Purpose};
use self::conversation::Creation;
use self::error::Fault;
use self::operation::Effect;
pub use self::pool::NO_ANSWER_YET;
use self::pool::Pool;
use self::retention::PurgeFrom;
use self::retry::Operation;
use self::statement::statement;
use self::turn::Append;

/// A PostgreSQL store. Cheap to clone: clones share one pool.
#[derive(Clone)]
pub struct Postgres {
    pool: Arc<Pool>,
    /// The appends that wait for each other; `None` where each goes by itself.
    appends: Option<Arc<Coalescer<Append>>>,
    /// The same for conversations that are begun.
    creations: Option<Arc<Coalescer<Creation>>>,
    /// The one call that this value stands for, if it does.
    operation: Option<Arc<Operation>>,
    purge_from: PurgeFrom,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Postgres").field(self.pool.connector().config()).finish()
    }
}

impl Postgres {
    /// A store on the server that `config` names. It connects when it is first used: a server that is
    /// down now is no error here.
    ///
    /// # Errors
    /// `Invalid` where the CA file or the namespace cannot be used.
    #[expect(
        clippy::unused_async,
        reason = "the pool's tasks need the runtime that only an async caller has"
    )]
    pub async fn connect(config: PostgresConfig) -> RepositoryResult<Self> {
        let (coalesces, by_user) = (config.coalesce_appends, config.row_level_security);
        let appends = coalesces.then(|| Arc::new(Coalescer::new(by_user)));
        let creations = coalesces.then(|| Arc::new(Coalescer::new(by_user)));
        let pool = Arc::new(Pool::new(Connector::new(config)?));
        Ok(Self { pool, appends, creations, operation: None, purge_from: PurgeFrom::default() })
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }
}

statement! {
    /// A sign of life.
    Ping("SELECT 1") -> Integer {}
}

#[async_trait]
impl Repositories for Postgres {
    fn conversations(&self) -> &dyn ConversationRepository {
        self
    }

    fn turns(&self) -> &dyn TurnRepository {
        self
    }

    fn agent_states(&self) -> &dyn AgentStateRepository {
        self
    }

    fn requests(&self) -> &dyn RequestRepository {
        self
    }

    fn retention(&self) -> &dyn RetentionRepository {
        self
    }

    fn retention_overrides(&self) -> &dyn RetentionOverrideRepository {
        self
    }

    fn holds(&self) -> &dyn HoldRepository {
        self
    }

    fn erasures(&self) -> &dyn ErasureRepository {
        self
    }

    fn audit(&self) -> &dyn AuditRepository {
        self
    }

    fn browse(&self) -> &dyn BrowseRepository {
        self
    }

    fn transfers(&self) -> &dyn TransferRepository {
        self
    }

    fn archives(&self) -> &dyn ArchiveRepository {
        self
    }

    fn diagnostics(&self) -> &dyn DiagnosticRepository {
        self
    }

    fn analytics(&self) -> &dyn AnalyticsRepository {
        self
    }

    #[tracing::instrument(name = "db.ping", skip_all)]
    async fn ping(&self) -> RepositoryResult<()> {
        let answer = self.run::<i32>(Purpose::Service, Effect::Reads, &Ping {}).await;
        answer.map(|_| ()).map_err(Fault::into_error)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { backend: "postgresql", durability: Durability::Durable, shared: true }
    }

    fn pool_status(&self) -> Option<PoolStatus> {
        Some(self.pool().status())
    }
}
