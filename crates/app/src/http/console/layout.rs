//! What all pages have: the way to the others, and what a browser may do with them.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use http::{HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::visitor::Visitor;
use crate::report;

/// The report's style, and what the console has beside it.
static STYLE: LazyLock<String> = LazyLock::new(|| format!("{}{}", report::STYLE, include_str!("style.css")));

/// Styles by their hash, forms to here, and nothing else.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_str()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).ok()
});

/// A page of the console.
pub(super) struct Page {
    pub(super) status: StatusCode,
    /// What it is about, for the browser's title.
    pub(super) title: String,
    /// Who looks at it; `None`: somebody who may see nothing.
    pub(super) visitor: Option<Visitor>,
    /// The link that leads here, if one does.
    pub(super) here: Option<&'static str>,
    pub(super) content: Markup,
}

impl Page {
    /// A page that shows `content` to `visitor`.
    pub(super) fn new(title: impl Into<String>, visitor: &Visitor, content: Markup) -> Self {
        let (title, visitor) = (title.into(), Some(visitor.clone()));
        Self { status: StatusCode::OK, title, visitor, here: None, content }
    }

    fn html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · lcs-persistence" }
                    style { (PreEscaped(STYLE.as_str())) }
                }
                body .console {
                    a .skip href="#content" { "To the content" }
                    @if let Some(visitor) = &self.visitor {
                        div .band {
                            (report::console_navigation(self.here))
                            p .quiet { (visitor.actor) }
                        }
                    }
                    main #content tabindex="-1" { (self.content) }
                    footer { p { "lcs-persistence " (env!("CARGO_PKG_VERSION")) } }
                }
            }
        };
        page.into_string()
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = (self.status, Html(self.html())).into_response();
        let headers = response.headers_mut();
        if let Some(policy) = POLICY.clone() {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        // Forms come from here with their origin, which browsers leave out where no referrer may be told at all. Other
        // places are told nothing.
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_asks_nobody_runs_nothing_and_keeps_to_its_policy() {
        let visitor = Visitor { actor: lcs_domain::Actor::operator("<b>"), key: [0; 32] };
        let page = Page::new("<title>", &visitor, html! { p { "<script>" } });
        let html = page.html();
        let style = html.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        let hash = STANDARD.encode(Sha256::digest(style));
        assert!(POLICY.as_ref().unwrap().to_str().unwrap().contains(&hash));
        for forbidden in
            ["<script", "http://", "https://", " style=", "@import", "url(", "src=", "<b>", "<title><"]
        {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
    }
}
