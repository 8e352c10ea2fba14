//! Certificates, parsed once and shared by everything that serves them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::Origin;

/// A certificate chain with its key. Its `Debug` shows names and dates, never the key.
#[derive(Clone)]
pub struct Certificate {
    /// The object it came from.
    pub origin: Arc<Origin>,
    /// Chain and signer, as rustls wants them.
    pub key: Arc<CertifiedKey>,
    /// DNS names of the leaf (subject alternative names; the common name where there are none), lower case, wildcards as written.
    pub names: Arc<[String]>,
    /// Start of validity.
    pub not_before: SystemTime,
    /// End of validity.
    pub not_after: SystemTime,
    /// SHA-256 of the leaf, in lower-case hexadecimal.
    pub fingerprint: Arc<str>,
}

/// Why a certificate cannot be served. Never carries a byte of what it was read from: people put keys in the wrong place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// No certificate could be read from the chain.
    #[error("the certificate chain holds no readable PEM certificate: {0}")]
    Chain(String),
    /// No key could be read.
    #[error("no readable PEM private key (PKCS#8, PKCS#1 or SEC1): {0}")]
    Key(String),
    /// The key is of a kind that cannot sign for TLS.
    #[error("the private key is not an RSA, ECDSA or Ed25519 key that TLS can use")]
    UnusableKey,
    /// The key is not the leaf's.
    #[error("the private key does not belong to the first certificate of the chain")]
    Mismatch,
    /// The leaf is not an X.509 certificate.
    #[error("the first certificate of the chain is not an X.509 certificate")]
    Leaf,
}

impl Certificate {
    /// Reads a PEM chain (leaf first) and its PEM key.
    ///
    /// # Errors
    /// One of the two cannot be read, or they do not belong together.
    pub fn from_pem(origin: Arc<Origin>, chain: &[u8], key: &[u8]) -> Result<Self, InvalidCertificate> {
        let chain = read_chain(chain)?;
        let leaf = chain.first().ok_or_else(|| InvalidCertificate::Chain("none found".into()))?.clone();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| InvalidCertificate::Key(pem_fault(&error).into()))?;
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|_| InvalidCertificate::UnusableKey)?;
        let key = CertifiedKey::new(chain, signer);
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(InvalidCertificate::Mismatch),
            Err(_) => return Err(InvalidCertificate::Leaf),
        }
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).map_err(|_| InvalidCertificate::Leaf)?;
        let mut names: Vec<String> = parsed
            .subject_alternative_name()
            .ok()
            .flatten()
            .map(|san| {
                let dns = |name: &x509_parser::extensions::GeneralName<'_>| {
                    if let x509_parser::extensions::GeneralName::DNSName(dns) = name { Some(dns.to_ascii_lowercase()) } else { None }
                };
                san.value.general_names.iter().filter_map(dns).collect()
            })
            .unwrap_or_default();
        if names.is_empty() {
            names.extend(parsed.subject().iter_common_name().filter_map(|cn| cn.as_str().ok()).map(str::to_ascii_lowercase));
        }
        // An empty name names nothing.
        names.retain(|name| !name.is_empty());
        let time = |t: x509_parser::time::ASN1Time| {
            let seconds = u64::try_from(t.timestamp()).unwrap_or(0);
            SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
        };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &leaf);
        let fingerprint: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            origin,
            key: Arc::new(key),
            names: names.into(),
            not_before: time(parsed.validity().not_before),
            not_after: time(parsed.validity().not_after),
            fingerprint: fingerprint.into(),
        })
    }

    /// Makes a certificate of which only this is known: it stands in tables like any other, but no handshake succeeds with it.
    #[must_use]
    pub fn without_key(origin: Arc<Origin>, names: Arc<[String]>, validity: Range<SystemTime>, fingerprint: Arc<str>) -> Self {
        let key = Arc::new(CertifiedKey::new(Vec::new(), Arc::new(NoKey)));
        Self { origin, key, names, not_before: validity.start, not_after: validity.end, fingerprint }
    }

    /// Whether the certificate is valid for a host: an exact name, or a wildcard that stands for exactly one label (RFC 6125 §6.4.3).
    /// A host that is itself a wildcard (`*.example.com`) must be named as such.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| {
            name == host
                || name.strip_prefix("*.").is_some_and(|suffix| {
                    host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && label != "*" && rest == suffix)
                })
        })
    }
}

/// In the place of a key that is not there: signs nothing.
#[derive(Debug)]
struct NoKey;

impl SigningKey for NoKey {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        None
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

/// Reads all certificates of a PEM chain.
fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidCertificate> {
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| {
            let (fault, read) = (pem_fault(&error), chain.len());
            InvalidCertificate::Chain(if read == 0 { fault.into() } else { format!("{fault} (after {read} that can be read)") })
        })?;
        chain.push(certificate);
    }
    Ok(chain)
}

/// Says what is wrong with PEM text. The parser's own words show the line at fault, which may hold a key.
fn pem_fault(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::NoItemsFound => "none found",
        pem::Error::MissingSectionEnd { .. } => {
            "a section does not end: its END line is missing, or BEGIN and END are not lines of their own"
        }
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed, or is not a line of its own",
        pem::Error::Base64Decode(_) => "a section is not base64",
        pem::Error::SectionTooLarge => "a section is too large",
        pem::Error::Io(_) | _ => "it cannot be decoded",
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("origin", &self.origin.to_string())
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_without_a_key_signs_nothing() {
        let origin = Arc::new(Origin::new("Secret", "ns", "name"));
        let now = SystemTime::now();
        let certificate = Certificate::without_key(origin, Arc::new(["a.test".to_owned()]), now..now, "00".into());
        assert!(certificate.covers("a.test"));
        let offered = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes();
        assert!(!offered.is_empty() && certificate.key.key.choose_scheme(&offered).is_none());
    }

    /// Whether a text shows some part of the material, as text or as what programs print bytes as.
    fn shows(text: &str, material: &str) -> bool {
        material.as_bytes().windows(8).any(|part| {
            let decimal = part.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let hexadecimal: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
            [std::str::from_utf8(part).unwrap(), &decimal, &hexadecimal].iter().any(|form| text.contains(form))
        })
    }

    #[test]
    fn no_fault_of_pem_text_shows_a_byte_of_it() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let material: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
        let one_line = format!("-----BEGIN PRIVATE KEY-----{material}-----END PRIVATE KEY-----");
        let damaged = [
            one_line.clone(),
            one_line.replace("-----END PRIVATE KEY-----", "\n-----END PRIVATE KEY-----\n"),
            format!("-----BEGIN PRIVATE KEY-----\n{material}-----END PRIVATE KEY-----"),
            format!("-----BEGIN {material}-----\n"),
            format!("-----BEGIN CERTIFICATE-----\n{material}\n-----END CERTIFICATE-----\n"),
            format!("-----BEGIN CERTIFICATE-----\n{material}\n"),
            format!("-----BEGIN PRIVATE KEY-----\n!{material}\n-----END PRIVATE KEY-----\n"),
            format!("{chain}{one_line}"),
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", material.get(..40).unwrap()),
            material.clone(),
        ];
        for text in &damaged {
            for (chain, key) in [(text, &key), (&chain, text), (text, text)] {
                let origin = Arc::new(Origin::new("Secret", "ns", "name"));
                let Err(error) = Certificate::from_pem(origin, chain.as_bytes(), key.as_bytes()) else { continue };
                let said = format!("{error} {error:?}");
                assert!(!shows(&said, &material), "{said}");
            }
        }
    }

    #[test]
    fn a_fault_says_what_to_mend() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let lost = |text: &str| text.replace('\n', "");
        for (chain, key, said) in [
            (lost(&chain), key.clone(), "BEGIN and END are not lines of their own"),
            (chain.clone(), lost(&key), "BEGIN and END are not lines of their own"),
            (chain.replacen("-----", "----- ", 2), key.clone(), "none found"),
            (chain.replace("CERTIFICATE-----", "CERTIFICATE----"), key.clone(), "a BEGIN line is malformed"),
            (format!("{chain}-----BEGIN CERTIFICATE-----\nAA"), key.clone(), "lines of their own (after 1 that can be read)"),
            (String::new(), key.clone(), "no readable PEM certificate: none found"),
            (chain, String::new(), "no readable PEM private key (PKCS#8, PKCS#1 or SEC1): none found"),
        ] {
            let error = Certificate::from_pem(Arc::new(Origin::new("Secret", "ns", "name")), chain.as_bytes(), key.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
