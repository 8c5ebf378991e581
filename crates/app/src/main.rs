//! `lcs-persistence`: talk to an agent, and look after its conversations, from the command line.

mod command;
mod output;

use std::process::ExitCode;

use clap::Parser;

use self::command::{CommandLine, EXIT_UNREAD, EXIT_USAGE};

fn main() -> ExitCode {
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(error) => {
            // Help and version are asked for; everything else is a mistake, and nobody to tell if it cannot be shown.
            return match error.print() {
                _ if error.use_stderr() => EXIT_USAGE.into(),
                Ok(()) => ExitCode::SUCCESS,
                Err(failed) => failure(&output::unprinted(&failed).into()),
            };
        }
    };
    match command_line.run() {
        Ok(code) => code,
        Err(error) => failure(&error),
    }
}

/// What is said of a command that failed, or could not write its answer: nothing, where nobody reads that any more.
fn failure(error: &anyhow::Error) -> ExitCode {
    if output::is_broken_pipe(error) {
        return EXIT_UNREAD.into();
    }
    output::note(&format!("error: {}", command::sentence(error)));
    ExitCode::FAILURE
}
