//! The `Idempotency-Key` header: the name under which a request may be sent again.

use http::HeaderMap;
use lcs_domain::request::MAX_IDEMPOTENCY_KEY_BYTES;
use utoipa::IntoParams;

use super::error::ApiError;
use super::problem::ValidationProblem;

/// The header, for the document.
#[derive(IntoParams)]
#[expect(dead_code, reason = "it describes the header, which is read as a text")]
#[into_params(parameter_in = Header)]
pub(super) struct IdempotencyHeader {
    /// The request's retry key: sent again with the same one, it is answered as the first time.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = r"^[!-~]+$")]
    idempotency_key: Option<String>,
}

const HEADER: &str = "idempotency-key";

/// The request's retry key, where it has one.
///
/// # Errors
/// 422 where it is empty, too long, no visible ASCII, or written twice.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| {
        (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_graphic())
    });
    if let (Some(key), None) = (key, values.next()) {
        return Ok(Some(key.to_owned()));
    }
    let reason = format!("write one key of 1 to {MAX_IDEMPOTENCY_KEY_BYTES} visible ASCII characters");
    let place = vec!["header".into(), "Idempotency-Key".into()];
    let shown = String::from_utf8_lossy(value.as_bytes()).into_owned();
    Err(ApiError::validation(vec![ValidationProblem::value_error(place, &reason, &shown.into())]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn one_visible_key_is_taken() {
        let mut headers = HeaderMap::new();
        assert_eq!(idempotency_key(&headers), Ok(None));
        headers.insert(HEADER, HeaderValue::from_static("order-7"));
        assert_eq!(idempotency_key(&headers), Ok(Some("order-7".to_owned())));
        headers.append(HEADER, HeaderValue::from_static("order-8"));
        assert!(idempotency_key(&headers).is_err());
        let long = "x".repeat(MAX_IDEMPOTENCY_KEY_BYTES + 1);
        for wrong in ["", " a b ", "\u{e9}", &long] {
            headers.insert(HEADER, HeaderValue::from_bytes(wrong.as_bytes()).unwrap());
            assert!(idempotency_key(&headers).is_err(), "{wrong:?}");
        }
    }
}
