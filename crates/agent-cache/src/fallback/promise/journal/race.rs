//! Many callers, a primary that comes and goes, and answers that are lost: in the end everything
//! acknowledged is there once, and in its order.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lcs_domain::TurnId;

use super::super::super::fake::{Blow, outcome_unknown};
use super::*;

/// Chance enough to spoil calls.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// One client, that takes a breath between turns: it begins conversations and appends to them, and asks again, with the same keys, until it
/// is answered. Gives what it was told is stored.
async fn client(stage: Arc<Stage>, is_over: Arc<AtomicBool>) -> Vec<(ConversationId, Vec<TurnId>)> {
    let mut told = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        let new = new_conversation();
        let made = again(|| stage.fallback.conversations().create(stage.user_id, new.clone())).await;
        let (mut turns, mut revision) = (Vec::new(), 0);
        for _ in 0..12 {
            let mut turn = with_state(&made, 0, revision);
            turn.expected_turn_count = None;
            let appended = again(|| stage.append(turn.clone())).await;
            sleep(Duration::from_millis(1)).await;
            revision = appended.state_revision;
            turns.push(turn.turn.turn_id());
        }
        told.push((made.conversation_id, turns));
    }
    told
}

async fn again<T, F: Future<Output = Result<T, RepositoryError>>>(ask: impl Fn() -> F) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) if error.is_retryable() => sleep(Duration::from_millis(2)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p8_what_was_acknowledged_is_there_once_and_in_its_order_whatever_happened() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8));
    println!("SEED={seed}");
    let mut chance = Chance(seed);
    let fuse = Arc::new(Fuse::default());
    let primary = Arc::new(Fake::with_fuse(Arc::clone(&fuse)));
    let journal = Arc::new(FakeJournal::with_fuse(Arc::clone(&fuse)));
    let config = FallbackConfig { probe_interval: Duration::from_millis(10), ..FallbackConfig::default() };
    let stage = Arc::new(Stage::with(config, primary, journal).await.unwrap());
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..8).map(|_| tokio::spawn(client(Arc::clone(&stage), Arc::clone(&is_over)))).collect();
    let journaled = AtomicU64::new(0);
    for _ in 0..40 {
        fuse.set(Some((chance.below(200) + 1, Blow::Fail)));
        let fault = [unavailable, outcome_unknown][usize::try_from(chance.below(2)).unwrap()];
        stage.primary.fail_with((chance.below(3) > 0).then_some(fault));
        sleep(Duration::from_millis(chance.below(25))).await;
        journaled.fetch_max(stage.status().backlog.entries, Ordering::SeqCst);
    }
    is_over.store(true, Ordering::SeqCst);
    fuse.set(None);
    stage.primary.fail_with(None);
    let mut told = Vec::new();
    for client in clients {
        told.extend(client.await.unwrap());
    }
    stage.closed().await;
    for (id, turns) in &told {
        let stored = stage.turns(*id);
        let found: Vec<_> = stored.iter().map(|turn| turn.turn_id).collect();
        assert_eq!(&found, turns, "seed {seed}");
        assert!(
            stored.iter().all(|turn| !turn.is_late() && !turn.is_interleaved()),
            "seed {seed}: {stored:?}"
        );
    }
    let status = stage.status();
    assert_eq!(
        (stage.conflicts(), status.backlog, status.refused),
        (vec![], Backlog::default(), 0),
        "seed {seed}"
    );
    assert_eq!(stage.primary.counted().0, told.len() as u64);
    assert!(status.openings > 0 && journaled.into_inner() > 0 && status.replayed > 0, "{status:?}");
}
