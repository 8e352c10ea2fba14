//! What a dump shows, and what it never does.

use super::*;
use crate::filter::{Redirect, RedirectTarget, RedirectWhen};
use crate::state::State;
use crate::table::HostBuilder;
use crate::table::SessionTickets;
use crate::upstream::UpstreamKey;
use http::{HeaderName, HeaderValue, Method, StatusCode};

fn route(host: &str, path: Option<&str>, filters: Vec<Filter>, backend: Backend) -> Arc<Route> {
    Arc::new(Route {
        origin: Arc::new(Origin::new("Ingress", "shop", "web")),
        host: HostMatch::of_ingress(host).unwrap(),
        path: path.map(|path| PathMatch::Prefix(path.parse().unwrap())),
        conditions: Conditions::default(),
        compatibility: Compatibility::Native,
        filters: filters.into(),
        backend,
        series: Arc::default(),
    })
}

fn host(name: &str, mut routes: Vec<Arc<Route>>, reversed: bool) -> Arc<Host> {
    if reversed {
        routes.reverse();
    }
    let mut builder = HostBuilder::new(HostMatch::of_ingress(name).unwrap(), Compatibility::Native);
    routes.into_iter().for_each(|route| builder.add(route).unwrap());
    Arc::new(builder.build().unwrap())
}

fn listener(name: &str, tls: Option<TlsTable>, hosts: &[Arc<Host>], networks: &[&str]) -> Listener {
    let mut map = HostMap::default();
    hosts.iter().for_each(|host| map.set(&host.name, Some(Arc::clone(host))));
    let mut proxy_protocol = CidrSet::default();
    networks.iter().for_each(|network| proxy_protocol.add(network).unwrap());
    Listener {
        name: name.into(),
        address: ([127, 0, 0, 1], 8080).into(),
        tls,
        public_port: None,
        public_https_port: Some(443),
        proxy_protocol,
        limits: Arc::default(),
        hosts: map,
        fallback: None,
    }
}

/// Makes a table of two hosts; `reversed` says in which order everything was added.
fn table(state: &State, certificate: &Arc<Certificate>, reversed: bool) -> Table {
    let key = UpstreamKey { backend: "shop/cart:80".into(), protocol: UpstreamProtocol::Http1 };
    let service = Arc::new(Origin::new("Service", "shop", "cart:80"));
    let forward = || {
        let upstream = state.upstreams.get(&key);
        Backend::Forward(Forward { upstream, timeouts: Timeouts::default(), service: Arc::clone(&service) })
    };
    let redirect = Redirect {
        when: RedirectWhen::ClearText,
        to: RedirectTarget::Same { scheme: Some(Scheme::Https), host: None },
        status: StatusCode::PERMANENT_REDIRECT,
    };
    let filters = vec![Filter::Redirect(redirect), Filter::BodyLimit(10)];
    let rest = Backend::Unavailable(Reason::NoService);
    let shop = vec![
        route("shop.example", Some("/b"), Vec::new(), forward()),
        route("shop.example", Some("/a"), filters, forward()),
        route("shop.example", None, Vec::new(), rest.clone()),
    ];
    let wild = vec![route("*.example", Some("/"), vec![Filter::Refuse(Reason::ProtectionRefused)], rest)];
    let mut hosts = vec![host("shop.example", shop, reversed), host("*.example", wild, reversed)];
    let mut certificates = HostMap::default();
    certificates.set(&HostMatch::of_ingress("shop.example").unwrap(), Some(Arc::clone(certificate)));
    let tls = TlsTable::new(certificates, Arc::clone(certificate), &SessionTickets::new().unwrap()).unwrap();
    let mut networks = ["10.0.0.0/8", "192.0.2.1"];
    if reversed {
        hosts.reverse();
        networks.reverse();
    }
    let mut listeners = vec![listener("http", None, &hosts, &networks), listener("https", Some(tls), &hosts, &[])];
    if reversed {
        listeners.reverse();
    }
    Table { generation: if reversed { 7 } else { 1 }, listeners, trusted_proxies: CidrSet::default() }
}

fn certificate() -> (Arc<Certificate>, String) {
    let made = rcgen::generate_simple_self_signed(vec!["shop.example".to_owned()]).unwrap();
    let key = made.signing_key.serialize_pem();
    let origin = Arc::new(Origin::new("Secret", "shop", "tls"));
    (Arc::new(Certificate::from_pem(origin, made.cert.pem().as_bytes(), key.as_bytes()).unwrap()), key)
}

#[test]
fn tables_that_mean_the_same_dump_equally_however_they_came_about() {
    let (certificate, _) = certificate();
    let dump = |reversed| serde_json::to_string_pretty(&table(&State::default(), &certificate, reversed).dump()).unwrap();
    assert_eq!(dump(false), dump(true));
}

#[test]
fn a_dump_reads_like_the_rules_it_came_from() {
    let (certificate, _) = certificate();
    let dump = serde_json::to_value(table(&State::default(), &certificate, false).dump()).unwrap();
    let origin = serde_json::json!({"kind": "Ingress", "namespace": "shop", "name": "web"});
    let forward = serde_json::json!({"forward": {
        "service": {"kind": "Service", "namespace": "shop", "name": "cart:80"},
        "upstream": "shop/cart:80",
        "protocol": "http1",
        "timeouts": {"connect_seconds": 5.0, "read_seconds": 60.0, "send_seconds": 60.0},
    }});
    let hosts = serde_json::json!([
        {
            "host": "shop.example",
            "routes": [
                {
                    "path": {"prefix": "/a"}, "origin": origin,
                    "filters": [
                        {"redirect": {"when": "clear_text", "to": {"same": {"scheme": "https", "host": null}}, "status": 308}},
                        {"body_limit": 10},
                    ],
                    "backend": forward,
                },
                {"path": {"prefix": "/b"}, "origin": origin, "backend": forward},
            ],
            "default": {"origin": origin, "backend": {"unavailable": "no_service"}},
        },
        {
            "host": "*.example", "wildcard": "one_label",
            "routes": [{
                "path": {"prefix": "/"}, "origin": origin, "filters": [{"refuse": "protection_refused"}],
                "backend": {"unavailable": "no_service"},
            }],
        },
    ]);
    let wanted = serde_json::json!({
        "name": "http", "address": "127.0.0.1:8080", "scheme": "http", "public_https_port": 443,
        "proxy_protocol": ["10.0.0.0/8", "192.0.2.1/32"], "hosts": hosts,
    });
    assert_eq!(dump.pointer("/listeners/0"), Some(&wanted));
}

#[test]
fn certificates_show_names_and_dates_and_no_key() {
    let (certificate, key) = certificate();
    let dump = serde_json::to_string(&table(&State::default(), &certificate, false).dump()).unwrap();
    for line in key.lines().filter(|line| !line.starts_with('-')) {
        assert!(!dump.contains(line));
    }
    let dump: serde_json::Value = serde_json::from_str(&dump).unwrap();
    let shown = dump.pointer("/listeners/1/tls/certificates/0").unwrap();
    assert_eq!(shown.pointer("/host"), Some(&"shop.example".into()));
    assert_eq!(shown.pointer("/certificate/names/0"), Some(&"shop.example".into()));
    assert_eq!(shown.pointer("/certificate/not_after"), Some(&"4096-01-01T00:00:00Z".into()), "as rcgen makes them");
    assert_eq!(shown.pointer("/certificate/fingerprint"), Some(&certificate.fingerprint.as_ref().into()));
}

#[test]
fn conditions_are_shown_where_there_are_some() {
    let header = crate::model::HeaderCondition { name: HeaderName::from_static("x-a"), value: HeaderValue::from_static("1") };
    let conditions = Conditions::new(Some(Method::PUT), vec![header], Vec::new());
    let shown = serde_json::to_value(conditions).unwrap();
    assert_eq!(shown, serde_json::json!({"method": "PUT", "headers": [{"name": "x-a", "value": "1"}]}));
}
