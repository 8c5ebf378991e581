//! What the cache counts.

/// What a cache has done since it was made, and what it holds now: one consistent snapshot.
///
/// Every get is counted once as a hit, a miss or coalesced; one that had to look twice, once for each look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheMetrics {
    /// Gets that were answered with an agent that was there.
    pub hits: u64,
    /// Gets that started a load.
    pub misses: u64,
    /// Gets that joined a load which was under way.
    pub coalesced: u64,
    /// Agents that left because their time was up.
    pub expired: u64,
    /// Agents that left because a newer entry needed the room, or were too large to be kept at all.
    pub evicted: u64,
    /// Agents that were found to be behind their conversation: not handed out, and not kept.
    pub stale: u64,
    /// Agents in the cache now.
    pub size: usize,
    /// How many bytes they have together, as whoever put them estimated.
    pub bytes: u64,
    /// Loads under way now whose agents are to be kept.
    pub loading: usize,
}
