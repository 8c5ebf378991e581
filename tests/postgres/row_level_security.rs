//! Row-level security: what it holds, what it costs, and who may do what.

mod every_method;
mod hold;
mod proxy;
mod role;
mod statement;
mod switch;

use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::{Role, TestPostgres};

use crate::support::config;

/// A store with one connection, as this role, with row-level security configured.
pub(crate) async fn store_as(database: &TestPostgres, role: Role) -> Postgres {
    Postgres::connect(secured(&database.url_of(role))).await.unwrap()
}

fn secured(url: &str) -> PostgresConfig {
    PostgresConfig { pool_size: 1, max_overflow: 0, row_level_security: true, ..config(url) }
}
