//! The flags of the commands that look at what is served, and where they look.

use std::net::{IpAddr, SocketAddr};

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};
use http::{HeaderName, HeaderValue, Method, Uri};

use super::serve::{ClassOptions, DefaultOptions, PublicPorts, SourceOptions, TrustOptions};
use super::value;
use crate::explain;

/// Where to look, and by which flags of `serve`.
#[derive(Debug, Clone, Args)]
pub struct LookOptions {
    /// Ask the instance that has its admin pages at this address; what counts is what it was started with
    #[arg(long, env = "TIDEGATE_ADMIN", value_name = "ADDR", value_parser = value::address, help_heading = "Source")]
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
