//! W7: what has been idle too long is removed. It is measured on a database of its own in each round, since what is
//! gone cannot be removed twice.

use lcs_benches::Result;
use lcs_benches::dataset::{self, HOT_TURNS, Sizes};
use lcs_benches::protocol::{Measurement, Run};
use lcs_benches::workload::Workload;
use lcs_storage::testing::{PrivateCluster, TestPostgres};
use tokio::time::Instant;

use crate::cell::{Cell, Round};
use crate::contender::Contender;
use crate::limit::Limit;
use crate::options::Options;

/// Every other conversation was last touched long ago, the others just now.
const HALF_IS_OLD: &str = "UPDATE conversations
    SET updated_at = CASE WHEN get_byte(uuid_send(conversation_id), 15) % 2 = 0 THEN '2019-06-01' ELSE now() END";
/// Foreign keys take turns and states along.
const DELETE: &str = "DELETE FROM conversations WHERE updated_at < '2020-01-01'";

pub(crate) async fn measure(cluster: &PrivateCluster, options: &Options) -> Result<Cell> {
    // Twice as many as are to be removed, each with turns and a state.
    let (users, conversations_per_user) = (options.old.div_ceil(10), 20);
    let sizes = Sizes { users, conversations_per_user, hot: users * conversations_per_user, history: 0 };
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let limit = limit(&cluster.database().await, sizes).await?;
        rounds.push(Round { limit, ours: ours(&cluster.database().await, options, sizes).await? });
    }
    Ok(Cell { workload: Workload::Purge, concurrency: 1, rounds })
}

async fn age(database: &TestPostgres) -> Result<()> {
    let client = database.client().await;
    client.batch_execute(HALF_IS_OLD).await?;
    client.batch_execute("VACUUM FULL ANALYZE").await?;
    Ok(client.batch_execute("CHECKPOINT").await?)
}

#[expect(clippy::cast_precision_loss, reason = "a count of rows is far below 2^53")]
async fn limit(database: &TestPostgres, sizes: Sizes) -> Result<Measurement> {
    Limit::load(database, sizes).await?;
    age(database).await?;
    let client = database.client().await;
    let begun = Instant::now();
    let ops = client.execute(DELETE, &[]).await? * (HOT_TURNS + 2);
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Measurement { ops, seconds, ops_per_s: ops as f64 / seconds, ..Measurement::default() })
}

async fn ours(database: &TestPostgres, options: &Options, sizes: Sizes) -> Result<Measurement> {
    let mut contender = Contender::start("pg", options, database)?;
    contender.ask_done(r#"{"cmd":"tables"}"#)?;
    dataset::load_postgres(&database.client().await, sizes).await?;
    age(database).await?;
    let workload = Workload::Purge.to_string();
    let run = Run { workload, concurrency: 1, seconds: None, max_ops: Some(1), seed: 1, conv: None };
    let measured = contender.run(run)?;
    contender.quit()?;
    if measured.ops == 0 {
        return Err("W7 has removed nothing".into());
    }
    // A run is one operation: its time says nothing that its rate does not.
    Ok(Measurement { p50_us: None, p95_us: None, p99_us: None, ..measured })
}
