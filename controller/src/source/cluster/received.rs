//! Objects as an API server sends them: what nobody needs is left out while it is read, and what cannot be read costs its object alone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::api::{ApiResource, ObjectMeta};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::{Map, Value};

/// The annotation in which `kubectl apply` keeps a copy of the whole object, a Secret's content included.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object of any kind: its metadata, and its other fields as they are.
#[derive(Clone)]
pub(super) struct Received {
    pub(super) metadata: ObjectMeta,
    pub(super) fields: Map<String, Value>,
}

/// Shows the name alone: it may be a Secret.
impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("namespace", &self.metadata.namespace).field("name", &self.metadata.name).finish_non_exhaustive()
    }
}

/// The metadata that is of use: above all without `managedFields`, which is often more than all else of an object.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    generation: Option<i64>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    annotations: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
}

impl From<Metadata> for ObjectMeta {
    fn from(metadata: Metadata) -> Self {
        let Metadata { name, namespace, uid, generation, resource_version, creation_timestamp, mut annotations, labels } = metadata;
        if let Some(annotations) = &mut annotations {
            annotations.remove(LAST_APPLIED);
        }
        Self { name, namespace, uid, generation, resource_version, creation_timestamp, annotations, labels, ..Self::default() }
    }
}

impl<'de> Deserialize<'de> for Received {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Received;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Received, A::Error> {
                let mut received = Received { metadata: ObjectMeta::default(), fields: Map::new() };
                while let Some(key) = map.next_key::<Cow<'_, str>>()? {
                    if key == "metadata" {
                        received.metadata = map.next_value::<Option<Metadata>>()?.unwrap_or_default().into();
                    } else {
                        received.fields.insert(key.into_owned(), map.next_value()?);
                    }
                }
                Ok(received)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl Resource for Received {
    type DynamicType = ApiResource;
    type Scope = kube::core::DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
