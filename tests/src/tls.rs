//! Certificates that tests make, and a client configuration that tells them apart.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// A self-signed certificate with its key.
#[derive(Debug, Clone)]
pub struct TestCertificate {
    /// The chain as PEM.
    pub certificate: String,
    /// The key as PEM.
    pub key: String,
    /// The certificate as a client sees it.
    pub der: CertificateDer<'static>,
}

impl TestCertificate {
    /// Makes a certificate for these names, valid for years.
    ///
    /// # Errors
    /// A name is not one that a certificate can hold.
    pub fn new(names: &[&str]) -> anyhow::Result<Self> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
        Ok(Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem(), der: made.cert.der().clone() })
    }

    /// Returns a Secret of type `kubernetes.io/tls` as a YAML document without a namespace.
    #[must_use]
    pub fn secret(&self, name: &str) -> String {
        secret(name, &self.certificate, &self.key)
    }
}

/// Returns a Secret of type `kubernetes.io/tls` with these contents, usable or not.
#[must_use]
pub fn secret(name: &str, certificate: &str, key: &str) -> String {
    let (certificate, key) = (serde_json::json!(certificate), serde_json::json!(key));
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\n\
         stringData:\n  tls.crt: {certificate}\n  tls.key: {key}\n"
    )
}

/// Returns a client configuration that takes any certificate (tests compare what they got) but verifies the handshake's signature.
///
/// # Errors
/// Never in practice: the provider knows both versions of TLS.
pub fn client_config(protocols: &[&str]) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

/// Returns a client configuration that trusts this certificate alone, and verifies as clients do, the server's name included.
///
/// # Errors
/// The certificate cannot be one to trust.
pub fn trusting(certificate: &CertificateDer<'static>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

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
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
