//! The command line: strings to typed values, once, at the border. Every flag can also be given as `TIDEGATE_…` in the environment.
//! What several flags mean together is checked here too, so that whoever takes these values need not doubt them.

mod listen;
mod look;
mod serve;
mod value;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

pub use listen::ListenAddress;
pub(crate) use listen::Listening;
pub use look::{DiffOptions, ExplainOptions, ListFormat, ListOptions, LookOptions, ServedOptions, Side, TextFormat};
pub use serve::{
    ClassOptions, DEFAULT_HTTP, DEFAULT_HTTPS, DefaultOptions, LogFormatChoice, LogLevel, LogOptions, PublicPorts, ServeOptions,
    SourceOptions, TrustOptions,
};
pub use value::{InvalidValue, NamespacedName, PodSelector, PortName, ServiceReference};

/// Tidegate: an ingress controller for Kubernetes in one binary.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 120, disable_help_subcommand = true)]
pub struct Options {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves the Ingresses of a cluster, or of a directory of manifests.
    Serve(Box<ServeOptions>),
    /// Says what is wrong with manifests, without a cluster: exit 0 when nothing is, 1 when there are errors, 2 for wrong usage.
    Check(CheckOptions),
    /// Says what becomes of a request, and why: exit 0 when it can be said, 1 when nothing can be looked at, 2 for wrong usage.
    Explain(Box<ExplainOptions>),
    /// Lists the routes: host, path, object, backend.
    Routes(Box<ListOptions>),
    /// Lists the certificates by server name, without keys.
    Certs(Box<ListOptions>),
    /// Lists the backends, and their endpoints with their states.
    Backends(Box<ListOptions>),
    /// Lists what is wrong with objects.
    Diagnostics(Box<ListOptions>),
    /// Says how two sets of objects are served differently: exit 0 when they are not, 1 when they are, 2 when that cannot be said.
    Diff(Box<DiffOptions>),
    /// Serves an example with its backends on this machine, and prints the curl lines to try.
    Quickstart(QuickstartOptions),
    /// Serves as a backend that shows what reaches it: a workload for tests.
    Echo(EchoOptions),
    /// Prints the version.
    Version(VersionOptions),
}

/// What `check` is given.
#[derive(Debug, clap::Args)]
pub struct CheckOptions {
    /// Files, or directories with .yaml, .yml and .json files.
    #[arg(required_unless_present = "snapshot", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// A snapshot to be checked instead, as the admin address gives it at /snapshot.
    #[arg(long, env = "TIDEGATE_SNAPSHOT", value_name = "FILE", conflicts_with = "paths")]
    pub snapshot: Option<PathBuf>,
    /// How findings are written.
    #[arg(short, long, env = "TIDEGATE_OUTPUT", value_name = "FORMAT", default_value = "text")]
    pub output: OutputFormat,
    /// Whose classes are ours: the same as for `serve`.
    #[command(flatten)]
    pub classes: ClassOptions,
}

/// How findings, or a version, are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people: lines of text.
    Text,
    /// For programs: one document.
    Json,
}

/// What `quickstart` is given.
#[derive(Debug, clap::Args)]
pub struct QuickstartOptions {
    /// Directory of the example; it is followed as it is edited.
    #[arg(value_name = "DIR", default_value = "examples/quickstart")]
    pub directory: PathBuf,
    /// Address for http; port 0 lets the system choose.
    #[arg(long, env = "TIDEGATE_HTTP", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub http: ListenAddress,
    /// Address for https; port 0 lets the system choose.
    #[arg(long, env = "TIDEGATE_HTTPS", value_name = "ADDR", default_value = "127.0.0.1:8443")]
    pub https: ListenAddress,
}

/// What `echo` is given.
#[derive(Debug, clap::Args)]
pub struct EchoOptions {
    /// Address to listen on in clear text (HTTP/1.1, and HTTP/2 by prior knowledge); repeatable; port 0 lets the system choose.
    /// [default: :8080, if there is no --tls]
    #[arg(long, env = "TIDEGATE_LISTEN", value_name = "ADDR", value_delimiter = ',')]
    pub listen: Vec<ListenAddress>,
    /// Address to listen on with TLS, under a self-signed certificate made at start; repeatable.
    #[arg(long, env = "TIDEGATE_TLS", value_name = "ADDR", value_delimiter = ',')]
    pub tls: Vec<ListenAddress>,
    /// What it calls itself in its answers. [default: the host's name]
    #[arg(long, env = "TIDEGATE_NAME", value_name = "NAME")]
    pub name: Option<String>,
}

/// What `version` is given.
#[derive(Debug, clap::Args)]
pub struct VersionOptions {
    /// How the version is written.
    #[arg(short, long, env = "TIDEGATE_OUTPUT", value_name = "FORMAT", default_value = "text")]
    pub output: OutputFormat,
}

impl Options {
    /// Reads the process's own arguments and environment. Wrong ones end the process with exit code 2 and a message that names the
    /// flag; `--help` and `--version` end it with 0.
    #[must_use]
    pub fn read() -> Self {
        Self::parse_checked(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Reads arguments, the program's name first, and checks what they mean together.
    ///
    /// # Errors
    /// One is wrong; the message names the flag. Also what `--help` and `--version` print comes as an error.
    pub fn parse_checked<I, T>(arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(arguments)?;
        let mut options = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        let Some((_, matches)) = matches.subcommand() else { return Ok(options) };
        let checked = match &mut options.command {
            Command::Explain(options) => options.look.settle(matches),
            Command::Routes(options) | Command::Certs(options) | Command::Backends(options) | Command::Diagnostics(options) => {
                options.look.settle(matches)
            }
            Command::Diff(options) => options.check(matches),
            Command::Serve(options) => options.check(),
            Command::Check(_) | Command::Quickstart(_) | Command::Echo(_) | Command::Version(_) => Ok(()),
        };
        checked.map_err(|problem| command.error(ErrorKind::ValueValidation, problem))?;
        Ok(options)
    }
}

#[cfg(test)]
#[path = "args/tests.rs"]
mod tests;
