//! What can be seen of the data plane: metric families and the access-log record. Not the process's own log, which is `tracing`'s.
//!
//! [`Metrics`] belongs to the process, an [`Observer`] to a worker, a [`Record`] to a request: it is begun when the head has arrived,
//! told what happens, and counted and written when it drops, whatever the reason.

mod all_series;
mod client_connections;
mod counter;
mod counts;
mod details;
mod exposition;
mod histogram;
mod label;
mod line;
mod logger;
mod metrics;
mod record;
mod route_series;

pub use all_series::{HostSeries, RequestCounts, SeriesOptions};
pub use client_connections::{ClientConnections, OpenConnection};
pub use exposition::{Exposition, Family, FamilyKind, Growth, MEDIA_TYPE, OVERFLOW, Samples, Sink, Unit};
pub use label::{ConnectionProtocol, ConnectionState, Label, MethodLabel, StatusClass, TlsHandshake, UpstreamConnect};
pub use logger::{LogError, Logger, Observer};
pub use metrics::Metrics;
pub use record::{ClientFacts, Record};
pub use route_series::{RouteSeries, SeriesLabels};
