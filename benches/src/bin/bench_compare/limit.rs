//! The limit: pgbench with one prepared statement for each operation.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use lcs_benches::dataset::{Sizes, payload_rows};
use lcs_benches::payload::Payloads;
use lcs_benches::protocol::Measurement;
use lcs_benches::workload::Workload;
use lcs_benches::{Result, processor};
use lcs_storage::testing::{TestPostgres, program};

use crate::contender::WARM_SEED;
use crate::options::Options;

const PING: &str = include_str!("../../../limit/ping.sql");

/// Says what to install where there is no pgbench.
pub(crate) fn check() -> Result<()> {
    let ran = Command::new(program("pgbench")).arg("--version").stdout(Stdio::null()).status();
    if ran.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err("there is no pgbench: install PostgreSQL's server packages (on Debian and Ubuntu: apt-get install postgresql)"
        .into())
}

/// The limit's statement for `workload`.
fn statement(workload: Workload) -> Result<&'static str> {
    Ok(match workload {
        Workload::Append => include_str!("../../../limit/W1.sql"),
        Workload::AppendWithState => include_str!("../../../limit/W2.sql"),
        Workload::History => include_str!("../../../limit/W3.sql"),
        Workload::List => include_str!("../../../limit/W4.sql"),
        Workload::State => include_str!("../../../limit/W5.sql"),
        Workload::Create => include_str!("../../../limit/W6.sql"),
        Workload::NewestTurns | Workload::Purge => {
            return Err(format!("pgbench has no statement for {workload}").into());
        }
    })
}

/// pgbench over a database with the limit's rows.
#[derive(Debug)]
pub(crate) struct Limit<'a> {
    database: &'a TestPostgres,
    sizes: Sizes,
    payloads: Payloads,
}

impl<'a> Limit<'a> {
    /// Makes the schema in an empty database, and loads the rows.
    pub(crate) async fn load(database: &'a TestPostgres, sizes: Sizes) -> Result<Self> {
        let client = database.client().await;
        client.batch_execute(include_str!("../../../limit/schema.sql")).await?;
        let table = "CREATE TEMPORARY TABLE payloads (variant int PRIMARY KEY, input_messages jsonb,
                     output_message jsonb, metadata jsonb, agent_config jsonb, current_state jsonb);";
        client.batch_execute(&format!("{table} INSERT INTO payloads VALUES {}", payload_rows()?)).await?;
        let rows = include_str!("../../../limit/rows.sql")
            .replace("{users}", &sizes.users.to_string())
            .replace("{conversations_per_user}", &sizes.conversations_per_user.to_string())
            .replace("{hot}", &sizes.hot.to_string())
            .replace("{history}", &sizes.history.to_string());
        client.batch_execute(&rows).await?;
        client.batch_execute("VACUUM ANALYZE").await?;
        Ok(Self { database, sizes, payloads: Payloads::of(0) })
    }

    /// Gives it the index that our newest-first lists have (docs/adr/0024-newest-first-index.md).
    pub(crate) async fn index(&self) -> Result<()> {
        let client = self.database.client().await;
        Ok(client.batch_execute(include_str!("../../../limit/newest_first.sql")).await?)
    }

    /// Runs the slice of a round; without a seed, the one before the rounds.
    pub(crate) fn slice(
        &self,
        workload: Workload,
        concurrency: u64,
        options: &Options,
        seed: Option<u64>,
    ) -> Result<Measurement> {
        let (seconds, seed) = (seed.map_or(1, |_| options.seconds), seed.unwrap_or(WARM_SEED));
        // What it takes pgbench to begin is none of its operations' cost.
        let (_, started) = self.pgbench(PING, concurrency, &["-t", "1"])?;
        let (seconds, seed) = (seconds.to_string(), seed.to_string());
        let how = ["-T", seconds.as_str(), "--random-seed", seed.as_str()];
        let (times, cpu_seconds) = self.pgbench(statement(workload)?, concurrency, &how)?;
        times.summary((cpu_seconds - started).max(0.0))
    }

    /// Runs pgbench: what each operation took, and its processor time in seconds.
    fn pgbench(&self, script: &str, concurrency: u64, how: &[&str]) -> Result<(Times, f64)> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("script.sql");
        fs::write(&file, script)?;
        let before = processor::childrens_seconds()?;
        let output = Command::new(program("pgbench"))
            .args(["--no-vacuum", "--protocol", "prepared", "--log"])
            .arg(format!("--log-prefix={}", folder.path().join("log").display()))
            .arg("--file")
            .arg(&file)
            .args(["--client", &concurrency.to_string(), "--jobs", &concurrency.min(2).to_string()])
            .args(self.variables(concurrency))
            .args(how)
            .args(["--host", self.database.host(), "--port", &self.database.port().to_string()])
            .args(["--username", self.database.user(), self.database.database()])
            .env("PGPASSWORD", self.database.password())
            .output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("pgbench ended with {}: {}", output.status, said.trim_end()).into());
        }
        Ok((Times::read(folder.path())?, processor::childrens_seconds()? - before))
    }

    fn variables(&self, concurrency: u64) -> Vec<String> {
        let Payloads { input_messages, output_message, metadata, agent_config, current_state } =
            &self.payloads;
        let variables = [
            ("input", input_messages.to_string()),
            ("output", output_message.to_string()),
            ("metadata", metadata.to_string()),
            ("config", agent_config.to_string()),
            ("state", current_state.to_string()),
            ("hot", self.sizes.hot.to_string()),
            ("history", self.sizes.history.to_string()),
            ("users", self.sizes.users.to_string()),
            ("concurrency", concurrency.to_string()),
        ];
        variables.map(|(name, value)| format!("--define={name}={value}")).to_vec()
    }
}

/// What each operation of a run took, in microseconds, and when the run began and ended.
#[derive(Debug, Default)]
struct Times {
    microseconds: Vec<u64>,
    begun: Option<u64>,
    ended: u64,
}

impl Times {
    /// Reads pgbench's logs: a line for each operation, with what it took and when it ended.
    fn read(folder: &Path) -> Result<Self> {
        let mut times = Self::default();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "sql") {
                continue;
            }
            for line in fs::read_to_string(path)?.lines() {
                times.take(line).ok_or_else(|| format!("pgbench has logged what is not known: {line:?}"))?;
            }
        }
        Ok(times)
    }

    /// Client, number, microseconds, script, and the end in seconds and microseconds.
    fn take(&mut self, line: &str) -> Option<()> {
        let mut fields = line.split_ascii_whitespace().map(str::parse::<u64>);
        let took = fields.nth(2)?.ok()?;
        let ended = fields.nth(1)?.ok()? * 1_000_000 + fields.next()?.ok()?;
        let begun = ended.saturating_sub(took);
        self.microseconds.push(took);
        self.ended = self.ended.max(ended);
        self.begun = Some(self.begun.map_or(begun, |first| first.min(begun)));
        Some(())
    }

    #[expect(clippy::cast_precision_loss, reason = "counts and microseconds of a run are far below 2^53")]
    fn summary(mut self, cpu_seconds: f64) -> Result<Measurement> {
        self.microseconds.sort_unstable();
        let count = self.microseconds.len();
        let seconds = self.ended.saturating_sub(self.begun.unwrap_or(self.ended)) as f64 / 1e6;
        if count == 0 || seconds <= 0.0 {
            return Err("pgbench has done nothing".into());
        }
        let percentile =
            |hundredths: usize| self.microseconds.get(count * hundredths / 100).map(|took| *took as f64);
        Ok(Measurement {
            ops: count as u64,
            seconds,
            ops_per_s: count as f64 / seconds,
            p50_us: percentile(50),
            p95_us: percentile(95),
            p99_us: percentile(99),
            client_cpu_us_per_op: Some(cpu_seconds * 1e6 / count as f64),
            ..Measurement::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_pgbenchs_is_read() {
        let mut times = Times::default();
        times.take("0 1 500 0 1700000000 500").unwrap();
        times.take("3 2 1500 0 1700000001 0").unwrap();
        assert!(times.take("pgbench (15)").is_none());
        let measured = times.summary(0.001).unwrap();
        assert_eq!((measured.ops, measured.p50_us), (2, Some(1_500.0)));
        assert!((measured.seconds - 1.0).abs() < 1e-9);
        assert!((measured.client_cpu_us_per_op.unwrap() - 500.0).abs() < 1e-6);
    }
}
