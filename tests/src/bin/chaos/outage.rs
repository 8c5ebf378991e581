//! The database is away for half a minute, in each mode of the fallback.

use std::fmt::Write as _;
use std::time::Duration;

use lcs_tests::chaos::checker::check;
use lcs_tests::chaos::history::{Event, NO_REPLICA};
use lcs_tests::chaos::replica::Failure;
use lcs_tests::chaos::workload::Plan;
use tokio::time::{Instant, sleep};

use super::campaign::Stage;
use super::judgement::{of_outage, shown};
use super::process::PATIENCE;
use super::proxy::Passage;
use super::run::Run;
use super::service::{Mode, Service};
use super::table::{Part, Requirement};

/// How long clients work before and after.
pub(crate) const AROUND: Duration = Duration::from_secs(6);
/// How long the database is away.
const LASTS: Duration = Duration::from_secs(30);
/// When, in an outage, a replica is killed.
const KILLED_AFTER: Duration = Duration::from_secs(10);
/// How slow the network is while a replay is to be caught in its middle.
const LATENCY: Duration = Duration::from_millis(100);

/// The server is away, and comes back.
pub(crate) async fn outage(run: &Run, mode: Mode) -> Result<Part, Failure> {
    let name = mode.word();
    let plan = Plan { has_journals: mode == Mode::Journal, ..Plan::processes(run.seed) };
    let stage = Stage::set(run, name, plan, mode).await?;
    let clients = stage.clients().await?;
    sleep(AROUND).await;
    stage.server.kill().await?;
    let from_ns = stage.world.history.now_ns();
    // Conversations that memory knows are begun during the outage.
    sleep(KILLED_AFTER).await;
    stage.world.forget();
    if mode == Mode::Journal {
        let first = stage.service(0)?;
        first.process.kill().await?;
        first.process.start().await?;
    }
    sleep(LASTS.saturating_sub(KILLED_AFTER)).await;
    stage.world.history.note(NO_REPLICA, 0, from_ns, Event::Outage)?;
    let mut requirements = Vec::new();
    if mode == Mode::Journal {
        for service in &stage.services {
            service.process.show_journals().await?;
        }
        requirements.push(killed_in_replay(&stage, run.bar.kills_in_replay).await?);
    } else {
        stage.server.start_again().await?;
        stage.server.until_accepting().await?;
    }
    accepting(&stage, "outage", from_ns)?;
    sleep(AROUND).await;
    let (mut retried, mut reasons) = (0, String::new());
    if mode == Mode::Journal {
        for service in &stage.services {
            service.process.until_replayed().await?;
            service.process.show_journals().await?;
            for (reason, count) in service.process.retry_conflicts().await? {
                writeln!(reasons, "{count:>9}  refused at first, and tried again: {reason}")?;
                retried += count;
            }
        }
        for service in &stage.services {
            service.process.until_replayed().await?;
        }
    }
    stage.last_look(clients).await?;
    let searched = stage.stop().await?;
    let verdict = check(&stage.records()?);
    requirements.insert(0, of_outage(mode, &verdict, retried));
    let title = format!("the database away for {} s, mode {name}", LASTS.as_secs());
    Ok(Part { title, text: shown(&verdict) + &reasons, requirements, searched })
}

/// What a kill in the middle of a replay found.
#[derive(Debug, Clone, Copy)]
struct Killed {
    /// How many entries that had waited were in the database, or with the conflicts.
    settled: usize,
    /// How many of them were still to come.
    left: usize,
}

/// Has the server come back, and the second replica killed in the middle of its replay, so many times.
async fn killed_in_replay(stage: &Stage, kills: usize) -> Result<Requirement, Failure> {
    let service = stage.service(1)?;
    let mut before = service.process.waiting().await?;
    let whole = before.len();
    service.proxy.delay(LATENCY);
    stage.server.start_again().await?;
    stage.server.until_accepting().await?;
    let mut seen = Vec::new();
    for kill in 1..=kills {
        // Each time at another point: what is left is shared among the kills that are.
        let to_come = kills + 1 - kill;
        let settled = until_settled(service, before.len() / (to_come + 1)).await;
        settled.map_err(|error| format!("kill {kill} of {kills}, behind {seen:?}: {error}"))?;
        service.process.kill().await?;
        let waiting = service.process.waiting().await?;
        let left = before.intersection(&waiting).count();
        seen.push(Killed { settled: before.len() - left, left });
        before = waiting;
        // Nothing is replayed before it is looked at.
        service.proxy.set(Passage::Refused);
        service.process.start().await?;
        service.proxy.set(Passage::Open);
    }
    service.proxy.delay(Duration::ZERO);
    Ok(of_kills(whole, kills, &seen))
}

/// Waits until so many entries have been replayed since the start, at least one.
async fn until_settled(service: &Service, count: usize) -> Result<(), Failure> {
    let began = Instant::now();
    let count = f64::from(u32::try_from(count.max(1))?);
    while service.process.metric("lcs_journal_replayed_total").await? < count {
        if began.elapsed() > PATIENCE {
            return Err("the replay does not go on".into());
        }
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

fn of_kills(whole: usize, kills: usize, seen: &[Killed]) -> Requirement {
    let in_the_middle = seen.iter().filter(|killed| killed.settled > 0 && killed.left > 0).count();
    let points: Vec<String> =
        seen.iter().map(|killed| format!("{} settled, {} left", killed.settled, killed.left)).collect();
    let found = format!("{in_the_middle}, of {whole} entries: {}", points.join("; "));
    let what = format!("journal: kill -9 in the middle of the replay, {kills} times");
    Requirement::new("R10", what, found, in_the_middle == kills && kills > 0)
}

/// Notes that what the replicas need is there again.
pub(crate) fn accepting(stage: &Stage, fault: &str, from_ns: u64) -> Result<(), Failure> {
    let history = &stage.world.history;
    history.note(NO_REPLICA, 0, from_ns, Event::Fault(fault.to_owned()))?;
    for number in 0..u32::try_from(stage.services.len())? {
        history.note(number, 0, history.now_ns(), Event::Accepting)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_before_or_behind_the_replay_is_none_in_its_middle() {
        let middle = Killed { settled: 3, left: 4 };
        assert!(of_kills(7, 2, &[middle, middle]).holds);
        for other in [Killed { settled: 0, left: 7 }, Killed { settled: 7, left: 0 }] {
            assert!(!of_kills(7, 2, &[middle, other]).holds, "{other:?}");
        }
        assert!(!of_kills(7, 2, &[middle]).holds);
        assert!(!of_kills(0, 0, &[]).holds);
    }
}
