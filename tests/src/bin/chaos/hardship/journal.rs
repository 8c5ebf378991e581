//! A journal on a disk that can only be read: at the start, and from some moment of an outage on.

use std::time::Duration;

use lcs_tests::chaos::replica::Failure;
use tokio::time::sleep;

use super::caller::{Caller, sentence};
use super::disk::Disk;
use super::{Story, home};
use crate::process::Process;
use crate::run::Run;
use crate::server::Server;
use crate::service::{Configuration, Mode};

/// How long the database is back before the disk is: longer than the pause between two looks for it.
const WITH_DATABASE: Duration = Duration::from_secs(3);
/// How many turns are journaled before the disk fails.
const JOURNALED: usize = 5;

/// The disk can only be read when the service starts: it does not start in a mode that it could not keep.
pub(super) async fn read_only_at_start(run: &Run, story: &mut Story) -> Result<(), Failure> {
    let disk = Disk::in_memory(8).await?;
    disk.remount("ro").await?;
    let server = Server::start().await?;
    let (home, database) = (home(run, "read-only-start"), server.database());
    let configuration = Configuration {
        journal: disk.path().join("journal"),
        ..Configuration::new(&home, server.port(), &database, Mode::Journal)
    };
    let process = Process::new(&run.program, &home, &configuration.text()?, &[&database.password])?;
    let (code, said) = process.refusal().await?;
    story.tell(format!("read only: it does not start, exit code {code:?}, \"{}\"", sentence(&said)));
    story.promise(code == Some(1), "it does not start");
    story.promise(said.contains("the journal cannot be used"), "it says that the journal cannot be used");
    story.promise(said.contains("persistence.fallback.mode: refuse"), "it says what to do");
    disk.remount("rw").await?;
    process.start().await?;
    let mut caller = Caller::begin(&process).await?;
    let saw = caller.until_durable().await?;
    story.tell(format!("writable again, started: {saw}"));
    process.stop().await?;
    story.search(&process, Some(&server))?;
    Ok(())
}

/// The disk fails in the middle of an outage: what was journaled is kept, and nothing more is said to be.
pub(super) async fn read_only_in_an_outage(run: &Run, story: &mut Story) -> Result<(), Failure> {
    let server = Server::start().await?;
    let (home, database) = (home(run, "read-only-outage"), server.database());
    let mut configuration =
        Configuration::new(&home, server.port(), &database, Mode::Journal).with_deadline(2);
    let process = Process::new(&run.program, &home, &configuration.text()?, &[&database.password])?;
    let disk = Disk::in_a_file(&home).await?;
    configuration.journal = disk.path().join("journal");
    process.configure(&configuration.text()?)?;
    process.start().await?;
    let mut caller = Caller::begin(&process).await?;
    let (_, saw) = caller.say(100).await;
    story.promise(saw.is_stored("durable"), "with its database, a turn is stored");
    server.kill().await?;
    for _ in 0..JOURNALED {
        let (_, saw) = caller.say(100).await;
        story.promise(saw.is_stored("journaled"), "in an outage, a turn is journaled");
    }
    story.tell(format!("in the outage: {JOURNALED} turns journaled"));
    disk.fail().await?;
    let (element, refused) = caller.say(100).await;
    story.tell(format!("read only: {refused}"));
    story.promise(refused.is_unavailable(), "what the journal cannot take is 503 with Retry-After");
    let (_, later) = caller.say(100).await;
    story.tell(format!("later: {later}"));
    story.promise(later.is_unavailable(), "and stays 503");
    server.start_again().await?;
    server.until_accepting().await?;
    sleep(WITH_DATABASE).await;
    let (_, still) = caller.say(100).await;
    story.tell(format!("database back, disk still read only: {still}"));
    let is_honest = still.is_stored("durable") || still.is_unavailable();
    story.promise(is_honest, "nothing is said to be journaled that is not");
    // A disk that has failed is mounted anew, which asks that nobody has a file on it open.
    process.stop().await?;
    disk.repair().await?;
    process.start().await?;
    let next = caller.until_durable().await?;
    process.until_replayed().await?;
    story.tell(format!("database and disk back, started again: {next}"));
    let again = caller.say_again(element, 100).await;
    story.tell(format!("the refused turn again: {again}"));
    story.promise(again.is_stored("durable"), "the refused turn goes through under its key");
    let faults = caller.faults().await?;
    story.promise(faults.is_empty(), &format!("nothing is lost or twice: {faults:?}"));
    let conflicts = process.conflicts().await?.len();
    story.promise(conflicts == 0, "nothing became a conflict");
    process.stop().await?;
    story.search(&process, Some(&server))?;
    Ok(())
}
