//! What is asked before anything is done: what will happen, in a form that does it.

use axum::extract::{Path, State};
use http::StatusCode;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Conversation, ConversationId, ConversationStatus, Hold, HoldId, HoldTarget, RepositoryError,
};
use maud::{Markup, html};

use super::super::service::Service;
use super::conversation::named;
use super::facts::on;
use super::failure::Failure;
use super::form_token;
use super::layout::Page;
use super::visitor::{Asked, Visitor};
use crate::report::CONVERSATIONS;
use crate::report::text::{count, second};

/// What can be done with a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Hold,
    Release,
    Delete,
    Restore,
}

impl Action {
    const ALL: [Self; 4] = [Self::Hold, Self::Release, Self::Delete, Self::Restore];

    /// The action of this word in an address.
    pub(super) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Delete => "delete",
            Self::Restore => "restore",
        }
    }
}

/// What was written into the form, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The hold that is placed or released, or the form's own id: sent twice, it is done once.
    pub(super) form_id: Option<HoldId>,
    pub(super) reason: String,
    pub(super) scope: String,
    pub(super) problem: Option<String>,
}

/// What has to be typed before a conversation is deleted.
pub(super) fn typed(id: ConversationId) -> String {
    let digits = id.as_uuid().simple().to_string();
    digits.chars().skip(26).collect()
}

pub(super) async fn ask(
    visitor: Visitor,
    State(service): State<Service>,
    Path((id, action)): Path<(String, String)>,
    Asked(parameters): Asked,
) -> Result<Page, Failure> {
    let id = named(&visitor, &id)?;
    let action = Action::named(&action).ok_or_else(|| Failure::no_page(visitor.clone()))?;
    let form_id = match action {
        Action::Release => {
            let hold = parameters.text("hold").and_then(|text| text.parse().ok());
            Some(hold.ok_or_else(|| Failure::no_page(visitor.clone()))?)
        }
        Action::Hold | Action::Delete | Action::Restore => Some(HoldId::generate()),
    };
    form(&service, &visitor, id, action, Written { form_id, ..Written::default() }).await
}

/// The page that asks.
pub(super) async fn form(
    service: &Service,
    visitor: &Visitor,
    id: ConversationId,
    action: Action,
    written: Written,
) -> Result<Page, Failure> {
    let failed = |error: RepositoryError| Failure::of_repository(visitor, &error);
    if action == Action::Restore {
        let left = service.manager().archives().tombstone(id).await.map_err(failed)?;
        let archive_id = left.and_then(|left| left.archive_id).ok_or_else(|| {
            let sentence = "It is stored, or was removed without being archived.";
            Failure::refused(visitor, StatusCode::NOT_FOUND, "The conversation is not archived", sentence)
        })?;
        let about = html! {
            dl .card .facts {
                div { dt { "Conversation" } dd { code .id { (id) } } }
                div { dt { "Archive" } dd { code .id { (archive_id) } } }
            }
        };
        let fields = restore(service);
        return Ok(asking(
            service,
            visitor,
            id,
            action,
            &written,
            "Restore the conversation",
            &about,
            &fields,
            "Restore it",
        ));
    }
    let opened = service.repositories().browse().open_conversation(id).await.map_err(failed)?;
    let conversation = opened.ok_or_else(|| Failure::no_conversation(visitor, id))?.conversation;
    let (title, fields, button) = match action {
        Action::Hold => ("Place a legal hold", place(&written), "Place the hold"),
        Action::Release => {
            let hold = written.form_id;
            let holds = service.repositories().holds().holding(HoldTarget::Conversation(id)).await;
            let hold = holds.map_err(failed)?.into_iter().find(|found| Some(found.hold_id) == hold);
            let hold = hold.ok_or_else(|| {
                let sentence = "It was released already, or is on something else.";
                Failure::refused(
                    visitor,
                    StatusCode::NOT_FOUND,
                    "This hold is not on the conversation",
                    sentence,
                )
            })?;
            ("Release the hold", release(&hold), "Release the hold")
        }
        Action::Delete if conversation.status == ConversationStatus::Deleted => {
            let sentence = "Nothing is left to be done.";
            return Err(Failure::refused(visitor, StatusCode::CONFLICT, "It is deleted already", sentence));
        }
        Action::Delete => {
            let will = what_a_delete_does(service, &conversation).await.map_err(failed)?;
            ("Delete the conversation", delete(id, will, &written), "Delete it")
        }
        Action::Restore => return Err(Failure::no_page(visitor.clone())),
    };
    Ok(asking(service, visitor, id, action, &written, title, &about(&conversation), &fields, button))
}

/// The page with the form that does it.
#[expect(clippy::too_many_arguments, reason = "the parts of one page")]
fn asking(
    service: &Service,
    visitor: &Visitor,
    id: ConversationId,
    action: Action,
    written: &Written,
    title: &str,
    about: &Markup,
    fields: &Markup,
    button: &str,
) -> Page {
    let form_id = written.form_id.unwrap_or_else(HoldId::generate).to_string();
    let purpose = [action.word(), &id.to_string(), &form_id];
    let token = form_token::issue(&visitor.key, purpose, service.clock().now());
    let path = format!("{CONVERSATIONS}/{id}");
    let class = if action == Action::Delete { "danger" } else { "primary" };
    let content = html! {
        h1 { (title) }
        (about)
        form .card .confirmation method="post" action=(format!("{path}/{}", action.word())) {
            @if let Some(problem) = &written.problem { p #problem .error role="alert" { (problem) } }
            (fields)
            input type="hidden" name="form" value=(form_id);
            input type="hidden" name="token" value=(token);
            div .buttons {
                button class=(class) type="submit" { (button) }
                a href=(path) { "Leave it as it is" }
            }
        }
    };
    let status = if written.problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Page { status, ..Page::new(title, visitor, content) }
}

/// Which conversation it is about.
fn about(conversation: &Conversation) -> Markup {
    html! {
        dl .card .facts {
            div { dt { "Conversation" } dd { code .id { (conversation.conversation_id) } } }
            @if let Some(topic) = &conversation.topic_summary { div { dt { "Topic" } dd { (**topic) } } }
            div { dt { "User" } dd { code .id { (conversation.user_id) } } }
            div { dt { "Turns" } dd { (count(conversation.turn_count.into())) } }
            div { dt { "Last changed" } dd { (second(conversation.updated_at)) } }
        }
    }
}

fn place(written: &Written) -> Markup {
    let invalid = written.problem.is_some();
    let on_all = written.scope == "user";
    html! {
        p { "What a hold is on is not purged, archived away or erased until the hold is released. Its user sees nothing of it." }
        div .field {
            label for="reason" { "Why: the name of the matter" }
            input id="reason" name="reason" type="text" required maxlength="512" autocomplete="off" autofocus
                value=(written.reason) aria-invalid=[invalid.then_some("true")] aria-describedby=[invalid.then_some("problem")];
            p .hint { "For operators only: it stands in no log." }
        }
        fieldset {
            legend { "What it is on" }
            label { input type="radio" name="scope" value="conversation" checked[!on_all]; " this conversation" }
            label { input type="radio" name="scope" value="user" checked[on_all]; " all of this user's conversations, those that are begun later too" }
        }
    }
}

fn release(hold: &Hold) -> Markup {
    html! {
        p {
            "The hold “" (*hold.reason) "” is on " (on(hold)) ", placed by " (hold.placed_by) " at " (second(hold.placed_at))
            ". Once it is released, what no other hold is on may be purged. It cannot be taken back: another one can be placed."
        }
    }
}

fn restore(service: &Service) -> Markup {
    let days = service.manager().archives().usual_keep().as_secs() / 86_400;
    html! {
        p {
            "It is read from the archive and stored again as it was, and its user sees it again. Retention leaves it alone for "
            (count(days)) " days at least. The archive is written anew without it, which takes a while where it is large."
        }
    }
}

/// What a delete will do, in a sentence.
async fn what_a_delete_does(
    service: &Service,
    conversation: &Conversation,
) -> RepositoryResult<&'static str> {
    let conversations = std::slice::from_ref(conversation);
    let expiries = service.manager().retention().expiries(conversation.user_id, conversations).await?;
    Ok(if expiries.first().is_some_and(|expiry| expiry.held) {
        "A legal hold is on it: its rows stay in the database until the hold is released."
    } else {
        "Its rows are removed by a purge, as those of what users delete themselves."
    })
}

fn delete(id: ConversationId, will: &str, written: &Written) -> Markup {
    let typed = typed(id);
    let invalid = written.problem.is_some();
    html! {
        p {
            "It is hidden from its user at once and for ever, as what users delete themselves. " (will)
            " What is held of it in a Llama Stack stays there."
        }
        div .field {
            label for="typed" { "To delete it, type the last six digits of its id: " b { (typed) } }
            input id="typed" name="typed" type="text" required maxlength="16" autocomplete="off" autocapitalize="none"
                spellcheck="false" autofocus aria-invalid=[invalid.then_some("true")]
                aria-describedby=[invalid.then_some("problem")];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_one_word_and_a_delete_is_typed() {
        for action in Action::ALL {
            assert_eq!(Action::named(action.word()), Some(action));
        }
        assert_eq!(Action::named("turns"), None);
        assert_eq!(typed("018f3a5c-7d1e-7b3a-9c55-0242ac12abcd".parse().unwrap()), "12abcd");
    }
}
