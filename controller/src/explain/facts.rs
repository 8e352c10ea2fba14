//! What an explanation says: plain data, the same whoever was asked, in JSON and YAML under stable names.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tidegate_proxy::model::Origin;

use crate::diagnostic::Finding;
use crate::translate::BackendState;

/// Why a request is answered as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What was asked.
    pub request: AskedRequest,
    /// The generation of the table.
    pub generation: u64,
    /// Where the request comes in; `None` where nothing listens for its scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<ListenerFacts>,
    /// The certificate that the client is shown; `None` in clear text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFacts>,
    /// The host that was looked up; `None` where the request cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostFacts>,
    /// The path in the normal form that was looked up; `None` where the request cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The rule that takes the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteFacts>,
    /// Every rule that would take the request: the one that does first, then those that do not, and why.
    pub candidates: Vec<Candidate>,
    /// The filters of the rule, in the order in which they run.
    pub filters: Vec<FilterFacts>,
    /// What the rule leads to; `None` where it leads to no endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendFacts>,
    /// What the client gets.
    pub answer: AnswerFacts,
    /// What is wrong with the objects that have a part in it.
    pub diagnostics: Vec<Finding>,
}

/// The request that was asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedRequest {
    /// Its method.
    pub method: String,
    /// Its URL.
    pub url: String,
    /// Its headers, `name: value`, those alone that were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
}

/// Where a request comes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerFacts {
    /// The listener's name.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
}

/// The certificate that a client is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// The object that it came from.
    pub object: Origin,
    /// The server names that it is served for; `None` for all that have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_for: Option<String>,
    /// The names that it is valid for.
    pub names: Vec<String>,
    /// Whether it is valid for the name that is asked for.
    pub covers: bool,
    /// Start of validity, RFC 3339, UTC.
    pub not_before: String,
    /// End of validity, RFC 3339, UTC.
    pub not_after: String,
    /// SHA-256 of the leaf, in lower-case hexadecimal.
    pub fingerprint: String,
    /// Certificates that were asked for in its place, and why they are not served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherCertificate>,
}

/// A certificate that is not served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherCertificate {
    /// The object that asks for it.
    pub object: Origin,
    /// The field that asks for it.
    pub field: String,
    /// Why it is not served.
    pub why: String,
}

/// The host that was looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// What the client asked for: lower case, without port and trailing dot.
    pub asked: String,
    /// The host of the rules that stand for it; `None` where none do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// The rule that takes a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteFacts {
    /// The object that it stands in.
    pub object: Origin,
    /// Its host.
    pub host: String,
    /// How it matches: `Exact /x`, `Prefix /x`, or `default backend`.
    pub path: String,
    /// The Service and port that it leads to; `None` where it leads to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// A rule that would take the request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Candidate {
    /// What becomes of it.
    pub standing: CandidateStanding,
    /// The object that it stands in.
    pub object: Origin,
    /// Its host.
    pub host: String,
    /// How it matches.
    pub path: String,
    /// The field of the object.
    pub field: String,
    /// Where the field stands, `file:line`; `None` for an object of a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why it serves or does not.
    pub why: String,
}

/// What becomes of a rule that would take a request. Ordered by how near it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CandidateStanding {
    /// It takes the request.
    Serves,
    /// Another object has the same place, and takes precedence.
    Overruled,
    /// Another rule of the host is more specific.
    LessSpecific,
    /// Another host is more specific, and answers alone.
    OtherHost,
    /// Its object is not served.
    NotServed,
}

/// A filter of the rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterFacts {
    /// What it is for.
    pub filter: String,
    /// What it does to this request.
    pub effect: FilterEffect,
}

/// What a filter does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterEffect {
    /// It lets the request on.
    Passes,
    /// It answers.
    Answers,
    /// It does not run: one before it answers.
    NotReached,
}

/// What a rule leads to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackendFacts {
    /// How endpoints are spoken to: `http1`, `h2c`, `https`, `h2`.
    pub protocol: String,
    /// The endpoints and their states.
    #[serde(flatten)]
    pub state: BackendState,
}

/// What the client gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerFacts {
    /// Who answers.
    pub by: AnsweredBy,
    /// The status; `None` where it is an endpoint's to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The reason code, as the access log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where a redirect leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Why no endpoint answers, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Of a 404, the rule that comes nearest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<NearestRule>,
}

/// Who answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// An endpoint.
    Endpoint,
    /// Tidegate itself.
    Tidegate,
    /// An endpoint, if the DNS name of the Service resolves, which nobody has asked.
    Unknown,
}

/// The rule that comes nearest to a request that none takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearestRule {
    /// The object that it stands in.
    pub object: Origin,
    /// Its host.
    pub host: String,
    /// How it matches; `None` where it is its host that does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why it does not take the request.
    pub why: String,
}
