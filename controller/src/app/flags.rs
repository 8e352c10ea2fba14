//! From flags to what the rooms take.

use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;

use tidegate_proxy::model::{Certificate, CidrSet, InvalidCidr, Limits, Scheme};
use tidegate_proxy::observe::SeriesOptions;
use tidegate_proxy::settings::Settings;
use tidegate_proxy::table::SessionTickets;

use super::descriptors::{self, Connections};
use crate::args::{DefaultOptions, ListenAddress, NamespacedName, PortName, ServeOptions, ServedOptions, ServiceReference};
use crate::metrics::Budget;
use crate::object::{Kind, ObjectRef};
use crate::snapshot::PortRef;
use crate::translate::{DefaultBackend, ListenerOptions, Options};

/// The http listener's name in the table.
pub(super) const HTTP: &str = "http";
/// The https listener's name in the table.
pub(super) const HTTPS: &str = "https";

/// Looks whether what flags name lies where it is watched: it would be told as missing for ever, though it is there.
///
/// # Errors
/// It does not: names the flag.
pub(super) fn check_watched(options: &DefaultOptions, watched: &[String]) -> anyhow::Result<()> {
    let certificate = options.default_certificate.as_ref().map(|name| ("--default-certificate", name));
    let backend = options.default_backend.as_ref().map(|backend| ("--default-backend", &backend.service));
    for (flag, name) in certificate.into_iter().chain(backend) {
        anyhow::ensure!(
            watched.is_empty() || watched.contains(&name.namespace),
            "{flag} names an object in the namespace {}, which --watch-namespace leaves out",
            name.namespace
        );
    }
    Ok(())
}

/// Returns how the process is laid out.
pub(super) fn settings(options: &ServeOptions) -> Settings {
    let (defaults, workers) = (Settings::default(), workers(options));
    let wanted = Connections { clients: defaults.max_connections, idle: defaults.idle_connections };
    let Connections { clients, idle } = descriptors::connections(wanted, workers);
    Settings {
        max_connections: clients,
        idle_connections: idle,
        workers,
        drain_min: options.process.drain_min(),
        drain_max: options.process.drain_max,
        reason_header: options.process.reason_header,
        access_log: options.access_log.access_log.clone(),
        access_log_format: options.access_log.access_log_format.clone(),
        ..defaults
    }
}

/// Returns how far the requests of routes are counted apart.
pub(super) fn series(options: &ServeOptions) -> SeriesOptions {
    SeriesOptions { most: Budget::new(options.metrics.series_limit()).pairs(), hosts: options.metrics.hosts() }
}

/// Returns the number of workers: as asked for, else one for each CPU that the affinity mask and the cgroup's quota (version 1 or 2)
/// allow, which the standard library looks up.
fn workers(options: &ServeOptions) -> usize {
    let allowed = || std::thread::available_parallelism().map_or(1, NonZero::get);
    options.process.workers.map_or_else(allowed, usize::from)
}

/// Returns what translation depends on besides objects. `http` and `https` are where is listened.
///
/// # Errors
/// A network is none, which reading the flags has ruled out.
pub(super) fn translation(
    options: &ServedOptions,
    [http, https]: [ListenAddress; 2],
    self_signed: Arc<Certificate>,
    tickets: SessionTickets,
) -> Result<Options, InvalidCidr> {
    let ServedOptions { ports, classes, defaults, trust } = options;
    let proxy_protocol = cidrs(&trust.proxy_protocol)?;
    let limits = Arc::new(Limits::default());
    let listener = |name: &str, address: SocketAddr, scheme, public_port| ListenerOptions {
        name: name.into(),
        address,
        scheme,
        public_port,
        public_https_port: ports.public_https_port,
        proxy_protocol: proxy_protocol.clone(),
        limits: Arc::clone(&limits),
    };
    Ok(Options {
        controllers: classes.controller_name.iter().map(|name| name.as_str().into()).collect(),
        ingress_class: classes.ingress_class.as_deref().map(Into::into),
        class_by_name: classes.ingress_class_by_name,
        watch_without_class: classes.watch_ingress_without_class,
        external_names: !trust.disable_external_name,
        default_certificate: defaults.default_certificate.as_ref().map(|name| reference(Kind::Secret, name)),
        default_backend: defaults.default_backend.as_ref().map(default_backend),
        listeners: vec![
            listener(HTTP, http.address(), Scheme::Http, ports.public_http_port),
            listener(HTTPS, https.address(), Scheme::Https, ports.public_https_port),
        ],
        trusted_proxies: cidrs(&trust.trusted_proxy)?,
        self_signed,
        tickets,
    })
}

fn cidrs(texts: &[String]) -> Result<CidrSet, InvalidCidr> {
    let mut set = CidrSet::default();
    texts.iter().try_for_each(|text| set.add(text))?;
    Ok(set)
}

/// Returns the object of a kind that a flag names.
pub(super) fn reference(kind: Kind, name: &NamespacedName) -> ObjectRef {
    ObjectRef::new(kind, &name.namespace, &name.name)
}

fn default_backend(service: &ServiceReference) -> DefaultBackend {
    let port = service.port.as_ref().map(|port| match port {
        PortName::Number(number) => PortRef::Number(*number),
        PortName::Name(name) => PortRef::Name(name.as_str().into()),
    });
    DefaultBackend { service: reference(Kind::Service, &service.service), port }
}
