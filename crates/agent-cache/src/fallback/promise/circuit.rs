//! When the circuit opens and closes, and who is asked meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use lcs_domain::{ConversationRepository as _, Durability, Entity};
use tokio::time::{Instant, advance, sleep};
use tracing::{Event, Level, Metadata, span};

use super::super::fake::outcome_unknown;
use super::super::{CircuitState, VolatileCount};
use super::*;

#[tokio::test(start_paused = true)]
async fn p8_a_closed_circuit_is_the_primary() {
    let stage = Stage::new(FallbackMode::Memory);
    let made = stage.begin().await;
    assert_eq!(made.durability, Durability::Durable);
    for (name, result) in stage.all(stage.user_id, &made).await {
        assert!(result.is_ok(), "{name}: {result:?}");
    }
    for (name, result) in stage.never(&made).await {
        assert!(result.is_ok(), "{name}: {result:?}");
    }
    for (name, result) in stage.asks().await {
        assert!(result.is_ok(), "{name}: {result:?}");
    }
    assert_eq!(stage.primary.called(), 24, "every method is one call");
    assert!(stage.memories.lock().unwrap().is_empty());
    assert_eq!(stage.fallback.capabilities(), stage.primary.capabilities());
}

#[tokio::test(start_paused = true)]
async fn p8_it_opens_after_failures_in_a_row_and_then_the_primary_is_left_alone() {
    for fault in [unavailable, outcome_unknown] {
        let stage = Stage::new(FallbackMode::Refuse);
        stage.primary.fail_with(Some(fault));
        for _ in 0..2 {
            stage.list().await.unwrap_err();
            assert_eq!(stage.fallback.status().state, CircuitState::Closed);
        }
        let last = stage.list().await.unwrap_err();
        assert_eq!(last.to_string(), fault().to_string(), "what opens it is answered as it is");
        assert_eq!(
            (stage.fallback.status().state, stage.fallback.status().openings),
            (CircuitState::Open, 1)
        );
        for _ in 0..10 {
            assert!(is_unavailable(&stage.list().await));
        }
        assert_eq!(stage.primary.called(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn p8_a_list_of_summaries_that_fails_counts_as_any_call() {
    let stage = Stage::new(FallbackMode::Refuse);
    stage.primary.fail_with(Some(unavailable));
    for openings in [0, 0, 1, 1] {
        assert!(is_unavailable(&stage.summaries().await));
        assert_eq!(stage.fallback.status().openings, openings);
    }
    assert_eq!(stage.primary.called(), 3);
}

#[tokio::test(start_paused = true)]
async fn p8_a_typed_refusal_is_a_sign_of_life() {
    let refusals: [fn() -> RepositoryError; 7] = [
        || RepositoryError::not_found(Entity::Conversation),
        || RepositoryError::AlreadyExists { entity: Entity::Conversation },
        || RepositoryError::Conflict { entity: Entity::AgentState, expected: 1, observed: 2 },
        || RepositoryError::Closed { entity: Entity::Conversation },
        || RepositoryError::IdempotencyMismatch { turn_id: TurnId::generate() },
        || RepositoryError::ReadOnly { reason: "a standby".to_owned() },
        || RepositoryError::StorageFull { reason: "no room".to_owned() },
    ];
    let stage = Stage::new(FallbackMode::Refuse);
    for refusal in refusals {
        for fault in [unavailable, unavailable, refusal, refusal, refusal, refusal, unavailable, unavailable]
        {
            stage.primary.fail_with(Some(fault));
            stage.list().await.unwrap_err();
        }
        stage.primary.fail_with(None);
        stage.list().await.unwrap();
    }
    assert_eq!(stage.fallback.status().openings, 0);
}

#[tokio::test(start_paused = true)]
async fn p8_what_says_nothing_about_the_primary_neither_opens_nor_resets() {
    let silences: [fn() -> RepositoryError; 3] = [
        || RepositoryError::Overloaded { reason: "no connection was free".to_owned() },
        || RepositoryError::invalid("", "no"),
        || RepositoryError::TooLarge { pointer: String::new(), size_bytes: 2, limit_bytes: 1 },
    ];
    for silence in silences {
        let stage = Stage::new(FallbackMode::Refuse);
        for fault in [silence, silence, silence, unavailable, silence, unavailable, silence] {
            stage.primary.fail_with(Some(fault));
            stage.list().await.unwrap_err();
            assert_eq!(stage.fallback.status().openings, 0);
        }
        stage.primary.fail_with(Some(unavailable));
        stage.list().await.unwrap_err();
        assert_eq!(stage.fallback.status().openings, 1, "three of them, with a pool that hangs in between");
    }
}

#[tokio::test(start_paused = true)]
async fn p8_a_probe_every_interval_and_the_first_that_succeeds_closes() {
    let stage = Stage::new(FallbackMode::Refuse);
    stage.outage().await;
    let mut pings = 0;
    while pings < 50 {
        let before = Instant::now();
        while stage.primary.pinged() == pings {
            sleep(Duration::from_millis(1)).await;
        }
        pings += 1;
        let pause = before.elapsed();
        let jitter = Duration::from_millis(799)..=Duration::from_millis(1203);
        assert!(jitter.contains(&pause), "a second, give or take a fifth: {pause:?}");
        assert_eq!(stage.fallback.status().state, CircuitState::Open);
    }
    assert!(stage.fallback.status().open_for.unwrap() > Duration::from_secs(40), "the age of the outage");
    stage.primary.fail_with(None);
    assert!(is_unavailable(&stage.list().await), "nobody has seen yet that it is back");
    sleep(Duration::from_millis(1250)).await;
    assert_eq!((stage.primary.pinged(), stage.fallback.status().state), (51, CircuitState::Closed));
    stage.list().await.unwrap();
    sleep(Duration::from_mins(1)).await;
    assert_eq!(stage.primary.pinged(), 51, "a closed circuit probes nothing");
}

#[tokio::test(start_paused = true)]
async fn p8_one_probe_for_any_number_of_callers_and_nobody_waits_for_it() {
    let stage = Stage::new(FallbackMode::Refuse);
    stage.outage().await;
    let gate = stage.primary.shut();
    sleep(Duration::from_millis(1250)).await;
    assert_eq!(stage.fallback.status().state, CircuitState::HalfOpen);
    for _ in 0..1000 {
        let refused = stage.list().now_or_never();
        assert!(is_unavailable(&refused.expect("refused at once")));
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!((stage.primary.called(), stage.primary.pinged()), (3, 1));
    gate.add_permits(1);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(stage.fallback.status().state, CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn p8_a_probe_that_hangs_is_given_up() {
    let stage = Stage::new(FallbackMode::Refuse);
    stage.outage().await;
    let _gate = stage.primary.shut();
    sleep(Duration::from_millis(1250)).await;
    stage.primary.unshut();
    stage.primary.fail_with(None);
    sleep(Duration::from_secs(9)).await;
    assert_eq!(stage.fallback.status().state, CircuitState::HalfOpen);
    sleep(Duration::from_secs(3)).await;
    assert_eq!((stage.fallback.status().state, stage.primary.pinged()), (CircuitState::Closed, 2));
}

#[tokio::test(start_paused = true)]
async fn p8_ping_tells_the_truth_about_the_primary() {
    let stage = Stage::new(FallbackMode::Memory);
    stage.fallback.ping().await.unwrap();
    stage.outage().await;
    assert!(is_unavailable(&stage.fallback.ping().await));
    assert_eq!(stage.fallback.status().state, CircuitState::Open);
    stage.primary.fail_with(None);
    stage.fallback.ping().await.unwrap();
    assert_eq!(stage.fallback.status().state, CircuitState::Closed, "a sign of life is a sign of life");
    sleep(Duration::from_mins(1)).await;
    assert_eq!(stage.primary.pinged(), 3, "the prober has gone too");
    stage.primary.fail_with(Some(unavailable));
    for _ in 0..3 {
        stage.fallback.ping().await.unwrap_err();
    }
    assert_eq!(stage.fallback.status().state, CircuitState::Open, "so is a sign of none");
}

#[tokio::test(start_paused = true)]
async fn p8_a_refusal_says_since_when_and_until_when() {
    let stage = Stage::new(FallbackMode::Refuse);
    stage.outage().await;
    advance(Duration::from_millis(200)).await;
    let refused = stage.list().await.unwrap_err().to_string();
    let status = stage.fallback.status();
    assert_eq!(status.open_for, Some(Duration::from_millis(200)));
    let next = status.next_probe_in.unwrap().as_secs_f64();
    assert!((0.6..=1.0).contains(&next), "{next}");
    let expected = format!(
        "the database is unavailable: it has not answered for 0.2 s (connection refused), and is asked again \
         in {next:.1} s"
    );
    assert!(refused.starts_with(&expected), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn p8_a_fallback_that_is_dropped_probes_no_more() {
    let stage = Stage::new(FallbackMode::Refuse);
    stage.outage().await;
    let primary = Arc::clone(&stage.primary);
    drop(stage);
    sleep(Duration::from_mins(1)).await;
    assert_eq!((primary.pinged(), Arc::strong_count(&primary)), (0, 1));
}

#[test]
fn p8_a_prober_whose_runtime_went_down_is_replaced_by_the_next_call() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let stage = Stage::new(FallbackMode::Refuse);
    runtime().block_on(stage.outage());
    runtime().block_on(async {
        stage.primary.fail_with(None);
        assert!(is_unavailable(&stage.list().await));
        sleep(Duration::from_secs(3)).await;
        stage.list().await.unwrap();
    });
}

/// Counts the events of each level.
#[derive(Clone, Default)]
struct Log(Arc<[AtomicU64; 2]>);

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let is_warning = *event.metadata().level() == Level::WARN;
        self.0[usize::from(is_warning)].fetch_add(1, Ordering::SeqCst);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn p8_each_transition_is_logged_once() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let lines = || [0, 1].map(|level: usize| log.0[level].load(Ordering::SeqCst));
    let stage = Stage::new(FallbackMode::Memory);
    stage.outage().await;
    stage.begin().await;
    sleep(Duration::from_mins(1)).await;
    assert_eq!(lines(), [0, 1]);
    stage.recovery().await;
    assert_eq!(lines(), [1, 1]);
    stage.outage().await;
    stage.begin().await;
    assert_eq!(lines(), [1, 2]);
    drop(stage);
    assert_eq!(lines(), [1, 3], "what is lost because we stop is said too");
}

#[tokio::test(start_paused = true)]
async fn p8_a_call_of_an_earlier_epoch_says_nothing_about_this_one() {
    let stage = Stage::new(FallbackMode::Refuse);
    stage.primary.fail_with(Some(unavailable));
    let gate = stage.primary.shut();
    let mut late = Vec::new();
    for _ in 0..6 {
        let mut call = Box::pin(stage.list());
        assert!(call.as_mut().now_or_never().is_none());
        late.push(call);
    }
    stage.primary.unshut();
    stage.outage().await;
    gate.add_permits(3);
    for call in late.drain(..3) {
        call.await.unwrap_err();
    }
    stage.recovery().await;
    gate.add_permits(3);
    for call in late {
        call.await.unwrap_err();
    }
    assert_eq!((stage.fallback.status().openings, stage.fallback.status().state), (1, CircuitState::Closed));
    assert_eq!(stage.fallback.status().discarded, VolatileCount::default());
    assert!(stage.fallback.get(stage.user_id, ConversationId::generate()).await.unwrap().is_none());
}
