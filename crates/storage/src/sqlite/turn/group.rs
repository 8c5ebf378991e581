//! Group commit: appends that arrive while a commit runs go together in the next one.
//!
//! The first to come starts the one task that commits. It takes who waits, a bounded group, applies them one
//! after the other in one transaction, answers each when that is committed, and goes on until nobody waits.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Appended, RepositoryError};
use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::Append;
use crate::sqlite::database::Database;

/// Appends in one commit at most: other writers wait for as long.
const MOST: usize = 64;

/// The appends of one store that wait for each other.
#[derive(Clone, Default)]
pub(in crate::sqlite) struct Appends(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Whether the task that commits is running.
    committing: bool,
    /// Groups since the store was opened.
    #[cfg(test)]
    groups: u64,
}

struct Waiting {
    /// Gone with who waits: a store that nobody uses any more closes its file.
    database: Database,
    append: Arc<Append>,
    answer: oneshot::Sender<RepositoryResult<Appended>>,
}

impl Waiting {
    /// Tells the caller; who does not wait any more is not told.
    fn answer(self, answer: RepositoryResult<Appended>) {
        let _gone = self.answer.send(answer);
    }
}

impl fmt::Debug for Appends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appends").finish_non_exhaustive()
    }
}

impl Appends {
    /// Has `append` done, by itself or with others. It is done whether its caller waits for it or not.
    pub(super) async fn join(&self, database: &Database, append: Append) -> RepositoryResult<Appended> {
        let key = append.command.turn.turn_id();
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut queue = self.queue();
            let append = Arc::new(append);
            queue.waiting.push_back(Waiting { database: database.clone(), append, answer });
            !std::mem::replace(&mut queue.committing, true)
        };
        if is_first {
            tokio::spawn(self.clone().commit_groups());
        }
        // Without an answer its task has ended in the middle, or the runtime has.
        answered.await.unwrap_or_else(|_| Err(RepositoryError::OutcomeUnknown { key: key.to_string() }))
    }

    async fn commit_groups(self) {
        while let Some(group) = self.next().await {
            // A bug must not leave the others waiting for ever.
            let _panicked = AssertUnwindSafe(commit(group)).catch_unwind().await;
        }
    }

    /// The group for the next commit; `None` where nobody waits, and then nobody commits any more.
    async fn next(&self) -> Option<Vec<Waiting>> {
        // Who was answered just now may be back in a moment: as long as somebody comes, it is waited for the next.
        let mut waiting = self.queue().waiting.len();
        loop {
            yield_now().await;
            let more = self.queue().waiting.len();
            if more <= waiting || more >= MOST {
                break;
            }
            waiting = more;
        }
        let mut queue = self.queue();
        let group = queue.waiting.len().min(MOST);
        queue.committing = group > 0;
        #[cfg(test)]
        {
            queue.groups += u64::from(group > 0);
        }
        (group > 0).then(|| queue.waiting.drain(..group).collect())
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Commits `group` together; where that fails and nothing was applied, each by itself, so that none fails for
/// its neighbour.
async fn commit(group: Vec<Waiting>) {
    let error = match commit_once(&group).await {
        Ok(outcomes) => {
            group.into_iter().zip(outcomes).for_each(|(waiting, outcome)| waiting.answer(outcome));
            return;
        }
        Err(error) => error,
    };
    if matches!(error, RepositoryError::OutcomeUnknown { .. }) {
        for waiting in group {
            let key = waiting.append.command.turn.turn_id();
            waiting.answer(Err(error.shared(key)));
        }
    } else if group.len() == 1 {
        group.into_iter().zip([error]).for_each(|(waiting, error)| waiting.answer(Err(error)));
    } else {
        for waiting in group {
            let outcomes = commit_once(std::slice::from_ref(&waiting)).await;
            match outcomes.map(|outcomes| outcomes.into_iter().next()) {
                Ok(Some(outcome)) => waiting.answer(outcome),
                // One append has one outcome.
                Ok(None) => drop(waiting),
                Err(error) => waiting.answer(Err(error)),
            }
        }
    }
}

async fn commit_once(group: &[Waiting]) -> RepositoryResult<Vec<RepositoryResult<Appended>>> {
    let Some(first) = group.first() else { return Ok(Vec::new()) };
    let appends: Vec<_> = group.iter().map(|waiting| Arc::clone(&waiting.append)).collect();
    let key = first.append.command.turn.turn_id();
    first
        .database
        .write(key, move |connection, now| {
            appends.iter().map(|append| append.apply(connection, now)).collect()
        })
        .await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::future::join_all;
    use lcs_domain::{
        Clock, Conversation, ConversationId, ConversationRepository, Metadata, NewConversation, NewTurn,
        Payload, SystemClock, Text, TurnId, TurnRepository, UserId,
    };

    use super::*;
    use crate::migration::Migrations;
    use crate::sqlite::{Sqlite, SqliteConfig};

    async fn store(folder: &tempfile::TempDir, coalesce_appends: bool) -> Sqlite {
        let config = SqliteConfig { coalesce_appends, ..SqliteConfig::file(folder.path().join("a.db")) };
        let store = Sqlite::open(config, Arc::new(SystemClock)).await.unwrap();
        store.run_pending().await.unwrap();
        store
    }

    async fn begin(store: &Sqlite) -> Conversation {
        let new = NewConversation::begin(Text::name("m", "/model_id").unwrap());
        store.create(UserId::from_text("u"), new).await.unwrap()
    }

    fn saying(conversation_id: ConversationId) -> lcs_domain::AppendTurn {
        let now = SystemClock.now();
        let said = Payload::parse("1").unwrap();
        let turn = NewTurn::new(TurnId::generate(), said, None, now, now, Metadata::default()).unwrap();
        lcs_domain::AppendTurn { conversation_id, turn, expected_turn_count: None, agent_state: None }
    }

    #[tokio::test]
    async fn appends_that_wait_share_a_commit_and_each_keeps_its_own_outcome() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder, true).await;
        let user = UserId::from_text("u");
        let (one, other) = (begin(&store).await, begin(&store).await);
        // Three to one conversation, one that expects other turns, one to none, and one sent twice.
        let again = saying(other.conversation_id);
        let mut appends: Vec<_> = (0..3).map(|_| saying(one.conversation_id)).collect();
        appends
            .push(lcs_domain::AppendTurn { expected_turn_count: Some(9), ..saying(other.conversation_id) });
        appends.push(saying(ConversationId::generate()));
        appends.extend([again.clone(), again]);
        let count = appends.len();
        let outcomes = join_all(appends.into_iter().map(|append| store.append(user, append))).await;
        let mut told: BTreeMap<String, usize> = BTreeMap::new();
        for outcome in outcomes {
            let told_as = match outcome {
                Ok(appended) => format!("{:?} {}", appended.turn_number, appended.replayed),
                Err(error) => error.to_string(),
            };
            *told.entry(told_as).or_default() += 1;
        }
        let expected = [
            ("Some(1) false", 2),
            ("Some(1) true", 1),
            ("Some(2) false", 1),
            ("Some(3) false", 1),
            ("conversation not found", 1),
            ("the conversation has changed: expected 9, found 0", 1),
        ];
        assert_eq!(told, expected.map(|(told, count)| (told.to_owned(), count)).into());
        let groups = store.appends.as_ref().unwrap().queue().groups;
        assert!(groups < count as u64, "{groups} commits for {count}");
    }

    #[tokio::test]
    async fn what_one_fails_at_is_not_the_others_failure() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder, true).await;
        let user = UserId::from_text("u");
        let conversations = join_all((0..8).map(|_| begin(&store))).await;
        let poisoned = conversations[3].conversation_id;
        let trigger = format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON conversation_turns WHEN hex(NEW.conversation_id) = '{}'
             BEGIN SELECT RAISE(FAIL, 'no'); END",
            poisoned.as_uuid().simple().to_string().to_uppercase()
        );
        let made = store.database.write("test", move |connection, _| {
            use diesel::connection::SimpleConnection;
            Ok(connection.batch_execute(&trigger)?)
        });
        made.await.unwrap();
        let appends = conversations.iter().map(|one| store.append(user, saying(one.conversation_id)));
        for (one, outcome) in conversations.iter().zip(join_all(appends).await) {
            let is_poisoned = one.conversation_id == poisoned;
            assert_eq!(outcome.is_err(), is_poisoned, "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn without_it_each_append_has_its_own_commit() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder, false).await;
        assert!(store.appends.is_none());
        let one = begin(&store).await;
        let appended = store.append(UserId::from_text("u"), saying(one.conversation_id)).await.unwrap();
        assert_eq!(appended.turn_number, Some(1));
    }
}
