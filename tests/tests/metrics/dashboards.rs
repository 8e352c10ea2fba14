//! What ingress-nginx's own dashboards for Grafana ask, panel by panel: of which family, chosen by which labels, and told apart by which. They
//! are its nginx.json and request-handling-performance.json.

use std::ops::RangeInclusive;

use anyhow::{Context as _, ensure};
use tidegate_tests::prometheus::Prometheus;
use tidegate_tests::wait;

/// What a panel asks.
struct Panel {
    title: &'static str,
    query: String,
    /// The labels that its legend shows; each sample must have them.
    by: &'static [&'static str],
    /// Where every sample must be.
    within: RangeInclusive<f64>,
}

fn panel(title: &'static str, query: String, by: &'static [&'static str], within: RangeInclusive<f64>) -> Panel {
    Panel { title, query, by, within }
}

const REQUESTS: &str = "nginx_ingress_controller_requests";
const REQUEST_DURATION: &str = "nginx_ingress_controller_request_duration_seconds";
const RESPONSE_DURATION: &str = "nginx_ingress_controller_response_duration_seconds";
const CONNECT_DURATION: &str = "nginx_ingress_controller_connect_duration_seconds";
const UPSTREAM_LATENCY: &str = "nginx_ingress_controller_ingress_upstream_latency_seconds";
const REQUEST_SIZE: &str = "nginx_ingress_controller_request_size";
const RESPONSE_SIZE: &str = "nginx_ingress_controller_response_size";
const PROCESS: &str = "nginx_ingress_controller_nginx_process";
const CONFIG: &str = "nginx_ingress_controller_config";

/// The controller, as some panels choose it: its namespace is the target's.
const TARGET: &str = r#"controller_pod=~"edge-0",controller_class=~"tidegate.*",namespace=~"edge""#;
/// And as the others do.
const CONTROLLER: &str = r#"controller_pod=~"edge-0",controller_class=~"tidegate.*",controller_namespace=~"edge""#;
/// An Ingress, where that is all that a panel chooses by.
const INGRESS: &str = r#"ingress=~"route-0""#;

/// Rates of anything that ran at all, by the second.
const SOME: RangeInclusive<f64> = 0.001..=1e9;
const SECONDS: RangeInclusive<f64> = 1e-6..=10.0;
/// One request in five to `route-0` fails.
const FAILURES: RangeInclusive<f64> = 0.05..=0.4;
const SUCCESSES: RangeInclusive<f64> = 0.6..=0.95;

fn rate(series: &str, chosen: &str, by: &str) -> String {
    format!("sum by ({by}) (rate({series}{{{chosen}}}[1m]))")
}

fn latest_rate(series: &str, chosen: &str, by: &str) -> String {
    format!("sum by ({by}) (irate({series}{{{chosen}}}[1m]))")
}

/// Which part of what is chosen has a status like this.
fn share(series: &str, chosen: &str, status: &str, by: &str) -> String {
    format!("{} / {}", rate(series, &format!("{chosen},status{status}"), by), rate(series, chosen, by))
}

fn mean(family: &str, chosen: &str, by: &str) -> String {
    format!("{} / {}", rate(&format!("{family}_sum"), chosen, by), rate(&format!("{family}_count"), chosen, by))
}

fn quantile(quantile: f64, family: &str, chosen: &str, by: &str) -> String {
    format!(
        "histogram_quantile({quantile}, {})",
        rate(&format!("{family}_bucket"), chosen, &format!("{by}{}le", if by.is_empty() { "" } else { "," }))
    )
}

/// nginx.json: its panels from top to bottom.
fn controller() -> Vec<Panel> {
    let one = format!("{CONTROLLER},{INGRESS}");
    let apart = format!("ingress!=\"\",{one}");
    let exported = format!("{apart},exported_namespace=~\"default\"");
    let sum = |family: &str| format!("{family}_sum");
    let mut panels = vec![
        panel("request volume", latest_rate(REQUESTS, TARGET, ""), &[], SOME),
        panel("connections", format!("sum(avg_over_time({PROCESS}_connections{{{CONTROLLER},state=\"active\"}}[1m]))"), &[], 0.0..=1e4),
        panel("success rate", share(REQUESTS, TARGET, "!~\"[4-5].*\"", ""), &[], 0.5..=0.95),
        panel("reloads", format!("avg(irate(nginx_ingress_controller_success{{{CONTROLLER}}}[1m])) * 60"), &[], 0.0..=1e3),
        // It counts those that are 0.
        panel(
            "last configuration failed",
            format!("{CONFIG}_last_reload_successful{{controller_pod=~\"edge-0\",controller_namespace=~\"edge\"}}"),
            &[],
            1.0..=1.0,
        ),
        panel("volume by Ingress", latest_rate(REQUESTS, &one, "ingress"), &["ingress"], SOME),
        panel(
            "success rate by Ingress",
            share(REQUESTS, &format!("{TARGET},{INGRESS}"), "!~\"[4-5].*\"", "ingress"),
            &["ingress"],
            SUCCESSES,
        ),
        panel("received", latest_rate(&sum(REQUEST_SIZE), CONTROLLER, ""), &[], SOME),
        panel("sent", latest_rate(&sum(RESPONSE_SIZE), CONTROLLER, ""), &[], SOME),
        panel("memory", format!("avg({PROCESS}_resident_memory_bytes{{{CONTROLLER}}})"), &[], 1e6..=1e10),
        panel("processor", format!("avg(rate({PROCESS}_cpu_seconds_total{{{CONTROLLER}}}[1m]))"), &[], 0.0..=1e3),
        panel("received by Ingress", latest_rate(&sum(REQUEST_SIZE), &apart, "ingress"), &["ingress"], SOME),
        panel("sent by Ingress", latest_rate(&sum(RESPONSE_SIZE), &apart, "ingress"), &["ingress"], SOME),
        panel(
            "heat map",
            format!("sum by (le) (increase({REQUEST_DURATION}_bucket{{{exported}}}[1m]))"),
            &["le"],
            0.0..=1e9,
        ),
        // No certificate has an Ingress or this name for a Pod, there or here: only all can be chosen.
        panel(
            "certificates",
            "avg by (host) (nginx_ingress_controller_ssl_expire_time_seconds{kubernetes_pod_name=~\".*\",namespace=~\".*\",ingress=~\".*\"}) \
             - time()"
                .to_owned(),
            &["host"],
            1.0..=1e12,
        ),
        panel(
            "marks of reloads",
            format!(
                "sum by (controller_class) (changes({CONFIG}_last_reload_successful_timestamp_seconds\
                 {{instance!=\"unknown\",controller_class=~\"tidegate.*\",namespace=~\"edge\"}}[30s]))"
            ),
            &["controller_class"],
            0.0..=1e3,
        ),
    ];
    for part in [0.5, 0.9, 0.99] {
        panels.push(panel("percentiles", quantile(part, REQUEST_DURATION, &apart, "ingress"), &["ingress"], SECONDS));
    }
    for part in [0.8, 0.9, 0.99] {
        panels.push(panel("percentiles of namespaces", quantile(part, REQUEST_DURATION, &exported, ""), &[], SECONDS));
    }
    panels
}

/// request-handling-performance.json: its panels from top to bottom.
fn performance() -> Vec<Panel> {
    let count = format!("{REQUEST_DURATION}_count");
    let failed = "=~\"[4-5].*\"";
    let mut panels = vec![
        panel("volume by path", rate(&count, INGRESS, "path"), &["path"], SOME),
        panel("median of endpoints by path", quantile(0.5, RESPONSE_DURATION, INGRESS, "path"), &["path"], SECONDS),
        panel("failures by path", share(&count, INGRESS, failed, "path"), &["path"], FAILURES),
        panel("time of endpoints by path", rate(&format!("{RESPONSE_DURATION}_sum"), INGRESS, "path"), &["path"], 1e-6..=1e3),
        panel("volume of failures", rate(&count, &format!("{INGRESS},status{failed}"), "path,status"), &["path", "status"], SOME),
        panel("size by path", mean(RESPONSE_SIZE, INGRESS, "path"), &["path"], 1.0..=1e5),
        panel("sizes", rate(&format!("{RESPONSE_SIZE}_bucket"), INGRESS, "le"), &["le"], 0.0..=1e9),
        panel("latency", mean(UPSTREAM_LATENCY, INGRESS, ""), &[], 0.0..=10.0),
    ];
    for part in [0.5, 0.95, 0.99] {
        panels.push(panel("time of requests", quantile(part, REQUEST_DURATION, INGRESS, ""), &[], SECONDS));
        panels.push(panel("time of endpoints", quantile(part, RESPONSE_DURATION, INGRESS, ""), &[], SECONDS));
    }
    panels
}

/// What fills the lists to choose from, on both.
fn variables() -> Vec<Panel> {
    let hash = format!("{CONFIG}_hash");
    let of = |series: &str, chosen: &str, by: &str| format!("count by ({by}) ({series}{{{chosen}}})");
    let class = r#"namespace=~"edge",controller_class=~"tidegate.*""#;
    vec![
        panel("namespaces", of(&hash, "", "controller_namespace"), &["controller_namespace"], SOME),
        panel("classes", of(&hash, "namespace=~\"edge\"", "controller_class"), &["controller_class"], SOME),
        panel("controllers", of(&hash, class, "controller_pod"), &["controller_pod"], SOME),
        panel("Ingresses", of(REQUESTS, &format!("{TARGET},ingress!=\"\""), "ingress"), &["ingress"], SOME),
        panel("namespaces of Ingresses", of(REQUESTS, &format!("{TARGET},{INGRESS}"), "exported_namespace"), &["exported_namespace"], SOME),
    ]
}

/// What alerts ask besides.
fn alerts() -> Vec<Panel> {
    vec![
        panel("failures", share(REQUESTS, &format!("{CONTROLLER},{INGRESS}"), "=~\"5..\"", ""), &[], FAILURES),
        panel("slow connects", quantile(0.95, CONNECT_DURATION, INGRESS, "service"), &["service"], 0.0..=1.0),
        panel("methods", rate(&format!("{REQUEST_DURATION}_count"), INGRESS, "method,host"), &["method", "host"], SOME),
        panel("age", format!("time() - {CONFIG}_last_reload_successful_timestamp_seconds{{{CONTROLLER}}}"), &[], -5.0..=120.0),
        panel("accepted", rate(&format!("{PROCESS}_connections_total"), CONTROLLER, "state"), &["state"], SOME),
        panel("requests", rate(&format!("{PROCESS}_requests_total"), CONTROLLER, ""), &[], SOME),
        panel("up", "up{job=\"tidegate\"}".to_owned(), &[], 1.0..=1.0),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_answers_every_panel_of_ingress_nginxs_dashboards() -> anyhow::Result<()> {
    let (_backend, front) = super::start(&[]).await?;
    let prometheus = Prometheus::scraping(front.tidegate.health, "edge").await?;
    let panels: Vec<_> = [controller(), performance(), variables(), alerts()].into_iter().flatten().collect();
    wait::until_ok(async || {
        super::send(&front).await?;
        for Panel { title, query, by, within } in &panels {
            let answer = prometheus.query(query).await.context(*title)?;
            ensure!(!answer.is_empty(), "{title}: no data for {query}");
            for (labels, value) in answer {
                ensure!(within.contains(&value), "{title}: {value} for {labels} of {query}");
                for label in *by {
                    let shown = labels.get(label).and_then(|value| value.as_str()).unwrap_or_default();
                    ensure!(!shown.is_empty(), "{title}: {labels} of {query} lacks {label}");
                }
            }
        }
        Ok(())
    })
    .await?;
    for family in tidegate::metrics::families().map(|family| family.name) {
        // Nobody is orphaned here, and nobody stands for election over a directory.
        let absent = family.ends_with("_orphan_ingress") || family.ends_with("_leader_election_status");
        let found = prometheus.query(&format!("count({{__name__=~\"{family}(_count)?\"}})")).await?;
        ensure!(found.is_empty() == absent, "{family}: {found:?}");
    }
    Ok(())
}
