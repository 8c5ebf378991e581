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

/// What has to happen in runs before it says something that nothing is found in them.
const HAPPENS: [(&str, &str); 9] = [
    ("create", "ok"),
    ("append", "ok"),
    ("append", "absent"),
    ("read", "ok"),
    ("state", "ok"),
    ("put", "ok"),
    ("put", "failed"),
    ("list", "ok"),
    ("delete", "ok"),
];

/// Two replicas, and the database that they may need.
type Made = (Vec<Arc<dyn Replica>>, Option<TestPostgres>);

async fn nothing_found(seed: u64, made: impl AsyncFn() -> Made) {
    let mut happened = BTreeSet::new();
    for round in 0..RUNS * 2 {
        let seed = seed + 100 * round;
        // A store of its own: each run counts its conversations from the first.
        let (replicas, _database) = made().await;
        let verdict = run::judged(run::plan(seed), replicas, LASTS * 2).await;
        assert_eq!(verdict.anomalies, [], "seed {seed}");
        assert!(verdict.tally.wrong.is_empty(), "{:?}", verdict.tally.wrong);
        happened.extend(verdict.tally.operations.into_keys());
        if HAPPENS.iter().all(|outcome| happened.contains(outcome)) {
            return;
        }
    }
    panic!("with seed {seed}, only this happened: {happened:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_bug_none_is_found() {
    for seed in SEEDS {
        nothing_found(seed, async || (buggy(Bug::None), None)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_none_is_found() {
    let made = async || {
        let database = TestPostgres::migrated().await;
        let mut replicas: Vec<Arc<dyn Replica>> = Vec::new();
        for _ in 0..2 {
            let store = Postgres::connect(PostgresConfig::from_url(database.url()).unwrap()).await.unwrap();
            replicas.push(Arc::new(Stored::new(Arc::new(store))));
        }
        (replicas, Some(database))
    };
    nothing_found(1, made).await;
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
