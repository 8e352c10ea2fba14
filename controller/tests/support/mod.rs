//! What tests of translation share: flags, certificates made at run time, a clock.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use tidegate::translate::{ListenerOptions, Options};
use tidegate_proxy::model::{Certificate, CidrSet, Limits, Origin, Scheme};
use tidegate_proxy::table::SessionTickets;

/// The time at which tests take place: 2026-06-01T00:00:00Z.
pub(crate) fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_272_000)
}

/// A PEM chain and its PEM key.
#[derive(Clone)]
pub(crate) struct Pem {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// Makes a certificate for these names that ends so many days after [`noon`].
pub(crate) fn certificate(names: &[&str], days: i64) -> Pem {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    let end = noon() + Duration::from_secs(400 * 86_400) - Duration::from_secs(u64::try_from(400 - days).unwrap() * 86_400);
    params.not_after = end.into();
    let key = KeyPair::generate().unwrap();
    Pem { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// Flags as tests have them unless they say otherwise: one listener of each scheme, our controller's name.
pub(crate) fn options() -> Options {
    let pem = certificate(&["tidegate.invalid"], 365);
    let origin = Arc::new(Origin::new("Process", "", "self-signed"));
    let self_signed = Certificate::from_pem(origin, pem.chain.as_bytes(), pem.key.as_bytes()).unwrap();
    let listener = |name: &str, scheme| ListenerOptions {
        name: name.into(),
        address: ([127, 0, 0, 1], 0).into(),
        scheme,
        public_port: None,
        public_https_port: None,
        proxy_protocol: CidrSet::default(),
        limits: Arc::new(Limits::default()),
    };
    Options {
        controllers: vec!["tidegate.dev/ingress-controller".into()],
        ingress_class: None,
        class_by_name: false,
        watch_without_class: false,
        external_names: true,
        default_certificate: None,
        default_backend: None,
        listeners: vec![listener("http", Scheme::Http), listener("https", Scheme::Https)],
        trusted_proxies: CidrSet::default(),
        self_signed: Arc::new(self_signed),
        tickets: SessionTickets::new().unwrap(),
    }
}
