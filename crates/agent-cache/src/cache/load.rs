//! One load for any number of callers: it runs in a task of its own, so that nobody who gives up takes
//! it away from the others.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use lcs_domain::ConversationId;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::table::{Outcome, Table, Ticket};
use super::{CachedAgent, Version};

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The load failed, for all who waited for it. The next get loads again.
    #[error("the agent could not be loaded: {0}")]
    Failed(#[source] Arc<E>),
    /// The load panicked, or its runtime was shut down. The next get loads again.
    #[error("the agent could not be loaded: the load ended without an outcome, try again")]
    Broken,
    /// The load began after the head was read, and yet gave an older agent: it does not read what the
    /// head was read from. Also seen once when a database was restored to an earlier time in between.
    #[error("the agent was loaded at {loaded}, but the conversation is at {head}: try again")]
    Behind {
        /// What the load gave.
        loaded: Version,
        /// What the caller knew of.
        head: Version,
    },
}

// By hand: derive would ask for `E: Clone`.
impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Broken => Self::Broken,
            Self::Behind { loaded, head } => Self::Behind { loaded: *loaded, head: *head },
        }
    }
}

/// The table behind its lock, which is never held across an await.
pub(super) struct Guarded<A, E>(Mutex<Table<A, E>>);

impl<A, E> Guarded<A, E> {
    pub(super) const fn new(table: Table<A, E>) -> Self {
        Self(Mutex::new(table))
    }

    /// Acts on the table, then drops what has left it: outside the lock, as an agent's `Drop` may take
    /// its time or come back to the cache.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Table<A, E>) -> R) -> R {
        let (result, gone) = {
            // No code of a caller runs under the lock: a poisoned one still guards a whole table.
            let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let result = act(&mut table);
            (result, table.take_gone())
        };
        drop(gone);
        result
    }
}

/// A claimed slot: given back when the load ends, however it ends.
struct Claim<A, E> {
    table: Arc<Guarded<A, E>>,
    id: ConversationId,
    ticket: Ticket,
    /// `None` once answered. Dropped after the slot was given back, so that who is told of a broken load
    /// finds the slot free.
    answer: Option<oneshot::Sender<Outcome<A, E>>>,
}

impl<A, E> Claim<A, E> {
    fn settle(mut self, loaded: Result<CachedAgent<A>, E>) {
        let outcome = loaded.map_err(|error| LoadError::Failed(Arc::new(error)));
        let kept = outcome.as_ref().ok().cloned();
        self.table.with(|table| table.settle(self.id, self.ticket, kept));
        if let Some(answer) = self.answer.take() {
            // Nobody waits any more: that is no failure, the agent is kept for the next one.
            answer.send(outcome).ok();
        }
    }
}

impl<A, E> Drop for Claim<A, E> {
    fn drop(&mut self) {
        // After `settle` the ticket is spent, and this does nothing.
        self.table.with(|table| table.settle(self.id, self.ticket, None));
    }
}

/// Runs `load` in a task of its own and answers everybody who joined it.
pub(super) fn spawn<A, E>(
    table: Arc<Guarded<A, E>>,
    id: ConversationId,
    ticket: Ticket,
    answer: oneshot::Sender<Outcome<A, E>>,
    load: impl Future<Output = Result<CachedAgent<A>, E>> + Send + 'static,
) where
    A: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    // Made here and moved in: a task that is dropped before it first runs gives its slot back too.
    let claim = Claim { table, id, ticket, answer: Some(answer) };
    tokio::spawn(async move { claim.settle(load.await) }.in_current_span());
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::super::{AgentCache, CacheConfig, CacheMetrics};
    use super::*;

    type TestCache = AgentCache<usize, io::Error>;

    fn cache() -> TestCache {
        AgentCache::new(CacheConfig::new(8, Duration::from_mins(1)))
    }

    /// Loads that take a second each and are numbered from 0.
    #[derive(Clone, Default)]
    struct Loads(Arc<AtomicUsize>);

    impl Loads {
        fn next(&self) -> impl Future<Output = Result<CachedAgent<usize>, io::Error>> + Send + use<> {
            let loads = self.clone();
            async move {
                let number = loads.0.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_secs(1)).await;
                Ok(CachedAgent::new(number, Version { turn_count: 1, state_revision: 1 }))
            }
        }

        fn begun(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_load_answers_all_who_ask() {
        let (cache, loads, id) = (cache(), Loads::default(), ConversationId::generate());
        let all = join_all((0..1000).map(|_| cache.get_or_load(id, loads.next()))).await;
        assert!(all.into_iter().all(|cached| *cached.unwrap().agent == 0));
        assert_eq!(loads.begun(), 1);
        cache.get_or_load(id, loads.next()).await.unwrap();
        let expected =
            CacheMetrics { hits: 1, misses: 1, coalesced: 999, size: 1, ..CacheMetrics::default() };
        assert_eq!(cache.metrics(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn conversations_do_not_wait_for_each_other() {
        let (cache, loads) = (cache(), Loads::default());
        let start = tokio::time::Instant::now();
        join_all((0..8).map(|_| cache.get_or_load(ConversationId::generate(), loads.next()))).await;
        assert_eq!((loads.begun(), start.elapsed()), (8, Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_aborts_nothing() {
        let (cache, loads, id) = (cache(), Loads::default(), ConversationId::generate());
        let mut first = Box::pin(cache.get_or_load(id, loads.next()));
        assert!((&mut first).now_or_never().is_none());
        let mut second = Box::pin(cache.get_or_load(id, loads.next()));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert_eq!(*second.await.unwrap().agent, 0);
        assert_eq!(loads.begun(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_that_everybody_gave_up_is_still_kept() {
        let (cache, loads, id) = (cache(), Loads::default(), ConversationId::generate());
        let mut only = Box::pin(cache.get_or_load(id, loads.next()));
        assert!((&mut only).now_or_never().is_none());
        drop(only);
        sleep(Duration::from_secs(2)).await;
        assert_eq!((cache.metrics().size, cache.metrics().loading), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_goes_to_all_who_waited_and_is_not_kept() {
        let (cache, loads, id) = (cache(), Loads::default(), ConversationId::generate());
        let fail = || async {
            sleep(Duration::from_secs(1)).await;
            Err(io::Error::other("no such agent"))
        };
        let (one, other) = tokio::join!(cache.get_or_load(id, fail()), cache.get_or_load(id, fail()));
        let (Err(LoadError::Failed(one)), Err(LoadError::Failed(other))) = (one, other) else {
            panic!("both fail");
        };
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(*cache.get_or_load(id, loads.next()).await.unwrap().agent, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_frees_the_slot_and_all_who_waited_are_told() {
        let (cache, loads, id) = (cache(), Loads::default(), ConversationId::generate());
        let panics = || async {
            sleep(Duration::from_secs(1)).await;
            panic!("on purpose")
        };
        let (one, other) = tokio::join!(cache.get_or_load(id, panics()), cache.get_or_load(id, panics()));
        assert!(matches!(one, Err(LoadError::Broken)));
        assert!(matches!(other, Err(LoadError::Broken)));
        assert_eq!(cache.metrics().loading, 0);
        assert_eq!(*cache.get_or_load(id, loads.next()).await.unwrap().agent, 0);
    }

    #[test]
    fn a_runtime_that_goes_down_frees_the_slot() {
        let (cache, loads, id) = (cache(), Loads::default(), ConversationId::generate());
        let runtime = || {
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
        };
        runtime().block_on(async {
            let mut waiting = Box::pin(cache.get_or_load(id, loads.next()));
            assert!((&mut waiting).now_or_never().is_none());
        });
        assert_eq!(cache.metrics().loading, 0, "the load was dropped before it first ran");
        assert!(runtime().block_on(cache.get_or_load(id, loads.next())).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_invalidation_during_a_load_is_answered_and_not_kept() {
        for invalidate_all in [false, true] {
            let (cache, loads, id) = (cache(), Loads::default(), ConversationId::generate());
            let mut waiting = Box::pin(cache.get_or_load(id, loads.next()));
            assert!((&mut waiting).now_or_never().is_none());
            if invalidate_all {
                cache.invalidate_all();
            } else {
                cache.invalidate(id);
            }
            let (before, after) = tokio::join!(waiting, cache.get_or_load(id, loads.next()));
            assert_eq!((*before.unwrap().agent, *after.unwrap().agent), (0, 1));
            assert_eq!(*cache.get_or_load(id, loads.next()).await.unwrap().agent, 1, "the later one is kept");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn p5_a_load_does_not_replace_what_was_put_while_it_ran() {
        let (cache, loads, id) = (cache(), Loads::default(), ConversationId::generate());
        let mut waiting = Box::pin(cache.get_or_load(id, loads.next()));
        assert!((&mut waiting).now_or_never().is_none());
        cache.put_if_newer(id, CachedAgent::new(77, Version { turn_count: 2, state_revision: 2 }));
        assert_eq!(*waiting.await.unwrap().agent, 0);
        assert_eq!(*cache.get_or_load(id, loads.next()).await.unwrap().agent, 77);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_use_lives_on_and_what_is_dropped_may_call_the_cache() {
        struct Last(Arc<AtomicUsize>, AgentCache<Last, io::Error>);
        impl Drop for Last {
            fn drop(&mut self) {
                // Would wait for itself for ever if this ran under the cache's lock.
                assert!(self.1.metrics().size <= 1);
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let cache = AgentCache::new(CacheConfig::new(1, Duration::from_mins(1)));
        let dropped = Arc::new(AtomicUsize::new(0));
        let put = || {
            let agent = Arc::new(Last(Arc::clone(&dropped), cache.clone()));
            let version = Version { turn_count: 1, state_revision: 1 };
            cache.put_if_newer(ConversationId::generate(), CachedAgent::new(Arc::clone(&agent), version));
            agent
        };
        let in_use = put();
        put();
        assert_eq!(dropped.load(Ordering::SeqCst), 0, "the first was evicted and is in use");
        drop(in_use);
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(cache.metrics().expired, 1);
        assert_eq!(dropped.load(Ordering::SeqCst), 2);
        put();
        cache.invalidate_all();
        assert_eq!(dropped.load(Ordering::SeqCst), 3);
    }
}
