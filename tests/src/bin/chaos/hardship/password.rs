//! A password that is changed while connections live that were made with the old one.

use lcs_tests::chaos::replica::Failure;

use super::caller::Caller;
use super::{DEADLINE_S, Story, home};
use crate::process::Process;
use crate::run::Run;
use crate::server::Server;
use crate::service::{Configuration, Database, Mode};

const ROLE: &str = "rotated";
const OLD: &str = "old-password-2718281828";
const NEW: &str = "new-password-3141592653";

/// The role's password is rotated; then its connections are ended. It is set right, and rotated once more, and
/// the service started with the new one.
pub(super) async fn rotated(run: &Run, story: &mut Story) -> Result<(), Failure> {
    let server = Server::start().await?;
    let home = home(run, "password");
    let name = server.database().name;
    let admin = server.client().await?;
    admin
        .batch_execute(&format!(
            "CREATE ROLE {ROLE} LOGIN PASSWORD '{OLD}'; ALTER DATABASE {name} OWNER TO {ROLE}; \
             ALTER SCHEMA public OWNER TO {ROLE}"
        ))
        .await?;
    let with = |password: &str| {
        let (user, password) = (ROLE.to_owned(), password.to_owned());
        let database = Database { name: name.clone(), user, password };
        Configuration::new(&home, server.port(), &database, Mode::Refuse).with_deadline(DEADLINE_S)
    };
    let process = Process::new(&run.program, &home, &with(OLD).text()?, &[OLD, NEW])?;
    process.start().await?;
    let mut caller = Caller::begin(&process).await?;
    let rotate =
        async |password: &str| admin.batch_execute(&format!("ALTER ROLE {ROLE} PASSWORD '{password}'")).await;
    rotate(NEW).await?;
    let (_, pooled) = caller.say(100).await;
    story.tell(format!("rotated, connections live: {pooled}"));
    story.promise(pooled.is_stored("durable"), "connections that live go on");
    server.terminate(None).await?;
    // The first one may meet a connection that is only just ended, and does not know then what became of it.
    let (first, met) = caller.say(100).await;
    let (second, refused) = caller.say(100).await;
    story.tell(format!("connections ended: {met}, then {refused}"));
    story.promise(
        met.is_unavailable() && refused.is_unavailable(),
        "a wrong password is 503 with Retry-After",
    );
    let names = refused.sentence.contains("password authentication failed");
    story.promise(names, "it says that the password is refused");

    rotate(OLD).await?;
    let next = caller.until_durable().await?;
    story.tell(format!("set right: {next}"));
    for element in [first, second] {
        let again = caller.say_again(element, 100).await;
        story.promise(again.is_stored("durable"), "what was refused goes through under its key");
    }

    rotate(NEW).await?;
    server.terminate(None).await?;
    let (_, refused) = caller.say(100).await;
    story.promise(refused.is_unavailable(), "a wrong password is 503 with Retry-After");
    process.stop().await?;
    process.configure(&with(NEW).text()?)?;
    process.start().await?;
    let next = caller.until_durable().await?;
    story.tell(format!("started with the new one: {next}"));
    let faults = caller.faults().await?;
    story.promise(faults.is_empty(), &format!("nothing is lost or twice: {faults:?}"));
    process.metric("lcs_journal_entries").await?;
    process.stop().await?;
    story.search(&process, Some(&server))?;
    Ok(())
}
