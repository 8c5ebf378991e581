//! Stores, conversations and turns for the tests of this folder.

use lcs_storage::postgres::{Postgres, PostgresConfig};

/// A store on the database of this URL.
pub(crate) async fn store(url: &str) -> Postgres {
    Postgres::connect(PostgresConfig::from_url(url).unwrap()).await.unwrap()
}
