//! Backends behind a Service: they say who they are and what reached them, and close as a Pod does.
//!
//! The answers are those of `tidegate echo`, from its own code, in this process: hundreds of backends are cheap.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tidegate::cli::echo::{EchoOptions, EchoServer};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A backend on one address. It closes at once when it goes out of scope.
#[derive(Debug)]
pub struct Backend {
    /// What it calls itself.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Backend {
    /// Starts a backend in clear text (HTTP/1.1 and HTTP/2 by prior knowledge). With port 0 the system chooses one.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(name: &str, address: SocketAddr) -> anyhow::Result<Self> {
        Self::listen(name, address, EchoOptions { listen: vec![address.into()], tls: Vec::new(), name: Arc::from(name) }).await
    }

    /// Starts a backend with TLS under a self-signed certificate. With port 0 the system chooses one.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start_tls(name: &str, address: SocketAddr) -> anyhow::Result<Self> {
        Self::listen(name, address, EchoOptions { listen: Vec::new(), tls: vec![address.into()], name: Arc::from(name) }).await
    }

    async fn listen(name: &str, address: SocketAddr, options: EchoOptions) -> anyhow::Result<Self> {
        let server = EchoServer::bind(&options).with_context(|| format!("backend {name} on {address}"))?;
        let address = *server.addresses()?.first().unwrap_or(&address);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(async move {
            // An error is the sender's end: that, too, means to stop.
            let _ = stopped.await;
        }));
        Ok(Self { name: name.to_owned(), address, stop: Some(stop), task })
    }

    /// Takes no more connections, answers what is under way, closes what is idle, and returns when that is done: what a well-behaved
    /// Pod does on SIGTERM.
    ///
    /// # Errors
    /// The backend had failed.
    pub async fn drain(mut self) -> anyhow::Result<()> {
        drop(self.stop.take());
        (&mut self.task).await?
    }

    /// Does the same, and goes on refusing connections: nobody else, such as another test's backend, is given the port meanwhile.
    ///
    /// # Errors
    /// The backend had failed, or somebody was faster.
    pub async fn drain_and_refuse(self) -> anyhow::Result<Refusing> {
        let address = self.address;
        self.drain().await?;
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Connections that were closed a moment ago are remembered for a while.
        socket.set_reuseaddr(true)?;
        socket.bind(address).with_context(|| format!("{address} after its backend"))?;
        Ok(Refusing { _bound: socket })
    }
}

/// An address that refuses connections for as long as this lives.
#[derive(Debug)]
pub struct Refusing {
    /// Bound, and not listened on.
    _bound: TcpSocket,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}
