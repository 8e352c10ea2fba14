//! The network of Pods: a bridge that every Pod's interface is on, with the run's own network behind it as the default route. The API server
//! is where the Service `kubernetes` says. Each node has a network of its own on it too, for Pods with `hostNetwork`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::namespace::system;

/// The address of the Service `kubernetes`, which the API server's certificate names.
pub(super) const API_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 2, 0, 1)), 443);
/// Joins the bridge from a new network namespace, whose owner is the run: the first process of its process namespace. Takes the
/// interface's name on the bridge, the address, the hardware address and the gateway; stays, and the namespace with it.
const JOIN: &str = r#"
PATH=/usr/sbin:/usr/bin:/sbin:/bin
ip link set lo up
ip link add eth0 address "$3" type veth peer name "$1" netns 1
nsenter --net --target 1 ip link set "$1" master pods up
ip addr add "$2/16" dev eth0
ip link set eth0 up
ip route add default via "$4"
echo joined
exec sleep infinity
"#;
/// The run's own address on the bridge.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 1);
/// The bridge's name.
const BRIDGE: &str = "pods";
const PREFIX: u8 = 16;

/// Makes the bridge.
pub(super) fn set_up() -> anyhow::Result<()> {
    // Left to itself it takes the hardware address of one of its interfaces, another whenever they change, and Pods would send to the old.
    system(&format!("ip link add {BRIDGE} address {} type bridge", hardware(GATEWAY)))?;
    system(&format!("ip addr add {GATEWAY}/{PREFIX} dev {BRIDGE}"))?;
    system(&format!("ip link set {BRIDGE} up"))?;
    system(&format!("ip addr add {}/32 dev lo", API_SERVER.ip()))
}

/// Makes a network with this address, as a Pod or a node has it. It is there for as long as the process that holds it: also after a
/// container has ended, whose last packets would be lost with it.
pub(super) async fn make(interface: &str, address: Ipv4Addr) -> anyhow::Result<Child> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "sh", "-euc", JOIN, "network", interface, &address.to_string(), &hardware(address), &GATEWAY.to_string()]);
    let mut holder = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let said = BufReader::new(holder.stdout.take().context("no standard output")?).lines().next_line().await?;
    ensure!(said.as_deref() == Some("joined"), "the network of {address} cannot be made");
    Ok(holder)
}

/// Returns the address of a node by its number.
pub(super) fn of_node(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 3, 255, number)
}

/// Hands out addresses and names of interfaces; none is given twice.
#[derive(Debug)]
pub(super) struct Addresses {
    address: AtomicU16,
    interface: AtomicU16,
}

impl Default for Addresses {
    fn default() -> Self {
        // After the network's own and the gateway's.
        Self { address: AtomicU16::new(2), interface: AtomicU16::new(0) }
    }
}

impl Addresses {
    /// Returns the next Pod's address.
    pub(super) fn address(&self) -> Ipv4Addr {
        let [.., high, low] = self.address.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Ipv4Addr::new(10, 3, high, low)
    }

    /// Returns the next name for an interface on the bridge.
    pub(super) fn interface(&self) -> String {
        format!("pod{}", self.interface.fetch_add(1, Ordering::Relaxed))
    }
}

/// Returns the hardware address that goes with an address, so that nobody's memory of it is ever stale.
fn hardware(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("0a:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}
