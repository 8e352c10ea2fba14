//! The typed settings of one object, filled by two front doors (annotations, a class's parameters) and merged.

mod class_parameters;
mod http_values;

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use tidegate_proxy::error::Reason;
use tidegate_proxy::model::Timeouts;

pub use class_parameters::of_class;

/// The largest request body where a limit was asked for that cannot be understood, in bytes: ingress-nginx's own default of 1 MiB.
const UNREADABLE_BODY_LIMIT: u64 = 1024 * 1024;

/// Settings of one object. `None` means that the object does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Whether http is redirected to https where TLS covers the host. Default true.
    pub ssl_redirect: Option<bool>,
    /// Whether http is redirected to https even where it does not. Default false.
    pub force_ssl_redirect: Option<bool>,
    /// Where every request is redirected to for good; read through [`Policy::redirect`].
    #[serde(with = "http_values::header")]
    pub permanent_redirect: Option<HeaderValue>,
    /// The status of that, 300 to 308. Default 301.
    #[serde(with = "http_values::status")]
    pub permanent_redirect_code: Option<StatusCode>,
    /// Where every request is redirected to for now; read through [`Policy::redirect`].
    #[serde(with = "http_values::header")]
    pub temporal_redirect: Option<HeaderValue>,
    /// The status of that, 300 to 307. Default 302.
    #[serde(with = "http_values::status")]
    pub temporal_redirect_code: Option<StatusCode>,
    /// Where `/` redirects to: an absolute path, perhaps with a query.
    #[serde(with = "http_values::header")]
    pub app_root: Option<HeaderValue>,
    /// Whether the host's `www.` twin redirects to it (or it to its twin). Default false.
    pub from_to_www_redirect: Option<bool>,
    /// How endpoints are spoken to.
    pub backend_protocol: Option<BackendProtocol>,
    /// Until a connection to an endpoint stands. Default 5 s.
    pub connect_timeout: Option<Duration>,
    /// Between two reads from an endpoint. Default 60 s.
    pub read_timeout: Option<Duration>,
    /// Between two writes to an endpoint. Default 60 s.
    pub send_timeout: Option<Duration>,
    /// Largest request body; read through [`Policy::body_limit_bytes`]. Default unlimited.
    pub body_limit: Option<BodyLimit>,
    /// Something that all routes of the object refuse for.
    pub refuse: Option<Refusal>,
}

/// A redirect of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRedirect {
    /// The `Location`.
    pub location: HeaderValue,
    /// The status.
    pub status: StatusCode,
}

/// How endpoints are spoken to, in the words of ingress-nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum BackendProtocol {
    /// HTTP/1.1 in clear text.
    Http,
    /// HTTP over TLS, not verified.
    Https,
    /// The scheme of the client's connection.
    #[serde(rename = "AUTO_HTTP")]
    AutoHttp,
    /// gRPC: HTTP/2 in clear text.
    Grpc,
    /// gRPC over TLS, not verified.
    Grpcs,
}

/// The largest request body that is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyLimit {
    /// Any.
    Unlimited,
    /// Of so many bytes.
    Bytes(u64),
    /// A limit was asked for and not understood: the class's, else 1 MiB, so that it does not fail open.
    Unreadable,
}

impl BodyLimit {
    /// Makes the limit that a number of bytes means, where 0 is unlimited.
    #[must_use]
    pub fn of(bytes: u64) -> Self {
        if bytes == 0 { Self::Unlimited } else { Self::Bytes(bytes) }
    }
}

/// Why all routes of an object answer 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// A protection that is not supported, or cannot be understood.
    Protection,
    /// A protocol towards the backend that is not spoken.
    BackendProtocol,
    /// The parameters of the object's class cannot be had.
    ClassParameters,
}

impl Refusal {
    /// Returns the reason that the answers carry.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::Protection => Reason::ProtectionRefused,
            Self::BackendProtocol => Reason::UnsupportedBackend,
            Self::ClassParameters => Reason::NoClassParameters,
        }
    }
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        /// The settings of a [`Policy`], one for each annotation that is built.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Setting {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Setting {
            /// Every setting.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns its name as annotations have it after their prefix.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

settings! {
    /// [`Policy::ssl_redirect`].
    SslRedirect = "ssl-redirect";
    /// [`Policy::force_ssl_redirect`].
    ForceSslRedirect = "force-ssl-redirect";
    /// [`Policy::permanent_redirect`].
    PermanentRedirect = "permanent-redirect";
    /// [`Policy::permanent_redirect_code`].
    PermanentRedirectCode = "permanent-redirect-code";
    /// [`Policy::temporal_redirect`].
    TemporalRedirect = "temporal-redirect";
    /// [`Policy::temporal_redirect_code`].
    TemporalRedirectCode = "temporal-redirect-code";
    /// [`Policy::app_root`].
    AppRoot = "app-root";
    /// [`Policy::from_to_www_redirect`].
    FromToWwwRedirect = "from-to-www-redirect";
    /// [`Policy::backend_protocol`].
    BackendProtocol = "backend-protocol";
    /// [`Policy::connect_timeout`].
    ProxyConnectTimeout = "proxy-connect-timeout";
    /// [`Policy::read_timeout`].
    ProxyReadTimeout = "proxy-read-timeout";
    /// [`Policy::send_timeout`].
    ProxySendTimeout = "proxy-send-timeout";
    /// [`Policy::body_limit`].
    ProxyBodySize = "proxy-body-size";
}

impl Setting {
    /// Returns its name as fields of `ClassParameters` have it: lower camel case.
    #[must_use]
    pub fn camel_case(self) -> String {
        let mut words = self.name().split('-');
        let mut camel = words.next().unwrap_or_default().to_owned();
        for word in words {
            let (head, tail) = word.split_at_checked(1).unwrap_or((word, ""));
            camel.push_str(&head.to_ascii_uppercase());
            camel.push_str(tail);
        }
        camel
    }
}

/// A setting that has no effect because of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ineffective {
    /// The one without effect.
    pub setting: Setting,
    /// Why.
    pub because: &'static str,
}

impl Policy {
    /// Returns these settings with the gaps filled from another (a class's defaults).
    ///
    /// An object's own redirect of every request stands against both of the class's, since a temporal one would win over a permanent one.
    #[must_use]
    pub fn or(self, defaults: &Self) -> Self {
        let own_redirect = self.permanent_redirect.is_some() || self.temporal_redirect.is_some();
        let class_redirect = |location: &Option<HeaderValue>| if own_redirect { None } else { location.clone() };
        Self {
            ssl_redirect: self.ssl_redirect.or(defaults.ssl_redirect),
            force_ssl_redirect: self.force_ssl_redirect.or(defaults.force_ssl_redirect),
            permanent_redirect: self.permanent_redirect.or_else(|| class_redirect(&defaults.permanent_redirect)),
            permanent_redirect_code: self.permanent_redirect_code.or(defaults.permanent_redirect_code),
            temporal_redirect: self.temporal_redirect.or_else(|| class_redirect(&defaults.temporal_redirect)),
            temporal_redirect_code: self.temporal_redirect_code.or(defaults.temporal_redirect_code),
            app_root: self.app_root.or_else(|| defaults.app_root.clone()),
            from_to_www_redirect: self.from_to_www_redirect.or(defaults.from_to_www_redirect),
            backend_protocol: self.backend_protocol.or(defaults.backend_protocol),
            connect_timeout: self.connect_timeout.or(defaults.connect_timeout),
            read_timeout: self.read_timeout.or(defaults.read_timeout),
            send_timeout: self.send_timeout.or(defaults.send_timeout),
            body_limit: match self.body_limit {
                None => defaults.body_limit,
                Some(BodyLimit::Unreadable) => defaults.body_limit.or(self.body_limit),
                Some(BodyLimit::Unlimited | BodyLimit::Bytes(_)) => self.body_limit,
            },
            refuse: self.refuse.or(defaults.refuse),
        }
    }

    /// Returns the redirect of every request, if there is one: the temporal wins over the permanent.
    #[must_use]
    pub fn redirect(&self) -> Option<PolicyRedirect> {
        let temporal = self.temporal_redirect.as_ref().map(|location| (location, self.temporal_redirect_code, StatusCode::FOUND));
        let permanent =
            self.permanent_redirect.as_ref().map(|location| (location, self.permanent_redirect_code, StatusCode::MOVED_PERMANENTLY));
        let (location, status, default) = temporal.or(permanent)?;
        Some(PolicyRedirect { location: location.clone(), status: status.unwrap_or(default) })
    }

    /// Returns the timeouts towards endpoints, with their defaults.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        let default = Timeouts::default();
        Timeouts {
            connect: self.connect_timeout.unwrap_or(default.connect),
            read: self.read_timeout.unwrap_or(default.read),
            send: self.send_timeout.unwrap_or(default.send),
        }
    }

    /// Returns the largest request body in bytes; `None` is unlimited.
    #[must_use]
    pub fn body_limit_bytes(&self) -> Option<u64> {
        match self.body_limit {
            None | Some(BodyLimit::Unlimited) => None,
            Some(BodyLimit::Bytes(bytes)) => Some(bytes),
            Some(BodyLimit::Unreadable) => Some(UNREADABLE_BODY_LIMIT),
        }
    }

    /// Returns the settings of this object that have no effect because of others of the same object.
    #[must_use]
    pub fn ineffective(&self) -> Vec<Ineffective> {
        let rules = [
            (
                self.temporal_redirect.is_some() && self.permanent_redirect.is_some(),
                Setting::PermanentRedirect,
                "a temporal redirect is set too, and wins",
            ),
            (
                self.force_ssl_redirect == Some(true) && self.ssl_redirect == Some(false),
                Setting::SslRedirect,
                "the redirect to https is forced by force-ssl-redirect",
            ),
        ];
        rules.into_iter().filter(|(holds, ..)| *holds).map(|(_, setting, because)| Ineffective { setting, because }).collect()
    }
}
