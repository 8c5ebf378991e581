//! A test process for the tests of the test support: makes a database, says its URL, and keeps it until
//! its input ends.

use std::io::{self, Write};

use lcs_storage::testing::TestPostgres;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let database = TestPostgres::create().await;
    writeln!(io::stdout(), "{}", database.url())?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
