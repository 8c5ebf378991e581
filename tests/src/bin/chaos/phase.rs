//! What happens once in a campaign: a failover, and an outage in each mode of the fallback.

use std::path::Path;
use std::time::Duration;

use lcs_tests::chaos::checker::{Verdict, check};
use lcs_tests::chaos::history::{self, Event, NO_REPLICA};
use lcs_tests::chaos::replica::Failure;
use lcs_tests::chaos::workload::Plan;
use tokio::time::sleep;

use super::campaign::Stage;
use super::service::Mode;
use super::stage;

/// How long clients work before and after.
const AROUND: Duration = Duration::from_secs(6);
/// When, in an outage, a replica is killed.
const KILLED_AFTER: Duration = Duration::from_secs(10);

/// A phase, and what it came to.
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    /// The fallback's, where the database was away.
    pub(crate) mode: Option<Mode>,
    /// How much of the journal the database refused at first.
    pub(crate) retried: usize,
    /// How many lines of the logs show what they must not.
    pub(crate) secrets: usize,
}

/// The primary is killed, and its synchronous standby takes its place.
pub(crate) async fn failover(program: &Path, folder: &Path, seed: u64) -> Result<Phase, Failure> {
    let name = "failover";
    let mut stage = stage(program, folder, name, Plan::processes(seed), Mode::Refuse).await?;
    let clients = stage.clients().await?;
    let standby = stage.server.synchronous_standby().await?;
    sleep(AROUND).await;
    let from_ns = stage.world.history.now_ns();
    stage.server.kill().await?;
    standby.promote().await?;
    let primary = std::mem::replace(&mut stage.server, standby);
    for service in &stage.services {
        service.proxy.lead_to(stage.server.address());
    }
    stage.server.until_accepting().await?;
    stage.world.history.note(NO_REPLICA, 0, from_ns, Event::Promoted)?;
    accepting(&stage, "failover", from_ns)?;
    sleep(AROUND).await;
    stage.last_look(clients).await?;
    drop(primary);
    ended(&stage, folder, name, None).await
}

/// The server is away for as long as this, and comes back.
pub(crate) async fn outage(
    program: &Path,
    folder: &Path,
    seed: u64,
    mode: Mode,
    lasts: Duration,
) -> Result<Phase, Failure> {
    let name = mode.word();
    let plan = Plan { has_journals: mode == Mode::Journal, ..Plan::processes(seed) };
    let stage = stage(program, folder, name, plan, mode).await?;
    let clients = stage.clients().await?;
    sleep(AROUND).await;
    stage.server.kill().await?;
    let from_ns = stage.world.history.now_ns();
    // Conversations that memory knows are begun during the outage.
    sleep(KILLED_AFTER.min(lasts / 3)).await;
    stage.world.forget();
    if mode == Mode::Journal {
        restart(&stage, 0).await?;
    }
    sleep(lasts.saturating_sub(KILLED_AFTER.min(lasts / 3))).await;
    stage.world.history.note(NO_REPLICA, 0, from_ns, Event::Outage)?;
    stage.server.start_again().await?;
    stage.server.until_accepting().await?;
    if mode == Mode::Journal {
        // In the middle of its replay.
        sleep(Duration::from_millis(300)).await;
        restart(&stage, 1).await?;
    }
    accepting(&stage, "outage", from_ns)?;
    sleep(AROUND).await;
    let mut retried = 0;
    if mode == Mode::Journal {
        for service in &stage.services {
            service.until_replayed(program).await?;
            retried += service.retry_conflicts(program).await?;
        }
        for service in &stage.services {
            service.until_replayed(program).await?;
        }
    }
    stage.last_look(clients).await?;
    Ok(Phase { retried, ..ended(&stage, folder, name, Some(mode)).await? })
}

async fn restart(stage: &Stage, replica: usize) -> Result<(), Failure> {
    let service = stage.services.get(replica).ok_or("there is no such replica")?;
    service.kill().await?;
    service.start(&stage.program).await
}

fn accepting(stage: &Stage, fault: &str, from_ns: u64) -> Result<(), Failure> {
    let history = &stage.world.history;
    history.note(NO_REPLICA, 0, from_ns, Event::Fault(fault.to_owned()))?;
    for number in 0..u32::try_from(stage.services.len())? {
        history.note(number, 0, history.now_ns(), Event::Accepting)?;
    }
    Ok(())
}

async fn ended(
    stage: &Stage,
    folder: &Path,
    name: &'static str,
    mode: Option<Mode>,
) -> Result<Phase, Failure> {
    let secrets = stage.stop().await?;
    let records = history::read(&folder.join(format!("history-{name}.jsonl")))?;
    Ok(Phase { name, verdict: check(&records), mode, retried: 0, secrets })
}
