//! Conversation persistence for agent services: conversations, turns and agent states that survive
//! restarts, are shared by replicas, and are never silently lost.
//!
//! [`PersistenceManager`] is the way in. It gives out the services:
//!
//! | service | what it does |
//! | --- | --- |
//! | [`PersistentAgentManager`] | talks to agents: makes or rehydrates them, stores each turn with the agent's state |
//! | [`ConversationPersistenceService`] | conversations and turns, for hosts that call their own model |
//! | [`AgentStatePersistenceService`] | agent states, revision by revision |
//! | [`RetentionService`] | removes what has been idle too long |
//! | [`ArchiveService`] | moves conversations to archives in place of removing them, and back |
//! | [`ErasureService`] | removes all that is of a user or a conversation, and certifies it |
//! | [`AnalyticsService`] | reports: what is stored, how it grows, and how the database is doing |
//! | [`DatabaseService`] | the store behind them all: its migrations and its health |

pub mod agent_manager;
mod agent_state_service;
mod analytics_service;
pub mod archive;
mod archive_service;
#[cfg(test)]
mod captured_log;
pub mod configuration;
mod conversation_service;
mod database_service;
pub mod echo;
mod endpoint;
pub mod erasure_service;
pub mod erasure_task;
mod exposed_address;
pub mod http;
mod known_user;
pub mod llama_stack;
pub mod monitor_task;
pub mod observer;
mod pace;
#[cfg(test)]
mod paused_clock;
mod persistence_manager;
pub mod report;
pub mod responses;
mod retention_service;
pub mod retention_task;
mod task_log;
pub mod telemetry;
pub mod transfer;

pub use agent_manager::PersistentAgentManager;
pub use agent_state_service::AgentStatePersistenceService;
pub use analytics_service::AnalyticsService;
pub use archive_service::{
    ArchiveService, Finding as ArchiveFinding, Leftover, Patience, RestoreReport, RestoreTarget, Unarchived,
    UnreadArchive, Unrestored, VerifyReport,
};
pub use conversation_service::ConversationPersistenceService;
pub use database_service::DatabaseService;
pub use erasure_service::ErasureService;
pub use known_user::known_user;
pub use persistence_manager::{PersistenceManager, PersistenceManagerBuilder};
pub use retention_service::{CleanupReport, Expiry, RetentionService};
