//! What was done with a conversation, as the audit log has it.

use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AuditQuery, AuditRecord, ConversationId};
use maud::{Markup, html};

use super::facts::unread;
use crate::report::text::second;

/// How much of a detail is shown, in characters: a purge names all that it removed.
const DETAIL: usize = 200;

/// The newest events, the newest first.
pub(super) fn trail(id: ConversationId, events: RepositoryResult<Vec<AuditRecord>>) -> Markup {
    let events = match events {
        Ok(events) => events,
        Err(error) => return unread(&error, &format!("lcs-persistence audit list --conversation {id}")),
    };
    let is_full = events.len() >= AuditQuery::default().limit.get() as usize;
    html! {
        div .card {
            @if events.is_empty() {
                p .quiet { "Nothing is recorded of it." }
            } @else {
                table .stacked {
                    thead {
                        tr {
                            th scope="col" { "What" }
                            th scope="col" { "When" }
                            th scope="col" { "Who" }
                            th scope="col" { "Outcome" }
                            th scope="col" { "Detail" }
                            th scope="col" .number { "Row" }
                        }
                    }
                    tbody { @for event in events.iter().rev() { (row(event)) } }
                }
                @if is_full { p .quiet { "Older ones: " code { "lcs-persistence audit list --conversation " (id) " --after 0" } } }
            }
        }
    }
}

fn row(event: &AuditRecord) -> Markup {
    let detail = event.detail.as_json();
    let shown: String = detail.chars().take(DETAIL).collect();
    html! {
        tr {
            th scope="row" { (event.action.replace('_', " ")) }
            td data-label="When" { (second(event.at)) }
            td data-label="Who" { (event.actor) }
            td data-label="Outcome" { (event.outcome) }
            td data-label="Detail" {
                @if detail == "{}" { span .quiet { "–" } } @else { code { (shown) @if shown.len() < detail.len() { "…" } } }
            }
            td data-label="Row" .number { (event.sequence) }
        }
    }
}
