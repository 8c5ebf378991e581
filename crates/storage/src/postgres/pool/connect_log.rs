//! What is logged of making connections: each reason why none can be made once an hour, and that one is made again.

use std::sync::{Arc, Mutex, PoisonError};

use lcs_domain::trouble::Trouble;
use tokio::time::Instant;

use crate::postgres::connect::ConnectFailure;

/// The log of one pool.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectLog(Arc<Mutex<Trouble<Instant>>>);

impl ConnectLog {
    pub(super) fn failed(&self, failure: &ConnectFailure) {
        let reason = &failure.reason;
        if let Some(away_ms) = self.trouble(|trouble| trouble.failed(Instant::now(), reason)) {
            tracing::warn!(
                reason,
                away_ms,
                "no connection to PostgreSQL: it is tried again, and this is logged once an hour"
            );
        } else {
            tracing::debug!(reason, "no connection to PostgreSQL still");
        }
    }

    pub(super) fn connected(&self) {
        if let Some(away_ms) = self.trouble(|trouble| trouble.worked(Instant::now())) {
            tracing::info!(away_ms, "connected to PostgreSQL again");
        }
    }

    fn trouble<R>(&self, look: impl FnOnce(&mut Trouble<Instant>) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
