//! What flags say to translation.

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_proxy::model::{Certificate, CidrSet, Limits, Scheme};
use tidegate_proxy::table::SessionTickets;

use crate::object::ObjectRef;
use crate::snapshot::PortRef;

/// The controller name of ingress-nginx: its classes follow its conventions where nothing else is said.
pub const INGRESS_NGINX: &str = "k8s.io/ingress-nginx";

/// What translation depends on besides the snapshot.
#[derive(Debug, Clone)]
pub struct Options {
    /// Values of `IngressClass.spec.controller` that are ours (`--controller-name`).
    pub controllers: Vec<Arc<str>>,
    /// The class that is meant where there is no `IngressClass` object to ask (`--ingress-class`).
    pub ingress_class: Option<Arc<str>>,
    /// Whether that class is ours whatever its controller (`--ingress-class-by-name`).
    pub class_by_name: bool,
    /// Whether Ingresses without a class are ours (`--watch-ingress-without-class`).
    pub watch_without_class: bool,
    /// Whether `ExternalName` Services are served (not `--disable-external-name`).
    pub external_names: bool,
    /// The Secret of the default certificate (`--default-certificate`).
    pub default_certificate: Option<ObjectRef>,
    /// What serves requests that no Ingress takes (`--default-backend`).
    pub default_backend: Option<DefaultBackend>,
    /// What is listened on.
    pub listeners: Vec<ListenerOptions>,
    /// Peers whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: CidrSet,
    /// The certificate that serves where there is no other.
    pub self_signed: Arc<Certificate>,
    /// What lets clients resume TLS sessions.
    pub tickets: SessionTickets,
}

/// A Service for requests that no Ingress takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultBackend {
    /// The Service.
    pub service: ObjectRef,
    /// Its port; `None` is its first.
    pub port: Option<PortRef>,
}

/// A listener as flags ask for it.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Its name, unique among the listeners.
    pub name: Arc<str>,
    /// The address to bind.
    pub address: SocketAddr,
    /// Clear text or TLS.
    pub scheme: Scheme,
    /// The port that clients see; `None` is the listener's own.
    pub public_port: Option<u16>,
    /// The https port that clients see, for redirects; `None` leaves the port out.
    pub public_https_port: Option<u16>,
    /// Peers that must speak the PROXY protocol.
    pub proxy_protocol: CidrSet,
    /// Limits on clients.
    pub limits: Arc<Limits>,
}
