//! The ports: what every store does, and what it promises while doing it.
//!
//! One method is one unit of work: no connection and no transaction crosses a port. Every method of a
//! user's port takes the [`UserId`]: there is no way to ask for a conversation without saying whose it
//! is. Absence is `Ok(None)` or `Ok(false)`; refusal is an error; another user's is absent (P9).
//!
//! What an operator does ([`RetentionRepository`], [`RetentionOverrideRepository`], [`HoldRepository`],
//! [`AuditRepository`], [`BrowseRepository`], [`TransferRepository`], [`ArchiveRepository`], [`AnalyticsRepository`], [`DiagnosticRepository`]) has ports of its
//! [`ErasureRepository`], [`AuditRepository`], [`BrowseRepository`], [`TransferRepository`], [`AnalyticsRepository`], [`DiagnosticRepository`]) has ports of its
//! own, and so has what stands in for the database while it is gone ([`JournalRepository`]).

mod agent_state;
mod analytics;
mod archive;
mod audit;
mod browse;
mod conversation;
mod diagnostic;
mod erasure;
mod hold;
mod journal;
mod request;
mod retention;
mod retention_override;
mod transfer;
mod turn;

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

pub use self::agent_state::AgentStateRepository;
pub use self::analytics::AnalyticsRepository;
pub use self::archive::ArchiveRepository;
pub use self::audit::AuditRepository;
pub use self::browse::BrowseRepository;
pub use self::conversation::ConversationRepository;
pub use self::diagnostic::DiagnosticRepository;
pub use self::erasure::ErasureRepository;
pub use self::hold::HoldRepository;
pub use self::journal::JournalRepository;
pub use self::request::RequestRepository;
pub use self::retention::RetentionRepository;
pub use self::retention_override::RetentionOverrideRepository;
pub use self::transfer::TransferRepository;
pub use self::turn::TurnRepository;
#[cfg(doc)]
use crate::UserId;
use crate::{Durability, PoolStatus, RepositoryError};

/// The result of a repository's method.
pub type RepositoryResult<T> = Result<T, RepositoryError>;

/// What a store can and cannot do: declared, so that nobody has to find out by failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// The backend's name: `postgresql`, `sqlite`, `memory`.
    pub backend: &'static str,
    /// How durable what it acknowledges is.
    pub durability: Durability,
    /// Whether other processes, on other machines too, see the same conversations.
    pub shared: bool,
}

/// A store: all its repositories, used as `Arc<dyn Repositories>`.
#[async_trait]
pub trait Repositories: Send + Sync {
    /// The conversations.
    fn conversations(&self) -> &dyn ConversationRepository;
    /// The turns.
    fn turns(&self) -> &dyn TurnRepository;
    /// The agent states.
    fn agent_states(&self) -> &dyn AgentStateRepository;
    /// The requests that are being answered.
    fn requests(&self) -> &dyn RequestRepository;
    /// What retention does.
    fn retention(&self) -> &dyn RetentionRepository;
    /// The users who have a retention of their own.
    fn retention_overrides(&self) -> &dyn RetentionOverrideRepository;
    /// The legal holds.
    fn holds(&self) -> &dyn HoldRepository;
    /// The erasures.
    fn erasures(&self) -> &dyn ErasureRepository;
    /// The audit log.
    fn audit(&self) -> &dyn AuditRepository;
    /// What an operator reads.
    fn browse(&self) -> &dyn BrowseRepository;
    /// What export and import do.
    fn transfers(&self) -> &dyn TransferRepository;
    /// What is moved to archives and back.
    fn archives(&self) -> &dyn ArchiveRepository;
    /// What `doctor` asks.
    fn diagnostics(&self) -> &dyn DiagnosticRepository;
    /// What an operator wants to know.
    fn analytics(&self) -> &dyn AnalyticsRepository;

    /// Asks the database for a sign of life. `Ok` means that it answered a query just now.
    async fn ping(&self) -> RepositoryResult<()>;

    /// What this store can do.
    fn capabilities(&self) -> Capabilities;

    /// How its connections are doing; `None` where it has none.
    fn pool_status(&self) -> Option<PoolStatus>;
}

#[async_trait]
impl<T: Repositories + ?Sized> Repositories for Arc<T> {
    fn conversations(&self) -> &dyn ConversationRepository {
        (**self).conversations()
    }

    fn turns(&self) -> &dyn TurnRepository {
        (**self).turns()
    }

    fn agent_states(&self) -> &dyn AgentStateRepository {
        (**self).agent_states()
    }

    fn requests(&self) -> &dyn RequestRepository {
        (**self).requests()
    }

    fn retention(&self) -> &dyn RetentionRepository {
        (**self).retention()
    }

    fn retention_overrides(&self) -> &dyn RetentionOverrideRepository {
        (**self).retention_overrides()
    }

    fn holds(&self) -> &dyn HoldRepository {
        (**self).holds()
    }

    fn erasures(&self) -> &dyn ErasureRepository {
        (**self).erasures()
    }

    fn audit(&self) -> &dyn AuditRepository {
        (**self).audit()
    }

    fn browse(&self) -> &dyn BrowseRepository {
        (**self).browse()
    }

    fn transfers(&self) -> &dyn TransferRepository {
        (**self).transfers()
    }

    fn archives(&self) -> &dyn ArchiveRepository {
        (**self).archives()
    }

    fn diagnostics(&self) -> &dyn DiagnosticRepository {
        (**self).diagnostics()
    }

    fn analytics(&self) -> &dyn AnalyticsRepository {
        (**self).analytics()
    }

    async fn ping(&self) -> RepositoryResult<()> {
        (**self).ping().await
    }

    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn pool_status(&self) -> Option<PoolStatus> {
        (**self).pool_status()
    }
}
