//! Legal holds through the fallback: they are the primary's alone.

#![deny(clippy::missing_trait_methods)]

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Actor, Hold, HoldId, HoldRepository, HoldTarget, NewHold, PageLimit};

use super::Fallback;
use super::route::{Route, Subject};

/// What a refused operator is told.
const REFUSED: &str = "nothing can be held before, try again then";

#[async_trait]
impl HoldRepository for Fallback {
    async fn place(&self, hold: NewHold) -> RepositoryResult<Hold> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => self.watched(epoch, self.primary.holds().place(hold)).await,
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn release(&self, hold_id: HoldId, released_by: Actor) -> RepositoryResult<Option<Hold>> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.holds().release(hold_id, released_by)).await
            }
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn list_holds(&self, after: Option<HoldId>, limit: PageLimit) -> RepositoryResult<Vec<Hold>> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => self.watched(epoch, self.primary.holds().list_holds(after, limit)).await,
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn holding(&self, target: HoldTarget) -> RepositoryResult<Vec<Hold>> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => self.watched(epoch, self.primary.holds().holding(target)).await,
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }
}
