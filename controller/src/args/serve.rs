//! The flags of `tidegate serve`, grouped as `--help` shows them.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};
use tidegate_proxy::observe::HostSeries;
use tidegate_proxy::settings::{AccessLog, LogFormat};

use super::ListenAddress;
use super::ServedOptions;
use super::value::{self, NamespacedName, PodSelector, ServiceReference};
use crate::metrics::Budget;

/// Port of the http listener where none is given.
pub const DEFAULT_HTTP: u16 = 8080;
/// Port of the https listener where none is given.
pub const DEFAULT_HTTPS: u16 = 8443;
const DEFAULT_HEALTH: u16 = 10254;
const DEFAULT_DRAIN_MIN: Duration = Duration::from_secs(10);

/// What `serve` is given.
#[derive(Debug, Clone, Args)]
pub struct ServeOptions {
    /// Where objects come from.
    #[command(flatten)]
    pub source: SourceOptions,
    /// What is listened on.
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Whose Ingresses are served.
    #[command(flatten)]
    pub classes: ClassOptions,
    /// What backends and certificates serve the rest.
    #[command(flatten)]
    pub defaults: DefaultOptions,
    /// Whom requests are believed.
    #[command(flatten)]
    pub trust: TrustOptions,
    /// What is told back to the cluster.
    #[command(flatten)]
    pub publish: PublishOptions,
    /// How much is counted apart.
    #[command(flatten)]
    pub metrics: MetricsOptions,
    /// How the process runs and ends.
    #[command(flatten)]
    pub process: ProcessOptions,
    /// What is logged.
    #[command(flatten)]
    pub log: LogOptions,
    /// What is logged of requests.
    #[command(flatten)]
    pub access_log: AccessLogOptions,
}

/// Where objects come from.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Source")]
pub struct SourceOptions {
    /// Take the manifests of this directory (or file) instead of a cluster; serve follows them as they are edited
    #[arg(long, env = "TIDEGATE_MANIFESTS", value_name = "DIR", conflicts_with_all = ["kubeconfig", "context"])]
    pub manifests: Option<PathBuf>,
    /// Reach the cluster as this file says [default: KUBECONFIG, else ~/.kube/config, else the ServiceAccount of the Pod]
    #[arg(long, env = "TIDEGATE_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, env = "TIDEGATE_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
    /// Watch this namespace; repeatable [default: all]
    #[arg(long, env = "TIDEGATE_WATCH_NAMESPACE", value_name = "NS", value_delimiter = ',', value_parser = value::object_name)]
    pub watch_namespace: Vec<String>,
}

/// What is listened on.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Listen")]
pub struct ListenOptions {
    /// Address for http: IP:PORT, or :PORT for all addresses of IPv6 and IPv4, or of IPv4 alone where there is no IPv6. Port 0 lets the
    /// system choose
    #[arg(long, env = "TIDEGATE_HTTP", value_name = "ADDR", default_value_t = ListenAddress::All(DEFAULT_HTTP))]
    pub http: ListenAddress,
    /// Address for https, as that for http
    #[arg(long, env = "TIDEGATE_HTTPS", value_name = "ADDR", default_value_t = ListenAddress::All(DEFAULT_HTTPS))]
    pub https: ListenAddress,
    /// Address for /healthz, /livez, /readyz and /metrics, as that for http
    #[arg(long, env = "TIDEGATE_HEALTH", value_name = "ADDR", default_value_t = ListenAddress::All(DEFAULT_HEALTH))]
    pub health: ListenAddress,
    /// Address for the table, diagnostics, endpoints and certificates (without keys) as JSON. Whoever reaches it reads them
    #[arg(long, env = "TIDEGATE_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:10246")]
    pub admin: ListenAddress,
    /// The ports that clients see.
    #[command(flatten)]
    pub public: PublicPorts,
}

/// The ports that clients see.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Listen")]
pub struct PublicPorts {
    /// The http port that clients see, for X-Forwarded-Port [default: the listener's own]
    #[arg(long, env = "TIDEGATE_PUBLIC_HTTP_PORT", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub public_http_port: Option<u16>,
    /// The https port that clients see, for redirects and X-Forwarded-Port [default: the listener's own]
    #[arg(long, env = "TIDEGATE_PUBLIC_HTTPS_PORT", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub public_https_port: Option<u16>,
}

/// Whose Ingresses are served.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Classes")]
pub struct ClassOptions {
    /// Serve the classes of this controller (IngressClass.spec.controller); repeatable. What is given replaces the default: to serve
    /// ingress-nginx's classes besides, give tidegate.dev/ingress-controller and k8s.io/ingress-nginx
    #[arg(long, env = "TIDEGATE_CONTROLLER_NAME", value_name = "NAME", default_value = "tidegate.dev/ingress-controller",
          value_delimiter = ',', value_parser = value::controller_name)]
    pub controller_name: Vec<String>,
    /// Class that Ingresses mean where there is no IngressClass object to ask, such as by the kubernetes.io/ingress.class annotation
    #[arg(long, env = "TIDEGATE_INGRESS_CLASS", value_name = "NAME", value_parser = value::object_name)]
    pub ingress_class: Option<String>,
    /// Serve the class of --ingress-class whatever its controller
    #[arg(long, env = "TIDEGATE_INGRESS_CLASS_BY_NAME", value_name = "BOOL", default_value_t = false, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub ingress_class_by_name: bool,
    /// Serve Ingresses that name no class
    #[arg(long, env = "TIDEGATE_WATCH_INGRESS_WITHOUT_CLASS", value_name = "BOOL", default_value_t = false, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub watch_ingress_without_class: bool,
}

/// What serves the rest.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Defaults")]
pub struct DefaultOptions {
    /// Service for requests that no Ingress takes [default: answer 404]
    #[arg(long, env = "TIDEGATE_DEFAULT_BACKEND", value_name = "NS/NAME[:PORT]")]
    pub default_backend: Option<ServiceReference>,
    /// TLS Secret for hosts without a certificate of their own [default: a self-signed certificate, made at start]
    #[arg(long, env = "TIDEGATE_DEFAULT_CERTIFICATE", value_name = "NS/NAME")]
    pub default_certificate: Option<NamespacedName>,
}

/// Whom requests are believed, and where they may go.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Trust")]
pub struct TrustOptions {
    /// Believe X-Forwarded-* headers of these peers; repeatable. IPv4-mapped addresses count as IPv4
    #[arg(long, env = "TIDEGATE_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',', value_parser = value::cidr)]
    pub trusted_proxy: Vec<String>,
    /// Expect a PROXY protocol header (version 1 or 2) from these peers; repeatable
    #[arg(long, env = "TIDEGATE_PROXY_PROTOCOL", value_name = "CIDR", value_delimiter = ',', value_parser = value::cidr)]
    pub proxy_protocol: Vec<String>,
    /// Do not serve Services of type ExternalName
    #[arg(long, env = "TIDEGATE_DISABLE_EXTERNAL_NAME", value_name = "BOOL", default_value_t = false, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub disable_external_name: bool,
}

/// What is told back to the cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Status and election (cluster only)")]
pub struct PublishOptions {
    /// Copy the addresses of this Service into the status of Ingresses
    #[arg(long, env = "TIDEGATE_PUBLISH_SERVICE", value_name = "NS/NAME", conflicts_with = "publish_status_address")]
    pub publish_service: Option<NamespacedName>,
    /// Write this address into the status of Ingresses; repeatable
    #[arg(long, env = "TIDEGATE_PUBLISH_STATUS_ADDRESS", value_name = "IP|NAME", value_delimiter = ',',
          value_parser = value::status_address)]
    pub publish_status_address: Vec<String>,
    /// Write the addresses of the nodes that ready Pods with these labels run on into the status of Ingresses: their external ones, else
    /// their internal ones
    #[arg(long, env = "TIDEGATE_PUBLISH_NODES_OF", value_name = "NS/LABEL=VALUE,...",
          conflicts_with_all = ["publish_service", "publish_status_address"])]
    pub publish_nodes_of: Option<PodSelector>,
    /// Write status at all; off for the second of two controllers while people move
    #[arg(long, env = "TIDEGATE_UPDATE_STATUS", value_name = "BOOL", default_value_t = true, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub update_status: bool,
    /// Lease that replicas elect by who writes status and Events [default: tidegate-leader in the Pod's namespace, else in default]
    #[arg(long, env = "TIDEGATE_ELECTION_LEASE", value_name = "NS/NAME")]
    pub election_lease: Option<NamespacedName>,
}

/// How much is counted apart.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Metrics")]
pub struct MetricsOptions {
    /// Series that /metrics has at most, at least 1000; what finds no room is counted together under _overflow. docs/metrics.md says who
    /// gets how many
    #[arg(long, env = "TIDEGATE_METRICS_SERIES_LIMIT", value_name = "N", default_value_t = 200_000,
          value_parser = clap::value_parser!(u32).range(Budget::LEAST..))]
    metrics_series_limit: u32,
    /// Count the requests of each host apart; without it those of one path of one Ingress are counted together, and have no label host
    #[arg(long, env = "TIDEGATE_METRICS_PER_HOST", value_name = "BOOL", default_value_t = true, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    metrics_per_host: bool,
}

/// How the process runs and ends.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Process")]
pub struct ProcessOptions {
    /// Worker threads, 1 to 512 [default: the CPUs that affinity and cgroup allow]
    #[arg(long, env = "TIDEGATE_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub workers: Option<u16>,
    /// Keep accepting connections this long after SIGTERM, while balancers take notice; not on SIGINT [default: 10s, at most
    /// --drain-max]
    #[arg(long, env = "TIDEGATE_DRAIN_MIN", value_name = "DURATION", allow_hyphen_values = true, value_parser = value::duration)]
    drain_min: Option<Duration>,
    /// Let requests finish this long after SIGTERM or SIGINT, --drain-min included
    #[arg(long, env = "TIDEGATE_DRAIN_MAX", value_name = "DURATION", default_value = "240s", allow_hyphen_values = true,
          value_parser = value::duration)]
    pub drain_max: Duration,
    /// Tell clients why Tidegate answers a request itself, in X-Tidegate-Reason
    #[arg(long, env = "TIDEGATE_REASON_HEADER", value_name = "BOOL", default_value_t = false, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub reason_header: bool,
}

/// What the process logs of itself, on standard error.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogOptions {
    /// How the process's own log is written, to standard error
    #[arg(long, env = "TIDEGATE_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormatChoice,
    /// What the process's own log leaves out
    #[arg(long, env = "TIDEGATE_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
}

/// What is logged of requests.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct AccessLogOptions {
    /// Where requests are logged: a file, - for standard output, or off
    #[arg(long, env = "TIDEGATE_ACCESS_LOG", value_name = "PATH|-|off", default_value = "-", value_parser = access_log)]
    pub access_log: AccessLog,
    /// A request's line: text (the line of ingress-nginx), json, or a text of one's own with $variables in it
    #[arg(long, env = "TIDEGATE_ACCESS_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub access_log_format: LogFormat,
}

/// How the process's own log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormatChoice {
    /// For people: a line an event, its fields as name=value.
    Text,
    /// For programs: a JSON object a line.
    Json,
}

/// The least important thing that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    /// What an operator must act on.
    Error,
    /// Also what is wrong with somebody's objects.
    Warn,
    /// Also start, stop, and each generation of the table.
    Info,
    /// Also what helps to find a fault.
    Debug,
    /// Also what libraries say, up to their own debug.
    Trace,
}

fn access_log(text: &str) -> Result<AccessLog, String> {
    match text {
        "" => Err("give a path, - for standard output, or off".to_owned()),
        "off" => Ok(AccessLog::Off),
        "-" => Ok(AccessLog::Stdout),
        path => Ok(AccessLog::File(path.into())),
    }
}

impl MetricsOptions {
    /// Returns how many series there may be.
    #[must_use]
    pub fn series_limit(self) -> usize {
        usize::try_from(self.metrics_series_limit).unwrap_or(usize::MAX)
    }

    /// Returns whether hosts are told apart.
    #[must_use]
    pub fn hosts(self) -> HostSeries {
        if self.metrics_per_host { HostSeries::Apart } else { HostSeries::Together }
    }
}

impl ProcessOptions {
    /// Returns how long connections are accepted after SIGTERM.
    #[must_use]
    pub fn drain_min(&self) -> Duration {
        self.drain_min.unwrap_or(DEFAULT_DRAIN_MIN.min(self.drain_max))
    }
}

impl ServeOptions {
    /// Returns the flags that what is served depends on.
    #[must_use]
    pub fn served(&self) -> ServedOptions {
        let Self { listen, classes, defaults, trust, .. } = self;
        ServedOptions { ports: listen.public, classes: classes.clone(), defaults: defaults.clone(), trust: trust.clone() }
    }

    /// Checks what flags mean together.
    ///
    /// # Errors
    /// Two of them contradict each other; the text names both.
    pub(super) fn check(&self) -> Result<(), String> {
        let (min, max) = (self.process.drain_min(), self.process.drain_max);
        if min > max {
            return Err(format!("--drain-min ({min:?}) is longer than --drain-max ({max:?})"));
        }
        if self.classes.ingress_class_by_name && self.classes.ingress_class.is_none() {
            return Err("--ingress-class-by-name needs --ingress-class".to_owned());
        }
        Ok(())
    }
}
