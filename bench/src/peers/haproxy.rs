//! `HAProxy`. It logs to standard output, which is a file.

use std::fmt::Write as _;
use std::process::Command;

use super::{Place, text};
use crate::process::{PROXY_CORE, pinned};

pub(super) fn command(place: &Place<'_>) -> anyhow::Result<Command> {
    let mut certificates = String::new();
    let mut hosts = String::new();
    for host in place.site.names() {
        writeln!(certificates, "{}", text(&place.ground.certificate(&host)?)?)?;
        writeln!(hosts, "{host} backend")?;
    }
    let certificates = place.write("certificates", &certificates)?;
    let hosts = place.write("hosts", &hosts)?;
    let tickets = if place.site.tickets { "" } else { "ssl-default-bind-options no-tls-tickets" };
    let log = if place.site.access_log { "log stdout format raw local0\n  option httplog" } else { "" };
    let config = format!(
        "
global
  nbthread 1
  maxconn 9000
  tune.ssl.cachesize 0
  ssl-default-bind-curves X25519
  {tickets}
defaults
  mode http
  {log}
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  option forwardfor
  http-reuse always
frontend front
  bind {http}
  bind {https} ssl crt-list {certificates} alpn h2,http/1.1 ssl-min-ver TLSv1.3
  http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
  http-request set-header X-Forwarded-Proto http if !{{ ssl_fc }}
  use_backend %[req.hdr(host),field(1,:),map({hosts})]
backend backend
  server one {upstream}
",
        http = place.http,
        https = place.https,
        certificates = text(&certificates)?,
        hosts = text(&hosts)?,
        upstream = place.ground.upstream,
    );
    let file = place.write("haproxy.cfg", &config)?;
    let mut command = pinned(PROXY_CORE, &place.ground.tools.haproxy);
    command.arg("-db").arg("-f").arg(file);
    Ok(command)
}
