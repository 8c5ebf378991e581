//! A replica that starts, for the tests of the migrations: waits until its input ends, then migrates the
//! database of the URL it was given, and says which migrations it applied, one a line.

use std::error::Error;
use std::io::{self, Write};

use lcs_storage::migration::Migrations;
use lcs_storage::postgres::{Postgres, PostgresConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("the first argument is the database's URL")?;
    let store = Postgres::connect(PostgresConfig::from_url(&url)?).await?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    for name in store.run_pending().await? {
        writeln!(io::stdout(), "{name}")?;
    }
    Ok(())
}
