//! A way to a server that can be cut: connections through it break, and new ones are closed at once, until it is mended.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A relay of TCP connections. It ends when it goes out of scope.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    whole: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Starts a relay to this address, on loopback.
    ///
    /// # Errors
    /// The system gives no port.
    pub async fn start(to: SocketAddr) -> anyhow::Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), to).await
    }

    /// Starts a relay to this address, on another.
    ///
    /// # Errors
    /// That address cannot be bound.
    pub async fn start_on(address: SocketAddr, to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot relay from {address}"))?;
        let address = listener.local_addr()?;
        let whole = watch::Sender::new(true);
        let state = whole.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *state.borrow() {
                    tokio::spawn(relay(client, to, state.clone()));
                }
            }
        });
        Ok(Self { address, whole, task })
    }

    /// Breaks every connection, and those that come until [`Relay::mend`].
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn relay(mut client: TcpStream, to: SocketAddr, mut state: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    tokio::select! {
        // However it ends, both sides see it.
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = state.wait_for(|whole| !whole) => {}
    }
}
