//! Whether a browser sent a form from a page of this console.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether the request says that it comes from a page of the same origin. Browsers say so in `Sec-Fetch-Site` where
/// the connection is a safe one, and the page's origin in any case; no page can have them say anything else. A request
/// that says nothing is refused.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    let only = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value.to_str().unwrap_or_default()),
            (Some(_), Some(_)) => Some(""),
            (None, _) => None,
        }
    };
    if let Some(site) = only(&SEC_FETCH_SITE) {
        return site == "same-origin";
    }
    let (Some(origin), Some(host)) = (only(&ORIGIN), only(&HOST)) else { return false };
    let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    !host.is_empty() && rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host))
}

/// Whether a browser says that another site has it ask for this, other than by a link that somebody follows: such a
/// request is no look of the operator's. One that says nothing may be any.
pub(super) fn is_embedded_elsewhere(headers: &HeaderMap) -> bool {
    const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
    is_from_elsewhere(headers) && headers.get(SEC_FETCH_DEST).is_none_or(|dest| dest != "document")
}

/// Whether a browser says that it comes from another site's page.
pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get(SEC_FETCH_SITE);
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn another_sites_picture_is_no_look_and_a_link_is_one() {
        for (sent, is_embedded) in [
            (&[][..], false),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "image")], false),
            (&[("sec-fetch-site", "none"), ("sec-fetch-dest", "document")], false),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "document")], false),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "image")], true),
            (&[("sec-fetch-site", "same-site"), ("sec-fetch-dest", "iframe")], true),
            (&[("sec-fetch-site", "cross-site")], true),
        ] {
            let headers: HeaderMap = sent
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            assert_eq!(is_embedded_elsewhere(&headers), is_embedded, "{sent:?}");
        }
    }

    #[test]
    fn only_what_a_page_of_ours_sends_is_taken() {
        for (sent, is_ours) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8080")], true),
            (&[("origin", "https://lcs.example"), ("host", "LCS.example")], true),
            (&[], false),
            (&[("host", "lcs.example")], false),
            (&[("origin", "null"), ("host", "lcs.example")], false),
            (&[("origin", "http://evil.example"), ("host", "lcs.example")], false),
            (&[("origin", "http://lcs.example:1"), ("host", "lcs.example")], false),
            (&[("origin", "http://"), ("host", "")], false),
            (&[("sec-fetch-site", "same-site"), ("origin", "http://a"), ("host", "a")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://a"), ("host", "a")], false),
            (&[("sec-fetch-site", "none"), ("origin", "http://a"), ("host", "a")], false),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.append(*name, HeaderValue::from_static(value));
            }
            assert_eq!(is_same_origin(&headers), is_ours, "{sent:?}");
        }
    }
}
