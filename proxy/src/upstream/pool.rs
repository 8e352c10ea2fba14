//! A worker's connections to endpoints. Nothing here is shared with other workers.
//!
//! HTTP/1.1 connections serve one request at a time and are kept idle between them, the last used first: some for requests without a body,
//! others for the rest. HTTP/2 connections are shared by requests as far as the endpoint's streams go.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::{Arc, Weak as ArcWeak};
use std::time::Duration;

use super::bare::{Bare, Room};
use super::channel::{Channel, Kind, Past};
use super::connect::{Connector, Version, Wanted};
use super::dial::Dial;
use super::http1::Http1;
use super::http2::Http2;
use super::idle::IdleLimit;
use super::parked::{Condition, Parked, Parks};
use super::{Endpoint, Slot, Upstream};
use crate::error::{ProxyError, Reason, Retry};
use crate::model::UpstreamProtocol;
use crate::observe::Metrics;

/// How many upstreams are looked at before requests have their turn.
const SLICE: usize = 1024;
/// Sweeps at least this often while there is anything to sweep, so that connections to vanished endpoints do not linger.
const LONGEST_SWEEP: Duration = Duration::from_secs(5);

/// All connections of one worker, by the slot of the upstream.
#[derive(Debug)]
pub struct Pools(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    slots: RefCell<Vec<Option<UpstreamPool>>>,
    connector: Connector,
    room: Rc<Room>,
    idle_limit: IdleLimit,
    sweep_every: Duration,
    /// Connections go after this many sweeps without a request.
    sweeps_until_idle: u32,
    sweeping: Cell<bool>,
    /// What is told how many connections are kept, and what it was told last.
    metrics: Arc<Metrics>,
    told: Cell<i64>,
}

#[derive(Debug)]
struct UpstreamPool {
    upstream: ArcWeak<Upstream>,
    /// Sorted by the endpoint's place in memory.
    endpoints: Vec<Rc<EndpointPool>>,
}

/// The connections to one endpoint of one upstream.
#[derive(Debug)]
pub struct EndpointPool {
    endpoint: Arc<Endpoint>,
    protocol: UpstreamProtocol,
    worker: Weak<Inner>,
    bare: Parked<Bare>,
    http1: Parked<Http1>,
    http2: RefCell<Vec<Rc<Http2>>>,
    dial: RefCell<Option<Rc<Dial>>>,
    /// What ALPN last agreed on, where it is free to choose.
    spoken: Cell<Option<Version>>,
}

impl Pools {
    /// Makes the empty pools of a worker. Connections without a request for `idle` are closed; at most `idle_connections` of HTTP/1.1 are
    /// kept, to all endpoints together.
    #[must_use]
    pub fn new(connector: Connector, idle_connections: usize, idle: Duration, metrics: Arc<Metrics>) -> Self {
        let sweep_every = (idle / 4).clamp(Duration::from_millis(10), LONGEST_SWEEP);
        let sweeps = idle.as_nanos().div_ceil(sweep_every.as_nanos());
        Self(Rc::new(Inner {
            slots: RefCell::default(),
            connector,
            room: Rc::default(),
            idle_limit: IdleLimit::new(idle_connections),
            sweep_every,
            sweeps_until_idle: u32::try_from(sweeps).unwrap_or(u32::MAX).max(1),
            sweeping: Cell::new(false),
            metrics,
            told: Cell::new(0),
        }))
    }

    /// Returns the pool of an endpoint. A slot that belonged to another upstream is cleared first.
    #[must_use]
    pub fn endpoint(&self, upstream: &Arc<Upstream>, endpoint: &Arc<Endpoint>) -> Rc<EndpointPool> {
        let Slot(slot) = upstream.slot;
        let mut slots = self.0.slots.borrow_mut();
        if slots.len() <= slot {
            slots.resize_with(slot + 1, || None);
        }
        let make = || EndpointPool {
            endpoint: Arc::clone(endpoint),
            protocol: upstream.key.protocol,
            worker: Rc::downgrade(&self.0),
            bare: Parked::default(),
            http1: Parked::default(),
            http2: RefCell::default(),
            dial: RefCell::default(),
            spoken: Cell::new(None),
        };
        let Some(place) = slots.get_mut(slot) else { return Rc::new(make()) };
        if place.as_ref().is_some_and(|pool| !std::ptr::eq(pool.upstream.as_ptr(), Arc::as_ptr(upstream))) {
            *place = None;
        }
        let pool = place.get_or_insert_with(|| UpstreamPool { upstream: Arc::downgrade(upstream), endpoints: Vec::new() });
        let found = pool.endpoints.binary_search_by_key(&Arc::as_ptr(endpoint), |known| Arc::as_ptr(&known.endpoint));
        match found {
            Ok(at) => pool.endpoints.get(at).map_or_else(|| Rc::new(make()), Rc::clone),
            Err(at) => {
                let made = Rc::new(make());
                pool.endpoints.insert(at, Rc::clone(&made));
                made
            }
        }
    }

    /// Closes what the slot holds, as soon as requests in flight are done.
    pub fn clear(&self, slot: Slot) {
        if let Some(place) = self.0.slots.borrow_mut().get_mut(slot.0) {
            *place = None;
        }
    }
}

impl Inner {
    /// Closes, of one slice from this slot on, what was idle for too long and what leads to endpoints that are gone; returns whether
    /// anything is left there to sweep, and how many connections are kept. `None` beyond the last slice.
    fn sweep(&self, from: usize) -> Option<(bool, usize)> {
        let (mut left, mut kept) = (false, 0);
        let mut slots = self.slots.borrow_mut();
        for place in slots.get_mut(from..).filter(|rest| !rest.is_empty())?.iter_mut().take(SLICE) {
            let Some(pool) = place else { continue };
            let Some(upstream) = pool.upstream.upgrade() else {
                *place = None;
                continue;
            };
            let set = upstream.endpoints();
            pool.endpoints.retain(|endpoint| {
                let stays = set.contains(&endpoint.endpoint);
                stays && {
                    left |= endpoint.sweep(self.sweeps_until_idle);
                    kept += endpoint.kept();
                    endpoint.is_of_use()
                }
            });
            if pool.endpoints.is_empty() {
                *place = None;
            }
        }
        Some((left, kept))
    }

    fn tell(&self, kept: usize) {
        let kept = i64::try_from(kept).unwrap_or(i64::MAX);
        self.metrics.upstream_kept(kept - self.told.replace(kept));
    }

    /// Closes the connections that were idle for longest if there are too many, and forgets the pools that it leaves empty: an endpoint
    /// that is seldom asked costs nothing between its requests.
    fn make_room(&self) {
        let mut slots = self.slots.borrow_mut();
        let mut all = Vec::new();
        for pool in slots.iter().flatten().flat_map(|pool| &pool.endpoints) {
            pool.bare.since(&mut all);
            pool.http1.since(&mut all);
        }
        let Some(first) = self.idle_limit.settle(all) else { return };
        for place in &mut *slots {
            let Some(pool) = place else { continue };
            pool.endpoints.retain(|endpoint| {
                endpoint.bare.close_before(first);
                endpoint.http1.close_before(first);
                endpoint.is_of_use()
            });
            if pool.endpoints.is_empty() {
                *place = None;
            }
        }
    }

    /// Sees to it that a sweep comes.
    fn sweep_later(self: &Rc<Self>) {
        if self.sweeping.replace(true) {
            return;
        }
        let (inner, every) = (Rc::downgrade(self), self.sweep_every);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(inner) = inner.upgrade() else { return };
                let (mut left, mut kept, mut from) = (false, 0, 0);
                while let Some((more, here)) = inner.sweep(from) {
                    (left, kept, from) = (left | more, kept + here, from + SLICE);
                    tokio::task::yield_now().await;
                }
                inner.tell(kept);
                if !left {
                    inner.sweeping.set(false);
                    return;
                }
            }
        });
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tell(0);
    }
}

impl EndpointPool {
    fn kept(&self) -> usize {
        self.bare.len() + self.http1.len() + self.http2.borrow().len()
    }

    /// Whether another request finds something here that a pool made anew would not have: a connection, now or as soon as a request on it
    /// ends, or what ALPN agreed on.
    fn is_of_use(self: &Rc<Self>) -> bool {
        let is_held = Rc::strong_count(self) > 1 || Rc::weak_count(self) > 0;
        is_held || self.kept() > 0 || self.protocol == UpstreamProtocol::Https && self.spoken.get().is_some()
    }

    /// Returns a channel on a connection that stands, if one is free.
    #[must_use]
    pub fn reuse(&self, wanted: Wanted) -> Option<Channel> {
        match (wanted, self.protocol) {
            (Wanted::Upgrade, _) | (Wanted::Head | Wanted::Body, UpstreamProtocol::Http1) => self.take_idle(wanted),
            (Wanted::Head | Wanted::Body, UpstreamProtocol::Https) => self.open_stream().or_else(|| self.take_idle(wanted)),
            // Connections of HTTP/1.1 are there for upgrades alone.
            (Wanted::Head | Wanted::Body, UpstreamProtocol::H2c | UpstreamProtocol::H2) => self.open_stream(),
        }
    }

    fn take_idle(&self, wanted: Wanted) -> Option<Channel> {
        let kind = if wanted == Wanted::Head {
            let connection = self.bare.take()?;
            connection.occupy(self.endpoint.enter());
            Kind::Bare(connection)
        } else {
            let connection = self.http1.take()?;
            connection.occupy(self.endpoint.enter());
            Kind::Http1(connection)
        };
        if let Some(worker) = self.worker.upgrade() {
            worker.idle_limit.leave();
        }
        Some(Channel::new(kind, Past::Used))
    }

    fn open_stream(&self) -> Option<Channel> {
        let mut connections = self.http2.borrow_mut();
        if connections.is_empty() {
            return None;
        }
        connections.retain(|connection| !connection.is_closed());
        let stream = connections.iter().find_map(|connection| connection.open(|| self.endpoint.enter()))?;
        Some(Channel::new(Kind::Http2(stream), Past::Used))
    }

    /// Makes a connection and returns a channel on it. Requests that can share an HTTP/2 connection wait for one together.
    ///
    /// # Errors
    /// No connection stood within `timeout` ([`Reason::ConnectTimeout`]), or it failed.
    pub async fn connect(self: &Rc<Self>, wanted: Wanted, timeout: Duration) -> Result<Channel, ProxyError> {
        let shared = wanted != Wanted::Upgrade
            && match self.protocol {
                UpstreamProtocol::H2c | UpstreamProtocol::H2 => true,
                UpstreamProtocol::Https => self.spoken.get() == Some(Version::Http2),
                UpstreamProtocol::Http1 => false,
            };
        let connected = async { if shared { self.share(wanted, timeout).await } else { self.connect_alone(wanted).await } };
        match tokio::time::timeout(timeout, connected).await {
            Ok(result) => result,
            Err(_) => Err(ProxyError::new(Reason::ConnectTimeout).with_retry(Retry::Unprocessed)),
        }
    }

    async fn connect_alone(self: &Rc<Self>, wanted: Wanted) -> Result<Channel, ProxyError> {
        let worker = self.worker.upgrade().ok_or_else(|| ProxyError::new(Reason::Internal))?;
        let (stream, version) = worker.connector.connect(self.endpoint.at.address, self.protocol, wanted).await?;
        if wanted != Wanted::Upgrade {
            self.spoken.set(Some(version));
        }
        let kind = match version {
            Version::Http1 if wanted == Wanted::Head => {
                let connection = Bare::start(stream, Rc::clone(&worker.room), Rc::downgrade(self));
                connection.occupy(self.endpoint.enter());
                Kind::Bare(connection)
            }
            Version::Http1 => {
                let connection = Http1::start(stream, Rc::downgrade(self)).await?;
                connection.occupy(self.endpoint.enter());
                Kind::Http1(connection)
            }
            Version::Http2 => {
                let connection = Http2::start(stream).await?;
                let opened = connection.open(|| self.endpoint.enter());
                self.http2.borrow_mut().push(connection);
                worker.sweep_later();
                let lost = || ProxyError::new(Reason::ConnectFailed).with_retry(Retry::Unprocessed);
                Kind::Http2(opened.ok_or_else(lost)?)
            }
        };
        Ok(Channel::new(kind, Past::Fresh))
    }

    /// Waits for the one connection that is being made for all, and makes more as long as there is no stream to be had.
    async fn share(self: &Rc<Self>, wanted: Wanted, timeout: Duration) -> Result<Channel, ProxyError> {
        loop {
            if self.protocol == UpstreamProtocol::Https && self.spoken.get() == Some(Version::Http1) {
                // The endpoint has changed its mind since the last connection.
                return self.connect_alone(wanted).await;
            }
            let running = self.dial.borrow().clone();
            let dial = running.unwrap_or_else(|| self.start_dial(timeout));
            dial.finished().await?;
            if let Some(channel) = self.open_stream() {
                return Ok(channel.on_fresh_connection());
            }
        }
    }

    /// Starts to connect in a task of its own: the request that asked first may go away, others wait too.
    fn start_dial(self: &Rc<Self>, timeout: Duration) -> Rc<Dial> {
        let dial = Rc::new(Dial::default());
        *self.dial.borrow_mut() = Some(Rc::clone(&dial));
        let (pool, running) = (Rc::clone(self), Rc::clone(&dial));
        tokio::task::spawn_local(async move {
            let connected = tokio::time::timeout(timeout, pool.connect_alone(Wanted::Head)).await;
            *pool.dial.borrow_mut() = None;
            running.finish(match connected {
                // The stream that came with it is given back: whoever waits opens one.
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err((error.kind, error.to_string().into())),
                Err(_) => Err((Reason::ConnectTimeout, "no connection in time".into())),
            });
        });
        dial
    }

    /// Takes a connection back that has served its request.
    pub(super) fn park(&self, connection: Rc<Http1>) {
        self.park_in(&self.http1, connection);
    }

    /// Takes a connection back that has served its request, which had no body.
    pub(super) fn park_bare(&self, connection: Rc<Bare>) {
        self.park_in(&self.bare, connection);
    }

    fn park_in<C: Parks>(&self, parked: &Parked<C>, connection: Rc<C>) {
        let Some(worker) = self.worker.upgrade() else { return };
        if connection.condition() == Condition::Closed {
            return;
        }
        parked.put(connection, worker.idle_limit.enter());
        worker.sweep_later();
        if worker.idle_limit.is_exceeded() {
            worker.make_room();
        }
    }

    fn sweep(&self, most: u32) -> bool {
        self.bare.sweep(most);
        self.http1.sweep(most);
        let mut http2 = self.http2.borrow_mut();
        http2.retain(|connection| !(connection.is_closed() || connection.is_idle() && connection.idle.outlasts(most)));
        self.bare.len() + self.http1.len() + http2.len() > 0
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
#[path = "pool/tests.rs"]
mod tests;
