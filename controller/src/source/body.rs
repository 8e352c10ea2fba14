//! JSON to typed objects, for both sources: which kinds are read, and what is said of an object that cannot be.

use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::object::{Body, Kind, SecretBody};

/// Returns the API group and version that a kind is read in; the core group is empty.
pub(super) fn group_version(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Ingress | Kind::IngressClass => ("networking.k8s.io", "v1"),
        Kind::ClassParameters => ("tidegate.dev", "v1alpha1"),
        Kind::EndpointSlice => ("discovery.k8s.io", "v1"),
        Kind::Service | Kind::Secret | Kind::File => ("", "v1"),
    }
}

/// Whether objects of the kind have no namespace.
pub(super) fn is_cluster_scoped(kind: Kind) -> bool {
    match kind {
        Kind::IngressClass | Kind::ClassParameters | Kind::File => true,
        Kind::Ingress | Kind::Service | Kind::EndpointSlice | Kind::Secret => false,
    }
}

/// Returns which of the kinds that are read this is, whatever its version: an Ingress of an API that is gone is still meant for us.
pub(super) fn known(api_version: &str, kind: &str) -> Option<Kind> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let found = Kind::ALL.iter().copied().find(|known| known.as_str() == kind)?;
    let ours = group_version(found).0 == group || (found == Kind::Ingress && group == "extensions");
    ours.then_some(found)
}

/// Reads an object as its kind. Its metadata is read already; `fields` are all others.
///
/// # Errors
/// It is not one: says which field, and why. Of a Secret it says the field alone, so that no content reaches a log.
pub(super) fn read(kind: Kind, mut fields: Value, metadata: ObjectMeta) -> Result<Body, String> {
    if let Value::Object(fields) = &mut fields {
        fields.insert("metadata".into(), Value::Object(serde_json::Map::new()));
    }
    Ok(match kind {
        Kind::IngressClass => Body::IngressClass(Arc::new(typed(fields, metadata)?)),
        Kind::ClassParameters => Body::ClassParameters(Arc::new(typed(fields, metadata)?)),
        Kind::Ingress => Body::Ingress(Arc::new(typed(fields, metadata)?)),
        Kind::Service => Body::Service(Arc::new(typed(fields, metadata)?)),
        Kind::EndpointSlice => Body::EndpointSlice(Arc::new(typed(fields, metadata)?)),
        Kind::Secret => Body::Secret(SecretBody(Arc::new(secret(fields, metadata)?))),
        Kind::File => return Err("a file is not an object".into()),
    })
}

/// Reads an object that a file holds: beside [`read`], it gets the defaults that the API server would fill in.
pub(super) fn from_manifest(kind: Kind, api_version: &str, namespace: &str, mut value: Value) -> Result<Body, String> {
    let expected = super::cluster::api_version(kind);
    if api_version != expected {
        return Err(format!("apiVersion: {kind} is read as {expected}, not as {api_version}"));
    }
    let mut metadata = metadata(value.get_mut("metadata").map(Value::take).unwrap_or_default())?;
    if !namespace.is_empty() {
        metadata.namespace.get_or_insert_with(|| namespace.to_owned());
    }
    // Go reads base64 over line ends; a block scalar has them.
    if kind == Kind::Secret
        && let Some(Value::Object(data)) = value.get_mut("data")
    {
        for encoded in data.values_mut() {
            if let Value::String(text) = encoded {
                text.retain(|c| c != '\n' && c != '\r');
            }
        }
    }
    Ok(match read(kind, value, metadata)? {
        Body::Service(mut service) => {
            default_service(Arc::make_mut(&mut service));
            Body::Service(service)
        }
        Body::EndpointSlice(mut slice) => {
            default_slice(Arc::make_mut(&mut slice));
            Body::EndpointSlice(slice)
        }
        Body::Secret(SecretBody(mut secret)) => {
            merge_string_data(Arc::make_mut(&mut secret));
            Body::Secret(SecretBody(secret))
        }
        other @ (Body::IngressClass(_) | Body::ClassParameters(_) | Body::Ingress(_)) => other,
    })
}

fn typed<T: DeserializeOwned + Resource>(fields: Value, metadata: ObjectMeta) -> Result<T, String> {
    let mut object = T::deserialize(&fields).or_else(|_| {
        // Only now is it worth the while to keep account of where it reads.
        serde_path_to_error::deserialize(fields).map_err(|error| {
            let path = error.path().to_string();
            format!("{path}: {}", error.into_inner())
        })
    })?;
    *T::meta_mut(&mut object) = metadata;
    Ok(object)
}

fn secret(fields: Value, metadata: ObjectMeta) -> Result<Secret, String> {
    let mut secret = serde_path_to_error::deserialize::<_, Secret>(fields).map_err(|error| {
        let path = error.path().to_string();
        format!("{path}: it is not what a Secret has there (values of `data` are base64, those of `stringData` text)")
    })?;
    secret.metadata = metadata;
    Ok(secret)
}

fn metadata(value: Value) -> Result<ObjectMeta, String> {
    serde_path_to_error::deserialize::<_, Option<ObjectMeta>>(value).map(Option::unwrap_or_default).map_err(|error| {
        let path = error.path().to_string();
        format!("metadata.{path}: {}", error.into_inner())
    })
}

/// Fills in what the API server would (API reference, ServiceSpec and ServicePort).
fn default_service(service: &mut Service) {
    let Some(spec) = &mut service.spec else { return };
    spec.type_.get_or_insert_with(|| "ClusterIP".into());
    for port in spec.ports.iter_mut().flatten() {
        port.protocol.get_or_insert_with(|| "TCP".into());
        port.target_port.get_or_insert(IntOrString::Int(port.port));
    }
}

/// Fills in what the API server would (API reference, EndpointPort).
fn default_slice(slice: &mut EndpointSlice) {
    for port in slice.ports.iter_mut().flatten() {
        port.name.get_or_insert_with(String::new);
        port.protocol.get_or_insert_with(|| "TCP".into());
    }
}

/// Moves `stringData` into `data`, where it wins (API reference, Secret).
fn merge_string_data(secret: &mut Secret) {
    secret.type_.get_or_insert_with(|| "Opaque".into());
    let written = secret.string_data.take().unwrap_or_default();
    if !written.is_empty() {
        let data = secret.data.get_or_insert_default();
        data.extend(written.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))));
    }
}
