//! What is kept in memory for the time of one outage, and the ledger of it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use std::sync::Arc;

use lcs_domain::{AgentId, Appended, Conversation, ConversationId, Repositories, UserId};

use super::{MakeMemory, VolatileCount};

/// The store of one outage's conversations.
pub(super) struct Volatile {
    make: MakeMemory,
    /// Made when the first conversation or request is begun: most outages have none.
    store: OnceLock<Arc<dyn Repositories>>,
    ledger: Mutex<Ledger>,
}

/// What was acknowledged. A port cannot say how much a store holds of all users, and the ledger has to
/// know whose conversation it is: a foreign one is as unknown as any other (P9).
#[derive(Default)]
struct Ledger {
    conversations: HashMap<ConversationId, Record>,
    agents: HashMap<AgentId, ConversationId>,
    /// They are in the store, and are not what they are there.
    forgotten: HashSet<(UserId, ConversationId)>,
}

struct Record {
    user_id: UserId,
    turn_count: u32,
    has_state: bool,
}

impl Volatile {
    pub(super) fn new(make: MakeMemory) -> Self {
        Self { make, store: OnceLock::new(), ledger: Mutex::default() }
    }

    /// The store, for a conversation that is to be begun.
    pub(super) fn store(&self) -> &dyn Repositories {
        &**self.store.get_or_init(|| (self.make)())
    }

    /// The store, where this user began the conversation in this outage.
    pub(super) fn of_conversation(&self, user_id: UserId, id: ConversationId) -> Option<&dyn Repositories> {
        let is_known = self.ledger().conversations.get(&id).is_some_and(|record| record.user_id == user_id);
        is_known.then(|| self.store())
    }

    /// The store, where the agent speaks in a conversation that this user began in this outage.
    pub(super) fn of_agent(&self, user_id: UserId, agent_id: AgentId) -> Option<&dyn Repositories> {
        let conversation_id = self.ledger().agents.get(&agent_id).copied()?;
        self.of_conversation(user_id, conversation_id)
    }

    pub(super) fn note_created(&self, made: &Conversation) {
        let mut ledger = self.ledger();
        ledger.agents.insert(made.agent_id, made.conversation_id);
        ledger.conversations.entry(made.conversation_id).or_insert(Record {
            user_id: made.user_id,
            turn_count: 0,
            has_state: false,
        });
    }

    pub(super) fn note_appended(&self, id: ConversationId, appended: &Appended) {
        if let Some(record) = self.ledger().conversations.get_mut(&id) {
            // The largest number and not one more each time: a replay adds nothing, and an append whose
            // caller gave up is counted with the next.
            record.turn_count = record.turn_count.max(appended.turn_number.unwrap_or_default());
            record.has_state |= appended.state_revision > 0;
        }
    }

    pub(super) fn note_saved(&self, id: ConversationId) {
        if let Some(record) = self.ledger().conversations.get_mut(&id) {
            record.has_state = true;
        }
    }

    /// This user's conversation is not what is in memory any more, if it ever was: from now on it is as
    /// unknown as any other.
    pub(super) fn forget(&self, user_id: UserId, id: ConversationId) {
        let mut ledger = self.ledger();
        if ledger.conversations.get(&id).is_some_and(|record| record.user_id == user_id) {
            ledger.conversations.remove(&id);
        }
        ledger.forgotten.insert((user_id, id));
    }

    pub(super) fn has_forgotten(&self, user_id: UserId, id: ConversationId) -> bool {
        self.ledger().forgotten.contains(&(user_id, id))
    }

    pub(super) fn count(&self) -> VolatileCount {
        let ledger = self.ledger();
        let mut count = VolatileCount::default();
        for record in ledger.conversations.values() {
            count += VolatileCount {
                conversations: 1,
                turns: record.turn_count.into(),
                agent_states: record.has_state.into(),
            };
        }
        count
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
