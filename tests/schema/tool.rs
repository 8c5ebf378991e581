//! Diesel's command line makes the same schema from the same files, and writes the same `schema.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lcs_storage::migration::Migrations;
use lcs_storage::testing::{TestPostgres, program};

use crate::postgres::store;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The schema as `pg_dump` writes it, without comments, settings, and what differs from one call to the next.
pub(crate) fn dump(database: &TestPostgres) -> String {
    let mut command = Command::new(program("pg_dump"));
    let dump = run(command.args(["--schema-only", "--no-owner", "--dbname", database.url()]));
    let noise = ["--", "SET ", "SELECT pg_catalog.set_config", "\\restrict", "\\unrestrict"];
    let lines =
        dump.lines().filter(|line| !line.is_empty() && !noise.iter().any(|noise| line.starts_with(noise)));
    lines.collect::<Vec<_>>().join("\n")
}

/// The command line of Diesel, which `scripts/test` installs beside the build.
fn diesel() -> Command {
    let folder = Path::new(env!("CARGO_BIN_EXE_migrate-worker")).ancestors().nth(2).unwrap();
    let installed = folder.join("tools/bin/diesel");
    let program = if installed.is_file() { installed } else { PathBuf::from("diesel") };
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!(
            "{} cannot be run ({error}): `scripts/test` installs what is missing",
            command.get_program().display()
        )
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} failed: {said}", command.get_program().display());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn diesel_s_command_line_and_the_embedded_runner_make_the_same_schema() {
    let (embedded, by_tool) = (TestPostgres::migrated().await, TestPostgres::create().await);
    // Locked: it may not write `schema.rs`, only say whether it is the same.
    run(diesel().args(["migration", "run", "--locked-schema", "--database-url", by_tool.url()]));
    assert_eq!(dump(&by_tool), dump(&embedded));

    let pending = store(&by_tool).await.run_pending().await.unwrap();
    assert_eq!(pending, Vec::<String>::new(), "each knows what the other applied");
    let versions = "SELECT version FROM __diesel_schema_migrations ORDER BY 1";
    assert_eq!(by_tool.query(versions).await, embedded.query(versions).await);
}

#[tokio::test]
async fn schema_rs_is_what_the_database_says() {
    let database = TestPostgres::migrated().await;
    let printed = run(diesel().args(["print-schema", "--database-url", database.url()]));
    let written = fs::read_to_string(root().join("crates/storage/src/postgres/schema.rs")).unwrap();
    assert_eq!(written, printed);
}
