//! `trusted-proxy`: a proxy before the service has found out who asks, and says so in a header.
//!
//! The header is believed only from the proxies' own addresses: anyone else could write it too. LCS asks
//! Kubernetes whose token the proxy has; here the network says who the proxy is.

use std::net::SocketAddr;

use async_trait::async_trait;
use axum::extract::ConnectInfo;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use lcs_domain::UserId;

use super::user::identity;
use super::{Authenticator, Identity};
use crate::configuration::TrustedProxyConfig;
use crate::http::error::ApiError;

/// Believes the proxies that are configured.
#[derive(Debug)]
pub(super) struct TrustedProxy(pub(super) TrustedProxyConfig);

#[async_trait]
impl Authenticator for TrustedProxy {
    async fn authenticate(&self, request: &Parts) -> Result<Identity, ApiError> {
        let Self(config) = self;
        // An IPv4 peer of a socket that listens on IPv6 has an address of both.
        let peer = request
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|ConnectInfo(peer)| peer.ip().to_canonical());
        if !peer.is_some_and(|peer| config.trusted_proxies.iter().any(|proxies| proxies.contains(&peer))) {
            return Err(ApiError::unauthorized("The request does not come from a trusted proxy"));
        }
        let user = said(&request.headers, &config.user_header)?.ok_or_else(|| {
            ApiError::unauthorized(format!("Missing required header '{}'", config.user_header))
        })?;
        let username = match &config.username_header {
            Some(header) => said(&request.headers, header)?,
            None => None,
        };
        Ok(identity(user, username.unwrap_or(user), true, None))
    }
}

/// What the header says. Two of them are refused: one may be the caller's own, which the proxy let through.
fn said<'a>(headers: &'a HeaderMap, header: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).map(str::trim).unwrap_or_default();
    if values.next().is_some() || !UserId::is_name(text) {
        let cause = format!("The header '{header}' must be there once, with 1 to 1024 bytes of UTF-8 text");
        return Err(ApiError::unauthorized(cause));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    async fn ask(peer: Option<&str>, headers: &[(&str, &[u8])]) -> Result<Identity, ApiError> {
        let (mut parts, ()) = Request::get("/?user_id=mallory").body(()).unwrap().into_parts();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            parts.headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        if let Some(peer) = peer {
            parts.extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 4_711)));
        }
        let config = TrustedProxyConfig {
            trusted_proxies: vec!["10.0.0.7/32".parse().unwrap(), "fd00::/8".parse().unwrap()],
            user_header: HeaderName::from_static("x-user"),
            username_header: Some(HeaderName::from_static("x-name")),
        };
        TrustedProxy(config).authenticate(&parts).await
    }

    #[tokio::test]
    async fn a_proxy_says_who_asks() {
        for peer in ["10.0.0.7", "::ffff:10.0.0.7", "fd12::1"] {
            let identity = ask(Some(peer), &[("X-User", "山 alice".as_bytes())]).await.unwrap();
            assert_eq!(
                (identity.user.as_str(), identity.username.as_str()),
                ("山 alice", "山 alice"),
                "{peer}"
            );
            assert!(identity.skip_userid_check);
        }
        let identity = ask(Some("10.0.0.7"), &[("X-User", b"7"), ("X-Name", b"Alice")]).await.unwrap();
        assert_eq!((identity.user.as_str(), identity.username.as_str()), ("7", "Alice"));
    }

    #[tokio::test]
    async fn nobody_else_is_believed() {
        for peer in [None, Some("10.0.0.8"), Some("127.0.0.1"), Some("::1")] {
            let headers: [(&str, &[u8]); 2] = [("X-User", b"alice"), ("X-Forwarded-For", b"10.0.0.7")];
            let error = ask(peer, &headers).await.unwrap_err();
            assert_eq!(error.detail().cause, "The request does not come from a trusted proxy", "{peer:?}");
        }
    }

    #[tokio::test]
    async fn a_header_that_is_missing_doubled_or_no_user_is_refused() {
        let long = vec![b'x'; 1_025];
        for headers in [
            &[][..],
            &[("X-User", &b""[..])],
            &[("X-User", b"  ")],
            &[("X-User", b"\xff\xfe")],
            &[("X-User", b"a\tb")],
            &[("X-User", &long)],
            &[("X-User", b"alice"), ("x-user", b"mallory")],
            &[("X-User", b"alice"), ("X-Name", b"")],
        ] {
            let error = ask(Some("10.0.0.7"), headers).await.unwrap_err();
            assert_eq!(error.status(), http::StatusCode::UNAUTHORIZED, "{headers:?}");
        }
    }
}
