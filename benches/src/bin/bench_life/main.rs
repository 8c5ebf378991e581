//! What becomes of many conversations: how fast they are moved in and out, counted, archived, brought back, removed and
//! erased, and with how much memory. `bench-life [--conversations N]`; what it prints is the table of `docs/OPERATIONS.md`.
//!
//! Each operation is `lcs-persistence` in a process of its own, as an operator runs it, on a PostgreSQL of its own with
//! default durability and on a SQLite file. All is done twice, with a tenth of the conversations first: memory that
//! does not grow with them is the same in both.

mod file;
mod program;
mod store;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use lcs_benches::{Result, cluster};

use self::file::{STATES_AND_TURNS, write_conversations};
use self::program::{Program, Ran};
use self::store::Store;

const USAGE: &str = "usage: bench-life [--conversations N], N from 1,000 on";

/// What was measured of an operation, with a tenth of the conversations and with all of them.
struct Line {
    name: &'static str,
    few: Ran,
    many: Ran,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let conversations: u64 = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => 100_000,
        ["--conversations", number] => number.parse().map_err(|_| USAGE)?,
        _ => return Err(USAGE.into()),
    };
    if conversations < 1_000 {
        return Err(USAGE.into());
    }
    let cluster = cluster::start(&[]);
    let mut report = String::new();
    for name in ["PostgreSQL", "SQLite"] {
        let mut lines: Vec<Line> = Vec::new();
        for count in [conversations / 10, conversations] {
            let folder = tempfile::tempdir()?;
            let place = |name: &str| folder.path().join(name);
            let (first, second) = if name == "SQLite" {
                (Store::sqlite(place("first.sqlite")), Store::sqlite(place("second.sqlite")))
            } else {
                (Store::postgres(&cluster).await, Store::postgres(&cluster).await)
            };
            let measured = life(folder.path(), count, &first, &second).await?;
            for (at, (name, ran)) in measured.into_iter().enumerate() {
                match lines.get_mut(at) {
                    Some(line) => line.many = ran,
                    None => lines.push(Line { name, few: ran, many: ran }),
                }
            }
        }
        writeln!(report, "\n{name}, {conversations} conversations:\n")?;
        table(&mut report, &lines)?;
    }
    Ok(write!(io::stdout(), "{report}")?)
}

/// All operations, in their order: what each took.
async fn life(folder: &Path, count: u64, first: &Store, second: &Store) -> Result<Vec<(&'static str, Ran)>> {
    let rows = count * (1 + STATES_AND_TURNS);
    let input = folder.join("in.jsonl");
    write_conversations(&input, count)?;
    let archive = configuration(folder)?;
    let program = Program::new(folder)?;
    let path = |path: &PathBuf| path.display().to_string();
    let (out, packed) = (folder.join("out.jsonl"), folder.join("out.jsonl.zst"));
    let mut run = Runs { program: &program, count, lines: Vec::new() };
    run.one("import", first, rows, &["import", &path(&input)]).await?;
    run.one("the same import again", first, rows, &["import", &path(&input)]).await?;
    first.settle().await?;
    run.one("export", first, rows, &["export", &path(&out)]).await?;
    run.one("export, zstd", first, rows, &["export", &path(&packed)]).await?;
    run.one("stats", first, rows, &["stats", "--json"]).await?;
    first.age().await?;
    run.one("purge", first, rows, &["cleanup", "--per-second", "0"]).await?;
    program.run(second.url(), rows, &["import", &path(&input)]).await?;
    second.age().await?;
    let with_archive = ["--config", &archive];
    run.one("archive", second, rows, &[&["cleanup", "--per-second", "0"][..], &with_archive].concat())
        .await?;
    run.one("archive verify", second, rows, &[&["archive", "verify"][..], &with_archive].concat()).await?;
    run.one("restore", second, rows, &[&["restore", "--all"][..], &with_archive].concat()).await?;
    let user = file::user(0);
    let certificate = folder.join("certificate.json").display().to_string();
    let erase = ["erase", "--user", &user, "--yes", "--certificate", &certificate];
    run.one("erase a tenth", second, rows / 10, &[&erase[..], &with_archive].concat()).await?;
    Ok(run.lines)
}

/// What was measured so far.
struct Runs<'a> {
    program: &'a Program,
    count: u64,
    lines: Vec<(&'static str, Ran)>,
}

impl Runs<'_> {
    /// Runs one operation.
    async fn one(&mut self, name: &'static str, store: &Store, rows: u64, arguments: &[&str]) -> Result<()> {
        writeln!(io::stderr(), "{name}, {} conversations", self.count)?;
        self.lines.push((name, self.program.run(store.url(), rows, arguments).await?));
        Ok(())
    }
}

/// A configuration with an archive in the folder.
fn configuration(folder: &Path) -> Result<String> {
    let file = folder.join("archive.yaml");
    let archive = folder.join("archive");
    fs::create_dir(&archive)?;
    let yaml =
        format!("persistence:\n  enable_archival: true\n  archive_url: file://{}\n", archive.display());
    fs::write(&file, yaml)?;
    Ok(file.display().to_string())
}

fn table(report: &mut String, lines: &[Line]) -> Result<()> {
    writeln!(report, "| operation | seconds | rows a second | most memory | with a tenth of them |")?;
    writeln!(report, "| --- | --- | --- | --- | --- |")?;
    for Line { name, few, many } in lines {
        let (rate, seconds) = (many.rows_per_second(), many.seconds);
        let (most, least) = (many.peak_mib(), few.peak_mib());
        writeln!(report, "| {name} | {seconds:.1} | {rate:.0} | {most} MiB | {least} MiB |")?;
    }
    Ok(())
}
