//! Tidegate's custom resources: Rust types, from which the YAML beside them is generated (`crds/*.yaml`).
//!
//! Fields are lenient where the API server's validation is strict: whoever reads manifests from elsewhere validates them again.

mod schema;

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The condition type of [`ClassParametersStatus::conditions`] that says whether all settings are understood.
pub const ACCEPTED: &str = "Accepted";

/// Defaults for all Ingresses of a class.
///
/// An Ingress's own annotations win over them, one by one. An IngressClass points to an object of this kind with `spec.parameters`
/// (`apiGroup: tidegate.dev`, `kind: ClassParameters`, `scope: Cluster`).
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tidegate.dev",
    version = "v1alpha1",
    kind = "ClassParameters",
    plural = "classparameters",
    singular = "classparameters",
    doc = "Defaults for all Ingresses of the classes that point here with `spec.parameters`.",
    status = "ClassParametersStatus",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Compatibility","type":"string","jsonPath":".spec.compatibility"}"#,
    printcolumn = r#"{"name":"SSL-Redirect","type":"boolean","jsonPath":".spec.sslRedirect"}"#,
    printcolumn = r#"{"name":"Body-Size","type":"string","jsonPath":".spec.proxyBodySize"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type=='Accepted')].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::spec_rules()))]
pub struct ClassParametersSpec {
    /// Whose conventions the hosts of this class follow where they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatibility: Option<Compatibility>,

    /// Whether http is redirected to https with 308 where the `tls` of an Ingress covers the host. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_redirect: Option<bool>,

    /// Whether http is redirected to https even where no `tls` covers the host. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_ssl_redirect: Option<bool>,

    /// Where every request is redirected to for good: an absolute URL, or an absolute path, without variables. Not together with
    /// `temporalRedirect`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::location")]
    pub permanent_redirect: Option<String>,

    /// The status of permanent redirects, those that Ingresses ask for included: 300 to 308. Default: 301.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 300, max = 308))]
    pub permanent_redirect_code: Option<i32>,

    /// Where every request is redirected to for now: an absolute http or https URL, without variables. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::http_url")]
    pub temporal_redirect: Option<String>,

    /// The status of temporal redirects, those that Ingresses ask for included: 300 to 307. Default: 302.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 300, max = 307))]
    pub temporal_redirect_code: Option<i32>,

    /// Where requests for exactly `/` are redirected to with 302: an absolute path other than `/`, free of dot segments, perhaps with a
    /// query. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::path_below_root")]
    pub app_root: Option<String>,

    /// Whether `www.` in front of a host redirects to the host with 308, or, where the host begins with `www.`, the name without it.
    /// Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_to_www_redirect: Option<bool>,

    /// How endpoints are spoken to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_protocol: Option<BackendProtocol>,

    /// How long a connection to an endpoint may take to stand: whole numbers with their units `ms`, `s`, `m`, `h`. Default: 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub proxy_connect_timeout: Option<String>,

    /// The longest pause between two reads from an endpoint: whole numbers with their units `ms`, `s`, `m`, `h`. Default: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub proxy_read_timeout: Option<String>,

    /// The longest pause between two writes to an endpoint: whole numbers with their units `ms`, `s`, `m`, `h`. Default: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub proxy_send_timeout: Option<String>,

    /// The largest request body: a whole number of bytes, perhaps with `Ki`, `Mi` or `Gi`; 0 is unlimited. The suffixes `k`, `m`, `M`
    /// and `G` are refused, because Kubernetes and nginx mean different sizes by them. Default: unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::size")]
    pub proxy_body_size: Option<Size>,
}

/// Whose conventions the hosts of this class follow where they differ: Tidegate's own, which is the Kubernetes API reference to the letter,
/// or those of ingress-nginx. Default: `ingress-nginx` for classes whose controller is `k8s.io/ingress-nginx`, else `native`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compatibility {
    /// Tidegate's own: the Kubernetes API reference to the letter.
    Native,
    /// Those of ingress-nginx.
    IngressNginx,
}

/// How endpoints are spoken to. `AUTO_HTTP` is the scheme that the client used, `GRPC` is HTTP/2 in clear text. Certificates of backends are
/// not verified. Default: what the Service port's `appProtocol` says, else `HTTP`; a value here wins over `appProtocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum BackendProtocol {
    /// HTTP/1.1 in clear text.
    Http,
    /// HTTP over TLS.
    Https,
    /// The scheme of the client's connection.
    #[serde(rename = "AUTO_HTTP")]
    AutoHttp,
    /// gRPC: HTTP/2 in clear text.
    Grpc,
    /// gRPC over TLS.
    Grpcs,
}

/// A size in bytes as manifests write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Size {
    /// A number of bytes.
    Bytes(i64),
    /// Text: a number, perhaps with a suffix.
    Text(String),
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// What the controller says of the object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassParametersStatus {
    /// The state of the object. `Accepted` says whether all its settings are understood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

#[cfg(test)]
mod tests;
