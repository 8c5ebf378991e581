//! One client: does one thing after the other, tries again where it may, and notes what it saw.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use lcs_domain::Durability;
use tokio::time::{sleep, timeout};

use super::dice::Dice;
use super::history::{Event, Outcome, Page, Record, Seen};
use super::replica::{Append, Conversation, Failure, Refusal, Replica, Reply};
use super::workload::{Slot, World};

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// Why something was refused that an earlier try may have done itself.
const CONFLICT: &str = "conflict after a lost answer";
/// How many turns an ordinary page has.
const PAGE: u32 = 20;

/// A client of all replicas of a run.
pub struct Client {
    number: u32,
    world: Arc<World>,
    replicas: Vec<Arc<dyn Replica>>,
    dice: Dice,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What the tries of an operation that were not answered may have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Nothing: it only reads.
    None,
    /// Nothing yet.
    NotYet,
    /// All of it.
    Perhaps,
}

/// What was asked of whom since when.
struct Asked {
    invoke_ns: u64,
    user: u32,
    conversation: u64,
}

impl Client {
    /// The client of this number.
    #[must_use]
    pub fn new(number: u32, world: &Arc<World>, replicas: Vec<Arc<dyn Replica>>) -> Self {
        let dice = Dice::part(world.plan.seed, u64::from(number) + 1);
        Self { number, world: Arc::clone(world), replicas, dice }
    }

    /// Does what clients do, until the run is over.
    pub async fn run(mut self) -> Result<(), Failure> {
        while !self.world.is_over() {
            self.step().await?;
        }
        Ok(())
    }

    /// Reads from one replica, again and again without trying twice, so that it is seen when that answers again.
    pub async fn probe(mut self, replica: usize) -> Result<(), Failure> {
        while !self.world.is_over() {
            let index = self.place();
            if let Some(conversation) = self.world.slot(index).conversation {
                let asked = self.asked(conversation.user, &conversation);
                let (user, replica) = (conversation.user, replica % self.replicas.len().max(1));
                let outcome = match self.replicas.get(replica) {
                    Some(replica) => judged(replica.read(user, &conversation, None, 1).await, Effect::None),
                    None => break,
                };
                self.note(u32::try_from(replica)?, &asked, Event::Read(outcome))?;
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<(), Failure> {
        let index = self.place();
        let slot = self.world.slot(index);
        let Some(conversation) = slot.conversation.clone() else { return self.create(index).await };
        let is_mortal = index >= self.world.plan.conversations - self.world.plan.mortal;
        match self.dice.below(1000) {
            0..100 => self.read(index, &conversation, None, PAGE).await.map(|_| ()),
            100..180 => {
                let after = u32::try_from(self.dice.below(u64::from(slot.turns)))?;
                self.read(index, &conversation, Some(after), PAGE).await.map(|_| ())
            }
            180..220 => {
                self.state(index, &conversation).await?;
                self.read(index, &conversation, None, PAGE).await.map(|_| ())
            }
            220..235 => self.peek(&conversation).await,
            235..250 => self.list(conversation.user).await,
            250..320 => self.put(index, &conversation, &slot).await,
            320..335 if is_mortal => self.delete(index, &conversation).await,
            _ => {
                let state_from = self.dice.wins(20).then_some(slot.revision);
                let is_cancelled = self.dice.wins(self.world.plan.cancelled_percent);
                self.append(index, &conversation, state_from, is_cancelled).await
            }
        }
    }

    fn place(&mut self) -> usize {
        usize::try_from(self.dice.below(self.world.plan.conversations as u64)).unwrap_or_default()
    }

    /// Begins the conversation of a place.
    pub async fn create(&mut self, index: usize) -> Result<(), Failure> {
        let number = self.world.conversation();
        let user = u32::try_from(index)? % self.world.plan.users;
        if let Some(conversation) = self.begin(user, number).await? {
            self.world.begin(index, &conversation);
        }
        Ok(())
    }

    /// Begins a conversation.
    pub async fn begin(&mut self, user: u32, number: u64) -> Result<Option<Conversation>, Failure> {
        let asked = Asked { invoke_ns: self.world.history.now_ns(), user, conversation: number };
        let replicas = self.replicas.clone();
        let (by, outcome) =
            self.tried(&replicas, Effect::NotYet, |replica| replica.create(user, number)).await;
        let begun = outcome.ok().map(|(conversation, _)| conversation.clone());
        if let Some(conversation) = &begun {
            self.world.know(conversation);
        }
        self.note(by, &asked, Event::Create(without_value(outcome)))?;
        Ok(begun)
    }

    /// Appends a turn, perhaps with a state; where it is cancelled, the first try is given up in the middle.
    pub async fn append(
        &mut self,
        index: usize,
        conversation: &Conversation,
        state_from: Option<u64>,
        is_cancelled: bool,
    ) -> Result<(), Failure> {
        let length = usize::try_from(self.dice.below(20))?;
        let append = Append::new(self.world.element(), length, state_from);
        let asked = self.asked(conversation.user, conversation);
        let replicas = self.replicas.clone();
        if is_cancelled {
            let within = u64::try_from(self.world.plan.cancelled_within.as_micros())?;
            let after = Duration::from_micros(self.dice.below(within + 1));
            let by = self.dice.below(replicas.len() as u64);
            if let Some(replica) = replicas.get(usize::try_from(by)?) {
                let _given_up = timeout(after, replica.append(conversation, &append)).await;
            }
        }
        let effect = if is_cancelled { Effect::Perhaps } else { Effect::NotYet };
        let (by, outcome) =
            self.tried(&replicas, effect, |replica| replica.append(conversation, &append)).await;
        // What has been appended is known by its key before anything else is compared: this one has not been.
        // But for a journal, which another replica does not see: the earlier try may be in it.
        let outcome = match outcome {
            Outcome::Unknown(why) if why == CONFLICT && !self.world.plan.has_journals => Outcome::Failed(why),
            outcome => outcome,
        };
        if let Some((placed, _)) = outcome.ok() {
            self.world.learn(index, conversation, placed.turn.unwrap_or_default(), placed.revision);
        }
        let is_stale = state_from.is_some() && outcome.is_not_done();
        self.gone(index, conversation, &outcome);
        let (element, digest) = (append.element, append.digest());
        self.note(by, &asked, Event::Append { element, digest, state_from, outcome })?;
        if is_stale { self.state(index, conversation).await.map(|_| ()) } else { Ok(()) }
    }

    /// Reads turns.
    pub async fn read(
        &mut self,
        index: usize,
        conversation: &Conversation,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Option<Page>, Failure> {
        let asked = self.asked(conversation.user, conversation);
        let (replicas, user) = (self.replicas.clone(), conversation.user);
        let (by, outcome) = self
            .tried(&replicas, Effect::None, |replica| replica.read(user, conversation, after, limit))
            .await;
        let page = outcome.ok().map(|(page, _)| page.clone());
        if let Some(page) = &page {
            self.world.learn(index, conversation, page.turn_count, 0);
        }
        self.gone(index, conversation, &outcome);
        self.note(by, &asked, Event::Read(outcome))?;
        Ok(page)
    }

    /// Reads the agent's state.
    pub async fn state(
        &mut self,
        index: usize,
        conversation: &Conversation,
    ) -> Result<Option<Seen>, Failure> {
        let asked = self.asked(conversation.user, conversation);
        let (replicas, user) = (self.replicas.clone(), conversation.user);
        let (by, outcome) =
            self.tried(&replicas, Effect::None, |replica| replica.state(user, conversation)).await;
        let seen = outcome.ok().map(|(seen, _)| *seen);
        if let Some(seen) = seen {
            self.world.learn(index, conversation, seen.through_turn, seen.revision);
        }
        self.gone(index, conversation, &outcome);
        self.note(by, &asked, Event::State(outcome))?;
        Ok(seen)
    }

    async fn put(&mut self, index: usize, conversation: &Conversation, slot: &Slot) -> Result<(), Failure> {
        let (element, from) = (self.world.element(), slot.revision);
        let asked = self.asked(conversation.user, conversation);
        let (replicas, turns) = (self.replicas.clone(), slot.turns);
        let (by, mut outcome) = self
            .tried(&replicas, Effect::NotYet, |replica| replica.put(conversation, element, from, turns))
            .await;
        if matches!(outcome, Outcome::Unknown(_)) {
            // A state has no key: whether it is stored is seen by looking.
            let user = conversation.user;
            let look = self.tried(&replicas, Effect::None, |replica| replica.state(user, conversation));
            if let (_, Outcome::Ok(seen, durability)) = look.await
                && seen.element == element
            {
                outcome = Outcome::Ok(seen.revision, durability);
            }
        }
        if let Some((revision, _)) = outcome.ok() {
            self.world.learn(index, conversation, 0, *revision);
        }
        let is_done = outcome.ok().is_some();
        self.gone(index, conversation, &outcome);
        self.note(by, &asked, Event::Put { element, from, outcome })?;
        if is_done { Ok(()) } else { self.state(index, conversation).await.map(|_| ()) }
    }

    /// Looks for a conversation as somebody whose it is not.
    async fn peek(&mut self, conversation: &Conversation) -> Result<(), Failure> {
        let user = (conversation.user + 1) % self.world.plan.users;
        let asked = self.asked(user, conversation);
        let replicas = self.replicas.clone();
        let event = if self.dice.wins(50) {
            let (by, outcome) = self
                .tried(&replicas, Effect::None, |replica| replica.read(user, conversation, None, PAGE))
                .await;
            (by, Event::Read(outcome))
        } else {
            let (by, outcome) =
                self.tried(&replicas, Effect::None, |replica| replica.state(user, conversation)).await;
            (by, Event::State(outcome))
        };
        self.note(event.0, &asked, event.1)
    }

    async fn list(&mut self, user: u32) -> Result<(), Failure> {
        let asked = Asked { invoke_ns: self.world.history.now_ns(), user, conversation: 0 };
        let replicas = self.replicas.clone();
        let (by, outcome) = self.tried(&replicas, Effect::None, |replica| replica.list(user)).await;
        let outcome = match outcome {
            Outcome::Ok(ids, durability) => Outcome::Ok(self.world.numbers(&ids), durability),
            other => without(other),
        };
        self.note(by, &asked, Event::List(outcome))
    }

    async fn delete(&mut self, index: usize, conversation: &Conversation) -> Result<(), Failure> {
        let asked = self.asked(conversation.user, conversation);
        let replicas = self.replicas.clone();
        let (by, outcome) =
            self.tried(&replicas, Effect::NotYet, |replica| replica.delete(conversation)).await;
        self.note(by, &asked, Event::Delete(outcome))?;
        self.world.end(index, conversation);
        Ok(())
    }

    /// Reads everything that there is, when nobody writes any more.
    pub async fn last_look(mut self) -> Result<(), Failure> {
        for conversation in self.world.known() {
            let page = self.all_turns(&conversation).await?;
            let replicas = self.replicas.clone();
            let state = if page.is_some() {
                let user = conversation.user;
                let outcome =
                    self.tried(&replicas, Effect::None, |replica| replica.state(user, &conversation));
                match outcome.await.1 {
                    Outcome::Ok(seen, _) => Some(seen),
                    other => return Err(format!("the last look failed: {}", other.word()).into()),
                }
            } else {
                None
            };
            let asked = self.asked(conversation.user, &conversation);
            self.note(0, &asked, Event::Final { page, state })?;
        }
        Ok(())
    }

    async fn all_turns(&mut self, conversation: &Conversation) -> Result<Option<Page>, Failure> {
        let mut whole = Page { after: Some(0), limit: u32::MAX, turn_count: 0, turns: Vec::new() };
        loop {
            let after = Some(u32::try_from(whole.turns.len())?);
            let (replicas, user) = (self.replicas.clone(), conversation.user);
            let outcome =
                self.tried(&replicas, Effect::None, |replica| replica.read(user, conversation, after, 200));
            match outcome.await.1 {
                Outcome::Ok(page, Durability::Durable) => {
                    whole.turn_count = page.turn_count;
                    let is_last = page.turns.len() < 200;
                    whole.turns.extend(page.turns);
                    if is_last {
                        return Ok(Some(whole));
                    }
                }
                Outcome::Absent => return Ok(None),
                // Not from the database: it is waited for.
                Outcome::Ok(..) => sleep(self.world.plan.pause).await,
                other => return Err(format!("the last look failed: {}", other.word()).into()),
            }
        }
    }

    /// Asks one replica after the other until there is an answer.
    async fn tried<'a, T>(
        &mut self,
        replicas: &'a [Arc<dyn Replica>],
        mut effect: Effect,
        call: impl Fn(&'a dyn Replica) -> BoxFuture<'a, Reply<T>>,
    ) -> (u32, Outcome<T>) {
        let first = self.dice.below(replicas.len() as u64);
        let mut pause = self.world.plan.pause;
        let mut by = 0;
        let mut why = String::new();
        for attempt in 0..u64::from(self.world.plan.tries) {
            if attempt > 0 {
                let half = u64::try_from(pause.as_micros()).unwrap_or_default() / 2;
                sleep(Duration::from_micros(half + self.dice.below(half + 1))).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            by = (first + attempt) % replicas.len().max(1) as u64;
            let Some(replica) = usize::try_from(by).ok().and_then(|by| replicas.get(by)) else { break };
            match call(replica.as_ref()).await {
                Err(Refusal::NotDone(reason)) => why = reason,
                Err(Refusal::Unknown(reason)) => {
                    why = reason;
                    if effect == Effect::NotYet {
                        effect = Effect::Perhaps;
                    }
                }
                answer => return (u32::try_from(by).unwrap_or_default(), judged(answer, effect)),
            }
        }
        (u32::try_from(by).unwrap_or_default(), judged(Err(Refusal::NotDone(why)), effect))
    }

    fn asked(&self, user: u32, conversation: &Conversation) -> Asked {
        Asked { invoke_ns: self.world.history.now_ns(), user, conversation: conversation.number }
    }

    fn note(&self, replica: u32, asked: &Asked, event: Event) -> Result<(), Failure> {
        let Asked { invoke_ns, user, conversation } = *asked;
        let client = self.number;
        let record = Record { client, replica, user, conversation, invoke_ns, return_ns: invoke_ns, event };
        self.world.history.write(record)
    }

    /// Leaves the place of a conversation that is gone to another.
    fn gone<T>(&self, index: usize, conversation: &Conversation, outcome: &Outcome<T>) {
        if matches!(outcome, Outcome::Absent | Outcome::Gone) {
            self.world.end(index, conversation);
        }
    }
}

/// What an answer means where earlier tries have had this effect.
fn judged<T>(answer: Reply<T>, effect: Effect) -> Outcome<T> {
    match (answer, effect) {
        (Ok((value, durability)), _) => Outcome::Ok(value, durability),
        (Err(Refusal::Wrong(why)), _) => Outcome::Wrong(why),
        (Err(Refusal::Absent), Effect::Perhaps) => Outcome::Gone,
        (Err(Refusal::Absent), _) => Outcome::Absent,
        (Err(Refusal::Conflict), Effect::Perhaps) => Outcome::Unknown(CONFLICT.into()),
        (Err(Refusal::Conflict), _) => Outcome::Failed("conflict".into()),
        (Err(Refusal::NotDone(why) | Refusal::Unknown(why)), Effect::Perhaps) => Outcome::Unknown(why),
        (Err(Refusal::NotDone(why) | Refusal::Unknown(why)), _) => Outcome::Failed(why),
    }
}

fn without_value<T>(outcome: Outcome<T>) -> Outcome<()> {
    match outcome {
        Outcome::Ok(_, durability) => Outcome::Ok((), durability),
        other => without(other),
    }
}

/// The same for another kind of value, where there is none.
fn without<T, U>(outcome: Outcome<T>) -> Outcome<U> {
    match outcome {
        Outcome::Ok(..) | Outcome::Absent => Outcome::Absent,
        Outcome::Failed(why) => Outcome::Failed(why),
        Outcome::Unknown(why) => Outcome::Unknown(why),
        Outcome::Gone => Outcome::Gone,
        Outcome::Wrong(why) => Outcome::Wrong(why),
    }
}
