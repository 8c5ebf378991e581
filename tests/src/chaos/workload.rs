//! What the clients of a run share: the history, the conversations, and how much is to be done of what.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::history::{Element, History};
use super::replica::Conversation;

/// How a run goes.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What decides everything that is left to chance.
    pub seed: u64,
    /// How many conversations there are at a time.
    pub conversations: usize,
    /// How many of them may be deleted; another takes their place.
    pub mortal: usize,
    /// Whose they are, in turn.
    pub users: u32,
    /// How often an operation is tried.
    pub tries: u32,
    /// How long the first pause between two tries is; each is twice the one before.
    pub pause: Duration,
    /// Of a hundred appends, how many are cancelled in the middle and then sent again.
    pub cancelled_percent: u64,
    /// The latest moment after its beginning at which an append is cancelled.
    pub cancelled_within: Duration,
    /// Whether each replica has a journal, which the others do not see.
    pub has_journals: bool,
}

impl Plan {
    /// A run against processes.
    #[must_use]
    pub const fn processes(seed: u64) -> Self {
        Self {
            seed,
            conversations: 64,
            mortal: 8,
            users: 8,
            tries: 8,
            pause: Duration::from_millis(50),
            cancelled_percent: 8,
            cancelled_within: Duration::from_millis(10),
            has_journals: false,
        }
    }
}

/// What is known of the conversation in one place.
#[derive(Debug, Clone, Default)]
pub struct Slot {
    /// The conversation; `None`: it is to be begun.
    pub conversation: Option<Conversation>,
    /// The most turns that anybody has seen.
    pub turns: u32,
    /// The last revision that anybody has seen.
    pub revision: u64,
}

/// What the clients of a run share.
#[derive(Debug)]
pub struct World {
    /// How it goes.
    pub plan: Plan,
    /// What they saw.
    pub history: History,
    elements: AtomicU64,
    conversations: AtomicU64,
    slots: Vec<Mutex<Slot>>,
    /// Every conversation that there ever was.
    known: Mutex<Vec<Conversation>>,
    numbers: Mutex<HashMap<String, u64>>,
    over: AtomicBool,
}

impl World {
    /// An empty one.
    #[must_use]
    pub fn new(plan: Plan, history: History) -> Self {
        Self {
            plan,
            history,
            // 0 stands for what is none of ours.
            elements: AtomicU64::new(1),
            conversations: AtomicU64::new(1),
            slots: (0..plan.conversations).map(|_| Mutex::default()).collect(),
            known: Mutex::default(),
            numbers: Mutex::default(),
            over: AtomicBool::new(false),
        }
    }

    /// An element that there was not before.
    pub fn element(&self) -> Element {
        self.elements.fetch_add(1, Ordering::Relaxed)
    }

    /// The number of a new conversation.
    pub fn conversation(&self) -> u64 {
        self.conversations.fetch_add(1, Ordering::Relaxed)
    }

    /// What is known of the conversation in place `index`.
    pub fn slot(&self, index: usize) -> Slot {
        self.slots.get(index).map(|slot| lock(slot).clone()).unwrap_or_default()
    }

    /// Puts a conversation in place `index`, unless another is there already.
    pub fn begin(&self, index: usize, conversation: &Conversation) {
        self.know(conversation);
        let Some(slot) = self.slots.get(index) else { return };
        let mut slot = lock(slot);
        if slot.conversation.is_none() {
            *slot = Slot { conversation: Some(conversation.clone()), ..Slot::default() };
        }
    }

    /// Takes a conversation out of its place: another is begun there.
    pub fn end(&self, index: usize, conversation: &Conversation) {
        let Some(slot) = self.slots.get(index) else { return };
        let mut slot = lock(slot);
        if slot.conversation.as_ref() == Some(conversation) {
            *slot = Slot::default();
        }
    }

    /// Takes every other conversation out of its place.
    pub fn forget(&self) {
        for slot in self.slots.iter().step_by(2) {
            *lock(slot) = Slot::default();
        }
    }

    /// Notes how far a conversation has come.
    pub fn learn(&self, index: usize, conversation: &Conversation, turns: u32, revision: u64) {
        let Some(slot) = self.slots.get(index) else { return };
        let mut slot = lock(slot);
        if slot.conversation.as_ref() == Some(conversation) {
            slot.turns = slot.turns.max(turns);
            slot.revision = slot.revision.max(revision);
        }
    }

    /// Notes a conversation that stands in no place.
    pub fn know(&self, conversation: &Conversation) {
        let mut numbers = lock(&self.numbers);
        if numbers.insert(conversation.id.clone(), conversation.number).is_none() {
            lock(&self.known).push(conversation.clone());
        }
    }

    /// Every conversation that there ever was.
    pub fn known(&self) -> Vec<Conversation> {
        lock(&self.known).clone()
    }

    /// The numbers of the conversations of these ids, as far as they are known.
    pub fn numbers(&self, ids: &[String]) -> Vec<u64> {
        let numbers = lock(&self.numbers);
        ids.iter().filter_map(|id| numbers.get(id).copied()).collect()
    }

    /// Has the clients end, each after what it is doing.
    pub fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether the clients are to end.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
