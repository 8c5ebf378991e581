//! `stats`: how much there is, how it grows, and how the database is doing.

mod table;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use chrono::NaiveDate;
use clap::Args;
use lcs_app::report::page;
use lcs_app::{AnalyticsService, DatabaseService};
use lcs_domain::{AnalyticsWindow, Clock as _, SystemClock};

use super::Context;
use crate::output::Output;
use crate::output::whole_file::WholeFile;

#[derive(Args)]
pub(super) struct Stats {
    /// Look back to this day, in UTC: a date like 2026-11-01, or a number of days like 90d
    #[arg(long, value_name = "DAY", default_value = "30d", value_parser = since)]
    since: Since,
    /// Write a page with plots into this file instead, or - for standard output: it needs nothing else, and opens in any browser
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// How far back to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Days(u32),
    Day(NaiveDate),
}

impl Stats {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let window = self.since.window(SystemClock.now().date_naive())?;
        if let Some(said) = context.nothing_yet() {
            return self.of_nothing(context.output, &said);
        }
        let context = context.of_what_is_there()?;
        let (configuration, mut output) = (context.configuration, context.output);
        let database = DatabaseService::open(&configuration.store, Arc::new(SystemClock)).await?;
        let migrations = database.migration_status().await?;
        let pending = migrations.iter().filter(|migration| !migration.applied).count();
        if pending > 0 {
            let migrate = context.again.command("migrate run");
            bail!("migrations not applied: {pending} of {}; run: {migrate}", migrations.len());
        }
        let policy = configuration.retention_policy()?;
        // Before the look, which may take a minute.
        let file = self.report.as_deref().filter(|file| *file != Path::new("-"));
        let begun = file.map(|file| WholeFile::begin(file, ".stats-")).transpose()?;
        let report = AnalyticsService::new(database.repositories(), policy).report(window).await?;
        if let Some((file, mut begun)) = file.zip(begun) {
            begun.write_all(page(&report, false).as_bytes())?;
            begun.keep(true)?;
            if output.is_json() {
                output.json(&serde_json::json!({ "written": file }))?;
            } else {
                output.line(&format!("Written: {}", file.display()))?;
            }
        } else if self.report.is_some() {
            output.line(&page(&report, false))?;
        } else if output.is_json() {
            output.json(&report)?;
        } else {
            table::show(&mut output, &report)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// A fresh machine: there are no figures, and no page of them.
    fn of_nothing(&self, mut output: Output, said: &str) -> Result<ExitCode> {
        if self.report.is_some() {
            bail!("{said}");
        }
        if output.is_json() {
            output.json(
                &serde_json::json!({ "analytics": null, "database": null, "cache": null, "said": said }),
            )?;
        } else {
            output.line(said)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Since {
    fn window(self, today: NaiveDate) -> Result<AnalyticsWindow> {
        let days = match self {
            Self::Days(days) => days,
            Self::Day(day) if day > today => {
                bail!("--since {day} is in the future: write a day that has been")
            }
            Self::Day(day) => {
                u32::try_from(today.signed_duration_since(day).num_days() + 1).unwrap_or(u32::MAX)
            }
        };
        let window = AnalyticsWindow::of_days(days);
        window.with_context(|| format!("--since is {days} days back"))
    }
}

fn since(text: &str) -> Result<Since, &'static str> {
    const WRITE: &str = "write a date like 2026-11-01, or a number of days like 90d";
    if let Some(days) = text.strip_suffix('d') {
        return days.parse().map(Since::Days).map_err(|_| WRITE);
    }
    text.parse().map(Since::Day).map_err(|_| WRITE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_a_date_or_a_number_of_days() {
        let today = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
        for (text, days) in [("1d", 1), ("90d", 90), ("2026-03-01", 1), ("2026-02-27", 3)] {
            assert_eq!(since(text).unwrap().window(today).unwrap().days(), days, "{text}");
        }
        for text in ["", "d", "-1d", "90", "yesterday", "2026-13-01"] {
            assert!(since(text).unwrap_err().contains("write a date like"), "{text}");
        }
        for text in ["0d", "367d", "2026-03-02", "2020-01-01"] {
            since(text).unwrap().window(today).unwrap_err();
        }
    }
}
