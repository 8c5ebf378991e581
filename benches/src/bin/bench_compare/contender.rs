//! The worker's process, asked one line at a time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use lcs_benches::Result;
use lcs_benches::dataset::Sizes;
use lcs_benches::protocol::{self, Answer, Measurement, Run};
use lcs_benches::workload::Workload;
use lcs_storage::testing::TestPostgres;

use crate::options::Options;

/// How long it runs before it is measured: connections, statements, the server's cache.
const WARM_SECONDS: f64 = 0.5;
/// The seed of that run.
pub(crate) const WARM_SEED: u64 = 99;

/// A worker over one database. It ends with its input.
#[derive(Debug)]
pub(crate) struct Contender {
    process: Child,
    /// Until it is to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Contender {
    /// A worker of the store that it calls `store`.
    pub(crate) fn start(store: &str, options: &Options, database: &TestPostgres) -> Result<Self> {
        let Sizes { users, conversations_per_user, hot, history } = options.sizes;
        let mut process = Command::new(&options.worker)
            .arg(store)
            .env("BENCH_PG_HOST", database.host())
            .env("BENCH_PG_PORT", database.port().to_string())
            .env("BENCH_PG_USER", database.user())
            .env("BENCH_PG_PASSWORD", database.password())
            .env("BENCH_PG_DB", database.database())
            .env("BENCH_USERS", users.to_string())
            .env("BENCH_CONV_PER_USER", conversations_per_user.to_string())
            .env("BENCH_HOT", hot.to_string())
            .env("BENCH_HIST", history.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} cannot be run: {error}", options.worker.display()))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the worker has no input or no output".into());
        };
        Ok(Self { process, input: Some(input), output: BufReader::new(output) })
    }

    /// Sends a line, and reads the answer.
    fn ask(&mut self, line: &str) -> Result<Answer> {
        let input = self.input.as_mut().ok_or("the worker is to end")?;
        writeln!(input, "{line}")?;
        let mut answer = String::new();
        if self.output.read_line(&mut answer)? == 0 {
            return Err("the worker has ended by itself".into());
        }
        match serde_json::from_str(&answer)? {
            Answer::Failed { error } => Err(error.into()),
            answer => Ok(answer),
        }
    }

    /// Sends a command that is done or fails.
    pub(crate) fn ask_done(&mut self, line: &str) -> Result<()> {
        self.ask(line).map(|_done| ())
    }

    /// Runs the slice of a round; without a seed, the one before the rounds.
    pub(crate) fn slice(
        &mut self,
        workload: Workload,
        concurrency: u64,
        options: &Options,
        seed: Option<u64>,
    ) -> Result<Measurement> {
        let seconds = seed.map_or(WARM_SECONDS, |_| options.seconds.into());
        let seed = seed.unwrap_or(WARM_SEED);
        let workload = workload.to_string();
        self.run(Run { workload, concurrency, seconds: Some(seconds), max_ops: None, seed, conv: None })
    }

    /// Runs a slice. That an operation failed is a failure of the whole: its figures would be of something else.
    pub(crate) fn run(&mut self, run: Run) -> Result<Measurement> {
        let workload = run.workload.clone();
        match self.ask(&serde_json::to_string(&protocol::Command::Run(run))?)? {
            Answer::Measured(measured) if measured.errors.is_empty() => Ok(measured),
            Answer::Measured(measured) => Err(format!("{workload} failed: {:?}", measured.errors).into()),
            answer => Err(format!("no measurement of {workload} but {answer:?}").into()),
        }
    }

    pub(crate) fn quit(mut self) -> Result<()> {
        self.ask(r#"{"cmd":"quit"}"#)?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // Not killed: it has a service to end in its turn.
        self.input = None;
        let _waited = self.process.wait();
    }
}
