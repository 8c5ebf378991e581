//! `doctor`: every check, what it found, and what to do about it.

mod archive;
mod journal;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use lcs_app::DatabaseService;
use lcs_app::configuration::StoreConfiguration;
use lcs_domain::diagnostic::{Finding, Severity};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Erasure, RepositoryError, SystemClock};
use serde_json::json;

use super::{Context, no_file, sentence};
use crate::output::Output;
use crate::output::style::Style;

/// Prints the findings; the exit code is 1 where one of them has to be dealt with.
pub(super) async fn run(context: Context) -> Result<ExitCode> {
    let migrate = format!("run: {}", context.again.command("migrate run"));
    let (mut findings, placed) = match (context.nothing_yet(), context.missing_file()) {
        (Some(said), _) => (vec![Finding::ok("connection", said)], None),
        (None, Some(path)) => (vec![failed(no_file(path))], None),
        (None, None) => examine(&context.configuration.store, migrate)
            .await
            .unwrap_or_else(|error| (vec![unreachable(error)], None)),
    };
    findings.extend(archive::examine(&context.configuration, placed.as_ref()).await);
    findings.extend(journal::examine(&context.configuration.journal.folder).await);
    let mut output = context.output;
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
    let healthy = worst < Severity::Error;
    if output.is_json() {
        output.json(&json!({ "healthy": healthy, "findings": findings }))?;
    } else {
        findings.iter().try_for_each(|finding| print(&mut output, finding))?;
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is found in the store, and the erasure that says where archives were.
async fn examine(
    store: &StoreConfiguration,
    migrate: String,
) -> RepositoryResult<(Vec<Finding>, Option<Erasure>)> {
    let database = DatabaseService::open(store, Arc::new(SystemClock)).await?;
    database.ping().await?;
    let backend = database.capabilities().backend;
    let mut findings = vec![Finding::ok("connection", format!("{backend} answers"))];
    let migrations = database.migration_status().await?;
    let pending = migrations.iter().filter(|migration| !migration.applied).count();
    if pending > 0 {
        // The other checks would only say, each in its own way, that there is no table to look at.
        let detail = format!("migrations not applied: {pending} of {}", migrations.len());
        findings.push(Finding::error("schema", detail, migrate));
        return Ok((findings, None));
    }
    findings.extend(database.diagnose().await?);
    match database.status().await {
        Ok(status) => findings.extend(status.findings()),
        // It looks at more than the others do, and takes nothing of theirs along.
        Err(error) => findings.push(Finding::warning(
            "database",
            format!("its figures cannot be read now: {}", sentence(&anyhow::Error::from(error))),
            "run doctor again when the database is less busy",
        )),
    }
    let placed = match database.repositories().erasures().last_placed_erasure().await {
        // Who may not see what erasures have noted cannot compare it.
        Err(RepositoryError::Denied { .. }) => None,
        placed => placed?,
    };
    Ok((findings, placed))
}

/// The store's errors say what to do; only one that it did not expect leaves that to the log.
fn unreachable(error: RepositoryError) -> Finding {
    let unexpected = matches!(error, RepositoryError::Backend { source: Some(_), .. });
    let finding = failed(sentence(&anyhow::Error::from(error)));
    let remedy = unexpected.then(|| "see the log with --log-level debug".to_owned());
    Finding { remedy, ..finding }
}

fn failed(detail: String) -> Finding {
    Finding { check: "connection", severity: Severity::Error, detail, remedy: None }
}

/// Prints a finding, with its remedy on a line of its own.
pub(super) fn print(output: &mut Output, finding: &Finding) -> std::io::Result<()> {
    let (word, style) = match finding.severity {
        Severity::Ok => ("ok     ", Style::Good),
        Severity::Warning => ("warning", Style::Warning),
        Severity::Error => ("error  ", Style::Bad),
    };
    let word = output.styled(style, word);
    output.line(&format!("{word}  {:<24}  {}", finding.check, finding.detail))?;
    match &finding.remedy {
        Some(remedy) => output.line(&format!("         {:<24}  -> {remedy}", "")),
        None => Ok(()),
    }
}
