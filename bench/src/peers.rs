//! Who is measured: how each is configured and started. All have one worker on one core, keep connections to the backend, add
//! `X-Forwarded-For` and `X-Forwarded-Proto`, speak TLS 1.3 with ECDSA P-256 and X25519, and write no access log unless asked to.

mod envoy;
mod floor;
mod haproxy;
pub mod install;
mod nginx;
mod tidegate;
mod traefik;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::load::Hosts;
use crate::process::Process;
use crate::tls::Authority;
use install::Tools;

/// How long ten thousand hosts may take to be served.
const START: Duration = Duration::from_secs(180);

/// A proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Ours.
    Tidegate,
    /// The bare hyper forwarder of this crate.
    Floor,
    /// nginx, Debian's.
    Nginx,
    /// `HAProxy`, Debian's.
    Haproxy,
    /// Envoy, from its wheel.
    Envoy,
    /// Traefik, from its wheel.
    Traefik,
}

impl Peer {
    /// All, in the order of tables.
    pub const ALL: [Self; 6] = [Self::Tidegate, Self::Floor, Self::Nginx, Self::Haproxy, Self::Envoy, Self::Traefik];

    /// Returns its name in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tidegate => "tidegate",
            Self::Floor => "floor",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Traefik => "traefik",
        }
    }
}

/// What a proxy is set up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// How it is called in tables; empty for the usual one.
    pub name: &'static str,
    /// How many hosts there are, each with a certificate (Envoy: one for all) and, at Tidegate, with an Ingress.
    pub hosts: usize,
    /// How many Services these lead to at Tidegate. The others have one backend.
    pub services: usize,
    /// Whether requests are logged to a file.
    pub access_log: bool,
    /// Whether session tickets are handed out.
    pub tickets: bool,
}

impl Site {
    /// One host, no log, no tickets.
    pub const USUAL: Self = Self { name: "", hosts: 1, services: 1, access_log: false, tickets: false };

    /// Returns how a generator names its hosts.
    pub fn hosts(self) -> Hosts {
        if self.hosts == 1 { Hosts::One } else { Hosts::Many(self.hosts) }
    }

    fn names(self) -> impl Iterator<Item = String> {
        (0..self.hosts).map(move |number| self.hosts().name(number))
    }
}

/// What all proxies of a run share.
pub struct Ground {
    /// Files of the run; removed at its end.
    pub directory: PathBuf,
    /// Where the backend listens.
    pub upstream: SocketAddr,
    /// Programs.
    pub tools: Tools,
    authority: Authority,
}

/// Where one proxy is to listen, and what with.
struct Place<'g> {
    ground: &'g Ground,
    site: Site,
    directory: PathBuf,
    http: SocketAddr,
    https: SocketAddr,
    /// Two more, for health and administration.
    other: [SocketAddr; 2],
}

/// A proxy that serves.
#[derive(Debug)]
pub struct Contestant {
    /// Who it is.
    pub peer: Peer,
    /// What it is set up for.
    pub site: Site,
    /// Where it serves http.
    pub http: SocketAddr,
    /// Where it serves https.
    pub https: SocketAddr,
    /// Where its admin pages are, if it is Tidegate.
    pub admin: SocketAddr,
    /// Its own files.
    pub directory: PathBuf,
    /// Its process.
    pub process: Process,
    /// How long it took to serve the last of its hosts.
    pub start: Duration,
}

impl Ground {
    /// Prepares a directory: an authority and the certificates that every proxy may need.
    pub fn new(directory: PathBuf, upstream: SocketAddr, tools: Tools) -> anyhow::Result<Self> {
        let authority = Authority::make()?;
        fs::write(directory.join("authority.pem"), authority.pem())?;
        Ok(Self { directory, upstream, tools, authority })
    }

    /// Returns the file with the certificate that clients trust.
    pub fn authority(&self) -> PathBuf {
        self.directory.join("authority.pem")
    }

    /// Returns the file with a host's certificate and key, made the first time.
    fn certificate(&self, name: &str) -> anyhow::Result<PathBuf> {
        let directory = self.directory.join("certificates");
        let file = directory.join(format!("{}.pem", name.replace('*', "any")));
        if !file.exists() {
            fs::create_dir_all(&directory)?;
            let pair = self.authority.sign(name)?;
            fs::write(&file, format!("{}{}", pair.certificate, pair.key))?;
        }
        Ok(file)
    }

    /// Starts a proxy and waits until it serves.
    pub fn start(&self, peer: Peer, site: Site) -> anyhow::Result<Contestant> {
        self.start_through(peer, site, |command| command)
    }

    /// Starts a proxy by a command made of its own, and waits until it serves.
    pub fn start_through(&self, peer: Peer, site: Site, through: impl FnOnce(Command) -> Command) -> anyhow::Result<Contestant> {
        let [http, https, first, second] = free_addresses()?;
        let directory = self.directory.join(format!("{}-{}", peer.name(), http.port()));
        fs::create_dir_all(&directory)?;
        let place = Place { ground: self, site, directory, http, https, other: [first, second] };
        let command = match peer {
            Peer::Tidegate => tidegate::command(&place),
            Peer::Floor => floor::command(&place),
            Peer::Nginx => nginx::command(&place),
            Peer::Haproxy => haproxy::command(&place),
            Peer::Envoy => envoy::command(&place),
            Peer::Traefik => traefik::command(&place),
        }
        .with_context(|| format!("no configuration for {}", peer.name()))?;
        self.launch(peer, site, &mut through(command), &place)
    }

    fn launch(&self, peer: Peer, site: Site, command: &mut Command, place: &Place<'_>) -> anyhow::Result<Contestant> {
        let begun = Instant::now();
        let log = place.directory.join("output");
        let process = Process::start(command, &log)?;
        let mut contestant = Contestant {
            peer,
            site,
            http: place.http,
            https: place.https,
            admin: place.other[1],
            directory: place.directory.clone(),
            process,
            start: Duration::ZERO,
        };
        let last = site.hosts().name(site.hosts - 1);
        while !answers(place.http, &last) || TcpStream::connect(place.https).is_err() {
            if !contestant.process.runs() || begun.elapsed() > START {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let tail: Vec<&str> = said.lines().rev().take(8).collect();
                bail!("{} does not serve:\n{}", peer.name(), tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        contestant.start = begun.elapsed();
        Ok(contestant)
    }
}

impl Place<'_> {
    /// Writes a file into the proxy's own directory.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let file = self.directory.join(name);
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        Ok(file)
    }

    /// Returns the file for the access log, if there is to be one.
    fn access_log(&self) -> Option<PathBuf> {
        self.site.access_log.then(|| self.directory.join("access.log"))
    }
}

/// Returns addresses that nobody listens on.
fn free_addresses<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    // All are held until the last is known, so that they differ.
    let held = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    let addresses = held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    addresses.try_into().ok().context("as many as were bound")
}

/// Returns an address that nobody listens on.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    let [address] = free_addresses()?;
    Ok(address)
}

/// Tells whether a host's small download is answered with 200.
pub fn answers(address: SocketAddr, host: &str) -> bool {
    let answer = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(format!("GET /bytes/64 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(&head == b"HTTP/1.1 200")
    };
    answer().unwrap_or(false)
}

/// Returns a path as text for a configuration file.
fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is no text")
}
