//! A model's server behind TLS: it is talked to where its certificate is trusted, and nowhere else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use lcs_app::agent_manager::AgentManagerError;
use lcs_domain::agent::AgentFailure;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::{Scene, output};

/// Answers each request in one way, with this certificate. It ends with the test's process.
fn serve(certificate: &rcgen::CertifiedKey<rcgen::KeyPair>) -> SocketAddr {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            // A client that does not trust the certificate is gone by then.
            let _ = answer(StreamOwned::new(session, connection.unwrap()));
        }
    });
    address
}

fn answer(stream: impl Read + Write) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while stream.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    stream.read_exact(&mut vec![0; length])?;
    let content = json!([{ "type": "output_text", "text": "In private." }]);
    let body =
        json!({ "status": "completed", "output": [{ "type": "message", "content": content }] }).to_string();
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
    write!(stream.get_mut(), "{head}connection: close\r\n\r\n{body}")?;
    stream.get_mut().flush()
}

#[tokio::test]
async fn the_server_s_certificate_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let ours = file("ours.pem", certificate.cert.pem());
    let others = file("others.pem", other.cert.pem());
    let port = serve(&certificate).port();
    for (host, trusted, is_trusted) in [
        ("localhost", Some(&ours), true),
        ("127.0.0.1", Some(&ours), false),
        ("localhost", Some(&others), false),
        ("localhost", None, false),
    ] {
        let scene = Scene::with(|config| {
            config.base_url = format!("https://{host}:{port}/v1");
            config.ca_cert_path = trusted.cloned();
        })
        .await;
        match scene.say("hello").await {
            Ok(answer) => assert!(is_trusted && output(&answer)["content"] == "In private.", "{host}"),
            Err(AgentManagerError::Agent(error)) => {
                assert!(!is_trusted, "{host}: {error:?}");
                assert_eq!(error.failure, AgentFailure::Unavailable);
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}
