//! The cache against a model that is too simple to be wrong, and against many threads at once.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lcs_domain::ConversationId;
use tokio::time::Instant;

use super::{AgentCache, CacheConfig, CacheMetrics, CachedAgent, LoadError, Version};

/// `SplitMix64`: small, and the same on every machine.
struct Random(u64);

impl Random {
    /// Seeded by `LCS_SEED` or at random, and says by what: a failing test shows it.
    fn seeded() -> Self {
        let seed = std::env::var("LCS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        println!("LCS_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn version(&mut self) -> Version {
        Version { turn_count: u32::try_from(self.below(4)).unwrap(), state_revision: self.below(4) }
    }
}

struct Entry {
    id: ConversationId,
    agent: u64,
    version: Version,
    bytes: u64,
    deadline: Instant,
}

/// The same promises by linear search: the least recently used stands in front.
struct Model {
    capacity: usize,
    max_bytes: u64,
    ttl: Duration,
    entries: VecDeque<Entry>,
    metrics: CacheMetrics,
}

impl Model {
    fn new(config: CacheConfig) -> Self {
        let CacheConfig { capacity, max_bytes, ttl } = config;
        let capacity = capacity.map_or(0, NonZeroUsize::get);
        Self { capacity, max_bytes, ttl, entries: VecDeque::new(), metrics: CacheMetrics::default() }
    }

    fn expire(&mut self) {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.deadline > Instant::now());
        self.metrics.expired += (before - self.entries.len()) as u64;
    }

    fn take(&mut self, id: ConversationId) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.id == id)?;
        self.entries.remove(at)
    }

    fn get(&mut self, id: ConversationId, head: Version) -> Option<u64> {
        self.expire();
        let entry = self.take(id)?;
        if !entry.version.covers(head) {
            self.metrics.stale += 1;
            return None;
        }
        let agent = entry.agent;
        self.entries.push_back(entry);
        Some(agent)
    }

    fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }

    fn put(&mut self, id: ConversationId, agent: u64, version: Version, bytes: u64) -> bool {
        self.expire();
        if self.capacity == 0 {
            return false;
        }
        let deadline = Instant::now() + self.ttl;
        if let Some(present) = self.entries.iter().find(|entry| entry.id == id) {
            if present.version.covers(version) {
                return false;
            }
            let covered = version.covers(present.version);
            self.take(id);
            if !covered {
                self.metrics.stale += 2;
                return false;
            }
        }
        if bytes > self.max_bytes {
            self.metrics.evicted += 1;
            return false;
        }
        while self.entries.len() == self.capacity || self.bytes() + bytes > self.max_bytes {
            self.entries.pop_front();
            self.metrics.evicted += 1;
        }
        self.entries.push_back(Entry { id, agent, version, bytes, deadline });
        true
    }

    fn metrics(&mut self) -> CacheMetrics {
        self.expire();
        CacheMetrics { size: self.entries.len(), bytes: self.bytes(), ..self.metrics }
    }
}

#[tokio::test(start_paused = true)]
async fn the_cache_does_what_the_model_does() {
    let mut random = Random::seeded();
    for (capacity, max_bytes) in
        [(0, u64::MAX), (1, u64::MAX), (2, 9), (3, u64::MAX), (7, 40), (16, 30), (16, u64::MAX)]
    {
        let ttl = Duration::from_secs(20);
        let config = CacheConfig::new(capacity, ttl).with_max_bytes(max_bytes);
        let cache: AgentCache<u64, std::io::Error> = AgentCache::new(config);
        let mut model = Model::new(config);
        let ids: Vec<_> = (0..12).map(|_| ConversationId::generate()).collect();
        for step in 0..4000_u64 {
            let id = ids[usize::try_from(random.below(12)).unwrap()];
            match random.below(16) {
                0..=6 => {
                    let (head, loaded, bytes) = (random.version(), random.version(), random.below(12));
                    let load = async move { Ok(CachedAgent::new(step, loaded).with_bytes(bytes)) };
                    let got = cache.get_checked(id, head, load);
                    let got = got.await.map(|cached| *cached.agent);
                    if let Some(agent) = model.get(id, head) {
                        model.metrics.hits += 1;
                        assert_eq!(got.ok(), Some(agent), "step {step}");
                    } else {
                        model.metrics.misses += 1;
                        model.put(id, step, loaded, bytes);
                        if loaded.covers(head) {
                            assert_eq!(got.ok(), Some(step), "step {step}");
                        } else {
                            model.metrics.stale += 1;
                            assert!(matches!(got, Err(LoadError::Behind { .. })), "step {step}");
                        }
                    }
                }
                7..=11 => {
                    let (version, bytes) = (random.version(), random.below(12));
                    let kept = cache.put_if_newer(id, CachedAgent::new(step, version).with_bytes(bytes));
                    assert_eq!(kept, model.put(id, step, version, bytes), "step {step}");
                }
                12 => {
                    cache.invalidate(id);
                    model.take(id);
                }
                13 => {
                    let version = random.version();
                    let at = model.entries.iter().position(|entry| entry.id == id);
                    let at = at.filter(|at| version.covers(model.entries[*at].version));
                    assert_eq!(cache.invalidate_if(id, version), at.is_some(), "step {step}");
                    at.map(|at| model.entries.remove(at));
                }
                14 if random.below(20) == 0 => {
                    cache.invalidate_all();
                    model.entries.clear();
                }
                _ => tokio::time::advance(Duration::from_secs(random.below(8))).await,
            }
            assert_eq!(cache.metrics(), model.metrics(), "step {step}");
        }
    }
}

/// Conversation number n is asked for in proportion to 1/n, as the busiest conversations of a service are.
#[tokio::test(start_paused = true)]
async fn a_zipf_trace_hits_as_often_as_an_exact_lru() {
    const IDS: usize = 2_000;
    let mut random = Random::seeded();
    let ids: Vec<_> = (0..IDS).map(|_| ConversationId::generate()).collect();
    let mut ends: Vec<u64> = Vec::new();
    for n in 1..=IDS as u64 {
        ends.push(ends.last().copied().unwrap_or_default() + 1_000_000 / n);
    }
    let config = CacheConfig::new(IDS / 10, Duration::from_hours(1));
    let cache: AgentCache<u64, std::io::Error> = AgentCache::new(config);
    let mut model = Model::new(config);
    let at = Version { turn_count: 1, state_revision: 1 };
    for step in 0..30_000_u64 {
        let asked = random.below(*ends.last().unwrap());
        let id = ids[ends.partition_point(|end| *end <= asked)];
        cache.get_checked(id, at, async move { Ok(CachedAgent::new(step, at)) }).await.unwrap();
        if model.get(id, at).is_some() {
            model.metrics.hits += 1;
        } else {
            model.put(id, step, at, 0);
        }
    }
    let (hits, exact) = (cache.metrics().hits, model.metrics().hits);
    assert_eq!(hits, exact);
    assert!((10_000..28_000).contains(&hits), "{hits} of 30,000: the trace shows something");
}

/// Eight tasks on four threads go on with a few conversations. Nobody is ever given an agent that is
/// older than a version which was stored before it asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_many_threads_never_see_an_agent_older_than_what_they_know() {
    let mut random = Random::seeded();
    let cache: AgentCache<u64, std::io::Error> =
        AgentCache::new(CacheConfig::new(3, Duration::from_millis(2)));
    // The store: each conversation's turn count. Loads read it; whoever has answered raises it.
    let store: Arc<Vec<_>> =
        Arc::new((0..6).map(|_| (ConversationId::generate(), AtomicU64::new(0))).collect());
    let at = |turns: u64| Version { turn_count: u32::try_from(turns).unwrap(), state_revision: turns };
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (cache, store) = (cache.clone(), Arc::clone(&store));
            let mut random = Random(random.below(u64::MAX));
            tokio::spawn(async move {
                for _ in 0..500 {
                    let which = usize::try_from(random.below(6)).unwrap();
                    let (id, turns) = &store[which];
                    let head = at(turns.load(Ordering::SeqCst));
                    let (again, pause, fails) = (Arc::clone(&store), random.below(3), random.below(10));
                    let load = async move {
                        let read = again[which].1.load(Ordering::SeqCst);
                        for _ in 0..pause {
                            tokio::task::yield_now().await;
                        }
                        assert_ne!(fails, 0, "one load in ten panics, on purpose");
                        Ok(CachedAgent::new(read, at(read)))
                    };
                    let got = cache.get_checked(*id, head, load);
                    if random.below(10) == 0 {
                        // Given up: the load goes on.
                        drop(tokio::time::timeout(Duration::ZERO, got).await);
                        continue;
                    }
                    let cached = match got.await {
                        Ok(cached) => cached,
                        Err(LoadError::Broken) => continue,
                        Err(other) => panic!("{other}"),
                    };
                    assert!(cached.version.covers(head), "{} was given for {head}", cached.version);
                    assert_eq!(at(*cached.agent), cached.version);
                    match random.below(8) {
                        0 => cache.invalidate(*id),
                        1 => assert!(cache.metrics().size <= 3),
                        _ => {
                            let next = turns.fetch_add(1, Ordering::SeqCst) + 1;
                            cache.put_if_newer(*id, CachedAgent::new(next, at(next)));
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    while cache.metrics().loading > 0 {
        tokio::task::yield_now().await;
    }
    let metrics = cache.metrics();
    assert!(metrics.misses > 0 && metrics.size <= 3, "{metrics:?}");
}
