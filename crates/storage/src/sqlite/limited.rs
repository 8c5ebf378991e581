//! A limit that does not have a query prepared anew each time.
//!
//! SQLite looks at the value of a bare `LIMIT ?` when it plans, and prepares the statement again whenever one is
//! bound: a fifth of what reading a row by its key takes. A value inside an expression it leaves alone.

use diesel::prelude::*;
use diesel::query_builder::{AstPass, BoxedSelectStatement, Query, QueryFragment, QueryId};
use diesel::sql_types::BigInt;
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};

/// The first rows of a query that has no limit of its own.
#[derive(QueryId)]
pub(super) struct Limited<Q> {
    query: Q,
    limit: Option<i64>,
}

/// Up to `limit` rows of `query`.
pub(super) const fn limited<Q>(query: Q, limit: i64) -> Limited<Q> {
    Limited { query, limit: Some(limit) }
}

/// Up to `limit` rows of `query`, all where there is none: whatever limit there is, SQLite sorts in a slower way for it.
/// Only of a query that is known by its text, which has a limit or not.
pub(super) const fn perhaps_limited<ST, QS, GB>(
    query: BoxedSelectStatement<'_, ST, QS, Backend, GB>,
    limit: Option<i64>,
) -> Limited<BoxedSelectStatement<'_, ST, QS, Backend, GB>> {
    Limited { query, limit }
}

impl<Q: Query> Query for Limited<Q> {
    type SqlType = Q::SqlType;
}

impl<Q: QueryFragment<Backend>> QueryFragment<Backend> for Limited<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        self.query.walk_ast(out.reborrow())?;
        if let Some(limit) = &self.limit {
            out.push_sql(" LIMIT abs(");
            out.push_bind_param::<BigInt, _>(limit)?;
            out.push_sql(")");
        }
        Ok(())
    }
}

impl<Q> RunQueryDsl<SqliteConnection> for Limited<Q> {}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use diesel::connection::InstrumentationEvent;
    use futures_util::TryStreamExt as _;
    use lcs_domain::transfer::ExportFilter;
    use lcs_domain::{
        AgentStateRepository, AgentStateUpdate, AppendTurn, ArchiveRepository, AuditQuery, AuditRepository,
        BrowseRepository, Clock, ConversationRepository, ErasureRepository, ErasureTarget, FindConversations,
        HoldRepository, ListConversations, ListSummaries, Metadata, NewConversation, NewTurn, PageLimit,
        Payload, RetentionOverrideRepository, RetentionPolicy, RetentionRepository, SystemClock, Text,
        TransferRepository, TurnId, TurnRange, TurnRepository, UserId,
    };

    use crate::migration::Migrations;
    use crate::sqlite::{Sqlite, SqliteConfig};

    /// The statements that were run.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    impl Seen {
        /// That no statement since the last look has a bare limit, and these many have another one.
        fn assert_limited(&self, count: usize) {
            let seen = std::mem::take(&mut *self.0.lock().unwrap());
            let anew: Vec<_> = seen.iter().filter(|query| query.contains("LIMIT ?")).collect();
            assert!(anew.is_empty(), "{anew:#?}");
            let limited = seen.iter().filter(|query| query.contains("LIMIT abs(?)")).count();
            assert_eq!(limited, count, "{seen:#?}");
        }
    }

    /// A store whose statements are seen.
    async fn watched() -> (Sqlite, Seen) {
        let config = SqliteConfig::memory();
        let store = Sqlite::open(config, Arc::new(SystemClock)).await.unwrap();
        store.run_pending().await.unwrap();
        let seen = Seen::default();
        let watching = seen.clone();
        let watch = move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                watching.0.lock().unwrap().push(query.to_string());
            }
        };
        let done = store.database.read(move |connection| {
            diesel::Connection::set_instrumentation(connection, watch);
            Ok(())
        });
        done.await.unwrap();
        (store, seen)
    }

    #[tokio::test]
    async fn nothing_on_a_turns_way_is_prepared_anew() {
        let (store, seen) = watched().await;
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
        seen.assert_limited(4);
    }

    #[tokio::test]
    async fn no_page_of_an_operators_is_prepared_anew() {
        let (store, seen) = watched().await;
        let (user, limit) = (UserId::from_text("u"), PageLimit::MAX);
        let new = NewConversation::begin(Text::name("m", "/model_id").unwrap());
        let id = store.create(user, new).await.unwrap().conversation_id;
        // A limit that nobody asked for would make SQLite sort all of a user's in a slower way.
        store.summaries(user, ListSummaries::default()).try_collect::<Vec<_>>().await.unwrap();
        seen.assert_limited(0);

        let some = ListSummaries { limit: Some(10), ..ListSummaries::default() };
        store.summaries(user, some).try_collect::<Vec<_>>().await.unwrap();
        let find = FindConversations { id: None, user_id: None, topic: None, after: None, limit };
        store.find_conversations(find).await.unwrap();
        store.list_archives(None, limit).await.unwrap();
        store.unfinished_archives(None, limit).await.unwrap();
        store.list_holds(None, limit).await.unwrap();
        store.overrides(None, limit).await.unwrap();
        let newest = AuditQuery::default();
        store.records(newest).await.unwrap();
        store.records(AuditQuery { after: Some(0), ..newest }).await.unwrap();
        seen.assert_limited(8);

        let target = ErasureTarget::User(user);
        store.ended_erasures(target, limit).await.unwrap();
        let policy = RetentionPolicy::idle_longer_than(Duration::from_hours(1)).unwrap();
        store.due_for_archive(policy, Vec::new(), 10).await.unwrap();
        store.purge_batch(policy, limit).await.unwrap();
        store.purge_requests(limit).await.unwrap();
        seen.assert_limited(4);

        // A page of conversations, one of turns for the conversation, and a page of conversations where none is.
        let exported: Vec<_> = store.export(ExportFilter::default()).try_collect().await.unwrap();
        assert_eq!(exported.len(), 1);
        seen.assert_limited(3);

        // What is found by its key has no limit at all.
        store.find_remains(id).await.unwrap();
        store.tombstone(id).await.unwrap();
        store.keeping(user, vec![id]).await.unwrap();
        seen.assert_limited(0);
    }
}
