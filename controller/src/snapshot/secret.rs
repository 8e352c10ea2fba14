//! Secrets with a certificate, parsed once.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use tidegate_proxy::model::{Certificate, Origin};

use super::Version;
use crate::object::ObjectRef;

/// A Secret, reduced to the certificate that it holds. Neither `Debug` nor the text of an error shows key material.
#[derive(Debug, Clone)]
pub struct SecretObject {
    /// The certificate, or why there is none to serve.
    pub certificate: Result<Arc<Certificate>, String>,
    /// SHA-256 of what it was read from, so that an unchanged Secret is known as such.
    digest: [u8; 32],
}

impl PartialEq for SecretObject {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Version for SecretObject {
    fn is_good(&self) -> bool {
        self.certificate.is_ok()
    }
}

impl SecretObject {
    /// Reads a Secret. It never fails: one without a certificate says why.
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
        let certificate = match (chain, key) {
            (Some(chain), Some(key)) => {
                let origin = Arc::new(Origin::new("Secret", &reference.namespace, &reference.name));
                Certificate::from_pem(origin, chain, key).map(Arc::new).map_err(|error| error.to_string())
            }
            (None, _) => Err("it has no tls.crt".to_owned()),
            (Some(_), None) => Err("it has no tls.key".to_owned()),
        };
        Self { certificate, digest }
    }
}
