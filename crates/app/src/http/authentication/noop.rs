//! `noop` and `noop-with-token`: the caller says who he is, and is believed.

use async_trait::async_trait;
use axum::extract::Query;
use http::request::Parts;
use http::{StatusCode, Uri};
use lcs_domain::UserId;

use super::bearer::bearer_token;
use super::user::{DEFAULT_USER, DEFAULT_USERNAME, identity};
use super::{Authenticator, Identity};
use crate::http::error::ApiError;

/// Believes the query parameter `user_id`.
#[derive(Debug)]
pub(super) struct Noop {
    /// Whether a token has to be there, whatever it is.
    pub(super) needs_token: bool,
}

#[async_trait]
impl Authenticator for Noop {
    async fn authenticate(&self, request: &Parts) -> Result<Identity, ApiError> {
        let token = match bearer_token(&request.headers) {
            Ok(token) => Some(token),
            Err(error) if self.needs_token => return Err(error),
            // Nobody looks at it here; it may be good for others that are asked on the caller's behalf.
            Err(_) => None,
        };
        Ok(identity(user(&request.uri)?, DEFAULT_USERNAME, true, token))
    }
}

/// The last `user_id` of the query, as in LCS.
fn user(uri: &Uri) -> Result<String, ApiError> {
    let refused = |why: &str| ApiError::text(StatusCode::BAD_REQUEST, format!("user_id {why}"));
    let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| refused("cannot be read: write the query as name=value&name=value"))?;
    let said = query.into_iter().rev().find_map(|(name, value)| (name == "user_id").then_some(value));
    match said {
        None => Ok(DEFAULT_USER.into()),
        Some(user) if user.is_empty() => Err(refused("cannot be empty")),
        // Bytes that are no UTF-8 have become this character: they would make one user of many.
        Some(user) if UserId::is_name(&user) && !user.contains(char::REPLACEMENT_CHARACTER) => Ok(user),
        Some(_) => Err(refused("must be at most 1024 bytes of UTF-8 text without control characters")),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::AUTHORIZATION;
    use secrecy::ExposeSecret;

    use super::*;

    async fn ask(needs_token: bool, uri: &str, authorization: Option<&str>) -> Result<Identity, ApiError> {
        let mut request = Request::get(uri);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Noop { needs_token }.authenticate(&parts).await
    }

    #[tokio::test]
    async fn the_caller_is_who_he_says_or_the_default_user() {
        for (uri, user) in [
            ("/v1/query", "00000000-0000-0000-0000-000"),
            ("/v1/query?limit=3", "00000000-0000-0000-0000-000"),
            ("/v1/query?user_id=alice", "alice"),
            ("/v1/query?limit=3&user_id=a%20b%2Bc", "a b+c"),
            ("/v1/query?user_id=%E5%B1%B1", "山"),
            ("/v1/query?user_id=alice&user_id=bob", "bob"),
        ] {
            let identity = ask(false, uri, None).await.unwrap();
            assert_eq!(
                (identity.user.as_str(), identity.username.as_str()),
                (user, "lightspeed-user"),
                "{uri}"
            );
            assert_eq!(identity.user_id, UserId::from_text(user));
            assert!(identity.skip_userid_check && identity.token.is_none());
        }
    }

    #[tokio::test]
    async fn a_user_that_can_be_none_is_refused() {
        let empty = ask(false, "/?user_id=", None).await.unwrap_err();
        assert_eq!(empty, ApiError::text(StatusCode::BAD_REQUEST, "user_id cannot be empty"));
        let long = format!("/?user_id={}", "x".repeat(1_025));
        for uri in ["/?user_id=a%00b", "/?user_id=a%0Ab", "/?user_id=%FF", "/?user_id=a%C2%85", long.as_str()]
        {
            let error = ask(false, uri, None).await.unwrap_err();
            assert_eq!(error.status(), StatusCode::BAD_REQUEST, "{uri}");
        }
        assert!(ask(false, &format!("/?user_id={}", "x".repeat(1_024)), None).await.is_ok());
    }

    #[tokio::test]
    async fn with_token_any_token_will_do_and_none_will_not() {
        let identity = ask(true, "/?user_id=alice", Some("Bearer anything")).await.unwrap();
        assert_eq!(identity.token.unwrap().expose_secret(), "anything");
        let error = ask(true, "/?user_id=alice", None).await.unwrap_err();
        assert_eq!(error, ApiError::unauthorized("No Authorization header found"));
        let error = ask(true, "/?user_id=alice", Some("Basic x")).await.unwrap_err();
        assert_eq!(error, ApiError::unauthorized("No token found in Authorization header"));
    }
}
