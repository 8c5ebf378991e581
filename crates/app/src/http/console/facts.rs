//! What a conversation is, how long it is kept, and why.

use std::sync::Arc;

use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    ArchiveId, Clock, ConversationId, ConversationStatus, Hold, OpenedConversation, Remains, RepositoryError,
};
use maud::{Markup, html};

use super::message::document;
use super::search::status;
use crate::report::CONVERSATIONS;
use crate::report::text::{count, second};
use crate::retention_service::Expiry;

fn fact(name: &str, value: impl maud::Render) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// An id.
fn id(text: impl std::fmt::Display) -> Markup {
    html! { code .id { (text.to_string()) } }
}

/// What it is.
pub(super) fn facts(opened: &OpenedConversation, expiry: Option<Expiry>, clock: &Arc<dyn Clock>) -> Markup {
    let conversation = &opened.conversation;
    let whole = format!("{CONVERSATIONS}/{}/stored", conversation.conversation_id);
    html! {
        dl .card .facts {
            (fact("Status", status(conversation.status.as_str())))
            (fact("Turns", count(conversation.turn_count.into())))
            (fact("Begun", second(conversation.created_at)))
            (fact("Last changed", second(conversation.updated_at)))
            (fact("Kept", kept(conversation.status, expiry, clock)))
            (fact("Model", &*conversation.model_id))
            (fact("Agent", id(conversation.agent_id)))
            (fact("State revision", count(conversation.state_revision)))
            @if let Some(external_id) = &conversation.external_id { (fact("Known elsewhere as", id(external_id))) }
        }
        div .folded {
            @if let Some(prompt) = &conversation.system_prompt {
                @let (shown, is_cut) = super::message::cut(prompt);
                details {
                    summary { "System prompt" }
                    pre tabindex="0" { (shown) @if is_cut { "…" } }
                    @if is_cut { p .quiet { "It is longer: " a href=(whole) { "all of it" } "." } }
                }
            }
            @if conversation.metadata.as_json() != "{}" { (document("Metadata", conversation.metadata.as_json(), &whole)) }
        }
    }
}

/// Until when it is kept.
fn kept(status: ConversationStatus, expiry: Option<Expiry>, clock: &Arc<dyn Clock>) -> Markup {
    let Some(expiry) = expiry else { return html! { "not known" } };
    html! {
        @if expiry.held {
            b { "as long as a hold is on it" }
            @if let Some(at) = expiry.unheld_until { span .quiet { ", else until " (second(at)) } }
        } @else if let Some(at) = expiry.expires_at {
            @if at <= clock.now() {
                "until the next purge: it is due since " (second(at))
            } @else if status == ConversationStatus::Deleted {
                "until " (second(at))
            } @else {
                "until " (second(at)) span .quiet { ", if nothing changes in it before" }
            }
        } @else {
            "for ever, as all of its user's"
        }
    }
}

/// Its agent's state.
pub(super) fn agent_state(opened: &OpenedConversation) -> Markup {
    let Some(state) = &opened.agent_state else {
        return html! { div .card { p .quiet { "None is stored." } } };
    };
    let whole = format!("{CONVERSATIONS}/{}/agent-state", opened.conversation.conversation_id);
    let behind = opened.conversation.turn_count.saturating_sub(state.through_turn);
    html! {
        div .card {
            dl .facts {
                (fact("Revision", count(state.revision)))
                (fact("Has seen", html! {
                    (count(state.through_turn.into())) " of " (count(opened.conversation.turn_count.into())) " turns"
                    @if behind > 0 { span .quiet { "; the others are shown to the agent when it is made again" } }
                }))
                (fact("First stored", second(state.created_at)))
                (fact("Last stored", second(state.updated_at)))
            }
            @if let Some(current) = &state.current_state { (document("What the agent remembers", current.as_json(), &whole)) }
            (document("What the agent is configured with", state.agent_config.as_json(), &whole))
            p .quiet { a href=(whole) { "As it is stored" } span .unseen { ": agent state" } }
        }
    }
}

/// The holds that are on it.
pub(super) fn holds(id: ConversationId, holds: RepositoryResult<Vec<Hold>>) -> Markup {
    let holds = match holds {
        Ok(holds) => holds,
        Err(error) => return unread(&error, &format!("lcs-persistence hold list --conversation {id}")),
    };
    html! {
        div .card {
            @if holds.is_empty() {
                p .quiet { "No hold is on it." }
            } @else {
                table .stacked {
                    thead {
                        tr {
                            th scope="col" { "Why" }
                            th scope="col" { "It is on" }
                            th scope="col" { "Placed by" }
                            th scope="col" { "When" }
                            th scope="col" { span .unseen { "Action" } }
                        }
                    }
                    tbody {
                        @for hold in &holds {
                            tr {
                                th scope="row" { (*hold.reason) }
                                td data-label="It is on" { (on(hold)) }
                                td data-label="Placed by" { (hold.placed_by) }
                                td data-label="When" { (second(hold.placed_at)) }
                                td {
                                    a .button href=(format!("{CONVERSATIONS}/{id}/release?hold={}", hold.hold_id)) {
                                        "Release" span .unseen { " the hold " (*hold.reason) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a hold is on.
pub(super) fn on(hold: &Hold) -> &'static str {
    if hold.conversation_id.is_some() { "this conversation" } else { "all of the user's conversations" }
}

/// What could not be read, and how to read it.
pub(super) fn unread(error: &RepositoryError, command: &str) -> Markup {
    html! {
        div .card {
            @match error {
                RepositoryError::Denied { .. } => {
                    p { "The service's database role may not read this. As the operator's role:" }
                    pre tabindex="0" { (command) }
                },
                error => p .error { "This could not be read: " (error) "." },
            }
        }
    }
}

/// What is left of a purged one.
pub(super) fn left(left: &Remains, archive_id: Option<ArchiveId>) -> Markup {
    let why = match left.reason.as_str() {
        "expired" => "it had been idle for too long",
        "deleted" => "it was deleted",
        "erased" => "it was erased",
        other => other,
    };
    html! {
        dl .card .facts {
            (fact("Status", status(if archive_id.is_some() { "archived away" } else { "purged" })))
            (fact("Removed", second(left.at)))
            (fact("Because", why))
            @if let Some(archive_id) = archive_id {
                (fact("Held by the archive", id(archive_id)))
            } @else {
                (fact("What is left", "its id and a hash of its user: nothing that was said"))
            }
        }
    }
}
