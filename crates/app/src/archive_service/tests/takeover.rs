//! What somebody else closes, replaces or deletes while it is written.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use lcs_domain::archive::ArchiveContent;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions,
    PutOptions, PutPayload, PutResult,
};

use super::*;

/// What happens behind the first file of conversations that is put: the answer is the put's.
type Behind = Box<dyn Fn() -> BoxFuture<'static, object_store::Result<()>> + Send + Sync>;

/// A place where something happens behind a put.
struct Interrupted {
    place: Arc<InMemory>,
    behind: Behind,
    happened: AtomicBool,
}

impl Interrupted {
    fn files(place: &Arc<InMemory>, behind: Behind) -> ArchiveFiles {
        ArchiveFiles::over(Arc::new(Self { place: place.clone(), behind, happened: AtomicBool::new(false) }))
    }
}

impl fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupted")
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a place")
    }
}

#[async_trait]
impl object_store::ObjectStore for Interrupted {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        let put = self.place.put_opts(location, payload, opts).await?;
        if location.filename() == Some(crate::archive::files::DATA)
            && !self.happened.swap(true, Ordering::SeqCst)
        {
            (self.behind)().await?;
        }
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.place.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.place.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.place.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.place.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.place.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.place.copy_opts(from, to, options).await
    }
}

/// What a folder says whose file or folder somebody else took away.
fn not_found() -> Error {
    let source = io::Error::from(io::ErrorKind::NotFound);
    Error::Generic { store: "folder", source: source.into() }
}

#[tokio::test]
async fn an_erasure_whose_replacement_another_one_takes_over_looks_again() {
    for fails in [true, false] {
        let files = Arc::new(InMemory::new());
        let place = Place { files: ArchiveFiles::over(files.clone()), ..Place::new() };
        let [ada, eve, mia] = [(); 3].map(|()| UserId::generate());
        for user_id in [ada, eve, mia] {
            place.idle(user_id, 2).await;
        }
        let other = place.service(0);
        archive_due(&other, Patience::Insists, &mut |_| ()).await.unwrap();
        let behind: Behind = Box::new(move || {
            let other = other.clone();
            Box::pin(async move {
                assert_eq!(other.forget_user(UserHash::of(eve)).await.unwrap(), 2);
                if fails { Err(not_found()) } else { Ok(()) }
            })
        });
        let service = place.service(0).with_files(Interrupted::files(&files, behind));
        let what = Forgotten::User(UserHash::of(ada));
        assert_eq!(
            service.leave_all(what, |_| Need::Unneeded).await.unwrap(),
            (2, vec![]),
            "put fails: {fails}"
        );
        assert_eq!(states(&service).await, [ArchiveState::Complete], "put fails: {fails}");
        let listed = place.files.list().await.unwrap();
        assert_eq!(listed.len(), 1, "put fails: {fails}: {listed:?}");
        let report = service.restore(RestoreTarget::All, YEAR, |_| ()).await.unwrap();
        assert_eq!((report.restored, report.damaged), (2, vec![]), "put fails: {fails}: mia's");
    }
}

#[tokio::test]
async fn what_is_written_in_the_place_of_another_one_is_not_written_again_by_who_settles_beside() {
    let place = Place::new();
    let [ada, eve] = [(); 2].map(|()| UserId::generate());
    for user_id in [ada, eve] {
        place.idle(user_id, 2).await;
    }
    archive_due(&place.service(0), Patience::Insists, &mut |_| ()).await.unwrap();
    let begun = Arc::new(AtomicUsize::new(0));
    let counting = |done: Step| usize::from(done == Step::Begun);
    let other = place.service(0).with_observer(Observer::new({
        let begun = begun.clone();
        move |done| {
            begun.fetch_add(counting(done), Ordering::SeqCst);
        }
    }));
    let service = place.service(0).with_observer(Observer::new({
        let (begun, other) = (begun.clone(), other.clone());
        move |done| {
            begun.fetch_add(counting(done), Ordering::SeqCst);
            if done == Step::Described {
                let other = other.clone();
                let settling = std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(other.finish_begun(Patience::Insists))
                });
                settling.join().unwrap().unwrap();
            }
        }
    }));
    assert_eq!(service.forget_user(UserHash::of(ada)).await.unwrap(), 2);
    assert_eq!(begun.load(Ordering::SeqCst), 1, "replacements that were begun");
    assert_eq!(states(&service).await, [ArchiveState::Complete]);
    let listed = place.files.list().await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    let report = service.restore(RestoreTarget::All, YEAR, |_| ()).await.unwrap();
    assert_eq!((report.restored, report.damaged), (2, vec![]), "eve's");
}

#[tokio::test]
async fn what_comes_back_behind_a_killed_replacement_is_in_no_archive_any_more() {
    let place = Place::new();
    let idle = place.idle(UserId::generate(), 3).await;
    let [first, second] = [0, 1].map(|n| RestoreTarget::Conversation(idle[n].conversation_id));
    archive_due(&place.service(0), Patience::Insists, &mut |_| ()).await.unwrap();
    let killed = place.service(0).with_observer(Observer::new(|done| {
        assert!(done != Step::Described, "killed");
    }));
    tokio::spawn(async move { killed.restore(first, YEAR, |_| ()).await }).await.unwrap_err();

    let service = place.service(0);
    let report = service.restore(second, YEAR, |_| ()).await.unwrap();
    assert_eq!((report.restored, report.unsettled), (1, false));
    let archives = service.list(None, PageLimit::MAX).await.unwrap();
    let held: Vec<_> =
        archives.iter().map(|archive| (archive.state, archive.content.conversations)).collect();
    assert_eq!(held, [(ArchiveState::Complete, 1)]);
    let listed = place.files.list().await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
}

#[tokio::test]
async fn a_place_that_fails_beside_nobody_is_told() {
    let files = Arc::new(InMemory::new());
    let place = Place { files: ArchiveFiles::over(files.clone()), ..Place::new() };
    let [ada, eve] = [(); 2].map(|()| UserId::generate());
    for user_id in [ada, eve] {
        place.idle(user_id, 2).await;
    }
    archive_due(&place.service(0), Patience::Insists, &mut |_| ()).await.unwrap();
    let behind: Behind = Box::new(|| Box::pin(async { Err(not_found()) }));
    let service = place.service(0).with_files(Interrupted::files(&files, behind));
    let error = service.forget_user(UserHash::of(ada)).await.unwrap_err();
    assert!(error.to_string().contains("cannot be written"), "{error}");
    assert_eq!(service.forget_user(UserHash::of(ada)).await.unwrap(), 0, "and it is gone on with");
    assert_eq!(states(&service).await, [ArchiveState::Complete]);
}

#[tokio::test]
async fn what_is_dropped_while_it_archives_or_replaces_lets_go_and_nobody_waits_for_it() {
    let files = Arc::new(InMemory::new());
    let place = Place { files: ArchiveFiles::over(files.clone()), ..Place::new() };
    let idle = place.idle(UserId::generate(), 3).await;
    let (other, leaves) = (place.service(0), Patience::Leaves);
    let stuck = || {
        let (reached, is_reached) = tokio::sync::oneshot::channel();
        let reached = Mutex::new(Some(reached));
        let behind: Behind = Box::new(move || {
            reached.lock().unwrap().take().unwrap().send(()).unwrap();
            Box::pin(std::future::pending())
        });
        (place.service(0).with_files(Interrupted::files(&files, behind)), is_reached)
    };

    let ((service, is_reached), mut progress) = (stuck(), |_| ());
    tokio::select! {
        _ = archive_due(&service, Patience::Insists, &mut progress) => panic!("it is stuck"),
        reached = is_reached => reached.unwrap(),
    }
    assert_eq!(states(&other).await, [ArchiveState::Begun]);
    assert!(archive_due(&other, leaves, &mut |_| ()).await.unwrap().busy, "as behind a kill");
    service.let_go_in_time().await;
    assert_eq!(states(&other).await, [ArchiveState::GivenUp], "a write that was under way may still end");
    assert_eq!(place.files.list().await.unwrap().len(), 0);
    let archived = archive_due(&other, leaves, &mut |_| ()).await.unwrap();
    assert_eq!((archived.conversations, archived.busy), (3, false));

    let (service, is_reached) = stuck();
    let target = RestoreTarget::Conversation(idle[0].conversation_id);
    tokio::select! {
        _ = service.restore(target, YEAR, |_| ()) => panic!("it is stuck"),
        reached = is_reached => reached.unwrap(),
    }
    assert!(states(&other).await.contains(&ArchiveState::Begun));
    service.let_go_in_time().await;
    assert!(!states(&other).await.contains(&ArchiveState::Begun));
    assert!(!archive_due(&other, leaves, &mut |_| ()).await.unwrap().busy);
    let report = other.restore(RestoreTarget::All, YEAR, |_| ()).await.unwrap();
    assert_eq!((report.restored, report.damaged), (2, vec![]));
    service.let_go_in_time().await;
    assert!(
        other
            .list(None, PageLimit::MAX)
            .await
            .unwrap()
            .iter()
            .all(|left| left.content == ArchiveContent::default())
    );
}
