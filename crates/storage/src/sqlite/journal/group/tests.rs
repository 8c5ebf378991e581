use super::super::SqliteJournal;
use super::*;
use crate::journal::JournalLimits;
use diesel::connection::SimpleConnection;
use lcs_domain::{ConversationId, ConversationUpdate, JournalRepository, PageLimit, SystemClock, Text};

async fn journal(folder: &tempfile::TempDir) -> SqliteJournal {
    let clock = Arc::new(SystemClock);
    SqliteJournal::open(folder.path(), JournalLimits::default(), clock).await.unwrap()
}

fn operation(topic_bytes: usize) -> JournalOperation {
    let topic = Text::summary("x".repeat(topic_bytes), "").unwrap();
    let update = ConversationUpdate { topic_summary: Some(Some(topic)), ..ConversationUpdate::default() };
    JournalOperation::Update {
        conversation_id: ConversationId::generate(),
        update,
        base: lcs_domain::journal::UpdateBase::default(),
    }
}

/// What comes of `records` that all wait while another commit runs, and how many commits they took.
async fn together(
    journal: &SqliteJournal,
    records: Vec<(UserId, JournalOperation)>,
) -> (Vec<RepositoryResult<JournalEntry>>, u64) {
    let waiting = records.len();
    // The one that is committing waits for the file, and all the others for it.
    let (held, released) = (oneshot::channel(), oneshot::channel());
    let blocker = tokio::spawn({
        let database = journal.0.database.clone();
        async move {
            database
                .write("test", move |_, _| {
                    held.0.send(()).unwrap();
                    let _ = released.1.blocking_recv();
                    Ok(())
                })
                .await
        }
    });
    held.1.await.unwrap();
    let (commits, joined) = {
        let queue = journal.0.queue();
        (queue.commits, queue.joined)
    };
    let records: Vec<_> = records
        .into_iter()
        .map(|(user_id, operation)| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.record(user_id, operation).await })
        })
        .collect();
    while journal.0.queue().joined - joined < waiting {
        tokio::task::yield_now().await;
    }
    released.0.send(()).unwrap();
    blocker.await.unwrap().unwrap();
    let mut results = Vec::new();
    for record in records {
        results.push(record.await.unwrap());
    }
    // The group of whoever came first may have been under way already, and the rest came after it.
    (results, journal.0.queue().commits - commits)
}

#[tokio::test]
async fn those_who_wait_while_a_commit_runs_share_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder).await;
    let user = UserId::from_text("alice");
    let (results, commits) = together(&journal, (0..32).map(|_| (user, operation(10))).collect()).await;
    let mut sequences: Vec<u64> = results.into_iter().map(|result| result.unwrap().sequence).collect();
    sequences.sort_unstable();
    sequences.dedup();
    assert_eq!(sequences.len(), 32);
    assert!((1..=2).contains(&commits), "{commits}");
    assert_eq!(journal.pending(0, PageLimit::MAX).await.unwrap().len(), 32);
}

#[tokio::test]
async fn a_group_is_bounded_and_nobody_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder).await;
    let user = UserId::from_text("alice");
    let records = (0..=2 * MAX_ENTRIES).map(|_| (user, operation(10))).collect();
    let (results, commits) = together(&journal, records).await;
    assert!(results.iter().all(Result::is_ok));
    assert!((3..=4).contains(&commits), "{commits}");
    assert_eq!(journal.status().await.unwrap().entries, 2 * MAX_ENTRIES as u64 + 1);

    let waiting = |bytes: usize| Waiting {
        number: 0,
        entry: Entry { user_id: user, operation: vec![0; bytes].into(), key: String::new() },
        answer: oneshot::channel().0,
    };
    let mut queue = Queue::default();
    queue.waiting.extend([MAX_BYTES + 1, MAX_BYTES, 1, 1].map(waiting));
    let groups: Vec<usize> = (0..4).map(|_| queue.next_group().len()).collect();
    assert_eq!(groups, [1, 1, 2, 0]);
    assert!(!queue.committing);
}

#[tokio::test]
async fn an_entry_that_fails_takes_nobody_along() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder).await;
    let (alice, mallory) = (UserId::from_text("alice"), UserId::from_text("mallory"));
    let trigger = format!(
        "CREATE TRIGGER no BEFORE INSERT ON journal_entries WHEN NEW.user_id = x'{}' \
         BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        mallory.as_uuid().simple()
    );
    let database = &journal.0.database;
    database.write("test", move |connection, _| Ok(connection.batch_execute(&trigger)?)).await.unwrap();
    let records = (0..32).map(|n| (if n == 7 { mallory } else { alice }, operation(10))).collect();
    let (results, _) = together(&journal, records).await;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.is_ok(), n != 7, "{n}: {result:?}");
    }
    assert_eq!(journal.status().await.unwrap().entries, 31);
    assert_eq!(journal.pending(0, PageLimit::MAX).await.unwrap().len(), 31);
}

#[tokio::test]
async fn who_does_not_wait_for_the_answer_hinders_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder).await;
    let user = UserId::from_text("alice");
    for n in 0..20 {
        let mut record = Box::pin(journal.record(user, operation(10)));
        let gone = tokio::time::timeout(std::time::Duration::from_micros(n * 50), &mut record).await;
        drop(gone);
        drop(record);
        journal.record(user, operation(10)).await.unwrap();
    }
    let status = journal.status().await.unwrap();
    assert_eq!(status.entries, journal.pending(0, PageLimit::MAX).await.unwrap().len() as u64);
    assert!((20..=40).contains(&status.entries));
}

async fn bounded(folder: &tempfile::TempDir, limits: JournalLimits) -> SqliteJournal {
    SqliteJournal::open(folder.path(), limits, Arc::new(SystemClock)).await.unwrap()
}

/// Another process, that holds the file until this is dropped.
fn held(journal: &SqliteJournal) -> diesel::sqlite::SqliteConnection {
    use diesel::Connection;
    let mut other = diesel::sqlite::SqliteConnection::establish(journal.file().to_str().unwrap()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    other
}

fn recording(journal: &SqliteJournal) -> tokio::task::JoinHandle<RepositoryResult<JournalEntry>> {
    let journal = journal.clone();
    tokio::spawn(async move { journal.record(UserId::from_text("alice"), operation(10)).await })
}

/// Records one, whose commit then waits for the file.
async fn committing(journal: &SqliteJournal) -> tokio::task::JoinHandle<RepositoryResult<JournalEntry>> {
    let record = recording(journal);
    while journal.0.queue().joined == 0 || !journal.0.queue().waiting.is_empty() {
        tokio::task::yield_now().await;
    }
    record
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_who_gives_up_in_the_queue_was_not_taken_and_who_gives_up_in_the_commit_may_have_been() {
    let folder = tempfile::tempdir().unwrap();
    let patience = std::time::Duration::from_millis(200);
    let journal = bounded(&folder, JournalLimits { patience, ..JournalLimits::default() }).await;
    let other = held(&journal);
    let first = committing(&journal).await;
    let behind: Vec<_> = (0..5).map(|_| recording(&journal)).collect();
    let unknown = first.await.unwrap();
    assert!(matches!(unknown, Err(RepositoryError::OutcomeUnknown { .. })), "{unknown:?}");
    for record in behind {
        let refused = record.await.unwrap();
        assert!(matches!(refused, Err(RepositoryError::Overloaded { .. })), "{refused:?}");
    }
    let status = journal.status().await;
    assert!(matches!(status, Err(RepositoryError::Unavailable { .. })), "nobody can know: {status:?}");
    let settled = journal.settle(&[999]).await;
    assert!(matches!(settled, Err(RepositoryError::OutcomeUnknown { .. })), "{settled:?}");
    drop(other);
    let status = loop {
        if let Ok(status) = journal.status().await {
            break status;
        }
    };
    assert_eq!(status.entries, 1, "the one that may have been taken, and none of the others");
    recording(&journal).await.unwrap().unwrap();
    assert_eq!(journal.pending(0, PageLimit::MAX).await.unwrap().len(), 2, "and it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_what_waits_for_the_disk_is_bounded_in_entries_and_in_bytes() {
    let user = UserId::from_text("alice");
    for limits in [
        JournalLimits { max_waiting_entries: 3, ..JournalLimits::default() },
        JournalLimits { max_waiting_bytes: 3 * 180, ..JournalLimits::default() },
    ] {
        let folder = tempfile::tempdir().unwrap();
        let journal = bounded(&folder, limits).await;
        let bytes = record::encode(&operation(10)).unwrap().len();
        assert!((136..180).contains(&bytes), "three fit, and four do not: {bytes}");
        let other = held(&journal);
        let mut taken = vec![committing(&journal).await];
        for waiting in 1..=3 {
            taken.push(recording(&journal));
            while journal.0.queue().waiting.len() < waiting {
                tokio::task::yield_now().await;
            }
        }
        for _ in 0..100 {
            let refused = journal.record(user, operation(10)).await;
            assert!(matches!(refused, Err(RepositoryError::Overloaded { .. })), "{refused:?}");
        }
        drop(other);
        for record in taken {
            record.await.unwrap().unwrap();
        }
        assert_eq!(journal.status().await.unwrap().entries, 4);
    }
}
