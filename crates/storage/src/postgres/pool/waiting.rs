//! Who waits for a server that does not answer is told so before all patience is over: a program may show that.

use std::time::Duration;

use tokio::time::Instant;

use crate::postgres::config::PostgresConfig;

/// The target of the event that tells it, at `debug`: with the server's `address`, and `left_s`, for how many seconds it is
/// tried again.
pub const NO_ANSWER_YET: &str = "lcs_storage::no_answer_yet";

/// How long a connection may take before it is told.
pub(super) const NOTICED: Duration = Duration::from_millis(1500);

/// Tells that no server of `config` has answered yet, for which it is waited until `deadline` at most.
pub(super) fn tell(config: &PostgresConfig, deadline: Instant) {
    let most = config.operation_timeout.saturating_sub(NOTICED);
    let left = deadline.saturating_duration_since(Instant::now()).min(most);
    // A part of a second is one: nobody tries for up to none.
    let left_s = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    if left_s == 0 {
        return;
    }
    let address = config.address();
    tracing::debug!(target: NO_ANSWER_YET, address, left_s, "the database does not answer yet: it is tried again");
}
