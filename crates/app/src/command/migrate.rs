//! `migrate`: the database's schema, by hand.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Subcommand;
use lcs_app::DatabaseService;
use lcs_domain::SystemClock;
use serde_json::json;

use super::Context;
use crate::output::table::Table;
use crate::output::{Output, note};

#[derive(Clone, Copy, Subcommand)]
pub(super) enum Migrate {
    /// Apply what is pending. Any number of processes may do so at once.
    Run,
    /// Revert the newest migration, and with it what is stored in what it made.
    Revert {
        /// What is stored in what it made is gone: say that you mean it.
        #[arg(long)]
        yes: bool,
    },
    /// List all migrations, and whether the database has them.
    Status,
}

impl Migrate {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let context = if matches!(self, Self::Run) { context } else { context.of_what_is_there()? };
        let mut output = context.output;
        let database = DatabaseService::open(&context.configuration.store, Arc::new(SystemClock)).await?;
        match self {
            Self::Run => {
                let applied = database.migrate().await?;
                let secured = database.secure().await?;
                if output.is_json() {
                    output.json(&json!({ "applied": applied, "secured": secured }))?;
                } else if applied.is_empty() && secured.is_empty() {
                    output.line("The schema is up to date.")?;
                } else {
                    print_each(&mut output, "Applied", &applied)?;
                    print_each(&mut output, "Switched row-level security on for", &secured)?;
                }
            }
            Self::Revert { yes } => {
                let applied =
                    database.migration_status().await?.into_iter().rfind(|migration| migration.applied);
                if let Some(newest) = applied.filter(|_| !yes) {
                    confirm(&mut output, &newest.name)?;
                }
                let reverted = database.revert_migration().await?;
                if output.is_json() {
                    output.json(&json!({ "reverted": reverted }))?;
                } else if let Some(reverted) = reverted {
                    output.line(&format!("Reverted {reverted}."))?;
                } else {
                    output.line("No migration is applied.")?;
                }
            }
            Self::Status => {
                let migrations = database.migration_status().await?;
                if output.is_json() {
                    output.json(&json!({ "migrations": migrations }))?;
                } else {
                    let mut table = Table::new(["VERSION", "APPLIED", "NAME"]);
                    for migration in migrations {
                        let applied = if migration.applied { "yes" } else { "no" };
                        table.row([migration.version, applied.to_owned(), migration.name]);
                    }
                    output.table(&table)?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_each(output: &mut Output, what: &str, migrations: &[String]) -> io::Result<()> {
    migrations.iter().try_for_each(|migration| output.line(&format!("{what} {migration}.")))
}

/// Asks a person, for what a migration made may hold all conversations.
fn confirm(output: &mut Output, newest: &str) -> Result<()> {
    if !io::stdin().is_terminal() || output.is_json() {
        bail!(
            "what is stored in what {newest} made is gone when it is reverted: write --yes to mean it, or `migrate \
             status` to see what is applied"
        );
    }
    note(&format!(
        "{newest} will be reverted, and what is stored in what it made is gone: of the first ones, all conversations; of \
         others certificates, holds or the audit log."
    ));
    if !output.is_confirmed()? {
        bail!("not reverted");
    }
    Ok(())
}
