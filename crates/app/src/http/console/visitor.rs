//! Who looks at a page: an operator. Anybody else is asked for the key, on a page too.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use lcs_domain::Actor;

use super::super::error::ApiError;
use super::super::operator::{Operator, Stranger};
use super::super::parameter::Parameters;
use super::super::service::Service;
use super::failure::{self, Failure};
use super::same_origin::is_embedded_elsewhere;

/// How long a name is kept, in characters.
const MAX_CHARS: usize = 64;

/// An operator with a browser.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    /// Who the audit log names.
    pub(super) actor: Actor,
    /// The hash of the key that he is known by.
    pub(super) key: [u8; 32],
}

impl Visitor {
    /// All that is known is the key. Beside it stands the name that was written in the browser: anybody who has the key
    /// can write any.
    fn of(operator: &Operator) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-@".contains(c) { c } else { '?' };
        let name: String =
            operator.name.as_deref().unwrap_or_default().chars().take(MAX_CHARS).map(plain).collect();
        let account = if name.is_empty() { "key".to_owned() } else { format!("key ({name})") };
        Self { actor: Actor::operator(&account), key: operator.key }
    }
}

/// Somebody without a key.
pub(super) struct Unknown(Stranger);

impl Visitor {
    /// The operator whose browser asks. Whoever is none is counted.
    pub(super) fn known(headers: &HeaderMap, service: &Service) -> Result<Self, Unknown> {
        let operator = Operator::of(headers, service).map_err(|error| {
            // A browser comes without a key first, to be asked for it.
            if headers.contains_key(AUTHORIZATION) {
                service.deny(error.status());
            }
            Unknown(Stranger::from(error))
        })?;
        if is_embedded_elsewhere(headers) {
            // The browser sends the key by itself. Nothing is read in the operator's name by that.
            service.deny(StatusCode::FORBIDDEN);
            let cause = "another site's page asks for it";
            let error = ApiError::new(StatusCode::FORBIDDEN, "Not from the console", cause);
            return Err(Unknown(Stranger::from(error)));
        }
        Ok(Self::of(&operator))
    }
}

impl FromRequestParts<Service> for Visitor {
    type Rejection = Unknown;

    /// Who was let in at the gate. A page that stands before it has no visitor, and shows nothing.
    async fn from_request_parts(parts: &mut Parts, _: &Service) -> Result<Self, Unknown> {
        let known = parts.extensions.get::<Self>().cloned();
        known.ok_or_else(|| Unknown(Stranger::from(ApiError::unauthorized("Invalid operator key"))))
    }
}

impl IntoResponse for Unknown {
    fn into_response(self) -> Response {
        let page = failure::page(
            None,
            "This is for the operator",
            "Sign in with any name, and with the operator's key as the password: reload the page to be asked again.",
        );
        failure::with_page(self.0.into_response(), page)
    }
}

/// The query of a page: where it cannot be read, that is a page too.
pub(super) struct Asked(pub(super) Parameters);

impl FromRequestParts<Service> for Asked {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Failure> {
        let visitor = parts.extensions.get::<Visitor>().cloned();
        let parameters = Parameters::from_request_parts(parts, service).await;
        parameters.map(Self).map_err(|error: ApiError| Failure::of(visitor, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_comes_first_and_the_name_that_was_written_beside_it() {
        let named = |name: Option<&str>| {
            let operator = Operator { name: name.map(str::to_owned), key: [0; 32] };
            Visitor::of(&operator).actor.as_str().to_owned()
        };
        assert_eq!(named(None), "operator:key");
        assert_eq!(named(Some("")), "operator:key");
        assert_eq!(named(Some("ada")), "operator:key (ada)");
        assert_eq!(named(Some("a) <b>\n")), "operator:key (a???b??)");
        assert_eq!(named(Some(&"x".repeat(500))).len(), "operator:key ()".len() + MAX_CHARS);
    }
}
