//! A database with half a year in it: weekdays busier than weekends, more each month, a few models, some idle.

use std::sync::Arc;

use lcs_domain::Repositories;
use lcs_storage::migration::Migrations as _;
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::{PrivateCluster, TestPostgres};

/// The seed of everything that is random here.
const SEED: &str = "SELECT setseed(0.42)";

/// Conversations: of 400 users, some of whom have many; a tenth archived, a few deleted.
const CONVERSATIONS: &str = "
    INSERT INTO conversations
        (conversation_id, user_id, agent_id, model_id, turn_count, status, created_at, updated_at)
    SELECT gen_random_uuid(), md5(floor(400 * random() ^ 2)::text)::uuid, gen_random_uuid(), 'granite-3.3-8b',
           1 + floor(24 * random() ^ 3), (ARRAY['active', 'archived', 'deleted'])[1 + (random() < 0.1)::int
           + (random() < 0.02)::int], begun, least(begun + random() * interval '20 days', now())
      FROM (SELECT day + random() * interval '23 hours' AS begun
              FROM generate_series(now() - interval '180 days', now() - interval '1 day', interval '1 day') day,
                   generate_series(1, (20 + 50 * extract(epoch FROM day - now() + interval '180 days') / 15552000)::int
                                      / CASE WHEN extract(isodow FROM day) > 5 THEN 4 ELSE 1 END)) days";

/// Their turns, the longer the later in the day.
const TURNS: &str = "
    INSERT INTO conversation_turns (turn_id, conversation_id, user_id, turn_number, input_messages, output_message,
                                    started_at, completed_at, content_hash, metadata)
    SELECT gen_random_uuid(), conversation_id, user_id, n, to_jsonb(repeat(md5(random()::text), 6)),
           to_jsonb(repeat(md5(random()::text), (4 + 300 * random() ^ 12)::int)), ended - took, ended, sha256('1'),
           jsonb_strip_nulls(jsonb_build_object(
               'lcs:provider', CASE WHEN random() < 0.8 THEN 'vllm' ELSE 'openai' END,
               'lcs:model', (ARRAY['granite-3.3-8b', 'granite-3.3-8b', 'llama-3.3-70b', 'gpt-4o-mini'])[1 + floor(4 * random())::int],
               'lcs:input_tokens', (200 + 3000 * random())::int, 'lcs:output_tokens', (40 + 600 * random())::int,
               'lcs:interrupted', CASE WHEN random() < 0.01 THEN true END,
               'lcs:late', CASE WHEN random() < 0.002 THEN true END))
      FROM (SELECT conversation_id, user_id, n, created_at + (updated_at - created_at) * (n::float8 / turn_count) AS ended,
                   interval '1 second' * (0.4 + 9 * random() ^ 4) AS took
              FROM conversations, generate_series(1, turn_count) n) turns";

/// The cluster, and a store on a database in it. The cluster ends when it is dropped.
pub(crate) async fn with_half_a_year() -> (PrivateCluster, Arc<dyn Repositories>) {
    let cluster = PrivateCluster::start(&["shared_preload_libraries = 'pg_stat_statements'"]);
    let database: TestPostgres = cluster.database().await;
    let store = Postgres::connect(PostgresConfig::from_url(database.url()).unwrap()).await.unwrap();
    store.run_pending().await.unwrap();
    database.execute("CREATE EXTENSION pg_stat_statements").await;
    database.execute(&format!("{SEED}; {CONVERSATIONS}; {TURNS};")).await;
    for table in ["conversations", "conversation_turns"] {
        database.execute(&format!("VACUUM ANALYZE {table}")).await;
    }
    // It would be dropped with the database's value, which the cluster does as well.
    std::mem::forget(database);
    (cluster, Arc::new(store))
}
