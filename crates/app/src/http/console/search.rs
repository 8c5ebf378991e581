//! Looking for conversations: by the beginning of an id, by user, by a part of the topic.

use axum::extract::State;
use http::StatusCode;
use lcs_domain::{
    ConversationCursor, FindConversations, FoundConversation, FoundConversations, IdBeginning,
    RepositoryError, Text,
};
use maud::{Markup, html};

use super::super::parameter::Parameters;
use super::super::service::Service;
use super::failure::Failure;
use super::layout::Page;
use super::visitor::{Asked, Visitor};
use crate::known_user::known_user;
use crate::report::text::{count, minute};
use crate::report::{CONVERSATIONS, conversations_of};

/// What was written into the form.
#[derive(Default)]
struct Written {
    id: String,
    user: String,
    topic: String,
    after: Option<String>,
    /// What is wrong with it: which field, and what to write.
    problem: Option<(&'static str, String)>,
}

impl Written {
    fn of(parameters: &Parameters) -> Self {
        let text = |name| parameters.text(name).unwrap_or_default().trim().to_owned();
        let after = parameters.text("after").map(str::to_owned);
        Self { id: text("id"), user: text("user"), topic: text("topic"), after, problem: None }
    }

    /// What is to be found.
    fn find(&self) -> Result<FindConversations, (&'static str, RepositoryError)> {
        let (id, topic) = (Some(&self.id), Some(&self.topic));
        let id = id.filter(|text| !text.is_empty()).map(|text| text.parse::<IdBeginning>());
        let topic = topic.filter(|text| !text.is_empty()).map(|text| Text::summary(text.as_str(), "/topic"));
        let user = Some(&self.user).filter(|text| !text.is_empty()).map(|text| known_user(text));
        let after = self.after.as_ref().map(|text| text.parse::<ConversationCursor>());
        Ok(FindConversations {
            id: id.transpose().map_err(|error| ("id", error))?,
            user_id: user
                .transpose()
                .map_err(|reason| ("user", RepositoryError::invalid("/user", reason)))?,
            topic: topic.transpose().map_err(|error| ("topic", error))?,
            after: after.transpose().map_err(|error| ("after", error))?,
            ..FindConversations::default()
        })
    }

    /// The same search, behind this place.
    fn link(&self, after: Option<ConversationCursor>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("id", &self.id), ("user", &self.user), ("topic", &self.topic)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if let Some(after) = after {
            query.append_pair("after", &after.to_string());
        }
        format!("{CONVERSATIONS}?{}", query.finish())
    }

    fn is_empty(&self) -> bool {
        self.id.is_empty() && self.user.is_empty() && self.topic.is_empty()
    }
}

pub(super) async fn search(
    visitor: Visitor,
    State(service): State<Service>,
    Asked(parameters): Asked,
) -> Result<Page, Failure> {
    let mut written = Written::of(&parameters);
    let find = match written.find() {
        Ok(find) => find,
        Err((field, error)) => {
            written.problem = Some((field, problem(&error)));
            let page = page(&visitor, &written, None);
            return Ok(Page { status: StatusCode::UNPROCESSABLE_ENTITY, ..page });
        }
    };
    let whole_id = find.id.and_then(|id| id.whole());
    let found = service.repositories().browse().find_conversations(find).await;
    let found = match found {
        Ok(found) => found,
        Err(RepositoryError::Overloaded { .. }) => {
            let sentence = "There are too many conversations to look through in a few seconds, or the database is busy: look for an id or a user.";
            return Err(Failure::refused(
                &visitor,
                StatusCode::SERVICE_UNAVAILABLE,
                "The search took too long",
                sentence,
            ));
        }
        Err(error) => return Err(Failure::of_repository(&visitor, &error)),
    };
    if let Some(id) = whole_id.filter(|_| found.conversations.is_empty()) {
        let left = service.repositories().browse().find_remains(id).await;
        if left.map_err(|error| Failure::of_repository(&visitor, &error))?.is_some() {
            let link = html! {
                p { "This conversation was purged: " a href=(format!("{CONVERSATIONS}/{id}")) { "what is left of it" } "." }
            };
            return Ok(with_results(&visitor, &written, &link));
        }
    }
    Ok(page(&visitor, &written, Some(&found)))
}

/// What is wrong, without where in a document it stands.
fn problem(error: &RepositoryError) -> String {
    match error {
        RepositoryError::Invalid { reason, .. } => reason.clone(),
        RepositoryError::TooLarge { limit_bytes, .. } => {
            format!("no topic is that long: write at most {limit_bytes} bytes")
        }
        error => error.to_string(),
    }
}

fn page(visitor: &Visitor, written: &Written, found: Option<&FoundConversations>) -> Page {
    let results = found.map(|found| results(written, found));
    with_results(visitor, written, &results.unwrap_or_default())
}

fn with_results(visitor: &Visitor, written: &Written, results: &Markup) -> Page {
    let content = html! {
        h1 { "Conversations" }
        (form(written))
        (results)
    };
    Page { here: Some(CONVERSATIONS), ..Page::new("Conversations", visitor, content) }
}

fn form(written: &Written) -> Markup {
    let wrong = |field| written.problem.as_ref().filter(|(of, _)| *of == field).map(|(_, problem)| problem);
    let field = |name: &'static str, label: &str, hint: &str, value: &str| {
        let problem = wrong(name);
        let hint_id = format!("{name}-hint");
        html! {
            div .field {
                label for=(name) { (label) }
                input id=(name) name=(name) type="search" value=(value) autocomplete="off" spellcheck="false"
                    aria-describedby=(hint_id) aria-invalid=[problem.map(|_| "true")];
                p #(hint_id) .hint .error[problem.is_some()] { @if let Some(problem) = problem { (problem) } @else { (hint) } }
            }
        }
    };
    html! {
        form .card .search action=(CONVERSATIONS) method="get" role="search" aria-label="Conversations" {
            (field("id", "Id", "its first digits, or all", &written.id))
            (field("user", "User", "the name that signs in, or id: and the id", &written.user))
            (field("topic", "Topic", "a part of it", &written.topic))
            div .buttons {
                button type="submit" { "Search" }
                @if !written.is_empty() { a href=(CONVERSATIONS) { "Show all" } }
            }
            @if let Some(problem) = wrong("after") { p .error role="alert" { (problem) } }
        }
    }
}

fn results(written: &Written, found: &FoundConversations) -> Markup {
    let shown = found.conversations.len() as u64;
    let newest = written.after.is_none();
    let told = match (shown, found.next.is_some(), newest) {
        (0, _, true) if written.is_empty() => "No conversation is stored.".to_owned(),
        (0, _, true) => "No conversation was found.".to_owned(),
        (0, _, false) => "There are no more.".to_owned(),
        (1, false, true) => "1 conversation.".to_owned(),
        (shown, false, true) => format!("{} conversations, newest first.", count(shown)),
        (shown, true, true) => format!("The newest {}; there are more.", count(shown)),
        (shown, true, false) => format!("The next {}; there are more.", count(shown)),
        (shown, false, false) => format!("The last {}.", count(shown)),
    };
    html! {
        p .told role="status" { (told) }
        @if shown > 0 {
            div .card .wide {
                table .found {
                    thead {
                        tr {
                            th scope="col" { "Conversation" }
                            th scope="col" { "User" }
                            th scope="col" { "Status" }
                            th scope="col" .number { "Turns" }
                            th scope="col" .number { "Begun, UTC" }
                            th scope="col" .number { "Changed, UTC" }
                        }
                    }
                    tbody { @for conversation in &found.conversations { (row(conversation)) } }
                }
            }
        }
        @if found.next.is_some() || !newest {
            nav .pages aria-label="Pages" {
                ul {
                    @if !newest { li { a href=(written.link(None)) { "Newest" } } }
                    @if found.next.is_some() { li { a rel="next" href=(written.link(found.next)) { "Older" } } }
                }
            }
        }
    }
}

fn row(found: &FoundConversation) -> Markup {
    let id = found.conversation_id;
    let user = conversations_of(found.user_id);
    html! {
        tr {
            th scope="row" {
                a href=(format!("{CONVERSATIONS}/{id}")) {
                    @match found.topic_summary.as_deref().filter(|topic| !topic.trim().is_empty()) {
                        Some(topic) => (topic),
                        None => "without a topic",
                    }
                }
                code .id { (id) }
            }
            td data-label="User" { a href=(user) { code .id { (found.user_id) } } }
            td data-label="Status" { (status(found.status.as_str())) }
            td data-label="Turns" .number { (count(found.turn_count.into())) }
            td data-label="Begun, UTC" .number { (minute(found.created_at)) }
            td data-label="Changed, UTC" .number { (minute(found.updated_at)) }
        }
    }
}

/// A status, with a colour beside the word.
pub(super) fn status(word: &str) -> Markup {
    html! { span class=(format!("status {word}")) { (word) } }
}

#[cfg(test)]
mod tests {
    use lcs_domain::UserId;

    use super::*;

    #[test]
    fn a_user_is_looked_for_by_the_one_rule_and_never_guessed() {
        let ada = UserId::from_text("ada");
        let find = |user: &str| Written { user: user.into(), ..Written::default() }.find();
        for user in ["ada", "name:ada", &format!("id:{ada}")] {
            assert_eq!(find(user).unwrap().user_id, Some(ada), "{user}");
        }
        assert_eq!(find("").unwrap().user_id, None);
        let (field, error) = find(&ada.to_string()).unwrap_err();
        assert_eq!(field, "user");
        assert!(
            problem(&error).starts_with("this may be an id that was shown, or a name: write id:"),
            "{error}"
        );
    }

    #[test]
    fn a_search_is_written_again_as_it_was() {
        let written = Written { topic: "a&b=\" é".into(), user: "ada".into(), ..Written::default() };
        assert_eq!(written.link(None), "/admin/conversations?user=ada&topic=a%26b%3D%22+%C3%A9");
        let shown = form(&written).into_string();
        assert!(shown.contains("value=\"a&amp;b=&quot; é\""), "{shown}");
    }
}
