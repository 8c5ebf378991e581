//! The most connections that the database saw of the service.

use std::time::Duration;

use tokio::time::{Instant, interval};
use tokio_postgres::NoTls;

use super::Failure;

const COUNT: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND application_name = 'lcs-persistence'";

pub(crate) async fn watch(url: String, until: Instant) -> Result<i64, Failure> {
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    let mut most = 0;
    let mut ticks = interval(Duration::from_millis(100));
    while Instant::now() < until {
        ticks.tick().await;
        most = most.max(client.query_one(COUNT, &[]).await?.get(0));
    }
    Ok(most)
}
