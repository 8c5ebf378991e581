//! What the cache holds under its lock: agents in the order of their use, deadlines in the order of
//! their writing, and the loads under way.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use lcs_domain::ConversationId;
use lru::LruCache;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{CacheConfig, CacheMetrics, CachedAgent, LoadError, Version};

/// What a load came to, as all who wait for it get it.
pub(super) type Outcome<A, E> = Result<CachedAgent<A>, LoadError<E>>;
/// A load that others may join. It fails where the load ended without an outcome.
pub(super) type Joined<A, E> = Shared<oneshot::Receiver<Outcome<A, E>>>;

/// Tells a load from one that was started for the same conversation after an invalidation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// A load under way: in the table until it is done or nobody wants its agent kept any more.
pub(super) struct Slot<A, E> {
    ticket: Ticket,
    joined: Joined<A, E>,
}

/// What a look into the table came to.
pub(super) enum Found<A, E> {
    /// An agent that covers the head.
    Agent(CachedAgent<A>),
    /// A load that is under way.
    Load(Joined<A, E>),
    /// Neither: the caller now holds the slot and has to load.
    Vacant(Ticket, oneshot::Sender<Outcome<A, E>>, Joined<A, E>),
}

pub(super) struct Table<A, E> {
    config: CacheConfig,
    agents: LruCache<ConversationId, CachedAgent<A>>,
    /// With one time to live for all, the order of writing is the order of expiry.
    deadlines: LruCache<ConversationId, Instant>,
    loads: HashMap<ConversationId, Slot<A, E>>,
    last_ticket: u64,
    /// What `agents` have together.
    bytes: u64,
    metrics: CacheMetrics,
    /// Agents that have left and are still to be dropped: their `Drop` is not ours to run under a lock.
    gone: Vec<Arc<A>>,
}

impl<A, E> Table<A, E> {
    pub(super) fn new(config: CacheConfig) -> Self {
        let capacity = config.capacity.unwrap_or(NonZeroUsize::MIN);
        Self {
            config,
            agents: LruCache::sparse(capacity),
            deadlines: LruCache::sparse(capacity),
            loads: HashMap::new(),
            last_ticket: 0,
            bytes: 0,
            metrics: CacheMetrics::default(),
            gone: Vec::new(),
        }
    }

    /// The agent where it covers `head`, or else the load under way, or else a new slot to load into.
    pub(super) fn look_up(&mut self, id: ConversationId, head: Version) -> Found<A, E>
    where
        A: Send + Sync,
        E: Send + Sync,
    {
        self.expire();
        match self.agents.get(&id) {
            Some(cached) if cached.version.covers(head) => {
                self.metrics.hits += 1;
                return Found::Agent(cached.clone());
            }
            Some(_) => {
                self.metrics.stale += 1;
                self.remove(id);
            }
            None => {}
        }
        if let Some(slot) = self.loads.get(&id) {
            self.metrics.coalesced += 1;
            return Found::Load(slot.joined.clone());
        }
        self.metrics.misses += 1;
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let (answer, joined) = oneshot::channel();
        let joined = joined.shared();
        self.loads.insert(id, Slot { ticket, joined: joined.clone() });
        Found::Vacant(ticket, answer, joined)
    }

    /// Ends a load: its agent is kept where the slot is still its own.
    pub(super) fn settle(&mut self, id: ConversationId, ticket: Ticket, loaded: Option<CachedAgent<A>>) {
        if self.loads.get(&id).is_none_or(|slot| slot.ticket != ticket) {
            return;
        }
        self.loads.remove(&id);
        if let Some(cached) = loaded {
            self.put_if_newer(id, cached);
        }
    }

    /// Keeps the agent unless what is there covers it. Answers whether it was kept.
    pub(super) fn put_if_newer(&mut self, id: ConversationId, cached: CachedAgent<A>) -> bool {
        self.expire();
        if self.config.capacity.is_none() {
            self.gone.push(cached.agent);
            return false;
        }
        if let Some(present) = self.agents.peek(&id).map(|present| present.version) {
            if present.covers(cached.version) {
                self.gone.push(cached.agent);
                return false;
            }
            if !cached.version.covers(present) {
                // The conversation is past both: whichever stayed would be dropped at its first check.
                self.metrics.stale += 2;
                self.gone.push(cached.agent);
                self.remove(id);
                return false;
            }
        }
        // What is there is older by now, whether this one finds room or not.
        self.remove(id);
        if cached.bytes > self.config.max_bytes {
            self.metrics.evicted += 1;
            self.gone.push(cached.agent);
            return false;
        }
        let room = self.config.max_bytes - cached.bytes;
        while self.agents.len() >= self.capacity() || self.bytes > room {
            let Some((oldest, _)) = self.agents.peek_lru() else { break };
            self.remove(*oldest);
            self.metrics.evicted += 1;
        }
        self.bytes += cached.bytes;
        self.agents.push(id, cached);
        self.deadlines.push(id, Instant::now() + self.config.ttl);
        true
    }

    fn capacity(&self) -> usize {
        self.config.capacity.map_or(0, NonZeroUsize::get)
    }

    /// Drops the agent unless it is newer than `version`. Answers whether it was dropped.
    pub(super) fn remove_through(&mut self, id: ConversationId, version: Version) -> bool {
        let is_older = self.agents.peek(&id).is_some_and(|present| version.covers(present.version));
        is_older && self.remove(id)
    }

    /// Drops the agent, and has the load under way kept by nobody. The slot is the caller's to drop.
    pub(super) fn forget(&mut self, id: ConversationId) -> Option<Slot<A, E>> {
        self.remove(id);
        self.loads.remove(&id)
    }

    /// [`forget`](Self::forget) for all.
    pub(super) fn forget_all(&mut self) -> HashMap<ConversationId, Slot<A, E>> {
        self.deadlines.clear();
        self.bytes = 0;
        while let Some((_, cached)) = self.agents.pop_lru() {
            self.gone.push(cached.agent);
        }
        std::mem::take(&mut self.loads)
    }

    /// The agents that are there.
    pub(super) fn held(&mut self) -> Vec<(ConversationId, Arc<A>)> {
        self.expire();
        self.agents.iter().map(|(id, cached)| (*id, Arc::clone(&cached.agent))).collect()
    }

    /// Has no load that is under way kept. The slots are the caller's to drop.
    pub(super) fn abandon_loads(&mut self) -> HashMap<ConversationId, Slot<A, E>> {
        std::mem::take(&mut self.loads)
    }

    pub(super) fn count_stale(&mut self) {
        self.metrics.stale += 1;
    }

    pub(super) fn metrics(&mut self) -> CacheMetrics {
        self.expire();
        let (size, loading) = (self.agents.len(), self.loads.len());
        CacheMetrics { size, bytes: self.bytes, loading, ..self.metrics }
    }

    /// What has left since the last call, to be dropped when the lock is given back.
    pub(super) fn take_gone(&mut self) -> Vec<Arc<A>> {
        std::mem::take(&mut self.gone)
    }

    fn remove(&mut self, id: ConversationId) -> bool {
        self.deadlines.pop(&id);
        let Some(removed) = self.agents.pop(&id) else { return false };
        self.bytes -= removed.bytes;
        self.gone.push(removed.agent);
        true
    }

    /// Lets go of what is past its deadline: each entry is looked at once when it expires, and no other.
    fn expire(&mut self) {
        let now = Instant::now();
        while self.deadlines.peek_lru().is_some_and(|(_, deadline)| *deadline <= now) {
            if let Some((id, _)) = self.deadlines.pop_lru() {
                self.metrics.expired += 1;
                self.remove(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    type TestTable = Table<u32, std::io::Error>;

    const TTL: Duration = Duration::from_mins(1);

    fn table(capacity: usize) -> TestTable {
        Table::new(CacheConfig::new(capacity, TTL))
    }

    fn id() -> ConversationId {
        ConversationId::generate()
    }

    fn agent(name: u32, turn_count: u32, state_revision: u64) -> CachedAgent<u32> {
        CachedAgent::new(name, Version { turn_count, state_revision })
    }

    fn held(table: &mut TestTable, id: ConversationId) -> Option<u32> {
        match table.look_up(id, Version::default()) {
            Found::Agent(cached) => Some(*cached.agent),
            Found::Load(_) => None,
            Found::Vacant(ticket, ..) => {
                table.settle(id, ticket, None);
                None
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_recently_used_leaves_first() {
        let mut table = table(2);
        let [a, b, c] = [id(), id(), id()];
        table.put_if_newer(a, agent(1, 1, 1));
        table.put_if_newer(b, agent(2, 1, 1));
        assert_eq!(held(&mut table, a), Some(1), "a is used, so b is the older one");
        table.put_if_newer(c, agent(3, 1, 1));
        assert_eq!([held(&mut table, a), held(&mut table, b), held(&mut table, c)], [Some(1), None, Some(3)]);
        assert_eq!(table.metrics().evicted, 1);
        assert_eq!(table.deadlines.len(), table.agents.len(), "an evicted agent leaves no deadline behind");
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_recently_used_leave_until_there_is_room_for_the_bytes() {
        let mut table = TestTable::new(CacheConfig::new(8, TTL).with_max_bytes(10));
        let [a, b, c, d] = [id(), id(), id(), id()];
        table.put_if_newer(a, agent(1, 1, 1).with_bytes(4));
        table.put_if_newer(b, agent(2, 1, 1).with_bytes(4));
        table.put_if_newer(c, agent(3, 1, 1).with_bytes(2));
        assert_eq!((table.metrics().size, table.metrics().bytes), (3, 10));
        assert_eq!(held(&mut table, a), Some(1), "a is used, so b and c are the older ones");
        assert!(table.put_if_newer(d, agent(4, 1, 1).with_bytes(5)));
        assert_eq!([a, b, c, d].map(|id| held(&mut table, id)), [Some(1), None, None, Some(4)]);
        assert_eq!((table.metrics().evicted, table.metrics().bytes), (2, 9));
        // It has grown: the others make room for it.
        assert!(table.put_if_newer(a, agent(5, 2, 2).with_bytes(10)));
        assert_eq!((table.metrics().size, table.metrics().bytes), (1, 10));
        // Too large for the whole cache: it is not kept, and neither is the older one.
        assert!(!table.put_if_newer(a, agent(6, 3, 3).with_bytes(11)));
        assert_eq!((table.metrics().size, table.metrics().bytes, table.metrics().evicted), (0, 0, 4));
        assert_eq!(table.take_gone().len(), 6, "each is dropped once");
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_expires_from_its_writing_and_not_from_its_use() {
        let mut table = table(8);
        let [a, b] = [id(), id()];
        table.put_if_newer(a, agent(1, 1, 1));
        tokio::time::advance(TTL / 2).await;
        table.put_if_newer(b, agent(2, 1, 1));
        assert_eq!(held(&mut table, a), Some(1));
        tokio::time::advance(TTL / 2).await;
        assert_eq!([held(&mut table, a), held(&mut table, b)], [None, Some(2)]);
        assert_eq!((table.metrics().expired, table.metrics().size), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn writing_an_agent_anew_gives_it_its_whole_time_again() {
        let mut table = table(8);
        let [a, b] = [id(), id()];
        table.put_if_newer(a, agent(1, 1, 1));
        table.put_if_newer(b, agent(2, 1, 1));
        tokio::time::advance(TTL / 2).await;
        assert!(table.put_if_newer(a, agent(1, 2, 2)));
        tokio::time::advance(TTL / 2).await;
        assert_eq!([held(&mut table, a), held(&mut table, b)], [Some(1), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn p5_an_older_agent_never_replaces_a_newer_one() {
        let mut table = table(8);
        let a = id();
        assert!(table.put_if_newer(a, agent(1, 5, 3)));
        for (name, turn_count, state_revision) in [(2, 4, 3), (3, 5, 2), (4, 4, 2), (5, 5, 3)] {
            assert!(!table.put_if_newer(a, agent(name, turn_count, state_revision)));
            assert_eq!(held(&mut table, a), Some(1));
        }
        assert!(table.put_if_newer(a, agent(6, 6, 3)), "a turn without a state is newer");
        assert!(table.put_if_newer(a, agent(7, 6, 4)), "a save without a turn is newer");
        assert_eq!(held(&mut table, a), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn p5_of_two_versions_that_cannot_both_be_true_neither_is_kept() {
        let mut table = table(8);
        let a = id();
        table.put_if_newer(a, agent(1, 6, 3));
        assert!(!table.put_if_newer(a, agent(2, 5, 4)));
        assert_eq!(held(&mut table, a), None);
        assert_eq!((table.metrics().stale, table.metrics().size), (2, 0));
        assert_eq!(table.take_gone().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn p5_a_dropped_version_does_not_take_a_newer_one_with_it() {
        let mut table = table(8);
        let a = id();
        let seen = Version { turn_count: 5, state_revision: 3 };
        table.put_if_newer(a, agent(1, 6, 4));
        assert!(!table.remove_through(a, seen));
        assert_eq!(held(&mut table, a), Some(1));
        assert!(table.remove_through(a, Version { turn_count: 6, state_revision: 4 }));
        assert_eq!(held(&mut table, a), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_that_was_forgotten_settles_nothing() {
        let mut table = table(8);
        let a = id();
        let Found::Vacant(first, ..) = table.look_up(a, Version::default()) else { panic!("empty") };
        assert!(table.forget(a).is_some());
        let Found::Vacant(second, ..) = table.look_up(a, Version::default()) else { panic!("forgotten") };
        table.settle(a, first, Some(agent(1, 1, 1)));
        assert_eq!((table.metrics().size, table.metrics().loading), (0, 1), "the second load stands");
        table.settle(a, second, Some(agent(2, 1, 1)));
        assert_eq!(held(&mut table, a), Some(2));
    }
}
