//! How fast retention may go: so many conversations in a second, or as fast as it goes.
//!
//! Every process that works on a store takes its turns there, so that all together keep the pace.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lcs_domain::repository::RepositoryResult;
use lcs_domain::{PageLimit, Repositories};

/// How many conversations one batch removes at most: so few that its locks are short.
const BATCH: PageLimit = PageLimit::MAX;

/// The pace of what removes conversations.
#[derive(Clone)]
pub(crate) struct Pace {
    per_second: Option<NonZeroU32>,
    repositories: Arc<dyn Repositories>,
}

impl Pace {
    /// `None`: as fast as it goes.
    pub(crate) fn new(per_second: Option<NonZeroU32>, repositories: Arc<dyn Repositories>) -> Self {
        Self { per_second, repositories }
    }

    /// Whether there is a pace to be kept.
    pub(crate) const fn is_kept(&self) -> bool {
        self.per_second.is_some()
    }

    /// How many are removed at once: a second's worth, as far as that is no more than a batch may be. One short
    /// while of each second disturbs fewer than several.
    pub(crate) fn batch(&self) -> PageLimit {
        let paced = self.per_second.map(|rate| rate.get().min(BATCH.get()));
        paced.and_then(|batch| PageLimit::new(batch).ok()).unwrap_or(BATCH)
    }

    /// How many are removed in this time, and no fewer than one.
    pub(crate) fn within(&self, time: Duration) -> u32 {
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        self.per_second.map_or(u32::MAX, |rate| rate.get().saturating_mul(seconds).max(1))
    }

    /// Waits until the next batch may go.
    pub(crate) async fn wait(&self) -> RepositoryResult<()> {
        if let Some(rate) = self.per_second {
            let turn = self.repositories.retention().take_turn(self.batch().get(), rate).await?;
            tokio::time::sleep(turn).await;
        }
        Ok(())
    }
}
