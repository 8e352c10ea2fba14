//! What is explained is what is answered, whoever is asked: the objects, or a running Tidegate at its admin address.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;

use crate::client::{Answer, Ask};
use crate::site::{Site, ingress, service, slice};
use crate::tidegate::Tidegate;
use crate::tidegate::Want::From;
use crate::tls::TestCertificate;
use crate::wait;

crate::scenarios!("explain":
    what_is_explained_is_what_is_answered,
    the_same_is_wrong_and_served_whoever_is_asked,
    a_difference_is_seen_whatever_the_sides_are,
);

/// A request: method, URL, and a header or none.
type Request = (&'static str, &'static str, Option<(&'static str, &'static str)>);

const REQUESTS: &[Request] = &[
    ("GET", "http://shop.test/", None),
    ("GET", "http://shop.test/cart", None),
    ("GET", "http://shop.test/cart/items?x=1", None),
    ("GET", "http://shop.test/carts", None),
    ("GET", "http://shop.test/cart/../exact", None),
    ("GET", "http://shop.test//exact", None),
    ("GET", "http://shop.test/exact/", None),
    ("GET", "http://SHOP.test:1234/%63art", None),
    ("GET", "http://shop.test/a%2Fb", None),
    ("GET", "http://shop.test/%zz", None),
    ("GET", "http://shop.test/%00", None),
    ("DELETE", "http://shop.test/gone", None),
    ("GET", "http://shop.test/down", None),
    ("GET", "http://strict.test/api", None),
    ("GET", "http://strict.test/other", None),
    ("GET", "http://one.wild.test/x", None),
    ("GET", "http://two.one.wild.test/x", None),
    ("GET", "http://wild.test/x", None),
    ("GET", "http://own.wild.test/x", None),
    ("GET", "http://own.wild.test/y", None),
    ("GET", "http://own.wild.test/y/z", None),
    ("GET", "http://nobody.test/", None),
    ("GET", "http://nobody.test/any/where", None),
    ("GET", "http://tls.test/a?b", None),
    ("GET", "http://tls.test/.well-known/acme-challenge/x", None),
    ("GET", "https://tls.test/a", None),
    ("GET", "https://other.test/", None),
    ("GET", "http://limited.test/", None),
    ("POST", "http://limited.test/x", Some(("content-length", "11"))),
    ("POST", "http://limited.test/x", Some(("content-length", "10"))),
    ("GET", "http://closed.test/", None),
    ("GET", "http://foreign.test/", None),
    ("GET", "http://shop.test/", Some(("x-forwarded-host", "tls.test"))),
];

/// What serves all that no rule takes.
const REST: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: rest}
spec:
  ingressClassName: $CLASS
  defaultBackend: {service: {name: cart, port: {number: 80}}}
";

async fn furnish(site: &Site, certificate: &TestCertificate) -> anyhow::Result<Vec<crate::backend::Backend>> {
    let mut backends = Vec::new();
    for name in ["app", "cart", "wild"] {
        backends.extend(site.service(name, 1).await?);
    }
    site.apply(&service("down")).await?;
    site.apply(&slice("down", &[(site.address(250, 1), "ready: false")])).await?;
    site.apply(&certificate.secret("cert")).await?;
    let with = |name: &str, annotations: &str, rules: &[&str]| {
        Ok::<_, anyhow::Error>(ingress(name, rules)?.replacen(
            &format!("{{name: {name}}}"),
            &format!("{{name: {name}, annotations: {{{annotations}}}}}"),
            1,
        ))
    };
    let shop = [
        "shop.test/ Prefix app",
        "shop.test/cart Prefix cart",
        "shop.test/exact Exact wild",
        "shop.test/gone Prefix gone",
        "shop.test/down Prefix down",
    ];
    for text in [
        ingress("shop", &shop)?,
        ingress("strict", &["strict.test/api Exact app"])?,
        ingress("rival", &["shop.test/cart Prefix app", "shop.test/cart/items Exact wild"])?,
        ingress("wild", &["*.wild.test/ Prefix wild"])?,
        format!(
            "{}  defaultBackend: {{service: {{name: cart, port: {{number: 80}}}}}}\n",
            ingress("own", &["own.wild.test/x Prefix app"])?
        ),
        ingress("any", &["/any Prefix app"])?,
        format!("{}  tls: [{{hosts: [tls.test], secretName: cert}}]\n", ingress("tls", &["tls.test/ Prefix app"])?),
        with("limited", "tidegate.dev/proxy-body-size: '10', tidegate.dev/app-root: /home", &["limited.test/ Prefix app"])?,
        with("closed", "nginx.ingress.kubernetes.io/auth-url: 'http://auth.test/'", &["closed.test/ Prefix app"])?,
        ingress("foreign", &["foreign.test/ Prefix app"])?.replace("$CLASS", "nobody"),
    ] {
        site.apply(&text).await?;
    }
    Ok(backends)
}

async fn ask(tidegate: &Tidegate, number: usize) -> anyhow::Result<Answer> {
    let (method, url, header) = REQUESTS[number];
    let mut request = Ask { method: method.parse::<Method>()?, ..Ask::get(url)? };
    request.headers.insert("x-number", HeaderValue::from(number));
    match header {
        // The body is as long as the header says.
        Some(("content-length", bytes)) => request.body = Bytes::from(vec![b'x'; bytes.parse()?]),
        Some((name, value)) => drop(request.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value))),
        None => {}
    }
    tidegate.send(&request).await
}

/// Explains a request by the words of the command line that say where to look.
fn explain(site: &Site, place: &[String], number: usize) -> anyhow::Result<Value> {
    let (method, url, header) = REQUESTS[number];
    let header = header.map(|(name, value)| format!("-H{name}: {value}"));
    let arguments = ["explain", url, "-X", method, "-o", "json"].into_iter().chain(header.as_deref());
    site.command(&arguments.chain(place.iter().map(String::as_str)).collect::<Vec<_>>())
}

async fn what_is_explained_is_what_is_answered(site: &Site) -> anyhow::Result<()> {
    let certificate = TestCertificate::new(&["tls.test"])?;
    let _backends = furnish(site, &certificate).await?;
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("access.log");
    let to = format!("--access-log={}", log.display());
    let format = "--access-log-format=$http_x_number $namespace/$ingress_name $service_name";
    let tidegate = site.tidegate(&["--reason-header", "--public-https-port=443", &to, format]).await?;
    let objects = [site.object_flags()?, vec!["--public-https-port=443".to_owned()]].concat();
    let instance = vec![format!("--admin={}", tidegate.admin)];
    let mut answers = Vec::new();
    for (number, request) in REQUESTS.iter().enumerate() {
        answers.push(ask(&tidegate, number).await.with_context(|| format!("{request:?}"))?);
    }
    let lines = wait::until("a line of the log for each", async || {
        let text = std::fs::read_to_string(&log)?;
        let lines: BTreeMap<usize, String> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(number, line)| Some((number.parse().ok()?, line.to_owned())))
            .collect();
        Ok((lines.len() == REQUESTS.len()).then_some(lines))
    })
    .await?;
    for (number, (request, answer)) in REQUESTS.iter().zip(&answers).enumerate() {
        let line = &lines[&number];
        let by_objects = explain(site, &objects, number)?;
        let by_instance = explain(site, &instance, number)?;
        for part in ["host", "path", "route", "candidates", "filters", "backend", "answer"] {
            ensure!(by_objects[part] == by_instance[part], "{request:?}, {part}: {by_objects:#} {by_instance:#}");
        }
        for explanation in [&by_objects, &by_instance] {
            agrees(site, explanation, answer, line).with_context(|| format!("{request:?}: {answer}, {line}, {explanation:#}"))?;
        }
        // What is made at start differs; what objects give does not.
        let shown =
            |explanation: &Value| (explanation["certificate"]["object"].to_string(), explanation["certificate"]["served_for"].to_string());
        ensure!(shown(&by_objects) == shown(&by_instance), "{request:?}: {by_objects:#} {by_instance:#}");
        let ours = by_objects["certificate"]["object"]["name"] == "cert";
        ensure!(
            ours == (answer.certificate.as_ref() == Some(&certificate.der)),
            "{request:?}: another certificate is shown: {by_objects:#}"
        );
    }
    // A default backend takes what was a 404.
    site.apply(REST).await?;
    tidegate.becomes("http://nobody.test/", From("cart-1")).await?;
    let number = REQUESTS.iter().position(|(_, url, _)| *url == "http://nobody.test/").context("no such request")?;
    for place in [&objects, &instance] {
        let explanation = explain(site, place, number)?;
        let first = &explanation["candidates"][0];
        ensure!(first["standing"] == "serves" && first["object"]["name"] == "rest", "{explanation:#}");
        ensure!(explanation["backend"]["backend"] == format!("{}/cart:80", site.namespace), "{explanation:#}");
        ensure!(explanation["answer"]["by"] == "endpoint", "{explanation:#}");
    }
    Ok(())
}

/// Holds an explanation against an answer and its line of the access log.
fn agrees(site: &Site, explanation: &Value, answer: &Answer, line: &str) -> anyhow::Result<()> {
    let said = &explanation["answer"];
    let (object, service) = line.split_once(' ').context("no object in the line")?;
    match said["by"].as_str() {
        Some("endpoint") => {
            ensure!(answer.header("x-tidegate-reason").is_empty(), "no endpoint answered");
            let name = explanation["backend"]["backend"].as_str().unwrap_or_default();
            ensure!(name == format!("{}/{service}:80", site.namespace), "another Service");
            let from = answer.seen()["name"].as_str().unwrap_or_default().to_owned();
            ensure!(from == format!("{service}-1"), "another backend: {from}");
        }
        Some("tidegate") => {
            ensure!(said["status"] == answer.status.as_u16(), "another status");
            ensure!(said["reason"] == answer.header("x-tidegate-reason"), "another reason");
            ensure!(said["location"].as_str().unwrap_or_default() == answer.header("location"), "another place");
        }
        _ => anyhow::bail!("who answers is not known"),
    }
    let route = &explanation["route"]["object"];
    let named = match route["name"].as_str() {
        Some(name) => format!("{}/{name}", route["namespace"].as_str().unwrap_or_default()),
        None => object.to_owned(),
    };
    ensure!(named == object, "another object");
    // Without a route the log names none.
    ensure!(route.is_null() != object.ends_with(|c: char| c.is_alphanumeric()), "a route where there is none");
    Ok(())
}

async fn the_same_is_wrong_and_served_whoever_is_asked(site: &Site) -> anyhow::Result<()> {
    let certificate = TestCertificate::new(&["tls.test"])?;
    let _backends = furnish(site, &certificate).await?;
    let tidegate = site.tidegate(&["--public-https-port=443"]).await?;
    let places = [site.object_flags()?, vec![format!("--admin={}", tidegate.admin)]];
    // Other tests share a cluster: what is theirs comes and goes.
    let ours = |found: &Value| found["object"]["namespace"] == *site.namespace;
    let listed = |command: &str, place: &Vec<String>| {
        let arguments: Vec<_> = [command, "-o", "json"].into_iter().chain(place.iter().map(String::as_str)).collect();
        site.command(&arguments)
    };
    let found = |place| -> anyhow::Result<Vec<Value>> {
        let all = listed("diagnostics", place)?.as_array().cloned().unwrap_or_default();
        Ok(all.into_iter().filter(ours).collect())
    };
    let (by_objects, by_instance) = (found(&places[0])?, found(&places[1])?);
    ensure!(by_objects.len() >= 4 && by_objects == by_instance, "{by_objects:#?} {by_instance:#?}");
    for command in ["routes", "backends"] {
        let [by_objects, by_instance] = places.each_ref().map(|place| listed(command, place));
        let (by_objects, by_instance) = (by_objects?, by_instance?);
        ensure!(by_objects.as_array().is_some_and(|list| list.len() >= 4), "{command}: {by_objects:#}");
        ensure!(by_objects == by_instance, "{command}: {by_objects:#} {by_instance:#}");
    }
    if site.is_directory() {
        let directory = site.directory()?.display().to_string();
        let controller = site.fill("--controller-name=$CONTROLLER");
        let checked = site.command(&["check", &directory, "-o", "json", &controller])?;
        let fields = ["object", "code", "field", "message", "severity", "help"];
        let told = |found: &Value| fields.map(|field| found[field].to_string());
        let mut checked: Vec<_> = checked["findings"].as_array().into_iter().flatten().map(told).collect();
        let mut told: Vec<_> = by_instance.iter().map(told).collect();
        checked.sort();
        told.sort();
        ensure!(checked == told, "{checked:#?} {told:#?}");
    }
    Ok(())
}

async fn a_difference_is_seen_whatever_the_sides_are(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let certificate = TestCertificate::new(&["a.test"])?;
    site.apply(&certificate.secret("cert")).await?;
    let tls = "  tls: [{hosts: [a.test], secretName: cert}]\n";
    let web = |rules: &[&str]| Ok::<_, anyhow::Error>(format!("{}{tls}", ingress("web", rules)?));
    site.apply(&web(&["a.test/ Prefix app", "a.test/x Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    let [controller, objects]: [String; 2] = site.object_flags()?.try_into().map_err(|flags| anyhow::anyhow!("{flags:?}"))?;
    // The side that the site's objects are, and the flag that it needs.
    let (side, flag) = match objects.split_once('=') {
        Some(("--manifests", directory)) => (directory.to_owned(), None),
        _ => ("cluster".to_owned(), Some(objects.as_str())),
    };
    let diff = |old: &str, new: &str| {
        let flag = flag.filter(|_| [old, new].contains(&side.as_str()));
        let arguments: Vec<_> = ["diff", old, new, "-o", "json", &controller].into_iter().chain(flag).collect();
        site.command(&arguments)
    };
    let count = |differences: &Value, what: &str| {
        ["gained", "lost", "changed"].map(|list| differences[what][list].as_array().map_or(usize::MAX, Vec::len))
    };
    let instance = format!("admin:{}", tidegate.admin);
    let same = diff(&side, &instance)?;
    ensure!((count(&same, "routes"), count(&same, "certificates")) == ([0; 3], [0; 3]), "{same:#}");

    let directory = tempfile::tempdir()?;
    let next = web(&["a.test/ Prefix other", "a.test/y Exact app"])?.replace("{name: web}", "{name: web, namespace: $NS}");
    let class = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: $CLASS}\nspec: {controller: $CONTROLLER}\n";
    std::fs::write(directory.path().join("next.yaml"), site.fill(&format!("{class}---\n{next}")))?;
    let next = directory.path().display().to_string();
    for now in [&side, &instance] {
        let differences = diff(now, &next)?;
        // The manifests have the Ingress alone: its Services are missing, and the certificate.
        ensure!(count(&differences, "routes") == [1, 1, 1], "{differences:#}");
        ensure!(count(&differences, "certificates") == [0, 1, 0], "{differences:#}");
        let changed = &differences["routes"]["changed"][0];
        ensure!(changed["what"] == serde_json::json!(["backend"]) && changed["path"] == "Prefix /", "{changed:#}");
    }
    Ok(())
}
