//! Ctrl-C, and the signal that a container is stopped with: asked for, not carried out at once.

use std::future::pending;

use tokio::sync::watch;

/// Hears that the process is asked to end. What runs decides when it does.
pub(super) struct Stop(watch::Receiver<u32>);

impl Stop {
    /// From now on the process does not end by itself when it is asked to.
    pub(super) fn listen() -> Self {
        let (sender, receiver) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                signal().await;
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

    /// The next time that the process is asked to end.
    pub(super) async fn requested(&mut self) {
        if self.0.changed().await.is_err() {
            pending::<()>().await;
        }
    }
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};

    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => pending().await,
        }
    };
    tokio::select! {
        () = interrupted() => {}
        _ = terminated => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    interrupted().await;
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}
