//! Making a conversation that was taken some time ago, and may have been erased since.

use chrono::TimeDelta;
use diesel::sql_types::{Double, Jsonb, Nullable, Text as SqlText, Uuid as SqlUuid};
use lcs_domain::erasure::OwnedConversation;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Conversation, NewConversation, RepositoryError, UserId};
use uuid::Uuid;

use super::create::Creation;
use super::{conversation, text};
use crate::postgres::Postgres;
use crate::postgres::connect::Purpose;
use crate::postgres::error::Fault;
use crate::postgres::json::Json;
use crate::postgres::locked::Locked;
use crate::postgres::operation::{Effect, detached};
use crate::postgres::row::{ColumnsOf, ConversationRow};
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
        age_seconds: f64 as Double,
    }
}

impl Postgres {
    /// Makes a conversation that was taken `age` ago; `None` where it is erased, or its user was since.
    pub(in crate::postgres) async fn create_late(
        &self,
        user_id: UserId,
        new: NewConversation,
        age: TimeDelta,
    ) -> RepositoryResult<Option<Conversation>> {
        let store = self.operation();
        let key = new.conversation_id.into();
        let query = CreateLate {
            conversation_id: key,
            user_id: user_id.into(),
            agent_id: new.agent_id.into(),
            model_id: new.model_id.to_string(),
            system_prompt: text(new.system_prompt.clone()),
            metadata: Json(new.metadata.as_json().to_owned()),
            topic_summary: text(new.topic_summary.clone()),
            external_id: text(new.external_id.clone()),
            age_seconds: age.as_seconds_f64(),
        };
        detached(key, async move {
            let locked = Locked::beside_erasures(store.named(user_id), &query);
            let answer = store.run::<ConversationRow>(Purpose::Service, Effect::Writes(key), &locked).await;
            match answer.map_err(Fault::into_error).and_then(|answer| conversation(answer.rows)) {
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
                    if erased.includes_of_age(owned, age) { Ok(None) } else { Err(error) }
                }
            }
        })
        .await
    }
}
