//! TLS with libpq's meanings: what of the server's certificate is checked in each mode.

use std::sync::Arc;

use lcs_domain::RepositoryError;
use lcs_domain::repository::RepositoryResult;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::{PostgresConfig, SslMode};

/// The maker of TLS streams for `config`; `None` where nothing is ever encrypted.
///
/// # Errors
/// `Invalid` where certificates are to be checked and the trusted ones cannot be read.
pub(super) fn connector(config: &PostgresConfig) -> RepositoryResult<Option<MakeRustlsConnect>> {
    if config.ssl_mode == SslMode::Disable || config.is_socket() {
        return Ok(None);
    }
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match config.ssl_mode {
        SslMode::VerifyFull => trusted(config, &provider)?,
        SslMode::VerifyCa => Arc::new(AnyName(trusted(config, &provider)?)),
        SslMode::Require if config.ca_cert_path.is_some() => Arc::new(AnyName(trusted(config, &provider)?)),
        _ => Arc::new(AnyCertificate(Arc::clone(&provider))),
    };
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| RepositoryError::invalid("/ssl_mode", format!("TLS cannot be set up: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Some(MakeRustlsConnect::new(tls)))
}

/// A verifier of chain and host name, against the given authorities or the system's.
fn trusted(
    config: &PostgresConfig,
    provider: &Arc<CryptoProvider>,
) -> RepositoryResult<Arc<WebPkiServerVerifier>> {
    let (roots, from) = match &config.ca_cert_path {
        Some(path) => {
            let unreadable = |error: &dyn std::fmt::Display| {
                RepositoryError::invalid(
                    "/ca_cert_path",
                    format!("{} cannot be read as PEM certificates: {error}", path.display()),
                )
            };
            let certificates = CertificateDer::pem_file_iter(path)
                .map_err(|error| unreadable(&error))?
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| unreadable(&error))?;
            (certificates, path.display().to_string())
        }
        None => (rustls_native_certs::load_native_certs().certs, "the system's certificates".to_owned()),
    };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots);
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider)).build().map_err(|_| {
        RepositoryError::invalid(
            "/ca_cert_path",
            format!("{from} hold no certificate authority: name the file with the server's"),
        )
    })
}

/// Checks the chain and not the name: `verify-ca`.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is looked at last: who fails at it has a chain that holds.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Checks nothing but that the peer holds the key of the certificate that it shows: `prefer`, `allow` and
/// `require` keep listeners out, not impostors.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(content: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, content).unwrap();
        let config = PostgresConfig {
            ssl_mode: SslMode::VerifyFull,
            ca_cert_path: Some(path),
            ..PostgresConfig::default()
        };
        connector(&config).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn an_unusable_ca_file_is_told_at_once() {
        assert!(refusal("no certificate").contains("hold no certificate authority"));
        let config = PostgresConfig {
            ssl_mode: SslMode::Require,
            ca_cert_path: Some("/nowhere/ca.pem".into()),
            ..PostgresConfig::default()
        };
        let error = connector(&config).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("/nowhere/ca.pem cannot be read"), "{error}");
    }

    #[test]
    fn nothing_is_encrypted_on_a_socket_or_when_disabled() {
        let socket = PostgresConfig { host: "/run".into(), ..PostgresConfig::default() };
        assert!(connector(&socket).unwrap().is_none());
        let plain = PostgresConfig { ssl_mode: SslMode::Disable, ..PostgresConfig::default() };
        assert!(connector(&plain).unwrap().is_none());
        assert!(connector(&PostgresConfig::default()).unwrap().is_some());
    }
}
