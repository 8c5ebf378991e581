//! What the service's background tasks log: the database may be away for hours, and each of them tries again and again.

use std::fmt::Display;

use lcs_domain::trouble::Trouble;
use tokio::time::Instant;

/// The log of a task that tries again and again.
#[derive(Debug)]
pub(crate) struct TaskLog {
    task: &'static str,
    trouble: Trouble<Instant>,
}

impl TaskLog {
    /// Of the task that is called so in the log.
    pub(crate) fn of(task: &'static str) -> Self {
        Self { task, trouble: Trouble::default() }
    }

    /// Logs how a try has ended, where that is another way than before.
    pub(crate) fn note<T, E: Display>(&mut self, outcome: &Result<T, E>) {
        let (task, now) = (self.task, Instant::now());
        match outcome {
            Ok(_) => {
                if let Some(failed) = self.trouble.worked(now) {
                    let failed_ms = u64::try_from(failed.as_millis()).unwrap_or(u64::MAX);
                    tracing::info!(task, failed_ms, "a background task works again");
                }
            }
            Err(error) if self.trouble.failed(now, &error.to_string()) => {
                tracing::warn!(task, %error, "a background task fails: it tries again, and this is logged once");
            }
            Err(error) => tracing::debug!(task, %error, "a background task fails still"),
        }
    }
}
