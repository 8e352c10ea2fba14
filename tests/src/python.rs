//! Clients and servers in Python, that nobody here wrote: the scripts in `tests/python`, run in an environment that is made once from
//! `requirements.txt` there, and kept beside the control plane.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::assets;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");
const MISSING: &str = "\
These tests need Python 3.10 or newer with its module venv (on Debian: apt-get install python3 python3-venv), and once the network, to \
install what tests/python/requirements.txt names.";

/// Returns the environment's Python, which is made if it is not there yet.
///
/// # Errors
/// There is no Python, or something cannot be installed; the message says what.
fn python() -> anyhow::Result<PathBuf> {
    let requirements = Path::new(SCRIPTS).join("requirements.txt");
    let version = Command::new("python3").arg("--version").output().context(MISSING)?;
    let mut hasher = DefaultHasher::new();
    (fs::read(&requirements)?, version.stdout).hash(&mut hasher);
    let cache = assets::cache_directory()?;
    let environment = cache.join(format!("python-{:016x}", hasher.finish()));
    let python = environment.join("bin/python");
    // Such an environment cannot be moved once it is made, so that a file tells a whole one from a half.
    let whole = environment.join("whole");
    let _lock = assets::lock(&cache, "python")?;
    if !whole.is_file() {
        eprintln!("python: making {}; this happens once", environment.display());
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--requirement"]);
        run(install.arg(&requirements))?;
        fs::write(whole, "")?;
    }
    Ok(python)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().context(MISSING)?;
    ensure!(output.status.success(), "{command:?} failed: {}\n{MISSING}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn script(name: &str, arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(python()?);
    command.arg(Path::new(SCRIPTS).join(name)).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    Ok(command)
}

/// Runs a script to its end and returns the JSON that it printed.
///
/// # Errors
/// It failed: says what it wrote to standard error.
pub fn ask(name: &str, arguments: &[&str]) -> anyhow::Result<Value> {
    printed(name, arguments, script(name, arguments)?.output()?)
}

/// Runs a script that reads JSON to its end, and returns the JSON that it printed.
///
/// # Errors
/// It failed: says what it wrote to standard error.
pub fn ask_about(name: &str, arguments: &[&str], input: &Value) -> anyhow::Result<Value> {
    let mut script = script(name, arguments)?;
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // Taken, so that its end is seen.
    child.stdin.take().context("no standard input")?.write_all(input.to_string().as_bytes())?;
    printed(name, arguments, child.wait_with_output()?)
}

fn printed(name: &str, arguments: &[&str], output: Output) -> anyhow::Result<Value> {
    ensure!(output.status.success(), "{name} {arguments:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).with_context(|| format!("{name} printed {:?}", String::from_utf8_lossy(&output.stdout)))
}

/// A script that serves. It is killed when it goes out of scope.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Runs the script with `serve`, and reads from its first line which port it has.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(name: &str) -> anyhow::Result<Self> {
        let mut child = script(name, &["serve"])?.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("no standard output")?;
        let mut server = Self { child, address: (Ipv4Addr::LOCALHOST, 0).into() };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        server.address.set_port(line.trim().parse().with_context(|| format!("{name} printed {line:?} for a port"))?);
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
