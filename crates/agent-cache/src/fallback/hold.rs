//! Legal holds through the fallback: they are the primary's alone.

#![deny(clippy::missing_trait_methods)]

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Actor, Hold, HoldId, HoldRepository, HoldTarget, NewHold, PageLimit};

use super::Fallback;

/// What a refused operator is told.
const REFUSED: &str = "nothing can be held before, try again then";

#[async_trait]
impl HoldRepository for Fallback {
    async fn place(&self, hold: NewHold) -> RepositoryResult<Hold> {
        self.of_primary(REFUSED, self.primary.holds().place(hold)).await
    }

    async fn release(&self, hold_id: HoldId, released_by: Actor) -> RepositoryResult<Option<Hold>> {
        self.of_primary(REFUSED, self.primary.holds().release(hold_id, released_by)).await
    }

    async fn list_holds(&self, after: Option<HoldId>, limit: PageLimit) -> RepositoryResult<Vec<Hold>> {
        self.of_primary(REFUSED, self.primary.holds().list_holds(after, limit)).await
    }

    async fn holding(&self, target: HoldTarget) -> RepositoryResult<Vec<Hold>> {
        self.of_primary(REFUSED, self.primary.holds().holding(target)).await
    }
}
