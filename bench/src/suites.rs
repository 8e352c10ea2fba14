//! What is measured: one entry a suite.

use crate::load::{Exchange, Pace};
use crate::peers::{Peer, Site};

/// One question, asked of several proxies.
#[derive(Debug, Clone, Copy)]
pub struct Suite {
    /// Its name on the command line and in tables.
    pub name: &'static str,
    /// What it measures, for people.
    pub what: &'static str,
    /// Who takes part.
    pub peers: &'static [Peer],
    /// What each is set up for; each takes part once a site.
    pub sites: &'static [Site],
    /// How it is measured.
    pub measure: Measure,
}

/// How a suite is measured.
#[derive(Debug, Clone, Copy)]
pub enum Measure {
    /// CPU and latency of one exchange, by our own generator.
    Exchanges {
        /// What each connection does.
        exchange: Exchange,
        /// In clear text or over TLS.
        scheme: Scheme,
        /// How many connections at once.
        connections: usize,
        /// When requests are sent.
        pace: Pace,
    },
    /// CPU of one small request over HTTP/2 and TLS, by h2load.
    Http2 {
        /// How many connections at once.
        connections: usize,
        /// How many requests at once on each.
        streams: usize,
    },
    /// Memory of a connection on which nothing happens.
    Idle {
        /// What is idle.
        exchange: Exchange,
        /// In clear text or over TLS.
        scheme: Scheme,
        /// How many connections.
        connections: usize,
    },
    /// Memory of the process: at the start, and after requests to every host.
    Memory,
}

/// In clear text or over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In clear text.
    Http,
    /// Over TLS.
    Https,
}

use Exchange::{Connect, Download, Idle, IdleHttp2, Resume, Upload, WebSocket};
use Scheme::{Http, Https};

const USUAL: &[Site] = &[Site::USUAL];
const TICKETS: &[Site] = &[Site { name: "tickets", tickets: true, ..Site::USUAL }];
const LOGS: &[Site] = &[Site::USUAL, Site { name: "log on", access_log: true, ..Site::USUAL }];
const HOSTS: &[Site] = &[Site::USUAL, Site { name: "10k hosts", hosts: 10_000, ..Site::USUAL }];
const SERVICES: &[Site] = &[Site::USUAL, hosts_with_services("10k hosts, a Service each", 10_000)];
const SIZES: &[Site] = &[Site::USUAL, hosts_with_services("1k hosts", 1_000), hosts_with_services("10k hosts", 10_000)];
const TIDEGATE: &[Peer] = &[Peer::Tidegate];
const ALL: &[Peer] = &Peer::ALL;
const WITHOUT_FLOOR: &[Peer] = &[Peer::Tidegate, Peer::Nginx, Peer::Haproxy, Peer::Envoy, Peer::Traefik];

const fn hosts_with_services(name: &'static str, hosts: usize) -> Site {
    Site { name, hosts, services: hosts, ..Site::USUAL }
}

const fn closed(exchange: Exchange, scheme: Scheme, connections: usize) -> Measure {
    Measure::Exchanges { exchange, scheme, connections, pace: Pace::Closed }
}

const fn paced(connections: usize, per_second: f64) -> Measure {
    Measure::Exchanges { exchange: Download(64), scheme: Http, connections, pace: Pace::PerSecond(per_second) }
}

const fn idle(exchange: Exchange, scheme: Scheme) -> Measure {
    Measure::Idle { exchange, scheme, connections: 1_000 }
}

const fn usual(name: &'static str, what: &'static str, measure: Measure) -> Suite {
    Suite { name, what, peers: ALL, sites: USUAL, measure }
}

const fn on(sites: &'static [Site], peers: &'static [Peer], name: &'static str, what: &'static str, measure: Measure) -> Suite {
    Suite { name, what, peers, sites, measure }
}

/// All suites. Those that follow each other with the same peers and sites share their processes.
pub const SUITES: &[Suite] = &[
    usual("h1", "HTTP/1.1, 64 B, 64 connections kept", closed(Download(64), Http, 64)),
    usual("h1-tls", "the same over TLS 1.3", closed(Download(64), Https, 64)),
    usual("h2-tls", "HTTP/2 over TLS, 64 B, 16 connections of 32 streams", Measure::Http2 { connections: 16, streams: 32 }),
    usual("handshake", "a new TLS connection, full handshake, one request", closed(Connect, Https, 32)),
    usual("churn", "a new connection in clear text for each request", closed(Connect, Http, 32)),
    usual("body-64k", "64 KiB bodies", closed(Download(64 << 10), Http, 32)),
    usual("body-64k-tls", "64 KiB bodies over TLS", closed(Download(64 << 10), Https, 32)),
    usual("body-1m", "1 MiB bodies", closed(Download(1 << 20), Http, 16)),
    usual("body-1m-tls", "1 MiB bodies over TLS", closed(Download(1 << 20), Https, 16)),
    usual("upload-1m", "uploads of 1 MiB", closed(Upload(1 << 20), Http, 16)),
    usual("latency-2k", "latency at 2,000 requests a second, 16 connections", paced(16, 2_000.0)),
    usual("latency-5k", "latency at 5,000 requests a second, 16 connections", paced(16, 5_000.0)),
    on(USUAL, WITHOUT_FLOOR, "websocket", "WebSocket messages of 64 B and their echoes, 64 connections", closed(WebSocket(64), Http, 64)),
    on(TICKETS, ALL, "resume", "a new TLS connection, resumed session, one request", closed(Resume, Https, 8)),
    on(LOGS, WITHOUT_FLOOR, "access-log", "HTTP/1.1, 64 B, without and with an access log in a file", closed(Download(64), Http, 64)),
    on(USUAL, ALL, "idle", "memory of an idle connection, in clear text", idle(Idle, Http)),
    on(USUAL, ALL, "idle-tls", "memory of an idle connection over TLS", idle(Idle, Https)),
    on(USUAL, ALL, "idle-h2", "memory of an idle HTTP/2 connection over TLS", idle(IdleHttp2, Https)),
    on(
        HOSTS,
        WITHOUT_FLOOR,
        "hosts-10k",
        "HTTP/1.1, 64 B, one host against 10,000, each with its certificate, all with one Service",
        closed(Download(64), Http, 64),
    ),
    on(
        SERVICES,
        TIDEGATE,
        "services-10k",
        "HTTP/1.1, 64 B, one host against 10,000, each with its certificate and its Service",
        closed(Download(64), Http, 64),
    ),
    on(SIZES, WITHOUT_FLOOR, "memory", "memory with 1, 1,000 and 10,000 hosts, before and after requests to all", Measure::Memory),
];

impl Measure {
    /// Tells whether each round begins with new processes: memory once used is not all given back.
    pub fn needs_fresh_processes(self) -> bool {
        match self {
            Self::Exchanges { .. } | Self::Http2 { .. } => false,
            Self::Idle { .. } | Self::Memory => true,
        }
    }

    /// Returns the figure that ratios are taken of.
    pub fn key(self) -> &'static str {
        match self {
            Self::Exchanges { pace: Pace::PerSecond(_), .. } => "p99 µs",
            Self::Exchanges { .. } | Self::Http2 { .. } => "CPU µs",
            Self::Idle { .. } => "KiB",
            Self::Memory => "MiB after",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_names_of_their_own() {
        let mut names: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SUITES.len());
    }
}
