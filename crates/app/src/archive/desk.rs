//! One thread for what is done with archives' files, one after the other: compressing and reading takes buffers of some
//! megabytes, and a memory allocator keeps such for each thread that ever had them. So the memory of a run does not
//! depend on how many archives it comes to. Restores have another desk: a person waits for them, and the work here is a
//! whole file, which is as long as the database and the bucket are slow.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{OnceLock, mpsc};
use std::thread::Builder;

use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// The thread, begun when there is something to do, and ended with this.
#[derive(Debug, Default)]
pub(crate) struct Desk(OnceLock<mpsc::Sender<Work>>);

impl Desk {
    /// Has this done behind what was asked for before. The answer need not be waited for.
    ///
    /// Work must not wait for other work of the same desk.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Answer<T>> {
        let (sender, answer) = oneshot::channel();
        let work: Work = Box::new(move || drop(sender.send(work())));
        let desk = if let Some(desk) = self.0.get() {
            desk
        } else {
            let (sender, works) = mpsc::channel::<Work>();
            Builder::new().name("archive".to_owned()).spawn(move || {
                for work in works {
                    // Whoever waits for it is told by its end; what others ask for is done all the same.
                    let _panicked = catch_unwind(AssertUnwindSafe(work));
                }
            })?;
            // Who came second ends the one that was begun in vain.
            self.0.get_or_init(|| sender)
        };
        desk.send(work).map_err(|_| ended())?;
        Ok(Answer(answer))
    }

    /// Has this done, and waits for it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.begin(work)?.get().await
    }
}

/// What will have come of some work.
#[derive(Debug)]
pub(crate) struct Answer<T>(oneshot::Receiver<T>);

impl<T> Answer<T> {
    /// Waits for it.
    pub(crate) async fn get(self) -> io::Result<T> {
        self.0.await.map_err(|_| ended())
    }
}

fn ended() -> io::Error {
    io::Error::other("work on an archive has ended in the middle")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_by_one_thread_one_after_the_other() {
        let desk = Desk::default();
        let first = desk.begin(|| std::thread::current().id()).unwrap();
        let second = desk.run(|| std::thread::current().id()).await.unwrap();
        assert_eq!(first.get().await.unwrap(), second);
        assert_ne!(second, std::thread::current().id());
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error_and_the_next_is_done() {
        let desk = Desk::default();
        assert!(desk.run(|| assert_eq!(1, 2, "a test")).await.is_err());
        assert_eq!(desk.run(|| 1).await.unwrap(), 1);
    }
}
