//! The paired run: everybody up at once, short slices round-robin, so that what disturbs the machine disturbs all alike.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::measure::{self, Figures};
use crate::peers::install::{Tools, versions};
use crate::peers::{Contestant, Ground, Peer, Site, free_address};
use crate::process::{LOAD_CORE, Process, pinned};
use crate::report::{self, machine};
use crate::suites::{SUITES, Suite};

/// How often everybody is started anew for a suite at most.
const MOST_FRESH_STARTS: u32 = 6;

/// What the run is given.
#[derive(Debug, Clone, clap::Args)]
pub struct RunOptions {
    /// Run these suites only [default: all]
    #[arg(long, value_name = "SUITE", value_delimiter = ',')]
    only: Vec<String>,
    /// Measure these only, beside Tidegate [default: all]
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    peers: Vec<String>,
    /// How many times each is measured; medians want 6 or more
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long one slice is, in seconds
    #[arg(long, default_value_t = 1.0)]
    slice: f64,
    /// Write the raw data to standard output instead of the tables
    #[arg(long)]
    json: bool,
    /// Where results are written, as NAME.md, NAME.json and NAME.svg
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    results: PathBuf,
    /// The results' name
    #[arg(long, value_name = "NAME", default_value = "latest")]
    name: String,
    /// List the suites and end
    #[arg(long)]
    list: bool,
}

/// What one slice gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    /// The suite's name.
    pub suite: String,
    /// From 0.
    pub round: u32,
    /// Who was measured.
    pub peer: String,
    /// What it was set up for; empty for the usual.
    pub site: String,
    /// What came out.
    pub figures: Figures,
}

/// All that a run gave, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// The machine, by names of its properties.
    pub machine: Vec<(String, String)>,
    /// What was measured.
    pub versions: Vec<String>,
    /// How many rounds, and how long a slice in seconds.
    pub rounds: u32,
    /// How long a slice is, in seconds.
    pub slice: f64,
    /// What went wrong, for people. A run with faults proves nothing.
    pub faults: Vec<String>,
    /// Everything measured.
    pub samples: Vec<Sample>,
}

/// Measures, and writes the results.
///
/// # Errors
/// Something cannot be installed or started, or a request failed.
pub fn run(options: &RunOptions) -> anyhow::Result<()> {
    if options.list {
        for suite in SUITES {
            println!("{:14} {}", suite.name, suite.what);
        }
        return Ok(());
    }
    for name in &options.only {
        ensure!(SUITES.iter().any(|suite| suite.name == name), "there is no suite {name}; --list shows all");
    }
    let suites: Vec<&Suite> =
        SUITES.iter().filter(|suite| options.only.is_empty() || options.only.iter().any(|name| name == suite.name)).collect();
    let peers = chosen(&options.peers)?;
    let http2 = suites.iter().any(|suite| suite.name.starts_with("h2"));
    let tools = Tools::find(&peers, http2)?;
    let cores = std::thread::available_parallelism()?.get();
    ensure!(cores >= 2, "one core for the proxies and one for the load are needed");

    let directory = tempfile::tempdir()?;
    let upstream = free_address()?;
    let ground = Ground::new(directory.path().to_owned(), upstream, tools)?;
    let _backend = backend(&ground, upstream)?;
    let mut results = Results {
        machine: machine::describe(),
        versions: versions(&ground.tools, &peers),
        rounds: options.rounds,
        slice: options.slice,
        faults: Vec::new(),
        samples: Vec::new(),
    };
    let mut fleet = Fleet { ground: &ground, contestants: Vec::new() };
    for suite in suites {
        eprintln!("{}: {}", suite.name, suite.what);
        for round in 0..rounds(suite, options.rounds) {
            fleet.prepare(suite, &peers)?;
            fleet.round(suite, &peers, round, options.slice, &mut results);
        }
    }
    drop(fleet);
    results.machine.push(("load average at the end".to_owned(), machine::load_average()));
    report::write(&results, &options.results, &options.name)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
    } else {
        println!("{}", report::markdown::render(&results));
    }
    ensure!(results.faults.is_empty(), "{}", results.faults.join("\n"));
    Ok(())
}

/// Returns how often a suite is measured: memory scatters little, and starting everybody anew takes long.
fn rounds(suite: &Suite, wanted: u32) -> u32 {
    if suite.measure.needs_fresh_processes() { wanted.min(MOST_FRESH_STARTS) } else { wanted }
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<Peer>> {
    if names.is_empty() {
        return Ok(Peer::ALL.to_vec());
    }
    let by_name =
        |name: &String| Peer::ALL.into_iter().find(|peer| peer.name() == name).with_context(|| format!("there is no peer {name}"));
    let named = names.iter().map(by_name).collect::<anyhow::Result<Vec<Peer>>>()?;
    Ok(Peer::ALL.into_iter().filter(|peer| *peer == Peer::Tidegate || named.contains(peer)).collect())
}

/// Starts the backend.
///
/// # Errors
/// It does not listen.
pub fn backend(ground: &Ground, address: SocketAddr) -> anyhow::Result<Process> {
    let mut command = pinned(LOAD_CORE, &ground.tools.own);
    command.args(["backend", &address.to_string()]);
    let mut process = Process::start(&mut command, &ground.directory.join("backend"))?;
    while std::net::TcpStream::connect(address).is_err() {
        ensure!(process.runs(), "the backend ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Ok(process)
}

/// Everybody who takes part in the suite at hand. Where a suite wants fresh processes nobody is up, and each is started for its slice
/// alone: memory that several processes share would be counted in part.
struct Fleet<'g> {
    ground: &'g Ground,
    contestants: Vec<Contestant>,
}

impl Fleet<'_> {
    /// Starts whom a suite needs, unless they run already.
    fn prepare(&mut self, suite: &Suite, peers: &[Peer]) -> anyhow::Result<()> {
        let wanted = if suite.measure.needs_fresh_processes() { Vec::new() } else { wanted(suite, peers) };
        let running = self.contestants.iter().map(|contestant| (contestant.peer, contestant.site));
        if running.eq(wanted.iter().copied()) {
            return Ok(());
        }
        self.contestants.clear();
        for (peer, site) in wanted {
            self.contestants.push(self.ground.start(peer, site)?);
        }
        Ok(())
    }

    fn round(&self, suite: &Suite, peers: &[Peer], round: u32, seconds: f64, results: &mut Results) {
        if round == 0 {
            for contestant in &self.contestants {
                // Connections and caches; what goes wrong here will again.
                let _ = measure::slice(self.ground, contestant, suite.measure, seconds.min(0.3));
            }
        }
        let mut line = format!("  round {}/{}:", round + 1, rounds(suite, results.rounds));
        let mut wanted = wanted(suite, peers);
        // Whoever follows whom should not always be the same.
        let first = usize::try_from(round).unwrap_or_default() % wanted.len().max(1);
        wanted.rotate_left(first);
        for (peer, site) in wanted {
            let running = self.contestants.iter().find(|contestant| (contestant.peer, contestant.site) == (peer, site));
            let measured = match running {
                Some(contestant) => measure::slice(self.ground, contestant, suite.measure, seconds),
                None => self.ground.start(peer, site).and_then(|fresh| measure::slice(self.ground, &fresh, suite.measure, seconds)),
            };
            let (peer, site) = (peer.name(), site.name);
            match measured {
                Ok(figures) => {
                    let key = figures.get(suite.measure.key()).copied().unwrap_or_default();
                    line.push_str(&format!(" {peer} {site}{}{key:.1}", if site.is_empty() { "" } else { " " }));
                    let suite = suite.name.to_owned();
                    results.samples.push(Sample { suite, round, peer: peer.to_owned(), site: site.to_owned(), figures });
                }
                Err(error) => {
                    line.push_str(&format!(" {peer} FAILED"));
                    results.faults.push(format!("{}, round {}, {peer} {site}: {error:#}", suite.name, round + 1));
                }
            }
        }
        eprintln!("{line}  ({})", suite.measure.key());
    }
}

/// Returns who takes part in a suite. A proxy's sites follow each other, so that what disturbs the machine disturbs both.
fn wanted(suite: &Suite, peers: &[Peer]) -> Vec<(Peer, Site)> {
    let taking_part = suite.peers.iter().filter(|peer| peers.contains(peer));
    taking_part.flat_map(|peer| suite.sites.iter().map(|site| (*peer, *site))).collect()
}
