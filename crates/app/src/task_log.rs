//! What the service's background tasks log: what each of them needs may be away for days, and it tries again and again.

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

    /// Logs how a try has ended, where that is another way than before, or has been the same for long.
    pub(crate) fn note<T, E: Display>(&mut self, outcome: &Result<T, E>) {
        let (task, now) = (self.task, Instant::now());
        match outcome {
            Ok(_) => {
                if let Some(failed_ms) = self.trouble.worked(now) {
                    tracing::info!(task, failed_ms, "a background task works again");
                }
            }
            Err(error) => {
                if let Some(failed_ms) = self.trouble.failed(now, &error.to_string()) {
                    tracing::warn!(
                        task,
                        %error,
                        failed_ms,
                        "a background task fails: it tries again, and this is logged once an hour"
                    );
                } else {
                    tracing::debug!(task, %error, "a background task fails still");
                }
            }
        }
    }
}
