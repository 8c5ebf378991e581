//! The OpenAPI document, and a page that shows it.

use axum::Router;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use utoipa::ToSchema;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, Info, License, OpenApi, OpenApiBuilder, SecurityRequirement};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ErrorAnswer, TextErrorAnswer, ValidationErrorAnswer};
use super::refusal::{BadRequest, Invalid};
use super::service::Service;
use super::{
    agent_state, analytics, conversation, conversation_list, expiry, health, info, metrics, new_conversation,
    query, streaming_query, turn,
};

/// The name of the security scheme.
const BEARER: &str = "bearer";

/// The OpenAPI document of the HTTP API.
#[must_use]
pub fn openapi() -> OpenApi {
    documented().merge(of_operator()).into_openapi()
}

/// The endpoints of an operator: documented always, and there where one is configured.
pub(super) fn of_operator() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(analytics::analytics))
}

/// The endpoints with what the document says of them.
pub(super) fn documented() -> OpenApiRouter<Service> {
    let mut about = Info::new("lcs-persistence", env!("CARGO_PKG_VERSION"));
    about.description = Some(
        "Conversations, turns and agent states that survive: LCS's conversation API over one store."
            .to_owned(),
    );
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    about.license = Some(license);
    let mut components = Components::new();
    let scheme = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token or key, where the configured authentication module asks for one."));
    // What refusals are made of is named by no endpoint's body.
    register::<ErrorAnswer>(&mut components);
    register::<TextErrorAnswer>(&mut components);
    register::<ValidationErrorAnswer>(&mut components);
    register::<BadRequest>(&mut components);
    register::<Invalid>(&mut components);
    components.add_security_scheme(BEARER, SecurityScheme::Http(scheme.build()));
    let document = OpenApiBuilder::new()
        .info(about)
        .components(Some(components))
        // Either without credentials (noop) or with them: the configuration decides.
        .security(Some([SecurityRequirement::default(), SecurityRequirement::new(BEARER, [""; 0])]))
        .build();
    OpenApiRouter::with_openapi(document)
        .routes(routes!(query::query))
        .routes(routes!(streaming_query::streaming_query))
        .routes(routes!(streaming_query::interrupt))
        .routes(routes!(conversation_list::list_conversations, new_conversation::create_conversation))
        .routes(routes!(
            conversation::v1::get_conversation,
            conversation::v1::update_conversation,
            conversation::v1::delete_conversation
        ))
        .routes(routes!(conversation_list::list_conversations_v2))
        .routes(routes!(
            conversation::v2::get_conversation,
            conversation::v2::update_conversation,
            conversation::v2::delete_conversation
        ))
        .routes(routes!(expiry::get_expiry))
        .routes(routes!(turn::list_turns, turn::append_turn))
        .routes(routes!(agent_state::get_conversation_agent))
        .routes(routes!(
            agent_state::get_agent_state,
            agent_state::put_agent_state,
            agent_state::delete_agent_state
        ))
        .routes(routes!(info::models))
        .routes(routes!(info::info))
        .routes(routes!(info::authorized))
        .routes(routes!(health::liveness))
        .routes(routes!(health::readiness))
        .routes(routes!(metrics::metrics))
}

fn register<T: ToSchema>(components: &mut Components) {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    components.schemas.extend(schemas);
}

/// The document as it is served, and the page that shows it.
pub(super) fn pages(document: &OpenApi) -> Router<Service> {
    let json = document.to_pretty_json().unwrap_or_default();
    let page = move || {
        let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'";
        async move { ([(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy))], Html(PAGE)) }
    };
    Router::new()
        .route("/openapi.json", get(move || std::future::ready(served("application/json", json.clone()))))
        .route("/docs", get(page))
        .route("/docs/page.js", get(async || served("text/javascript; charset=utf-8", SCRIPT.to_owned())))
        .route("/docs/page.css", get(async || served("text/css; charset=utf-8", STYLE.to_owned())))
}

const PAGE: &str = include_str!("docs/page.html");
const SCRIPT: &str = include_str!("docs/page.js");
const STYLE: &str = include_str!("docs/page.css");

fn served(content_type: &'static str, body: String) -> impl IntoResponse {
    ([(CONTENT_TYPE, HeaderValue::from_static(content_type))], body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_keeps_to_its_policy() {
        assert!(!PAGE.contains("style=") && !PAGE.contains("<style") && !PAGE.contains(" on"), "{PAGE}");
        for script in PAGE.split("<script").skip(1) {
            assert!(script.starts_with(" src=\"docs/page.js\" defer></script>"), "{script}");
        }
        for text in [PAGE, SCRIPT, STYLE] {
            assert!(!text.contains("http://") && !text.contains("https://"), "it asks another server");
        }
        for dangerous in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
        {
            assert!(!SCRIPT.contains(dangerous), "{dangerous}");
        }
        // What the script looks for is there.
        for id in SCRIPT.split("getElementById(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(PAGE.contains(&format!("id=\"{id}\"")), "{id}");
        }
    }
}
