//! Archives beside other work.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use lcs_domain::archive::{ArchiveContent, ArchivedHead, Forgotten, Restored};
use lcs_domain::transfer::{ExportFilter, Exported, IncomingHead};
use lcs_domain::{
    Actor, ArchiveId, ArchiveRepository, ConversationRepository, HoldRepository, HoldTarget, NewHold,
    NewTurn, PageLimit, RetentionRepository, Text, TransferRepository, UserId,
};
use lcs_storage::postgres::Postgres;
use lcs_storage::testing::TestPostgres;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{append, begin, ninety_days, saying, store};

const AGE: &str = "UPDATE conversations SET updated_at = updated_at - interval '100 days'";
/// Far less than a statement waits for a lock of holds.
const SOON: Duration = Duration::from_secs(10);

/// A conversation of three turns that an archive holds: all of it.
pub(crate) async fn archived(
    database: &TestPostgres,
    store: &Postgres,
) -> (ArchiveId, IncomingHead, Vec<NewTurn>) {
    let conversation = begin(store).await;
    for said in ["1", "2", "3"] {
        append(store, &conversation, saying(&conversation, said)).await.unwrap();
    }
    database.execute(AGE).await;
    let filter = ExportFilter {
        conversation_ids: Some(vec![conversation.conversation_id]),
        ..ExportFilter::default()
    };
    let (mut head, mut turns) = (None, Vec::new());
    for part in store.export(filter).try_collect::<Vec<_>>().await.unwrap() {
        match part {
            Exported::Conversation(conversation) => {
                head = Some(IncomingHead { conversation: *conversation, agent_state: None });
            }
            Exported::AgentState(_) => {}
            Exported::Turn(turn) => {
                let (input, output) = (turn.input_messages.clone(), turn.output_message.clone());
                let (begun, ended) = (turn.started_at, turn.completed_at);
                let turn = NewTurn::new(turn.turn_id, input, output, begun, ended, turn.metadata.clone());
                turns.push(turn.unwrap());
            }
        }
    }
    let (head, archive_id) = (head.unwrap(), ArchiveId::generate());
    assert!(store.begin_archive(archive_id, Duration::ZERO).await.unwrap());
    let heads = vec![ArchivedHead::of(&head.conversation)];
    assert_eq!(store.remove_archived(archive_id, ninety_days(), heads).await.unwrap(), Some(1));
    let content = ArchiveContent { conversations: 1, turns: 3, bytes: 1 };
    store.close_archive(archive_id, content).await.unwrap();
    (archive_id, head, turns)
}

/// While the turns of a long conversation come, holds are placed, a purge goes on, and an erasure comes first: what is
/// restored looks under the lock, behind the last turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_restore_keeps_nobody_waiting_while_its_turns_come() {
    for is_erased in [false, true] {
        let database = TestPostgres::migrated().await;
        let store = store(database.url()).await;
        let (archive_id, head, turns) = archived(&database, &store).await;
        let conversation = head.conversation.clone();
        let (sender, mut receiver) = mpsc::channel(1);
        let coming = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)).boxed();
        let restoring = store.clone();
        let restore =
            tokio::spawn(async move { restoring.restore_long(archive_id, SOON, head, coming).await });
        let mut turns = turns.into_iter();
        // It has begun to store when it takes the second one.
        for turn in turns.by_ref().take(2) {
            sender.send(Ok(turn)).await.unwrap();
        }
        sender.reserve().await.unwrap();

        // What is erased then must not be held itself.
        let target = HoldTarget::User(if is_erased { UserId::generate() } else { conversation.user_id });
        let hold = NewHold::on(target, Text::name("matter 7", "/reason").unwrap(), Actor::operator("ada"));
        let placed = timeout(SOON, store.place(hold)).await;
        placed.expect("whoever places a hold does not wait for turns").unwrap();
        let purged = timeout(SOON, store.purge_batch(ninety_days(), PageLimit::default())).await;
        assert!(!purged.expect("nor does a purge").unwrap().busy);
        if is_erased {
            let what = Forgotten::Conversations(vec![conversation.conversation_id]);
            let left = timeout(SOON, store.leave_archives(what)).await;
            assert_eq!(left.expect("nor does an erasure").unwrap(), 1);
        }
        for turn in turns {
            sender.send(Ok(turn)).await.unwrap();
        }
        drop(sender);
        let restored = restore.await.unwrap().unwrap();
        let found = store.head(conversation.user_id, conversation.conversation_id).await.unwrap();
        if is_erased {
            assert!(matches!(restored, Restored::Refused(_)), "{restored:?}");
            assert_eq!(found, None, "what was erased does not come back");
        } else {
            assert_eq!(restored, Restored::Stored);
            assert_eq!(found.map(|head| head.turn_count), Some(3));
        }
    }
}

/// P6: whoever has the tombstone looked at when he commits is refused then, where it is still there.
#[tokio::test]
async fn p6_a_tombstone_that_is_there_at_the_commit_refuses_whoever_has_put_it_off() {
    let database = TestPostgres::migrated().await;
    let store = store(database.url()).await;
    let (_, head, _) = archived(&database, &store).await;
    let id = head.conversation.conversation_id;
    let client = database.client().await;
    let insert = format!(
        "INSERT INTO conversations (conversation_id, user_id, agent_id, model_id)
         VALUES ('{id}', gen_random_uuid(), gen_random_uuid(), 'm')"
    );
    assert!(client.batch_execute(&insert).await.is_err(), "at once, where nobody puts it off");
    client.batch_execute("BEGIN; SET CONSTRAINTS ALL DEFERRED").await.unwrap();
    client.batch_execute(&insert).await.unwrap();
    let error = client.batch_execute("COMMIT").await.unwrap_err();
    let constraint = error.as_db_error().and_then(|error| error.constraint());
    assert_eq!(constraint, Some("conversation_tombstones_pkey"), "{error}");
    let found = store.head(head.conversation.user_id, id).await.unwrap();
    assert_eq!(found, None);
}
