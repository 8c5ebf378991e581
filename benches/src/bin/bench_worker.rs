//! Speaks the worker protocol of the benchmark: `bench-worker {pg|sqlite|memory|http}`.

use std::io::{self, BufRead as _, Write as _};

use lcs_benches::Result;
use lcs_benches::protocol::{Answer, Command};
use lcs_benches::worker::{Store, Worker};

fn main() -> Result<()> {
    let store: Store = std::env::args().nth(1).unwrap_or_default().parse()?;
    // As a host's: a thread for each processor.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut worker = Worker::new(store)?;
    let mut output = io::stdout();
    for line in io::stdin().lock().lines() {
        let command = serde_json::from_str::<Command>(&line?);
        let ends = matches!(command, Ok(Command::Quit));
        let answer = match command {
            Ok(command) => runtime.block_on(worker.answer(command)),
            Err(error) => Answer::Failed { error: format!("no command: {error}") },
        };
        writeln!(output, "{}", serde_json::to_string(&answer)?)?;
        output.flush()?;
        if ends {
            break;
        }
    }
    Ok(())
}
