//! Listening sockets: one per worker for each address, all made before anybody accepts.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::BindError;
use crate::table::Listener;

/// Connections that wait to be accepted, per socket; the system may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// When the system asks a silent client whether it is still there, and how often. As long as that takes may bytes that were sent stay without
/// an acknowledgement: a client that vanished without a word is gone after about two minutes, whatever its connection was doing.
const KEEP_ALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);

/// Where a listener of the table is bound.
#[derive(Debug)]
pub(super) struct BoundListener {
    /// The listener's name.
    pub(super) name: Arc<str>,
    /// The address that the table asks for.
    pub(super) requested: SocketAddr,
    /// The address that it got.
    pub(super) address: SocketAddr,
}

/// The sockets of one listener.
#[derive(Debug)]
pub(super) struct ListenerSockets {
    /// Where they are bound.
    pub(super) listener: Arc<BoundListener>,
    /// One for each worker. They stay here while workers accept on clones of them, so that a worker can be started anew.
    of_worker: Vec<TcpListener>,
}

impl ListenerSockets {
    /// Binds a listener for this many workers.
    ///
    /// The sockets share their address through `SO_REUSEPORT`, by which the system spreads connections over them; it would as
    /// gladly share it with another process of the same user. So the address is first bound without.
    pub(super) fn bind(listener: &Listener, workers: usize) -> Result<Self, BindError> {
        let failed = |source| BindError { listener: Arc::clone(&listener.name), address: listener.address, source };
        if listener.address.port() != 0 {
            drop(TcpListener::bind(listener.address).map_err(failed)?);
        }
        let first = bind_shared(listener.address).map_err(failed)?;
        // With port 0 the system has chosen; the others join the first.
        let address = first.local_addr().map_err(failed)?;
        let mut of_worker = vec![first];
        while of_worker.len() < workers {
            of_worker.push(bind_shared(address).map_err(failed)?);
        }
        let listener = BoundListener { name: Arc::clone(&listener.name), requested: listener.address, address };
        Ok(Self { listener: Arc::new(listener), of_worker })
    }

    /// Returns a clone of the worker's socket.
    pub(super) fn clone_for(&self, worker: usize) -> io::Result<TcpListener> {
        self.of_worker.get(worker).ok_or(io::ErrorKind::NotFound)?.try_clone()
    }

    /// Whether this is what the table asks for.
    pub(super) fn serves(&self, listener: &Listener) -> bool {
        self.listener.name == listener.name && self.listener.requested == listener.address
    }
}

/// Binds a socket whose connections inherit its options.
fn bind_shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    let (idle, interval, retries) = KEEP_ALIVE;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(retries))?;
    socket.set_tcp_user_timeout(Some(idle + interval * retries))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_inherit_how_long_a_client_may_be_silent() -> io::Result<()> {
        let listener = bind_shared(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let _client = std::net::TcpStream::connect(listener.local_addr()?)?;
        listener.set_nonblocking(false)?;
        let (accepted, _) = listener.accept()?;
        let socket = socket2::SockRef::from(&accepted);
        assert!(socket.tcp_nodelay()? && socket.keepalive()?);
        assert_eq!(socket.tcp_keepalive_time()?, KEEP_ALIVE.0);
        assert_eq!(socket.tcp_user_timeout()?, Some(Duration::from_secs(120)));
        Ok(())
    }
}
