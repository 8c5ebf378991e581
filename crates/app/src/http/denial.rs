//! Who was not let in: counted, and recorded in the audit log, as far as somebody who knocks all night leaves room there.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use lcs_domain::{Actor, AuditAction, AuditDetail, AuditOutcome, NewAuditEvent};
use metrics::counter;
use tokio::time::Instant;

use super::service::Service;

/// How many refusals are recorded within [`WINDOW`]: what comes beyond that is only counted.
const RECORDED: u64 = 10;
const WINDOW: Duration = Duration::from_mins(1);

/// How many were refused lately.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<Lately>);

#[derive(Debug, Default)]
struct Lately {
    since: Option<Instant>,
    recorded: u64,
    unrecorded: u64,
}

impl Denials {
    /// Whether the one that happens now is to be recorded; if so, how many before it were not.
    fn take(&self) -> Option<u64> {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if lately.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            (lately.since, lately.recorded) = (Some(now), 0);
        }
        if lately.recorded >= RECORDED {
            lately.unrecorded += 1;
            return None;
        }
        lately.recorded += 1;
        Some(std::mem::take(&mut lately.unrecorded))
    }
}

impl Service {
    /// Counts that a request was refused with `status`, and records it, without anybody waiting for that.
    pub(super) fn deny(&self, status: StatusCode) {
        let status = match status {
            StatusCode::UNAUTHORIZED => "401",
            StatusCode::FORBIDDEN => "403",
            _ => return,
        };
        counter!("lcs_access_denied_total", "status" => status).increment(1);
        let Some(unrecorded) = self.denials().take() else { return };
        let event = NewAuditEvent {
            outcome: AuditOutcome::Refused,
            detail: AuditDetail::default().word("status", status).count("unrecorded_before", unrecorded),
            ..NewAuditEvent::done(Actor::unknown(), AuditAction::AccessDenied)
        };
        let repositories = self.repositories();
        self.tasks().spawn(async move {
            if let Err(error) = repositories.audit().record(event).await {
                tracing::warn!(error = %error, "a denied access is not in the audit log");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted_and_not_written_down_one_by_one() {
        let denials = Denials::default();
        for _ in 0..3 {
            let recorded = (0..1_000).filter(|_| denials.take().is_some()).count();
            assert_eq!(recorded as u64, RECORDED);
            tokio::time::advance(WINDOW).await;
        }
        assert_eq!(denials.take(), Some(990), "and the next one says how many there were");
    }
}
