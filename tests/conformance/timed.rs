//! A store that is timed: as if nobody looked at the clock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lcs_app::telemetry::Timed;
use lcs_domain::{ConversationId, Durability, Repositories, RequestId};
use lcs_storage::conformance::Harness;

use crate::memory::MemoryHarness;

struct TimedHarness(MemoryHarness);

#[async_trait]
impl Harness for TimedHarness {
    async fn open(&self) -> Arc<dyn Repositories> {
        Arc::new(Timed::over(self.0.open().await))
    }

    async fn age(&self, conversation: ConversationId, by: Duration) {
        self.0.age(conversation, by).await;
    }

    async fn age_request(&self, request: RequestId, by: Duration) {
        self.0.age_request(request, by).await;
    }

    fn durability(&self) -> Durability {
        self.0.durability()
    }
}

lcs_storage::conformance_suite!(TimedHarness(MemoryHarness::new()));
