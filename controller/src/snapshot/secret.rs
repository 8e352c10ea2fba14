//! Secrets with a certificate, parsed once, when something first asks for it: most Secrets of a cluster are named by no Ingress.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use k8s_openapi::api::core::v1::Secret;
use tidegate_proxy::model::{Certificate, Origin};

use super::Version;
use crate::object::ObjectRef;

/// A Secret, reduced to the certificate that it holds. Neither `Debug` nor the text of an error shows key material.
pub struct SecretObject {
    /// SHA-256 of what the certificate is read from, so that an unchanged Secret is known as such without reading it.
    digest: [u8; 32],
    certificate: OnceLock<Result<Arc<Certificate>, String>>,
    /// What it is read from, until it is.
    unread: Mutex<Option<Pem>>,
}

struct Pem {
    origin: Arc<Origin>,
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for SecretObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretObject").field("certificate", &self.certificate.get()).finish_non_exhaustive()
    }
}

impl PartialEq for SecretObject {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Version for SecretObject {
    fn is_good(&self) -> bool {
        self.certificate().is_ok()
    }
}

impl SecretObject {
    /// Reads a Secret, but for its certificate. It never fails: one without a certificate says why.
    #[must_use]
    pub fn read(reference: &ObjectRef, secret: &Secret) -> Self {
        let value = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
        // `stringData` counts over `data`, as the API server has it; only a directory delivers it.
        let text = |key: &str| secret.string_data.as_ref().and_then(|data| data.get(key)).map(String::as_bytes);
        let field = |key: &str| text(key).or_else(|| value(key)).filter(|bytes| !bytes.is_empty());
        let (chain, key) = (field("tls.crt"), field("tls.key"));
        let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for part in [chain, key] {
            let part = part.unwrap_or_default();
            hash.update(&part.len().to_be_bytes());
            hash.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(hash.finish().as_ref());
        let known = |certificate| (OnceLock::from(certificate), None);
        let (certificate, unread) = match (chain, key) {
            (Some(chain), Some(key)) => {
                let origin = Arc::new(reference.origin());
                (OnceLock::new(), Some(Pem { origin, chain: chain.to_owned(), key: key.to_owned() }))
            }
            (None, _) => known(Err("it has no tls.crt".to_owned())),
            (Some(_), None) => known(Err("it has no tls.key".to_owned())),
        };
        Self { digest, certificate, unread: Mutex::new(unread) }
    }

    /// Returns the certificate, or why there is none to serve.
    ///
    /// # Errors
    /// There is none, or it cannot be read: says why.
    pub fn certificate(&self) -> Result<&Arc<Certificate>, &str> {
        let certificate = self.certificate.get_or_init(|| {
            let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(Pem { origin, chain, key }) = unread else { return Err("it holds nothing".to_owned()) };
            Certificate::from_pem(origin, &chain, &key).map(Arc::new).map_err(|error| error.to_string())
        });
        certificate.as_ref().map_err(String::as_str)
    }

    /// Whether the certificate has been read.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.certificate.get().is_some()
    }
}
