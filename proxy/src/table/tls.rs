//! What TLS serves: certificates by server name.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

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
        let certificate = hello.server_name().and_then(|name| {
            let name = name.strip_suffix('.').unwrap_or(name);
            if name.bytes().any(|b| b.is_ascii_uppercase()) { self.by_host.get(&name.to_ascii_lowercase()) } else { self.by_host.get(name) }
        });
        Some(Arc::clone(&certificate.unwrap_or(&self.default).key))
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
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = Arc::clone(&tickets.ticketer);
        config.session_storage = Arc::clone(&tickets.sessions);
        config.send_tls13_tickets = 2;
        Ok(Self { certificates, config: Arc::new(config) })
    }

    /// Returns the certificates by host.
    #[must_use]
    pub fn certificates(&self) -> &HostMap<Arc<Certificate>> {
        &self.certificates.by_host
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
