//! Says which tests have used a server, so that a run can show that they did, rather than being skipped.

use std::env;
use std::fs::File;
use std::io::Write;
use std::thread;

use super::Result;

/// Adds the name of the current test to the file that `TEST_POSTGRES_USED` names.
pub(super) fn record() -> Result<()> {
    let Some(path) = env::var_os("TEST_POSTGRES_USED") else { return Ok(()) };
    let name = if let (Ok(binary), Ok(test)) = (env::var("NEXTEST_BINARY_ID"), env::var("NEXTEST_TEST_NAME"))
    {
        format!("{binary} {test}")
    } else {
        // Under `cargo test`, a test runs on a thread that has its name.
        let program = env::current_exe()?;
        let program = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        format!("{program} {}", thread::current().name().unwrap_or_default())
    };
    // One write to a file opened for appending: lines of parallel tests do not mix.
    Ok(File::options().create(true).append(true).open(path)?.write_all(format!("{name}\n").as_bytes())?)
}
