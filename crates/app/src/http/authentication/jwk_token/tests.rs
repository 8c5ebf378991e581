//! Tokens as they come: good ones, and what those who have no key try.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::configuration::JwkSource;

/// Who makes tokens: a private key with the name and the algorithm that it is published with.
struct Issuer {
    id: String,
    algorithm: Algorithm,
    private: EncodingKey,
}

impl Issuer {
    fn new(id: &str, algorithm: Algorithm) -> Self {
        let pem = |kind| KeyPair::generate_for(kind).unwrap().serialize_pem().into_bytes();
        let private = match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(&pem(&PKCS_ECDSA_P256_SHA256)),
            Algorithm::ES384 => EncodingKey::from_ec_pem(&pem(&PKCS_ECDSA_P384_SHA384)),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(&openssl(&["genpkey", "-algorithm", "ed25519"])),
            _ => EncodingKey::from_rsa_pem(&rsa(2_048)),
        };
        Self { id: id.into(), algorithm, private: private.unwrap() }
    }

    fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        serde_json::to_value(jwk).unwrap()
    }

    fn header(&self) -> Header {
        Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) }
    }

    fn token(&self, claims: &Value) -> String {
        encode(&self.header(), claims, &self.private).unwrap()
    }
}

fn rsa(bits: u32) -> Vec<u8> {
    openssl(&["genrsa", &bits.to_string()])
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let made = Command::new("openssl").args(arguments).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    made.stdout
}

fn claims() -> Value {
    let now = get_current_timestamp();
    json!({"user_id": "alice", "username": "Alice", "iss": "https://issuer", "aud": ["lcs", "other"], "exp": now + 600})
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn config(source: JwkSource) -> JwkTokenConfig {
    JwkTokenConfig {
        source,
        issuer: Some("https://issuer".into()),
        audience: Some("lcs".into()),
        user_id_claim: "user_id".into(),
        username_claim: "username".into(),
    }
}

/// A module that knows the keys of `set`.
fn knowing(set: &[Value]) -> JwkToken {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    fs::write(&file, json!({"keys": set}).to_string()).unwrap();
    JwkToken::new(&config(JwkSource::File(file))).unwrap()
}

async fn ask(module: &JwkToken, token: &str) -> Result<Identity, ApiError> {
    let (parts, ()) =
        Request::get("/").header(AUTHORIZATION, format!("Bearer {token}")).body(()).unwrap().into_parts();
    module.authenticate(&parts).await
}

/// Why the token is refused; a 401 that does not show it.
async fn refused(module: &JwkToken, token: &str) -> String {
    let error = ask(module, token).await.expect_err(token);
    assert_eq!(error.status(), StatusCode::UNAUTHORIZED, "{error:?}");
    let cause = error.detail().cause;
    let shown = token.split('.').find(|part| part.len() > 20 && cause.contains(part));
    assert_eq!(shown, None, "{cause}");
    cause
}

/// A token of these parts with the signature of another.
fn forged(header: &Value, claims: &Value, signature: &str) -> String {
    let encoded = |part: &Value| base64_url(part.to_string().as_bytes());
    format!("{}.{}.{signature}", encoded(header), encoded(claims))
}

fn base64_url(bytes: &[u8]) -> String {
    // The encoding of a JWK's secret is the one of a token's parts.
    let jwk = Jwk::from_encoding_key(&EncodingKey::from_secret(bytes), Algorithm::HS256).unwrap();
    serde_json::to_value(jwk).unwrap()["k"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_signed_token_says_who_asks_with_any_kind_of_key() {
    use Algorithm::{ES256, ES384, EdDSA, PS512, RS256};

    let issuers: Vec<Issuer> = [ES256, ES384, EdDSA, RS256, PS512]
        .into_iter()
        .map(|algorithm| Issuer::new(&format!("{algorithm:?}"), algorithm))
        .collect();
    let module = knowing(&issuers.iter().map(Issuer::jwk).collect::<Vec<_>>());
    for issuer in &issuers {
        let token = issuer.token(&claims());
        let identity = ask(&module, &token).await.unwrap();
        assert_eq!((identity.user.as_str(), identity.username.as_str()), ("alice", "Alice"), "{}", issuer.id);
        assert!(!identity.skip_userid_check);
        assert_eq!(identity.token.unwrap().expose_secret(), token);
        // One of its kind needs no name.
        let nameless = encode(&Header::new(issuer.algorithm), &claims(), &issuer.private).unwrap();
        assert!(ask(&module, &nameless).await.is_ok(), "{}", issuer.id);
    }
}

#[tokio::test]
async fn each_claim_is_checked() {
    let issuer = Issuer::new("a", Algorithm::ES256);
    let module = knowing(&[issuer.jwk()]);
    let now = get_current_timestamp();
    for (claims, cause) in [
        (with("exp", now - 60), "Token has expired"),
        (without("exp"), "Token missing claim: exp"),
        (with("exp", "never"), "Token missing claim: exp"),
        (with("exp", -1), "Token missing claim: exp"),
        (with("nbf", now + 60), "Token is not valid yet"),
        (with("nbf", "soon"), "Token has invalid claim: nbf"),
        (with("iss", "https://other"), "Token has another issuer"),
        (with("iss", json!({"a": 1})), "Token missing claim: iss"),
        (without("iss"), "Token missing claim: iss"),
        (with("aud", "other"), "Token is for another audience"),
        (with("aud", json!([])), "Token is for another audience"),
        (with("aud", 7), "Token missing claim: aud"),
        (without("aud"), "Token missing claim: aud"),
        (without("user_id"), "Token missing claim: user_id"),
        (with("user_id", ""), "Token has invalid claim: user_id"),
        (with("user_id", Value::Null), "Token has invalid claim: user_id"),
        (with("user_id", true), "Token has invalid claim: user_id"),
        (with("user_id", 1.5), "Token has invalid claim: user_id"),
        (with("user_id", json!(["alice"])), "Token has invalid claim: user_id"),
        (with("user_id", "a\u{0}b"), "Token has invalid claim: user_id"),
        (with("user_id", "x".repeat(1_025)), "Token has invalid claim: user_id"),
        (with("username", 1.5), "Token has invalid claim: username"),
    ] {
        assert_eq!(refused(&module, &issuer.token(&claims)).await, cause, "{claims}");
    }
    for (claims, user, username) in [
        (with("user_id", 4_711), "4711", "Alice"),
        (without("username"), "alice", "alice"),
        (with("exp", now - 20), "alice", "Alice"),
        (with("nbf", now + 20), "alice", "Alice"),
        (with("aud", "lcs"), "alice", "Alice"),
    ] {
        let identity = ask(&module, &issuer.token(&claims)).await.unwrap();
        assert_eq!((identity.user.as_str(), identity.username.as_str()), (user, username), "{claims}");
    }
}

#[tokio::test]
async fn what_is_not_configured_is_not_asked_for() {
    let issuer = Issuer::new("a", Algorithm::ES256);
    let mut module = knowing(&[issuer.jwk()]);
    (module.config.issuer, module.config.audience) = (None, None);
    for claims in [claims(), without("iss"), without("aud"), with("iss", "https://other"), with("aud", 7)] {
        assert!(ask(&module, &issuer.token(&claims)).await.is_ok(), "{claims}");
    }
}

#[tokio::test]
async fn what_nobody_signed_is_refused() {
    let issuer = Issuer::new("a", Algorithm::RS256);
    let module = knowing(&[issuer.jwk()]);
    let token = issuer.token(&claims());
    let parts: Vec<&str> = token.split('.').collect();
    for algorithm in ["none", "None", "NONE", "nOnE"] {
        for signature in ["", parts[2]] {
            let token = forged(&json!({"alg": algorithm, "kid": "a"}), &claims(), signature);
            assert_eq!(refused(&module, &token).await, "Token could not be decoded", "{algorithm}");
        }
    }
    let other_claims = forged(&json!({"alg": "RS256", "kid": "a"}), &with("user_id", "mallory"), parts[2]);
    assert_eq!(refused(&module, &other_claims).await, "Invalid token signature");
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    assert_eq!(refused(&module, &unsigned).await, "Invalid token signature");
    for token in ["x", "x.y", "..", "a.b.c", "a.b.c.d", &parts[..2].join(".")] {
        assert!(refused(&module, token).await.contains("Token"), "{token}");
    }
    let long = format!("{token}{}", "A".repeat(16_384));
    assert_eq!(refused(&module, &long).await, "Token is longer than 16384 bytes");
    let critical = forged(&json!({"alg": "RS256", "kid": "a", "crit": ["b64"]}), &claims(), parts[2]);
    assert!(refused(&module, &critical).await.contains("critical"));
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let pem = rsa(2_048);
    let issuer = Issuer {
        id: "a".into(),
        algorithm: Algorithm::RS256,
        private: EncodingKey::from_rsa_pem(&pem).unwrap(),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("private.pem");
    fs::write(&file, &pem).unwrap();
    let public = Command::new("openssl").args(["rsa", "-pubout", "-in"]).arg(&file).output().unwrap().stdout;
    assert!(public.starts_with(b"-----BEGIN PUBLIC KEY-----"));

    // A secret that is published is none, even where the set says that it is for signatures.
    let secret = json!({"kty": "oct", "kid": "s", "alg": "HS256", "use": "sig", "k": base64_url(b"secret")});
    let module = knowing(&[issuer.jwk(), secret]);
    assert!(ask(&module, &issuer.token(&claims())).await.is_ok());
    let modulus = issuer.jwk()["n"].as_str().unwrap().to_owned();
    for (id, algorithm, secret) in [
        (Some("a"), Algorithm::HS256, public.as_slice()),
        (Some("a"), Algorithm::HS512, public.as_slice()),
        (Some("a"), Algorithm::HS256, modulus.as_bytes()),
        (None, Algorithm::HS256, public.as_slice()),
        (Some("s"), Algorithm::HS256, b"secret"),
        (None, Algorithm::HS256, b"secret"),
    ] {
        let header = Header { kid: id.map(Into::into), ..Header::new(algorithm) };
        let token = encode(&header, &claims(), &EncodingKey::from_secret(secret)).unwrap();
        let cause = refused(&module, &token).await;
        let expected = if id == Some("a") {
            "Token has another algorithm than its key"
        } else {
            "Token signed by unknown key"
        };
        assert_eq!(cause, expected, "{id:?} {algorithm:?}");
    }
}

#[tokio::test]
async fn a_token_is_checked_with_the_key_that_it_names() {
    let (a, b, rsa) = (
        Issuer::new("a", Algorithm::ES256),
        Issuer::new("b", Algorithm::ES256),
        Issuer::new("r", Algorithm::RS256),
    );
    let module = knowing(&[a.jwk(), b.jwk(), rsa.jwk()]);
    let swapped = encode(&b.header(), &claims(), &a.private).unwrap();
    assert_eq!(refused(&module, &swapped).await, "Invalid token signature");
    let nameless = encode(&Header::new(Algorithm::ES256), &claims(), &a.private).unwrap();
    assert_eq!(refused(&module, &nameless).await, "Token does not say which of several keys signed it");
    // The set says RS256 of that key.
    let other = Header { kid: Some("r".into()), ..Header::new(Algorithm::PS256) };
    let other = encode(&other, &claims(), &rsa.private).unwrap();
    assert_eq!(refused(&module, &other).await, "Token has another algorithm than its key");
    let stranger = Issuer::new("stranger", Algorithm::ES256);
    assert_eq!(refused(&module, &stranger.token(&claims())).await, "Token signed by unknown key");
    // A key that the token itself brings is not looked at.
    let mut header = stranger.header();
    header.jwk = Some(serde_json::from_value(stranger.jwk()).unwrap());
    header.kid = Some("a".into());
    let own = encode(&header, &claims(), &stranger.private).unwrap();
    assert_eq!(refused(&module, &own).await, "Invalid token signature");
}

#[test]
fn a_set_without_a_key_that_can_be_used_is_refused_at_start() {
    let strong = Issuer::new("a", Algorithm::ES256).jwk();
    let mut for_encryption = strong.clone();
    for_encryption["use"] = "enc".into();
    let mut of_other_kind = strong;
    of_other_kind["alg"] = "RS256".into();
    let weak = Issuer {
        id: "w".into(),
        algorithm: Algorithm::RS256,
        private: EncodingKey::from_rsa_pem(&rsa(1_024)).unwrap(),
    };
    for (text, why) in [
        ("", "it is no JWK set"),
        ("{}", "it is no JWK set"),
        (r#"{"keys": 1}"#, "it is no JWK set"),
        (r#"{"keys": []}"#, "it holds no public key for signatures"),
        (r#"{"keys": [1, null, {"kty": "oct", "k": "AAAA"}]}"#, "it holds no public key for signatures"),
        (
            &json!({"keys": [for_encryption, of_other_kind]}).to_string(),
            "it holds no public key for signatures",
        ),
        (&json!({"keys": [weak.jwk()]}).to_string(), "it holds no public key for signatures"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        fs::write(&file, text).unwrap();
        let error = JwkToken::new(&config(JwkSource::File(file))).unwrap_err();
        assert!(error.contains("jwk_file") && error.ends_with(why), "{text}: {error}");
    }
    let error = JwkToken::new(&config(JwkSource::File("/nowhere/keys.json".into()))).unwrap_err();
    assert!(error.contains("/nowhere/keys.json cannot be used: it cannot be read"), "{error}");
}

/// A key server on loopback: it answers with what `keys` holds, or with a 500 where that is nothing.
struct KeyServer {
    url: reqwest::Url,
    keys: Arc<std::sync::Mutex<Option<Vec<Value>>>>,
    asked: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl KeyServer {
    async fn start(keys: Option<Vec<Value>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap()).parse().unwrap();
        let keys = Arc::new(std::sync::Mutex::new(keys));
        let asked = Arc::new(AtomicUsize::new(0));
        let (published, count) = (Arc::clone(&keys), Arc::clone(&asked));
        let answer = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let keys = published.lock().unwrap().clone();
            async move {
                keys.map(|keys| axum::Json(json!({"keys": keys}))).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
        };
        let router = axum::Router::new().route("/jwks.json", axum::routing::get(answer));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, keys, asked, task }
    }

    fn publish(&self, keys: Option<Vec<Value>>) {
        *self.keys.lock().unwrap() = keys;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn module(&self) -> JwkToken {
        JwkToken::new(&config(JwkSource::Url(self.url.clone()))).unwrap()
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Lets time pass for the module, without waiting for it.
async fn pass(time: std::time::Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn keys_behind_a_url_are_read_once_for_all_who_need_them() {
    let issuer = Issuer::new("a", Algorithm::ES256);
    let server = KeyServer::start(Some(vec![issuer.jwk()])).await;
    let module = server.module();
    assert_eq!(server.asked(), 0);
    let token = issuer.token(&claims());
    let answers = futures_util::future::join_all((0..20).map(|_| ask(&module, &token))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn rotated_keys_are_found_and_unknown_ones_ask_no_more_than_now_and_then() {
    let (old, new) = (Issuer::new("old", Algorithm::ES256), Issuer::new("new", Algorithm::ES256));
    let server = KeyServer::start(Some(vec![old.jwk()])).await;
    let module = server.module();
    assert!(ask(&module, &old.token(&claims())).await.is_ok());

    // Within the pause nobody is asked, however many tokens there are with keys that are not known.
    for _ in 0..20 {
        assert_eq!(refused(&module, &new.token(&claims())).await, "Token signed by unknown key");
    }
    assert_eq!(server.asked(), 1);

    server.publish(Some(vec![new.jwk()]));
    pass(key_store::PAUSE).await;
    let token = new.token(&claims());
    let answers = futures_util::future::join_all((0..20).map(|_| ask(&module, &token))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(server.asked(), 2);
    // What is no longer published is no longer believed.
    assert_eq!(refused(&module, &old.token(&claims())).await, "Token signed by unknown key");
}

#[tokio::test]
async fn a_key_that_is_withdrawn_is_not_believed_for_ever() {
    let (a, b) = (Issuer::new("a", Algorithm::ES256), Issuer::new("b", Algorithm::ES256));
    let server = KeyServer::start(Some(vec![a.jwk(), b.jwk()])).await;
    let module = server.module();
    assert!(ask(&module, &a.token(&claims())).await.is_ok());
    server.publish(Some(vec![b.jwk()]));
    pass(key_store::MAX_AGE).await;
    assert_eq!(refused(&module, &a.token(&claims())).await, "Token signed by unknown key");
}

#[tokio::test]
async fn a_key_server_that_is_down_is_not_the_callers_fault() {
    let issuer = Issuer::new("a", Algorithm::ES256);
    let server = KeyServer::start(None).await;
    let module = server.module();
    let token = issuer.token(&claims());
    for _ in 0..20 {
        let error = ask(&module, &token).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(server.asked(), 1);

    server.publish(Some(vec![issuer.jwk()]));
    pass(key_store::PAUSE).await;
    assert!(ask(&module, &token).await.is_ok());

    // Known keys outlive their server; of one that is not known nothing can be said.
    server.publish(None);
    pass(key_store::MAX_AGE).await;
    assert!(ask(&module, &token).await.is_ok());
    let stranger = Issuer::new("stranger", Algorithm::ES256).token(&claims());
    assert_eq!(ask(&module, &stranger).await.unwrap_err().status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(server);
    pass(key_store::MAX_AGE).await;
    assert!(ask(&module, &token).await.is_ok());
}

#[tokio::test]
async fn a_key_server_that_answers_anything_else_is_none() {
    let redirect = || async { axum::response::Redirect::temporary("/jwks.json") };
    let endless = || async { "x".repeat(2 * 1_048_576) };
    let issuer = Issuer::new("a", Algorithm::ES256);
    let keys = json!({"keys": [issuer.jwk()]});
    let router = axum::Router::new()
        .route("/jwks.json", axum::routing::get(|| async { axum::Json(keys) }))
        .route("/redirect", axum::routing::get(redirect))
        .route("/endless", axum::routing::get(endless))
        .route("/text", axum::routing::get(|| async { "not json" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    for (path, status) in [
        ("jwks.json", None),
        ("redirect", Some(StatusCode::SERVICE_UNAVAILABLE)),
        ("endless", Some(StatusCode::SERVICE_UNAVAILABLE)),
        ("text", Some(StatusCode::SERVICE_UNAVAILABLE)),
    ] {
        let url = format!("http://{address}/{path}").parse().unwrap();
        let module = JwkToken::new(&config(JwkSource::Url(url))).unwrap();
        let answer = ask(&module, &issuer.token(&claims())).await;
        assert_eq!(answer.err().map(|error| error.status()), status, "{path}");
    }
    task.abort();
}
