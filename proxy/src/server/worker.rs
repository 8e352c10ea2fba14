//! A worker: one thread with a runtime of its own, its sockets and its connections.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;

use super::activity::{Activity, Due};
use super::connections::Connections;
use super::handshake::{self, Established, HandshakeError};
use super::shared::{Phase, Place, Shared};
use super::socket::BoundListener;
use super::stream::ClientStream;
use super::{accept, http, report};
use crate::forward;
use crate::observe::ClientFacts;

/// What a worker's tasks share.
pub(super) struct WorkerThread {
    id: usize,
    shared: Arc<Shared>,
    forward: Rc<forward::Worker>,
    connections: Connections,
}

/// Serves on the calling thread until the end of serving. `ready` is called once it accepts.
pub(super) fn run(id: usize, shared: &Arc<Shared>, ready: impl FnOnce()) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let worker = Rc::new(WorkerThread::new(id, Arc::clone(shared)));
    runtime.block_on(worker.work(ready))
}

/// A task that accepts, and how to stop it.
struct Accepting {
    listener: Arc<BoundListener>,
    stop: Rc<Notify>,
    over: Rc<Cell<bool>>,
}

/// Tells the worker's loop that a task that accepts has ended, in whatever way.
struct TellsEnd {
    worker: Rc<WorkerThread>,
    over: Rc<Cell<bool>>,
}

impl Drop for TellsEnd {
    fn drop(&mut self) {
        self.over.set(true);
        self.worker.shared.wake(self.worker.id);
    }
}

impl WorkerThread {
    fn new(id: usize, shared: Arc<Shared>) -> Self {
        let forward = forward::Worker::new(
            id,
            Arc::clone(&shared.table),
            Arc::clone(&shared.state),
            Arc::clone(&shared.settings),
            shared.drain.clone(),
        );
        Self { id, shared, forward: Rc::new(forward), connections: Connections::default() }
    }

    pub(super) fn id(&self) -> usize {
        self.id
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Follows the shared state until the end of serving.
    async fn work(self: Rc<Self>, ready: impl FnOnce()) -> io::Result<()> {
        let worker = Rc::clone(&self);
        tokio::task::spawn_local(async move { worker.connections.sweep(&worker.shared).await });
        tokio::task::spawn_local(self.forward.attend());
        let mut accepting = HashMap::new();
        self.follow_sockets(&mut accepting)?;
        ready();
        loop {
            self.shared.woken(self.id).await;
            self.forward.refresh();
            let phase = self.shared.phase();
            if phase == Phase::Cut {
                return Ok(());
            }
            if let Err(error) = self.follow_sockets(&mut accepting) {
                tracing::error!(worker = self.id, %error, "cannot accept on a listener");
            }
            for handed in self.shared.take_handed(self.id) {
                match TcpStream::from_std(handed.tcp) {
                    Ok(tcp) => self.serve(tcp, handed.peer, handed.listener, handed.place),
                    Err(error) => tracing::debug!(client.ip = %handed.peer.ip(), %error, "a connection could not be taken over"),
                }
            }
            if phase > Phase::Serving {
                self.connections.tell(phase);
            }
            if phase == Phase::Closing && accepting.is_empty() && self.shared.connections(self.id) == 0 {
                return Ok(());
            }
        }
    }

    /// Accepts on the sockets that there are now, and no longer on those that are gone.
    fn follow_sockets(self: &Rc<Self>, accepting: &mut HashMap<*const BoundListener, Accepting>) -> io::Result<()> {
        accepting.retain(|_, accepting| !accepting.over.get());
        let sockets = self.shared.sockets();
        for gone in accepting.values().filter(|a| !sockets.iter().any(|s| Arc::ptr_eq(&s.listener, &a.listener))) {
            gone.stop.notify_one();
        }
        for bound in sockets.iter() {
            let key = Arc::as_ptr(&bound.listener);
            if accepting.contains_key(&key) {
                continue;
            }
            let socket = TcpListener::from_std(bound.clone_for(self.id)?)?;
            let (stop, over) = (Rc::new(Notify::new()), Rc::new(Cell::new(false)));
            let listener = Arc::clone(&bound.listener);
            let end = TellsEnd { worker: Rc::clone(self), over: Rc::clone(&over) };
            let accept = accept::accept(Rc::clone(self), socket, Arc::clone(&listener), Rc::clone(&stop));
            tokio::task::spawn_local(async move {
                accept.await;
                drop(end);
            });
            accepting.insert(key, Accepting { listener, stop, over });
        }
        Ok(())
    }

    /// Serves a connection to its end.
    pub(super) fn serve(self: &Rc<Self>, tcp: TcpStream, peer: SocketAddr, listener: Arc<BoundListener>, place: Place) {
        let (limits, scheme) = match self.shared.table.load().listener(&listener.name) {
            Some(listener) => (Arc::clone(&listener.limits), listener.scheme()),
            None => return,
        };
        let activity = Arc::new(Activity::new(limits, self.shared.phase()));
        self.connections.watch(&activity, self.shared.state.metrics.clients().accept(scheme));
        let stream = ClientStream::new(tcp, Arc::clone(&activity), place);
        let (shared, forward) = (Arc::clone(&self.shared), Rc::clone(&self.forward));
        tokio::task::spawn_local(async move {
            let established = {
                let handshake = Box::pin(handshake::establish(&shared, &listener, peer, stream));
                until_due(handshake, &activity).await
            };
            match established {
                Ok(established) => {
                    let (connection, ended) = Box::pin(http::serve(&forward, established, activity)).await;
                    report::ended(&forward, &connection, &ended);
                }
                Err(failure) => {
                    let (server_name, tls_version) = (None, None);
                    let local_port = listener.address.port();
                    let client = ClientFacts { client: peer, listener: &listener.name, local_port, scheme, server_name, tls_version };
                    report::not_established(&forward, client, &failure);
                }
            }
        });
    }
}

/// Polls a handshake to its end, unless the connection's time is up before.
async fn until_due<H>(mut handshake: std::pin::Pin<Box<H>>, activity: &Activity) -> Result<Established, HandshakeError>
where
    H: Future<Output = Result<Established, HandshakeError>>,
{
    let mut registered = false;
    std::future::poll_fn(|cx| {
        if !registered {
            activity.wake_when_due(cx.waker());
            registered = true;
        }
        if let Poll::Ready(established) = handshake.as_mut().poll(cx) {
            return Poll::Ready(established);
        }
        match activity.due() {
            Due::Nothing | Due::Sleep => Poll::Pending,
            due @ (Due::Close | Due::HeadLate | Due::CloseLate | Due::WriteStalled) => Poll::Ready(Err(HandshakeError::Late(due))),
        }
    })
    .await
}
