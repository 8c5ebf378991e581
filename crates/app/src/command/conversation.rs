//! `conversations`: list, show and delete what is stored.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use lcs_app::configuration::StoreConfiguration;
use lcs_app::{Expiry, PersistenceManager};
use lcs_domain::{
    Clock, Conversation, ConversationCursor, ConversationId, Entity, ListConversations, PageLimit, Payload,
    RepositoryError, SearchConversations, SearchQuery, SystemClock, Turn, TurnRange, UserId,
};
use serde_json::{Value, json};

use super::{Context, User, message};
use crate::output::age::ago;
use crate::output::style::Style;
use crate::output::table::Table;
use crate::output::{Output, note, text};

#[derive(Subcommand)]
pub(super) enum Conversations {
    /// The newest conversations of a user.
    List(List),
    /// The newest conversations of a user that have certain words.
    Search(Search),
    /// A conversation with all its turns.
    Show(One),
    /// Delete a conversation, forever.
    Delete(One),
}

#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    user: User,
    /// How many at most: 1 to 200.
    #[arg(long, value_name = "NUMBER", default_value = "50", value_parser = super::page_limit)]
    limit: PageLimit,
    /// Continue after a page: the `next` it gave.
    #[arg(long, value_name = "CURSOR")]
    after: Option<ConversationCursor>,
}

#[derive(Args)]
pub(super) struct Search {
    /// 1 to 16 words: the topic or one of the turns has to have them all, and those in double quotes one behind the other.
    #[arg(value_name = "WORDS")]
    query: SearchQuery,
    #[command(flatten)]
    list: List,
}

#[derive(Args)]
pub(super) struct One {
    /// The conversation.
    #[arg(value_name = "ID")]
    conversation: ConversationId,
    #[command(flatten)]
    user: User,
}

impl Conversations {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let Context { configuration, mut output, again, .. } = context.of_what_is_there()?;
        let stays = !matches!(configuration.store, StoreConfiguration::Memory);
        let manager = PersistenceManager::initialize(configuration).await?;
        let service = manager.conversation_service();
        match self {
            Self::List(list) => {
                let begin = again.command(&format!("chat{}", list.user.option()));
                print_page(&mut output, &manager, &list, stays.then_some(begin)).await?;
            }
            Self::Search(search) => print_found(&mut output, &manager, &search).await?,
            Self::Show(One { conversation, user }) => {
                show(&mut output, &manager, user.id()?, conversation).await?;
            }
            Self::Delete(One { conversation, user }) => {
                if !service.delete_conversation(user.id()?, conversation).await? {
                    return Err(not_found());
                }
                if output.is_json() {
                    output.json(&json!({ "conversation_id": conversation, "deleted": true }))?;
                } else {
                    output.line(&format!("Deleted conversation {conversation}."))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn print_page(
    output: &mut Output,
    manager: &PersistenceManager,
    list: &List,
    begin: Option<String>,
) -> Result<()> {
    let wanted = ListConversations { after: list.after, limit: list.limit, status: None };
    let user_id = list.user.id()?;
    let page = manager.conversation_service().list_conversations(user_id, wanted).await?;
    if output.is_json() {
        let expiries = manager.retention().expiries(user_id, &page.conversations).await?;
        let mut page = serde_json::to_value(&page)?;
        if let Some(Value::Array(conversations)) = page.get_mut("conversations") {
            for (shown, expiry) in conversations.iter_mut().zip(&expiries) {
                expire(shown, expiry);
            }
        }
        return Ok(output.json(&page)?);
    }
    if page.conversations.is_empty() {
        let begin = begin.map(|begin| format!(" Begin one with: {begin}")).unwrap_or_default();
        return Ok(output.line(&format!("There are no conversations.{begin}"))?);
    }
    let now = SystemClock.now();
    let about = page.conversations.iter().any(|conversation| conversation.topic_summary.is_some());
    let columns = if about { 5 } else { 4 };
    let headings = ["CONVERSATION", "TURNS", "STATUS", "CHANGED", "ABOUT"];
    let mut table = Table::new(headings.into_iter().take(columns));
    for conversation in &page.conversations {
        let cells = [
            conversation.conversation_id.to_string(),
            conversation.turn_count.to_string(),
            conversation.status.to_string(),
            ago(conversation.updated_at, now),
            conversation.topic_summary.as_ref().map(ToString::to_string).unwrap_or_default(),
        ];
        table.row(cells.into_iter().take(columns));
    }
    output.table(&table)?;
    if let Some(next) = page.next {
        note(&format!("There are more: --after {next}"));
    }
    Ok(())
}

async fn print_found(output: &mut Output, manager: &PersistenceManager, search: &Search) -> Result<()> {
    let List { user, limit, after } = &search.list;
    let most = limit.get();
    // One more than is shown tells whether there are more.
    let wanted = SearchConversations { query: search.query.clone(), after: *after, limit: most + 1 };
    let mut found = manager.conversation_service().search_conversations(user.id()?, wanted).await?;
    let is_more = found.len() > most as usize;
    found.truncate(most as usize);
    let next = found.last().filter(|_| is_more).map(|last| {
        let (updated_at, conversation_id) = (last.updated_at, last.conversation_id);
        ConversationCursor { updated_at, conversation_id }
    });
    if output.is_json() {
        return Ok(output.json(&json!({ "conversations": found, "next": next }))?);
    }
    if found.is_empty() {
        return Ok(output.line("No conversation has these words.")?);
    }
    let now = SystemClock.now();
    let mut table = Table::new(["CONVERSATION", "TURNS", "STATUS", "CHANGED", "ABOUT"]);
    for summary in &found {
        table.row([
            summary.conversation_id.to_string(),
            summary.turn_count.to_string(),
            summary.status.to_string(),
            ago(summary.updated_at, now),
            summary.topic_summary.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]);
    }
    output.table(&table)?;
    if let Some(next) = next {
        note(&format!("There are more: --after {next}"));
    }
    Ok(())
}

async fn show(
    output: &mut Output,
    manager: &PersistenceManager,
    user_id: UserId,
    conversation_id: ConversationId,
) -> Result<()> {
    let service = manager.conversation_service();
    let conversation = service.get_conversation(user_id, conversation_id).await?.ok_or_else(not_found)?;
    let mut turns = Vec::new();
    loop {
        let range = TurnRange::After(turns.last().map_or(0, |turn: &Turn| turn.turn_number));
        let page = service.get_turns(user_id, conversation_id, range, PageLimit::MAX).await?;
        let page = page.ok_or_else(not_found)?;
        let more = page.has_later();
        turns.extend(page.turns);
        if !more {
            break;
        }
    }
    if output.is_json() {
        let expiries = manager.retention().expiries(user_id, std::slice::from_ref(&conversation)).await?;
        let mut shown = serde_json::to_value(&conversation)?;
        for expiry in &expiries {
            expire(&mut shown, expiry);
        }
        return Ok(output.json(&json!({ "conversation": shown, "turns": turns }))?);
    }
    print_conversation(output, &conversation, &turns)
}

fn print_conversation(output: &mut Output, conversation: &Conversation, turns: &[Turn]) -> Result<()> {
    let now = SystemClock.now();
    let about = conversation.topic_summary.as_ref().map(|topic| text::one_line(topic));
    output.line(&output.styled(Style::Bold, &conversation.conversation_id.to_string()))?;
    output.line(&format!(
        "{}, {}, model {}, begun {}, changed {}{}",
        conversation.status,
        text::count(conversation.turn_count.into(), "turn"),
        text::one_line(&conversation.model_id),
        ago(conversation.created_at, now),
        ago(conversation.updated_at, now),
        about.map(|about| format!(", about {about}")).unwrap_or_default(),
    ))?;
    for turn in turns {
        let mark = if turn.is_interleaved() { ", interleaved" } else { "" };
        let heading = format!("#{} {}{mark}", turn.turn_number, ago(turn.completed_at, now));
        output.line("")?;
        output.line(&output.styled(Style::Dim, &heading))?;
        print_messages(output, &turn.input_messages)?;
        if let Some(answer) = &turn.output_message {
            print_messages(output, answer)?;
        }
    }
    Ok(())
}

fn print_messages(output: &mut Output, messages: &Payload) -> Result<()> {
    for (role, content) in message::dialogue(messages) {
        output.line(&format!("{}: {}", text::one_line(&role), text::lines(&content)))?;
    }
    Ok(())
}

/// Adds to a conversation that is shown to programs how long it is kept yet.
fn expire(shown: &mut Value, expiry: &Expiry) {
    if let Value::Object(shown) = shown {
        shown.insert("expires_at".to_owned(), json!(expiry.expires_at));
    }
}

fn not_found() -> anyhow::Error {
    RepositoryError::not_found(Entity::Conversation).into()
}
