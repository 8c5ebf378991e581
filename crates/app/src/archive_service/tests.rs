use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{FutureExt as _, TryStreamExt as _};
use lcs_domain::archive::ArchivedHead;
use lcs_domain::{
    AppendTurn, Conversation, Metadata, NewConversation, NewTurn, Payload, Text, TurnId, TurnRange, UserId,
};
use lcs_storage::memory::Memory;
use object_store::memory::InMemory;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use tokio::time::Instant;

mod takeover;

use super::*;
use crate::paused_clock::PausedClock;

const YEAR: Duration = Duration::from_hours(365 * 24);

/// A store in memory, archives in memory, and a clock.
struct Place {
    clock: Arc<PausedClock>,
    store: Arc<Memory>,
    files: ArchiveFiles,
}

impl Place {
    fn new() -> Self {
        let clock = Arc::new(PausedClock::new());
        let store = Arc::new(Memory::new(clock.clone()));
        Self { clock, store, files: ArchiveFiles::over(Arc::new(InMemory::new())) }
    }

    fn service(&self, per_second: u32) -> ArchiveService {
        let policy = RetentionPolicy::idle_longer_than(Duration::from_hours(90 * 24)).unwrap();
        let store: Arc<dyn Repositories> = self.store.clone();
        let service =
            ArchiveService::new(store, self.clock.clone(), policy, NonZeroU32::new(per_second), None);
        service.with_files(self.files.clone())
    }

    /// Conversations with a turn each, idle for a year.
    async fn idle(&self, user_id: UserId, count: usize) -> Vec<Conversation> {
        let mut idle = Vec::new();
        for _ in 0..count {
            let conversation = self.begin(user_id).await;
            self.say(&conversation, "\"said\"").await;
            idle.push(conversation);
        }
        self.clock.advance(YEAR);
        idle
    }

    async fn begin(&self, user_id: UserId) -> Conversation {
        let new = NewConversation::begin(Text::name("m", "/model_id").unwrap());
        self.store.conversations().create(user_id, new).await.unwrap()
    }

    async fn say(&self, conversation: &Conversation, document: &str) {
        let said = Payload::parse(document).unwrap();
        let at = DateTime::<Utc>::UNIX_EPOCH;
        let turn = NewTurn::new(TurnId::generate(), said, None, at, at, Metadata::default()).unwrap();
        let conversation_id = conversation.conversation_id;
        let append = AppendTurn { conversation_id, turn, expected_turn_count: None, agent_state: None };
        self.store.turns().append(conversation.user_id, append).await.unwrap();
    }

    async fn is_stored(&self, conversation: &Conversation) -> bool {
        let found = self.store.conversations().get(conversation.user_id, conversation.conversation_id).await;
        found.unwrap().is_some()
    }

    /// Archives until it has done this step, and is gone then, as if it had been killed.
    async fn archive_until(&self, step: Step) {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let (reached, mut is_reached) = tokio::sync::mpsc::unbounded_channel();
        let receiver = Mutex::new(receiver);
        let service = self.service(0).with_observer(Observer::new(move |done| {
            if done == step {
                reached.send(()).unwrap();
                // For ever: its sender is never used.
                let _ = receiver.lock().unwrap().recv();
            }
        }));
        let task = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { archive_due(&service, Patience::Insists, &mut |_| ()).await.map(drop) })
        });
        is_reached.recv().await.unwrap();
        // It never goes on: what it holds is of no use to it any more.
        std::mem::forget(sender);
        drop(task);
    }
}

async fn archive_due(
    service: &ArchiveService,
    patience: Patience,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Archived, ArchiveError> {
    let mut archived = Archived::default();
    service.archive_due(patience, &mut archived, progress).await?;
    Ok(archived)
}

async fn states(service: &ArchiveService) -> Vec<ArchiveState> {
    service.list(None, PageLimit::MAX).await.unwrap().iter().map(|archive| archive.state).collect()
}

#[tokio::test]
async fn an_archive_without_a_manifest_is_waited_for_and_then_given_up() {
    let place = Place::new();
    let idle = place.idle(UserId::generate(), 3).await;
    place.archive_until(Step::Written).await;
    let service = place.service(0);
    assert_eq!((states(&service).await.len(), place.files.list().await.unwrap().len()), (1, 1));
    let report = service.verify(None, || ()).await.unwrap();
    assert_eq!((report.unfinished, report.unknown, report.damaged), (1, vec![], vec![]));
    // A task of a replica leaves the work to whoever seems to be at it.
    assert!(archive_due(&service, Patience::Leaves, &mut |_| ()).await.unwrap().busy);
    assert!(place.is_stored(&idle[0]).await);
    // Somebody who insists does it beside him.
    let archived = archive_due(&service, Patience::Insists, &mut |_| ()).await.unwrap();
    assert_eq!((archived.conversations, archived.busy), (3, false));
    assert_eq!(place.files.list().await.unwrap().len(), 2, "he may still come");
    place.clock.advance(Duration::from_hours(2));
    archive_due(&service, Patience::Leaves, &mut |_| ()).await.unwrap();
    archive_due(&service, Patience::Leaves, &mut |_| ()).await.unwrap();
    assert_eq!(states(&service).await, [ArchiveState::Complete]);
    assert_eq!(place.files.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_archive_of_somebody_who_is_gone_is_finished_where_it_was_whole() {
    let place = Place::new();
    let idle = place.idle(UserId::generate(), 3).await;
    for step in [Step::Described, Step::Removed] {
        let fresh = place.idle(UserId::generate(), 2).await;
        place.archive_until(step).await;
        let service = place.service(0);
        let archived = archive_due(&service, Patience::Insists, &mut |_| ()).await.unwrap();
        assert!(!archived.busy, "{step}");
        for conversation in idle.iter().chain(&fresh) {
            assert!(!place.is_stored(conversation).await, "{step}");
        }
        assert!(states(&service).await.iter().all(|state| *state == ArchiveState::Complete), "{step}");
        assert_eq!(service.verify(None, || ()).await.unwrap().damaged, []);
    }
    let service = place.service(0);
    let restored = service.restore(RestoreTarget::All, YEAR, |_| ()).await.unwrap();
    assert_eq!((restored.restored, restored.turns, restored.unsettled), (7, 7, false));
}

#[tokio::test]
async fn a_restore_does_not_wait_for_a_file_that_is_being_written() {
    let place = Place::new();
    let idle = place.idle(UserId::generate(), 3).await;
    let service = place.service(0);
    archive_due(&service, Patience::Insists, &mut |_| ()).await.unwrap();
    // A file that waits for its database: the desk is at it until it ends, and takes nothing else meanwhile.
    let (ends, waits) = std::sync::mpsc::channel::<()>();
    let writing = place.files.desk().begin(move || waits.recv().is_err()).unwrap();
    let target = RestoreTarget::Conversation(idle[0].conversation_id);
    let restored = service.restore(target, YEAR, |_| ()).await.unwrap();
    assert_eq!((restored.restored, restored.unsettled), (1, false), "and its archive is written anew");
    assert!(place.is_stored(&idle[0]).await);
    drop(ends);
    assert!(writing.get().await.unwrap());
}

#[tokio::test]
async fn what_is_forgotten_is_in_no_archive_also_in_none_that_is_just_being_made() {
    for step in [Step::Written, Step::Described, Step::Closed] {
        let place = Place::new();
        let (ada, eve) = (UserId::generate(), UserId::generate());
        let (hers, theirs) = (place.idle(ada, 3).await, place.idle(eve, 2).await);
        place.archive_until(step).await;
        let service = place.service(0);
        let held = if step == Step::Closed { 3 } else { 0 };
        assert_eq!(service.forget_user(UserHash::of(ada)).await.unwrap(), held, "{step}");
        assert_eq!(service.forget_user(UserHash::of(ada)).await.unwrap(), 0, "{step}: again");
        for archive_id in place.files.list().await.unwrap().into_keys() {
            let manifest = place.files.manifest(archive_id).await.unwrap().unwrap();
            let users: Vec<_> = manifest.conversations.iter().map(|entry| entry.user_hash.clone()).collect();
            assert!(!users.contains(&UserHash::of(ada).to_string()), "{step}: {users:?}");
        }
        if step == Step::Closed {
            let tombstone = service.tombstone(hers[0].conversation_id).await.unwrap().unwrap();
            assert_eq!((tombstone.reason.as_str(), tombstone.archive_id), ("erased", None));
            let report = service.restore(RestoreTarget::User(ada), YEAR, |_| ()).await.unwrap();
            assert_eq!((report.restored, report.present), (0, 0));
            let report = service.restore(RestoreTarget::All, YEAR, |_| ()).await.unwrap();
            assert_eq!(report.restored, 2);
            assert_eq!(service.forget(&[theirs[0].conversation_id]).await.unwrap(), 0, "it is stored again");
        } else {
            assert!(place.is_stored(&hers[0]).await, "{step}: the database is the caller's");
        }
    }
}

#[tokio::test]
async fn an_erasure_says_where_an_archive_that_may_hold_something_cannot_be_replaced() {
    let store = Arc::new(InMemory::new());
    let place = Place { files: ArchiveFiles::over(store.clone()), ..Place::new() };
    let idle = place.idle(UserId::generate(), 2).await;
    let service = place.service(0);
    archive_due(&service, Patience::Insists, &mut |_| ()).await.unwrap();
    let (archive_id, _) = place.files.list().await.unwrap().into_iter().next().unwrap();
    place.files.delete_data(archive_id).await.unwrap();
    let error = service.forget(&[idle[0].conversation_id]).await.unwrap_err();
    assert!(error.to_string().contains("its file is not there"), "{error}");
    // Where it holds nothing else, there is nothing to be kept of it.
    assert_eq!(service.forget(&[idle[1].conversation_id]).await.unwrap(), 1);
    assert_eq!(states(&service).await, []);
}

#[tokio::test]
async fn a_place_that_changes_what_is_written_stops_the_run_and_is_no_conversations_fault() {
    let store = Arc::new(InMemory::new());
    let place = Place { files: ArchiveFiles::over(store.clone()), ..Place::new() };
    let idle = place.idle(UserId::generate(), 5).await;
    let service = place.service(0).with_observer(Observer::new(move |done| {
        if done == Step::Written {
            let written = store.list(None).try_next().now_or_never().unwrap().unwrap().unwrap();
            store.put(&written.location, "something else".into()).now_or_never().unwrap().unwrap();
        }
    }));
    let error = archive_due(&service, Patience::Insists, &mut |_| ()).await.unwrap_err();
    assert!(error.to_string().contains("its file is not as long as its manifest says"), "{error}");
    assert!(place.is_stored(&idle[0]).await);
    assert_eq!((states(&service).await, place.files.list().await.unwrap().len()), (vec![], 0));
    let archived = archive_due(&place.service(0), Patience::Insists, &mut |_| ()).await.unwrap();
    assert_eq!((archived.conversations, archived.unarchived), (5, vec![]));
}

#[tokio::test]
async fn whose_archive_is_closed_while_it_is_written_stops_without_an_error() {
    let place = Place::new();
    let idle = place.idle(UserId::generate(), 3).await;
    let (store, files) = (place.store.clone(), place.files.clone());
    let service = place.service(0).with_observer(Observer::new(move |done| {
        if done == Step::Written {
            // As an erasure does it.
            let archive_id = *files.list().now_or_never().unwrap().unwrap().keys().next().unwrap();
            store.archives().give_up_archive(archive_id).now_or_never().unwrap().unwrap();
            files.delete_data(archive_id).now_or_never().unwrap().unwrap();
        }
    }));
    let archived = archive_due(&service, Patience::Insists, &mut |_| ()).await.unwrap();
    assert_eq!((archived.conversations, archived.unarchived), (0, vec![]));
    assert!(place.is_stored(&idle[0]).await);
    assert_eq!((states(&service).await, place.files.list().await.unwrap().len()), (vec![], 0));
}

#[tokio::test]
async fn what_is_still_being_moved_in_the_end_is_said_not_to_have_come_back() {
    let place = Place::new();
    let user_id = UserId::generate();
    let idle = place.idle(user_id, 2).await;
    let (archives, service) = (place.store.archives(), place.service(0));
    let archive_id = ArchiveId::generate();
    let targets = [
        RestoreTarget::Conversation(idle[0].conversation_id),
        RestoreTarget::User(user_id),
        RestoreTarget::All,
    ];
    assert!(archives.begin_archive(archive_id, Duration::ZERO).await.unwrap());
    let report = service.restore(RestoreTarget::All, YEAR, |_| ()).await.unwrap();
    assert_eq!(report, RestoreReport::default(), "it holds nothing yet");
    let mut heads = Vec::new();
    for conversation in &idle {
        let found = place.store.conversations().get(user_id, conversation.conversation_id).await.unwrap();
        heads.push(ArchivedHead::of(&found.unwrap()));
    }
    // Its files are not seen yet, and somebody may be at it.
    assert_eq!(archives.remove_archived(archive_id, service.policy, heads).await.unwrap(), Some(2));
    for target in targets {
        let report = service.restore(target, YEAR, |_| ()).await.unwrap();
        assert_eq!((report.restored, report.refused), (0, vec![]), "{target:?}");
        let [damaged] = report.damaged.as_slice() else { panic!("{target:?}: {:?}", report.damaged) };
        assert!(damaged.starts_with("another process is moving "), "{damaged}");
    }
}

#[tokio::test]
async fn what_came_back_and_was_deleted_since_is_refused_as_what_its_user_deleted() {
    let place = Place::new();
    let user_id = UserId::generate();
    let id = place.idle(user_id, 1).await[0].conversation_id;
    let service = place.service(0);
    archive_due(&service, Patience::Insists, &mut |_| ()).await.unwrap();
    let target = RestoreTarget::Conversation(id);
    let restore = async || service.restore(target, YEAR, |_| ()).await.unwrap();
    assert_eq!(restore().await.restored, 1);
    assert_eq!(restore().await.present, 1);
    assert!(place.store.conversations().delete(user_id, id).await.unwrap());
    let report = restore().await;
    assert_eq!((report.restored, report.present), (0, 0));
    assert!(report.refused[0].reason.contains("deleted by its user"), "{report:?}");
}

#[tokio::test]
async fn two_who_archive_at_once_archive_each_once() {
    for _ in 0..5 {
        let place = Place::new();
        let idle = place.idle(UserId::generate(), 50).await;
        let (one, other) = (place.service(0), place.service(0));
        let run = async |service: &ArchiveService| {
            archive_due(service, Patience::Insists, &mut |_| ()).await.unwrap().conversations
        };
        let (first, second) = futures_util::future::join(run(&one), run(&other)).await;
        assert_eq!(first + second, 50);
        // Whoever came second is cleaned up behind.
        archive_due(&one, Patience::Insists, &mut |_| ()).await.unwrap();
        let report = one.verify(None, || ()).await.unwrap();
        assert_eq!((report.damaged, report.unknown, report.conversations), (vec![], vec![], 50));
        let restored = one.restore(RestoreTarget::All, YEAR, |_| ()).await.unwrap();
        assert_eq!((restored.restored, restored.turns), (50, 50));
        assert!(place.is_stored(&idle[0]).await);
    }
}

#[tokio::test]
async fn long_and_large_conversations_come_back_whole() {
    let place = Place::new();
    let user_id = UserId::generate();
    let (long, large) = (place.begin(user_id).await, place.begin(user_id).await);
    for number in 0..1_500 {
        place.say(&long, &number.to_string()).await;
    }
    // What cannot be compressed to less than is sent at once.
    let mut state = 1_u64;
    for _ in 0..8 {
        let mut text = String::new();
        while text.len() < 3_000_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.extend([format!("{state:016x}")]);
        }
        place.say(&large, &format!("\"{text}\"")).await;
    }
    place.clock.advance(YEAR);
    let turns = async |conversation: &Conversation| {
        let range = TurnRange::Newest;
        let id = conversation.conversation_id;
        place.store.turns().page(user_id, id, range, PageLimit::MAX).await.unwrap().map(|page| page.turns)
    };
    let before = (turns(&long).await, turns(&large).await);
    let service = place.service(0);
    assert_eq!(archive_due(&service, Patience::Insists, &mut |_| ()).await.unwrap().conversations, 2);
    let archives = service.list(None, PageLimit::MAX).await.unwrap();
    assert!(archives[0].content.bytes > 8 * 1024 * 1024, "{archives:?}");
    assert_eq!(service.verify(None, || ()).await.unwrap().damaged, []);
    for conversation in [&long, &large] {
        let target = RestoreTarget::Conversation(conversation.conversation_id);
        let restored = service.restore(target, YEAR, |_| ()).await.unwrap();
        assert_eq!((restored.restored, restored.refused), (1, vec![]));
    }
    assert_eq!((turns(&long).await, turns(&large).await), before);
    assert_eq!(place.files.list().await.unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_more_is_archived_in_a_second_than_is_allowed() {
    let place = Place::new();
    place.idle(UserId::generate(), 100).await;
    let begun = Instant::now();
    let mut removed = Vec::new();
    let service = place.service(10);
    let mut progress = |count| removed.push((begun.elapsed().as_secs(), count));
    archive_due(&service, Patience::Insists, &mut progress).await.unwrap();
    assert_eq!(removed, (0..10).map(|second| (second, 10)).collect::<Vec<_>>());
}
