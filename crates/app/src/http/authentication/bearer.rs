//! The token in a request's `Authorization` header.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::SecretString;

use crate::http::error::ApiError;

/// The token of `Authorization: Bearer <token>`.
///
/// # Errors
/// 401 where there is none, or more than one: which one counts could be another's choice than ours.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Result<SecretString, ApiError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| ApiError::unauthorized("No Authorization header found"))?;
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.trim().split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && values.next().is_none())
            .then(|| SecretString::from(token))
    });
    token.ok_or_else(|| ApiError::unauthorized("No token found in Authorization header"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use secrecy::ExposeSecret;

    use super::*;

    fn token(values: &[&'static str]) -> Result<String, ApiError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        bearer_token(&headers).map(|token| token.expose_secret().to_owned())
    }

    #[test]
    fn the_token_is_behind_the_scheme_in_any_case() {
        for value in ["Bearer x.y", "bearer x.y", "BEARER   x.y "] {
            assert_eq!(token(&[value]), Ok("x.y".into()), "{value}");
        }
    }

    #[test]
    fn a_missing_header_and_a_missing_token_are_said_as_lcs_says_them() {
        assert_eq!(token(&[]), Err(ApiError::unauthorized("No Authorization header found")));
        for values in
            [&["Bearer"][..], &["Bearer "], &["Basic eDp5"], &["x.y"], &[""], &["Bearer a", "Bearer b"]]
        {
            let expected = Err(ApiError::unauthorized("No token found in Authorization header"));
            assert_eq!(token(values), expected, "{values:?}");
        }
    }
}
