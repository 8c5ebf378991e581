//! Swaps the store in a test: the services over an in-memory store and a clock that the test moves.
//!
//! Run it with `cargo run -p lcs-app --example swap_store`.

use std::sync::Arc;
use std::time::Duration;

use lcs_app::PersistenceManager;
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_domain::{Clock, ManualClock, NewConversation, SystemClock, Text, UserId};
use lcs_storage::memory::Memory;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let store = Arc::new(Memory::new(clock.clone()));
    let manager = PersistenceManager::builder(Configuration::new(StoreConfiguration::Memory))
        .repositories(store)
        .clock(clock.clone())
        .initialize()
        .await?;

    let user = UserId::from_text("ada");
    let new = NewConversation::begin(Text::name("echo", "/model_id")?);
    let conversation = manager.conversation_service().create_conversation(user, new).await?;

    // 91 days later, retention's 90 days are over; and no test has waited for them.
    clock.advance(Duration::from_hours(91 * 24));
    let report = manager.retention().cleanup_old_conversations(|_| ()).await?;
    assert_eq!(report.expired, 1);
    let gone = manager.conversation_service().get_conversation(user, conversation.conversation_id).await?;
    assert_eq!(gone, None);
    Ok(())
}
