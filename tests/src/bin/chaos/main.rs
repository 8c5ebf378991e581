//! The fault campaign: `scripts/chaos`.
//!
//! `chaos --program PATH --folder PATH [--bar ci|soak] [--seconds N] [--seed N] [--phases NAME,...]` has clients work
//! on two replicas of the service, inflicts faults by the seed's schedule meanwhile, and judges what the clients saw.
//! It prints a table, and keeps it in the folder with the histories and the schedule. The exit code is 1 where a
//! promise was broken.

mod bar;
mod campaign;
mod cancellation;
mod failover;
mod fault;
mod hardship;
mod journal;
mod judgement;
mod outage;
mod process;
mod proxy;
mod resource;
mod run;
mod secret;
mod server;
mod service;
mod suite;
mod table;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use lcs_tests::chaos::checker::check;
use lcs_tests::chaos::dice::Dice;
use lcs_tests::chaos::replica::Failure;
use lcs_tests::chaos::workload::Plan;
use lcs_tests::options::options;
use tokio::time::Instant;

use self::bar::Bar;
use self::campaign::Stage;
use self::judgement::{of_faults, shown};
use self::resource::Sampler;
use self::run::Run;
use self::service::Mode;
use self::table::{Part, Table};

/// What a campaign is made of.
const PHASES: &str = "faults,failover,asynchronous,refuse,memory,journal,cancellations,hardships,suites";

/// The options of the command line.
const OPTIONS: [&str; 6] = ["program", "folder", "bar", "seconds", "seed", "phases"];

#[tokio::main]
async fn main() -> ExitCode {
    match campaign().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _said = writeln!(std::io::stderr(), "chaos: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn campaign() -> Result<bool, Failure> {
    let options = options(&OPTIONS)?;
    let program = PathBuf::from(options.get("program").ok_or("write --program PATH")?).canonicalize()?;
    let bar = Bar::named(options.get("bar").map_or("ci", String::as_str)).ok_or("write --bar ci or soak")?;
    let seconds: u64 = options.get("seconds").map_or(Ok(bar.seconds), |text| text.parse())?;
    let seed = options.get("seed").map_or_else(|| Ok(random()), |text| text.parse())?;
    let folder = PathBuf::from(options.get("folder").ok_or("write --folder PATH")?).join(seed.to_string());
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    say(&format!("seed {seed}; files in {}\n", folder.display()))?;

    let run = Run { program, folder, seed, seconds, bar };
    let phases: Vec<&str> = options.get("phases").map_or(PHASES, String::as_str).split(',').collect();
    if let Some(other) = phases.iter().find(|phase| !PHASES.split(',').any(|known| known == **phase)) {
        return Err(format!("{other} is no phase: write some of {PHASES}").into());
    }
    let mut table = Table::new(seed, bar);
    for phase in phases {
        let began = Instant::now();
        let part = match phase {
            "faults" => faults(&run).await,
            "failover" => failover::synchronous(&run).await,
            "asynchronous" => failover::asynchronous(&run).await,
            "refuse" => outage::outage(&run, Mode::Refuse).await,
            "memory" => outage::outage(&run, Mode::Memory).await,
            "journal" => outage::outage(&run, Mode::Journal).await,
            "cancellations" => cancellation::cancellations(&run).await,
            "hardships" => hardship::hardships(&run).await,
            _ => suite::suites().await,
        };
        // The others are still worth their time.
        table.add(part.unwrap_or_else(|error| Part::broken_off(phase, &error)));
        say(&format!("{phase}: {} s\n", began.elapsed().as_secs()))?;
    }
    let text = table.text();
    std::fs::write(run.folder.join("table.txt"), &text)?;
    say(&text)?;
    Ok(table.passed())
}

/// The faults of the schedule, one after the other.
async fn faults(run: &Run) -> Result<Part, Failure> {
    let stage = Stage::set(run, "faults", Plan::processes(run.seed), Mode::Refuse).await?;
    let clients = stage.clients().await?;
    // The second replica is never ended: what it holds in the end is what it has come to.
    let id = stage.service(1)?.process.id().ok_or("the second replica does not serve")?;
    let sampler = Sampler::start(id, stage.server.url());
    let inflicted = stage.faults(Duration::from_secs(run.seconds)).await?;
    let resources = sampler.end(stage.services.len()).await?;
    stage.last_look(clients).await?;
    let searched = stage.stop().await?;
    let mut schedule = String::new();
    for planned in &inflicted {
        writeln!(schedule, "{planned}")?;
    }
    std::fs::write(run.folder.join("schedule.txt"), schedule)?;
    let verdict = check(&stage.records()?);
    let requirements = of_faults(&run.bar, run.seconds, &verdict, &resources);
    Ok(Part { title: format!("{} s of faults", run.seconds), text: shown(&verdict), requirements, searched })
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
