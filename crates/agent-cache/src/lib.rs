//! What stands between the app and a store: live agents kept in memory, and what happens while the
//! database is gone. Both know the ports of [`lcs_domain`] and no store.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`cache`] | live agents by conversation, never staler than what the caller knows (P5) |
//! | [`fallback`] | a store that says how durable its answers are while its database is gone (P8) |

pub mod cache;
pub mod fallback;

pub use cache::{AgentCache, CacheConfig, CacheMetrics, CachedAgent, LoadError, Version};
pub use fallback::{
    Backlog, CircuitState, Fallback, FallbackConfig, FallbackMode, FallbackStatus, VolatileCount,
};
