//! Two batches of a purge at once, and what goes on beside them, with the moments held open that a race only meets by
//! chance.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use lcs_domain::archive::Restored;
use lcs_domain::audit::{AuditVerification, verify};
use lcs_domain::transfer::{Imported, IncomingConversation, IncomingHead, Refusal};
use lcs_domain::{
    Actor, AgentId, ArchiveRepository, AuditAction, AuditQuery, AuditRepository, Conversation,
    ConversationId, ConversationRepository, Entity, ErasureRepository, HoldRepository, HoldTarget, Keep,
    NewConversation, NewHold, NewRetentionOverride, PageLimit, PurgeReport, Repositories, RepositoryError,
    RetentionOverrideRepository, RetentionRepository, Text, TransferRepository,
};
use lcs_storage::postgres::Postgres;
use lcs_storage::testing::TestPostgres;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::archive::archived;
use crate::support::{append, begin, ninety_days, saying, store};

const SOON: Duration = Duration::from_secs(20);

/// Whoever removes a turn waits at the gate of its conversation: the batch has all of its locks then.
const GATES: &str = "CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    PERFORM pg_advisory_xact_lock_shared(7, hashtext(OLD.conversation_id::text)); RETURN OLD; END $$; \
    CREATE TRIGGER gate BEFORE DELETE ON conversation_turns FOR EACH ROW EXECUTE FUNCTION pass()";

/// The gates of conversations, which are closed.
struct Gates(Client);

impl Gates {
    async fn closed(database: &TestPostgres, conversations: &[Conversation]) -> Self {
        database.execute(GATES).await;
        let gates = Self(database.client().await);
        for conversation in conversations {
            gates.turn("lock", conversation.conversation_id).await;
        }
        gates
    }

    async fn turn(&self, how: &str, id: ConversationId) {
        let sql = format!("SELECT pg_advisory_{how}(7, hashtext('{id}'))");
        self.0.batch_execute(&sql).await.unwrap();
    }

    async fn open(&self, id: ConversationId) {
        self.turn("unlock", id).await;
    }

    async fn open_all(self) {
        self.0.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    }
}

/// Waits until so many wait for locks.
async fn waiting(database: &TestPostgres, expected: usize) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut last = None;
    let waited = timeout(SOON, async {
        while last.as_deref() != Some(expected.to_string().as_str()) {
            yield_now().await;
            last = database.value(sql).await;
        }
    });
    assert!(waited.await.is_ok(), "{last:?} wait, and not {expected}");
}

/// Conversations of one turn each.
async fn begun(store: &Postgres, count: usize) -> Vec<Conversation> {
    let conversations = join_all((0..count).map(|_| begin(store))).await;
    join_all(conversations.iter().map(|one| append(store, one, saying(one, "hello")))).await;
    conversations
}

async fn age(database: &TestPostgres, conversations: &[Conversation]) {
    let ids: Vec<_> = conversations.iter().map(|one| format!("'{}'", one.conversation_id)).collect();
    let ids = ids.join(", ");
    let sql = format!(
        "UPDATE conversations SET updated_at = updated_at - interval '100 days' WHERE conversation_id IN ({ids})"
    );
    database.execute(&sql).await;
}

fn batch(store: &Postgres, limit: u32) -> JoinHandle<PurgeReport> {
    let store = store.clone();
    let limit = PageLimit::new(limit).unwrap();
    tokio::spawn(async move { store.purge_batch(ninety_days(), limit).await.unwrap() })
}

fn ids<'a>(reports: impl IntoIterator<Item = &'a PurgeReport>) -> Vec<ConversationId> {
    let purged = reports.into_iter().flat_map(|report| &report.purged);
    purged.map(|gone| gone.conversation_id).collect()
}

async fn lives(store: &Postgres, conversation: &Conversation) -> bool {
    store.head(conversation.user_id, conversation.conversation_id).await.unwrap().is_some()
}

/// What the audit log says was purged, in how many batches.
async fn recorded(store: &Postgres) -> (usize, String) {
    assert!(matches!(verify(store.audit()).await.unwrap(), AuditVerification::Intact(_)));
    let query =
        AuditQuery { action: Some(AuditAction::Purge), limit: PageLimit::MAX, ..AuditQuery::default() };
    let records = store.records(query).await.unwrap();
    let details: Vec<_> = records.iter().map(|record| record.detail.as_json()).collect();
    (records.len(), details.concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_batches_at_once_remove_different_conversations_and_all_that_is_due() {
    let database = TestPostgres::migrated().await;
    let store = store(database.url()).await;
    let due = begun(&store, 6).await;
    age(&database, &due).await;
    let gates = Gates::closed(&database, &due).await;
    let (one, two) = (batch(&store, 3), batch(&store, 3));
    waiting(&database, 2).await;
    let third = timeout(SOON, batch(&store, 3)).await.expect("a third is told at once").unwrap();
    assert_eq!((third.busy, third.purged.len()), (true, 0));
    gates.open_all().await;
    let reports = [one.await.unwrap(), two.await.unwrap()];
    assert_eq!(reports.each_ref().map(|report| (report.busy, report.purged.len())), [(false, 3), (false, 3)]);
    let gone: BTreeSet<_> = ids(&reports).into_iter().collect();
    assert_eq!(gone, due.iter().map(|one| one.conversation_id).collect());
    let (batches, details) = recorded(&store).await;
    assert_eq!(batches, 2);
    assert!(gone.iter().all(|id| details.matches(&id.to_string()).count() == 1), "{details}");
    let left = "SELECT count(*) FROM conversation_turns";
    assert_eq!(database.value(left).await.as_deref(), Some("0"));
}

/// A batch does not wait for the one beside it, and so it may see rows that the other one has locked and then leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_batch_that_fails_had_locked_is_there_for_the_next_one() {
    let database = TestPostgres::migrated().await;
    let store = store(database.url()).await;
    let due = begun(&store, 4).await;
    age(&database, &due).await;
    let gates = Gates::closed(&database, &due).await;
    let failing = {
        let store = store.clone();
        tokio::spawn(async move { store.purge_batch(ninety_days(), PageLimit::new(2).unwrap()).await })
    };
    waiting(&database, 1).await;
    let purging = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let pid = database.value(purging).await.unwrap();
    let beside = batch(&store, 3);
    waiting(&database, 2).await;
    database.execute(&format!("SELECT pg_cancel_backend({pid})")).await;
    assert!(failing.await.unwrap().is_err());
    gates.open_all().await;
    assert_eq!(beside.await.unwrap().purged.len(), 2, "it has passed over what was locked");
    assert_eq!(
        [batch(&store, 3).await.unwrap(), batch(&store, 3).await.unwrap()].map(|one| one.purged.len()),
        [2, 0]
    );
    assert_eq!(recorded(&store).await.0, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_something_waits_for_both_batches_and_not_for_the_next() {
    let database = TestPostgres::migrated().await;
    let store = store(database.url()).await;
    let all = begun(&store, 4).await;
    let ([one, two], [on_hold, kept]) = ([&all[0], &all[1]], [&all[2], &all[3]]);
    age(&database, &all[..2]).await;
    let gates = Gates::closed(&database, &all[..2]).await;
    let batches = [batch(&store, 1), batch(&store, 1)];
    waiting(&database, 2).await;
    age(&database, &all[2..]).await;

    let (first, target) = (store.clone(), HoldTarget::Conversation(on_hold.conversation_id));
    let matter = NewHold::on(target, Text::name("matter 7", "/reason").unwrap(), Actor::operator("ada"));
    let placed = tokio::spawn(async move { first.place(matter).await });
    let (setter, user_id) = (store.clone(), kept.user_id);
    let own = NewRetentionOverride { user_id, keep: Keep::Forever, set_by: Actor::operator("ada") };
    let set = tokio::spawn(async move { setter.set_override(own).await });
    waiting(&database, 4).await;
    gates.open(one.conversation_id).await;
    waiting(&database, 3).await;
    // A lane is free again: its next batch comes behind those who wait, who else would never have their turn.
    let next = batch(&store, 10);
    waiting(&database, 4).await;
    assert!(!placed.is_finished() && !set.is_finished(), "a batch is under way");
    gates.open(two.conversation_id).await;
    placed.await.unwrap().unwrap();
    set.await.unwrap().unwrap();
    let reports = join_all(batches).await.into_iter().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(ids(&reports).len(), 2);
    let next = next.await.unwrap();
    assert_eq!((next.busy, next.purged.len()), (false, 0), "it looks when they have committed");
    assert_eq!([lives(&store, on_hold).await, lives(&store, kept).await], [true, true]);
}

/// The conversation as an export has it, under an id of its own.
fn incoming(conversation: &Conversation, id: ConversationId) -> IncomingConversation {
    let turn = saying(conversation, "hello").turn;
    let conversation = Conversation {
        conversation_id: id,
        agent_id: AgentId::generate(),
        created_at: conversation.updated_at,
        ..conversation.clone()
    };
    IncomingConversation { head: IncomingHead { conversation, agent_state: None }, turns: vec![turn] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_what_comes_in_beside_a_batch_is_whole_and_what_the_batch_removes_does_not_come_back() {
    let database = TestPostgres::migrated().await;
    let store = store(database.url()).await;
    let (archive_id, back, back_turns) = archived(&database, &store).await;
    let due = begun(&store, 1).await.remove(0);
    age(&database, std::slice::from_ref(&due)).await;
    let (user_id, id) = (due.user_id, due.conversation_id);
    let stored = ConversationRepository::get(&store, user_id, id).await.unwrap().unwrap();
    let gates = Gates::closed(&database, std::slice::from_ref(&due)).await;
    let purge = batch(&store, 10);
    waiting(&database, 1).await;

    // None of them waits for the batch.
    let new = || NewConversation::begin(Text::name("model", "/model_id").unwrap());
    let late = store.create_unless_erased(user_id, new(), TimeDelta::zero());
    let late = timeout(SOON, late).await.unwrap().unwrap().expect("nothing is erased");
    let old = incoming(&stored, ConversationId::generate());
    let imported = timeout(SOON, store.import(vec![old.clone()], TimeDelta::zero())).await.unwrap().unwrap();
    assert_eq!(imported, [Imported::Stored]);
    let restored = IncomingConversation { head: back.clone(), turns: back_turns };
    let restored = store.restore(archive_id, Duration::from_hours(24 * 30), vec![restored]);
    assert_eq!(timeout(SOON, restored).await.unwrap().unwrap(), [Restored::Stored]);

    // But for what has the id of what is removed.
    let (second, same) = (store.clone(), incoming(&stored, id));
    let again = tokio::spawn(async move { second.import(vec![same], TimeDelta::zero()).await });
    waiting(&database, 2).await;
    let (beginner, same) = (store.clone(), NewConversation { conversation_id: id, ..new() });
    let begun_again =
        tokio::spawn(async move { beginner.create_unless_erased(user_id, same, TimeDelta::zero()).await });
    waiting(&database, 3).await;
    gates.open_all().await;
    assert_eq!(ids([&purge.await.unwrap()]), [id], "what came in is not seen by the batch");
    assert_eq!(again.await.unwrap().unwrap(), [Imported::Refused(Refusal::deleted())]);
    let begun_again = begun_again.await.unwrap();
    assert!(matches!(begun_again, Err(RepositoryError::AlreadyExists { .. })), "{begun_again:?}");
    assert!(!lives(&store, &due).await);

    let next = batch(&store, 10).await.unwrap();
    assert_eq!(
        ids([&next]),
        [old.head.conversation.conversation_id],
        "what came in and is due goes, and no other"
    );
    assert_eq!([lives(&store, &late).await, lives(&store, &back.conversation).await], [true, true]);
    let whole = "SELECT count(*) FROM conversation_turns";
    assert_eq!(database.value(whole).await.as_deref(), Some("3"), "those of what was restored");
    recorded(&store).await;
}

/// What becomes of a conversation beside the purge.
#[derive(Debug, PartialEq)]
enum Fate {
    Kept,
    Gone,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_what_wakes_up_is_held_or_kept_beside_two_batches_stays_and_all_else_goes_once() {
    let database = TestPostgres::migrated().await;
    let store = store(database.url()).await;
    let all = begun(&store, 150).await;
    age(&database, &all).await;
    let loops = [(); 2].map(|()| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut gone = Vec::new();
            loop {
                let report = store.purge_batch(ninety_days(), PageLimit::new(4).unwrap()).await.unwrap();
                assert!(!report.busy, "there are as many lanes as loops");
                gone.extend(ids([&report]));
                if report.purged.is_empty() {
                    return gone;
                }
            }
        })
    });
    let changes = all.iter().rev().enumerate().map(|(number, conversation)| {
        let (store, conversation) = (store.clone(), conversation.clone());
        tokio::spawn(async move {
            let (user_id, id) = (conversation.user_id, conversation.conversation_id);
            let changed = match number % 4 {
                0 => append(&store, &conversation, saying(&conversation, "awake")).await.map(drop),
                1 => {
                    let reason = Text::name("matter 7", "/reason").unwrap();
                    let hold = NewHold::on(HoldTarget::Conversation(id), reason, Actor::operator("ada"));
                    store.place(hold).await.map(drop)
                }
                2 => {
                    let set_by = Actor::operator("ada");
                    let own = NewRetentionOverride { user_id, keep: Keep::Forever, set_by };
                    store.set_override(own).await.unwrap();
                    let found = store.head(user_id, id).await.unwrap();
                    found.map(drop).ok_or(RepositoryError::not_found(Entity::Conversation))
                }
                _ => return None,
            };
            match changed {
                Ok(()) => Some(Fate::Kept),
                Err(RepositoryError::NotFound { .. }) => Some(Fate::Gone),
                Err(error) => panic!("{error}"),
            }
        })
    });
    let (gone, fates) = tokio::join!(join_all(loops), join_all(changes));
    let mut gone: Vec<ConversationId> = gone.into_iter().flat_map(Result::unwrap).collect();
    gone.extend(ids([&batch(&store, 200).await.unwrap()]));
    for (conversation, fate) in all.iter().rev().zip(fates) {
        let times = gone.iter().filter(|id| **id == conversation.conversation_id).count();
        let expected = match fate.unwrap() {
            Some(Fate::Kept) => (0, true),
            Some(Fate::Gone) | None => (1, false),
        };
        assert_eq!((times, lives(&store, conversation).await), expected, "{conversation:?}");
    }
    let (_, details) = recorded(&store).await;
    assert!(gone.iter().all(|id| details.matches(&id.to_string()).count() == 1));
}
