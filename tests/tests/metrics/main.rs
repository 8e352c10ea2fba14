//! `/metrics` as Prometheus sees it: read by its own tool, scraped by a real one, and asked what dashboards of ingress-nginx ask.

mod dashboards;

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use tidegate_tests::backend::Backend;
use tidegate_tests::client::Ask;
use tidegate_tests::front::{Front, Route};
use tidegate_tests::prometheus::complaints;
use tidegate_tests::tidegate::Tidegate;
use tidegate_tests::wait;

/// What `promtool` says of names that are ingress-nginx's, and of nothing else.
const KNOWN: [&str; 3] = [
    "nginx_ingress_controller_errors counter metrics should have \"_total\" suffix",
    "nginx_ingress_controller_requests counter metrics should have \"_total\" suffix",
    "nginx_ingress_controller_success counter metrics should have \"_total\" suffix",
];

/// A Tidegate before one backend, for the hosts `a.test` (route-0) and `b.test` (route-1), in the Pod `edge/edge-0`.
async fn start(flags: &[&str]) -> anyhow::Result<(Backend, Front)> {
    let backend = Backend::start("app", "127.0.0.1:0".parse()?).await?;
    let routes = [Route::plain("a.test", backend.address), Route::plain("b.test", backend.address)];
    let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let front = Front::start_with(&routes, &flags, &[("POD_NAMESPACE", "edge"), ("POD_NAME", "edge-0")]).await?;
    Ok((backend, front))
}

/// Sends requests of several kinds: to `a.test` four that succeed for one that fails, to `b.test` successes only, under TLS as well.
async fn send(front: &Front) -> anyhow::Result<()> {
    for url in ["http://a.test/", "http://a.test/?bytes=20000", "https://a.test/x", "http://b.test/"] {
        ensure!(front.tidegate.get(url).await?.status == 200, "{url}");
    }
    ensure!(front.tidegate.post("http://a.test/", "hello").await?.status == 200, "POST");
    ensure!(front.tidegate.get("http://a.test/?status=503").await?.status == 503, "503");
    ensure!(front.tidegate.get("http://nobody.test/").await?.status == 404, "404");
    Ok(())
}

async fn page(front: &Front) -> anyhow::Result<String> {
    let answer = Ask::get("http://health.test/metrics")?.send(front.tidegate.health).await?;
    ensure!(answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8", "{answer}");
    Ok(String::from_utf8(answer.body.to_vec())?)
}

/// Returns the samples of a page: what there is but comments.
fn samples(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter(|line| !line.starts_with('#'))
}

/// Returns the sum of the samples of a family that have all these labels.
fn sum(page: &str, family: &str, labels: &[&str]) -> anyhow::Result<f64> {
    let of = samples(page).filter(|line| line.starts_with(&format!("{family}{{")) && labels.iter().all(|label| line.contains(label)));
    of.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).with_context(|| line.to_owned())).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_complains_of_nothing_but_ingress_nginxs_own_names() -> anyhow::Result<()> {
    let (_backend, front) = start(&[]).await?;
    send(&front).await?;
    let page = wait::until_ok(async || {
        let page = page(&front).await?;
        ensure!(sum(&page, "nginx_ingress_controller_requests", &[])? == 7.0, "not all are counted yet:\n{page}");
        Ok(page)
    })
    .await?;
    let known: BTreeSet<_> = KNOWN.map(str::to_owned).into();
    assert_eq!(complaints(&page)?, known);
    // It would see what is wrong.
    let broken = page.replacen("# TYPE tidegate_answers_total counter", "# TYPE tidegate_answers_total gauge", 1);
    ensure!(complaints(&broken)?.len() > known.len(), "a wrong type is not seen");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_what_took_them_and_how_they_ended() -> anyhow::Result<()> {
    let (_backend, front) = start(&[]).await?;
    send(&front).await?;
    let wanted = [
        (&["ingress=\"route-0\"", "host=\"a.test\"", "method=\"GET\"", "status=\"200\""][..], 3.0),
        (&["ingress=\"route-0\"", "method=\"GET\"", "status=\"503\""], 1.0),
        (&["ingress=\"route-0\"", "method=\"POST\"", "status=\"200\"", "path=\"/\"", "namespace=\"default\"", "service=\"route-0\""], 1.0),
        (&["ingress=\"route-1\"", "host=\"b.test\"", "controller_class=\"tidegate.dev/ingress-controller\""], 1.0),
        (&["ingress=\"\"", "status=\"404\""], 1.0),
        (&["nobody.test"], 0.0),
    ];
    wait::until_ok(async || {
        let page = page(&front).await?;
        for (labels, count) in wanted {
            ensure!(sum(&page, "nginx_ingress_controller_requests", labels)? == count, "{labels:?}\n{page}");
            ensure!(sum(&page, "nginx_ingress_controller_request_duration_seconds_count", labels)? == count, "{labels:?}\n{page}");
            // Nothing was tried for what no rule took, and nothing was tried twice.
            let tried = if labels.contains(&"ingress=\"\"") { 0.0 } else { count };
            for family in ["response_duration_seconds", "connect_duration_seconds", "ingress_upstream_latency_seconds"] {
                let family = format!("nginx_ingress_controller_{family}_count");
                ensure!(sum(&page, &family, labels)? == tried, "{family} {labels:?}\n{page}");
            }
        }
        let all = |family: &str| sum(&page, family, &["ingress=\"route"]);
        let times = ["nginx_ingress_controller_request_duration_seconds_sum", "nginx_ingress_controller_response_duration_seconds_sum"];
        let [requests, tries] = times.map(all);
        ensure!((requests? - tries?).abs() < 1e-5, "what was tried once takes as long as its try\n{page}");
        ensure!(sum(&page, "nginx_ingress_controller_request_size_sum", &["ingress=\"route-0\""])? == 5.0, "{page}");
        let large = ["ingress=\"route-0\"", "method=\"GET\"", "status=\"200\""];
        let below = |bound: &'static str| sum(&page, "nginx_ingress_controller_response_size_bucket", &[&large[..], &[bound]].concat());
        ensure!((below("le=\"10000\"")?, below("le=\"100000\"")?) == (2.0, 3.0), "{page}");
        ensure!(page.contains("tidegate_answers_total{reason=\"no_host\"} 1\n"), "{page}");
        ensure!(page.contains("tidegate_endpoints{state=\"ready\"} 2\n"), "{page}");
        ensure!(!page.contains("tidegate_upstream_kept_connections 0\n"), "{page}");
        Ok(())
    })
    .await
}

const CLASS: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: c}
spec: {controller: tidegate.dev/ingress-controller}
";

const WITHOUT_SERVICE: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {ingressClassName: c, rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_objects_shows_in_what_the_control_plane_counts() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("class.yaml"), CLASS)?;
    let manifests = format!("--manifests={}", directory.path().display());
    let tidegate = tokio::task::block_in_place(|| Tidegate::start(&[manifests]))?;
    tidegate.ready().await?;
    let page = async || -> anyhow::Result<String> {
        let answer = Ask::get("http://health.test/metrics")?.send(tidegate.health).await?;
        Ok(String::from_utf8(answer.body.to_vec())?)
    };
    let before = wait::until_ok(async || {
        let page = page().await?;
        ensure!(page.contains("tidegate_generation 1\n"), "{page}");
        Ok(page)
    })
    .await?;
    ensure!(before.contains("tidegate_event_to_table_seconds_count 0\n"), "{before}");
    std::fs::write(directory.path().join("web.yaml"), WITHOUT_SERVICE)?;
    wait::until_ok(async || {
        let page = page().await?;
        ensure!(page.contains("tidegate_event_to_table_seconds_count 1\n") && page.contains("tidegate_generation 2\n"), "{page}");
        ensure!(sum(&page, "nginx_ingress_controller_success", &[])? == 2.0, "{page}");
        let orphan = ["namespace=\"default\"", "ingress=\"web\"", "type=\"no-service\""];
        ensure!(sum(&page, "nginx_ingress_controller_orphan_ingress", &orphan)? == 1.0, "{page}");
        ensure!(sum(&page, "tidegate_diagnostics", &["code=\"missing_service\""])? == 1.0, "{page}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_series_limit_has_no_room_for_is_counted_under_overflow() -> anyhow::Result<()> {
    let (_backend, front) = start(&["--metrics-series-limit=1000"]).await?;
    for status in 200..240 {
        front.tidegate.get(&format!("http://a.test/?status={status}")).await?;
    }
    front.tidegate.get("http://b.test/?status=500").await?;
    let page = wait::until_ok(async || {
        let page = page(&front).await?;
        ensure!(sum(&page, "nginx_ingress_controller_requests", &[])? == 41.0, "not all are counted yet:\n{page}");
        Ok(page)
    })
    .await?;
    let overflow =
        |status: &'static str| sum(&page, "nginx_ingress_controller_requests", &["ingress=\"_overflow\"", "host=\"_overflow\"", status]);
    ensure!(overflow("status=\"2xx\"")? > 0.0 && overflow("status=\"5xx\"")? == 1.0, "{page}");
    ensure!(sum(&page, "nginx_ingress_controller_requests", &["ingress=\"route-0\""])? >= 8.0, "{page}");
    let series = samples(&page).count();
    ensure!(series <= 1000, "{series} series");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_not_told_apart_where_the_flag_says_so() -> anyhow::Result<()> {
    let (_backend, front) = start(&["--metrics-per-host=false"]).await?;
    send(&front).await?;
    wait::until_ok(async || {
        let page = page(&front).await?;
        ensure!(sum(&page, "nginx_ingress_controller_requests", &["ingress=\"route-0\""])? == 5.0, "{page}");
        let with_host = samples(&page).find(|line| line.contains(",host=") && !line.contains("ssl_expire_time_seconds"));
        ensure!(with_host.is_none(), "{with_host:?}");
        Ok(())
    })
    .await
}
