//! Ctrl-C, and the signal that a container is stopped with: asked for, not carried out at once.

use std::future::pending;

use tokio::sync::watch;

/// The exit code of a process that a signal has ended, as shells have it for Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Hears that the process is asked to end. What runs decides when it does.
pub(super) struct Stop(watch::Receiver<u32>);

impl Stop {
    /// From now on, and until it is dropped, the process does not end by itself when it is asked to.
    pub(super) fn listen() -> Self {
        let (sender, receiver) = watch::channel(0);
        let mut signals = Signals::listen();
        tokio::spawn(async move {
            loop {
                signals.next().await;
                if sender.is_closed() {
                    // Nobody asks any more: what is left is to print an answer, which may never be taken.
                    std::process::exit(INTERRUPTED);
                }
                sender.send_modify(|count| *count += 1);
            }
        });
        Self(receiver)
    }

    /// Is asked by a test instead.
    #[cfg(test)]
    pub(super) fn by_hand() -> (watch::Sender<u32>, Self) {
        let (sender, receiver) = watch::channel(0);
        (sender, Self(receiver))
    }

    /// What `work` comes to; `None` where the process is asked to end before. It is dropped then.
    pub(super) async fn unless_requested<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            ended = work => Some(ended),
            () = self.requested() => None,
        }
    }

    /// The next time that the process is asked to end.
    pub(super) async fn requested(&mut self) {
        if self.0.changed().await.is_err() {
            pending::<()>().await;
        }
    }
}

/// Heard from the moment of `listen`, not only while `next` waits.
#[cfg(unix)]
struct Signals([Option<tokio::signal::unix::Signal>; 2]);

#[cfg(unix)]
impl Signals {
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};

        Self([SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).ok()))
    }

    async fn next(&mut self) {
        async fn heard(signal: &mut Option<tokio::signal::unix::Signal>) {
            let heard = match signal {
                Some(signal) => signal.recv().await,
                None => None,
            };
            if heard.is_none() {
                pending::<()>().await;
            }
        }
        let Self([interrupt, terminate]) = self;
        tokio::select! {
            () = heard(interrupt) => {}
            () = heard(terminate) => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Self {
        Self
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn what_is_done_is_told_and_what_is_not_is_given_up_when_it_is_asked_for() {
        let (sender, mut stop) = Stop::by_hand();
        assert_eq!(stop.unless_requested(ready(7)).await, Some(7));
        sender.send_modify(|count| *count += 1);
        assert_eq!(stop.unless_requested(ready(7)).await, Some(7), "what is done is done");
        assert_eq!(stop.unless_requested(pending::<u32>()).await, None);
    }
}
