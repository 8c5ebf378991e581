//! A run of purging: batch behind batch, and two at once where no pace is kept: while one waits for its commit, the other
//! one removes.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{RetentionPolicy, RetentionRepository};

use super::CleanupReport;
use crate::pace::Pace;

/// How many batches a run without a pace has under way.
const AT_ONCE: usize = 2;

/// How often in a row a paced run that finds others at it tries again with its next batch: they may be at one batch only.
const BUSY_TRIES: u32 = 5;

/// The same without a pace. Not once: the batch beside it may have been one of the others.
const UNPACED_BUSY_TRIES: u32 = 2;

/// Purges until nothing is left; `false` where it is left to others. What was removed is in `report`, also where a batch
/// fails: then no other one is begun, and what is under way is waited for.
pub(super) async fn all(
    retention: &dyn RetentionRepository,
    pace: &Pace,
    policy: RetentionPolicy,
    report: &mut CleanupReport,
    progress: &mut (dyn FnMut(u64) + Send),
) -> RepositoryResult<bool> {
    let limit = pace.batch();
    let batch = |number: u64| async move {
        let batch = async {
            pace.wait().await?;
            retention.purge_batch(policy, limit).await
        };
        (number, batch.await)
    };
    let (mut run, mut under_way, mut failed) = (Run::new(pace.is_kept()), FuturesUnordered::new(), None);
    loop {
        while under_way.len() < run.width && failed.is_none() {
            under_way.push(batch(run.begin()));
        }
        let Some((number, ended)) = under_way.next().await else { break };
        match ended {
            Ok(batch) => {
                report.count(&batch);
                let removed = batch.purged.len();
                progress(removed as u64);
                let is_full = removed >= limit.get() as usize;
                let end = match (batch.busy, is_full) {
                    (true, _) => End::Busy,
                    (false, true) => End::Full,
                    (false, false) => End::Short,
                };
                run.end(number, end);
            }
            Err(error) if failed.is_some() => {
                tracing::warn!(%error, "the batch beside one that failed has failed too");
            }
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(!run.is_left), Err)
}

/// What a batch came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// There may be more.
    Full,
    /// There was no more that nobody had locked.
    Short,
    /// As many others were at it as may at once.
    Busy,
}

/// How far a run is.
///
/// It has seen all when a batch found no more, and had begun after the end of each that was full or got no lane: such a one
/// may have locked what it then left.
struct Run {
    at_once: usize,
    busy_tries: u32,
    /// How many batches are to be under way now.
    width: usize,
    /// How many were begun.
    begun: u64,
    /// How many had been begun when the last one ended that was full or got no lane.
    begun_before: u64,
    /// Whether one of those that were begun since has found that there is no more.
    has_seen_all: bool,
    /// Whether any has.
    is_near_end: bool,
    /// How many in a row found others at it.
    busy: u32,
    /// Whether the rest is left to them.
    is_left: bool,
}

impl Run {
    const fn new(is_paced: bool) -> Self {
        let (at_once, busy_tries) = if is_paced { (1, BUSY_TRIES) } else { (AT_ONCE, UNPACED_BUSY_TRIES) };
        Self {
            at_once,
            busy_tries,
            width: at_once,
            begun: 0,
            begun_before: 0,
            has_seen_all: false,
            is_near_end: false,
            busy: 0,
            is_left: false,
        }
    }

    /// The number of the next batch.
    const fn begin(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    /// Decides how many are to be under way behind this end.
    fn end(&mut self, number: u64, end: End) {
        if end == End::Short {
            self.busy = 0;
            self.is_near_end = true;
            self.has_seen_all |= number > self.begun_before;
            self.width = usize::from(!self.has_seen_all);
            return;
        }
        (self.begun_before, self.has_seen_all) = (self.begun, false);
        if end == End::Full {
            self.busy = 0;
            self.width = if self.is_near_end { 1 } else { self.at_once };
        } else {
            // It is tried again when the one beside it has ended.
            self.busy += 1;
            self.is_left = self.busy >= self.busy_tries;
            self.width = usize::from(!self.is_left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::time::Duration;

    use async_trait::async_trait;
    use lcs_domain::{
        AgentId, ConversationId, Keeping, PageLimit, PurgeReason, PurgeReport, PurgedConversation,
        RepositoryError, UserId,
    };
    use lcs_storage::memory::Memory;
    use tokio::sync::{mpsc, oneshot};
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;
    use crate::paused_clock::PausedClock;

    type Answer = oneshot::Sender<RepositoryResult<PurgeReport>>;

    /// A store that hands each batch that is begun to the test, which says how it ends.
    struct Fake(mpsc::UnboundedSender<Answer>);

    #[async_trait]
    impl RetentionRepository for Fake {
        async fn purge_batch(&self, _: RetentionPolicy, _: PageLimit) -> RepositoryResult<PurgeReport> {
            let (answer, answered) = oneshot::channel();
            self.0.send(answer).unwrap();
            answered.await.unwrap()
        }

        async fn count_due(&self, _: RetentionPolicy) -> RepositoryResult<u64> {
            Ok(0)
        }

        async fn count_held(&self, _: RetentionPolicy) -> RepositoryResult<u64> {
            Ok(0)
        }

        async fn take_turn(&self, _: u32, _: NonZeroU32) -> RepositoryResult<Duration> {
            Ok(Duration::ZERO)
        }

        async fn purge_requests(&self, _: PageLimit) -> RepositoryResult<u64> {
            Ok(0)
        }

        async fn keeping(&self, _: UserId, _: Vec<ConversationId>) -> RepositoryResult<Keeping> {
            Ok(Keeping::default())
        }
    }

    /// What a run came to, what it reports, and what it told of its progress.
    type Ended = (Result<bool, String>, u64, Vec<u64>);

    struct Running {
        batches: mpsc::UnboundedReceiver<Answer>,
        run: JoinHandle<Ended>,
    }

    impl Running {
        fn at(per_second: u32) -> Self {
            let (sender, batches) = mpsc::unbounded_channel();
            let run = tokio::spawn(async move {
                let store = Arc::new(Memory::new(Arc::new(PausedClock::new())));
                let pace = Pace::new(NonZeroU32::new(per_second), store);
                let policy = RetentionPolicy::idle_longer_than(Duration::from_hours(1)).unwrap();
                let (mut report, mut told) = (CleanupReport::default(), Vec::new());
                let fake = Fake(sender);
                let ended = all(&fake, &pace, policy, &mut report, &mut |removed| told.push(removed)).await;
                (ended.map_err(|error| error.to_string()), report.total(), told)
            });
            Self { batches, run }
        }

        /// The batches that are begun now.
        async fn begun(&mut self) -> Vec<Answer> {
            let mut begun = Vec::new();
            // The time is paused: it goes on when nothing else does.
            while let Ok(Some(answer)) = timeout(Duration::from_secs(5), self.batches.recv()).await {
                begun.push(answer);
            }
            begun
        }

        async fn begins<const N: usize>(&mut self) -> [Answer; N] {
            let begun = self.begun().await;
            let count = begun.len();
            begun.try_into().unwrap_or_else(|_| panic!("{count} batches were begun, and not {N}"))
        }

        async fn ends(mut self) -> Ended {
            let [] = self.begins().await;
            timeout(Duration::from_secs(5), self.run).await.expect("the run is over").unwrap()
        }
    }

    const FULL: usize = PageLimit::MAX.get() as usize;

    fn removes(count: usize) -> PurgeReport {
        let gone = PurgedConversation {
            conversation_id: ConversationId::generate(),
            user_id: UserId::generate(),
            agent_id: AgentId::generate(),
            reason: PurgeReason::Expired,
        };
        PurgeReport { purged: vec![gone; count], busy: false }
    }

    fn busy() -> PurgeReport {
        PurgeReport { busy: true, ..PurgeReport::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn two_batches_are_under_way_until_there_is_no_more() {
        let mut running = Running::at(0);
        let [one, two] = running.begins().await;
        one.send(Ok(removes(FULL))).unwrap();
        let [three] = running.begins().await;
        three.send(Ok(removes(FULL))).unwrap();
        let [four] = running.begins().await;
        two.send(Ok(removes(FULL))).unwrap();
        let [five] = running.begins().await;
        five.send(Ok(removes(7))).unwrap();
        let [] = running.begins().await;
        four.send(Ok(removes(0))).unwrap();
        let (ended, total, told) = running.ends().await;
        assert_eq!((ended, total), (Ok(true), 3 * FULL as u64 + 7));
        assert_eq!(told, [FULL as u64, FULL as u64, FULL as u64, 7, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_pace_it_is_one_at_a_time() {
        let mut running = Running::at(10);
        for _ in 0..3 {
            let [batch] = running.begins().await;
            batch.send(Ok(removes(10))).unwrap();
        }
        for _ in 0..BUSY_TRIES - 1 {
            let [batch] = running.begins().await;
            batch.send(Ok(busy())).unwrap();
        }
        let [batch] = running.begins().await;
        batch.send(Ok(removes(9))).unwrap();
        assert_eq!(running.ends().await, (Ok(true), 39, vec![10, 10, 10, 0, 0, 0, 0, 9]));

        let mut running = Running::at(10);
        for _ in 0..BUSY_TRIES {
            let [batch] = running.begins().await;
            batch.send(Ok(busy())).unwrap();
        }
        assert_eq!(running.ends().await.0, Ok(false));
    }

    /// What a batch that is not full has passed over, the one beside it may have locked, and not have removed.
    #[tokio::test(start_paused = true)]
    async fn the_last_look_is_behind_the_last_batch_that_may_have_left_something() {
        for beside in [removes(FULL), busy()] {
            let mut running = Running::at(0);
            let [one, two] = running.begins().await;
            one.send(Ok(removes(3))).unwrap();
            let [] = running.begins().await;
            let removed = beside.purged.len() as u64;
            two.send(Ok(beside)).unwrap();
            let [last] = running.begins().await;
            last.send(Ok(removes(0))).unwrap();
            let (ended, total, _) = running.ends().await;
            assert_eq!((ended, total), (Ok(true), 3 + removed));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_for_which_others_leave_one_lane_goes_on_with_one_batch() {
        let mut running = Running::at(0);
        let [one, two] = running.begins().await;
        two.send(Ok(busy())).unwrap();
        let [] = running.begins().await;
        one.send(Ok(removes(FULL))).unwrap();
        // It is looked again whether there are two.
        let [one, two] = running.begins().await;
        two.send(Ok(busy())).unwrap();
        let [] = running.begins().await;
        one.send(Ok(removes(1))).unwrap();
        let [last] = running.begins().await;
        last.send(Ok(removes(0))).unwrap();
        let (ended, total, _) = running.ends().await;
        assert_eq!((ended, total), (Ok(true), FULL as u64 + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_gets_no_lane_leaves_it_to_others() {
        let mut running = Running::at(0);
        let [one, two] = running.begins().await;
        one.send(Ok(busy())).unwrap();
        let [] = running.begins().await;
        two.send(Ok(busy())).unwrap();
        assert_eq!(running.ends().await, (Ok(false), 0, vec![0, 0]));

        // Others have come that have both: what was removed before is told.
        let mut running = Running::at(0);
        let [one, two] = running.begins().await;
        one.send(Ok(removes(FULL))).unwrap();
        let [one] = running.begins().await;
        one.send(Ok(busy())).unwrap();
        let [] = running.begins().await;
        two.send(Ok(busy())).unwrap();
        let (ended, total, _) = running.ends().await;
        assert_eq!((ended, total), (Ok(false), FULL as u64));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_ends_the_run_and_nothing_that_was_removed_beside_it_is_left_out() {
        let failed = Err(RepositoryError::unavailable("the second"));
        for beside in [Ok(removes(FULL)), Ok(removes(3)), Ok(busy()), failed] {
            let mut running = Running::at(0);
            let [one, two] = running.begins().await;
            one.send(Ok(removes(FULL))).unwrap();
            let [three] = running.begins().await;
            two.send(Err(RepositoryError::unavailable("the first"))).unwrap();
            let [] = running.begins().await;
            assert!(!running.run.is_finished(), "the one beside it is waited for");
            let removed = beside.as_ref().map_or(0, |batch| batch.purged.len() as u64);
            three.send(beside).unwrap();
            let (ended, total, _) = running.ends().await;
            let first = RepositoryError::unavailable("the first").to_string();
            assert_eq!((ended, total), (Err(first), FULL as u64 + removed));
        }
    }
}
