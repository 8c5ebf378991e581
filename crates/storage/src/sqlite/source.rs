//! Other systems' tables in SQLite files, which are opened to be read and nothing else.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::connection::{DefaultLoadingMode, SimpleConnection};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use futures_util::stream::BoxStream;
use lcs_domain::RepositoryError;
use lcs_domain::repository::RepositoryResult;
use tokio::runtime::Handle;

use super::database::blocking;
use super::error::{self, Failure};
use super::file;
use crate::source::{AgentsMessageRow, LcsCacheRow, LcsMetadataRow, LcsTurn};
use crate::stream::{OPERATORS_PATIENCE, Rows, streamed_for};

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct CacheRow {
    #[diesel(sql_type = Text)]
    user_id: String,
    #[diesel(sql_type = Text)]
    conversation_id: String,
    #[diesel(sql_type = Double)]
    written_at: f64,
    #[diesel(sql_type = Nullable<Text>)]
    started_at: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    completed_at: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    query: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    response: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    provider: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    model: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    referenced_documents: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    tool_calls: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    tool_results: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    topic_summary: Option<String>,
    #[diesel(sql_type = Nullable<Double>)]
    last_message_at: Option<f64>,
}

impl From<CacheRow> for LcsCacheRow {
    fn from(row: CacheRow) -> Self {
        let created_at = of_seconds(row.written_at).unwrap_or_default();
        Self {
            user_id: row.user_id,
            conversation_id: row.conversation_id,
            created_at,
            written_at: created_at.naive_utc(),
            started_at: row.started_at,
            completed_at: row.completed_at,
            query: row.query,
            response: row.response,
            provider: row.provider,
            model: row.model,
            referenced_documents: row.referenced_documents,
            tool_calls: row.tool_calls,
            tool_results: row.tool_results,
            topic_summary: row.topic_summary,
            last_message_at: row.last_message_at.and_then(of_seconds),
        }
    }
}

#[derive(QueryableByName)]
struct MessageRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    session_id: String,
    #[diesel(sql_type = Text)]
    message_data: String,
    #[diesel(sql_type = Nullable<Text>)]
    created_at: Option<String>,
}

impl From<MessageRow> for AgentsMessageRow {
    fn from(row: MessageRow) -> Self {
        Self {
            id: row.id,
            session_id: row.session_id,
            message_data: row.message_data,
            created_at: row.created_at.as_deref().and_then(of_text),
        }
    }
}

#[derive(QueryableByName)]
struct MetadataRow {
    #[diesel(sql_type = Text)]
    conversation_id: String,
    #[diesel(sql_type = Text)]
    user_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    last_used_model: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    created_at: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    last_message_at: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    topic_summary: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    turn_number: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    started_at: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    completed_at: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    provider: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    model: Option<String>,
}

impl From<MetadataRow> for LcsMetadataRow {
    fn from(row: MetadataRow) -> Self {
        Self {
            conversation_id: row.conversation_id,
            user_id: row.user_id,
            model: row.last_used_model.unwrap_or_default(),
            created_at: row.created_at.as_deref().and_then(of_text),
            last_message_at: row.last_message_at.as_deref().and_then(of_text),
            topic_summary: row.topic_summary.unwrap_or_default(),
            turn: row.turn_number.map(|turn_number| LcsTurn {
                turn_number,
                started_at: row.started_at.as_deref().and_then(of_text),
                completed_at: row.completed_at.as_deref().and_then(of_text),
                provider: row.provider.unwrap_or_default(),
                model: row.model.unwrap_or_default(),
            }),
        }
    }
}

/// The time that a text without a zone says: SQLite's own clock and LCS write UTC.
fn of_text(text: &str) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok().map(|time| time.and_utc())
}

/// The time that is so many seconds after 1970.
#[expect(clippy::cast_possible_truncation, reason = "a time past its range is none")]
fn of_seconds(seconds: f64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros((seconds * 1e6).round() as i64)
}

/// The rows of the conversation cache that LCS has in this file.
///
/// # Errors
/// `Unavailable` where the file is not there, `Invalid` where the tables are not in it.
#[must_use]
pub fn lcs_cache(path: PathBuf) -> BoxStream<'static, RepositoryResult<LcsCacheRow>> {
    streamed_for(OPERATORS_PATIENCE, tracing::info_span!("source.lcs_cache"), move |rows| {
        read(path, move |connection, runtime| {
            refuse_missing(connection, &["cache", "conversations"], "LCS's conversation cache")?;
            let columns = columns(connection, "cache")?;
            let optional = |name: &str| {
                if columns.iter().any(|column| column == name) {
                    format!("c.{name} AS {name}")
                } else {
                    format!("NULL AS {name}")
                }
            };
            let sql = format!(
                "SELECT c.user_id AS user_id, c.conversation_id AS conversation_id, \
                        CAST(c.created_at AS REAL) AS written_at, c.started_at AS started_at, \
                        c.completed_at AS completed_at, c.query AS query, c.response AS response, \
                        c.provider AS provider, c.model AS model, {}, {}, {}, v.topic_summary AS topic_summary, \
                        CAST(v.last_message_timestamp AS REAL) AS last_message_at \
                   FROM cache c LEFT JOIN conversations v \
                     ON v.user_id = c.user_id AND v.conversation_id = c.conversation_id \
                  ORDER BY c.user_id, c.conversation_id, c.created_at",
                optional("referenced_documents"),
                optional("tool_calls"),
                optional("tool_results"),
            );
            hand_on::<CacheRow, _>(connection, &sql, rows, runtime)
        })
    })
}

/// The rows of the OpenAI Agents SDK's sessions in this file.
///
/// # Errors
/// As [`lcs_cache`].
#[must_use]
pub fn openai_agents(path: PathBuf) -> BoxStream<'static, RepositoryResult<AgentsMessageRow>> {
    streamed_for(OPERATORS_PATIENCE, tracing::info_span!("source.openai_agents"), move |rows| {
        read(path, move |connection, runtime| {
            refuse_missing(
                connection,
                &["agent_sessions", "agent_messages"],
                "the OpenAI Agents SDK's sessions",
            )?;
            let sql = "SELECT id, session_id, message_data, CAST(created_at AS TEXT) AS created_at \
                         FROM agent_messages ORDER BY session_id, id";
            hand_on::<MessageRow, _>(connection, sql, rows, runtime)
        })
    })
}

/// What LCS's `user_conversation` and `user_turn` in this file say.
///
/// # Errors
/// As [`lcs_cache`].
#[must_use]
pub fn lcs_metadata(path: PathBuf) -> BoxStream<'static, RepositoryResult<LcsMetadataRow>> {
    streamed_for(OPERATORS_PATIENCE, tracing::info_span!("source.lcs_metadata"), move |rows| {
        read(path, move |connection, runtime| {
            refuse_missing(connection, &["user_conversation", "user_turn"], "LCS's metadata")?;
            let sql = "SELECT c.id AS conversation_id, c.user_id AS user_id, \
                              c.last_used_model AS last_used_model, CAST(c.created_at AS TEXT) AS created_at, \
                              CAST(c.last_message_at AS TEXT) AS last_message_at, \
                              c.topic_summary AS topic_summary, t.turn_number AS turn_number, \
                              CAST(t.started_at AS TEXT) AS started_at, \
                              CAST(t.completed_at AS TEXT) AS completed_at, t.provider AS provider, \
                              t.model AS model \
                         FROM user_conversation c LEFT JOIN user_turn t ON t.conversation_id = c.id \
                        ORDER BY c.id, t.turn_number";
            hand_on::<MetadataRow, _>(connection, sql, rows, runtime)
        })
    })
}

/// Runs `work` on a connection of its own that only reads, in one transaction.
async fn read(
    path: PathBuf,
    work: impl FnOnce(&mut SqliteConnection, &Handle) -> Result<(), Failure> + Send + 'static,
) -> RepositoryResult<()> {
    let runtime = Handle::current();
    blocking(move || {
        let name = path.display().to_string();
        if !path.is_file() {
            return Err(RepositoryError::unavailable(format!("there is no file {name}: correct the path")));
        }
        // Without this, it would be made where it is missing, and changed where its log is left over.
        let uri = format!("{}?mode=ro", file::uri(&path));
        let mut connection =
            SqliteConnection::establish(&uri).map_err(|failure| error::of_connection(failure, &name))?;
        let done = connection
            .batch_execute("PRAGMA busy_timeout=5000; PRAGMA query_only=ON;")
            .map_err(Failure::from)
            .and_then(|()| connection.transaction(|connection| work(connection, &runtime)));
        done.map_err(|failure| failure.into_repository(&name))
    })
    .await
}

fn hand_on<R, T>(
    connection: &mut SqliteConnection,
    sql: &str,
    mut rows: Rows<T>,
    runtime: &Handle,
) -> Result<(), Failure>
where
    R: QueryableByName<diesel::sqlite::Sqlite> + Into<T> + 'static,
{
    for row in diesel::sql_query(sql).load_iter::<R, DefaultLoadingMode>(connection)? {
        if !runtime.block_on(rows.send(row?.into()))? {
            break;
        }
    }
    Ok(())
}

fn columns(connection: &mut SqliteConnection, table: &str) -> Result<Vec<String>, Failure> {
    let columns: Vec<Column> =
        diesel::sql_query(format!("SELECT name FROM pragma_table_info('{table}')")).load(connection)?;
    Ok(columns.into_iter().map(|column| column.name).collect())
}

fn refuse_missing(
    connection: &mut SqliteConnection,
    tables: &[&'static str],
    what: &str,
) -> Result<(), Failure> {
    for table in tables {
        if columns(connection, table)?.is_empty() {
            let reason = format!("there is no table {table} in it: it does not hold {what}");
            return Err(RepositoryError::invalid("", reason).into());
        }
    }
    Ok(())
}
