//! What a paced purge costs those who append meanwhile: pairs of slices, one beside a purge and one without it.

use std::thread;
use std::time::Duration;

use lcs_app::PersistenceManager;
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_benches::Result;
use lcs_benches::dataset::{self, Sizes};
use lcs_benches::workload::Workload;
use lcs_storage::postgres::PostgresConfig;
use lcs_storage::testing::{PrivateCluster, TestPostgres};

use crate::contender::Contender;
use crate::options::Options;

/// How many append at once.
const CLIENTS: u64 = 8;
/// What is appended to is just now active; all others were last touched long ago.
const AGE: &str = "UPDATE conversations SET updated_at = CASE WHEN conversation_id IN \
                   (SELECT md5('conv-' || n)::uuid FROM generate_series(1, {hot}) n) THEN now() ELSE '2019-06-01' END";

/// The 95th percentiles of the two slices of a pair, in microseconds.
struct Pair {
    alone: f64,
    beside: f64,
}

pub(crate) async fn measure(cluster: &PrivateCluster, options: &Options) -> Result<String> {
    let database = cluster.database().await;
    let mut contender = Contender::start("pg", options, &database)?;
    contender.ask_done(r#"{"cmd":"tables"}"#)?;
    // Those that the worker appends to come first; all that is to go has as many turns.
    let Sizes { hot, conversations_per_user, .. } = options.sizes;
    let all = hot + options.old;
    let users = all.div_ceil(conversations_per_user);
    let sizes = Sizes { users, hot: users * conversations_per_user, history: 0, conversations_per_user };
    let client = database.client().await;
    dataset::load_postgres(&client, sizes).await?;
    client.batch_execute(&AGE.replace("{hot}", &hot.to_string())).await?;
    client.batch_execute("VACUUM FULL ANALYZE").await?;
    client.batch_execute("CHECKPOINT").await?;
    let manager = manager(&database, options).await?;
    let due = manager.retention().count_due().await?;
    contender.slice(Workload::Append, CLIENTS, options, None)?;
    let mut pairs = Vec::new();
    for round in 1..=options.rounds as u64 {
        let mut slice = async |beside: bool| {
            let purge = beside.then(|| {
                let manager = manager.clone();
                tokio::spawn(async move { manager.retention().cleanup_old_conversations(|_| ()).await })
            });
            let seed = Some(round);
            let measured = thread::scope(|scope| {
                scope
                    .spawn(|| {
                        contender
                            .slice(Workload::Append, CLIENTS, options, seed)
                            .map_err(|error| error.to_string())
                    })
                    .join()
            });
            if let Some(purge) = purge {
                if purge.is_finished() {
                    return Err("there was too little to purge: write --old with more".into());
                }
                purge.abort();
                // The batch that runs is let finish.
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            let measured = measured.map_err(|_| "the worker's thread panicked")??;
            Ok::<f64, Box<dyn std::error::Error + Send + Sync>>(measured.p95_us.unwrap_or_default())
        };
        // Which of the two is first changes.
        let (alone, beside) = if round % 2 == 0 {
            let beside = slice(true).await?;
            (slice(false).await?, beside)
        } else {
            let alone = slice(false).await?;
            (alone, slice(true).await?)
        };
        crate::tell(&format!("pair {round}: p95 {alone:.0} us alone, {beside:.0} us beside a purge"))?;
        pairs.push(Pair { alone, beside });
    }
    contender.quit()?;
    let removed = due - manager.retention().count_due().await?;
    Ok(report(&pairs, options, due, removed))
}

async fn manager(database: &TestPostgres, options: &Options) -> Result<PersistenceManager> {
    let store = PostgresConfig::from_url(database.url())?;
    let mut configuration = Configuration::new(StoreConfiguration::Postgresql(Box::new(store)));
    configuration.retention_conversations_per_second = options.per_second;
    Ok(PersistenceManager::initialize(configuration).await?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn report(pairs: &[Pair], options: &Options, due: u64, removed: u64) -> String {
    let ratios = pairs.iter().map(|pair| pair.beside / pair.alone).collect();
    format!(
        "{} pairs of slices of {} s, {CLIENTS} clients append; {due} conversations of 10 turns were due, {removed} \
         were removed at {} a second. Median p95: {:.0} us alone, {:.0} us beside the purge; median of the \
         pairs' ratios: {:.3}",
        pairs.len(),
        options.seconds,
        options.per_second,
        median(pairs.iter().map(|pair| pair.alone).collect()),
        median(pairs.iter().map(|pair| pair.beside).collect()),
        median(ratios),
    )
}
