//! Traefik, with its file provider.

use std::process::Command;

use serde_json::{Map, Value, json};

use super::{Place, text};
use crate::process::{PROXY_CORE, pinned};

pub(super) fn command(place: &Place<'_>) -> anyhow::Result<Command> {
    let mut routers = Map::new();
    let mut certificates = Vec::new();
    for (number, host) in place.site.names().enumerate() {
        let rule = format!("Host(`{host}`)");
        routers.insert(format!("http-{number}"), json!({"rule": rule, "service": "backend", "entryPoints": ["http"]}));
        routers.insert(format!("https-{number}"), json!({"rule": rule, "service": "backend", "entryPoints": ["https"], "tls": {}}));
        let certificate = place.ground.certificate(&host)?;
        certificates.push(json!({"certFile": text(&certificate)?, "keyFile": text(&certificate)?}));
    }
    let dynamic = json!({
        "http": {
            "routers": Value::Object(routers),
            "services": {"backend": {"loadBalancer": {"servers": [{"url": format!("http://{}", place.ground.upstream)}]}}},
        },
        "tls": {
            "certificates": certificates,
            "options": {"default": {
                "minVersion": "VersionTLS13",
                "curvePreferences": ["X25519"],
                "disableSessionTickets": !place.site.tickets,
            }},
        },
    });
    let dynamic = place.write("dynamic.yaml", &dynamic.to_string())?;
    let mut settings = json!({
        "global": {"checkNewVersion": false, "sendAnonymousUsage": false},
        "log": {"level": "WARN"},
        "entryPoints": {"http": {"address": place.http.to_string()}, "https": {"address": place.https.to_string()}},
        // Its default is to keep two connections to a backend.
        "serversTransport": {"maxIdleConnsPerHost": 1_024},
        "providers": {"file": {"filename": text(&dynamic)?, "watch": false}},
    });
    if let (Some(log), Some(settings)) = (place.access_log(), settings.as_object_mut()) {
        settings.insert("accessLog".to_owned(), json!({"filePath": text(&log)?}));
    }
    let file = place.write("traefik.yaml", &settings.to_string())?;
    let mut command = pinned(PROXY_CORE, &place.ground.tools.traefik);
    command.env("GOMAXPROCS", "1").arg(format!("--configFile={}", text(&file)?));
    Ok(command)
}
