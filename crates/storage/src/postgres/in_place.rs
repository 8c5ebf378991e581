//! Work that is done in the task of whoever waits for it, and in a task of its own as soon as nobody does.
//!
//! A write is done whether its caller waits for it or not. A task of its own for each one says so simply, and costs a
//! single client the waking of another thread (docs/adr/0041-appends-in-place.md).

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// Work that goes on while this is polled, and when this is dropped, in a task of the runtime that it was made in.
pub(super) struct InPlace {
    work: Arc<Mutex<Work>>,
    runtime: Handle,
}

/// Work that can be had done in a task of its own, where its caller neither waits for it nor lets it go.
pub(super) struct Begun {
    work: Weak<Mutex<Work>>,
    runtime: Handle,
}

struct Work {
    /// `None`: it is done, or somebody else does it.
    future: Option<BoxFuture<'static, ()>>,
    caller: Option<Waker>,
}

impl InPlace {
    /// `work`, of which nothing is done yet.
    pub(super) fn new(work: impl Future<Output = ()> + Send + 'static, runtime: Handle) -> Self {
        let work = Work { future: Some(work.boxed()), caller: None };
        Self { work: Arc::new(Mutex::new(work)), runtime }
    }

    /// What another caller can take it over by.
    pub(super) fn begun(&self) -> Begun {
        Begun { work: Arc::downgrade(&self.work), runtime: self.runtime.clone() }
    }
}

impl Future for InPlace {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(future) = work.future.as_mut() else { return Poll::Ready(()) };
        if future.poll_unpin(context).is_ready() {
            work.future = None;
            return Poll::Ready(());
        }
        match &mut work.caller {
            Some(caller) => caller.clone_from(context.waker()),
            None => work.caller = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for InPlace {
    fn drop(&mut self) {
        go_on(self.work.lock().unwrap_or_else(PoisonError::into_inner), &self.runtime);
    }
}

impl Begun {
    /// Whether there may be something left to do.
    pub(super) fn is_left(&self) -> bool {
        self.work.strong_count() > 0
    }

    /// Has it done in a task of its own, unless its caller is at it just now: whether it need not be looked at again.
    pub(super) fn take_over(&self) -> bool {
        let Some(work) = self.work.upgrade() else { return true };
        match work.try_lock() {
            Ok(work) => go_on(work, &self.runtime),
            Err(TryLockError::Poisoned(work)) => go_on(work.into_inner(), &self.runtime),
            Err(TryLockError::WouldBlock) => return false,
        }
        true
    }
}

/// Has what is left done in a task of its own, and tells who waits for it here.
fn go_on(mut work: MutexGuard<'_, Work>, runtime: &Handle) {
    let Some(future) = work.future.take() else { return };
    let caller = work.caller.take();
    // A runtime that has ended drops the work at once.
    drop(work);
    runtime.spawn(future);
    if let Some(caller) = caller {
        caller.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    /// Work that waits for a word, and says when it is done.
    fn work() -> (InPlace, oneshot::Sender<()>, oneshot::Receiver<()>) {
        let (go, gone) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let work = async move {
            gone.await.unwrap();
            done.send(()).unwrap();
        };
        (InPlace::new(work, Handle::current()), go, is_done)
    }

    #[tokio::test]
    async fn what_is_waited_for_is_done_here() {
        let (work, go, mut is_done) = work();
        go.send(()).unwrap();
        work.await;
        is_done.try_recv().unwrap();
    }

    #[tokio::test]
    async fn what_is_let_go_is_done_elsewhere() {
        for polled in [false, true] {
            let (mut work, go, is_done) = work();
            if polled {
                assert_eq!((&mut work).now_or_never(), None);
            }
            drop(work);
            go.send(()).unwrap();
            is_done.await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_its_caller_forgets_is_taken_over() {
        let (mut work, go, is_done) = work();
        let begun = work.begun();
        assert_eq!((&mut work).now_or_never(), None);
        assert!(begun.take_over());
        go.send(()).unwrap();
        is_done.await.unwrap();
        assert!(begun.is_left(), "its caller does not know yet");
        work.await;
        assert!(!begun.is_left());
    }

    #[tokio::test]
    async fn what_its_caller_is_at_is_looked_at_again() {
        let (mut work, go, is_done) = work();
        let begun = work.begun();
        let busy = Arc::clone(&work.work);
        let held = busy.lock().unwrap();
        assert!(!begun.take_over());
        drop(held);
        assert_eq!((&mut work).now_or_never(), None);
        assert!(begun.take_over());
        go.send(()).unwrap();
        is_done.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_is_told_that_somebody_else_does_it() {
        let work = InPlace::new(pending(), Handle::current());
        let begun = work.begun();
        let waits = tokio::spawn(work);
        tokio::task::yield_now().await;
        assert!(begun.take_over());
        timeout(Duration::from_secs(1), waits).await.unwrap().unwrap();
    }

    #[test]
    fn a_runtime_that_has_ended_drops_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (done, mut is_done) = oneshot::channel::<()>();
        let work = async move {
            pending::<()>().await;
            drop(done);
        };
        let work = InPlace::new(work, runtime.handle().clone());
        drop(runtime);
        drop(work);
        assert_eq!(is_done.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
