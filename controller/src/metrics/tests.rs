#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use tidegate_proxy::error::Reason;
use tidegate_proxy::model::{
    Certificate, CidrSet, Compatibility, Conditions, HostMap, HostMatch, Origin, PathMatch, Timeouts, UpstreamProtocol,
};
use tidegate_proxy::observe::Growth;
use tidegate_proxy::table::{Backend, Forward, HostBuilder, Listener, Route, SessionTickets, Table, TlsTable};
use tidegate_proxy::upstream::{EndpointAddress, UpstreamKey};

use super::*;

/// A page of a process that has done nothing.
pub(crate) fn page() -> Page {
    Page {
        instance: Instance { class: "example.com/c".to_owned(), namespace: "edge".to_owned(), pod: "p-1".to_owned() },
        budget: Budget::new(200_000),
        hosts: HostSeries::Apart,
        state: Arc::default(),
        inquiries: Inquiries::of_nobody(),
        findings: Findings::default(),
        control: Arc::default(),
        publisher: Arc::default(),
    }
}

fn text(page: &Page) -> String {
    let mut out = page.begin();
    page.write(&mut out);
    out.into_text()
}

fn certificate(name: &str, days: u64) -> Arc<Certificate> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let origin = Arc::new(Origin::new("Secret", "shop", name));
    let made = Certificate::from_pem(origin, made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
    Arc::new(Certificate { not_after: std::time::UNIX_EPOCH + Duration::from_secs(days * 86_400), fingerprint: "f00".into(), ..made })
}

/// A table with an Ingress that is served, one without endpoints and one without a Service, and three certificates.
fn table(state: &State) -> Table {
    let host = HostMatch::of_ingress("shop.test").unwrap();
    let mut builder = HostBuilder::new(host.clone(), Compatibility::Native);
    let forward = |backend: &str| {
        let key = UpstreamKey { backend: backend.into(), protocol: UpstreamProtocol::Http1 };
        Backend::Forward(Forward {
            upstream: state.upstreams.get(&key),
            timeouts: Timeouts::default(),
            service: Arc::new(Origin::new("Service", "shop", "cart:80")),
        })
    };
    let at = EndpointAddress { address: "127.0.0.1:80".parse().unwrap(), name: "".into() };
    state.upstreams.set_endpoints(&"shop/cart:80".into(), vec![at]);
    let backends =
        [("served", forward("shop/cart:80")), ("waiting", forward("shop/none:80")), ("broken", Backend::Unavailable(Reason::NoService))];
    for (name, backend) in backends {
        let route = Route {
            origin: Arc::new(Origin::new("Ingress", "shop", name)),
            host: host.clone(),
            path: Some(PathMatch::Prefix(format!("/{name}").parse().unwrap())),
            conditions: Conditions::default(),
            compatibility: Compatibility::Native,
            filters: Box::default(),
            backend,
            series: Arc::default(),
        };
        assert!(builder.add(Arc::new(route)).is_ok());
    }
    let mut hosts = HostMap::default();
    hosts.set(&host, Some(Arc::new(builder.build().unwrap())));
    let mut certificates = HostMap::default();
    for (name, days) in [("late.test", 40_000), ("soon.test", 30_000)] {
        certificates.set(&HostMatch::of_ingress(name).unwrap(), Some(certificate(name, days)));
    }
    let tls = TlsTable::new(certificates, certificate("default.test", 50_000), &SessionTickets::new().unwrap()).unwrap();
    let listener = Listener {
        name: "https".into(),
        address: "127.0.0.1:0".parse().unwrap(),
        tls: Some(tls),
        public_port: None,
        public_https_port: None,
        proxy_protocol: CidrSet::default(),
        limits: Arc::default(),
        hosts,
        fallback: None,
    };
    Table { generation: 0, listeners: vec![listener], trusted_proxies: CidrSet::default() }
}

fn samples<'a>(text: &'a str, family: &str) -> Vec<&'a str> {
    let of_family = |line: &&str| line.starts_with(&format!("{family}{{")) || line.starts_with(&format!("{family} "));
    text.lines().filter(of_family).map(|line| line.strip_prefix(family).unwrap_or(line)).collect()
}

#[test]
fn every_family_is_on_the_page_and_within_what_it_may_have() {
    let page = page();
    page.control.leads("lease", true);
    let text = text(&page);
    for family in families() {
        let head = format!("# TYPE {} {}\n", family.name, family.kind.as_str());
        assert_eq!(text.matches(&head).count(), 1, "{}", family.name);
        let own = |line: &&str| {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let name = if family.kind == tidegate_proxy::observe::FamilyKind::Histogram {
                name.rsplit_once('_').map_or(name, |(name, _)| name)
            } else {
                name
            };
            name == family.name
        };
        let written = text.lines().filter(|line| !line.starts_with('#')).filter(own).count();
        match family.series {
            Growth::Fixed(series) => assert_eq!(written, series, "{}", family.name),
            Growth::Requests(_) | Growth::Certificates(_) | Growth::Orphans(_) => assert_eq!(written, 0, "{}", family.name),
        }
    }
    let heads = text.lines().filter(|line| line.starts_with("# TYPE")).count();
    assert_eq!(heads, families().count(), "a family is written that is not listed");
}

#[test]
fn certificates_and_ingresses_in_want_are_told_by_the_table_that_serves() {
    let page = page();
    let publisher = Publisher::new(table(&page.state));
    assert!(page.publisher.set(Arc::new(publisher)).is_ok());
    let text = text(&page);
    let whose = r#"controller_class="example.com/c",controller_namespace="edge",controller_pod="p-1""#;
    let expiry = |host: &str, name: &str, days: u64| {
        let labels = format!(r#"class="example.com/c",host="{host}",namespace="shop",secret_name="{name}",identifier="f00""#);
        format!("{{{whose},{labels}}} {}", days * 86_400)
    };
    let wanted = [expiry("soon.test", "soon.test", 30_000), expiry("late.test", "late.test", 40_000), expiry("_", "default.test", 50_000)];
    assert_eq!(samples(&text, "nginx_ingress_controller_ssl_expire_time_seconds"), wanted);
    let orphan = |ingress: &str, want: &str| format!(r#"{{{whose},namespace="shop",ingress="{ingress}",type="{want}"}} 1"#);
    assert_eq!(
        samples(&text, "nginx_ingress_controller_orphan_ingress"),
        [orphan("broken", "no-service"), orphan("waiting", "no-endpoint")]
    );
    assert_eq!(samples(&text, "tidegate_generation"), [" 1"]);
}

#[test]
fn what_the_budget_has_no_room_for_is_told_as_one() {
    let state = State::default();
    let mut out = Exposition::default();
    served::write(&mut out, Some(&table(&state)), "c", Budget::new(20));
    let text = out.into_text();
    let expiries = samples(&text, "nginx_ingress_controller_ssl_expire_time_seconds");
    let overflow = r#"{class="c",host="_overflow",namespace="_overflow",secret_name="_overflow",identifier="_overflow"}"#;
    assert!(expiries.len() == 2 && expiries[0].contains("soon.test"), "{text}");
    assert_eq!(expiries[1], format!("{overflow} {}", 40_000_u64 * 86_400), "the next to expire among those that are left out");
    let orphans = samples(&text, "nginx_ingress_controller_orphan_ingress");
    assert_eq!(orphans[1..], [r#"{namespace="_overflow",ingress="_overflow",type="no-endpoint"} 1"#], "{text}");
}

#[test]
fn all_shares_of_the_budget_together_keep_within_it() {
    for limit in [usize::try_from(Budget::LEAST).unwrap(), 200_000, 5_000_000] {
        let budget = Budget::new(limit);
        let most = Budget::fixed() + budget.certificates() + budget.orphans() + budget.pairs() * 51;
        assert!(most <= limit && most + 51 > limit, "{limit}: {most}");
        assert!(budget.pairs() >= 9, "{limit}");
    }
}
