//! Annotations that are known but not built: those of ingress-nginx, and those that manifests carry though no ingress-nginx reads them.

use crate::annotations::values;

/// An annotation of ingress-nginx that is not built yet.
pub(crate) struct Unbuilt {
    /// `X` in `nginx.ingress.kubernetes.io/X`.
    pub(crate) name: &'static str,
    /// What becomes of an Ingress that has it.
    pub(crate) role: Role,
}

/// What an unbuilt annotation means for the Ingress that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The Ingress is served without it.
    Feature,
    /// It keeps requests away (authentication, allow and deny lists, limits), or may do so: the Ingress's paths refuse, unless its value
    /// says that it is off.
    Protection(OffWhen),
    /// `true` makes the Ingress a mere addition to another one, so that it must not be served as one of its own.
    Canary,
}

/// The values by which a protection is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OffWhen {
    /// None; ingress-nginx refuses an empty list too.
    Never,
    /// The empty one.
    Empty,
    /// Those that mean false, and the empty one.
    False,
    /// Numbers up to zero, and the empty one.
    Zero,
    /// This one, and the empty one.
    Is(&'static str),
}

impl OffWhen {
    /// Whether this value switches the protection off.
    pub(crate) fn holds(self, value: &str) -> bool {
        match self {
            Self::Never => false,
            Self::Empty => value.is_empty(),
            Self::False => value.is_empty() || values::boolean(value) == Ok(false),
            Self::Zero => value.is_empty() || values::integer(value).is_ok_and(|number| number <= 0),
            Self::Is(off) => value.is_empty() || value == off,
        }
    }
}

const FEATURE: Role = Role::Feature;
const PROTECTION: Role = Role::Protection(OffWhen::Empty);
const SWITCH: Role = Role::Protection(OffWhen::False);
const LIMIT: Role = Role::Protection(OffWhen::Zero);
const LIST: Role = Role::Protection(OffWhen::Never);

macro_rules! unbuilt {
    ($($name:literal $role:expr;)+) => {
        /// Every annotation of ingress-nginx 1.15 that is not built yet, in groups of one purpose.
        pub(crate) const UNBUILT: &[Unbuilt] = &[$(Unbuilt { name: $name, role: $role },)+];
    };
}

unbuilt! {
    // Routing and rewriting.
    "rewrite-target" FEATURE;
    "use-regex" FEATURE;
    "preserve-trailing-slash" FEATURE;
    "use-port-in-redirects" FEATURE;
    "relative-redirects" FEATURE;
    "server-alias" FEATURE;
    "default-backend" FEATURE;
    "custom-http-errors" FEATURE;
    "disable-proxy-intercept-errors" FEATURE;
    "x-forwarded-prefix" FEATURE;
    "upstream-vhost" FEATURE;
    // Balancing, affinity and canaries.
    "service-upstream" FEATURE;
    "load-balance" FEATURE;
    "upstream-hash-by" FEATURE;
    "upstream-hash-by-subset" FEATURE;
    "upstream-hash-by-subset-size" FEATURE;
    "affinity" FEATURE;
    "affinity-mode" FEATURE;
    "affinity-canary-behavior" FEATURE;
    "session-cookie-name" FEATURE;
    "session-cookie-path" FEATURE;
    "session-cookie-domain" FEATURE;
    "session-cookie-expires" FEATURE;
    "session-cookie-max-age" FEATURE;
    "session-cookie-samesite" FEATURE;
    "session-cookie-conditional-samesite-none" FEATURE;
    "session-cookie-secure" FEATURE;
    "session-cookie-change-on-failure" FEATURE;
    "canary" Role::Canary;
    "canary-weight" FEATURE;
    "canary-weight-total" FEATURE;
    "canary-by-header" FEATURE;
    "canary-by-header-value" FEATURE;
    "canary-by-header-pattern" FEATURE;
    "canary-by-cookie" FEATURE;
    // TLS towards backends. Verification keeps requests from a backend that is not the one meant.
    "proxy-ssl-secret" FEATURE;
    "proxy-ssl-name" FEATURE;
    "proxy-ssl-server-name" FEATURE;
    "proxy-ssl-verify" Role::Protection(OffWhen::Is("off"));
    "proxy-ssl-verify-depth" FEATURE;
    "proxy-ssl-ciphers" FEATURE;
    "proxy-ssl-protocols" FEATURE;
    "proxy-ssl-location-only" FEATURE;
    // Buffering and details of proxying.
    "client-body-buffer-size" FEATURE;
    "proxy-request-buffering" FEATURE;
    "proxy-buffering" FEATURE;
    "proxy-buffer-size" FEATURE;
    "proxy-buffers-number" FEATURE;
    "proxy-busy-buffers-size" FEATURE;
    "proxy-max-temp-file-size" FEATURE;
    "proxy-http-version" FEATURE;
    "proxy-next-upstream" FEATURE;
    "proxy-next-upstream-timeout" FEATURE;
    "proxy-next-upstream-tries" FEATURE;
    "proxy-redirect-from" FEATURE;
    "proxy-redirect-to" FEATURE;
    "proxy-cookie-domain" FEATURE;
    "proxy-cookie-path" FEATURE;
    "connection-proxy-header" FEATURE;
    "custom-headers" FEATURE;
    "mirror-target" FEATURE;
    "mirror-host" FEATURE;
    "mirror-request-body" FEATURE;
    "fastcgi-index" FEATURE;
    "fastcgi-params-configmap" FEATURE;
    "http2-push-preload" FEATURE;
    // Authentication: each shows that somebody wants it, also where the leading annotation is missing or mistyped.
    "auth-type" PROTECTION;
    "auth-secret" PROTECTION;
    "auth-secret-type" PROTECTION;
    "auth-realm" PROTECTION;
    "auth-url" PROTECTION;
    "auth-method" PROTECTION;
    "auth-signin" PROTECTION;
    "auth-signin-redirect-param" PROTECTION;
    "auth-response-headers" PROTECTION;
    "auth-proxy-set-headers" PROTECTION;
    "auth-request-redirect" PROTECTION;
    "auth-cache-key" PROTECTION;
    "auth-cache-duration" PROTECTION;
    "auth-keepalive" LIMIT;
    "auth-keepalive-requests" LIMIT;
    "auth-keepalive-timeout" LIMIT;
    "auth-keepalive-share-vars" SWITCH;
    "auth-always-set-cookie" SWITCH;
    "auth-snippet" PROTECTION;
    "enable-global-auth" FEATURE;
    "satisfy" Role::Protection(OffWhen::Is("all"));
    "auth-tls-secret" PROTECTION;
    "auth-tls-verify-client" Role::Protection(OffWhen::Is("off"));
    "auth-tls-verify-depth" LIMIT;
    "auth-tls-error-page" PROTECTION;
    "auth-tls-pass-certificate-to-upstream" SWITCH;
    "auth-tls-match-cn" PROTECTION;
    // Allow and deny lists, limits.
    "allowlist-source-range" LIST;
    "whitelist-source-range" LIST;
    "denylist-source-range" LIST;
    "limit-rps" LIMIT;
    "limit-rpm" LIMIT;
    "limit-connections" LIMIT;
    "limit-burst-multiplier" FEATURE;
    "limit-rate" LIMIT;
    "limit-rate-after" FEATURE;
    "limit-allowlist" FEATURE;
    "limit-whitelist" FEATURE;
    // CORS.
    "enable-cors" FEATURE;
    "cors-allow-origin" FEATURE;
    "cors-allow-methods" FEATURE;
    "cors-allow-headers" FEATURE;
    "cors-expose-headers" FEATURE;
    "cors-allow-credentials" FEATURE;
    "cors-max-age" FEATURE;
    // TLS towards clients, logs, telemetry.
    "ssl-passthrough" FEATURE;
    "ssl-ciphers" FEATURE;
    "ssl-prefer-server-ciphers" FEATURE;
    "enable-access-log" FEATURE;
    "enable-rewrite-log" FEATURE;
    "enable-opentelemetry" FEATURE;
    "opentelemetry-trust-incoming-span" FEATURE;
    "opentelemetry-operation-name" FEATURE;
    // Web application firewall, and text for nginx.conf, which may hold `deny`, `auth_request` and the like.
    "enable-modsecurity" SWITCH;
    "enable-owasp-core-rules" SWITCH;
    "modsecurity-transaction-id" FEATURE;
    "modsecurity-snippet" PROTECTION;
    "configuration-snippet" PROTECTION;
    "server-snippet" PROTECTION;
    "stream-snippet" FEATURE;
}

/// Names that manifests carry though ingress-nginx has removed them or never had them, each with what to do instead.
pub(crate) const UNREAD: &[(&str, &str)] = &[
    ("add-base-url", "it was removed from ingress-nginx; the backend has to know its base URL"),
    ("base-url-scheme", "it was removed from ingress-nginx; the backend has to know its base URL"),
    ("client-header-buffer-size", "ingress-nginx has it for the whole controller only"),
    ("compute-full-forwarded-for", "ingress-nginx has it for the whole controller only; see --trusted-proxy"),
    ("enable-influxdb", "it was removed from ingress-nginx; use metrics"),
    ("enable-opentracing", "it was removed from ingress-nginx in favour of enable-opentelemetry"),
    ("enable-websockets", "it never existed; WebSockets need no annotation"),
    ("forwarded-for-header", "ingress-nginx has it for the whole controller only"),
    ("global-rate-limit", "it was removed from ingress-nginx"),
    ("global-rate-limit-header-name", "it was removed from ingress-nginx"),
    ("global-rate-limit-ignored-cidrs", "it was removed from ingress-nginx"),
    ("global-rate-limit-key", "it was removed from ingress-nginx"),
    ("global-rate-limit-window", "it was removed from ingress-nginx"),
    ("grpc-backend", "it was removed from ingress-nginx in favour of backend-protocol: GRPC"),
    ("hsts", "ingress-nginx has it for the whole controller only"),
    ("influxdb-host", "it was removed from ingress-nginx; use metrics"),
    ("influxdb-measurement", "it was removed from ingress-nginx; use metrics"),
    ("influxdb-port", "it was removed from ingress-nginx; use metrics"),
    ("influxdb-server-name", "it was removed from ingress-nginx; use metrics"),
    ("large-client-header-buffers", "ingress-nginx has it for the whole controller only"),
    ("limit-burst", "it never existed; ingress-nginx has limit-burst-multiplier"),
    ("limit-status-code", "ingress-nginx has it for the whole controller only"),
    ("mirror-uri", "it was removed from ingress-nginx in favour of mirror-target"),
    ("opentracing-operation-name", "it was removed from ingress-nginx in favour of opentelemetry-operation-name"),
    ("opentracing-trust-incoming-span", "it was removed from ingress-nginx in favour of opentelemetry-trust-incoming-span"),
    ("proxy-set-headers", "ingress-nginx has it for the whole controller only"),
    ("rate-limit", "it never existed; ingress-nginx has limit-rps and limit-rpm"),
    ("rate-limit-rps", "it never existed; ingress-nginx has limit-rps"),
    ("rate-limit-window", "it never existed; ingress-nginx has limit-rps and limit-rpm"),
    ("secure-backends", "it was removed from ingress-nginx in favour of backend-protocol: HTTPS"),
    ("secure-verify-ca-secret", "it was removed from ingress-nginx in favour of proxy-ssl-secret and proxy-ssl-verify"),
    ("server-snippets", "it never existed; ingress-nginx has server-snippet"),
    ("session-cookie-hash", "it was removed from ingress-nginx 0.24 and has no effect"),
    ("use-forwarded-headers", "ingress-nginx has it for the whole controller only; see --trusted-proxy"),
    ("websocket", "it never existed; WebSockets need no annotation"),
    ("websocket-services", "it never existed; WebSockets need no annotation"),
];
