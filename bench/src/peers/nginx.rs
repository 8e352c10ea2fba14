//! nginx.

use std::fmt::Write as _;
use std::process::Command;

use super::{Place, text};
use crate::process::{PROXY_CORE, pinned};

pub(super) fn command(place: &Place<'_>) -> anyhow::Result<Command> {
    let mut servers = String::new();
    for host in place.site.names() {
        let certificate = place.ground.certificate(&host)?;
        let certificate = text(&certificate)?;
        write!(
            servers,
            "
  server {{
    listen {http}; listen {https} ssl http2; server_name {host};
    ssl_certificate {certificate}; ssl_certificate_key {certificate};
    location / {{ proxy_pass http://backend; }}
  }}",
            http = place.http,
            https = place.https,
        )?;
    }
    let access_log = place.access_log();
    let config = format!(
        "
daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid {directory}/pid; error_log {directory}/error.log;
events {{ worker_connections 20000; }}
http {{
  access_log {access_log};
  keepalive_requests 1000000000; keepalive_timeout 300s; client_max_body_size 0;
  server_names_hash_max_size 65536; server_names_hash_bucket_size 128;
  ssl_protocols TLSv1.3; ssl_ecdh_curve X25519; ssl_session_cache off; ssl_session_tickets {tickets};
  upstream backend {{ server {upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  proxy_http_version 1.1; proxy_request_buffering off;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  proxy_set_header Connection $connection_upgrade; proxy_set_header Upgrade $http_upgrade; proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;{servers}
}}
",
        directory = text(&place.directory)?,
        access_log = access_log.as_deref().map_or(Ok("off"), text)?,
        tickets = if place.site.tickets { "on" } else { "off" },
        upstream = place.ground.upstream,
    );
    let file = place.write("nginx.conf", &config)?;
    let mut command = pinned(PROXY_CORE, &place.ground.tools.nginx);
    command.arg("-c").arg(file).args(["-p", text(&place.directory)?]).args(["-e", "stderr"]);
    Ok(command)
}
