//! What bb8 knows of a pool, in the domain's words.

use bb8::{ManageConnection, Pool};
use lcs_domain::PoolStatus;

/// How `pool` is doing.
pub(crate) fn status<M: ManageConnection>(pool: &Pool<M>) -> PoolStatus {
    let bb8::State { connections, idle_connections, statistics, .. } = pool.state();
    PoolStatus {
        size: connections,
        idle: idle_connections,
        max_size: pool.config().max_size,
        in_use: connections.saturating_sub(idle_connections),
        // Its counters are read one after the other: a get that ends meanwhile is counted as ended first.
        waiting: statistics.get_started.saturating_sub(statistics.completed_gets()),
        get_waited: statistics.get_waited,
        get_timed_out: statistics.get_timed_out,
        get_wait_time: statistics.get_wait_time,
        connections_created: statistics.connections_created,
        connects_failed: 0,
        closed_broken: statistics.connections_closed_broken,
        closed_invalid: statistics.connections_closed_invalid,
        closed_max_lifetime: statistics.connections_closed_max_lifetime,
        closed_idle_timeout: statistics.connections_closed_idle_timeout,
    }
}
