//! What is done: once, for the operator who was asked, from a form of this console.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode};
use lcs_domain::{
    AuditAction, AuditOutcome, ConversationId, HoldId, HoldTarget, NewAuditEvent, NewHold, RepositoryError,
    Text,
};

use super::super::service::Service;
use super::confirmation::{Action, Written, form, typed};
use super::conversation::named;
use super::failure::Failure;
use super::visitor::Visitor;
use super::{form_token, same_origin};
use crate::RestoreTarget;
use crate::archive::ArchiveError;
use crate::report::CONVERSATIONS;

/// What a form sends.
struct Sent(Vec<(String, String)>);

impl Sent {
    fn text(&self, name: &str) -> &str {
        self.0.iter().rev().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
    }
}

/// What came of it: done, with the word for it, or not understood.
enum Outcome {
    Done(&'static str),
    Problem(String),
}

pub(super) async fn act(
    visitor: Visitor,
    State(service): State<Service>,
    Path((id, action)): Path<(String, String)>,
    headers: HeaderMap,
    sent: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Failure> {
    let id = named(&visitor, &id)?;
    let action = Action::named(&action).ok_or_else(|| Failure::no_page(visitor.clone()))?;
    if !same_origin::is_same_origin(&headers) {
        service.deny(StatusCode::FORBIDDEN);
        let sentence = "Nothing was done: the browser says that another page sent this.";
        return Err(Failure::refused(&visitor, StatusCode::FORBIDDEN, "Not from the console", sentence));
    }
    let sent = sent.map(|Form(pairs)| Sent(pairs)).map_err(|rejection| {
        let sentence = "Nothing was done: the form did not come as a browser sends it.";
        Failure::refused(&visitor, rejection.status(), "The form cannot be read", sentence)
    })?;
    let purpose = [action.word(), &id.to_string(), sent.text("form")];
    let is_ours = form_token::holds(&visitor.key, purpose, sent.text("token"), service.clock().now());
    let form_id = sent.text("form").parse::<HoldId>().ok().filter(|_| is_ours);
    let Some(form_id) = form_id else {
        service.deny(StatusCode::FORBIDDEN);
        let sentence =
            "Nothing was done: forms are good for an hour. Go back to the conversation, and begin anew.";
        return Err(Failure::refused(&visitor, StatusCode::FORBIDDEN, "The form is too old", sentence));
    };
    let outcome = match action {
        Action::Hold => service.place_hold(&visitor, id, form_id, &sent).await,
        Action::Release => service.release_hold(&visitor, form_id).await,
        Action::Delete => service.delete_as_operator(&visitor, id, &sent).await,
        Action::Restore => service.restore_archived(&visitor, id).await,
    };
    match outcome.map_err(|error| Failure::of_repository(&visitor, &error))? {
        Outcome::Done(word) => Ok(Redirect::to(&format!("{CONVERSATIONS}/{id}?done={word}")).into_response()),
        Outcome::Problem(problem) => {
            let written = Written {
                form_id: Some(form_id),
                reason: sent.text("reason").to_owned(),
                scope: sent.text("scope").to_owned(),
                problem: Some(problem),
            };
            Ok(form(&service, &visitor, id, action, written).await?.into_response())
        }
    }
}

impl Service {
    async fn place_hold(
        &self,
        visitor: &Visitor,
        id: ConversationId,
        hold_id: HoldId,
        sent: &Sent,
    ) -> Result<Outcome, RepositoryError> {
        let reason = match Text::name(sent.text("reason"), "/reason") {
            Ok(reason) => reason,
            Err(RepositoryError::Invalid { reason, .. }) => {
                return Ok(Outcome::Problem(format!("Say why: {reason}.")));
            }
            Err(RepositoryError::TooLarge { limit_bytes, .. }) => {
                return Ok(Outcome::Problem(format!("Say why in fewer words: at most {limit_bytes} bytes.")));
            }
            Err(error) => return Err(error),
        };
        let target = if sent.text("scope") == "user" {
            let opened = self.repositories().browse().open_conversation(id).await?;
            let opened = opened.ok_or(RepositoryError::not_found(lcs_domain::Entity::Conversation))?;
            HoldTarget::User(opened.conversation.user_id)
        } else {
            HoldTarget::Conversation(id)
        };
        let new = NewHold { hold_id, target, reason, placed_by: visitor.actor.clone() };
        let hold = self.repositories().holds().place(new).await?;
        Ok(Outcome::Done(if hold.released_at.is_none() { "held" } else { "was-released" }))
    }

    async fn release_hold(&self, visitor: &Visitor, hold_id: HoldId) -> Result<Outcome, RepositoryError> {
        let released = self.repositories().holds().release(hold_id, visitor.actor.clone()).await?;
        released.ok_or(RepositoryError::not_found(lcs_domain::Entity::Hold))?;
        Ok(Outcome::Done("released"))
    }

    async fn restore_archived(
        &self,
        visitor: &Visitor,
        id: ConversationId,
    ) -> Result<Outcome, RepositoryError> {
        // Who asked for it: that it was done is recorded by what does it.
        let begun = NewAuditEvent {
            conversation_id: Some(id),
            outcome: AuditOutcome::Begun,
            ..NewAuditEvent::done(visitor.actor.clone(), AuditAction::Restore)
        };
        self.repositories().audit().record(begun).await?;
        let archives = self.manager().archives();
        let target = RestoreTarget::Conversation(id);
        let report = match archives.restore(target, archives.usual_keep(), |_| ()).await {
            Ok(report) => report,
            Err(ArchiveError::Store(error)) => return Err(error),
            Err(error) => return Ok(Outcome::Problem(format!("Not restored: {error}."))),
        };
        if report.restored > 0 {
            return Ok(Outcome::Done("restored"));
        }
        if report.present > 0 {
            return Ok(Outcome::Done("was-restored"));
        }
        let why = report.refused.into_iter().map(|refused| refused.reason).chain(report.damaged).next();
        let why = why.unwrap_or_else(|| "no archive holds it".to_owned());
        Ok(Outcome::Problem(format!("Not restored: {why}.")))
    }

    async fn delete_as_operator(
        &self,
        visitor: &Visitor,
        id: ConversationId,
        sent: &Sent,
    ) -> Result<Outcome, RepositoryError> {
        if !sent.text("typed").eq_ignore_ascii_case(&typed(id)) {
            return Ok(Outcome::Problem("These are not the last six digits of its id.".to_owned()));
        }
        let deleted = self.repositories().browse().delete_conversation(id, visitor.actor.clone()).await?;
        self.manager().agent_manager().forget(id);
        Ok(Outcome::Done(if deleted { "deleted" } else { "was-deleted" }))
    }
}
