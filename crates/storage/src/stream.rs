//! Rows on their way from a database to whoever reads them, in constant memory.
//!
//! A task of its own reads from the database; between it and the reader stand a few rows. A reader that is
//! slow slows the task down; one that has gone ends it; one that stands still is given up, because the task
//! holds a connection that others wait for. However the task ends, the reader is told: a stream that ends
//! without an error was whole.

use std::future::Future;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use lcs_domain::RepositoryError;
use lcs_domain::repository::RepositoryResult;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{Instrument as _, Span};

/// How many rows are read ahead of the reader.
const AHEAD: usize = 64;
/// How long a reader may stand still who holds a connection that others wait for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an operator's reader may stand still, whose connection nobody waits for.
pub(crate) const OPERATORS_PATIENCE: Duration = Duration::from_mins(10);

/// Where a task puts the rows that it has read.
pub(crate) struct Rows<T> {
    sender: mpsc::Sender<T>,
    is_begun: bool,
    patience: Duration,
}

impl<T> Rows<T> {
    /// Hands `row` on; whether there is still somebody who reads.
    ///
    /// # Errors
    /// `Overloaded` where the reader has stood still for too long.
    pub(crate) async fn send(&mut self, row: T) -> RepositoryResult<bool> {
        self.is_begun = true;
        match timeout(self.patience, self.sender.send(row)).await {
            Ok(sent) => Ok(sent.is_ok()),
            Err(_) => Err(RepositoryError::Overloaded {
                reason: format!(
                    "the list was not read on for {:?}: read it faster, or in parts",
                    self.patience
                ),
            }),
        }
    }

    /// Whether a row has been handed on: from then on nothing can be begun anew.
    pub(crate) const fn is_begun(&self) -> bool {
        self.is_begun
    }
}

/// The rows that `work` hands on, and then its error, if it ends with one. It begins when the stream is first
/// polled, in a task with this `span`.
pub(crate) fn streamed<T, F>(
    span: Span,
    work: impl FnOnce(Rows<T>) -> F + Send + 'static,
) -> BoxStream<'static, RepositoryResult<T>>
where
    T: Send + 'static,
    F: Future<Output = RepositoryResult<()>> + Send + 'static,
{
    streamed_for(PATIENCE, span, work)
}

/// The same for a reader who may stand still for as long as `patience`.
pub(crate) fn streamed_for<T, F>(
    patience: Duration,
    span: Span,
    work: impl FnOnce(Rows<T>) -> F + Send + 'static,
) -> BoxStream<'static, RepositoryResult<T>>
where
    T: Send + 'static,
    F: Future<Output = RepositoryResult<()>> + Send + 'static,
{
    async move {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let task = tokio::spawn(work(Rows { sender, is_begun: false, patience }).instrument(span));
        stream::unfold((receiver, Some(task)), |(mut receiver, mut task)| async move {
            if let Some(row) = receiver.recv().await {
                return Some((Ok(row), (receiver, task)));
            }
            let error = match task.take()?.await {
                Ok(ended) => ended.err()?,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => RepositoryError::unavailable("the program is shutting down"),
                },
            };
            Some((Err(error), (receiver, None)))
        })
    }
    .flatten_stream()
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::TryStreamExt as _;
    use tokio::sync::oneshot;
    use tokio::time::{Instant, sleep};

    /// A task that hands on 0 to `count`, and how far it has come.
    fn counting(count: usize) -> (BoxStream<'static, RepositoryResult<usize>>, Arc<AtomicUsize>) {
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        let stream = streamed(Span::none(), move |mut rows: Rows<usize>| async move {
            for row in 0..count {
                if !rows.send(row).await? {
                    break;
                }
                counter.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        });
        (stream, sent)
    }

    #[tokio::test(start_paused = true)]
    async fn all_rows_come_in_order_and_nothing_begins_before_somebody_reads() {
        let (stream, sent) = counting(1_000);
        sleep(Duration::from_mins(1)).await;
        assert_eq!(sent.load(Ordering::SeqCst), 0);
        assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap(), (0..1_000).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_slows_down_and_reads_all() {
        let (mut stream, sent) = counting(200);
        for row in 0..200 {
            assert_eq!(stream.next().await.unwrap().unwrap(), row);
            sleep(PATIENCE.mul_f64(0.9)).await;
            assert!(sent.load(Ordering::SeqCst) <= row + 1 + AHEAD, "no more than so many ahead");
        }
        assert!(stream.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stands_still_is_given_up_and_told() {
        let (mut stream, sent) = counting(1_000);
        stream.next().await.unwrap().unwrap();
        sleep(PATIENCE * 2).await;
        assert_eq!(sent.load(Ordering::SeqCst), AHEAD + 1);
        let rest: Vec<_> = stream.collect().await;
        let (last, before) = rest.split_last().unwrap();
        assert!(matches!(last, Err(RepositoryError::Overloaded { .. })), "{last:?}");
        assert!(before.len() == AHEAD && before.iter().all(Result::is_ok));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_ends_when_its_reader_has_gone() {
        let (ended, has_ended) = oneshot::channel();
        let mut stream = streamed(Span::none(), move |mut rows: Rows<u32>| async move {
            while rows.send(1).await? {}
            ended.send(Instant::now()).unwrap();
            Ok(())
        });
        stream.next().await.unwrap().unwrap();
        let left = Instant::now();
        drop(stream);
        assert_eq!(has_ended.await.unwrap(), left, "at once");
    }

    #[tokio::test]
    async fn an_error_is_told_after_the_rows_before_it() {
        let stream = streamed(Span::none(), |mut rows: Rows<u32>| async move {
            rows.send(1).await?;
            Err(RepositoryError::unavailable("gone"))
        });
        let items: Vec<_> = stream.collect().await;
        assert!(matches!(&items[..], [Ok(1), Err(RepositoryError::Unavailable { .. })]), "{items:?}");
    }
}
