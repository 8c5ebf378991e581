//! Retention inside the service: what has been idle too long is removed again and again, while it runs.
//!
//! Each replica has such a task. The store lets so many batches be under way at once (PostgreSQL two), and tells the others so.

use std::time::Duration;

use lcs_domain::RequestId;
use metrics::{counter, gauge};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::archive_service::Patience;
use crate::task_log::TaskLog;
use crate::{PersistenceManager, telemetry};

/// The longest that the first run waits: replicas that start together do not all begin together.
const MAX_JITTER: Duration = Duration::from_mins(5);

/// Runs the retention every `interval` until it is told to stop. What a run has removed by then stays removed, and the archive
/// that it was at is given up, so that no other replica waits for it.
pub async fn run(manager: PersistenceManager, interval: Duration, stop: CancellationToken) {
    let mut ticks = interval_at(Instant::now() + jitter(interval.min(MAX_JITTER)), interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let runs = async {
        let mut log = TaskLog::of("retention");
        loop {
            ticks.tick().await;
            run_once(&manager, &mut log).await;
        }
    };
    tokio::select! {
        () = runs => {}
        () = stop.cancelled() => {}
    }
    manager.archives().let_go_in_time().await;
}

/// A time up to `most`, another one for each process.
fn jitter(most: Duration) -> Duration {
    let id = RequestId::generate();
    let [.., high, low] = *id.as_uuid().as_bytes();
    most * u32::from(u16::from_be_bytes([high, low])) / u32::from(u16::MAX)
}

async fn run_once(manager: &PersistenceManager, log: &mut TaskLog) {
    let report = manager.retention().cleanup(Patience::Leaves, |_| ()).await;
    // Where others are at it, nothing is known of whether it would work here.
    if !report.as_ref().is_ok_and(|report| report.busy) {
        log.note(&report);
    }
    let outcome = match report {
        Ok(report) if report.busy => "busy",
        Ok(report) => {
            telemetry::set("lcs_retention_unarchived", report.unarchived.len() as u64);
            "done"
        }
        Err(_) => "failed",
    };
    counter!("lcs_retention_runs_total", "outcome" => outcome).increment(1);
    if outcome != "failed" {
        let now = telemetry::seconds(manager.clock().now());
        gauge!("lcs_retention_last_run_timestamp_seconds").set(now);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lcs_domain::{
        ArchiveId, Clock as _, ManualClock, NewConversation, Repositories as _, RetentionPolicy, SystemClock,
        Text, UserId,
    };
    use lcs_storage::memory::Memory;

    use super::*;
    use crate::archive::ArchiveUrl;
    use crate::captured_log::CapturedLog;
    use crate::configuration::{Configuration, StoreConfiguration};

    #[tokio::test(start_paused = true)]
    async fn what_is_idle_too_long_is_removed_again_and_again_until_the_stop() {
        const INTERVAL: Duration = Duration::from_hours(1);
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let store = Arc::new(Memory::new(clock.clone()));
        let manager = PersistenceManager::builder(Configuration::new(StoreConfiguration::Memory))
            .repositories(store.clone())
            .clock(clock.clone())
            .initialize()
            .await
            .unwrap();
        let policy = RetentionPolicy::idle_longer_than(Duration::ZERO).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(manager, INTERVAL, stop.clone()));
        for _ in 0..3 {
            let new = NewConversation::begin(Text::name("m", "/model_id").unwrap());
            store.conversations().create(UserId::generate(), new).await.unwrap();
            clock.advance(Duration::from_hours(24 * 365));
            assert_eq!(store.retention().count_due(policy).await.unwrap(), 1);
            // Time that is paused goes on when there is nothing else to do.
            tokio::time::sleep(INTERVAL + MAX_JITTER).await;
            assert_eq!(store.retention().count_due(policy).await.unwrap(), 0);
        }
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_lasts_is_logged_once_an_hour_and_so_is_its_end() {
        const INTERVAL: Duration = Duration::from_mins(10);
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = folder.path().join("archive");
        std::fs::write(&in_the_way, "").unwrap();
        let archive_url = ArchiveUrl::parse(&format!("file://{}/here", in_the_way.display())).unwrap();
        let configuration = Configuration {
            enable_archival: true,
            archive_url: Some(archive_url),
            // Each run takes no time.
            retention_conversations_per_second: 0,
            ..Configuration::new(StoreConfiguration::Memory)
        };
        let manager = PersistenceManager::initialize(configuration).await.unwrap();
        let (log, _guard) = CapturedLog::begin();
        let lines = |word: &str| {
            let lines: Vec<String> = log.text().lines().map(str::to_owned).collect();
            lines.into_iter().filter(|line| line.contains(word)).collect::<Vec<_>>()
        };
        let stop = CancellationToken::new();
        let store = manager.repositories();
        let archives = store.archives();
        let task = tokio::spawn(run(manager, INTERVAL, stop.clone()));
        tokio::time::sleep(MAX_JITTER + Duration::from_mins(3 * 60 + 1)).await;
        let failures = lines(" WARN ");
        assert_eq!(failures.len(), 4, "{failures:#?}");
        for (failed, hours) in failures.iter().zip(0..) {
            assert!(failed.contains("task=\"retention\"") && failed.contains("here"), "{failed}");
            assert!(failed.ends_with(&format!(" failed_ms={}", hours * 3_600_000)), "{failed}");
        }

        std::fs::remove_file(&in_the_way).unwrap();
        let of_another = ArchiveId::generate();
        archives.begin_archive(of_another, Duration::ZERO).await.unwrap();
        tokio::time::sleep(2 * INTERVAL).await;
        assert_eq!(lines("works again").len(), 0, "what is left to another one says nothing: {}", log.text());
        archives.give_up_archive(of_another).await.unwrap();
        archives.forget_archive(of_another).await.unwrap();
        tokio::time::sleep(2 * INTERVAL).await;
        assert_eq!(lines("works again").len(), 1, "{}", log.text());
        assert_eq!(lines(" WARN ").len(), 4, "{}", log.text());
        stop.cancel();
        task.await.unwrap();
    }

    #[test]
    fn the_first_run_comes_within_the_jitter() {
        assert!((0..100).all(|_| jitter(MAX_JITTER) <= MAX_JITTER));
    }
}
