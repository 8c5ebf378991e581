//! A cache of pages that is believed for a while, whatever other replicas have done meanwhile.

use std::time::Duration;

use lcs_domain::Durability;
use lcs_tests::chaos::history::Page;
use lcs_tests::chaos::replica::{Conversation, Reply};
use tokio::time::Instant;

use super::replica::Buggy;

const BELIEVED: Duration = Duration::from_millis(20);

pub(super) async fn read(
    at: &Buggy,
    user: u32,
    of: &Conversation,
    after: Option<u32>,
    limit: u32,
) -> Reply<Page> {
    if user != of.user || after.is_some() {
        return at.store.read(user, of, after, limit).await;
    }
    let cached = at.cached.lock().unwrap().get(&of.number).cloned();
    if let Some((read_at, page)) = cached
        && read_at.elapsed() < BELIEVED
    {
        return Ok((page, Durability::Durable));
    }
    let read_at = Instant::now();
    let (page, durability) = at.store.read(user, of, after, limit).await?;
    at.cached.lock().unwrap().insert(of.number, (read_at, page.clone()));
    Ok((page, durability))
}
