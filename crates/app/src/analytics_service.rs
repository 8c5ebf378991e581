//! Reports: what is stored, how it grows, and how the database is doing.

use std::fmt;
use std::sync::Arc;

use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AnalyticsWindow, Repositories, RetentionPolicy};

use crate::report::Report;

/// Makes reports of a store.
#[derive(Clone)]
pub struct AnalyticsService {
    repositories: Arc<dyn Repositories>,
    policy: RetentionPolicy,
}

impl fmt::Debug for AnalyticsService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnalyticsService").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl AnalyticsService {
    /// Of this store, whose retention is foretold with `policy`.
    #[must_use]
    pub fn new(repositories: Arc<dyn Repositories>, policy: RetentionPolicy) -> Self {
        Self { repositories, policy }
    }

    /// A report of the last days.
    ///
    /// # Errors
    /// `Denied` where row-level security hides the users' rows from this role.
    pub async fn report(&self, window: AnalyticsWindow) -> RepositoryResult<Report> {
        let analytics = self.repositories.analytics().analyze(window, self.policy).await?;
        let database = self.repositories.analytics().database_status().await?;
        let findings = database.findings();
        Ok(Report { analytics, database, findings, cache: None })
    }
}
