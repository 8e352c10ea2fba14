//! Envoy, configured in JSON, which it reads as well as YAML.

use std::process::Command;

use serde_json::{Value, json};

use super::{Place, text};
use crate::process::{PROXY_CORE, pinned};

const TYPES: &str = "type.googleapis.com/envoy";

pub(super) fn command(place: &Place<'_>) -> anyhow::Result<Command> {
    let name = if place.site.hosts == 1 { "bench.test" } else { "*.bench.test" };
    let certificate = place.ground.certificate(name)?;
    let certificate = json!({"filename": text(&certificate)?});
    let tls = json!({
        "name": "tls",
        "typed_config": {
            "@type": format!("{TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
            "disable_stateless_session_resumption": !place.site.tickets,
            "disable_stateful_session_resumption": true,
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {
                    "tls_minimum_protocol_version": "TLSv1_3",
                    "tls_maximum_protocol_version": "TLSv1_3",
                    "ecdh_curves": ["X25519"],
                },
                "tls_certificates": [{"certificate_chain": certificate, "private_key": certificate}],
            },
        },
    });
    let filters = filters(place)?;
    let listener = |name: &str, address: std::net::SocketAddr, tls: Option<&Value>| {
        let mut chain = json!({"filters": filters});
        if let (Some(tls), Some(chain)) = (tls, chain.as_object_mut()) {
            chain.insert("transport_socket".to_owned(), tls.clone());
        }
        json!({"name": name, "address": socket_address(address), "filter_chains": [chain]})
    };
    let endpoint = json!({"endpoint": {"address": socket_address(place.ground.upstream)}});
    let config = json!({
        "static_resources": {
            "listeners": [listener("http", place.http, None), listener("https", place.https, Some(&tls))],
            "clusters": [{
                "name": "backend",
                "type": "STATIC",
                "connect_timeout": "5s",
                // Without these it opens at most 1024 connections and requests.
                "circuit_breakers": {"thresholds": [{"max_connections": 20_000, "max_pending_requests": 20_000, "max_requests": 20_000}]},
                "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint]}]},
            }],
        },
    });
    let file = place.write("envoy.json", &config.to_string())?;
    let mut command = pinned(PROXY_CORE, &place.ground.tools.envoy);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]).arg("-c").arg(file);
    Ok(command)
}

fn socket_address(address: std::net::SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn filters(place: &Place<'_>) -> anyhow::Result<Value> {
    let hosts: Vec<Value> = place
        .site
        .names()
        .map(|host| {
            json!({
                "name": host,
                "domains": [host],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "60s"}}],
            })
        })
        .collect();
    let mut manager = json!({
        "@type": format!("{TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "bench",
        "use_remote_address": true,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [{
            "name": "router",
            "typed_config": {"@type": format!("{TYPES}.extensions.filters.http.router.v3.Router")},
        }],
    });
    if let (Some(log), Some(manager)) = (place.access_log(), manager.as_object_mut()) {
        let sink = json!({"@type": format!("{TYPES}.extensions.access_loggers.file.v3.FileAccessLog"), "path": text(&log)?});
        manager.insert("access_log".to_owned(), json!([{"name": "file", "typed_config": sink}]));
    }
    Ok(json!([{"name": "http", "typed_config": manager}]))
}
