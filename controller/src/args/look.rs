//! The flags of the commands that look at what is served, and where they look.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};
use http::{HeaderName, HeaderValue, Method, Uri};

use super::serve::{ClassOptions, DefaultOptions, PublicPorts, SourceOptions, TrustOptions};
use super::value::{self, InvalidValue};
use crate::explain;

/// Where to look, and by which flags of `serve`.
#[derive(Debug, Clone, Args)]
pub struct LookOptions {
    /// Ask the instance that has its admin pages at this address; what counts is what it was started with
    #[arg(long, env = "TIDEGATE_ADMIN", value_name = "ADDR", value_parser = value::peer, help_heading = "Source")]
    pub admin: Option<SocketAddr>,
    /// Manifests or a cluster.
    #[command(flatten)]
    pub source: SourceOptions,
    /// Flags of `serve` that what is served depends on.
    #[command(flatten)]
    pub served: ServedOptions,
}

/// Flags of `serve` that what is served depends on.
#[derive(Debug, Clone, Args)]
pub struct ServedOptions {
    /// The ports that clients see.
    #[command(flatten)]
    pub ports: PublicPorts,
    /// Whose Ingresses are served.
    #[command(flatten)]
    pub classes: ClassOptions,
    /// What serves the rest.
    #[command(flatten)]
    pub defaults: DefaultOptions,
    /// Whom requests are believed.
    #[command(flatten)]
    pub trust: TrustOptions,
}

/// The flags that say nothing to a running instance, by their identifiers.
const SERVED: &[&str] = &[
    "watch_namespace",
    "public_http_port",
    "public_https_port",
    "controller_name",
    "ingress_class",
    "ingress_class_by_name",
    "watch_ingress_without_class",
    "default_backend",
    "default_certificate",
    "trusted_proxy",
    "proxy_protocol",
    "disable_external_name",
];

impl LookOptions {
    /// Settles where to look, where several places are named: what stands on the command line wins over the environment, in which flags
    /// of `serve` may stand.
    ///
    /// # Errors
    /// The command line names both an instance and objects; the text names the flags.
    pub(super) fn settle(&mut self, matches: &ArgMatches) -> Result<(), String> {
        let written = |flag: &str| matches.value_source(flag) == Some(ValueSource::CommandLine);
        let objects = ["manifests", "kubeconfig", "context"].into_iter().find(|flag| written(flag));
        if let Some(other) = objects {
            self.admin = None;
            if written("admin") {
                return Err(format!("--admin asks a running instance, --{other} reads objects: give one of the two"));
            }
        }
        match SERVED.iter().find(|flag| self.admin.is_some() && written(flag)) {
            Some(flag) => Err(format!("--{} has no effect with --admin: the instance has its own flags", flag.replace('_', "-"))),
            None => Ok(()),
        }
    }
}

/// What `explain` is given.
#[derive(Debug, Clone, Args)]
pub struct ExplainOptions {
    /// The URL of the request, with its scheme
    #[arg(value_name = "URL", value_parser = explain::url)]
    pub url: Uri,
    /// Its method
    #[arg(short = 'X', long, env = "TIDEGATE_METHOD", value_name = "METHOD", default_value = "GET", value_parser = explain::method)]
    pub method: Method,
    /// One of its headers, as 'Name: value'; repeatable
    #[arg(short = 'H', long, env = "TIDEGATE_HEADER", value_name = "HEADER", value_parser = explain::header)]
    pub header: Vec<(HeaderName, HeaderValue)>,
    /// The client's address, which --trusted-proxy may name [default: one that nobody trusts]
    #[arg(long, env = "TIDEGATE_CLIENT", value_name = "IP")]
    pub client: Option<IpAddr>,
    /// How the explanation is written
    #[arg(short, long, env = "TIDEGATE_OUTPUT", value_name = "FORMAT", default_value = "text")]
    pub output: TextFormat,
    /// Where to look.
    #[command(flatten)]
    pub look: LookOptions,
}

/// What `routes`, `certs`, `backends` and `diagnostics` are given.
#[derive(Debug, Clone, Args)]
pub struct ListOptions {
    /// How the list is written
    #[arg(short, long, env = "TIDEGATE_OUTPUT", value_name = "FORMAT", default_value = "table")]
    pub output: ListFormat,
    /// Where to look.
    #[command(flatten)]
    pub look: LookOptions,
}

/// What `diff` is given.
#[derive(Debug, Clone, Args)]
pub struct DiffOptions {
    /// What is served now: a directory or file of manifests, cluster, cluster:CONTEXT, or admin:ADDR for a running instance
    #[arg(value_name = "OLD")]
    pub old: Side,
    /// What is to be served: the same
    #[arg(value_name = "NEW")]
    pub new: Side,
    /// How differences are written
    #[arg(short, long, env = "TIDEGATE_OUTPUT", value_name = "FORMAT", default_value = "text")]
    pub output: TextFormat,
    /// Reach the cluster as this file says [default: KUBECONFIG, else ~/.kube/config, else the ServiceAccount of the Pod]
    #[arg(long, env = "TIDEGATE_KUBECONFIG", value_name = "FILE", help_heading = "Source")]
    pub kubeconfig: Option<PathBuf>,
    /// Look at this namespace of manifests and clusters; repeatable [default: all]
    #[arg(long, env = "TIDEGATE_WATCH_NAMESPACE", value_name = "NS", value_delimiter = ',', value_parser = value::object_name,
          help_heading = "Source")]
    pub watch_namespace: Vec<String>,
    /// Flags of `serve` that what is served depends on.
    #[command(flatten)]
    pub served: ServedOptions,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// A directory or file of manifests.
    Manifests(PathBuf),
    /// A cluster: by a context of the kubeconfig; `None` is its current one, or the Pod's own cluster.
    Cluster(Option<String>),
    /// A running instance, by its admin address.
    Instance(SocketAddr),
}

impl FromStr for Side {
    type Err = InvalidValue;

    /// A directory that is called `cluster` is written `./cluster`.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.split_once(':') {
            _ if text == "cluster" => Ok(Self::Cluster(None)),
            _ if text.is_empty() => Err(InvalidValue::new("give a directory or file of manifests, cluster, cluster:CONTEXT or admin:ADDR")),
            Some(("cluster", "")) => Err(InvalidValue::new("give cluster, or cluster:CONTEXT with the name of a context")),
            Some(("cluster", context)) => Ok(Self::Cluster(Some(context.to_owned()))),
            Some(("admin", address)) => value::peer(address).map(Self::Instance),
            Some(_) | None => Ok(Self::Manifests(text.into())),
        }
    }
}

impl DiffOptions {
    /// Refuses what was written on the command line (the subcommand's `matches`) though neither side has a use for it.
    ///
    /// # Errors
    /// Names the flag.
    pub(super) fn check(&self, matches: &ArgMatches) -> Result<(), String> {
        let sides = [&self.old, &self.new];
        let written = |flag: &str| matches.value_source(flag) == Some(ValueSource::CommandLine);
        if !sides.iter().any(|side| matches!(side, Side::Cluster(_))) && written("kubeconfig") {
            return Err("--kubeconfig has no use: neither side is a cluster".to_owned());
        }
        if sides.iter().all(|side| matches!(side, Side::Instance(_)))
            && let Some(flag) = SERVED.iter().find(|flag| written(flag))
        {
            return Err(format!("--{} has no use: running instances have flags of their own", flag.replace('_', "-")));
        }
        Ok(())
    }

    /// Returns where one side is looked at.
    #[must_use]
    pub fn look(&self, side: &Side) -> LookOptions {
        let (manifests, context, admin) = match side {
            Side::Manifests(path) => (Some(path.clone()), None, None),
            Side::Cluster(context) => (None, context.clone(), None),
            Side::Instance(address) => (None, None, Some(*address)),
        };
        let source =
            SourceOptions { manifests, kubeconfig: self.kubeconfig.clone(), context, watch_namespace: self.watch_namespace.clone() };
        LookOptions { admin, source, served: self.served.clone() }
    }
}

/// How something is written that is a text for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    /// For people.
    Text,
    /// For programs: JSON.
    Json,
    /// For programs: YAML.
    Yaml,
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people: a table.
    Table,
    /// For programs: JSON, all that is known.
    Json,
    /// For programs: YAML, all that is known.
    Yaml,
}
