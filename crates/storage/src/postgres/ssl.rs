//! TLS with libpq's meanings: what of the server's certificate is checked in each mode.

use std::sync::Arc;

use lcs_domain::RepositoryError;
use lcs_domain::repository::RepositoryResult;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
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
    if config.ssl_mode == SslMode::Disable || config.servers().all(|server| server.is_socket()) {
        return Ok(None);
    }
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match config.ssl_mode {
        SslMode::VerifyFull => Arc::new(trusted(config, &provider, true)?),
        SslMode::VerifyCa => Arc::new(trusted(config, &provider, false)?),
        SslMode::Require if config.ca_cert_path.is_some() => Arc::new(trusted(config, &provider, false)?),
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

/// A verifier of the chain, and of the host name if so asked, against the given certificates or the system's.
fn trusted(
    config: &PostgresConfig,
    provider: &Arc<CryptoProvider>,
    checks_name: bool,
) -> RepositoryResult<Trusted> {
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
    store.add_parsable_certificates(roots.iter().cloned());
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .map_err(|_| {
            RepositoryError::invalid(
                "/ca_cert_path",
                format!("{from} hold no certificate authority: name the file with the server's"),
            )
        })?;
    let given = if config.ca_cert_path.is_some() { roots } else { Vec::new() };
    Ok(Trusted { chain, given, checks_name })
}

/// Checks the chain, and in `verify-full` the name.
#[derive(Debug)]
struct Trusted {
    chain: Arc<WebPkiServerVerifier>,
    /// The certificates of the configuration. A server that shows one of them needs no chain: libpq takes a
    /// self-signed one that is its own authority, which the verifier of chains does not.
    given: Vec<CertificateDer<'static>>,
    checks_name: bool,
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last: who fails at it has a chain that holds.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_name => Ok(ServerCertVerified::assertion()),
            // The dates are looked at first: who fails at what has no name of its own is within them.
            Err(Error::InvalidCertificate(CertificateError::Other(_) | CertificateError::UnknownIssuer))
                if self.given.iter().any(|given| given == end_entity) =>
            {
                if self.checks_name {
                    verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
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
