//! Writes of one kind that arrive while others are under way go together in the next statement.
//!
//! Who finds nothing under way goes at once, alone, in its caller's own task. Everybody else waits in a queue, from
//! which a batch is taken as soon as a statement has been answered: at most one write to a conversation, within
//! bounds of count and bytes, and of one user where row-level security is configured. So nobody waits when there is
//! nothing to wait for, and the more there is to do, the more is done in one commit.
//!
//! A statement that takes long, because a conversation is locked elsewhere, holds up nobody but those who are in
//! it: whoever has waited for [`PATIENCE`] has another statement begun. Each kind of write has a queue of its own,
//! and these numbers are for each of them.

mod queue;

use std::collections::HashSet;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{RepositoryError, UserId};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use self::queue::{MOST_WRITES, Queue};
use super::Postgres;
use super::connect::Purpose;
use super::error::Fault;
use super::in_place::InPlace;
use super::operation::detached;
use super::retry::{Operation, outcome_unknown};
use super::statement::Single;

/// Statements under way at once where some of them take long: what the pool is left with serves all else.
const MOST_STATEMENTS: usize = 8;
/// How long one waits until another statement is begun.
const PATIENCE: Duration = Duration::from_millis(25);

/// A write that can be done by itself, and with others of its kind in one statement.
pub(super) trait Write: Send + Sync + Sized + 'static {
    /// What its caller is told.
    type Done: Send + 'static;

    /// Whose it is.
    fn user_id(&self) -> UserId;

    /// The conversation that it is to: of two writes to the same one, the second waits for the first.
    fn conversation_id(&self) -> Uuid;

    /// The key that it can be sent again with.
    fn key(&self) -> Uuid;

    /// The bytes that it sends, about.
    fn bytes(&self) -> usize;

    /// Does it, where nothing stands against it; `None`: something does, and nothing was done.
    fn try_alone(
        &self,
        store: &Postgres,
    ) -> impl Future<Output = RepositoryResult<Option<Self::Done>>> + Send;

    /// Does what could not be done like that, or says what stands against it.
    fn decide(&self, store: &Postgres) -> impl Future<Output = RepositoryResult<Self::Done>> + Send;

    /// Does those of `batch` in one statement that nothing stands against, and answers them; gives the others.
    fn together(batch: Vec<Waiting<Self>>) -> impl Future<Output = Vec<Waiting<Self>>> + Send;
}

/// The writes of one kind and one store that wait for each other.
pub(super) struct Coalescer<W: Write> {
    /// Whether a batch is of one user.
    by_user: bool,
    queue: Mutex<Queue<W>>,
}

/// A write, and who waits for it.
pub(super) struct Waiting<W: Write> {
    /// The store for this call.
    store: Postgres,
    pub(super) write: W,
    deadline: Instant,
    span: Span,
    answer: oneshot::Sender<RepositoryResult<W::Done>>,
}

impl Postgres {
    /// Does `write`, with others where there are any to do it with. Once begun, it is done also where its caller stops
    /// waiting for it.
    pub(super) async fn coalesced<W: Write>(
        &self,
        write: W,
        others: Option<&Arc<Coalescer<W>>>,
    ) -> RepositoryResult<W::Done> {
        let store = self.operation();
        if let Some(others) = others {
            return Waiting::join(store, write, others).await;
        }
        let key = write.key();
        let alone = async move {
            match write.try_alone(&store).await? {
                Some(done) => Ok(done),
                None => write.decide(&store).await,
            }
        };
        // On the heap: who goes with others, as mostly, would else keep room for it.
        detached(key, Box::pin(alone)).await
    }
}

impl<W: Write> Waiting<W> {
    /// Has `write` done, by itself or with others.
    async fn join(store: Postgres, write: W, others: &Arc<Coalescer<W>>) -> RepositoryResult<W::Done> {
        let key = write.key();
        let (answer, answered) = oneshot::channel();
        let deadline = store.tries(Purpose::Service).deadline();
        let waiting = Self { store, write, deadline, span: Span::current(), answer };
        let batch = others.queue().arrive(waiting, others.by_user);
        match batch {
            Some(batch) if batch.iter().all(|waiting| waiting.write.key() == key) => {
                // Whoever stops waiting for it lets it go on in a task of its own.
                let _late = timeout(PATIENCE, others.in_place(batch)).await;
            }
            Some(batch) => others.spawn(batch),
            None => {}
        }
        let mut answered = pin!(answered);
        let answer = loop {
            if let Ok(answer) = timeout(PATIENCE, &mut answered).await {
                break answer;
            }
            others.refuse_late();
            others.take_over();
            others.start(MOST_STATEMENTS);
        };
        // Without an answer its task has ended in the middle, or the runtime has.
        answer.unwrap_or_else(|_| Err(outcome_unknown(key)))
    }

    /// Tells the caller; who does not wait any more is not told.
    pub(super) fn answer(self, answer: RepositoryResult<W::Done>) {
        let _gone = self.answer.send(answer);
    }

    /// Tells the caller that it was not done, and nothing of it was sent.
    fn refuse_as_late(self) {
        let reason = "it did not answer the writes before this one in time";
        self.answer(Err(RepositoryError::unavailable(reason)));
    }

    /// Notes that a statement was lost that may have done it.
    fn lose(&self) {
        if let Some(operation) = &self.store.operation {
            operation.lose(self.write.key());
        }
    }

    fn lane(&self) -> Uuid {
        self.write.conversation_id()
    }
}

/// Runs `statement` for all of `batch`: its rows, and who is still to be answered by them, or one by one. Where
/// it failed at what is everybody's, everybody is answered.
pub(super) async fn run_together<W: Write, U: Send + 'static>(
    batch: Vec<Waiting<W>>,
    statement: &impl Single<U>,
) -> (Vec<U>, Vec<Waiting<W>>) {
    let Some(first) = batch.iter().min_by_key(|waiting| waiting.deadline) else {
        return (Vec::new(), batch);
    };
    // One user's, where row-level security is configured; otherwise the statement names each write's own.
    let (user_id, key) = (first.write.user_id(), first.write.key());
    let store = first.store.operation_until(first.deadline);
    let written = store.write::<U>(user_id, key, statement).await;
    if store.operation.as_deref().is_some_and(Operation::has_lost) {
        // What becomes of them one by one is no proof that the lost statement did nothing.
        batch.iter().for_each(Waiting::lose);
    }
    let error = match written {
        Ok(answer) => return (answer.rows, batch),
        Err(Fault::Constraint(_)) => return (Vec::new(), batch),
        Err(fault) => fault.into_error(),
    };
    let is_of_all = matches!(
        error,
        RepositoryError::Unavailable { .. }
            | RepositoryError::OutcomeUnknown { .. }
            | RepositoryError::ReadOnly { .. }
            | RepositoryError::StorageFull { .. }
            | RepositoryError::SchemaSkew { .. }
    );
    if !is_of_all {
        // One of them may be what the others suffer from.
        return (Vec::new(), batch);
    }
    for waiting in batch {
        let error = error.shared(waiting.write.key());
        waiting.answer(Err(error));
    }
    (Vec::new(), Vec::new())
}

impl<W: Write> Coalescer<W> {
    pub(super) fn new(by_user: bool) -> Self {
        Self { by_user, queue: Mutex::default() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<W>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a statement for those who wait, if fewer than `limit` are under way.
    fn start(self: &Arc<Self>, limit: usize) {
        if let Some(batch) = self.queue().begin(limit, self.by_user) {
            self.spawn(batch);
        }
    }

    /// Begins a second statement, where as many wait as are under way.
    fn start_where_worth_it(self: &Arc<Self>) {
        let worth = self.queue().worth();
        self.start(worth);
    }

    /// Runs one statement after the other in a task of its own, until nobody waits.
    fn spawn(self: &Arc<Self>, batch: Vec<Waiting<W>>) {
        tokio::spawn(self.runner(&batch).run(batch));
    }

    /// Runs one statement in the caller's task; what comes behind it has one of its own.
    fn in_place(self: &Arc<Self>, batch: Vec<Waiting<W>>) -> InPlace {
        let work = InPlace::new(self.runner(&batch).run_first(batch), Handle::current());
        self.queue().note(work.begun());
        work
    }

    /// Has the statements go on whose callers have begun them, and may have forgotten them.
    fn take_over(&self) {
        let mut begun = mem::take(&mut self.queue().in_place);
        // Who is at it just now may forget it afterwards.
        begun.retain(|begun| !begun.take_over());
        self.queue().in_place.append(&mut begun);
    }

    /// Answers those who have waited to their end without being in any statement.
    fn refuse_late(&self) {
        let late = self.queue().late(Instant::now());
        late.into_iter().for_each(Waiting::refuse_as_late);
    }

    fn runner(self: &Arc<Self>, batch: &[Waiting<W>]) -> Runner<W> {
        Runner {
            others: Arc::clone(self),
            writes: batch.len(),
            lanes: batch.iter().map(Waiting::lane).collect(),
            gathers: false,
            runs: true,
        }
    }
}

/// What a task that runs statements holds of the queue. It is given back also where the task is dropped: the
/// runtime that it runs on may end before another one that uses the same store.
struct Runner<W: Write> {
    others: Arc<Coalescer<W>>,
    /// The writes of its statement, and those of their conversations that are free after it.
    writes: usize,
    lanes: HashSet<Uuid>,
    /// Whether it is about to take a batch.
    gathers: bool,
    /// Whether it is counted as running.
    runs: bool,
}

impl<W: Write> Runner<W> {
    /// Runs a statement for `batch`, and others for those who wait then.
    async fn run(mut self, batch: Vec<Waiting<W>>) {
        self.run_one(batch).await;
        self.go_on().await;
    }

    /// Runs a statement for `batch`, and leaves it to another task to go on, where somebody waits.
    async fn run_first(mut self, batch: Vec<Waiting<W>>) {
        self.run_one(batch).await;
        if !self.ends() {
            tokio::spawn(self.go_on());
        }
    }

    async fn run_one(&mut self, batch: Vec<Waiting<W>>) {
        // A bug must not leave conversations busy for ever.
        let undecided = AssertUnwindSafe(tried(batch)).catch_unwind().await.unwrap_or_default();
        for waiting in undecided {
            self.lanes.remove(&waiting.lane());
            let lane = Lane { others: Arc::clone(&self.others), conversation_id: waiting.lane() };
            tokio::spawn(lane.decide(waiting));
        }
    }

    async fn go_on(mut self) {
        while !self.ends() {
            let Some(next) = self.next().await else { return };
            self.writes = next.len();
            self.lanes = next.iter().map(Waiting::lane).collect();
            // The other half, where this took one.
            self.others.start_where_worth_it();
            self.run_one(next).await;
        }
    }

    /// Frees the conversations of the statement that has ended, and ends this where nobody waits, and nobody but a single
    /// caller can be back in a moment.
    fn ends(&mut self) -> bool {
        let mut queue = self.others.queue();
        let writes = mem::take(&mut self.writes);
        queue.end(writes, &mem::take(&mut self.lanes));
        if writes > 1 || !queue.waiting.is_empty() {
            return false;
        }
        queue.runners -= 1;
        self.runs = false;
        true
    }

    /// The next batch, now that this one's conversations are free; `None`: this was the last.
    async fn next(&mut self) -> Option<Vec<Waiting<W>>> {
        let mut waiting = {
            let mut queue = self.others.queue();
            queue.gathering += 1;
            queue.waiting.len()
        };
        self.gathers = true;
        // Who was answered just now may be back in a moment: as long as somebody comes, it is waited for the next.
        loop {
            yield_now().await;
            let more = self.others.queue().waiting.len();
            if more <= waiting || more >= MOST_WRITES {
                break;
            }
            waiting = more;
        }
        let mut queue = self.others.queue();
        queue.gathering -= 1;
        self.gathers = false;
        let next = queue.go_on(self.others.by_user);
        self.runs = next.is_some();
        next
    }
}

impl<W: Write> Drop for Runner<W> {
    fn drop(&mut self) {
        let mut queue = self.others.queue();
        queue.end(self.writes, &self.lanes);
        queue.gathering -= usize::from(self.gathers);
        queue.runners -= usize::from(self.runs);
    }
}

/// A conversation to which a write is being decided by itself: busy as long as this is there.
struct Lane<W: Write> {
    others: Arc<Coalescer<W>>,
    conversation_id: Uuid,
}

impl<W: Write> Lane<W> {
    /// Decides one write by itself, and lets its conversation's next one go.
    async fn decide(self, waiting: Waiting<W>) {
        let deciding = waiting.write.decide(&waiting.store).instrument(waiting.span.clone());
        let decided = AssertUnwindSafe(deciding).catch_unwind().await;
        let others = Arc::clone(&self.others);
        drop(self);
        others.start(1);
        if let Ok(decided) = decided {
            waiting.answer(decided);
        }
    }
}

impl<W: Write> Drop for Lane<W> {
    fn drop(&mut self) {
        self.others.queue().busy.remove(&self.conversation_id);
    }
}

/// Tries to do each of `batch`, and gives those that are still to be decided.
async fn tried<W: Write>(batch: Vec<Waiting<W>>) -> Vec<Waiting<W>> {
    let now = Instant::now();
    let (late, batch): (Vec<_>, Vec<_>) = batch.into_iter().partition(|waiting| waiting.deadline <= now);
    late.into_iter().for_each(Waiting::refuse_as_late);
    if batch.len() > 1 {
        let span = tracing::info_span!(parent: None, "db.write_batch", writes = batch.len());
        return W::together(batch).instrument(span).await;
    }
    let Some(waiting) = batch.into_iter().next() else { return Vec::new() };
    match waiting.write.try_alone(&waiting.store).instrument(waiting.span.clone()).await {
        Ok(Some(done)) => waiting.answer(Ok(done)),
        Ok(None) => return vec![waiting],
        Err(error) => waiting.answer(Err(error)),
    }
    Vec::new()
}
