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
/// interface's name on the bridge, the address, the hardware address and the gateway.
pub(super) const JOIN: &str = r#"
join() {
  ip link set lo up
  ip link add eth0 address "$3" type veth peer name "$1" netns 1
  nsenter --net --target 1 ip link set "$1" master pods up
  ip addr add "$2/16" dev eth0
  ip link set eth0 up
  ip route add default via "$4"
}
PATH=/usr/sbin:/usr/bin:/sbin:/bin
"#;
/// The run's own address on the bridge.
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 1);
/// The bridge's name.
const BRIDGE: &str = "pods";
const PREFIX: u8 = 16;

/// Makes the bridge.
pub(super) fn set_up() -> anyhow::Result<()> {
    system(&format!("ip link add {BRIDGE} type bridge"))?;
    system(&format!("ip addr add {GATEWAY}/{PREFIX} dev {BRIDGE}"))?;
    system(&format!("ip link set {BRIDGE} up"))?;
    system(&format!("ip addr add {}/32 dev lo", API_SERVER.ip()))
}

/// Makes a node's network, which is there until the process that holds it ends.
pub(super) async fn of_node(number: u8) -> anyhow::Result<(Ipv4Addr, Child)> {
    let address = Ipv4Addr::new(10, 3, 255, number);
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "sh", "-euc", &format!("{JOIN}\njoin \"$@\"\necho joined\nexec sleep infinity"), "node"]);
    command.arg(format!("node{number}")).arg(address.to_string()).arg(hardware(address)).arg(GATEWAY.to_string());
    let mut holder = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let said = BufReader::new(holder.stdout.take().context("no standard output")?).lines().next_line().await?;
    ensure!(said.as_deref() == Some("joined"), "a node's network cannot be made");
    Ok((address, holder))
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

/// Returns the hardware address that goes with a Pod's address: the same after a restart, so that nobody's memory of it is stale.
pub(super) fn hardware(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("0a:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}
