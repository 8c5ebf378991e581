//! A report of a store: the figures, how the database is doing, and a page that shows both.

mod database;
mod figure;
mod page;
mod plot;
pub(crate) mod text;

use lcs_agent_cache::CacheMetrics;
use lcs_domain::diagnostic::Finding;
use lcs_domain::{Analytics, DatabaseStatus};
use serde::Serialize;

pub(crate) use self::page::{CONVERSATIONS, STYLE, console_navigation, conversations_of};
pub use self::page::{content_security_policy, page};

/// What an operator wants to know of a store.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What is stored, and what happened in the window.
    pub analytics: Analytics,
    /// How the database is doing.
    pub database: DatabaseStatus,
    /// What is to be said of the database.
    pub findings: Vec<Finding>,
    /// How the agents in this process's memory are asked for; `None` where none are kept.
    pub cache: Option<CacheReport>,
}

/// How agents are found in memory, since the process was started.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CacheReport {
    /// Agents that were found.
    pub hits: u64,
    /// Agents that had to be made again.
    pub misses: u64,
    /// Agents that somebody else was making just then.
    pub coalesced: u64,
    /// Agents that are in memory now.
    pub agents: u64,
    /// The share of agents that need not be made again; `None` before the first was asked for.
    pub hit_ratio: Option<f64>,
}

impl From<&CacheMetrics> for CacheReport {
    fn from(metrics: &CacheMetrics) -> Self {
        let asked = metrics.hits + metrics.misses + metrics.coalesced;
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let hit_ratio = (asked > 0).then(|| (metrics.hits + metrics.coalesced) as f64 / asked as f64);
        Self {
            hits: metrics.hits,
            misses: metrics.misses,
            coalesced: metrics.coalesced,
            agents: metrics.size as u64,
            hit_ratio,
        }
    }
}
