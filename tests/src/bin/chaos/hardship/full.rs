//! A full disk: under PostgreSQL, and under SQLite.

use lcs_storage::testing::{PrivateCluster, PrivateOptions};
use lcs_tests::chaos::replica::Failure;

use super::caller::{Caller, Saw};
use super::disk::Disk;
use super::{Story, home};
use crate::process::Process;
use crate::run::Run;
use crate::server::{SETTINGS, Server};
use crate::service::{Configuration, Mode, SERVICE};

/// How large a turn is that has to find room. Compressed it is no smaller.
const LARGE: usize = 16 * 1024;
/// How many of them the rest of a page may take.
const AT_MOST: usize = 200;

/// What a cluster, its log and some turns take, in MiB.
const SERVER_MIB: u32 = 192;
const FILE_MIB: u32 = 8;

/// PostgreSQL's data folder is on a small disk that fills up. The service is in the default mode: what the server
/// refuses for want of room is refused, and not journaled.
pub(super) async fn postgresql(run: &Run, story: &mut Story) -> Result<(), Failure> {
    let disk = Disk::in_memory(SERVER_MIB).await?;
    let within = disk.path().to_owned();
    let server = Server::start_as(move || {
        let options =
            PrivateOptions { settings: &SETTINGS, within: Some(&within), ..PrivateOptions::default() };
        PrivateCluster::start_with(options)
    })
    .await?;
    let (home, database) = (home(run, "full-postgresql"), server.database());
    let configuration = Configuration::new(&home, server.port(), &database, Mode::Journal);
    let process = Process::new(&run.program, &home, &configuration.text()?, &[&database.password])?;
    process.start().await?;
    // The log has its room already: its being full ends the server, and that is another hardship.
    server.client().await?.batch_execute("SELECT pg_switch_wal(); CHECKPOINT").await?;
    let mut caller = Caller::begin(&process).await?;
    fills_up(story, &mut caller, &disk).await?;
    let (_, inconsistent) = server.left_over().await?;
    story.promise(inconsistent == 0, "nothing is half-written");
    process.stop().await?;
    story.search(&process, Some(&server))?;
    // The server before its disk.
    drop(server);
    Ok(())
}

/// SQLite's file is on a small disk that fills up.
pub(super) async fn sqlite(run: &Run, story: &mut Story) -> Result<(), Failure> {
    let disk = Disk::in_memory(FILE_MIB).await?;
    let path = disk.path().join("conversations.sqlite");
    let configuration =
        format!("persistence:\n  type: sqlite\n  sqlite:\n    path: {}\n{SERVICE}", path.display());
    let process = Process::new(&run.program, &home(run, "full-sqlite"), &configuration, &[])?;
    process.start().await?;
    let mut caller = Caller::begin(&process).await?;
    fills_up(story, &mut caller, &disk).await?;
    process.stop().await?;
    story.search(&process, None)?;
    Ok(())
}

/// The disk fills up under a caller, and there is room again.
async fn fills_up(story: &mut Story, caller: &mut Caller<'_>, disk: &Disk) -> Result<(), Failure> {
    for _ in 0..5 {
        let (_, saw) = caller.say(LARGE).await;
        story.promise(saw.is_stored("durable"), "with room, a turn is stored");
    }
    disk.fill()?;
    let (element, refused) = until_refused(caller).await?;
    story.tell(format!("full: {refused}"));
    story.promise(refused.is_unavailable(), "a full disk is 503 with Retry-After, and not acknowledged");
    story.promise(refused.sentence.contains("the storage is full"), "it says that the storage is full");
    let read = caller.read().await;
    story.tell(format!("reading meanwhile: {read}"));
    story.promise(read.is(200, Some("durable")), "what is stored can be read");
    let faults = caller.faults().await?;
    story.promise(faults.is_empty(), &format!("nothing is lost or half-written: {faults:?}"));
    disk.make_room()?;
    let again = caller.say_again(element, LARGE).await;
    story.tell(format!("with room again, the same turn: {again}"));
    story.promise(again.is_stored("durable"), "the same turn goes through when there is room");
    let next = caller.until_durable().await?;
    story.tell(format!("the next: {next}"));
    let faults = caller.faults().await?;
    story.promise(faults.is_empty(), &format!("nothing is lost or twice: {faults:?}"));
    story.tell(format!("{} acknowledged, all there once", caller.acknowledged("durable")));
    Ok(())
}

/// Says large things until one is refused.
async fn until_refused(caller: &mut Caller<'_>) -> Result<(u64, Saw), Failure> {
    for _ in 0..AT_MOST {
        let (element, saw) = caller.say(LARGE).await;
        if !saw.is_stored("durable") {
            return Ok((element, saw));
        }
    }
    Err("the disk does not fill up".into())
}
