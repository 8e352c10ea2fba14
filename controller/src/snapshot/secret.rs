//! Secrets with a certificate, parsed once, when something first asks for it: most Secrets of a cluster are named by no Ingress.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use serde::{Deserialize, Serialize, Serializer};
use tidegate_proxy::model::{Certificate, Origin};
use tidegate_proxy::table::CertificateDump;

use super::Version;
use crate::object::ObjectRef;

/// A Secret, reduced to the certificate that it holds. Neither `Debug` nor the text of an error shows key material, nor does a saved one.
#[derive(Deserialize)]
#[serde(try_from = "Saved")]
pub struct SecretObject {
    /// SHA-256 of what the certificate is read from, so that an unchanged Secret is known as such without reading it. `None` for one that
    /// was saved: it equals no other.
    digest: Option<[u8; 32]>,
    certificate: OnceLock<Result<Arc<Certificate>, String>>,
    /// What it is read from, until it is.
    unread: Mutex<Option<Pem>>,
}

/// What is said of a certificate that is first asked for after its Secret was saved and loaded.
const NOT_SAVED: &str = "its certificate had not been read when the snapshot was saved";

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
        self.digest.is_some() && self.digest == other.digest
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
        Self { digest: Some(digest), certificate, unread: Mutex::new(unread) }
    }

    /// Returns the certificate, or why there is none to serve.
    ///
    /// # Errors
    /// There is none, or it cannot be read: says why.
    pub fn certificate(&self) -> Result<&Arc<Certificate>, &str> {
        let certificate = self.certificate.get_or_init(|| {
            let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(Pem { origin, chain, key }) = unread else { return Err(NOT_SAVED.to_owned()) };
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

/// What a saved snapshot has of a Secret: what there is to know of its certificate, nothing that it was read from. Not even a digest of
/// that: what somebody typed in the place of a key could be found by trying.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Saved {
    /// Nothing had asked for its certificate.
    Unread,
    Certificate(CertificateDump),
    /// Why there is none to serve.
    Unusable(String),
}

impl Serialize for SecretObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let saved = match self.certificate.get() {
            None => Saved::Unread,
            Some(Ok(certificate)) => Saved::Certificate(CertificateDump::of(certificate)),
            Some(Err(reason)) => Saved::Unusable(reason.clone()),
        };
        saved.serialize(serializer)
    }
}

impl TryFrom<Saved> for SecretObject {
    type Error = String;

    fn try_from(saved: Saved) -> Result<Self, Self::Error> {
        let certificate = match saved {
            Saved::Unread => OnceLock::new(),
            Saved::Unusable(reason) => OnceLock::from(Err(reason)),
            Saved::Certificate(CertificateDump { origin, names, not_before, not_after, fingerprint }) => {
                let validity = date("not_before", &not_before)?..date("not_after", &not_after)?;
                OnceLock::from(Ok(Arc::new(Certificate::without_key(origin, names, validity, fingerprint))))
            }
        };
        Ok(Self { digest: None, certificate, unread: Mutex::default() })
    }
}

fn date(field: &str, text: &str) -> Result<SystemTime, String> {
    text.parse::<Timestamp>().map(SystemTime::from).map_err(|error| format!("{field}: {error}"))
}
