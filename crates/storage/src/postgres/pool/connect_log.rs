//! What is logged of making connections: each reason why none can be made once, and that one is made again.

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
        if self.trouble(|trouble| trouble.failed(Instant::now(), reason)) {
            tracing::warn!(reason, "no connection to PostgreSQL: it is tried again, and this is logged once");
        } else {
            tracing::debug!(reason, "no connection to PostgreSQL still");
        }
    }

    pub(super) fn connected(&self) {
        if let Some(away) = self.trouble(|trouble| trouble.worked(Instant::now())) {
            let away_ms = u64::try_from(away.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(away_ms, "connected to PostgreSQL again");
        }
    }

    fn trouble<R>(&self, look: impl FnOnce(&mut Trouble<Instant>) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
