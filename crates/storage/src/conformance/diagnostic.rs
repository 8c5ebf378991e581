//! What a store says about itself.

use std::collections::BTreeSet;

use lcs_domain::diagnostic::Severity;

use super::Harness;
use super::fixture::{Client, at_once, saying, with_state};

/// A healthy store answers a ping and finds nothing wrong with itself, in checks of the same names.
pub async fn a_healthy_store_finds_nothing_wrong(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    client.store.ping().await.expect("a sign of life");
    let (kept, deleted) = (client.begin().await, client.begin().await);
    client.append(with_state(saying(&kept, "x"), &kept, "1", 0)).await.expect("a turn is appended");
    client.delete(&deleted).await;
    let findings = client.store.diagnostics().diagnose().await.expect("a store is diagnosed");
    let names: BTreeSet<&str> = findings.iter().map(|finding| finding.check).collect();
    let expected = [
        "schema",
        "pool",
        "orphaned_turns",
        "turn_heads",
        "duplicate_conversations",
        "agent_states",
        "indexes",
    ];
    // A store may look at more than all of them do.
    assert!(names.is_superset(&expected.into_iter().collect()), "the checks' names: {names:?}");
    // What the role may do is how the store was set up, not how it is.
    for finding in findings.iter().filter(|finding| finding.check != "role") {
        assert_eq!(finding.severity, Severity::Ok, "{finding:?}");
        assert_eq!(finding.remedy, None, "nothing is to be done: {finding:?}");
    }
}

/// A diagnosis changes nothing.
pub async fn a_diagnosis_changes_nothing(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    client.append(with_state(saying(&conversation, "x"), &conversation, "1", 0)).await.expect("a turn");
    let before = (client.get(&conversation).await, client.state(&conversation).await);
    client.assert_sound().await;
    assert_eq!((client.get(&conversation).await, client.state(&conversation).await), before);
    assert_eq!(client.turns(&conversation).await.len(), 1);
}

/// A store is as durable as it says.
pub async fn capabilities_say_how_durable_it_is(harness: &dyn Harness) {
    let store = harness.open().await;
    let capabilities = store.capabilities();
    assert_eq!(capabilities.durability, harness.durability());
    assert!(!capabilities.backend.is_empty());
    assert_eq!(harness.open().await.capabilities(), capabilities, "from every handle");
}

/// A pool, where there is one, is never over its size, and adds up.
pub async fn a_pool_keeps_its_size(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let statuses = at_once((0..40).map(|_| {
        let (client, conversation) = (client.clone(), conversation.clone());
        async move {
            client.get(&conversation).await;
            client.store.pool_status()
        }
    }))
    .await;
    for status in statuses.into_iter().chain([client.store.pool_status()]).flatten() {
        assert!(status.size >= 1 && status.size <= status.max_size, "{status:?}");
        assert_eq!(status.size, status.idle + status.in_use, "{status:?}");
        assert!(status.connections_created <= status.max_size.into(), "none was closed: {status:?}");
        assert_eq!((status.get_timed_out, status.closed_broken), (0, 0), "{status:?}");
    }
}
