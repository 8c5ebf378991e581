//! The fault campaign: `scripts/chaos`.
//!
//! `chaos --program PATH --folder PATH [--seconds 120] [--seed N] [--phases faults,failover,refuse,memory,journal]`
//! has clients work on two replicas of the service, inflicts faults by the seed's schedule meanwhile, and judges what
//! the clients saw. It prints a table, and keeps it in the folder with the histories and the schedule. The exit
//! code is 1 where a promise was broken.

mod campaign;
mod fault;
mod phase;
mod proxy;
mod server;
mod service;
mod table;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lcs_tests::chaos::checker::{Verdict, check};
use lcs_tests::chaos::dice::Dice;
use lcs_tests::chaos::history::{self, History};
use lcs_tests::chaos::replica::Failure;
use lcs_tests::chaos::workload::{Plan, World};
use lcs_tests::options::options;

use self::campaign::Stage;
use self::proxy::Proxy;
use self::server::Server;
use self::service::{Mode, Service};
use self::table::Table;

const REPLICAS: usize = 2;
/// What a campaign is made of.
const PHASES: &str = "faults,failover,refuse,memory,journal";
/// How long the database is away in each mode of the fallback.
const OUTAGE: Duration = Duration::from_secs(30);

/// The options of the command line.
const OPTIONS: [&str; 5] = ["program", "folder", "seconds", "seed", "phases"];

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _said = writeln!(std::io::stderr(), "chaos: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<bool, Failure> {
    let options = options(&OPTIONS)?;
    let program = PathBuf::from(options.get("program").ok_or("write --program PATH")?).canonicalize()?;
    let seconds: u64 = options.get("seconds").map_or(Ok(120), |text| text.parse())?;
    let seed = options.get("seed").map_or_else(|| Ok(random()), |text| text.parse())?;
    let folder = PathBuf::from(options.get("folder").ok_or("write --folder PATH")?).join(seed.to_string());
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    say(&format!("seed {seed}; files in {}\n", folder.display()))?;

    let phases = options.get("phases").map_or(PHASES, String::as_str);
    let mut table = Table::new(seed);
    for phase in phases.split(',') {
        let outage = |mode| phase::outage(&program, &folder, seed, mode, OUTAGE);
        match phase {
            "faults" => {
                let lasts = Duration::from_secs(seconds);
                let (verdict, secrets) = campaign(&program, &folder, seed, lasts).await?;
                table.faults(lasts, verdict, secrets);
            }
            "failover" => table.phase(phase::failover(&program, &folder, seed).await?),
            "refuse" => table.phase(outage(Mode::Refuse).await?),
            "memory" => table.phase(outage(Mode::Memory).await?),
            "journal" => table.phase(outage(Mode::Journal).await?),
            other => return Err(format!("{other} is no phase: write some of {PHASES}").into()),
        }
    }
    let text = table.text();
    std::fs::write(folder.join("table.txt"), &text)?;
    say(&text)?;
    Ok(table.passed())
}

/// The faults of the schedule, one after the other.
async fn campaign(
    program: &Path,
    folder: &Path,
    seed: u64,
    lasts: Duration,
) -> Result<(Verdict, usize), Failure> {
    let stage = stage(program, folder, "faults", Plan::processes(seed), Mode::Refuse).await?;
    let clients = stage.clients().await?;
    let inflicted = stage.faults(lasts).await?;
    stage.last_look(clients).await?;
    let secrets = stage.stop().await?;
    let mut schedule = String::new();
    for planned in &inflicted {
        writeln!(schedule, "{planned}")?;
    }
    std::fs::write(folder.join("schedule.txt"), schedule)?;
    let records = history::read(&folder.join("history-faults.jsonl"))?;
    Ok((check(&records), secrets))
}

/// A server, replicas before it, and an empty history.
async fn stage(program: &Path, folder: &Path, name: &str, plan: Plan, mode: Mode) -> Result<Stage, Failure> {
    let server = Server::start().await?;
    let mut services = Vec::new();
    for number in 0..REPLICAS {
        let proxy = Proxy::start(server.address()).await?;
        let home = folder.join(format!("{name}-replica-{number}"));
        let service = Service::new(&home, proxy, &server.database(), mode)?;
        service.start(program).await?;
        services.push(service);
    }
    let history = History::create(&folder.join(format!("history-{name}.jsonl")))?;
    let world = Arc::new(World::new(plan, history));
    Ok(Stage { program: program.to_owned(), server, services, world })
}

fn say(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    Ok(output.flush()?)
}

/// A seed that nobody chose.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    Dice::new(RandomState::new().build_hasher().finish()).below(1_000_000)
}
