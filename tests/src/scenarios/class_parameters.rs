//! Defaults that a class has for its Ingresses.

use anyhow::ensure;
use serde_json::Value;

use crate::site::{Site, ingress};
use crate::tidegate::Tidegate;
use crate::tidegate::Want::{From, Redirect, Status};

crate::scenarios!("class_parameters":
    the_defaults_of_a_class_hold_and_an_annotation_wins,
    a_change_of_parameters_is_served_at_once,
    a_class_whose_parameters_are_missing_refuses_until_they_come_and_keeps_them,
    parameters_of_another_scope_or_kind_are_told_and_the_class_serves_without,
    a_bad_value_leaves_the_parameters_as_they_were,
    compatibility_is_a_property_of_the_class_and_its_hosts,
);

/// The class of the site with parameters of the same name.
const POINTING: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: $CLASS}
spec: {controller: $CONTROLLER, parameters: {apiGroup: tidegate.dev, kind: ClassParameters, scope: Cluster, name: $CLASS}}
";

fn parameters(spec: &str) -> String {
    format!("apiVersion: tidegate.dev/v1alpha1\nkind: ClassParameters\nmetadata: {{name: $CLASS}}\nspec: {{{spec}}}\n")
}

fn annotated(name: &str, rule: &str, annotations: &str) -> anyhow::Result<String> {
    Ok(ingress(name, &[rule])?.replacen(&format!("{{name: {name}}}"), &format!("{{name: {name}, annotations: {{{annotations}}}}}"), 1))
}

async fn the_defaults_of_a_class_hold_and_an_annotation_wins(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&parameters("forceSslRedirect: true, proxyBodySize: 1Ki, appRoot: /class, permanentRedirectCode: 308")).await?;
    site.apply(POINTING).await?;
    site.apply(&ingress("plain", &["plain.test/ Prefix app"])?).await?;
    let own = "tidegate.dev/force-ssl-redirect: \"false\", nginx.ingress.kubernetes.io/proxy-body-size: \"0\", tidegate.dev/app-root: /own";
    site.apply(&annotated("own", "own.test/ Prefix app", own)?).await?;
    let some = "tidegate.dev/force-ssl-redirect: \"false\"";
    site.apply(&annotated("some", "some.test/ Prefix app", some)?).await?;
    let moved = "tidegate.dev/force-ssl-redirect: \"false\", tidegate.dev/permanent-redirect: https://new.test/";
    site.apply(&annotated("moved", "moved.test/ Prefix app", moved)?).await?;
    let tidegate = site.tidegate(&["--public-http-port=80"]).await?;
    tidegate
        .expect_all(&[
            ("http://plain.test/x", Redirect(308, "https://plain.test:$HTTPS/x")),
            ("http://own.test/x", From("app-1")),
            ("http://own.test/", Redirect(302, "http://own.test/own")),
            // What the Ingress does not say is as the class says.
            ("http://some.test/", Redirect(302, "http://some.test/class")),
            ("http://moved.test/x", Redirect(308, "https://new.test/")),
        ])
        .await?;
    for (host, bytes, status) in [("some", 1024, 200), ("some", 1025, 413), ("own", 1025, 200)] {
        let answer = tidegate.post(&format!("http://{host}.test/x"), vec![b'x'; bytes]).await?;
        ensure!(answer.status == status, "{host}, {bytes} bytes: {answer}");
    }
    Ok(())
}

async fn a_change_of_parameters_is_served_at_once(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&["--public-http-port=80"]).await?;
    tidegate.expect("http://app.test/", From("app-1")).await?;
    site.apply(&parameters("appRoot: /one")).await?;
    site.apply(POINTING).await?;
    tidegate.becomes("http://app.test/", Redirect(302, "http://app.test/one")).await?;
    site.apply(&parameters("appRoot: /two")).await?;
    tidegate.becomes("http://app.test/", Redirect(302, "http://app.test/two")).await?;
    // An Ingress that comes later finds them as they are.
    site.apply(&ingress("later", &["later.test/ Prefix app"])?).await?;
    tidegate.becomes("http://later.test/", Redirect(302, "http://later.test/two")).await?;
    site.apply(&parameters("sslRedirect: true")).await?;
    tidegate.becomes("http://app.test/", From("app-1")).await?;
    Ok(())
}

async fn a_class_whose_parameters_are_missing_refuses_until_they_come_and_keeps_them(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(POINTING).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&["--public-http-port=80"]).await?;
    // They may hold a protection.
    tidegate.expect("http://app.test/", Status(503)).await?;
    let class = site.fill("$CLASS");
    for home in ["/home", "/other"] {
        tidegate.diagnosed("missing_parameters", &class).await?;
        site.apply(&parameters(&format!("appRoot: {home}"))).await?;
        tidegate.becomes("http://app.test/", Redirect(302, &format!("http://app.test{home}"))).await?;
        tidegate.no_more("missing_parameters").await?;
        site.delete("ClassParameters", "$CLASS").await?;
        tidegate.diagnosed("missing_parameters", &class).await?;
        tidegate.expect("http://app.test/", Redirect(302, &format!("http://app.test{home}"))).await?;
    }
    Ok(())
}

async fn parameters_of_another_scope_or_kind_are_told_and_the_class_serves_without(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&parameters("appRoot: /home")).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&["--public-http-port=80"]).await?;
    for other in [
        POINTING.replace("scope: Cluster", "scope: Namespace, namespace: $NS"),
        POINTING.replace("kind: ClassParameters", "kind: IngressParameters").replace("apiGroup: tidegate.dev", "apiGroup: example.com"),
    ] {
        site.apply(&other).await?;
        tidegate.diagnosed("unsupported_parameters", &site.fill("$CLASS")).await?;
        tidegate.expect("http://app.test/", From("app-1")).await?;
        site.apply(POINTING).await?;
        tidegate.becomes("http://app.test/", Redirect(302, "http://app.test/home")).await?;
        tidegate.no_more("unsupported_parameters").await?;
    }
    Ok(())
}

async fn a_bad_value_leaves_the_parameters_as_they_were(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&parameters("appRoot: /first")).await?;
    site.apply(POINTING).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&["--public-http-port=80"]).await?;
    let bad = site.apply(&parameters("appRoot: /second, proxyReadTimeout: 0s")).await;
    // The API server lets no bad value through; a directory has nobody who would stop it.
    if site.is_directory() {
        bad?;
        let finding = tidegate.diagnosed("invalid_parameters", &site.fill("$CLASS")).await?;
        ensure!(finding["field"] == "spec.proxyReadTimeout", "{finding}");
    } else {
        ensure!(bad.is_err_and(|error| format!("{error:#}").contains("spec.proxyReadTimeout")), "the API server takes it");
    }
    tidegate.expect("http://app.test/", Redirect(302, "http://app.test/first")).await?;
    site.apply(&parameters("appRoot: /third")).await?;
    tidegate.becomes("http://app.test/", Redirect(302, "http://app.test/third")).await?;
    tidegate.no_more("invalid_parameters").await
}

async fn compatibility_is_a_property_of_the_class_and_its_hosts(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&parameters("compatibility: ingress-nginx")).await?;
    site.apply(POINTING).await?;
    site.apply("apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: plain-$CLASS}\nspec: {controller: $CONTROLLER}\n")
        .await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    site.apply(&ingress("plain", &["plain.test/ Prefix app"])?.replace("$CLASS", "plain-$CLASS")).await?;
    let tidegate = site.tidegate(&[]).await?;
    let of = |host: &'static str| compatibility(&tidegate, host);
    ensure!(of("app.test").await? == "ingress-nginx" && of("plain.test").await? == "native", "{}", tidegate.admin("/table").await?);
    tidegate
        .expect_all(&[("http://app.test/", From("app-1")), ("http://plain.test/", From("app-1")), ("http://x.test/", Status(404))])
        .await?;
    // Two conventions on one host: the oldest object decides, and the other is told.
    site.apply(&ingress("plain", &["plain.test/ Prefix app", "app.test/more Prefix app"])?.replace("$CLASS", "plain-$CLASS")).await?;
    tidegate.diagnosed("mixed_compatibility", "plain").await?;
    site.apply(&parameters("compatibility: native")).await?;
    tidegate.no_more("mixed_compatibility").await?;
    ensure!(of("app.test").await? == "native", "{}", tidegate.admin("/table").await?);
    Ok(())
}

/// Returns whose conventions a host follows, as the admin page has it.
async fn compatibility(tidegate: &Tidegate, host: &str) -> anyhow::Result<String> {
    let table = tidegate.admin("/table").await?;
    let listeners = table["table"]["listeners"].as_array().cloned().unwrap_or_default();
    let hosts = listeners.iter().flat_map(|listener| listener["hosts"].as_array().cloned().unwrap_or_default());
    let found: Vec<Value> = hosts.filter(|known| known["host"] == host || known["name"] == host).collect();
    ensure!(!found.is_empty(), "no host {host} in {table}");
    Ok(found[0]["compatibility"].as_str().unwrap_or("native").to_owned())
}
