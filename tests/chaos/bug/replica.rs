//! A replica that does one thing wrong, and everything else as the store behind it does.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lcs_domain::Durability;
use lcs_tests::chaos::history::{Element, Page, Placed, Seen};
use lcs_tests::chaos::replica::{Append, Conversation, Refusal, Replica, Reply};
use tokio::time::Instant;

use super::{cache, journal, numbers, state, time};

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    NoDeduplication,
    OrderByTime,
    MaxPlusOne,
    BurnedNumber,
    EarlyAcknowledgement,
    StaleCache,
    LostCompareAndSet,
    TornAppend,
    Resurrection,
    RefusedButDone,
    ReplayedTwice,
    LostJournal,
    NoOwner,
    EmptyWhenDegraded,
}

/// What the replicas of a buggy service share.
#[derive(Default)]
pub(crate) struct Shared {
    /// When an element was appended, by the clock of the replica that did.
    pub(super) times: Mutex<HashMap<Element, i64>>,
    /// Turns that are numbered here: their numbers and elements, by conversation.
    pub(super) numbered: Mutex<HashMap<u64, Vec<(u32, Append)>>>,
    /// The last number given, by conversation.
    pub(super) counters: Mutex<HashMap<u64, u32>>,
    /// Conversations that are marked as deleted, and still there.
    deleted: Mutex<HashSet<u64>>,
}

/// A replica with a bug.
pub(crate) struct Buggy {
    pub(super) bug: Bug,
    pub(super) number: u32,
    pub(super) store: Arc<dyn Replica>,
    pub(super) shared: Arc<Shared>,
    /// Pages that this replica has read, and when.
    pub(super) cached: Mutex<HashMap<u64, (Instant, Page)>>,
    /// What this replica has acknowledged and not stored yet.
    pub(super) journal: Mutex<Vec<(Conversation, Append)>>,
    began: Instant,
    calls: AtomicU64,
}

impl Buggy {
    pub(super) fn replica(
        bug: Bug,
        number: u32,
        store: &Arc<dyn Replica>,
        shared: &Arc<Shared>,
    ) -> Arc<dyn Replica> {
        let replica = Arc::new(Self {
            bug,
            number,
            store: Arc::clone(store),
            shared: Arc::clone(shared),
            cached: Mutex::default(),
            journal: Mutex::default(),
            began: Instant::now(),
            calls: AtomicU64::new(0),
        });
        journal::start(&replica);
        replica
    }

    /// Whether this replica cannot reach its database now: a fifth of the time.
    pub(super) fn is_degraded(&self) -> bool {
        const CYCLE: Duration = Duration::from_millis(50);
        self.began.elapsed().as_micros() % CYCLE.as_micros() < CYCLE.as_micros() / 5
    }

    /// Whether this is one of every `of` calls.
    pub(super) fn now_and_then(&self, of: u64) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(of)
    }

    /// The append again under another key.
    pub(super) fn rekeyed(&self, append: &Append) -> Append {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let element = append.element + (u64::from(self.number) + 1) * 1_000_000_000 * (call + 1);
        Append { element, content: append.content.clone(), state_from: None }
    }

    fn is_deleted(&self, conversation: &Conversation) -> bool {
        self.bug == Bug::Resurrection && self.shared.deleted.lock().unwrap().contains(&conversation.number)
    }
}

#[async_trait]
impl Replica for Buggy {
    async fn create(&self, user: u32, number: u64) -> Reply<Conversation> {
        self.store.create(user, number).await
    }

    async fn append(&self, conversation: &Conversation, append: &Append) -> Reply<Placed> {
        match self.bug {
            Bug::NoDeduplication if append.state_from.is_none() => {
                self.store.append(conversation, &self.rekeyed(append)).await
            }
            Bug::OrderByTime => time::append(self, conversation, append).await,
            Bug::MaxPlusOne | Bug::BurnedNumber => numbers::append(self, conversation, append).await,
            Bug::EarlyAcknowledgement => {
                journal::acknowledge(self, conversation, append, Durability::Durable)
            }
            Bug::ReplayedTwice | Bug::LostJournal if self.is_degraded() => {
                journal::acknowledge(self, conversation, append, Durability::Journaled)
            }
            Bug::TornAppend => state::append_in_two_steps(self, conversation, append).await,
            Bug::Resurrection => {
                let placed = self.store.append(conversation, append).await?;
                self.shared.deleted.lock().unwrap().remove(&conversation.number);
                Ok(placed)
            }
            Bug::RefusedButDone if self.now_and_then(20) => {
                let _done = self.store.append(conversation, append).await;
                Err(Refusal::Absent)
            }
            _ => self.store.append(conversation, append).await,
        }
    }

    async fn read(&self, user: u32, of: &Conversation, after: Option<u32>, limit: u32) -> Reply<Page> {
        match self.bug {
            _ if self.is_deleted(of) => Err(Refusal::Absent),
            Bug::OrderByTime => time::read(self, user, of, after, limit).await,
            Bug::MaxPlusOne | Bug::BurnedNumber => {
                // Whether it is there, and whose, the store knows.
                self.store.state(user, of).await?;
                Ok(numbers::read(self, of, after, limit))
            }
            Bug::StaleCache => cache::read(self, user, of, after, limit).await,
            Bug::NoOwner => self.store.read(of.user, of, after, limit).await,
            Bug::EmptyWhenDegraded if self.is_degraded() => {
                Ok((Page { after, limit, turn_count: 0, turns: Vec::new() }, Durability::Volatile))
            }
            _ => self.store.read(user, of, after, limit).await,
        }
    }

    async fn state(&self, user: u32, of: &Conversation) -> Reply<Seen> {
        if self.is_deleted(of) { Err(Refusal::Absent) } else { self.store.state(user, of).await }
    }

    async fn put(&self, of: &Conversation, element: Element, from: u64, through_turn: u32) -> Reply<u64> {
        match self.bug {
            _ if self.is_deleted(of) => Err(Refusal::Absent),
            Bug::LostCompareAndSet => state::put_blindly(self, of, element, from, through_turn).await,
            _ => self.store.put(of, element, from, through_turn).await,
        }
    }

    async fn list(&self, user: u32) -> Reply<Vec<String>> {
        self.store.list(user).await
    }

    async fn delete(&self, conversation: &Conversation) -> Reply<()> {
        if self.bug == Bug::Resurrection {
            self.shared.deleted.lock().unwrap().insert(conversation.number);
            return Ok(((), Durability::Durable));
        }
        self.store.delete(conversation).await
    }
}
