//! What TLS serves: certificates by server name.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig};

use crate::model::{Certificate, HostMap};

/// Certificates by server name, and the configuration that serves them. Cheap to clone.
#[derive(Clone)]
pub struct TlsTable {
    certificates: Arc<Certificates>,
    config: Arc<ServerConfig>,
}

struct Certificates {
    by_host: HostMap<Arc<Certificate>>,
    default: Arc<Certificate>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").field("hosts", &self.by_host.len()).field("default", &self.default).finish()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.of(hello.server_name()).key))
    }
}

impl Certificates {
    fn of(&self, server_name: Option<&str>) -> &Arc<Certificate> {
        let certificate = server_name.and_then(|name| {
            let name = name.strip_suffix('.').unwrap_or(name);
            if name.bytes().any(|b| b.is_ascii_uppercase()) { self.by_host.get(&name.to_ascii_lowercase()) } else { self.by_host.get(name) }
        });
        certificate.unwrap_or(&self.default)
    }
}

impl TlsTable {
    /// Makes the table of these certificates: TLS 1.2 and 1.3, ALPN `h2` and `http/1.1`, tickets from `ticketer` so that sessions
    /// outlive a change of certificates.
    ///
    /// # Errors
    /// The crypto provider has no cipher for TLS 1.2 or 1.3.
    pub fn new(by_host: HostMap<Arc<Certificate>>, default: Arc<Certificate>, tickets: &SessionTickets) -> Result<Self, rustls::Error> {
        let certificates = Arc::new(Certificates { by_host, default });
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>);
        // Clients put AES-256 first out of habit rather than need.
        config.ignore_client_order = has_aes();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = Arc::clone(&tickets.ticketer);
        config.session_storage = Arc::clone(&tickets.sessions);
        // Each costs the handshake a little; who resumes gets the next one.
        config.send_tls13_tickets = 1;
        Ok(Self { certificates, config: Arc::new(config) })
    }

    /// Returns the certificates by host.
    #[must_use]
    pub fn certificates(&self) -> &HostMap<Arc<Certificate>> {
        &self.certificates.by_host
    }

    /// Returns the certificate that a client is shown which asks for this name; `None` asks for none.
    #[must_use]
    pub fn certificate_for(&self, server_name: Option<&str>) -> &Arc<Certificate> {
        self.certificates.of(server_name)
    }

    /// Returns the certificate for names that no other is for.
    #[must_use]
    pub fn default_certificate(&self) -> &Arc<Certificate> {
        &self.certificates.default
    }

    /// Returns the configuration for a handshake.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

/// Returns the cryptography of handshakes: where the processor knows AES, AES-128 comes first. It is as strong as the rest of a handshake,
/// and its SHA-256 costs a sixth less of one than the SHA-384 that goes with AES-256.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if has_aes() {
        provider.cipher_suites.sort_by_key(|suite| !is_aes_128(suite.suite()));
    }
    provider
}

fn is_aes_128(suite: CipherSuite) -> bool {
    suite == CipherSuite::TLS13_AES_128_GCM_SHA256
        || suite == CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        || suite == CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
}

#[cfg(target_arch = "x86_64")]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

/// What lets a client resume a session: it outlives tables.
#[derive(Clone)]
pub struct SessionTickets {
    ticketer: Arc<dyn rustls::server::ProducesTickets>,
    sessions: Arc<dyn rustls::server::StoresServerSessions>,
}

impl std::fmt::Debug for SessionTickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionTickets").finish_non_exhaustive()
    }
}

impl SessionTickets {
    /// Makes ticket keys (rotated by rustls every 6 hours) and an in-memory session store.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn new() -> Result<Self, rustls::Error> {
        Ok(Self { ticketer: rustls::crypto::aws_lc_rs::Ticketer::new()?, sessions: rustls::server::ServerSessionMemoryCache::new(4096) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lighter_cipher_comes_first_where_the_processor_knows_it_and_none_is_lost() {
        let suites: Vec<_> = provider().cipher_suites.iter().map(|suite| suite.suite()).collect();
        let default: Vec<_> = rustls::crypto::aws_lc_rs::default_provider().cipher_suites.iter().map(|suite| suite.suite()).collect();
        assert_eq!(suites.len(), default.len());
        assert!(default.iter().all(|suite| suites.contains(suite)));
        if has_aes() {
            assert_eq!(suites.first(), Some(&CipherSuite::TLS13_AES_128_GCM_SHA256));
        } else {
            assert_eq!(suites, default);
        }
    }
}
