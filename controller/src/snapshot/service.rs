//! Services, trimmed and parsed.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};

use super::Version;
use crate::texts::shared;

/// A Service, as far as routing needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceObject {
    /// The DNS name that it stands for (`type: ExternalName`); `None` for all others, whose endpoints are in slices.
    pub external_name: Option<Arc<str>>,
    /// Its TCP ports.
    pub ports: Box<[ServicePort]>,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServicePort {
    /// Its name; empty where it has none. Slices carry the same name.
    pub name: Arc<str>,
    /// Its number.
    pub number: u16,
    /// What is spoken on it; `None` where it does not say.
    pub app_protocol: Option<Arc<str>>,
    /// The number in `targetPort`, else its own: for what has no slice with a port of this name.
    pub target: u16,
}

impl Version for ServiceObject {}

impl ServiceObject {
    /// Reads a Service.
    #[must_use]
    pub fn read(service: &Service) -> Self {
        let spec = service.spec.as_ref();
        let ports = spec.and_then(|spec| spec.ports.as_ref()).into_iter().flatten().filter_map(|port| {
            let tcp = port.protocol.as_deref().is_none_or(|protocol| protocol.is_empty() || protocol == "TCP");
            let number = u16::try_from(port.port).ok().filter(|number| tcp && *number != 0)?;
            let target = match port.target_port {
                Some(IntOrString::Int(target)) => u16::try_from(target).ok().filter(|target| *target != 0),
                Some(IntOrString::String(_)) | None => None,
            };
            Some(ServicePort {
                name: shared(port.name.as_deref().unwrap_or_default()),
                number,
                app_protocol: port.app_protocol.as_deref().filter(|protocol| !protocol.is_empty()).map(shared),
                target: target.unwrap_or(number),
            })
        });
        let external = spec.filter(|spec| spec.type_.as_deref() == Some("ExternalName"));
        let external_name = external.map(|spec| spec.external_name.as_deref().unwrap_or_default().into());
        Self { ports: ports.collect(), external_name }
    }
}
