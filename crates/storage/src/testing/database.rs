//! A database of one test.

use std::env;
use std::fmt;

use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use crate::migration::Migrations;
use crate::postgres::{Postgres, PostgresConfig};

use super::role::{self, Role};
use super::{Result, connection, external, or_fail, random, shared, usage};

/// An empty database of its own, dropped with this value.
pub struct TestPostgres {
    /// Another database of the same server, from which this one is made and dropped.
    maintenance_url: String,
    url: String,
    name: String,
    config: Config,
    /// The password of the roles of its own, where it has them.
    roles: Option<String>,
}

impl TestPostgres {
    /// Makes an empty database: on the server that `TEST_DATABASE_URL` names, else in the shared cluster.
    ///
    /// # Panics
    /// Where there is no server and none can be started: the sentence says what to install or to set.
    pub async fn create() -> Self {
        or_fail(match env::var("TEST_DATABASE_URL") {
            Ok(url) => Self::on_external(&url).await,
            Err(_) => Self::on_shared().await,
        })
    }

    /// Makes a database with the schema of this program's migrations, and without rows.
    ///
    /// # Panics
    /// Where there is no server, or a migration fails.
    pub async fn migrated() -> Self {
        let database = Self::create().await;
        or_fail(database.migrate().await);
        database
    }

    async fn migrate(&self) -> Result<()> {
        let store = Postgres::connect(PostgresConfig::from_url(&self.url)?).await?;
        store.run_pending().await?;
        Ok(())
    }

    /// The same with the roles of `migrations/roles.sql`, and with row-level security on.
    ///
    /// # Panics
    /// Where that fails.
    pub async fn secured() -> Self {
        let mut database = Self::migrated().await;
        or_fail(database.secure().await);
        database
    }

    /// Makes the roles, and has the migrator switch row-level security on.
    async fn secure(&mut self) -> Result<()> {
        self.roles = Some(role::make(self).await?);
        let config = PostgresConfig::from_url(&self.url_of(Role::Migrator))?;
        Postgres::connect(PostgresConfig { row_level_security: true, ..config }).await?.secure().await?;
        Ok(())
    }

    async fn on_shared() -> Result<Self> {
        Self::on(&shared::maintenance_url()?).await
    }

    async fn on_external(url: &str) -> Result<Self> {
        Self::named(url, format!("{}{:08x}", external::prefix(url)?, random() >> 32)).await
    }

    /// Makes an empty database on the server of `maintenance_url`.
    pub(super) async fn on(maintenance_url: &str) -> Result<Self> {
        Self::named(maintenance_url, format!("test_{:016x}", random())).await
    }

    async fn named(maintenance_url: &str, name: String) -> Result<Self> {
        let url = with_database(maintenance_url, &name)?;
        let client = connection::open(maintenance_url).await?;
        usage::record()?;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.map_err(connection::explain)?;
        Ok(Self { maintenance_url: maintenance_url.to_owned(), config: url.parse()?, url, name, roles: None })
    }

    /// The URL of this database, with the password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL of this database for one of its roles.
    ///
    /// # Panics
    /// Where it has none: it was not [`secured`](Self::secured).
    #[must_use]
    pub fn url_of(&self, role: Role) -> String {
        let password = self.roles.as_deref().ok_or("this database has no roles of its own".into());
        let user = format!("{}:{}", role.of(&self.name), or_fail(password));
        or_fail(with_user(&self.url, &user))
    }

    /// The server's host name or address.
    ///
    /// # Panics
    /// Where `TEST_DATABASE_URL` names a Unix socket.
    #[must_use]
    pub fn host(&self) -> &str {
        or_fail(match self.config.get_hosts() {
            [Host::Tcp(host), ..] => Ok(host.as_str()),
            _ => Err("TEST_DATABASE_URL names no host".into()),
        })
    }

    /// The server's TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.config.get_ports().first().copied().unwrap_or(5432)
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// The user's password, empty where there is none.
    #[must_use]
    pub fn password(&self) -> &str {
        self.config.get_password().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The name of this database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.name
    }

    /// A connection of its own, driven by the runtime that this is called on. It ends when the client is dropped.
    ///
    /// # Panics
    /// Where the server does not answer.
    pub async fn client(&self) -> Client {
        or_fail(connection::open(&self.url).await)
    }

    /// Runs one or more statements, separated by semicolons, on a connection of their own.
    ///
    /// # Panics
    /// Where the server refuses one of them.
    pub async fn execute(&self, sql: &str) {
        or_fail(self.client().await.batch_execute(sql).await.map_err(connection::explain));
    }

    /// The rows that a query gives, as PostgreSQL writes their values; `None` is `NULL`.
    ///
    /// # Panics
    /// Where the server refuses it.
    pub async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let messages = self.client().await.simple_query(sql).await;
        let messages = or_fail(messages.map_err(connection::explain));
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()).collect()
    }

    /// The first value of the first row that a query gives; `None` where that is `NULL` or there is no row.
    ///
    /// # Panics
    /// Where the server refuses it.
    pub async fn value(&self, sql: &str) -> Option<String> {
        self.query(sql).await.into_iter().next()?.into_iter().next()?
    }
}

impl fmt::Debug for TestPostgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestPostgres").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for TestPostgres {
    fn drop(&mut self) {
        let url = self.maintenance_url.clone();
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // Best effort: the shared cluster goes as a whole, and on another server the next run sweeps.
        let roles = self.roles.iter().flat_map(|_| Role::ALL);
        let roles: Vec<_> = roles.map(|role| role.of(&self.name)).collect();
        let _dropped = connection::on_own_thread(async move {
            let client = connection::open(&url).await?;
            client.batch_execute(&sql).await?;
            for role in roles {
                client.batch_execute(&format!("DROP ROLE IF EXISTS {role}")).await?;
            }
            Ok(())
        });
    }
}

/// `url` with another database's name.
fn with_database(url: &str, name: &str) -> Result<String> {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let (scheme, rest) =
        base.split_once("://").ok_or("TEST_DATABASE_URL is not a URL such as postgres://...")?;
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    Ok(format!("{scheme}://{authority}/{name}{}", query.map(|query| format!("?{query}")).unwrap_or_default()))
}

/// `url` with another user and password.
fn with_user(url: &str, user: &str) -> Result<String> {
    let (scheme, rest) =
        url.split_once("://").ok_or("TEST_DATABASE_URL is not a URL such as postgres://...")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Ok(format!("{scheme}://{user}@{host}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_user_is_replaced() {
        for (url, expected) in [
            ("postgres://u:p%40@h:1/d?sslmode=disable", "postgres://a:b@h:1/d?sslmode=disable"),
            ("postgresql://h", "postgresql://a:b@h"),
        ] {
            assert_eq!(with_user(url, "a:b").unwrap(), expected);
        }
        assert!(with_user("host=h", "a:b").is_err());
    }

    #[test]
    fn only_the_name_of_the_database_is_replaced() {
        for (url, expected) in [
            ("postgres://u:p%2F@h:1/old?sslmode=disable", "postgres://u:p%2F@h:1/new?sslmode=disable"),
            ("postgresql://h", "postgresql://h/new"),
            ("postgres://h/?a=/b", "postgres://h/new?a=/b"),
        ] {
            assert_eq!(with_database(url, "new").unwrap(), expected);
        }
        assert!(with_database("host=h dbname=old", "new").is_err());
    }

    #[tokio::test]
    async fn a_test_has_a_database_of_its_own_until_it_drops_it() {
        let one = TestPostgres::create().await;
        let other = TestPostgres::create().await;
        one.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (NULL)").await;
        assert_eq!(one.query("SELECT a FROM t ORDER BY a").await, [[Some("1".to_owned())], [None]]);
        assert_eq!(other.value("SELECT to_regclass('t')").await, None);
        assert_eq!(one.value("SELECT current_database()").await.as_deref(), Some(one.database()));

        // Also with a connection still open.
        let client = one.client().await;
        let name = one.database().to_owned();
        drop(one);
        let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        assert_eq!(other.value(&left).await.as_deref(), Some("0"));
        assert!(client.batch_execute("SELECT 1").await.is_err());
    }
}
