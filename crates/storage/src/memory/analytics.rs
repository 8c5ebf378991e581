//! Figures in memory: every row is looked at.

use std::collections::HashMap;

use async_trait::async_trait;
use lcs_domain::analytics::{ConversationFact, Tally, TurnFact, UserFigures};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Analytics, AnalyticsRepository, AnalyticsWindow, DatabaseStatus, Repositories, RetentionPolicy, UserId,
};

use super::Memory;

#[async_trait]
impl AnalyticsRepository for Memory {
    #[tracing::instrument(name = "db.analytics.analyze", skip_all, fields(days = window.days()))]
    async fn analyze(&self, window: AnalyticsWindow, policy: RetentionPolicy) -> RepositoryResult<Analytics> {
        let now = self.clock.now();
        let since = window.since(now);
        let mut tally = Tally::new(window, policy, now);
        // Whether one of a user's conversations changed in the window.
        let mut users: HashMap<UserId, bool> = HashMap::new();
        let tables = self.tables();
        for row in tables.conversations.values() {
            let conversation = &row.conversation;
            tally.conversation(&ConversationFact {
                conversation_id: conversation.conversation_id,
                user_id: conversation.user_id,
                status: conversation.status,
                created_at: conversation.created_at,
                updated_at: conversation.updated_at,
                turn_count: conversation.turn_count,
            });
            *users.entry(conversation.user_id).or_default() |= conversation.updated_at >= since;
            for stored in &row.turns {
                tally.turn(&TurnFact {
                    started_at: stored.turn.started_at,
                    completed_at: stored.turn.completed_at,
                    metadata: stored.turn.metadata.clone(),
                });
            }
        }
        let active = users.values().filter(|is_active| **is_active).count() as u64;
        let users = UserFigures { total: users.len() as u64, active, at_least: false };
        Ok(tally.finish(1.0, 1.0, users))
    }

    #[tracing::instrument(name = "db.analytics.database_status", skip_all)]
    async fn database_status(&self) -> RepositoryResult<DatabaseStatus> {
        Ok(DatabaseStatus { backend: self.capabilities().backend, ..DatabaseStatus::default() })
    }
}
