//! The one task that asks a primary that is gone whether it is back.

use std::sync::{Arc, Weak};
use std::time::Duration;

use lcs_domain::RepositoryError;
use lcs_domain::repository::RepositoryResult;
use tokio::time::{Instant, sleep_until, timeout};

use super::circuit::{Circuit, Epoch, reason};
use super::outage::{Answering, Outage};
use super::replay;

/// How long a probe may take: a ping that hangs must not keep the circuit open for ever.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// Probes until the circuit is closed. It keeps neither the fallback nor the outage alive.
pub(super) struct Prober {
    circuit: Weak<Circuit>,
    outage: Weak<Outage>,
    epoch: Epoch,
}

impl Prober {
    /// Starts the outage's prober, unless it has one.
    pub(super) fn ensure(circuit: &Arc<Circuit>, outage: &Arc<Outage>, epoch: Epoch) {
        if outage.watch().prober.replace(epoch) == Some(epoch) {
            return;
        }
        // Made here and moved in: a task that is dropped before it first runs gives its place back too.
        let prober = Self { circuit: Arc::downgrade(circuit), outage: Arc::downgrade(outage), epoch };
        tokio::spawn(prober.run());
    }

    async fn run(self) {
        while let Some(next_probe) = self.next_probe() {
            sleep_until(next_probe).await;
            self.probe().await;
        }
    }

    /// When to probe next; `None` where the outage is over.
    fn next_probe(&self) -> Option<Instant> {
        let circuit = self.circuit.upgrade()?;
        let outage = self.outage.upgrade()?;
        (circuit.epoch() == self.epoch).then(|| outage.watch().next_probe)
    }

    async fn probe(&self) {
        // While this one slept, a ping may have closed the circuit, and a new outage has its own prober.
        let Some(circuit) = self.circuit.upgrade().filter(|circuit| circuit.epoch() == self.epoch) else {
            return;
        };
        self.set_probing(true, None);
        let ping = timeout(PROBE_LIMIT, circuit.primary().ping()).await;
        let ping = ping.unwrap_or_else(|_| {
            let limit = PROBE_LIMIT.as_secs();
            Err(RepositoryError::unavailable(format!("it did not answer a ping within {limit} s")))
        });
        let answer = match ping {
            Ok(()) => self.attempt(&circuit).await,
            gone => gone,
        };
        self.set_probing(false, Some(circuit.next_probe()));
        circuit.observe(self.epoch, answer.as_ref().err());
    }

    /// Whether a primary that answers takes something again, where it had stopped to.
    async fn attempt(&self, circuit: &Circuit) -> RepositoryResult<()> {
        let Some(outage) = self.outage.upgrade() else { return Ok(()) };
        let Some(journal) = circuit.journal() else { return Ok(()) };
        if outage.watch().standing != Answering::Refusing {
            return Ok(());
        }
        match replay::attempt(circuit.primary(), journal).await {
            Ok(standing) => {
                outage.watch().standing = standing;
                Ok(())
            }
            Err(error) => {
                let reason = reason(&error);
                let mut watch = outage.watch();
                if watch.last_failure != reason {
                    tracing::warn!(last_failure = reason, "the replay cannot go on yet");
                    watch.last_failure = reason;
                }
                Err(error)
            }
        }
    }

    fn set_probing(&self, is_probing: bool, next_probe: Option<Instant>) {
        if let Some(outage) = self.outage.upgrade() {
            let mut watch = outage.watch();
            watch.is_probing = is_probing;
            watch.next_probe = next_probe.unwrap_or(watch.next_probe);
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        if let Some(outage) = self.outage.upgrade() {
            let mut watch = outage.watch();
            // Another epoch's prober may have taken over meanwhile.
            if watch.prober == Some(self.epoch) {
                watch.prober = None;
                watch.is_probing = false;
            }
        }
    }
}
