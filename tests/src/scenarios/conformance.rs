//! The thirty scenarios of the Ingress conformance suite (`kubernetes-sigs/ingress-controller-conformance`, which says "25 scenarios", one of
//! them with six examples), in our own words.
//!
//! As the suite does, these tests reach Tidegate at the address that it wrote into the status of the Ingress, on ports 80 and 443, and look at the
//! first answer that comes. Unlike the suite's, the Ingresses name a class; that the default class is for those which name none is a test
//! of `classes`. The suite wants plain http served on a host that has TLS, so that the class's redirect is off. In a directory there is no status.
//!
//! | no. | feature | scenario | test |
//! |---|---|---|---|
//! | 1-6 | default backend | an Ingress of a default backend alone serves any method, host and path: GET of the root, GET below it, POST, PUT without a name for a host, DELETE, PATCH; headers of both sides come through | `a_default_backend_serves_everything` |
//! | 7 | host rules | https by the certificate of the host, which a client verifies | `hosts_are_served_by_their_rules` |
//! | 8 | | http on the same host | same |
//! | 9 | | another host of the same domain is nobody's | same |
//! | 10 | | a wildcard takes one label | same |
//! | 11 | | but not two | same |
//! | 12 | | and not none | same |
//! | 13 | class | an Ingress of a class that nobody owns gets no status | `a_class_that_nobody_owns_gets_no_status` |
//! | 14 | load balancing | 100 requests reach all 10 Pods | `all_pods_are_used` |
//! | 15 | path rules | Exact `/foo` takes `/foo` | `paths_are_served_by_their_rules` |
//! | 16 | | not `/foo/` | same |
//! | 17 | | not `/FOO` | same |
//! | 18 | | not `/bar` | same |
//! | 19 | | Prefix `/foo` takes `/foo` | same |
//! | 20 | | and `/foo/` | same |
//! | 21 | | not `/FOO` | same |
//! | 22 | | of Prefix `/aaa` and `/aaa/bbb` the longer takes `/aaa/bbb` | same |
//! | 23 | | and `/aaa/bbb/ccc` | same |
//! | 24 | | the shorter takes `/aaa/ccc` | same |
//! | 25 | | neither takes `/aaaccc` | same |
//! | 26 | | Prefix `/foo` beside others takes `/foo/` (the suite has it twice) | same |
//! | 27 | | of Prefix and Exact `/foo` Exact takes `/foo` | same |
//! | 28 | | Prefix `/aaa/bbb/` takes `/aaa/bbb` | same |
//! | 29 | | and `/aaa/bbb/` | same |
//! | 30 | | Exact `/foo/` does not take `/foo` | same |

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use http::Method;
use serde_json::Value;

use crate::client::{self, Answer, Ask};
use crate::site::{Site, ingress};
use crate::tidegate::Tidegate;
use crate::tls::{self, TestCertificate};
use crate::wait;

crate::scenarios!("conformance":
    a_default_backend_serves_everything,
    hosts_are_served_by_their_rules,
    a_class_that_nobody_owns_gets_no_status,
    all_pods_are_used,
    paths_are_served_by_their_rules,
);

/// A class whose Ingresses serve http where they have TLS.
const CLASS: &str = "
apiVersion: tidegate.dev/v1alpha1
kind: ClassParameters
metadata: {name: $CLASS}
spec: {sslRedirect: false}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: $CLASS}
spec: {controller: $CONTROLLER, parameters: {apiGroup: tidegate.dev, kind: ClassParameters, scope: Cluster, name: $CLASS}}
";

/// Starts a Tidegate as people run it, on ports 80 and 443 of the address that it publishes.
async fn tidegate(site: &Site) -> anyhow::Result<Tidegate> {
    let (http, https) = (site.address(250, 80), site.address(250, 443));
    let address = format!("--publish-status-address={}", http.ip());
    site.tidegate(&[&format!("--http={http}"), &format!("--https={https}"), &address]).await
}

/// Waits until the Ingress says where it is reached, and returns that address on port 80.
async fn exposed(site: &Site, name: &str) -> anyhow::Result<SocketAddr> {
    if site.is_directory() {
        return Ok(site.address(250, 80));
    }
    wait::until_ok(async || {
        let ingress = site.get("Ingress", name).await?;
        let found = ingress.data["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().context("no address in the status")?;
        Ok(SocketAddr::new(found.parse()?, 80))
    })
    .await
}

/// A request, and the Service that is to answer it; `None` is nobody, with 404.
type Row<'a> = (&'a str, Option<&'a str>);

/// Asks for each URL, once.
async fn table(at: SocketAddr, rows: &[Row<'_>]) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for (url, service) in rows {
        let ask = Ask::get(url)?;
        let answer = ask.send(at).await?;
        let seen = answer.seen();
        let fits = match service {
            Some(service) => {
                answer.status == 200
                    && seen["name"] == format!("{service}-1")
                    && seen["host"] == ask.url.authority().map_or("", |authority| authority.as_str())
                    && seen["uri"] == ask.url.path()
            }
            None => answer.status == 404 && seen["name"].is_null(),
        };
        if !fits {
            wrong.push(format!("{url}: wanted {service:?}, got {answer}"));
        }
    }
    ensure!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    Ok(())
}

async fn a_default_backend_serves_everything(site: &Site) -> anyhow::Result<()> {
    let _echo = site.service("echo", 1).await?;
    let _tidegate = tidegate(site).await?;
    site.apply(DEFAULT_BACKEND).await?;
    let at = exposed(site, "default-backend").await?;
    // A host without a name is the address itself.
    let bare = at.ip().to_string();
    let rows = [
        (Method::GET, "my-host", "/"),
        (Method::GET, "my-host", "/sub-path"),
        (Method::POST, "some-host", "/"),
        (Method::PUT, &bare, "/resource"),
        (Method::DELETE, "some-host", "/resource"),
        (Method::PATCH, "my-host", "/resource"),
    ];
    // The first answer after the status appeared is right already; in a directory nothing says when.
    if site.is_directory() {
        wait::until_ok(async || table(at, &[("http://my-host/", Some("echo"))]).await).await?;
    }
    for (method, host, path) in rows {
        let mut ask = Ask { method: method.clone(), ..Ask::get(&format!("http://{host}{path}"))? };
        ask.headers.insert("user-agent", http::HeaderValue::from_static("conformance/1"));
        let answer = ask.send(at).await?;
        let seen = answer.seen();
        let passed =
            seen["headers"].as_array().into_iter().flatten().any(|header| *header == Value::from(vec!["user-agent", "conformance/1"]));
        let fits = answer.status == 200
            && answer.version == http::Version::HTTP_11
            && seen["name"] == "echo-1"
            && seen["method"] == method.as_str()
            && seen["uri"] == path
            && seen["protocol"] == "HTTP/1.1"
            && passed;
        ensure!(fits && headers_are_there(&answer), "{method} {host}{path}: {answer}");
    }
    Ok(())
}

fn headers_are_there(answer: &Answer) -> bool {
    ["content-length", "content-type", "date", "server"].iter().all(|name| !answer.header(name).is_empty())
}

const DEFAULT_BACKEND: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: default-backend}
spec: {ingressClassName: $CLASS, defaultBackend: {service: {name: echo, port: {number: 80}}}}
";

async fn hosts_are_served_by_their_rules(site: &Site) -> anyhow::Result<()> {
    let _wildcard = site.service("wildcard", 1).await?;
    let _exact = site.service("exact", 1).await?;
    let certificate = TestCertificate::new(&["foo.bar.com"])?;
    site.apply(&certificate.secret("conformance-tls")).await?;
    site.apply(CLASS).await?;
    site.apply(&format!(
        "{}  tls: [{{hosts: [foo.bar.com], secretName: conformance-tls}}]\n",
        ingress("host-rules", &["*.foo.com/ Prefix wildcard", "foo.bar.com/ Prefix exact"])?
    ))
    .await?;
    let _tidegate = tidegate(site).await?;
    let at = exposed(site, "host-rules").await?;
    let https = SocketAddr::new(at.ip(), 443);
    client::handshake(client::connect(https).await?, "foo.bar.com", &tls::trusting(&certificate.der)?).await?;
    let stranger = client::handshake(client::connect(https).await?, "bar.foo.com", &tls::trusting(&certificate.der)?).await;
    ensure!(stranger.is_err(), "the client does not verify: the certificate is not for bar.foo.com");
    table(https, &[("https://foo.bar.com/", Some("exact"))]).await?;
    table(
        at,
        &[
            ("http://foo.bar.com/", Some("exact")),
            ("http://subdomain.bar.com/", None),
            ("http://bar.foo.com/", Some("wildcard")),
            ("http://baz.bar.foo.com/", None),
            ("http://foo.com/", None),
        ],
    )
    .await
}

async fn a_class_that_nobody_owns_gets_no_status(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("nobody", &["ingress-class/ Prefix app"])?.replace("$CLASS", "some-invalid-class-name")).await?;
    site.apply(&ingress("ours", &["ours/ Prefix app"])?).await?;
    let _tidegate = tidegate(site).await?;
    // One of ours has its address: so the other was seen, and left alone.
    let at = exposed(site, "ours").await?;
    table(at, &[("http://ours/", Some("app")), ("http://ingress-class/", None)]).await?;
    if !site.is_directory() {
        let nobody = site.get("Ingress", "nobody").await?;
        ensure!(nobody.data["status"]["loadBalancer"]["ingress"].is_null(), "{nobody:?}");
    }
    Ok(())
}

async fn all_pods_are_used(site: &Site) -> anyhow::Result<()> {
    let _echo = site.service("echo", 10).await?;
    site.apply(DEFAULT_BACKEND).await?;
    let _tidegate = tidegate(site).await?;
    let at = exposed(site, "default-backend").await?;
    let mut pods = BTreeSet::new();
    for _ in 0..100 {
        let answer = Ask::get("http://load-balancing/")?.send(at).await?;
        ensure!(answer.status == 200, "{answer}");
        pods.insert(answer.seen()["name"].as_str().unwrap_or_default().to_owned());
    }
    ensure!(pods.len() == 10, "not all Pods were reached: {pods:?}");
    Ok(())
}

async fn paths_are_served_by_their_rules(site: &Site) -> anyhow::Result<()> {
    let mut backends = Vec::new();
    for name in ["foo-exact", "foo-prefix", "aaa-bbb", "aaa", "aaa-bbb-slash", "foo-slash-exact"] {
        backends.push(site.service(name, 1).await?);
    }
    let rules = [
        "exact-path-rules/foo Exact foo-exact",
        "prefix-path-rules/foo Prefix foo-prefix",
        "prefix-path-rules/aaa/bbb Prefix aaa-bbb",
        "prefix-path-rules/aaa Prefix aaa",
        "mixed-path-rules/foo Prefix foo-prefix",
        "mixed-path-rules/foo Exact foo-exact",
        "trailing-slash-path-rules/aaa/bbb/ Prefix aaa-bbb-slash",
        "trailing-slash-path-rules/foo/ Exact foo-slash-exact",
    ];
    site.apply(&ingress("path-rules", &rules)?).await?;
    let _tidegate = tidegate(site).await?;
    let at = exposed(site, "path-rules").await?;
    let rows = [
        ("http://exact-path-rules/foo", Some("foo-exact")),
        ("http://exact-path-rules/foo/", None),
        ("http://exact-path-rules/FOO", None),
        ("http://exact-path-rules/bar", None),
        ("http://prefix-path-rules/foo", Some("foo-prefix")),
        ("http://prefix-path-rules/foo/", Some("foo-prefix")),
        ("http://prefix-path-rules/FOO", None),
        ("http://prefix-path-rules/aaa/bbb", Some("aaa-bbb")),
        ("http://prefix-path-rules/aaa/bbb/ccc", Some("aaa-bbb")),
        ("http://prefix-path-rules/aaa/ccc", Some("aaa")),
        ("http://prefix-path-rules/aaaccc", None),
        ("http://prefix-path-rules/foo/", Some("foo-prefix")),
        ("http://mixed-path-rules/foo", Some("foo-exact")),
        ("http://trailing-slash-path-rules/aaa/bbb", Some("aaa-bbb-slash")),
        ("http://trailing-slash-path-rules/aaa/bbb/", Some("aaa-bbb-slash")),
        ("http://trailing-slash-path-rules/foo", None),
    ];
    table(at, &rows).await
}
