//! Certificates made here, for where nobody gave one.

use std::sync::Arc;

use anyhow::Context as _;
use jiff::ToSpan as _;
use rcgen::{CertificateParams, DnType, KeyPair};
use tidegate_proxy::model::{Certificate, Origin};

/// A certificate and its key, both PEM. Its `Debug` does not show the key.
pub struct MadeCertificate {
    /// The certificate.
    pub chain: String,
    /// The key, PKCS#8. Not for logs.
    pub key: String,
}

impl std::fmt::Debug for MadeCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeCertificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// Makes a self-signed certificate for these DNS names (ECDSA P-256, valid from yesterday on for `years` years).
///
/// # Errors
/// A name is not a DNS name, or the system has no randomness to give.
pub fn self_signed(common_name: &str, names: Vec<String>, years: i16) -> anyhow::Result<MadeCertificate> {
    let mut params = CertificateParams::new(names).context("not a name that a certificate can carry")?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    let today = jiff::Zoned::now().date();
    let date = |date: jiff::civil::Date| {
        let part = |number: i8| u8::try_from(number).unwrap_or(1);
        rcgen::date_time_ymd(i32::from(date.year()), part(date.month()), part(date.day()))
    };
    params.not_before = date(today.saturating_sub(1.day()));
    params.not_after = date(today.saturating_add(years.years()));
    let key = KeyPair::generate().context("no key can be made")?;
    let certificate = params.self_signed(&key).context("no certificate can be made")?;
    Ok(MadeCertificate { chain: certificate.pem(), key: key.serialize_pem() })
}

/// Makes the certificate that serves where there is no other.
///
/// # Errors
/// The system has no randomness to give.
pub fn default_certificate() -> anyhow::Result<Arc<Certificate>> {
    // A name under .invalid can belong to nobody (RFC 6761 §6.4).
    let made = self_signed("Tidegate default certificate", vec!["default.tidegate.invalid".to_owned()], 10)?;
    let origin = Arc::new(Origin::new("SelfSigned", "", "default"));
    Ok(Arc::new(Certificate::from_pem(origin, made.chain.as_bytes(), made.key.as_bytes())?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn the_default_certificate_is_valid_now_and_belongs_to_nobody() {
        let certificate = default_certificate().unwrap();
        let now = SystemTime::now();
        assert!(certificate.not_before < now);
        assert!(certificate.not_after > now + Duration::from_secs(9 * 365 * 86_400));
        assert_eq!(&*certificate.names, ["default.tidegate.invalid"]);
    }

    #[test]
    fn a_made_key_is_not_in_debug_output() {
        let made = self_signed("test", vec!["a.example".to_owned()], 1).unwrap();
        assert!(made.key.contains("PRIVATE KEY") && !format!("{made:?}").contains("PRIVATE KEY"));
    }
}
