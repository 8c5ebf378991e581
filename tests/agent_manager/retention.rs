//! Retention through the manager: what is idle too long goes, with everything that belongs to it.

use std::sync::Arc;
use std::time::Duration;

use lcs_app::PersistenceManager;
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_domain::{Clock, ManualClock, SystemClock, UserId};
use lcs_storage::memory::Memory;

use super::{begin, say};

#[tokio::test]
async fn p7_cleanup_removes_the_idle_and_keeps_the_living() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let mut configuration = Configuration::new(StoreConfiguration::Memory);
    configuration.retention_conversations_per_second = 0;
    let manager = PersistenceManager::builder(configuration)
        .repositories(Arc::new(Memory::new(clock.clone())))
        .clock(clock.clone())
        .initialize()
        .await
        .unwrap();
    let user = UserId::generate();
    let mut conversations = Vec::new();
    for _ in 0..450 {
        conversations.push(begin(&manager, user).await);
    }
    clock.advance(Duration::from_hours(91 * 24));
    say(&manager, user, conversations[7], "I am still here").await.unwrap();
    assert!(manager.agent_manager().delete_conversation(user, conversations[8]).await.unwrap());

    assert_eq!(manager.retention().count_due().await.unwrap(), 449);
    let mut batches = Vec::new();
    let report =
        manager.retention().cleanup_old_conversations(|removed| batches.push(removed)).await.unwrap();
    assert_eq!((report.expired, report.deleted), (448, 1));
    assert_eq!(batches, [200, 200, 49, 0], "in batches, each of them told, and two at once");

    let kept = say(&manager, user, conversations[7], "hello").await.unwrap();
    assert_eq!(kept.turn_number, Some(2));
    say(&manager, user, conversations[0], "hello").await.unwrap_err();
}
