//! Which API server, and as whom.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// What the command line says about the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// A kubeconfig file; `None` takes what the environment gives: `KUBECONFIG`, `~/.kube/config`, or the Pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; `None` is its current one.
    pub context: Option<String>,
}

/// Why there is no way to a cluster. The API server itself was not asked yet.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig that was named cannot be used.
    #[error("kubeconfig {path}: {source}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong.
        source: kube::config::KubeconfigError,
    },
    /// The context that was named cannot be used.
    #[error("context {context}: {source}")]
    Context {
        /// Its name.
        context: String,
        /// What is wrong.
        source: kube::config::KubeconfigError,
    },
    /// Nothing says where a cluster is.
    #[error("no cluster: give --kubeconfig or --manifests, set KUBECONFIG, or run in a Pod with a service account ({0})")]
    Nowhere(kube::config::InferConfigError),
    /// The client cannot be made of it.
    #[error("the client for the API server cannot be made: {0}")]
    Client(String),
}

/// Makes the client for the cluster that the command line or the environment names.
///
/// # Errors
/// None is named, or what is named cannot be used. That an API server is away is no error: the watches wait for it.
pub async fn connect(connection: &Connection) -> Result<Client, ConnectError> {
    let options = KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match (&connection.kubeconfig, &connection.context) {
        (Some(path), _) => {
            let wrong = |source| ConnectError::Kubeconfig { path: path.display().to_string(), source };
            let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(wrong)?
        }
        (None, Some(context)) => {
            let wrong = |source| ConnectError::Context { context: context.clone(), source };
            Config::from_kubeconfig(&options).await.map_err(wrong)?
        }
        (None, None) => Config::infer().await.map_err(ConnectError::Nowhere)?,
    };
    // An API server that accepts and then says nothing must not hold a watch for ever; a watch itself says something within 90 s.
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(u64::from(super::WATCH_SECONDS) + 10));
    config.reset_reader_on_write = true;
    // Each caller here has a pace of its own.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| ConnectError::Client(super::describe(&error)))
}
