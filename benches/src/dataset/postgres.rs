//! The rows in PostgreSQL, loaded by SQL: through the services it would take minutes.

use std::fmt::Write as _;

use tokio_postgres::Client;

use super::{GROWN, Sizes};
use crate::Result;
use crate::payload::Payloads;

/// Loads the rows into the schema of this program.
///
/// # Errors
/// What PostgreSQL says of it.
pub async fn load(client: &Client, sizes: Sizes) -> Result<()> {
    payloads(client).await?;
    let sql = include_str!("postgres.sql")
        .replace("{users}", &sizes.users.to_string())
        .replace("{conversations_per_user}", &sizes.conversations_per_user.to_string())
        .replace("{hot}", &sizes.hot.to_string())
        .replace("{history}", &sizes.history.to_string());
    client.batch_execute(&sql).await?;
    Ok(client.batch_execute("VACUUM ANALYZE").await?)
}

/// Makes the conversation of `turns` turns.
///
/// # Errors
/// What PostgreSQL says of it.
pub async fn grow(client: &Client, turns: u64) -> Result<()> {
    payloads(client).await?;
    let number = GROWN + turns;
    client
        .batch_execute(&format!(
            "INSERT INTO conversations (conversation_id, user_id, agent_id, model_id, turn_count)
             VALUES (md5('conv-{number}')::uuid, md5('user-1')::uuid, md5('agent-{number}')::uuid, 'gpt-4o-mini', {turns});
             INSERT INTO conversation_turns (turn_id, conversation_id, user_id, turn_number, input_messages,
                                             output_message, started_at, completed_at, metadata, content_hash)
             SELECT gen_random_uuid(), md5('conv-{number}')::uuid, md5('user-1')::uuid, k, p.input_messages,
                    p.output_message, now(), now(), p.metadata, sha256(int8send({number}::bigint * 10000 + k))
               FROM generate_series(1, {turns}) AS k JOIN payloads p ON p.variant = k % 64;
             ANALYZE conversation_turns",
        ))
        .await?;
    Ok(())
}

/// Makes the temporary table `payloads`.
async fn payloads(client: &Client) -> Result<()> {
    let make = "CREATE TEMPORARY TABLE IF NOT EXISTS payloads (
                    variant int PRIMARY KEY, input_messages jsonb, output_message jsonb, metadata jsonb,
                    agent_config jsonb, current_state jsonb);
                TRUNCATE payloads; INSERT INTO payloads VALUES ";
    Ok(client.batch_execute(&format!("{make}{}", payload_rows()?)).await?)
}

/// All variants as the rows of a `VALUES`: number, input, output, metadata, configuration, state.
///
/// # Errors
/// Never: writing to a text does not fail.
pub fn payload_rows() -> Result<String> {
    let mut rows = String::new();
    for (variant, payloads) in Payloads::all().iter().enumerate() {
        write!(rows, "{}({variant}", if variant == 0 { "" } else { ", " })?;
        for document in payloads.documents() {
            // Made of words and names: nothing in it ends such a text.
            write!(rows, ", $json${document}$json$")?;
        }
        rows.push(')');
    }
    Ok(rows)
}
