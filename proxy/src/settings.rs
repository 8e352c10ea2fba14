//! What only flags can say: how the process is laid out. Everything that an object can change is in the [`Table`](crate::table::Table).

mod log_format;

use std::time::Duration;

pub use log_format::{InvalidLogFormat, LogFormat, Piece, Shape, Variable};

/// Layout of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Worker threads, each with a runtime of its own; at least 1. Default 1: the caller knows the CPUs that it may use.
    pub workers: usize,
    /// Connections that the process serves at once; beyond, new ones wait in the accept queue. Default 65,536.
    pub max_connections: usize,
    /// How long connections are still accepted after the start of a drain. Default 10 s.
    pub drain_min: Duration,
    /// How long requests in flight may take after the start of a drain. Default 240 s.
    pub drain_max: Duration,
    /// Idle HTTP/1.1 connections to endpoints that each worker keeps, all endpoints together; those idle for longest go first. Default 2,048.
    pub idle_connections: usize,
    /// How long an idle connection to an endpoint is kept. Default 30 s.
    pub upstream_idle: Duration,
    /// Whether answers that the proxy makes carry their reason in `X-Tidegate-Reason`. Default off.
    pub reason_header: bool,
    /// Where the access log goes. Default standard output.
    pub access_log: AccessLog,
    /// How its lines look. Default ingress-nginx's line.
    pub access_log_format: LogFormat,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// To standard output.
    #[default]
    Stdout,
    /// To this file, appended.
    File(std::path::PathBuf),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 1,
            max_connections: 65_536,
            drain_min: Duration::from_secs(10),
            drain_max: Duration::from_secs(240),
            idle_connections: 2048,
            upstream_idle: Duration::from_secs(30),
            reason_header: false,
            access_log: AccessLog::default(),
            access_log_format: LogFormat::default(),
        }
    }
}
