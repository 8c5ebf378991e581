//! One conversation: what it is, what was said in it, how long it is kept, and what was done with it.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use lcs_domain::{
    AuditQuery, ConversationId, HoldTarget, OpenedConversation, PageLimit, Remains, RepositoryError, Turn,
    TurnPage, TurnRange,
};
use maud::{Markup, html};

use super::super::error::ApiError;
use super::super::parameter::Parameters;
use super::super::service::Service;
use super::failure::Failure;
use super::layout::Page;
use super::same_origin::is_from_elsewhere;
use super::visitor::{Asked, Visitor};
use super::{facts, message, trail};
use crate::report::{CONVERSATIONS, conversations_of};

/// How many turns a page shows.
const TURNS: u32 = 20;

/// The conversation that a path names; `None`: none can be called so.
pub(super) fn named(visitor: &Visitor, id: &str) -> Result<ConversationId, Failure> {
    id.parse().map_err(|_| Failure::no_page(visitor.clone()))
}

/// What may have been done just before: its word in the address, and what is told of it.
const DONE: [(&str, &str); 7] = [
    ("held", "The hold is placed."),
    ("released", "The hold is released."),
    ("deleted", "The conversation is deleted. Its user does not see it any more."),
    ("restored", "The conversation is restored."),
    ("was-restored", "It came back before: nothing was done."),
    ("was-deleted", "It was deleted or removed already: nothing was done."),
    ("was-released", "This hold was released already: it keeps nothing. Place another one."),
];

pub(super) async fn conversation(
    visitor: Visitor,
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Asked(mut parameters): Asked,
) -> Result<Page, Failure> {
    let id = named(&visitor, &id)?;
    let failed = |error: RepositoryError| Failure::of_repository(&visitor, &error);
    let range = range(&mut parameters).map_err(|error| Failure::of(Some(visitor.clone()), error))?;
    // What another page's link says was done is not told.
    let told = parameters.text("done").filter(|_| !is_from_elsewhere(&headers));
    let done = told.and_then(|word| DONE.iter().find(|(of, _)| *of == word));
    let notice = html! {
        @if let Some((_, told)) = done { p .notice role="status" tabindex="-1" autofocus { (told) } }
    };
    let repositories = service.repositories();
    let Some(opened) = repositories.browse().open_conversation(id).await.map_err(failed)? else {
        let left = repositories.browse().find_remains(id).await.map_err(failed)?;
        let left = left.ok_or_else(|| Failure::no_conversation(&visitor, id))?;
        return Ok(purged(&service, &visitor, &notice, &left).await);
    };
    service.reads(&visitor, opened.conversation.user_id, id).await.map_err(failed)?;
    let limit = PageLimit::new(TURNS).map_err(failed)?;
    let conversations = [opened.conversation.clone()];
    // One after the other: a page has one connection at a time.
    let turns = repositories.browse().read_turns(id, range, limit).await.map_err(failed)?;
    let turns = turns.ok_or_else(|| Failure::no_conversation(&visitor, id))?;
    let expiries = service.manager().retention().expiries(opened.conversation.user_id, &conversations).await;
    let expiry = expiries.map_err(failed)?.first().copied();
    let holds = repositories.holds().holding(HoldTarget::Conversation(id)).await;
    let events = repositories.audit().records(of_conversation(id)).await;
    let conversation = &opened.conversation;
    let title = conversation.topic_summary.as_deref().filter(|topic| !topic.trim().is_empty());
    let title = title.unwrap_or("Conversation without a topic");
    let content = html! {
        (notice)
        (heading(title, &opened))
        (facts::facts(&opened, expiry, service.clock()))
        (section("history", "History", &history(&opened, &turns)))
        (section("agent", "Agent state", &facts::agent_state(&opened)))
        (section("holds", "Legal holds", &facts::holds(id, holds)))
        (section("trail", "Audit trail", &trail::trail(id, events)))
    };
    Ok(Page::new(title, &visitor, content))
}

fn of_conversation(id: ConversationId) -> AuditQuery {
    AuditQuery { conversation_id: Some(id), is_look: true, ..AuditQuery::default() }
}

/// Which turns are asked for; the newest, where nothing is said.
fn range(parameters: &mut Parameters) -> Result<TurnRange, ApiError> {
    let (after, before) = (parameters.turn_number("after"), parameters.turn_number("before"));
    parameters.end()?;
    Ok(match (after, before) {
        (Some(after), _) => TurnRange::After(after),
        (None, Some(before)) => TurnRange::Before(before),
        (None, None) => TurnRange::Newest,
    })
}

fn heading(title: &str, opened: &OpenedConversation) -> Markup {
    let conversation = &opened.conversation;
    let (id, user) = (conversation.conversation_id, conversation.user_id);
    let is_deleted = conversation.status == lcs_domain::ConversationStatus::Deleted;
    html! {
        div .heading {
            h1 { (title) }
            p .quiet {
                code .id { (id) } " of " a href=(conversations_of(user)) { code .id { (user) } }
            }
        }
        ul .actions aria-label="Actions" {
            li { a .button href=(format!("{CONVERSATIONS}/{id}/hold")) { "Place a hold" } }
            @if !is_deleted { li { a .button .danger href=(format!("{CONVERSATIONS}/{id}/delete")) { "Delete" } } }
        }
    }
}

pub(super) fn section(place: &str, heading: &str, content: &Markup) -> Markup {
    let name = format!("{place}-heading");
    html! {
        section id=(place) aria-labelledby=(name) {
            h2 id=(name) { (heading) }
            (content)
        }
    }
}

fn history(opened: &OpenedConversation, page: &TurnPage) -> Markup {
    let path = format!("{CONVERSATIONS}/{}", opened.conversation.conversation_id);
    let (Some(first), Some(last)) = (page.turns.first(), page.turns.last()) else {
        return html! {
            div .card { p .quiet { @if page.turn_count == 0 { "Nothing was said yet." } @else { "There are no turns here." } } }
        };
    };
    let all = first.turn_number == 1 && last.turn_number == page.turn_count;
    let pages = html! {
        @if !all {
            nav .pages aria-label="Turns" {
                p .quiet { "Turns " (first.turn_number) " to " (last.turn_number) " of " (page.turn_count) }
                ul {
                    @if page.has_earlier() {
                        li { a href=(format!("{path}?after=0#history")) { "First" } }
                        li { a rel="prev" href=(format!("{path}?before={}#history", first.turn_number)) { "Earlier" } }
                    }
                    @if page.has_later() {
                        li { a rel="next" href=(format!("{path}?after={}#history", last.turn_number)) { "Later" } }
                        li { a href=(format!("{path}#history")) { "Newest" } }
                    }
                }
            }
        }
    };
    html! {
        (pages)
        ol .history start=(first.turn_number) {
            @for turn in &page.turns { (message::turn(turn, &opened.conversation, &path)) }
        }
        @if page.turns.len() > 3 { (pages) }
    }
}

/// A conversation whose rows were removed.
async fn purged(service: &Service, visitor: &Visitor, notice: &Markup, left: &Remains) -> Page {
    let id = left.conversation_id;
    let events = service.repositories().audit().records(of_conversation(id)).await;
    // Where this cannot be read, it is shown as what is purged is.
    let archive_id =
        service.manager().archives().tombstone(id).await.ok().flatten().and_then(|left| left.archive_id);
    let title = if archive_id.is_some() { "Archived conversation" } else { "Purged conversation" };
    let content = html! {
        (notice)
        div .heading {
            h1 { (title) }
            p .quiet { code .id { (id) } }
        }
        @if archive_id.is_some() {
            ul .actions aria-label="Actions" {
                li { a .button href=(format!("{CONVERSATIONS}/{id}/restore")) { "Restore" } }
            }
        }
        (facts::left(left, archive_id))
        (section("trail", "Audit trail", &trail::trail(id, events)))
    };
    Page::new(title, visitor, content)
}

/// A conversation that is there, once it is recorded that this visitor reads it.
async fn read(
    service: &Service,
    visitor: &Visitor,
    id: ConversationId,
) -> Result<OpenedConversation, Failure> {
    let failed = |error: RepositoryError| Failure::of_repository(visitor, &error);
    let opened = service.repositories().browse().open_conversation(id).await.map_err(failed)?;
    let opened = opened.ok_or_else(|| Failure::no_conversation(visitor, id))?;
    service.reads(visitor, opened.conversation.user_id, id).await.map_err(failed)?;
    Ok(opened)
}

/// A turn as it is stored.
pub(super) async fn raw_turn(
    visitor: Visitor,
    State(service): State<Service>,
    Path((id, number)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let id = named(&visitor, &id)?;
    let failed = |error: RepositoryError| Failure::of_repository(&visitor, &error);
    let number =
        number.parse::<u32>().ok().filter(|number| i32::try_from(*number).is_ok_and(|number| number > 0));
    let number = number.ok_or_else(|| Failure::no_page(visitor.clone()))?;
    read(&service, &visitor, id).await?;
    let limit = PageLimit::new(1).map_err(failed)?;
    let page = service
        .repositories()
        .browse()
        .read_turns(id, TurnRange::After(number - 1), limit)
        .await
        .map_err(failed)?;
    let turn: Option<Turn> = page.and_then(|page| page.turns.into_iter().next());
    let turn =
        turn.filter(|turn| turn.turn_number == number).ok_or_else(|| Failure::no_page(visitor.clone()))?;
    Ok(Json(turn).into_response())
}

/// A conversation's head as it is stored: its system prompt and metadata, whole.
pub(super) async fn raw_conversation(
    visitor: Visitor,
    State(service): State<Service>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let id = named(&visitor, &id)?;
    Ok(Json(read(&service, &visitor, id).await?.conversation).into_response())
}

/// An agent's state as it is stored.
pub(super) async fn raw_agent_state(
    visitor: Visitor,
    State(service): State<Service>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let id = named(&visitor, &id)?;
    let opened = read(&service, &visitor, id).await?;
    let state = opened.agent_state.ok_or_else(|| Failure::no_page(visitor.clone()))?;
    Ok(Json(state).into_response())
}
