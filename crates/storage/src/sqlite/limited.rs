//! A limit that does not have a query prepared anew each time.
//!
//! SQLite looks at the value of a bare `LIMIT ?` when it plans, and prepares the statement again whenever one is
//! bound: a fifth of what reading a row by its key takes. A value inside an expression it leaves alone.

use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::BigInt;
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};

/// The first rows of a query that has no limit of its own.
#[derive(QueryId)]
pub(super) struct Limited<Q> {
    query: Q,
    limit: i64,
}

/// Up to `limit` rows of `query`.
pub(super) const fn limited<Q>(query: Q, limit: i64) -> Limited<Q> {
    Limited { query, limit }
}

impl<Q: Query> Query for Limited<Q> {
    type SqlType = Q::SqlType;
}

impl<Q: QueryFragment<Backend>> QueryFragment<Backend> for Limited<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        self.query.walk_ast(out.reborrow())?;
        out.push_sql(" LIMIT abs(");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(")");
        Ok(())
    }
}

impl<Q> RunQueryDsl<SqliteConnection> for Limited<Q> {}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use diesel::connection::InstrumentationEvent;
    use lcs_domain::{
        AgentStateRepository, AgentStateUpdate, AppendTurn, Clock, ConversationRepository, ListConversations,
        Metadata, NewConversation, NewTurn, PageLimit, Payload, SystemClock, Text, TurnId, TurnRange,
        TurnRepository, UserId,
    };

    use crate::migration::Migrations;
    use crate::sqlite::{Sqlite, SqliteConfig};

    #[tokio::test]
    async fn nothing_on_a_turns_way_is_prepared_anew() {
        let config = SqliteConfig::memory();
        let store = Sqlite::open(config, Arc::new(SystemClock)).await.unwrap();
        store.run_pending().await.unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let watched = Arc::clone(&seen);
        let watch = move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                watched.lock().unwrap().push(query.to_string());
            }
        };
        let done = store.database.read(move |connection| {
            diesel::Connection::set_instrumentation(connection, watch);
            Ok(())
        });
        done.await.unwrap();
        let (user, now) = (UserId::from_text("u"), SystemClock.now());
        let new = NewConversation::begin(Text::name("m", "/model_id").unwrap());
        let conversation = store.create(user, new).await.unwrap();
        let said = || Payload::parse("1").unwrap();
        let turn = NewTurn::new(TurnId::generate(), said(), None, now, now, Metadata::default()).unwrap();
        let (conversation_id, agent_id) = (conversation.conversation_id, conversation.agent_id);
        let agent_state = AgentStateUpdate {
            agent_id,
            expected_revision: 0,
            agent_config: Some(said()),
            current_state: said(),
        };
        let append =
            AppendTurn { conversation_id, turn, expected_turn_count: None, agent_state: Some(agent_state) };
        TurnRepository::append(&store, user, append).await.unwrap();
        AgentStateRepository::get(&store, user, agent_id).await.unwrap().unwrap();
        for range in [TurnRange::After(0), TurnRange::Before(9), TurnRange::Newest] {
            let page = store.page(user, conversation_id, range, PageLimit::MAX).await.unwrap().unwrap();
            assert_eq!(page.turns.len(), 1);
        }
        let listed = store.list(user, ListConversations::default()).await.unwrap();
        assert_eq!(listed.conversations.len(), 1);
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert!(seen.iter().any(|query| query.contains("LIMIT abs(?)")), "{seen:#?}");
        let anew: Vec<_> = seen.iter().filter(|query| query.contains("LIMIT ?")).collect();
        assert!(anew.is_empty(), "{anew:#?}");
    }
}
