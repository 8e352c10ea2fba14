//! Plays the cloud's load balancer: each Service of type LoadBalancer gets an address, on whose ports connections are accepted and led to
//! endpoints by turns. It learns of endpoints as late as it is told to, as real ones do.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use crate::namespace::system;

/// The range of its addresses.
const RANGE: &str = "10.4.0.0/16";
/// How long an endpoint may take to answer a connection; then the client's is closed.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A Service, by its namespace and name.
type Name = (String, String);

/// A load balancer for all Services of a cluster. Connections through it end when it goes out of scope.
#[derive(Debug)]
pub struct Balancer {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

/// A connection of a client: its own address, and that which it connected to. A client may have the same address towards two ports.
pub type Ends = (SocketAddr, SocketAddr);

/// Where a connection was led to.
#[derive(Debug, Clone, Copy)]
pub struct Led {
    /// The endpoint.
    pub to: SocketAddr,
    /// When it came.
    pub at: Instant,
    open: bool,
}

struct Shared {
    client: Client,
    /// Endpoints as the balancer knows them, by Service and slice.
    slices: Mutex<BTreeMap<Name, BTreeMap<String, EndpointSlice>>>,
    turn: AtomicUsize,
    /// Several connections, one after another, may have the same ends: a port is given out again once its connection is gone.
    led: Mutex<BTreeMap<Ends, Vec<Led>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("led", &self.led).finish_non_exhaustive()
    }
}

impl Balancer {
    /// Balances for the Services of a cluster, and knows of changed endpoints this much later.
    ///
    /// # Errors
    /// This is not the run's own network.
    pub fn start(client: &Client, lag: Duration) -> anyhow::Result<Self> {
        system(&format!("ip route add local {RANGE} dev lo"))?;
        let shared =
            Arc::new(Shared { client: client.clone(), slices: Mutex::default(), turn: AtomicUsize::new(0), led: Mutex::default() });
        let tasks = vec![tokio::spawn(Arc::clone(&shared).watch_services()), tokio::spawn(Arc::clone(&shared).watch_endpoints(lag))];
        Ok(Self { shared, tasks })
    }

    /// Returns where the connection was led to that had these ends at a moment.
    #[must_use]
    pub fn led(&self, ends: Ends, at: Instant) -> Option<Led> {
        self.shared.led().get(&ends)?.iter().rfind(|led| led.at <= at).copied()
    }

    /// Returns how many connections were led to this address so far, and how many of them are open.
    #[must_use]
    pub fn led_to(&self, address: IpAddr) -> (usize, usize) {
        let led = self.shared.led();
        let there = led.values().flatten().filter(|led| led.to.ip() == address);
        (there.clone().count(), there.filter(|led| led.open).count())
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A connection that is open until this is dropped.
struct Over {
    shared: Arc<Shared>,
    ends: Ends,
    /// Its place among those with the same ends.
    place: usize,
}

impl Drop for Over {
    fn drop(&mut self) {
        if let Some(led) = self.shared.led().get_mut(&self.ends).and_then(|led| led.get_mut(self.place)) {
            led.open = false;
        }
    }
}

impl Shared {
    fn led(&self) -> MutexGuard<'_, BTreeMap<Ends, Vec<Led>>> {
        self.led.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes where a connection is led to; returns its place among those with the same ends.
    fn lead(&self, ends: Ends, to: SocketAddr) -> usize {
        let mut led = self.led();
        let led = led.entry(ends).or_default();
        led.push(Led { to, at: Instant::now(), open: true });
        led.len() - 1
    }

    async fn watch_services(self: Arc<Self>) {
        let mut fronts: BTreeMap<Name, (IpAddr, Vec<ServicePort>, JoinSet<()>)> = BTreeMap::new();
        let mut next = 1_u16;
        let mut events = std::pin::pin!(watcher(Api::<Service>::all(self.client.clone()), watcher::Config::default()));
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(service) | Event::InitApply(service)) => {
                    let name = (service.namespace().unwrap_or_default(), service.name_any());
                    let Some(spec) = service.spec.filter(|spec| spec.type_.as_deref() == Some("LoadBalancer")) else {
                        fronts.remove(&name);
                        continue;
                    };
                    let ports = spec.ports.unwrap_or_default();
                    if fronts.get(&name).is_some_and(|(_, known, _)| *known == ports) {
                        continue;
                    }
                    let address = fronts.remove(&name).map_or_else(|| address(&mut next), |(address, ..)| address);
                    let front = self.front(&name, address, &ports).await;
                    if let Err(error) = self.publish(&name, address).await {
                        eprintln!("balancer: {name:?}: {error:#}");
                    }
                    fronts.insert(name, (address, ports, front));
                }
                Ok(Event::Delete(service)) => drop(fronts.remove(&(service.namespace().unwrap_or_default(), service.name_any()))),
                Ok(Event::Init | Event::InitDone) => {}
                Err(error) => eprintln!("balancer: {error}"),
            }
        }
    }

    /// Accepts connections on every port of a Service.
    async fn front(self: &Arc<Self>, name: &Name, address: IpAddr, ports: &[ServicePort]) -> JoinSet<()> {
        let mut front = JoinSet::new();
        for port in ports {
            let Ok(number) = u16::try_from(port.port) else { continue };
            match TcpListener::bind((address, number)).await {
                Ok(listener) => {
                    drop(front.spawn(Arc::clone(self).accept(listener, name.clone(), port.name.clone().unwrap_or_default())));
                }
                Err(error) => eprintln!("balancer: {address}:{number}: {error}"),
            }
        }
        front
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, name: Name, port: String) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((mut client, from)) = accepted else { continue };
                    // Nobody to lead it to: it is closed.
                    let Some(endpoint) = self.next(&name, &port) else { continue };
                    let Ok(front) = client.local_addr() else { continue };
                    let (shared, ends) = (Arc::clone(&self), (from, front));
                    let place = shared.lead(ends, endpoint);
                    connections.spawn(async move {
                        let _over = Over { shared, ends, place };
                        let Ok(Ok(mut server)) = timeout(CONNECT_WITHIN, TcpStream::connect(endpoint)).await else { return };
                        let _ = (client.set_nodelay(true), server.set_nodelay(true));
                        // However it ends, both sides see it.
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Returns whose turn it is: of those that are ready, else of those that serve although they end, as kube-proxy chooses.
    fn next(&self, name: &Name, port: &str) -> Option<SocketAddr> {
        let slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut ready, mut ending) = (Vec::new(), Vec::new());
        for slice in slices.get(name)?.values() {
            let Some(number) = slice.ports.iter().flatten().find(|known| known.name.as_deref().unwrap_or_default() == port) else {
                continue;
            };
            let Some(number) = number.port.and_then(|number| u16::try_from(number).ok()) else { continue };
            for endpoint in slice.endpoints.iter().flatten() {
                let addresses = endpoint.addresses.iter().filter_map(|address| Some(SocketAddr::new(address.parse().ok()?, number)));
                let conditions = endpoint.conditions.clone().unwrap_or_default();
                if conditions.ready != Some(false) {
                    ready.extend(addresses);
                } else if conditions.serving == Some(true) {
                    ending.extend(addresses);
                }
            }
        }
        let all = if ready.is_empty() { ending } else { ready };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(all.len())?;
        all.get(turn).copied()
    }

    async fn publish(&self, (namespace, name): &Name, address: IpAddr) -> anyhow::Result<()> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": address }] } } });
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }

    async fn watch_endpoints(self: Arc<Self>, lag: Duration) {
        let mut events = std::pin::pin!(watcher(Api::<EndpointSlice>::all(self.client.clone()), watcher::Config::default()));
        while let Some(event) = events.next().await {
            let (slice, there) = match event {
                Ok(Event::Apply(slice) | Event::InitApply(slice)) => (slice, true),
                Ok(Event::Delete(slice)) => (slice, false),
                Ok(Event::Init | Event::InitDone) => continue,
                Err(error) => {
                    eprintln!("balancer: {error}");
                    continue;
                }
            };
            let shared = Arc::clone(&self);
            // The lag is the same for all, so that they stay in their order.
            tokio::spawn(async move {
                tokio::time::sleep(lag).await;
                shared.learn(slice, there);
            });
        }
    }

    fn learn(&self, slice: EndpointSlice, there: bool) {
        let Some(service) = slice.labels().get(SERVICE_NAME).cloned() else { return };
        let name = (slice.namespace().unwrap_or_default(), service);
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let known = slices.entry(name).or_default();
        if there {
            known.insert(slice.name_any(), slice);
        } else {
            known.remove(&slice.name_any());
        }
    }
}

/// Returns an address that no Service has had.
fn address(next: &mut u16) -> IpAddr {
    let [high, low] = next.to_be_bytes();
    *next += 1;
    Ipv4Addr::new(10, 4, high, low).into()
}
