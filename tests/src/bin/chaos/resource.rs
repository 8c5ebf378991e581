//! What a replica holds while faults are inflicted: memory, file descriptors, connections to the server.

use std::fs;
use std::time::Duration;

use lcs_tests::chaos::replica::Failure;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use super::bar::Bar;
use super::server::{SESSIONS, connect};
use super::service::POOL;
use super::table::Requirement;

const EVERY: Duration = Duration::from_secs(1);
/// The most that memory and file descriptors may grow, in percent.
const GROWTH: u64 = 10;

/// What was held at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    rss_kib: u64,
    descriptors: u64,
    /// The server's processes for all replicas; `None`: it was not to be asked.
    backends: Option<u64>,
}

/// What was held in a run, moment by moment.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    samples: Vec<Sample>,
    /// How many replicas the server has processes for.
    replicas: u64,
}

/// Looks at a process until it is told to stop. The process must not be ended meanwhile: another one
/// would begin anew.
pub(crate) struct Sampler {
    stop: watch::Sender<bool>,
    samples: JoinHandle<Vec<Sample>>,
}

impl Sampler {
    pub(crate) fn start(process: u32, url: &str) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let url = url.to_owned();
        let samples = tokio::spawn(async move {
            let mut samples = Vec::new();
            let mut ticks = interval(EVERY);
            loop {
                tokio::select! {
                    _ = stopped.changed() => return samples,
                    _ = ticks.tick() => samples.extend(sample(process, &url).await),
                }
            }
        });
        Self { stop, samples }
    }

    pub(crate) async fn end(self, replicas: usize) -> Result<Resources, Failure> {
        self.stop.send_replace(true);
        Ok(Resources { samples: self.samples.await?, replicas: u64::try_from(replicas)? })
    }
}

/// `None`, where the process is not there.
async fn sample(process: u32, url: &str) -> Option<Sample> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let rss_kib = rss.split_whitespace().next()?.parse().ok()?;
    let descriptors = u64::try_from(fs::read_dir(format!("/proc/{process}/fd")).ok()?.count()).ok()?;
    let backends = timeout(EVERY, backends(url)).await.ok().and_then(Result::ok);
    Some(Sample { rss_kib, descriptors, backends })
}

async fn backends(url: &str) -> Result<u64, Failure> {
    let row = connect(url).await?.query_one(&format!("SELECT count(*) {SESSIONS}"), &[]).await?;
    Ok(u64::try_from(row.try_get::<_, i64>(0)?)?)
}

impl Resources {
    /// How much was held, by the medians of the second and of the last quarter: the first one warms up.
    fn quarters(&self, of: impl Fn(&Sample) -> Option<u64>) -> (u64, u64) {
        let quarter = self.samples.len() / 4;
        let median = |from: usize| {
            let mut values: Vec<u64> = self.samples.iter().skip(from).take(quarter).filter_map(&of).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        (median(quarter), median(quarter * 3))
    }

    pub(crate) fn requirement(&self, bar: &Bar) -> Requirement {
        let (early_kib, late_kib) = self.quarters(|sample| Some(sample.rss_kib));
        let (early_fds, late_fds) = self.quarters(|sample| Some(sample.descriptors));
        let (early, late) = self.quarters(|sample| sample.backends);
        // Those that a kill leaves behind, and the campaign's own, are there for a moment, too.
        let most = self.samples.iter().filter_map(|sample| sample.backends).max().unwrap_or_default();
        let limit = self.replicas * POOL;
        let is_flat = |early: u64, late: u64| late * 100 <= early * (100 + GROWTH);
        let holds = late_kib > 0
            && is_flat(early_kib, late_kib)
            && is_flat(early_fds, late_fds)
            && (late > 0 && late <= early + self.replicas && late <= limit);
        let found = format!(
            "{} looks; memory {early_kib} KiB then {late_kib} KiB, descriptors {early_fds} then {late_fds}, \
             backends {early} then {late}, at most {most} (the pools have {limit})",
            self.samples.len()
        );
        let what = "memory and descriptors grow by at most 10 %, backends stay";
        let requirement = Requirement::new("R5", what, found, holds);
        // In two minutes a process has hardly become warm.
        if bar.judges_growth { requirement } else { requirement.told() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(sample: impl Fn(u64) -> Sample) -> Resources {
        Resources { samples: (0..40).map(sample).collect(), replicas: 2 }
    }

    #[test]
    fn what_grows_is_told_from_what_has_warmed_up() {
        let soak = Bar::named("soak").unwrap();
        let flat = |at: u64| Sample { rss_kib: at.min(9) * 100 + 1, descriptors: 50, backends: Some(16) };
        assert!(resources(flat).requirement(&soak).holds);
        let grows = |at| Sample { rss_kib: 1_000 + at * 10, ..flat(at) };
        let requirement = resources(grows).requirement(&soak);
        assert!(!requirement.holds && requirement.decides, "{}", requirement.found);
        assert!(!resources(|at| Sample { descriptors: 10 + at, ..flat(at) }).requirement(&soak).holds);
        assert!(!resources(|at| Sample { backends: Some(25), ..flat(at) }).requirement(&soak).holds);
        assert!(!resources(|at| Sample { backends: None, ..flat(at) }).requirement(&soak).holds);
        assert!(!Resources::default().requirement(&soak).holds);
        assert!(!Resources::default().requirement(&Bar::named("ci").unwrap()).decides);
    }
}
