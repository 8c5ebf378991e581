//! LangGraph's checkpoints.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Bytea, Nullable, Text as SqlText};
use futures_util::stream::BoxStream;
use lcs_domain::RepositoryError;
use lcs_domain::repository::RepositoryResult;

use crate::postgres::Postgres;
use crate::postgres::connect::Purpose;
use crate::postgres::error::Fault;
use crate::postgres::statement::statement;
use crate::postgres::transfer::{Begin, Commit, wait_for_reader};
use crate::source::{LANGGRAPH_BYTES, LangGraphThread};
use crate::stream::{OPERATORS_PATIENCE, Rows, streamed_for};

/// How many threads are read at once, at most: each comes with all its messages.
const THREADS: i64 = 20;

/// As many threads are read at once as have so many bytes of messages, and one more.
const PAGE_BYTES: i64 = 8 << 20;

statement! {
    /// Whether the tables are there.
    There(
        "SELECT to_regclass('checkpoints') IS NOT NULL AND to_regclass('checkpoint_blobs') IS NOT NULL"
    ) -> Bool {}
}

statement! {
    /// The next threads.
    Threads(include_str!("langgraph.sql")) -> (
        SqlText,
        Nullable<SqlText>,
        Nullable<SqlText>,
        Nullable<SqlText>,
        Nullable<Bytea>,
        Nullable<BigInt>,
    ) {
        thread_id: String as SqlText,
        limit: i64 as BigInt,
        most: i64 as BigInt,
        page: i64 as BigInt,
    }
}

#[derive(Queryable)]
struct Row {
    thread_id: String,
    began_at: Option<String>,
    changed_at: Option<String>,
    kind: Option<String>,
    messages: Option<Vec<u8>>,
    too_long: Option<i64>,
}

impl Postgres {
    /// LangGraph's threads, in the configured schema.
    ///
    /// # Errors
    /// `Invalid` where the tables are not there.
    #[must_use]
    pub fn langgraph(&self) -> BoxStream<'static, RepositoryResult<LangGraphThread>> {
        let store = self.clone();
        let span = tracing::info_span!("source.langgraph");
        streamed_for(OPERATORS_PATIENCE, span, move |mut rows| async move {
            store.langgraph_to(&mut rows).await.map_err(Fault::into_error)
        })
    }

    async fn langgraph_to(&self, rows: &mut Rows<LangGraphThread>) -> Result<(), Fault> {
        let mut session = self.pool().own_session(&mut self.tries(Purpose::Maintenance)).await?;
        session.load::<i32>(&Begin {}).await?;
        wait_for_reader(&mut session).await?;
        if session.load::<bool>(&There {}).await?.into_iter().next() != Some(true) {
            let reason = "there are no tables checkpoints and checkpoint_blobs of LangGraph's: name their schema, as \
                          in postgres://…?namespace=agents";
            return Err(RepositoryError::invalid("", reason).into());
        }
        let most = LANGGRAPH_BYTES.into();
        let mut page = Threads { thread_id: String::new(), limit: THREADS, most, page: PAGE_BYTES };
        loop {
            let read = session.load::<Row>(&page).await?;
            let Some(last) = read.last() else { break };
            page.thread_id.clone_from(&last.thread_id);
            for Row { thread_id, began_at, changed_at, kind, messages, too_long } in read {
                let messages = kind.zip(messages);
                let too_long = too_long.map(i64::unsigned_abs);
                let thread = LangGraphThread { thread_id, began_at, changed_at, messages, too_long };
                if !rows.send(thread).await? {
                    return Ok(());
                }
            }
        }
        session.load::<i32>(&Commit {}).await?;
        Ok(())
    }
}
