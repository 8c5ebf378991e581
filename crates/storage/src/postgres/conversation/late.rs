//! Making a conversation that was taken some time ago, and may have been erased since.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{Jsonb, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid};
use lcs_domain::erasure::OwnedConversation;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Conversation, NewConversation, RepositoryError, UserId};
use tokio::time::Instant;
use uuid::Uuid;

use super::create::Creation;
use super::{conversation, text};
use crate::postgres::Postgres;
use crate::postgres::connect::Purpose;
use crate::postgres::error::Fault;
use crate::postgres::json::Json;
use crate::postgres::locked::Locked;
use crate::postgres::operation::{Effect, detached};
use crate::postgres::row::{ColumnsOf, ConversationRow, no_row};
use crate::postgres::statement::statement;

statement! {
    /// Makes a conversation, or gives no row.
    CreateLate(include_str!("late.sql")) -> ColumnsOf<ConversationRow> {
        conversation_id: Uuid as SqlUuid,
        user_id: Uuid as SqlUuid,
        agent_id: Uuid as SqlUuid,
        model_id: String as SqlText,
        system_prompt: Option<String> as Nullable<SqlText>,
        metadata: Json as Jsonb,
        topic_summary: Option<String> as Nullable<SqlText>,
        external_id: Option<String> as Nullable<SqlText>,
        recorded_at: DateTime<Utc> as Timestamptz,
    }
}

statement! {
    /// What time it is.
    Now("SELECT clock_timestamp()") -> Timestamptz {}
}

impl Postgres {
    /// Makes a conversation that was taken `age` ago; `None` where it is erased, or its user was since.
    ///
    /// When it was taken by the server's clock is found out before anything waits for a lock, or is done again: what is
    /// erased meanwhile is erased since. For as long as that answer takes, it is taken for older.
    pub(in crate::postgres) async fn create_late(
        &self,
        user_id: UserId,
        new: NewConversation,
        age: TimeDelta,
    ) -> RepositoryResult<Option<Conversation>> {
        let (store, asked) = (self.operation(), Instant::now());
        let key = new.conversation_id.into();
        let recorded_at = store.ago(Purpose::Service, age, asked).await?;
        let query = CreateLate {
            conversation_id: key,
            user_id: user_id.into(),
            agent_id: new.agent_id.into(),
            model_id: new.model_id.to_string(),
            system_prompt: text(new.system_prompt.clone()),
            metadata: Json(new.metadata.as_json().to_owned()),
            topic_summary: text(new.topic_summary.clone()),
            external_id: text(new.external_id.clone()),
            recorded_at,
        };
        detached(key, async move {
            let locked = Locked::beside_erasures(store.named(user_id), &query);
            let answer = store.run::<ConversationRow>(Purpose::Service, Effect::Writes(key), &locked).await;
            match answer.map_err(Fault::into_error).and_then(|answer| conversation(user_id, answer.rows)) {
                Ok(Some(made)) => return Ok(Some(made)),
                // A tombstone of it may say why.
                Ok(None) | Err(RepositoryError::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
            let owned = OwnedConversation { user_id, conversation_id: new.conversation_id };
            let creation = Creation::new(user_id, new);
            match creation.found(&store).await {
                Ok(found) => Ok(Some(found)),
                Err(error) => {
                    let erased = store.which_are_erased(vec![owned]).await?;
                    if erased.includes(owned, recorded_at, erased.now) { Ok(None) } else { Err(error) }
                }
            }
        })
        .await
    }

    /// The server's time so long before it was `asked`.
    pub(in crate::postgres) async fn ago(
        &self,
        purpose: Purpose,
        age: TimeDelta,
        asked: Instant,
    ) -> RepositoryResult<DateTime<Utc>> {
        let answer = self.run::<DateTime<Utc>>(purpose, Effect::Reads, &Now {}).await;
        let now = answer.map_err(Fault::into_error)?.one().ok_or_else(no_row)?;
        let waited = TimeDelta::from_std(asked.elapsed()).unwrap_or(TimeDelta::MAX);
        let then = now.checked_sub_signed(age).and_then(|then| then.checked_sub_signed(waited));
        Ok(then.unwrap_or(DateTime::UNIX_EPOCH))
    }
}
