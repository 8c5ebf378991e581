//! Live agents by conversation: the most recently used, for a limited time, and none that is older than
//! what its caller knows.
//!
//! An entry's age says nothing about whether another replica has gone on with the conversation. So a
//! caller reads the conversation's [`Head`](lcs_domain::Head) first, one row by its primary key, and asks
//! for an agent that [covers](Version::covers) it (P5). Reading the head also shows whose conversation it is:
//! the cache itself knows no users.

mod load;
mod metric;
mod table;
mod version;

#[cfg(test)]
mod model;

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lcs_domain::{ConversationId, RepositoryError};

pub use self::load::LoadError;
pub use self::metric::CacheMetrics;
pub use self::version::Version;

use self::load::Guarded;
use self::table::{Found, Table};

/// How much a cache keeps, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheConfig {
    /// How many agents are kept at most; `None`: none, and every get loads (one load for all at once).
    pub capacity: Option<NonZeroUsize>,
    /// How many [bytes](CachedAgent::bytes) the kept agents have together at most; one that has more alone is not
    /// kept.
    pub max_bytes: u64,
    /// How long an agent is kept after it was put. Zero keeps none; thirty years are for ever.
    pub ttl: Duration,
}

impl CacheConfig {
    /// At most `max_size` agents, 0 for none, each for `ttl`, of whatever size.
    #[must_use]
    pub const fn new(max_size: usize, ttl: Duration) -> Self {
        Self { capacity: NonZeroUsize::new(max_size), max_bytes: u64::MAX, ttl }
    }

    /// The same with at most `max_bytes` bytes of agents.
    #[must_use]
    pub const fn with_max_bytes(self, max_bytes: u64) -> Self {
        Self { max_bytes, ..self }
    }
}

impl Default for CacheConfig {
    /// 1000 agents, each for an hour.
    fn default() -> Self {
        Self::new(1000, Duration::from_hours(1))
    }
}

/// An agent and the version of the conversation that it was made from or brought to.
#[derive(Debug)]
pub struct CachedAgent<A> {
    /// The agent. It lives as long as anybody uses it, also when the cache has let it go.
    pub agent: Arc<A>,
    /// What the agent has seen at least.
    pub version: Version,
    /// How large it is, as whoever put it estimates; 0: it is counted as one agent and nothing more.
    pub bytes: u64,
}

impl<A> CachedAgent<A> {
    /// An agent at `version`. Where the version is read apart from what the agent is made of, read it
    /// first: an agent may be newer than its version says, and never older.
    pub fn new(agent: impl Into<Arc<A>>, version: impl Into<Version>) -> Self {
        Self { agent: agent.into(), version: version.into(), bytes: 0 }
    }

    /// The same, of this size.
    #[must_use]
    pub fn with_bytes(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }
}

// By hand: derive would ask for `A: Clone`.
impl<A> Clone for CachedAgent<A> {
    fn clone(&self) -> Self {
        Self { agent: Arc::clone(&self.agent), version: self.version, bytes: self.bytes }
    }
}

/// Keeps live agents by conversation. A clone is another handle on the same cache.
///
/// - Capacity, bytes and time: the least recently used agent leaves first; one whose time is up is never handed
///   out.
/// - One load for each conversation at a time, however many ask. A caller that gives up aborts nothing.
///   An error goes to everybody who waited and is not kept; a panic frees the slot.
/// - An older version never replaces a newer one, and an invalidation is not undone by a load that was
///   under way: those who wait for it are answered, and its agent is not kept.
/// - Agents are dropped outside the cache's lock. What is in use elsewhere lives on.
///
/// ```
/// use std::time::Duration;
/// use lcs_agent_cache::{AgentCache, CacheConfig, CachedAgent, LoadError, Version};
/// use lcs_domain::{ConversationId, RepositoryError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), LoadError<RepositoryError>> {
/// let cache: AgentCache<String> = AgentCache::new(CacheConfig::new(1000, Duration::from_hours(1)));
/// let conversation_id = ConversationId::generate();
///
/// // What `ConversationRepository::head` answers for this user; `None` there is `NotFound` here.
/// let head = Version { turn_count: 1, state_revision: 1 };
/// let load = async move { Ok(CachedAgent::new("an agent made from what is stored".to_owned(), head)) };
/// let cached = cache.get_checked(conversation_id, head, load).await?;
/// assert_eq!(cached.version, head);
///
/// // The agent has answered, and the append says how far the conversation is now.
/// let appended = Version { turn_count: 2, state_revision: 2 };
/// cache.put_if_newer(conversation_id, CachedAgent::new(cached.agent, appended));
///
/// // The next request finds it: this load never runs.
/// let load = async { Err(RepositoryError::unavailable("no load is needed")) };
/// assert_eq!(cache.get_checked(conversation_id, appended, load).await?.version, appended);
/// # Ok(())
/// # }
/// ```
pub struct AgentCache<A, E = RepositoryError> {
    table: Arc<Guarded<A, E>>,
}

// By hand: derive would ask for `A: Clone` and `E: Clone`.
impl<A, E> Clone for AgentCache<A, E> {
    fn clone(&self) -> Self {
        Self { table: Arc::clone(&self.table) }
    }
}

impl<A, E> fmt::Debug for AgentCache<A, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentCache").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}

impl<A, E> AgentCache<A, E> {
    /// An empty cache. Room is taken as it is needed.
    #[must_use]
    pub fn new(config: CacheConfig) -> Self {
        /// A deadline further off could be one that no instant stands for.
        const FOR_EVER: Duration = Duration::from_hours(30 * 365 * 24);
        let table = Table::new(CacheConfig { ttl: config.ttl.min(FOR_EVER), ..config });
        Self { table: Arc::new(Guarded::new(table)) }
    }

    /// The agent at `head` or newer: from the cache, or from the one load that runs for it.
    ///
    /// An agent older than `head` is dropped and `load` makes another. So is one from a load that was under
    /// way before the caller came: that may have read what was before `head`. `load` runs in a task of its
    /// own, in the current span, and only where it is needed; it must read from where `head` was read.
    ///
    /// # Errors
    /// [`LoadError`]: shared by all who waited, never kept.
    ///
    /// # Panics
    /// Outside a Tokio runtime, when a load is needed.
    pub async fn get_checked(
        &self,
        conversation_id: ConversationId,
        head: impl Into<Version>,
        load: impl Future<Output = Result<CachedAgent<A>, E>> + Send + 'static,
    ) -> Result<CachedAgent<A>, LoadError<E>>
    where
        A: Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        let head = head.into();
        let mut is_fresh = false;
        loop {
            let joined = match self.table.with(|table| table.look_up(conversation_id, head)) {
                Found::Agent(cached) => return Ok(cached),
                Found::Load(joined) => joined,
                Found::Vacant(ticket, answer, joined) => {
                    load::spawn(Arc::clone(&self.table), conversation_id, ticket, answer, load);
                    return self.current(joined.await.unwrap_or(Err(LoadError::Broken)), head);
                }
            };
            let outcome = self.current(joined.await.unwrap_or(Err(LoadError::Broken)), head);
            // The first load joined may have begun before the head was read; whichever is under way
            // when that one is done began after it.
            if is_fresh || !matches!(outcome, Err(LoadError::Behind { .. })) {
                return outcome;
            }
            is_fresh = true;
        }
    }

    /// The agent whatever its version: for a caller that compares it with the head afterwards, and calls
    /// [`invalidate_if`](Self::invalidate_if) and this again where it is behind.
    ///
    /// # Errors
    /// As [`get_checked`](Self::get_checked), but never [`LoadError::Behind`].
    ///
    /// # Panics
    /// As [`get_checked`](Self::get_checked).
    pub async fn get_or_load(
        &self,
        conversation_id: ConversationId,
        load: impl Future<Output = Result<CachedAgent<A>, E>> + Send + 'static,
    ) -> Result<CachedAgent<A>, LoadError<E>>
    where
        A: Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        self.get_checked(conversation_id, Version::default(), load).await
    }

    /// Keeps `cached`, unless the agent that is there is as new or newer. Answers whether it was kept.
    ///
    /// Of two versions of which neither [covers](Version::covers) the other, neither is kept.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn put_if_newer(&self, conversation_id: ConversationId, cached: CachedAgent<A>) -> bool {
        self.table.with(|table| table.put_if_newer(conversation_id, cached))
    }

    /// Drops the agent that was found behind at `version`, or is older still: not a newer one that somebody
    /// else has put meanwhile. Answers whether one was dropped.
    pub fn invalidate_if(&self, conversation_id: ConversationId, version: impl Into<Version>) -> bool {
        let version = version.into();
        self.table.with(|table| table.remove_through(conversation_id, version))
    }

    /// Drops the agent, whatever its version, and keeps none from a load that is under way: those who
    /// wait for that one are answered.
    pub fn invalidate(&self, conversation_id: ConversationId) {
        self.table.with(|table| table.forget(conversation_id));
    }

    /// [`invalidate`](Self::invalidate) for every conversation.
    pub fn invalidate_all(&self) {
        self.table.with(Table::forget_all);
    }

    /// The agents that it holds. Their use is no use of them: none stays longer for it.
    #[must_use]
    pub fn held(&self) -> Vec<(ConversationId, Arc<A>)> {
        self.table.with(Table::held)
    }

    /// Keeps no agent from the loads that are under way: those who wait for them are answered.
    pub fn abandon_loads(&self) {
        self.table.with(Table::abandon_loads);
    }

    /// What the cache has done and holds.
    #[must_use]
    pub fn metrics(&self) -> CacheMetrics {
        self.table.with(Table::metrics)
    }

    /// The outcome, unless it is an agent that is behind `head`.
    fn current(
        &self,
        outcome: Result<CachedAgent<A>, LoadError<E>>,
        head: Version,
    ) -> Result<CachedAgent<A>, LoadError<E>> {
        let cached = outcome?;
        if cached.version.covers(head) {
            return Ok(cached);
        }
        self.table.with(Table::count_stale);
        Err(LoadError::Behind { loaded: cached.version, head })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    type TestCache = AgentCache<&'static str, std::io::Error>;

    fn cache() -> TestCache {
        AgentCache::new(CacheConfig::new(8, Duration::from_mins(1)))
    }

    const fn version(turn_count: u32, state_revision: u64) -> Version {
        Version { turn_count, state_revision }
    }

    type Made = Result<CachedAgent<&'static str>, std::io::Error>;

    fn made(name: &'static str, version: Version) -> std::future::Ready<Made> {
        std::future::ready(Ok(CachedAgent::new(name, version)))
    }

    fn unneeded() -> impl Future<Output = Made> + Send {
        std::future::poll_fn(|_| panic!("this load must not run"))
    }

    #[tokio::test(start_paused = true)]
    async fn p5_an_agent_behind_the_head_is_dropped_and_made_anew() {
        let (cache, id) = (cache(), ConversationId::generate());
        cache.put_if_newer(id, CachedAgent::new("old", version(1, 1)));
        for (head, name) in [(version(2, 1), "a turn later"), (version(2, 2), "a save later")] {
            let cached = cache.get_checked(id, head, made(name, head)).await.unwrap();
            assert_eq!((*cached.agent, cached.version), (name, head));
        }
        assert_eq!((cache.metrics().stale, cache.metrics().misses), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn p5_an_agent_newer_than_the_head_that_was_read_is_a_hit() {
        let (cache, id) = (cache(), ConversationId::generate());
        cache.put_if_newer(id, CachedAgent::new("newer", version(3, 3)));
        let cached = cache.get_checked(id, version(2, 2), unneeded()).await.unwrap();
        assert_eq!(cached.version, version(3, 3));
        assert_eq!((cache.metrics().hits, cache.metrics().stale), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn p5_a_load_that_began_before_the_head_was_read_does_not_answer_for_it() {
        let (cache, id) = (cache(), ConversationId::generate());
        let (go, gate) = oneshot::channel::<()>();
        let mut early = Box::pin(cache.get_or_load(id, async move {
            gate.await.unwrap();
            made("early", version(1, 1)).await
        }));
        assert!((&mut early).now_or_never().is_none());
        let mut late = Box::pin(cache.get_checked(id, version(2, 2), made("late", version(2, 2))));
        assert!((&mut late).now_or_never().is_none(), "it joins the load under way");
        go.send(()).unwrap();
        assert_eq!(*early.await.unwrap().agent, "early", "who knew of nothing newer is answered");
        assert_eq!(*late.await.unwrap().agent, "late");
        assert_eq!(cache.metrics().coalesced, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn p5_a_load_that_reads_the_past_is_an_error_and_not_a_loop() {
        let (cache, id) = (cache(), ConversationId::generate());
        let outcome = cache.get_checked(id, version(2, 2), made("past", version(2, 1))).await;
        let Err(LoadError::Behind { loaded, head }) = outcome else { panic!("{outcome:?}") };
        assert_eq!((loaded, head), (version(2, 1), version(2, 2)));
        let cached = cache.get_checked(id, version(2, 2), made("present", version(2, 2))).await.unwrap();
        assert_eq!(*cached.agent, "present");
    }

    #[tokio::test(start_paused = true)]
    async fn p5_a_caller_may_compare_afterwards_and_drop_exactly_what_it_saw() {
        let (cache, id) = (cache(), ConversationId::generate());
        let seen = cache.get_or_load(id, made("old", version(1, 1))).await.unwrap();
        cache.put_if_newer(id, CachedAgent::new("newer", version(2, 2)));
        assert!(!cache.invalidate_if(id, seen.version), "somebody has put a newer one meanwhile");
        assert_eq!(*cache.get_or_load(id, unneeded()).await.unwrap().agent, "newer");
        assert!(cache.invalidate_if(id, version(2, 2)));
        assert_eq!(*cache.get_or_load(id, made("newest", version(3, 3))).await.unwrap().agent, "newest");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_can_be_looked_through_and_a_load_under_way_kept_by_nobody() {
        let (cache, id, loaded) = (cache(), ConversationId::generate(), ConversationId::generate());
        cache.put_if_newer(id, CachedAgent::new("held", version(1, 1)));
        let (go, gate) = oneshot::channel::<()>();
        let mut load = Box::pin(cache.get_or_load(loaded, async move {
            gate.await.unwrap();
            made("loaded", version(1, 1)).await
        }));
        assert!((&mut load).now_or_never().is_none());
        cache.abandon_loads();
        go.send(()).unwrap();
        assert_eq!(*load.await.unwrap().agent, "loaded", "who waits is answered");
        let held: Vec<_> = cache.held().into_iter().map(|(id, agent)| (id, *agent)).collect();
        assert_eq!(held, [(id, "held")], "and it is not kept");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cache_without_room_loads_each_time_and_still_only_once_for_all_at_once() {
        let cache: TestCache = AgentCache::new(CacheConfig::new(0, Duration::from_mins(1)));
        let id = ConversationId::generate();
        let loads = Arc::new(AtomicUsize::new(0));
        let load = || {
            let loads = Arc::clone(&loads);
            async move {
                loads.fetch_add(1, Ordering::SeqCst);
                made("agent", version(1, 1)).await
            }
        };
        for round in 1..=2 {
            let (one, other) = tokio::join!(cache.get_or_load(id, load()), cache.get_or_load(id, load()));
            assert!(one.is_ok() && other.is_ok());
            assert_eq!(loads.load(Ordering::SeqCst), round);
        }
        assert!(!cache.put_if_newer(id, CachedAgent::new("agent", version(2, 2))));
        assert_eq!(cache.metrics().size, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_to_live_without_end_is_no_overflow() {
        let cache: TestCache = AgentCache::new(CacheConfig::new(8, Duration::MAX));
        let id = ConversationId::generate();
        assert!(cache.put_if_newer(id, CachedAgent::new("agent", version(1, 1))));
        assert_eq!(cache.metrics().size, 1);
    }
}
