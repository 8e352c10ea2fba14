//! Accepting: which worker gets a connection, and what happens when there are too many.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::shared::Handed;
use super::socket::BoundListener;
use super::worker::WorkerThread;

/// How long to wait after the system refuses to accept (no descriptors, no memory): from, and to at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Accepts connections until told to stop; then takes those that wait already, and closes the socket.
pub(super) async fn accept(worker: Rc<WorkerThread>, socket: TcpListener, listener: Arc<BoundListener>, stop: Rc<Notify>) {
    let stopped = stop.notified();
    tokio::pin!(stopped);
    let mut pause = BACK_OFF.0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                pause = BACK_OFF.0;
                take(&worker, tcp, peer, &listener).await;
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                if pause == BACK_OFF.0 {
                    tracing::error!(listener = &*listener.name, %error, "cannot accept connections for now");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(BACK_OFF.1);
            }
        }
    }
    if let Err(error) = empty_queue(&worker, socket, &listener).await {
        tracing::debug!(listener = &*listener.name, %error, "stopped accepting");
    }
}

/// Whether it is one client's connection that failed, and the next can be accepted.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | TimedOut)
}

/// Serves what has been waiting: closing the socket would reset it. The socket is asked itself, because the runtime may not know
/// yet of the last arrivals.
async fn empty_queue(worker: &Rc<WorkerThread>, socket: TcpListener, listener: &Arc<BoundListener>) -> io::Result<()> {
    let socket = socket.into_std()?;
    loop {
        match socket.accept() {
            Ok((tcp, peer)) => {
                tcp.set_nonblocking(true)?;
                take(worker, TcpStream::from_std(tcp)?, peer, listener).await;
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Serves a connection, here or at another worker, as soon as the process may have one more.
async fn take(worker: &Rc<WorkerThread>, tcp: TcpStream, peer: SocketAddr, listener: &Arc<BoundListener>) {
    let shared = worker.shared();
    let Some(permit) = shared.permit().await else { return };
    let place = shared.place(worker.id(), permit);
    if place.worker() == worker.id() {
        worker.serve(tcp, peer, Arc::clone(listener), place);
        return;
    }
    match tcp.into_std() {
        Ok(tcp) => shared.hand_over(Handed { tcp, peer, listener: Arc::clone(listener), place }),
        Err(error) => tracing::debug!(client.ip = %peer.ip(), %error, "a connection could not be handed over"),
    }
}
