//! The primary is killed, and a standby takes its place: a synchronous one, and one that lags behind.

use std::collections::BTreeSet;
use std::time::Duration;

use lcs_domain::Durability;
use lcs_tests::chaos::checker::check;
use lcs_tests::chaos::history::{Element, Event, NO_REPLICA, Outcome, Record};
use lcs_tests::chaos::replica::Failure;
use lcs_tests::chaos::workload::Plan;
use tokio::time::sleep;

use super::campaign::Stage;
use super::judgement::{shown, sound};
use super::outage::{AROUND, accepting};
use super::process::Process;
use super::proxy::Proxy;
use super::run::Run;
use super::server::Server;
use super::service::{Configuration, Mode, Service};
use super::table::{Part, Requirement};

/// For how long a standby that lags receives nothing before its primary dies.
const LAG: Duration = Duration::from_secs(1);
/// What a start says where a promotion may lose what was acknowledged.
const WARNING: &str = "a promotion loses the turns that the standby does not have yet";

/// The primary is killed, and its synchronous standby takes its place; with a new standby, so many times.
pub(crate) async fn synchronous(run: &Run) -> Result<Part, Failure> {
    let mut stage = Stage::set(run, "failover", Plan::processes(run.seed), Mode::Refuse).await?;
    let clients = stage.clients().await?;
    for _ in 0..run.bar.promotions {
        let standby = stage.server.standby().await?;
        stage.server.synchronize().await?;
        sleep(AROUND).await;
        let from_ns = stage.world.history.now_ns();
        stage.server.kill().await?;
        standby.promote().await?;
        let _primary = std::mem::replace(&mut stage.server, standby);
        for service in &stage.services {
            service.proxy.lead_to(stage.server.address());
        }
        stage.server.until_accepting().await?;
        stage.world.history.note(NO_REPLICA, 0, from_ns, Event::Promoted)?;
        accepting(&stage, "failover", from_ns)?;
    }
    sleep(AROUND).await;
    stage.last_look(clients).await?;
    let searched = stage.stop().await?;
    let verdict = check(&stage.records()?);
    let (holds, found) = sound(&verdict, 0);
    let promotions = verdict.tally.faults.values().sum::<usize>();
    let found = format!("{promotions} promotions, {found}");
    let what = "failover to a synchronous standby: nothing durable is lost";
    let requirements = vec![Requirement::new("R9", what, found, holds && promotions > 0)];
    Ok(Part { title: "failover, synchronous".into(), text: shown(&verdict), requirements, searched })
}

/// The primary is killed while its standby lags, which takes its place all the same. The replicas know both
/// servers, and find the new primary by themselves.
pub(crate) async fn asynchronous(run: &Run) -> Result<Part, Failure> {
    let server = Server::start().await?;
    let standby = server.standby().await?;
    let mut services = Vec::new();
    for number in 0..2 {
        let proxy = Proxy::start(server.address()).await?;
        let (home, database) = (run.home("asynchronous", number), server.database());
        let alone = Configuration::new(&home, proxy.port, &database, Mode::Refuse);
        let both = Configuration {
            host: "127.0.0.1,127.0.0.1".to_owned(),
            port: format!("{},{}", proxy.port, standby.port()),
            ..alone
        };
        let process = Process::new(&run.program, &home, &both.text()?, &[&database.password])?;
        services.push(Service { proxy, process });
    }
    let plan = Plan::processes(run.seed);
    let mut stage = Stage::over(run, "asynchronous", plan, server, services).await?;
    let clients = stage.clients().await?;
    sleep(AROUND).await;
    let warned = warned(&stage).await?;
    let received_ns = lag(&stage, &standby).await?;
    sleep(LAG).await;
    let from_ns = stage.world.history.now_ns();
    stage.server.kill().await?;
    let killed_ns = stage.world.history.now_ns();
    standby.promote().await?;
    let _primary = std::mem::replace(&mut stage.server, standby);
    stage.server.until_accepting().await?;
    accepting(&stage, "asynchronous failover", from_ns)?;
    sleep(AROUND).await;
    stage.last_look(clients).await?;
    let searched = stage.stop().await?;
    let records = stage.records()?;
    let lost = lost(&records, received_ns, killed_ns);
    let verdict = check(&without(records, received_ns, killed_ns));
    let (is_sound, found) = sound(&verdict, 0);
    let found = format!(
        "RPO > 0: {} turns lost that were acknowledged in the last {} ms; before that {found}; {}",
        lost.len(),
        killed_ns.saturating_sub(received_ns) / 1_000_000,
        warned.as_ref().map_or_else(
            |missing| format!("no warning {missing}"),
            |()| { "each start and doctor warned".to_owned() }
        ),
    );
    let what = "failover to an asynchronous standby: told before, and only what it had not received is lost";
    let requirements = vec![Requirement::new("R9", what, found, is_sound && warned.is_ok())];
    Ok(Part { title: "failover, asynchronous".into(), text: shown(&verdict), requirements, searched })
}

/// Whether each start has warned of the loss, and `doctor` does; else who did not.
async fn warned(stage: &Stage) -> Result<Result<(), String>, Failure> {
    for (number, service) in stage.services.iter().enumerate() {
        let warnings = || Ok::<_, Failure>(service.process.logged()?.matches(WARNING).count());
        let at_start = warnings()?;
        if at_start == 0 {
            return Ok(Err(format!("by the start of replica {number}")));
        }
        // It may find something else, and say so by its exit code.
        let _found = service.process.shown(&["doctor"]).await;
        if warnings()? == at_start {
            return Ok(Err("by doctor".to_owned()));
        }
    }
    Ok(Ok(()))
}

/// Has the standby receive nothing more: gives a moment up to which it has received everything that was
/// acknowledged.
async fn lag(stage: &Stage, standby: &Server) -> Result<u64, Failure> {
    let mut looks = Vec::new();
    for _ in 0..10 {
        // First the time: what was acknowledged before it is written up to here.
        let at_ns = stage.world.history.now_ns();
        looks.push((stage.server.written().await?, at_ns));
        sleep(Duration::from_millis(20)).await;
    }
    stage.server.stop_sending().await?;
    let mut received = standby.received().await?;
    loop {
        sleep(Duration::from_millis(100)).await;
        let now = standby.received().await?;
        if now == received {
            break;
        }
        received = now;
    }
    let known = looks.into_iter().filter(|(written, _)| *written <= received).map(|(_, at_ns)| at_ns).max();
    Ok(known.ok_or("the standby lags behind by itself")?)
}

/// The turns that were acknowledged in the time that may be lost, and are not there in the end, though nobody has
/// deleted their conversations.
fn lost(records: &[Record], from_ns: u64, to_ns: u64) -> BTreeSet<Element> {
    let deleted =
        |record: &&Record| matches!(&record.event, Event::Delete(outcome) if !outcome.is_not_done());
    let deleted: BTreeSet<u64> = records.iter().filter(deleted).map(|record| record.conversation).collect();
    let mut acknowledged = BTreeSet::new();
    let mut kept = BTreeSet::new();
    for record in records.iter().filter(|record| !deleted.contains(&record.conversation)) {
        match &record.event {
            Event::Append { element, outcome: Outcome::Ok(_, Durability::Durable), .. }
                if is_within(record, from_ns, to_ns) =>
            {
                acknowledged.insert(*element);
            }
            Event::Final { page: Some(page), .. } => kept.extend(page.turns.iter().map(|turn| turn.element)),
            _ => {}
        }
    }
    acknowledged.difference(&kept).copied().collect()
}

/// Whether it may be the old primary that has answered this, and the standby may not have it: it was answered later
/// than what the standby has, and asked before the old primary was gone. The answer may have come after that.
fn is_within(record: &Record, from_ns: u64, to_ns: u64) -> bool {
    record.return_ns > from_ns && record.invoke_ns <= to_ns
}

/// The history as it is where what was acknowledged in this time may be lost: writes may have been done, and
/// what was read may be gone.
fn without(records: Vec<Record>, from_ns: u64, to_ns: u64) -> Vec<Record> {
    let kept = records.into_iter().filter_map(|mut record| {
        if is_within(&record, from_ns, to_ns) {
            match &mut record.event {
                Event::Create(outcome) | Event::Delete(outcome) => doubt(outcome),
                Event::Append { outcome, .. } => doubt(outcome),
                Event::Put { outcome, .. } => doubt(outcome),
                Event::Read(_) | Event::State(_) | Event::List(_) => return None,
                _ => {}
            }
        }
        Some(record)
    });
    kept.collect()
}

fn doubt<T>(outcome: &mut Outcome<T>) {
    if outcome.ok().is_some() {
        *outcome = Outcome::Unknown("acknowledged by a primary that is gone".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lcs_tests::chaos::history::{Page, Placed, Turn};

    /// Each takes 5 ns.
    fn record(return_ns: u64, event: Event) -> Record {
        Record { client: 1, replica: 0, user: 0, conversation: 1, invoke_ns: return_ns - 5, return_ns, event }
    }

    fn append(return_ns: u64, element: Element, turn: u32) -> Record {
        let outcome = Outcome::Ok(Placed { turn: Some(turn), revision: 0 }, Durability::Durable);
        record(return_ns, Event::Append { element, digest: element, state_from: None, outcome })
    }

    /// Three appends, of which the end has the first so many.
    fn history(kept: u32) -> Vec<Record> {
        let turns = (1..=kept).map(|number| Turn { number, element: number.into(), digest: number.into() });
        let page = Page { after: Some(0), limit: 9, turn_count: kept, turns: turns.collect() };
        vec![
            record(10, Event::Create(Outcome::Ok((), Durability::Durable))),
            append(20, 1, 1),
            append(30, 2, 2),
            append(40, 3, 3),
            record(90, Event::Final { page: Some(page), state: None }),
        ]
    }

    #[test]
    fn what_the_standby_had_not_received_may_be_lost_and_nothing_before() {
        // What was acknowledged after 25 may be lost: so 2 and 3, but never 1.
        assert_eq!(lost(&history(1), 25, 50), BTreeSet::from([2, 3]));
        assert_eq!(check(&without(history(1), 25, 50)).anomalies, []);
        assert_eq!(check(&without(history(3), 25, 50)).anomalies, []);
        assert!(!check(&history(1)).anomalies.is_empty());
        assert!(!check(&without(history(0), 25, 50)).anomalies.is_empty());
        // Asked before the old primary was gone, it may be answered later; what is asked for then counts again.
        assert_eq!(lost(&history(2), 25, 37), BTreeSet::from([3]));
        assert_eq!(check(&without(history(2), 25, 37)).anomalies, []);
        assert!(!check(&without(history(2), 25, 34)).anomalies.is_empty());
        let mut deleted = history(1);
        deleted.push(record(80, Event::Delete(Outcome::Ok((), Durability::Durable))));
        assert_eq!(lost(&deleted, 25, 50), BTreeSet::new(), "what was deleted is not lost");
    }
}
