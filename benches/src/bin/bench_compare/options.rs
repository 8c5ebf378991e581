//! What is measured, and how long.

use std::env;
use std::path::PathBuf;
use std::str::FromStr;

use lcs_benches::Result;
use lcs_benches::dataset::Sizes;
use lcs_benches::workload::Workload;

/// The command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    /// How long each slice is: pgbench knows whole seconds only.
    pub(crate) seconds: u32,
    pub(crate) workloads: Vec<Workload>,
    /// `None`: what each workload is usually measured at.
    concurrency: Option<Vec<u64>>,
    /// `on` or `off`.
    pub(crate) synchronous_commit: &'static str,
    pub(crate) sizes: Sizes,
    /// How many conversations W7 removes, or are due beside the appends.
    pub(crate) old: u64,
    /// Whether to measure appends beside a purge.
    pub(crate) beside: bool,
    /// By how many conversations reports are measured; empty: they are not.
    pub(crate) totals: Vec<u64>,
    /// How many conversations that one removes in a second.
    pub(crate) per_second: u32,
    /// Whether the limit has the index that our newest-first lists have.
    pub(crate) indexed: bool,
    /// Whether the service is measured against the library, in place of the library against the limit.
    pub(crate) http: bool,
    /// The worker's binary.
    pub(crate) worker: PathBuf,
    /// The document to write the table into.
    pub(crate) write: Option<PathBuf>,
}

impl Options {
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            rounds: 5,
            seconds: 1,
            workloads: Workload::ALL.to_vec(),
            concurrency: None,
            synchronous_commit: "on",
            sizes: Sizes::from_environment()?,
            old: 5_000,
            beside: false,
            totals: Vec::new(),
            per_second: 20,
            indexed: false,
            http: false,
            worker: env::current_exe()?.with_file_name("bench-worker"),
            write: None,
        };
        // It has no statement of the limit's.
        options.workloads.retain(|workload| *workload != Workload::NewestTurns);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => {
                    (options.rounds, options.sizes, options.old) = (1, Sizes::QUICK, 200);
                }
                "--beside" => options.beside = true,
                "--totals" => options.totals = list(&value()?)?,
                "--old" => options.old = number(&argument, &value()?)?,
                "--per-second" => options.per_second = number(&argument, &value()?)?,
                "--rounds" => options.rounds = number(&argument, &value()?)?,
                "--seconds" => options.seconds = number(&argument, &value()?)?,
                "--workloads" => options.workloads = list(&value()?)?,
                "--concurrency" => options.concurrency = Some(list(&value()?)?),
                "--sync-commit" => {
                    options.synchronous_commit = match value()?.as_str() {
                        "on" => "on",
                        "off" => "off",
                        _ => return Err("--sync-commit is on or off".into()),
                    }
                }
                "--indexed" => {
                    options.indexed = true;
                    options.workloads = vec![Workload::Append, Workload::List];
                }
                "--http" => options.http = true,
                "--worker" => options.worker = value()?.into(),
                "--write" => options.write = Some(value()?.into()),
                _ => {
                    return Err(
                        format!("{argument} is no option: see scripts/bench for those there are").into()
                    );
                }
            }
        }
        if options.rounds == 0 || options.seconds == 0 {
            return Err("there must be a round of a second at least".into());
        }
        Ok(options)
    }

    /// The numbers of clients that the command line asks for.
    pub(crate) fn clients(&self) -> Option<Vec<u64>> {
        self.concurrency.clone()
    }

    /// How many clients `workload` is measured with.
    pub(crate) fn concurrencies(&self, workload: Workload) -> Vec<u64> {
        match (&self.concurrency, workload) {
            (Some(concurrency), _) => concurrency.clone(),
            (None, Workload::Append | Workload::AppendWithState) => vec![1, 8, 32],
            (None, _) => vec![1, 8],
        }
    }
}

fn number<T: FromStr>(name: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| format!("{name} is {text:?}: write a number").into())
}

fn list<T: FromStr<Err: ToString>>(text: &str) -> Result<Vec<T>> {
    text.split(',')
        .map(|item| item.trim().parse().map_err(|error: T::Err| error.to_string().into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Options> {
        Options::read(arguments.iter().map(ToString::to_string))
    }

    #[test]
    fn options_are_read() {
        let options = read(&["--rounds", "7", "--workloads", "W1,W5", "--sync-commit", "off"]).unwrap();
        assert_eq!((options.rounds, options.synchronous_commit), (7, "off"));
        assert_eq!(options.workloads, [Workload::Append, Workload::State]);
        assert_eq!(options.concurrencies(Workload::Append), [1, 8, 32]);
        assert_eq!(options.concurrencies(Workload::State), [1, 8]);
        assert_eq!(read(&["--concurrency", "4"]).unwrap().concurrencies(Workload::State), [4]);
        assert_eq!(read(&["--indexed"]).unwrap().workloads, [Workload::Append, Workload::List]);
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for arguments in [&["--fast"][..], &["--rounds"], &["--rounds", "0"], &["--workloads", "W9"]] {
            assert!(read(arguments).is_err(), "{arguments:?}");
        }
    }
}
