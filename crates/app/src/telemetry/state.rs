//! What is looked at when the metrics are asked for: the pool, the cache, the fallback.

use chrono::{DateTime, Utc};
use lcs_agent_cache::CacheMetrics;
use lcs_agent_cache::fallback::{CircuitState, FallbackStatus, VolatileCount};
use lcs_domain::{Durability, PoolStatus};
use metrics::{counter, gauge};

use super::set;
use crate::PersistenceManager;

/// Counters begin with 0, so that their first rise is seen as one.
pub(super) fn begin(now: DateTime<Utc>) {
    gauge!("process_start_time_seconds").set(super::seconds(now));
    gauge!("lcs_retention_last_run_timestamp_seconds").set(0.0);
    gauge!("lcs_retention_unarchived").set(0.0);
    for outcome in ["appended", "replayed", "conflict", "failed"] {
        counter!("lcs_appends_total", "outcome" => outcome).absolute(0);
    }
    for durability in [Durability::Durable, Durability::Journaled, Durability::Volatile] {
        counter!("lcs_answers_total", "durability" => durability.as_str()).absolute(0);
    }
    for status in ["401", "403"] {
        counter!("lcs_access_denied_total", "status" => status).absolute(0);
    }
    for outcome in ["done", "busy", "failed"] {
        counter!("lcs_retention_runs_total", "outcome" => outcome).absolute(0);
    }
    for reason in ["expired", "deleted", "erased", "archived"] {
        counter!("lcs_retention_purged_total", "reason" => reason).absolute(0);
    }
}

pub(super) fn look(manager: &PersistenceManager) {
    let status = manager.fallback_status();
    let bytes = manager.journal().map_or(0, |journal| journal.last_status().bytes);
    journal(&status, bytes, manager.clock().now());
    if let Some(status) = manager.repositories().pool_status() {
        pool(&status);
    }
    cache(&manager.agent_manager().cache_metrics());
    fallback(&status);
}

fn pool(status: &PoolStatus) {
    gauge!("lcs_pool_connections", "state" => "idle").set(status.idle);
    gauge!("lcs_pool_connections", "state" => "in_use").set(status.in_use);
    gauge!("lcs_pool_max_connections").set(status.max_size);
    set("lcs_pool_waiting", status.waiting);
    counter!("lcs_pool_waits_total").absolute(status.get_waited);
    gauge!("lcs_pool_wait_seconds_total").set(status.get_wait_time.as_secs_f64());
    counter!("lcs_pool_timeouts_total").absolute(status.get_timed_out);
    counter!("lcs_pool_opened_total").absolute(status.connections_created);
    let closed = [
        ("broken", status.closed_broken),
        ("invalid", status.closed_invalid),
        ("max_lifetime", status.closed_max_lifetime),
        ("idle_timeout", status.closed_idle_timeout),
    ];
    for (reason, count) in closed {
        counter!("lcs_pool_closed_total", "reason" => reason).absolute(count);
    }
}

fn cache(metrics: &CacheMetrics) {
    for (outcome, count) in
        [("hit", metrics.hits), ("miss", metrics.misses), ("coalesced", metrics.coalesced)]
    {
        counter!("lcs_cache_gets_total", "outcome" => outcome).absolute(count);
    }
    for (reason, count) in
        [("evicted", metrics.evicted), ("expired", metrics.expired), ("stale", metrics.stale)]
    {
        counter!("lcs_cache_removed_total", "reason" => reason).absolute(count);
    }
    set("lcs_cache_size", metrics.size as u64);
    set("lcs_cache_bytes", metrics.bytes);
    set("lcs_cache_loading", metrics.loading as u64);
}

fn fallback(status: &FallbackStatus) {
    for state in [CircuitState::Closed, CircuitState::Open, CircuitState::HalfOpen, CircuitState::Replaying] {
        let is_it = u32::from(status.state == state);
        gauge!("lcs_fallback_state", "state" => state.as_str()).set(is_it);
    }
    counter!("lcs_fallback_openings_total").absolute(status.openings);
    for (entity, count) in entities(status.volatile) {
        #[expect(clippy::cast_precision_loss, reason = "no memory holds 2^53 of them")]
        gauge!("lcs_fallback_volatile", "entity" => entity).set(count as f64);
    }
    for (entity, count) in entities(status.discarded) {
        counter!("lcs_fallback_discarded_total", "entity" => entity).absolute(count);
    }
}

fn journal(status: &FallbackStatus, bytes: u64, now: DateTime<Utc>) {
    set("lcs_journal_entries", status.backlog.entries);
    set("lcs_journal_bytes", bytes);
    set("lcs_journal_conflicts", status.backlog.conflicts);
    let age = status.backlog.oldest.and_then(|oldest| (now - oldest).to_std().ok()).unwrap_or_default();
    gauge!("lcs_journal_oldest_age_seconds").set(age.as_secs_f64());
    counter!("lcs_journal_replayed_total").absolute(status.replayed);
    counter!("lcs_journal_refused_total").absolute(status.refused);
}

const fn entities(count: VolatileCount) -> [(&'static str, u64); 3] {
    [("conversations", count.conversations), ("turns", count.turns), ("agent_states", count.agent_states)]
}
