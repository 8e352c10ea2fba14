//! The nouns of routing, as typed values. Nothing here does I/O.

mod certificate;
mod cidr;
mod condition;
pub(crate) mod dump;
mod host;
mod host_map;
mod normal_form;
mod origin;
mod path;
mod policy;

pub use certificate::{Certificate, InvalidCertificate};
pub use cidr::{CidrSet, InvalidCidr, canonical_ip};
pub use condition::{Conditions, HeaderCondition, QueryCondition, RequestFacts};
pub use host::{HostMatch, HostName, InvalidHost, request_host};
pub use host_map::HostMap;
pub use normal_form::{BadPath, RequestPath, normalize};
pub use origin::Origin;
pub use path::{NormalPath, PathMatch};
pub use policy::{Compatibility, Limits, Scheme, Timeouts, UpstreamProtocol};
