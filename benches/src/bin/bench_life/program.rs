//! `lcs-persistence` as an operator runs it: how long it takes, and how much memory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use lcs_benches::Result;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

/// How often its memory is looked at. The kernel keeps the peak; only what comes after the last look is missed.
const LOOK: Duration = Duration::from_millis(5);

/// The program, beside this one.
pub(crate) struct Program {
    file: PathBuf,
    folder: PathBuf,
}

/// A run of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ran {
    /// How many rows it was about.
    rows: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// The most memory that it had at once, in KiB.
    peak_kib: u64,
}

impl Ran {
    pub(crate) fn rows_per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of rows is far below 2^53")]
        let rows = self.rows as f64;
        rows / self.seconds
    }

    pub(crate) const fn peak_mib(&self) -> u64 {
        self.peak_kib.div_ceil(1024)
    }
}

impl Program {
    /// The program that was built with this one; `folder` is its home.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let file = std::env::current_exe()?.with_file_name("lcs-persistence");
        if !file.is_file() {
            return Err(format!("{} is not built: run scripts/life", file.display()).into());
        }
        Ok(Self { file, folder: folder.to_owned() })
    }

    /// Runs it on the store at `url`.
    pub(crate) async fn run(&self, url: &str, rows: u64, arguments: &[&str]) -> Result<Ran> {
        let said = self.folder.join("said");
        let mut command = Command::new(&self.file);
        command.args(arguments).args(["--database-url", url]).current_dir(&self.folder);
        command.env("HOME", &self.folder).env_remove("RUST_LOG").env_remove("LCS_PERSISTENCE_DATABASE_URL");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said)?);
        let begun = Instant::now();
        let mut child = command.spawn()?;
        let mut peak_kib = 0;
        let status = loop {
            peak_kib = peak(&child).unwrap_or(peak_kib);
            if let Ok(ended) = timeout(LOOK, child.wait()).await {
                break ended?;
            }
        };
        let seconds = begun.elapsed().as_secs_f64();
        if !status.success() {
            let said = fs::read_to_string(said)?;
            return Err(format!("{}: {status}: {}", arguments.join(" "), said.trim_end()).into());
        }
        Ok(Ran { rows, seconds, peak_kib })
    }
}

/// The most memory that it has had at once so far.
fn peak(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()?)).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
