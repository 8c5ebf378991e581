//! Every metric: its name, its kind, its labels and what it means. `docs/METRICS.md` is the same list.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// A metric of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it moves.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
}

/// How a metric moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It rises.
    Counter,
    /// It is as of now.
    Gauge,
    /// It is a distribution, in buckets.
    Histogram,
}

impl MetricKind {
    /// Prometheus' word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Metric {
    pub(super) fn describe(&self) {
        match self.kind {
            MetricKind::Counter => describe_counter!(self.name, self.meaning),
            MetricKind::Gauge => describe_gauge!(self.name, self.meaning),
            MetricKind::Histogram => describe_histogram!(self.name, self.meaning),
        }
    }
}

macro_rules! metrics {
    ($($kind:ident $name:literal [$($label:literal),*] $meaning:literal;)*) => {
        /// Every metric.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: MetricKind::$kind,
            labels: &[$($label),*],
            meaning: $meaning,
        }),*];
    };
}

metrics! {
    Counter "lcs_http_requests_total" ["method", "path", "status"] "Requests, by route and status; 499 is a client that went away.";
    Histogram "lcs_http_request_duration_seconds" ["path"] "Time until the whole answer was sent, by route.";
    Counter "ls_rest_api_calls_total" ["path", "status_code"] "LCS's name for the requests.";
    Histogram "ls_response_duration_seconds" ["path"] "LCS's name for the time that they took.";
    Histogram "lcs_query_duration_seconds" ["operation"] "Time that the store took, by operation.";
    Counter "lcs_query_errors_total" ["operation", "kind"] "What the store refused or failed at, by operation and error.";
    Counter "lcs_appends_total" ["outcome"] "Turns to be stored: appended, replayed, conflict, or failed.";
    Counter "lcs_answers_total" ["durability"] "Answers to queries, by how durable they are.";
    Gauge "lcs_pool_connections" ["state"] "Connections to the database: idle, or in_use.";
    Gauge "lcs_pool_max_connections" [] "The most connections that there may be.";
    Gauge "lcs_pool_waiting" [] "Calls that wait for a connection now.";
    Counter "lcs_pool_waits_total" [] "Calls that had to wait for a connection.";
    Gauge "lcs_pool_wait_seconds_total" [] "Time that calls have waited for a connection, all together; it only rises.";
    Counter "lcs_pool_timeouts_total" [] "Calls that waited for a connection in vain.";
    Counter "lcs_pool_opened_total" [] "Connections that were opened.";
    Counter "lcs_pool_closed_total" ["reason"] "Connections that were closed: broken, invalid, max_lifetime, or idle_timeout.";
    Counter "lcs_cache_gets_total" ["outcome"] "Agents that were asked of the cache: hit, miss, or coalesced with a load under way.";
    Counter "lcs_cache_removed_total" ["reason"] "Agents that left the cache: evicted, expired, or stale.";
    Gauge "lcs_cache_size" [] "Agents in the cache.";
    Gauge "lcs_cache_bytes" [] "Bytes of the agents in the cache, as the documents that they were made from say.";
    Gauge "lcs_cache_loading" [] "Agents that are being loaded.";
    Gauge "lcs_fallback_state" ["state"] "1 for the state that the fallback is in: closed, open, half_open, or replaying.";
    Counter "lcs_fallback_openings_total" [] "How often the database was given up for gone.";
    Gauge "lcs_fallback_volatile" ["entity"] "What is in memory only: conversations, turns, agent_states.";
    Counter "lcs_fallback_discarded_total" ["entity"] "What was in memory only, and was discarded when the database was back.";
    Gauge "lcs_journal_entries" [] "Operations in the journal that are not in the database yet.";
    Gauge "lcs_journal_bytes" [] "How many bytes those take.";
    Gauge "lcs_journal_oldest_age_seconds" [] "How long ago the oldest of them was taken; 0 where there is none.";
    Gauge "lcs_journal_conflicts" [] "What the database refused when it was replayed, and nobody has decided about.";
    Counter "lcs_journal_replayed_total" [] "Operations of the journal that have reached the database.";
    Counter "lcs_journal_refused_total" [] "Operations, and agent states of turns, that the database refused when they were replayed.";
    Counter "lcs_access_denied_total" ["status"] "Requests that were not let in: 401 or 403.";
    Counter "lcs_retention_runs_total" ["outcome"] "Runs of the retention: done, busy where others had both places, or failed.";
    Counter "lcs_retention_purged_total" ["reason"] "Conversations that it removed: expired, deleted, erased, or archived.";
    Gauge "lcs_retention_unarchived" [] "Conversations that its last whole run could not archive, and kept; cleanup names them.";
    Gauge "lcs_retention_last_run_timestamp_seconds" [] "When its last run ended, done or busy; 0 before the first.";
    Gauge "lcs_database_bytes" [] "How large the database is.";
    Gauge "lcs_database_table_bytes" ["table"] "How large each table is, with its indexes and long values.";
    Gauge "lcs_database_table_rows" ["table"] "About how many rows each table has, as the server estimates it (PostgreSQL).";
    Gauge "lcs_database_table_dead_rows" ["table"] "About how many removed rows still take room in each table (PostgreSQL).";
    Gauge "lcs_database_index_bytes" ["index"] "How large each index is.";
    Gauge "lcs_database_index_scans" ["index"] "How often each index was used since the server's statistics were reset (PostgreSQL).";
    Gauge "lcs_database_index_bloat_bytes" ["index"] "About how many bytes a new index would not have (PostgreSQL).";
    Gauge "lcs_database_connections" ["state"] "Connections to the server, of all programs (PostgreSQL): used, idle_in_transaction, and max, how many there may be.";
    Gauge "lcs_database_oldest_transaction_seconds" [] "How long the oldest transaction runs that the role can see (PostgreSQL).";
    Gauge "lcs_database_transaction_id_age" [] "The age of the oldest transaction id that is not frozen (PostgreSQL).";
    Gauge "lcs_database_slowest_statement_seconds" [] "The mean time of the slowest of the ten kinds of statement that took the most time; 0 where pg_stat_statements does not count.";
    Gauge "lcs_database_finding" ["check", "severity"] "1 for what each check of the database has found: ok, warning, or error; doctor says it in words.";
    Counter "lcs_database_looks_total" ["outcome"] "Looks at how the database is doing: done, or failed.";
    Gauge "lcs_database_last_look_timestamp_seconds" [] "When it was last looked at with success; 0 before.";
    Gauge "process_start_time_seconds" [] "When the process began to count.";
}
