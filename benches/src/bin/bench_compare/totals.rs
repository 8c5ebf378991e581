//! What totals and reports take, by how many conversations there are.

use std::fmt::Write as _;
use std::time::Duration;

use lcs_app::PersistenceManager;
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_benches::Result;
use lcs_benches::dataset::{self, Sizes};
use lcs_domain::AnalyticsWindow;
use lcs_storage::postgres::PostgresConfig;
use lcs_storage::testing::PrivateCluster;
use tokio::time::Instant;

use crate::options::Options;

/// How often each report is made.
const REPORTS: usize = 15;

pub(crate) async fn measure(cluster: &PrivateCluster, options: &Options) -> Result<String> {
    let mut report =
        String::from("| conversations | counted | a report, median | slowest |\n| --- | --- | --- | --- |\n");
    for conversations in &options.totals {
        crate::tell(&format!("{conversations} conversations"))?;
        let database = cluster.database().await;
        let store = PostgresConfig::from_url(database.url())?;
        let configuration = Configuration::new(StoreConfiguration::Postgresql(Box::new(store)));
        let manager = PersistenceManager::initialize(configuration).await?;
        let client = database.client().await;
        let conversations_per_user = options.sizes.conversations_per_user;
        let users = conversations.div_ceil(conversations_per_user.max(1));
        let hot = options.sizes.hot.min(*conversations);
        let sizes = Sizes { users, conversations_per_user, hot, history: 0 };
        dataset::load_postgres(&client, sizes).await?;
        client.batch_execute("VACUUM ANALYZE").await?;
        client.batch_execute("CHECKPOINT").await?;
        let (mut times, mut counted) = (Vec::new(), 0);
        for _ in 0..REPORTS {
            let begun = Instant::now();
            let made = manager.analytics().report(AnalyticsWindow::default()).await?;
            times.push(begun.elapsed());
            counted = made.analytics.conversations.active;
        }
        times.sort_unstable();
        let median = times.get(REPORTS / 2).copied().unwrap_or_default();
        let slowest = times.last().copied().unwrap_or_default();
        writeln!(report, "| {conversations} | {counted} | {} ms | {} ms |", ms(median), ms(slowest))?;
    }
    Ok(report)
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}
