//! `lcs-persistence`: talk to an agent, and look after its conversations, from the command line.

mod command;
mod output;

use std::process::ExitCode;

use clap::Parser;

use self::command::{CommandLine, EXIT_USAGE};

fn main() -> ExitCode {
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(error) => {
            // Help and version are asked for; everything else is a mistake. Nobody to tell if it cannot be shown.
            let _ = error.print();
            return if error.use_stderr() { EXIT_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match command_line.run() {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("error: {}", command::sentence(&error)));
            ExitCode::FAILURE
        }
    }
}
