//! What befalls one service at a time: a full disk, a disk that is read only, a server that does not answer, a
//! password and a certificate that are not right any more. For each, what its caller saw.

mod caller;
mod certificate;
mod disk;
mod full;
mod journal;
mod password;
mod silence;

use std::fmt::Write as _;
use std::path::PathBuf;

use lcs_tests::chaos::replica::Failure;
use tokio::time::Instant;

use super::process::Process;
use super::run::Run;
use super::secret::Searched;
use super::server::Server;
use super::table::{Part, Requirement};

/// How long one operation may take, as the services are configured that meet a silent server.
const DEADLINE_S: u64 = 4;

/// What became of one hardship: what the caller saw, step by step, and what was not as promised.
#[derive(Debug, Default)]
struct Story {
    saw: Vec<String>,
    broken: Vec<String>,
    searched: Searched,
    /// Set where it could not be inflicted here, and whoever runs this has said that it need not be.
    is_excused: bool,
}

impl Story {
    /// Tells one more thing that the caller saw.
    fn tell(&mut self, saw: impl Into<String>) {
        self.saw.push(saw.into());
    }

    /// Notes what is promised, where it does not hold.
    fn promise(&mut self, holds: bool, promised: &str) {
        if !holds {
            self.broken.push(promised.to_owned());
        }
    }

    /// Searches all that a service, and its server where it has one, have said.
    fn search(&mut self, process: &Process, server: Option<&Server>) -> Result<(), Failure> {
        let mut searched = process.searched()?;
        if let Some(server) = server {
            searched.take_log(process.search(), &server.log());
        }
        self.promise(searched.is_clean(), "no secret in a log or an answer");
        self.searched += searched;
        Ok(())
    }

    fn requirement(&self, id: &'static str, what: &str) -> Requirement {
        let broken = self.broken.iter().map(|broken| format!("BROKEN: {broken}"));
        let found: Vec<String> = self.saw.iter().cloned().chain(broken).collect();
        let found = found.join("; ");
        let holds = self.broken.is_empty() && !self.saw.is_empty();
        let requirement = Requirement::new(id, what, found, holds);
        if self.is_excused { requirement.told() } else { requirement }
    }
}

/// All of them, one after the other.
pub(crate) async fn hardships(run: &Run) -> Result<Part, Failure> {
    let mut part = Part { title: "hardships".into(), ..Part::default() };
    for (id, what) in [
        ("H1", "PostgreSQL's disk is full"),
        ("H2", "SQLite's disk is full"),
        ("H3", "the journal's disk is read only at the start"),
        ("H4", "the journal's disk turns read only in an outage"),
        ("H5", "connects are taken and never answered"),
        ("H6", "the server is stopped (SIGSTOP)"),
        ("H7", "the password was rotated"),
        ("H8", "the server's certificate has expired"),
    ] {
        let began = Instant::now();
        let mut story = Story::default();
        let told = match id {
            "H1" => full::postgresql(run, &mut story).await,
            "H2" => full::sqlite(run, &mut story).await,
            "H3" => journal::read_only_at_start(run, &mut story).await,
            "H4" => journal::read_only_in_an_outage(run, &mut story).await,
            "H5" => silence::black_hole(run, &mut story).await,
            "H6" => silence::stopped(run, &mut story).await,
            "H7" => password::rotated(run, &mut story).await,
            _ => certificate::expired(run, &mut story).await,
        };
        if let Err(error) = told {
            // What was broken before it broke off is no less broken.
            story.is_excused = story.broken.is_empty()
                && error.downcast_ref::<disk::NotMounted>().is_some_and(|not| not.is_excused);
            story.broken.push(format!("it could not be shown to its end: {error}"));
        }
        writeln!(part.text, "{id} {what}, {} s", began.elapsed().as_secs())?;
        for saw in &story.saw {
            writeln!(part.text, "     {saw}")?;
        }
        part.requirements.push(story.requirement(id, what));
        part.searched += story.searched;
    }
    Ok(part)
}

/// The folder of the service of a hardship.
fn home(run: &Run, name: &str) -> PathBuf {
    run.folder.join(format!("hardship-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_promise_fails_the_line_and_so_does_a_story_without_a_word() {
        let mut story = Story::default();
        assert!(!story.requirement("H1", "what").holds);
        story.tell("201 durable");
        story.promise(true, "all is well");
        assert!(story.requirement("H1", "what").holds);
        story.promise(false, "nothing is lost");
        let requirement = story.requirement("H1", "what");
        assert!(!requirement.holds && requirement.decides);
        assert_eq!(requirement.found, "201 durable; BROKEN: nothing is lost");
        let excused = Story { is_excused: true, ..story };
        assert!(!excused.requirement("H1", "what").decides);
    }
}
