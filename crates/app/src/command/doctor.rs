//! `doctor`: every check, what it found, and what to do about it.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use lcs_app::DatabaseService;
use lcs_app::configuration::StoreConfiguration;
use lcs_domain::diagnostic::{Finding, Severity};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{RepositoryError, SystemClock};
use serde_json::json;

use super::{Context, sentence};
use crate::output::Output;
use crate::output::style::Style;

/// Prints the findings; the exit code is 1 where one of them has to be dealt with.
pub(super) async fn run(context: Context) -> Result<ExitCode> {
    let mut output = context.output;
    let findings = match examine(&context.configuration.store).await {
        Ok(findings) => findings,
        Err(error) => vec![unreachable(error)],
    };
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
    let healthy = worst < Severity::Error;
    if output.is_json() {
        output.json(&json!({ "healthy": healthy, "findings": findings }))?;
    } else {
        findings.iter().try_for_each(|finding| print(&mut output, finding))?;
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(store: &StoreConfiguration) -> RepositoryResult<Vec<Finding>> {
    let database = DatabaseService::open(store, Arc::new(SystemClock)).await?;
    database.ping().await?;
    let backend = database.capabilities().backend;
    let mut findings = vec![Finding::ok("connection", format!("{backend} answers"))];
    let migrations = database.migration_status().await?;
    let pending = migrations.iter().filter(|migration| !migration.applied).count();
    if pending > 0 {
        // The other checks would only say, each in its own way, that there is no table to look at.
        let detail = format!("{pending} of {} migrations are not applied", migrations.len());
        findings.push(Finding::error("schema", detail, "run: lcs-persistence migrate run"));
        return Ok(findings);
    }
    findings.extend(database.diagnose().await?);
    Ok(findings)
}

fn unreachable(error: RepositoryError) -> Finding {
    let remedy = match &error {
        RepositoryError::Unavailable { .. } | RepositoryError::OutcomeUnknown { .. } => {
            "see that the database runs, and that host, port, name and credentials in the configuration are right"
        }
        RepositoryError::SchemaSkew { .. } => "use the program that made this schema, or a newer one",
        RepositoryError::ReadOnly { .. } => "see that the database, its file and its folder can be written",
        RepositoryError::StorageFull { .. } => "make room on the disk that the database is on",
        _ => "see the configuration, and the log with --log-level debug",
    };
    Finding::error("connection", sentence(&anyhow::Error::from(error)), remedy)
}

fn print(output: &mut Output, finding: &Finding) -> std::io::Result<()> {
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
