//! The registry: one row an annotation. Parsing, documentation and tests come from it; annotation names stand nowhere else.

use crate::annotations::Dialect;
use crate::annotations::values::{self, Fault};
use crate::policy::{BackendProtocol, BodyLimit, Policy, Refusal, Setting};

/// What is known of an annotation, `X` in `nginx.ingress.kubernetes.io/X` and in `tidegate.dev/X`.
pub struct Row {
    /// The setting that it fills; its name is the annotation's.
    pub setting: Setting,
    /// What of an Ingress it applies to.
    pub scope: Scope,
    /// How much harm a tenant could do with it, as ingress-nginx rates it.
    pub risk: Risk,
    /// What a value that cannot be understood does.
    pub bad_value: BadValue,
    /// The values, for people.
    pub values: &'static str,
    /// What holds where neither the Ingress nor its class says anything, for people.
    pub default: &'static str,
    /// What it is for, in a sentence or two.
    pub doc: &'static str,
    /// A value that is valid under both prefixes.
    pub example: &'static str,
    /// A value that cannot be understood under either prefix.
    pub counterexample: &'static str,
    /// Puts a value into a policy. A fault leaves the policy alone, but for what the fault itself asks for.
    pub(crate) set: fn(&mut Policy, &str, Dialect) -> Result<(), Fault>,
}

/// What of an Ingress an annotation applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every path of the Ingress.
    Path,
    /// The hosts of the Ingress as a whole.
    Host,
    /// The connections to the Ingress's backends.
    Backend,
}

impl Scope {
    /// Returns the scope for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "each path of the Ingress",
            Self::Host => "each host of the Ingress",
            Self::Backend => "the connections to the Ingress's backends",
        }
    }
}

/// How much harm a tenant could do with an annotation, in ingress-nginx's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// It changes the Ingress's own traffic in small ways.
    Low,
    /// It can lead the Ingress's own clients elsewhere.
    Medium,
}

impl Risk {
    /// Returns the risk for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
        }
    }
}

/// What a value that cannot be understood does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadValue {
    /// It counts as not set.
    Default,
    /// The whole object stays as it last was when all of it was understood.
    KeepLastGood,
    /// A number that is out of range counts as not set; anything else keeps the object as it last was.
    DefaultIfNumber,
    /// A protection: the object's routes refuse.
    Refuse,
}

/// Every annotation that is built.
pub const ROWS: &[Row] = &[
    Row {
        setting: Setting::SslRedirect,
        scope: Scope::Path,
        risk: Risk::Low,
        bad_value: BadValue::Default,
        values: BOOLEAN,
        default: "`true`",
        doc: "Whether http is redirected to https with 308 where the Ingress's `tls` covers the host. \
              Requests below `/.well-known/acme-challenge/` are not redirected.",
        example: "false",
        counterexample: "yes",
        set: |policy, value, _| fill(&mut policy.ssl_redirect, values::boolean(value)),
    },
    Row {
        setting: Setting::ForceSslRedirect,
        scope: Scope::Path,
        risk: Risk::Medium,
        bad_value: BadValue::Default,
        values: BOOLEAN,
        default: "`false`",
        doc: "Whether http is redirected to https even where no `tls` covers the host, for instance because a load balancer in front ends \
              TLS. It wins over `ssl-redirect`.",
        example: "true",
        counterexample: "maybe",
        set: |policy, value, _| fill(&mut policy.force_ssl_redirect, values::boolean(value)),
    },
    Row {
        setting: Setting::PermanentRedirect,
        scope: Scope::Path,
        risk: Risk::Medium,
        bad_value: BadValue::KeepLastGood,
        values: "An absolute URL, or an absolute path. No variables: `$` is refused; a literal one is written `%24`.",
        default: "none",
        doc: "Redirects every request to this place for good; the path and query of the request are not added.",
        example: "https://example.com/new",
        counterexample: "https://example.com$request_uri",
        set: |policy, value, _| fill(&mut policy.permanent_redirect, values::location(value)),
    },
    Row {
        setting: Setting::PermanentRedirectCode,
        scope: Scope::Path,
        risk: Risk::Low,
        bad_value: BadValue::DefaultIfNumber,
        values: "A status from 300 to 308.",
        default: "`301`",
        doc: "The status of `permanent-redirect`.",
        example: "308",
        counterexample: "permanent",
        set: |policy, value, _| fill(&mut policy.permanent_redirect_code, values::integer(value).and_then(values::permanent_status)),
    },
    Row {
        setting: Setting::TemporalRedirect,
        scope: Scope::Path,
        risk: Risk::Medium,
        bad_value: BadValue::Default,
        values: "An absolute URL that begins with `http://` or `https://`. No variables: `$` is refused; a literal one is written `%24`.",
        default: "none",
        doc: "Redirects every request to this place for now; the path and query of the request are not added. It wins over \
              `permanent-redirect`.",
        example: "https://example.com/soon",
        counterexample: "/soon",
        set: |policy, value, _| fill(&mut policy.temporal_redirect, values::http_url(value)),
    },
    Row {
        setting: Setting::TemporalRedirectCode,
        scope: Scope::Path,
        risk: Risk::Low,
        bad_value: BadValue::DefaultIfNumber,
        values: "A status from 300 to 307.",
        default: "`302`",
        doc: "The status of `temporal-redirect`.",
        example: "307",
        counterexample: "temporary",
        set: |policy, value, _| fill(&mut policy.temporal_redirect_code, values::integer(value).and_then(values::temporal_status)),
    },
    Row {
        setting: Setting::AppRoot,
        scope: Scope::Host,
        risk: Risk::Medium,
        bad_value: BadValue::Default,
        values: "An absolute path other than `/`, perhaps with a query.",
        default: "none",
        doc: "Redirects requests for exactly `/` to this path of the same host with 302, before any other redirect.",
        example: "/app/home",
        counterexample: "https://example.com/",
        set: |policy, value, _| fill(&mut policy.app_root, values::path_below_root(value)),
    },
    Row {
        setting: Setting::FromToWwwRedirect,
        scope: Scope::Host,
        risk: Risk::Low,
        bad_value: BadValue::KeepLastGood,
        values: BOOLEAN,
        default: "`false`",
        doc: "Whether `www.` in front of the Ingress's host redirects to that host with 308 (or, where the host itself begins with `www.`, the \
              name without it). A name that a rule of its own serves is left alone.",
        example: "true",
        counterexample: "yes",
        set: |policy, value, _| fill(&mut policy.from_to_www_redirect, values::boolean(value)),
    },
    Row {
        setting: Setting::BackendProtocol,
        scope: Scope::Backend,
        risk: Risk::Low,
        bad_value: BadValue::Default,
        values: "`HTTP`, `HTTPS`, `GRPC`, `GRPCS`, or `AUTO_HTTP` (the scheme that the client used), in any case. Certificates of backends \
                 are not verified. `FCGI` is not supported: the Ingress's paths then answer 503.",
        default: "what the Service port's `appProtocol` says, else `HTTP`",
        doc: "How the endpoints are spoken to. It wins over the Service port's `appProtocol`.",
        example: "GRPC",
        counterexample: "SPDY",
        set: backend_protocol,
    },
    Row {
        setting: Setting::ProxyConnectTimeout,
        scope: Scope::Backend,
        risk: Risk::Low,
        bad_value: BadValue::Default,
        values: TIME,
        default: "`5`",
        doc: "How long a connection to an endpoint may take to stand; beyond, another endpoint is tried, then the answer is 504.",
        example: "10",
        counterexample: "soon",
        set: |policy, value, dialect| fill(&mut policy.connect_timeout, time(value, dialect)),
    },
    Row {
        setting: Setting::ProxyReadTimeout,
        scope: Scope::Backend,
        risk: Risk::Low,
        bad_value: BadValue::Default,
        values: TIME,
        default: "`60`",
        doc: "The longest pause between two reads from an endpoint, before its response's head (beyond: 504) and inside its body. \
              An idle WebSocket ends by it too.",
        example: "3600",
        counterexample: "0",
        set: |policy, value, dialect| fill(&mut policy.read_timeout, time(value, dialect)),
    },
    Row {
        setting: Setting::ProxySendTimeout,
        scope: Scope::Backend,
        risk: Risk::Low,
        bad_value: BadValue::Default,
        values: TIME,
        default: "`60`",
        doc: "The longest pause between two writes to an endpoint; beyond, the answer is 504.",
        example: "120",
        counterexample: "-1",
        set: |policy, value, dialect| fill(&mut policy.send_timeout, time(value, dialect)),
    },
    Row {
        setting: Setting::ProxyBodySize,
        scope: Scope::Path,
        risk: Risk::Low,
        bad_value: BadValue::Default,
        values: "A whole number of bytes, perhaps with `k`, `m` or `g` of either case (powers of 1024); `0` is unlimited. \
                 Under `tidegate.dev/` also with `Ki`, `Mi` or `Gi`, which mean the same.",
        default: "unlimited",
        doc: "The largest request body; beyond, the answer is 413. A value that cannot be understood counts as the class's limit, or as \
              `1m` where the class sets none, so that a limit that was asked for never fails open.",
        example: "8m",
        counterexample: "2mb",
        set: body_size,
    },
];

const BOOLEAN: &str = "`true` or `false`, as Go reads them (`1`, `t`, `T`, `TRUE`, `True`, and so for false).";
const TIME: &str =
    "A whole number of seconds without a unit, at least 1. Under `tidegate.dev/` also times with their units: `500ms`, `60s`, `1m30s`.";

fn fill<T>(slot: &mut Option<T>, value: Result<T, Fault>) -> Result<(), Fault> {
    *slot = Some(value?);
    Ok(())
}

fn time(value: &str, dialect: Dialect) -> Result<std::time::Duration, Fault> {
    let seconds = values::seconds(value);
    match (dialect, &seconds) {
        (Dialect::Tidegate, Err(Fault::Malformed(_))) => values::duration(value),
        (Dialect::Tidegate | Dialect::IngressNginx, _) => seconds,
    }
}

fn backend_protocol(policy: &mut Policy, value: &str, _: Dialect) -> Result<(), Fault> {
    let protocol = match value.to_ascii_uppercase().as_str() {
        "HTTP" => BackendProtocol::Http,
        "HTTPS" => BackendProtocol::Https,
        "AUTO_HTTP" => BackendProtocol::AutoHttp,
        "GRPC" => BackendProtocol::Grpc,
        "GRPCS" => BackendProtocol::Grpcs,
        "FCGI" => {
            policy.refuse = policy.refuse.or(Some(Refusal::BackendProtocol));
            return Err(Fault::Unsupported);
        }
        _ => return Err(Fault::Malformed("one of HTTP, HTTPS, AUTO_HTTP, GRPC and GRPCS")),
    };
    policy.backend_protocol = Some(protocol);
    Ok(())
}

fn body_size(policy: &mut Policy, value: &str, dialect: Dialect) -> Result<(), Fault> {
    let bytes = values::nginx_bytes(value).or_else(|fault| match dialect {
        Dialect::Tidegate => values::quantity_bytes(value),
        Dialect::IngressNginx => Err(fault),
    });
    policy.body_limit = Some(bytes.as_ref().map_or(BodyLimit::Unreadable, |bytes| BodyLimit::of(*bytes)));
    bytes.map(drop)
}
