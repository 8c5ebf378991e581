//! The operator's port for figures: of what is stored, and of the database that it is stored in.

use async_trait::async_trait;

use super::RepositoryResult;
use crate::{Analytics, AnalyticsWindow, DatabaseStatus, RetentionPolicy};

/// Says how much there is, of all users. Changes nothing, and holds nobody up.
#[async_trait]
pub trait AnalyticsRepository: Send + Sync {
    /// What there is, and what happened in the window; `policy` is what the forecast is made with.
    ///
    /// It takes a bounded time however much is stored: no payload is read, and of a large table a part only. What
    /// was looked at, and so whether a figure is an estimate, is said in the answer.
    async fn analyze(&self, window: AnalyticsWindow, policy: RetentionPolicy) -> RepositoryResult<Analytics>;

    /// How the database is doing. What a backend does not know is left out.
    async fn database_status(&self) -> RepositoryResult<DatabaseStatus>;
}
