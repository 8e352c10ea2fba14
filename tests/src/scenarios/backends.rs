//! How a backend of a rule becomes endpoints.

use anyhow::ensure;

use crate::backend::Backend;
use crate::site::{BACKEND_PORT, Site, ingress, service, slice};
use crate::tidegate::Tidegate;
use crate::tidegate::Want::{From, Status};

crate::scenarios!("backends":
    a_port_goes_by_number_or_by_name,
    a_named_target_port_may_differ_from_pod_to_pod,
    the_type_of_a_service_does_not_matter,
    a_missing_service_costs_its_own_path_until_it_comes,
    a_missing_port_costs_its_own_path_until_it_comes,
    without_a_ready_endpoint_the_answer_is_503,
    serving_and_terminating_endpoints_are_the_last_resort,
    endpoints_of_all_slices_count_once,
    a_backend_that_is_not_a_service_answers_503,
    the_protocol_of_the_port_is_spoken,
    several_ports_of_a_service_are_kept_apart,
    endpoints_may_have_ipv6_addresses,
    a_dual_stack_service_uses_both_families,
);

/// Ingress with one backend per path of the host `app.test`, written out as YAML.
fn paths(backends: &[(&str, &str)]) -> String {
    let mut text = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: app}\nspec:\n  ingressClassName: $CLASS\n  \
                    rules:\n  - host: app.test\n    http:\n      paths:\n"
        .to_owned();
    for (path, backend) in backends {
        text.push_str(&format!("      - {{path: {path}, pathType: Prefix, backend: {{{backend}}}}}\n"));
    }
    text
}

async fn a_port_goes_by_number_or_by_name(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&paths(&[
        ("/number", "service: {name: app, port: {number: 80}}"),
        ("/name", "service: {name: app, port: {name: http}}"),
        // The number of the Pod's port is not one of the Service's.
        ("/target", "service: {name: app, port: {number: 8080}}"),
    ]))
    .await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate
        .expect_all(&[
            ("http://app.test/number", From("app-1")),
            ("http://app.test/name", From("app-1")),
            ("http://app.test/target", Status(503)),
        ])
        .await
}

async fn a_named_target_port_may_differ_from_pod_to_pod(site: &Site) -> anyhow::Result<()> {
    let one = Backend::start("app-1", site.address(1, 8081)).await?;
    let two = Backend::start("app-2", site.address(2, 9090)).await?;
    site.apply("apiVersion: v1\nkind: Service\nmetadata: {name: app}\nspec: {ports: [{name: http, port: 80, targetPort: web}]}").await?;
    // The EndpointSlice controller makes a slice for each set of port numbers.
    for backend in [&one, &two] {
        let address = backend.address;
        let text = slice("app", &[(address, "ready: true")]);
        let text = text.replace("name: app, labels", &format!("name: {}, labels", backend.name));
        site.apply(&text.replace("port: 8080", &format!("port: {}", address.port()))).await?;
    }
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let answer = tidegate.expect("http://app.test/", From("app-")).await?;
        seen.insert(answer.seen()["name"].to_string());
    }
    ensure!(seen.len() == 2, "{seen:?}");
    Ok(())
}

async fn the_type_of_a_service_does_not_matter(site: &Site) -> anyhow::Result<()> {
    let mut backends = Vec::new();
    let mut rules = Vec::new();
    for (name, spec) in
        [("node", "type: NodePort"), ("balancer", "type: LoadBalancer"), ("headless", "clusterIP: None"), ("plain", "type: ClusterIP")]
    {
        let backend = site.backend(name).await?;
        site.apply(&service(name).replace("spec: {", &format!("spec: {{{spec}, "))).await?;
        site.apply(&slice(name, &[(backend.address, "ready: true")])).await?;
        backends.push(backend);
        rules.push(format!("app.test/{name} Prefix {name}"));
    }
    site.apply(&ingress("app", &rules.iter().map(String::as_str).collect::<Vec<_>>())?).await?;
    let tidegate = site.tidegate(&[]).await?;
    for backend in &backends {
        tidegate.expect(&format!("http://app.test/{}", backend.name), From(&backend.name)).await?;
    }
    Ok(())
}

async fn a_missing_service_costs_its_own_path_until_it_comes(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app", "app.test/late Prefix late"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect_all(&[("http://app.test/", From("app-1")), ("http://app.test/late", Status(503))]).await?;
    let finding = tidegate.diagnosed("missing_service", "app").await?;
    ensure!(finding["message"].to_string().contains("late"), "the Service is not named: {finding}");
    let _late = site.service("late", 1).await?;
    tidegate.becomes("http://app.test/late", From("late-1")).await?;
    tidegate.no_more("missing_service").await?;
    site.delete("Service", "late").await?;
    tidegate.becomes("http://app.test/late", Status(503)).await?;
    tidegate.expect("http://app.test/", From("app-1")).await?;
    Ok(())
}

async fn a_missing_port_costs_its_own_path_until_it_comes(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&paths(&[("/", "service: {name: app, port: {number: 80}}"), ("/named", "service: {name: app, port: {name: web}}")])).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect_all(&[("http://app.test/", From("app-1")), ("http://app.test/named", Status(503))]).await?;
    tidegate.diagnosed("missing_service_port", "app").await?;
    site.apply("apiVersion: v1\nkind: Service\nmetadata: {name: app}\nspec: {ports: [{name: http, port: 80}, {name: web, port: 81}]}")
        .await?;
    // The slice's ports are found by the Service's port name.
    let text =
        slice("app", &[(site.address(1, 8080), "ready: true")]).replace("ports: [", "ports: [{name: web, port: 8080, protocol: TCP}, ");
    site.apply(&text).await?;
    tidegate.becomes("http://app.test/named", From("app-1")).await?;
    tidegate.no_more("missing_service_port").await
}

async fn without_a_ready_endpoint_the_answer_is_503(site: &Site) -> anyhow::Result<()> {
    let app = site.service("app", 1).await?;
    let address = app[0].address;
    site.apply(&slice("app", &[(address, "ready: false, serving: false, terminating: false")])).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect("http://app.test/", Status(503)).await?;
    // Unknown readiness counts as ready (Kubernetes API reference, EndpointConditions).
    site.apply(&slice("app", &[(address, "")])).await?;
    tidegate.becomes("http://app.test/", From("app-1")).await?;
    site.apply(&slice("app", &[])).await?;
    tidegate.becomes("http://app.test/", Status(503)).await?;
    site.apply(&slice("app", &[(address, "ready: true")])).await?;
    tidegate.becomes("http://app.test/", From("app-1")).await?;
    site.delete("EndpointSlice", "app").await?;
    tidegate.becomes("http://app.test/", Status(503)).await?;
    Ok(())
}

async fn serving_and_terminating_endpoints_are_the_last_resort(site: &Site) -> anyhow::Result<()> {
    let app = site.service("app", 2).await?;
    let [old, new] = &app[..] else { anyhow::bail!("two backends were started") };
    let leaving = "ready: false, serving: true, terminating: true";
    site.apply(&slice("app", &[(old.address, leaving)])).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect("http://app.test/", From("app-1")).await?;
    site.apply(&slice("app", &[(old.address, leaving), (new.address, "ready: true")])).await?;
    tidegate.becomes("http://app.test/", From("app-2")).await?;
    for _ in 0..4 {
        tidegate.expect("http://app.test/", From("app-2")).await?;
    }
    site.apply(&slice("app", &[(old.address, "ready: false, serving: false, terminating: true")])).await?;
    tidegate.becomes("http://app.test/", Status(503)).await?;
    Ok(())
}

async fn endpoints_of_all_slices_count_once(site: &Site) -> anyhow::Result<()> {
    let app = site.service("app", 2).await?;
    let [one, two] = &app[..] else { anyhow::bail!("two backends were started") };
    // While the controller moves endpoints between slices, one is in both for a moment.
    site.apply(&slice("app", &[(one.address, "ready: true")])).await?;
    let second =
        slice("app", &[(one.address, "ready: true"), (two.address, "ready: true")]).replace("name: app, labels", "name: app-more, labels");
    site.apply(&second).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    let mut of_one = 0;
    for _ in 0..20 {
        let answer = tidegate.expect("http://app.test/", From("app-")).await?;
        of_one += usize::from(answer.seen()["name"] == "app-1");
    }
    ensure!((9..=11).contains(&of_one), "app-1 answered {of_one} of 20 requests");
    Ok(())
}

async fn a_backend_that_is_not_a_service_answers_503(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&paths(&[
        ("/", "service: {name: app, port: {number: 80}}"),
        ("/bucket", "resource: {apiGroup: storage.example.com, kind: Bucket, name: files}"),
    ]))
    .await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect_all(&[("http://app.test/", From("app-1")), ("http://app.test/bucket", Status(503))]).await?;
    let finding = tidegate.diagnosed("unsupported_backend", "app").await?;
    ensure!(finding.to_string().contains("Bucket"), "the kind is not named: {finding}");
    Ok(())
}

async fn the_protocol_of_the_port_is_spoken(site: &Site) -> anyhow::Result<()> {
    let _plain = site.backend("plain").await?;
    let tls = Backend::start_tls("tls", site.address(200, 8080)).await?;
    site.apply(&service("tls").replace("name: http, ", "name: http, appProtocol: https, ")).await?;
    site.apply(&slice("tls", &[(tls.address, "ready: true")])).await?;
    site.apply(&service("h2").replace("name: http, ", "name: http, appProtocol: kubernetes.io/h2c, ")).await?;
    site.apply(&slice("h2", &[(site.address(1, 8080), "ready: true")])).await?;
    // The annotation wins over the port.
    site.apply(&service("both").replace("name: http, ", "name: http, appProtocol: http, ")).await?;
    site.apply(&slice("both", &[(tls.address, "ready: true")])).await?;
    site.apply(&ingress("app", &["app.test/tls Prefix tls", "app.test/h2 Prefix h2"])?).await?;
    let annotated = "name: both, annotations: {nginx.ingress.kubernetes.io/backend-protocol: HTTPS}";
    site.apply(&ingress("both", &["app.test/both Prefix both"])?.replace("name: both}\nspec", &format!("{annotated}}}\nspec"))).await?;
    let tidegate = site.tidegate(&[]).await?;
    let answer = tidegate.expect("http://app.test/tls", From("tls")).await?;
    ensure!(answer.seen()["scheme"] == "https", "{answer}");
    let answer = tidegate.expect("http://app.test/h2", From("plain")).await?;
    ensure!(answer.seen()["protocol"] == "HTTP/2.0", "{answer}");
    let answer = tidegate.expect("http://app.test/both", From("tls")).await?;
    ensure!(answer.seen()["scheme"] == "https", "{answer}");
    Ok(())
}

async fn several_ports_of_a_service_are_kept_apart(site: &Site) -> anyhow::Result<()> {
    let _web = Backend::start("web", site.address(1, 8081)).await?;
    let _admin = Backend::start("admin", site.address(1, 8082)).await?;
    site.apply(
        "
apiVersion: v1
kind: Service
metadata: {name: app}
spec: {ports: [{name: web, port: 80, targetPort: 8081}, {name: admin, port: 81, targetPort: 8082}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: app, labels: {kubernetes.io/service-name: app}}
addressType: IPv4
ports: [{name: web, port: 8081, protocol: TCP}, {name: admin, port: 8082, protocol: TCP}]
endpoints: [{addresses: [$NET.1], conditions: {ready: true}}]
",
    )
    .await?;
    site.apply(&paths(&[("/", "service: {name: app, port: {number: 80}}"), ("/admin", "service: {name: app, port: {name: admin}}")]))
        .await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect_all(&[("http://app.test/", From("web")), ("http://app.test/admin", From("admin"))]).await
}

async fn endpoints_may_have_ipv6_addresses(site: &Site) -> anyhow::Result<()> {
    let one = Backend::start("six-1", site.address_v6(1, BACKEND_PORT)).await?;
    let two = Backend::start("six-2", site.address_v6(2, BACKEND_PORT)).await?;
    site.apply(&service("six")).await?;
    site.apply(&slice("six", &[(one.address, "ready: true")])).await?;
    site.apply(&ingress("app", &["app.test/ Prefix six"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    let answer = tidegate.expect("http://app.test/", From("six-1")).await?;
    ensure!(answer.seen()["local"].as_str().is_some_and(|local| local == one.address.to_string()), "{answer}");
    site.apply(&slice("six", &[(two.address, "ready: true")])).await?;
    tidegate.becomes("http://app.test/", From("six-2")).await?;
    Ok(())
}

/// Of a Service of both families each Pod has an address in a slice of each.
async fn a_dual_stack_service_uses_both_families(site: &Site) -> anyhow::Result<()> {
    let four = Backend::start("four", site.address(1, BACKEND_PORT)).await?;
    let six = Backend::start("six", site.address_v6(1, BACKEND_PORT)).await?;
    site.apply(&service("app")).await?;
    site.apply(&slice("app", &[(four.address, "ready: true")])).await?;
    site.apply(&slice("app", &[(six.address, "ready: true")]).replace("name: app, labels", "name: app-six, labels")).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    let mut of_six = 0;
    for _ in 0..20 {
        let answer = tidegate.get("http://app.test/").await?;
        let name = answer.seen()["name"].clone();
        ensure!(name == "four" || name == "six", "{answer}");
        of_six += usize::from(name == "six");
    }
    ensure!((9..=11).contains(&of_six), "the IPv6 endpoint answered {of_six} of 20 requests");
    // Either family alone will do.
    site.delete("EndpointSlice", "app").await?;
    alone(&tidegate, "six").await?;
    site.apply(&slice("app", &[(four.address, "ready: true")])).await?;
    site.delete("EndpointSlice", "app-six").await?;
    alone(&tidegate, "four").await
}

/// Waits until four requests in a row reach this backend.
async fn alone(tidegate: &Tidegate, name: &str) -> anyhow::Result<()> {
    crate::wait::until_ok(async || {
        for _ in 0..4 {
            tidegate.expect("http://app.test/", From(name)).await?;
        }
        Ok(())
    })
    .await
}
