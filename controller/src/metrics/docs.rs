//! The page of metrics, made from the families.

use std::fmt::Write as _;

use tidegate_proxy::observe::Growth;

use super::{Budget, families};

const HEAD: &str = "\
# Metrics

`/metrics` on the health address (port 10254) shows them in Prometheus' text format. Where ingress-nginx has a family that dashboards and
alerts use, it has the same name, type and labels here, so that its own Grafana dashboards show data; what only Tidegate has begins with
`tidegate_`. Values of labels come from closed sets or from objects: no request can make a series for a host or a path that no rule names.

Families of ingress-nginx (`process_*` aside) carry `controller_class` (`--controller-name`), `controller_namespace` and `controller_pod`
besides (`POD_NAMESPACE` and `POD_NAME`, or what the kubelet mounts).
";

const LABELS: &str = "
## Labels of requests
| label | value |
|---|---|
| `namespace`, `ingress` | the Ingress whose rule took the request; empty where none did |
| `service` | the Service that serves the rule; empty where nothing can |
| `host` | the host of the rule, not of the request: `*.example.com` is one host, `_` is any. `--metrics-per-host=false` takes the label away |
| `path` | the path of the rule as it was normalised; empty for a default backend |
| `method` | one of RFC 9110 and PATCH, or `other` |
| `status` | the status that the client got, 499 where it went away before it had one; `_overflow` beyond 599 |
| `canary` | empty: there are no canaries yet |

A request is counted when its response has ended. Requests that no rule took are counted with an empty `ingress`, so that their 404s are seen.
Series begin with the first request and end with their rule: a removed Ingress takes its series along.

## Times of endpoints
`response_duration_seconds` and `connect_duration_seconds` are of the last try at an endpoint. The first try begins with the request, and
nothing is held back on the way: a request that was tried once took as long in `response_duration_seconds` as in
`request_duration_seconds`, and a slow client makes both longer. They differ by what was tried again, and by what Tidegate answered
without a try, which has no time of an endpoint. A connection that stood already took 0 seconds; a try that found none has no time to connect.

`response_duration_seconds` has the eleven bounds of `request_duration_seconds`, ingress-nginx's own from 5 ms to 10 s, so that a panel can show
both. `connect_duration_seconds` has four of them, 5 ms, 25 ms, 100 ms and 1 s, beyond which a lost SYN is: no dashboard of ingress-nginx asks
for its quantiles, and an alert that does gets one to within these. `ingress_upstream_latency_seconds` is old there and a dashboard still asks
for it: the sum and count of `connect_duration_seconds`, without quantiles.

## What differs from ingress-nginx
- Where a request was tried more than once, times of endpoints are those of the last try; ingress-nginx then leaves the request out.
- `connect_duration_seconds` has four bounds. `ingress_upstream_latency_seconds` has all labels of requests, so that no sum falls when a rule
  goes.
- There is no `header_duration_seconds`: no dashboard of ingress-nginx asks for it, and every request would look at the clock once more for
  it. The access log has it, as `$upstream_header_time` or `header_ms`.
- Sizes are those of bodies, heads not included. `response_size` has buckets from 10 bytes to 10 MB, `request_size` has one.
- `ssl_expire_time_seconds` is shown by every replica, not by the leader alone.
- `config_hash` is the generation of the table, which each replica counts for itself: it changes when the configuration does, and cannot be
  compared between replicas. Nothing is ever reloaded, and no table that fails is swapped in: alert on `tidegate_diagnostics` besides.
- `orphan_ingress` shows Ingresses in want only, always as 1.
- There is no `bytes_sent`, `ssl_certificate_info`, `check_*`, and no `admission_*`.

## Queries
```text
sum(rate(nginx_ingress_controller_requests[1m])) by (ingress)
sum(rate(nginx_ingress_controller_requests{status=~\"5..\"}[5m])) by (ingress) / sum(rate(nginx_ingress_controller_requests[5m])) by (ingress)
histogram_quantile(0.99, sum(rate(nginx_ingress_controller_request_duration_seconds_bucket[5m])) by (le, ingress))
histogram_quantile(0.99, sum(rate(nginx_ingress_controller_response_duration_seconds_bucket[5m])) by (le, namespace, service))
nginx_ingress_controller_ssl_expire_time_seconds - time() < 21 * 86400
sum(tidegate_diagnostics{severity=\"error\"}) by (code) > 0
sum(rate(tidegate_answers_total[5m])) by (reason)
tidegate_metrics_request_kinds >= tidegate_metrics_request_kinds_limit
```
";

/// The limit that the tables speak of: the flag's default.
const DEFAULT: usize = 200_000;

fn page() -> String {
    let mut page = format!("<!-- Generated; `UPDATE_GENERATED=1 cargo test -p tidegate --lib` writes it anew. -->\n{HEAD}");
    for (title, begins) in [("Names of ingress-nginx", "nginx_"), ("Tidegate's own", "tidegate_"), ("The process", "process_")] {
        let _ = writeln!(page, "\n## {title}\n| family | type | labels | unit | what it is |\n|---|---|---|---|---|");
        for family in families().filter(|family| family.name.starts_with(begins)) {
            let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            let (kind, unit) = (family.kind.as_str(), family.unit.as_str());
            let _ = writeln!(page, "| `{}` | {kind} | {} | {unit} | {} |", family.name, labels.join(", "), family.help);
        }
    }
    page.push_str(LABELS);
    page.push_str(&budget());
    page
}

fn budget() -> String {
    let budget = Budget::new(DEFAULT);
    let (pairs, certificates, orphans, fixed) = (budget.pairs(), budget.certificates(), budget.orphans(), Budget::fixed());
    let each: usize = families().map(|family| if let Growth::Requests(series) = family.series { series } else { 0 }).sum();
    let mut text = format!(
        "
## How many series there can be
`--metrics-series-limit` ({DEFAULT} by default, at least {}) is a hard limit. It is shared out: what does not depend on objects or traffic has
{fixed} series, those that stand for what found no room included; certificates and orphaned Ingresses may have a twentieth of the limit each;
the rest is for requests, of which every triple of route, method and status that was seen takes up to {each} series. By default {pairs} triples
fit, first come, first served. One route counts at most 32 pairs of method and status apart.

What finds no room is counted all the same, with `_overflow` for all labels but the status, of which the class (`5xx`) is kept. Of certificates
the next to expire are shown, and as `_overflow` when the first of the others expires; of orphaned Ingresses the number of the others. Counts
never move: a triple that was once counted apart stays so until its route goes, which makes room again.
`tidegate_metrics_request_kinds` says how much of the room is taken; clients that try odd methods on many routes take it too, and failures of
routes that come later then count under `_overflow` alone, so alert on it.

A triple takes some 220 bytes of memory, and as many again after its first request that was not sent at once on a connection that stood; a
route that nobody asked for takes only its labels.

| family | series of each | how many by default | series by default |
|---|---|---|---|
",
        Budget::LEAST
    );
    let mut all = 0;
    for family in families() {
        let (series, of, most) = match family.series {
            Growth::Fixed(series) => (series, "fixed".to_owned(), series),
            Growth::Requests(series) => {
                (series, format!("{pairs} triples of route, method and status, 5 classes of overflow"), series * (pairs + 5))
            }
            Growth::Certificates(series) => (series, format!("{certificates} certificates, 1 overflow"), series * (certificates + 1)),
            Growth::Orphans(series) => (series, format!("{orphans} Ingresses, 2 overflow"), series * (orphans + 2)),
        };
        all += most;
        let _ = writeln!(text, "| `{}` | {series} | {of} | {most} |", family.name);
    }
    let _ = writeln!(text, "| all | | | {all} |");
    text
}

#[test]
fn the_page_of_metrics_is_current() {
    crate::generated::assert_current("docs/metrics.md", &page());
}

#[test]
fn a_name_says_the_type_and_unit_where_it_is_ours() {
    for family in families().filter(|family| family.name.starts_with("tidegate_")) {
        let counter = family.kind == tidegate_proxy::observe::FamilyKind::Counter;
        assert_eq!(family.name.ends_with("_total"), counter, "{}", family.name);
        let unit = family.unit.as_str();
        assert!(unit.is_empty() || family.name.contains(unit), "{}", family.name);
    }
}
