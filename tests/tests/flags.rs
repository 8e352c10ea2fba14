//! Flags as they reach the proxy: each changes what a client, or the log, sees.

#![expect(clippy::indexing_slicing, reason = "a test may panic; JSON is indexed without one")]

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tidegate_tests::binary::{Process, curl, run};
use tidegate_tests::tidegate::{Tidegate, Want};
use tidegate_tests::wait;

/// An echo server, and a directory with a class of somebody else's and an Ingress for `app.test` and `away.test`.
fn world() -> anyhow::Result<(Process, tempfile::TempDir)> {
    let mut echo = Process::start(&["echo", "--listen", "127.0.0.1:0", "--name", "app"], &[])?;
    let line = echo.line("listening on")?;
    let port = line.rsplit(':').next().context("port")?;
    let directory = tempfile::tempdir()?;
    let rule = |host: &str| {
        let backend = format!("backend: {{service: {{name: {}, port: {{number: 80}}}}}}", host.trim_end_matches(".test"));
        format!("  - {{host: {host}, http: {{paths: [{{path: /, pathType: Prefix, {backend}}}]}}}}")
    };
    let manifest = format!(
        "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {{name: edge}}
spec: {{controller: example.com/other}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: web}}
spec:
  ingressClassName: edge
  rules:
{}
{}
---
apiVersion: v1
kind: Service
metadata: {{name: app}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: app-1, labels: {{kubernetes.io/service-name: app}}}}
addressType: IPv4
ports: [{{port: {port}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: away}}
spec: {{type: ExternalName, externalName: 192.0.2.1, ports: [{{port: 80}}]}}
",
        rule("app.test"),
        rule("away.test")
    );
    std::fs::write(directory.path().join("web.yaml"), manifest)?;
    Ok((echo, directory))
}

async fn serve(directory: &Path, flags: &[&str]) -> anyhow::Result<Tidegate> {
    let manifests = format!("--manifests={}", directory.display());
    let flags = [&[manifests.as_str(), "--ingress-class=edge", "--ingress-class-by-name"], flags].concat();
    let tidegate = Tidegate::start(&flags.into_iter().map(str::to_owned).collect::<Vec<_>>())?;
    tidegate.ready().await?;
    Ok(tidegate)
}

/// Asks for `app.test`, with these arguments besides, and returns the picture of what reached the backend.
fn seen(tidegate: &Tidegate, arguments: &[&str]) -> anyhow::Result<Value> {
    let url = format!("http://{}/", tidegate.http);
    let text = curl(&[&["-H", "Host: app.test"], arguments, &[url.as_str()]].concat())?;
    serde_json::from_str(&text).with_context(|| format!("no picture: {text}"))
}

#[tokio::test]
async fn the_class_of_ingress_class_is_served_by_name_only_where_that_is_asked_for() -> anyhow::Result<()> {
    let (_echo, directory) = world()?;
    let by_name = serve(directory.path(), &[]).await?;
    by_name.expect("http://app.test/", Want::From("app")).await?;
    let manifests = format!("--manifests={}", directory.path().display());
    let other = Tidegate::start(&[manifests, "--ingress-class=edge".to_owned()])?;
    other.ready().await?;
    other.expect("http://app.test/", Want::Status(404)).await?;
    Ok(())
}

#[tokio::test]
async fn controller_names_that_are_given_replace_the_default() -> anyhow::Result<()> {
    let (_echo, directory) = world()?;
    let manifests = format!("--manifests={}", directory.path().display());
    let other = Tidegate::start(&[manifests.clone(), "--controller-name=example.com/other".to_owned()])?;
    other.ready().await?;
    other.expect("http://app.test/", Want::From("app")).await?;
    let manifest = directory.path().join("web.yaml");
    let ours = std::fs::read_to_string(&manifest)?.replace("example.com/other", "tidegate.dev/ingress-controller");
    std::fs::write(&manifest, ours)?;
    other.becomes("http://app.test/", Want::Status(404)).await?;
    let both = ["--controller-name=example.com/other", "--controller-name=tidegate.dev/ingress-controller"].map(str::to_owned);
    let both = Tidegate::start(&[&[manifests], &both[..]].concat())?;
    both.ready().await?;
    both.expect("http://app.test/", Want::From("app")).await?;
    Ok(())
}

#[tokio::test]
async fn forwarded_headers_are_believed_of_trusted_peers_alone() -> anyhow::Result<()> {
    let (_echo, directory) = world()?;
    let forwarded = ["-H", "X-Forwarded-For: 203.0.113.9"];
    let trusting = serve(directory.path(), &["--trusted-proxy=10.0.0.0/8", "--trusted-proxy=127.0.0.0/8"]).await?;
    let told = seen(&trusting, &forwarded)?["headers"].to_string();
    ensure!(told.contains("203.0.113.9"), "{told}");
    let wary = serve(directory.path(), &["--trusted-proxy=10.0.0.0/8"]).await?;
    let told = seen(&wary, &forwarded)?["headers"].to_string();
    ensure!(!told.contains("203.0.113.9") && told.contains("127.0.0.1"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_proxy_header_is_expected_of_the_peers_that_are_named_alone() -> anyhow::Result<()> {
    let (_echo, directory) = world()?;
    let behind = serve(directory.path(), &["--proxy-protocol=127.0.0.0/8"]).await?;
    seen(&behind, &["--haproxy-protocol"])?;
    ensure!(seen(&behind, &[]).is_err(), "a connection without the header is served");
    let direct = serve(directory.path(), &["--proxy-protocol=10.0.0.0/8"]).await?;
    seen(&direct, &[])?;
    Ok(())
}

#[tokio::test]
async fn external_names_can_be_switched_off() -> anyhow::Result<()> {
    let (_echo, directory) = world()?;
    let off = serve(directory.path(), &["--disable-external-name"]).await?;
    let finding = off.diagnosed("refused_external_name", "web").await?;
    ensure!(finding["message"].to_string().contains("--disable-external-name"), "{finding}");
    off.expect("http://away.test/", Want::Status(503)).await?;
    let on = serve(directory.path(), &[]).await?;
    on.no_more("refused_external_name").await?;
    Ok(())
}

#[tokio::test]
async fn the_access_log_has_the_format_that_is_asked_for() -> anyhow::Result<()> {
    let (_echo, directory) = world()?;
    let log = directory.path().join("access.log");
    let access = format!("--access-log={}", log.display());
    let tidegate = serve(directory.path(), &[&access, "--access-log-format=host is $host, $status"]).await?;
    seen(&tidegate, &[])?;
    wait::until_ok(async || {
        let text = std::fs::read_to_string(&log)?;
        ensure!(text.lines().any(|line| line == "host is app.test, 200"), "{text}");
        Ok(())
    })
    .await
}

#[test]
fn the_context_that_is_named_says_which_api_server_is_asked() -> anyhow::Result<()> {
    let servers = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let directory = tempfile::tempdir()?;
    let kubeconfig = directory.path().join("config");
    let [one, two] = [servers[0].local_addr()?, servers[1].local_addr()?];
    std::fs::write(
        &kubeconfig,
        format!(
            "
apiVersion: v1
kind: Config
clusters: [{{name: one, cluster: {{server: 'http://{one}'}}}}, {{name: two, cluster: {{server: 'http://{two}'}}}}]
users: [{{name: me, user: {{token: t}}}}]
contexts: [{{name: one, context: {{cluster: one, user: me}}}}, {{name: two, context: {{cluster: two, user: me}}}}]
current-context: one
"
        ),
    )?;
    let file = format!("--kubeconfig={}", kubeconfig.display());
    let addresses = ["--http=127.0.0.1:0", "--https=127.0.0.1:0", "--health=127.0.0.1:0", "--admin=127.0.0.1:0"];
    let _tidegate = Process::start(&[&["serve", file.as_str(), "--context=two"][..], &addresses[..]].concat(), &[])?;
    // Whoever is asked, the other is not: it would have been by the time that the second connection comes.
    servers[1].accept()?;
    servers[1].accept()?;
    servers[0].set_nonblocking(true)?;
    ensure!(servers[0].accept().is_err(), "the current context is asked");
    let ended = run(&[&["serve", file.as_str(), "--context=three"][..], &addresses[..]].concat(), &[])?;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    ensure!(ended.stderr.contains("three"), "{}", ended.stderr);
    Ok(())
}

#[test]
fn what_flags_name_must_lie_in_the_watched_namespaces() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let manifests = format!("--manifests={}", directory.path().display());
    for flag in ["--default-certificate=b/cert", "--default-backend=b/web:80"] {
        let ended = run(&["serve", &manifests, "--watch-namespace=a", flag], &[])?;
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        let (name, _) = flag.split_once('=').context("=")?;
        ensure!(ended.stderr.contains(name) && ended.stderr.contains("--watch-namespace"), "{}", ended.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn only_the_watched_namespaces_of_a_directory_are_served() -> anyhow::Result<()> {
    let (_echo, directory) = world()?;
    let elsewhere = serve(directory.path(), &["--watch-namespace=other"]).await?;
    elsewhere.expect("http://app.test/", Want::Status(404)).await?;
    let here = serve(directory.path(), &["--watch-namespace=other", "--watch-namespace=default"]).await?;
    here.expect("http://app.test/", Want::From("app")).await?;
    Ok(())
}

#[tokio::test]
async fn each_finding_is_one_line_of_the_log_when_it_comes_and_one_when_it_goes() -> anyhow::Result<()> {
    let (_echo, directory) = world()?;
    let manifest = directory.path().join("web.yaml");
    let good = std::fs::read_to_string(&manifest)?;
    std::fs::write(&manifest, good.replace("service: {name: app,", "service: {name: gone,"))?;
    let tidegate = serve(directory.path(), &[]).await?;
    tidegate.diagnosed("missing_service", "web").await?;
    // Changes that leave it as it is say nothing of it.
    for number in 0..3 {
        let service = format!("apiVersion: v1\nkind: Service\nmetadata: {{name: other-{number}}}\nspec: {{ports: [{{port: 80}}]}}\n");
        std::fs::write(directory.path().join("other.yaml"), service)?;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    std::fs::write(&manifest, good)?;
    tidegate.no_more("missing_service").await?;
    let lines = |message: &str| {
        let log = tidegate.log();
        log.lines().filter(|line| line.contains(message) && line.contains("missing_service")).map(str::to_owned).collect::<Vec<_>>()
    };
    wait::until("the line that says so", async || Ok((!lines("an object is right again").is_empty()).then_some(()))).await?;
    let (wrong, right) = (lines("an object is wrong"), lines("an object is right again"));
    ensure!(wrong.len() == 1 && right.len() == 1, "{wrong:#?} {right:#?}");
    let line: Value = serde_json::from_str(&wrong[0])?;
    ensure!(line["object"] == "Ingress default/web" && line["code"] == "missing_service", "{line}");
    Ok(())
}
