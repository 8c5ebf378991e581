//! Bugs that are put before the checker: each is found, with three seeds, and without one nothing is.
//!
//! The store below is the reference model, and each bug is one thing that a replica before it does wrong.

mod cache;
mod journal;
mod numbers;
mod replica;
mod state;
mod time;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lcs_domain::{Repositories, SystemClock};
use lcs_storage::memory::Memory;
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::TestPostgres;
use lcs_tests::chaos::checker::Kind;
use lcs_tests::chaos::replica::Replica;
use lcs_tests::chaos::stored::Stored;

use self::replica::{Bug, Buggy};
use crate::run;

const SEEDS: [u64; 3] = [1, 2, 3];
/// How long a run lasts, and how often it is tried: a bug is to be found within a minute.
const LASTS: Duration = Duration::from_millis(500);
const RUNS: u64 = 10;

fn memory() -> Arc<dyn Repositories> {
    Arc::new(Memory::new(Arc::new(SystemClock)))
}

/// Two replicas of one service that has this bug.
fn buggy(bug: Bug) -> Vec<Arc<dyn Replica>> {
    let store: Arc<dyn Replica> = Arc::new(Stored::new(memory()));
    let shared = Arc::default();
    (0..2).map(|number| Buggy::replica(bug, number, &store, &shared)).collect()
}

async fn found(bug: Bug, expected: &[Kind]) {
    for seed in SEEDS {
        let mut found = BTreeSet::new();
        for round in 0..RUNS {
            let verdict = run::judged(run::plan(seed + 100 * round), buggy(bug), LASTS).await;
            found.extend(verdict.anomalies.iter().map(|anomaly| anomaly.kind));
            if found.iter().any(|kind| expected.contains(kind)) {
                break;
            }
        }
        println!("{bug:?}, seed {seed}: {found:?}");
        assert!(found.iter().any(|kind| expected.contains(kind)), "{bug:?} with seed {seed}: only {found:?}");
    }
}

async fn nothing_found(replicas: Vec<Arc<dyn Replica>>, seed: u64, lasts: Duration, least: usize) {
    let verdict = run::judged(run::plan(seed), replicas, lasts).await;
    assert_eq!(verdict.anomalies, [], "seed {seed}");
    assert!(verdict.tally.wrong.is_empty(), "{:?}", verdict.tally.wrong);
    let done = verdict.tally.of_outcome("append", "ok");
    assert!(done >= least, "only {done} appends: {:?}", verdict.tally.operations);
    // Each kind of operation has been done, and refused.
    for operation in ["create", "append", "read", "state", "put", "list", "delete"] {
        assert!(verdict.tally.of_outcome(operation, "ok") > 0, "no {operation}");
    }
    assert!(verdict.tally.of_outcome("put", "failed") > 0, "nobody lost a compare-and-set");
    assert!(verdict.tally.of_outcome("append", "absent") > 0, "nobody appended to what was deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_bug_none_is_found() {
    for seed in SEEDS {
        nothing_found(buggy(Bug::None), seed, Duration::from_secs(2), 1_000).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_none_is_found() {
    let database = TestPostgres::migrated().await;
    let mut replicas: Vec<Arc<dyn Replica>> = Vec::new();
    for _ in 0..2 {
        let store = Postgres::connect(PostgresConfig::from_url(database.url()).unwrap()).await.unwrap();
        replicas.push(Arc::new(Stored::new(Arc::new(store))));
    }
    nothing_found(replicas, 1, Duration::from_secs(3), 100).await;
}

macro_rules! bugs {
    ($($name:ident: $bug:ident => $($kind:ident),+;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                found(Bug::$bug, &[$(Kind::$kind),+]).await;
            }
        )+
    };
}

bugs! {
    finds_that_nothing_is_known_by_its_key: NoDeduplication => Duplicate;
    finds_turns_in_the_order_of_clocks: OrderByTime => Reorder, RealTime;
    finds_a_greatest_number_read_without_a_lock: MaxPlusOne => Duplicate, Reorder, RealTime, Gap, Torn;
    finds_numbers_that_are_given_to_what_is_refused: BurnedNumber => Gap;
    finds_what_is_acknowledged_before_it_is_committed: EarlyAcknowledgement => Lost;
    finds_a_cache_that_is_not_checked: StaleCache => Stale;
    finds_a_lost_compare_and_set: LostCompareAndSet => LostUpdate;
    finds_a_turn_stored_without_its_state: TornAppend => Torn;
    finds_what_comes_back_after_its_deletion: Resurrection => Phantom;
    finds_a_refusal_that_was_done: RefusedButDone => Phantom;
    finds_a_journal_replayed_twice: ReplayedTwice => Duplicate;
    finds_a_journal_that_forgets: LostJournal => DurabilityLie;
    finds_that_nobody_asks_whose_it_is: NoOwner => Leak;
    finds_an_empty_history_during_an_outage: EmptyWhenDegraded => Stale;
}
