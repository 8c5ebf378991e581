//! The cache of live agents, beside two that are known to be fast. What those do not do (a version that is checked,
//! loads that outlive their callers, exact LRU) is part of what ours costs.

use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use futures_util::FutureExt as _;
use lcs_agent_cache::{AgentCache, CacheConfig, CachedAgent, Version};
use lcs_benches::Result;
use lcs_domain::{ConversationId, RepositoryError};
use tokio::runtime::Runtime;
use tokio::time::Instant;

const CAPACITY: usize = 1_000;
const THREADS: u64 = 8;
const HEAD: Version = Version { turn_count: 1, state_revision: 1 };

type Agent = String;
/// Whether the agent is found.
type Get<'a> = dyn Fn(&ConversationId) -> bool + Sync + 'a;
type Ours = AgentCache<Agent>;
type Moka = moka::sync::Cache<ConversationId, Arc<Agent>>;
type Quick = quick_cache::sync::Cache<ConversationId, Arc<Agent>>;

fn ours() -> Ours {
    AgentCache::new(CacheConfig::new(CAPACITY, Duration::from_hours(1)))
}

fn agent() -> Arc<Agent> {
    Arc::new("an agent".to_owned())
}

/// A load that is done at once.
fn load() -> Ready<std::result::Result<CachedAgent<Agent>, RepositoryError>> {
    ready(Ok(CachedAgent::new(agent(), HEAD)))
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = Runtime::new()?;
    let mut group = criterion.benchmark_group("agent_cache");
    hit(&mut group)?;
    miss(&mut group, &runtime);
    evict(&mut group);
    coalesce(&mut group, &runtime)?;
    group.finish();
    criterion.final_summary();
    Ok(())
}

fn hit(group: &mut BenchmarkGroup<'_, WallTime>) -> Result<()> {
    let ids: Vec<ConversationId> = (0..CAPACITY / 2).map(|_| ConversationId::generate()).collect();
    let (ours, moka, quick) = (ours(), Moka::new(CAPACITY as u64), Quick::new(CAPACITY));
    for id in &ids {
        ours.put_if_newer(*id, CachedAgent::new(agent(), HEAD));
        moka.insert(*id, agent());
        quick.insert(*id, agent());
    }
    let of_ours = |id: &ConversationId| {
        ours.get_checked(*id, HEAD, load()).now_or_never().is_some_and(|got| got.is_ok())
    };
    let of_moka = |id: &ConversationId| moka.get(id).is_some();
    let of_quick = |id: &ConversationId| quick.get(id).is_some();
    let all: [(&str, &Get); 3] = [("ours", &of_ours), ("moka", &of_moka), ("quick_cache", &of_quick)];
    for (name, get) in all {
        if !ids.iter().all(get) {
            return Err(format!("{name} has lost an agent").into());
        }
        let mut next = ids.iter().cycle();
        group.bench_function(format!("hit/{name}"), |bencher| {
            bencher.iter(|| next.next().is_some_and(|id| black_box(get(id))));
        });
        group.bench_function(format!("hit_8_threads/{name}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let begun = Instant::now();
                thread::scope(|scope| {
                    for number in 0..THREADS {
                        let ids = ids.iter().cycle().skip(usize::try_from(number).unwrap_or_default() * 37);
                        let each = usize::try_from(iterations / THREADS + 1).unwrap_or(usize::MAX);
                        scope.spawn(move || ids.take(each).filter(|id| black_box(get(id))).count());
                    }
                });
                begun.elapsed()
            });
        });
    }
    Ok(())
}

/// A load that is ready at once: what is measured is what is around it.
fn miss(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime) {
    let (ours, moka, quick) = (ours(), Moka::new(CAPACITY as u64), Quick::new(CAPACITY));
    group.bench_function("miss/ours", |bencher| {
        bencher.iter(|| runtime.block_on(ours.get_checked(ConversationId::generate(), HEAD, load())));
    });
    group.bench_function("miss/moka", |bencher| {
        bencher.iter(|| moka.get_with(ConversationId::generate(), agent));
    });
    group.bench_function("miss/quick_cache", |bencher| {
        bencher.iter(|| {
            quick.get_or_insert_with::<_, std::convert::Infallible>(&ConversationId::generate(), || {
                Ok(agent())
            })
        });
    });
}

/// Into a full cache: each put drives another agent out.
fn evict(group: &mut BenchmarkGroup<'_, WallTime>) {
    let (ours, moka, quick) = (ours(), Moka::new(CAPACITY as u64), Quick::new(CAPACITY));
    group.bench_function("evict/ours", |bencher| {
        bencher.iter(|| ours.put_if_newer(ConversationId::generate(), CachedAgent::new(agent(), HEAD)));
    });
    group.bench_function("evict/moka", |bencher| {
        bencher.iter(|| moka.insert(ConversationId::generate(), agent()));
    });
    group.bench_function("evict/quick_cache", |bencher| {
        bencher.iter(|| quick.insert(ConversationId::generate(), agent()));
    });
}

/// Eight callers of one agent that has to be loaded.
fn coalesce(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime) -> Result<()> {
    let ours = ours();
    let once = || {
        let id = ConversationId::generate();
        let slow = || async {
            tokio::task::yield_now().await;
            load().await
        };
        futures_util::future::join_all((0..THREADS).map(|_| ours.get_checked(id, HEAD, slow())))
    };
    if runtime.block_on(once()).iter().any(std::result::Result::is_err) {
        return Err("a load has failed".into());
    }
    group.bench_function("coalesce_8/ours", |bencher| bencher.iter(|| runtime.block_on(once())));
    Ok(())
}
