//! A network of the run's own: the test target starts itself again inside new user, network, process and mount namespaces, where all of
//! `10.1.0.0/16`, `fd00:1::/64` and `127.0.0.0/8` is its own, every port is free, and names resolve to what [`crate::dns`] is told. When the
//! run ends, for whatever reason, so does everything inside.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, ensure};

use crate::dns;

/// Set inside, to the directory that all files of the run go into.
const INSIDE: &str = "TIDEGATE_TEST_INSIDE";

/// Which side of the namespace this process is on.
#[derive(Debug)]
pub enum Side {
    /// Inside: the tests run here. Files go into the directory, which is removed when the run ends.
    Inside(PathBuf),
    /// Outside: the inner process has ended like this.
    Outside(ExitCode),
}

/// Starts this program again inside, with more environment, and waits for it; or finds that it is inside.
///
/// # Errors
/// The system does not allow namespaces, or has no `unshare` or `ip`.
pub fn enter(environment: &[(&str, String)]) -> anyhow::Result<Side> {
    if let Some(directory) = std::env::var_os(INSIDE) {
        end_with_the_outer_process();
        let directory = PathBuf::from(directory);
        set_up(&directory)?;
        return Ok(Side::Inside(directory));
    }
    let directory = tempfile::Builder::new().prefix("tidegate-tests-").tempdir()?;
    let mut inner = Command::new("unshare")
        .args(["--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, directory.path())
        .envs(environment.iter().map(|(name, value)| (name, value)))
        // The inner process sees the end of this pipe when we are gone, even by SIGKILL; `unshare` itself takes no SIGTERM.
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start unshare (package util-linux)")?;
    // `wait` would close it first.
    let pipe = inner.stdin.take();
    let status = inner.wait()?;
    drop(pipe);
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    if code == 1 {
        eprintln!(
            "If unshare was refused: these tests need user and network namespaces (sysctl kernel.unprivileged_userns_clone=1, \
             kernel.apparmor_restrict_unprivileged_userns=0, or a container that may use them)."
        );
    }
    Ok(Side::Outside(ExitCode::from(code)))
}

fn set_up(directory: &Path) -> anyhow::Result<()> {
    system("ip link set lo up")?;
    system("ip addr add 10.1.0.1/16 dev lo")?;
    // Addresses of a range that nobody added one by one: they must lead here, or every test would fail in its own way.
    TcpListener::bind("10.1.200.200:80").context("the network namespace does not hold 10.1.0.0/16")?;
    system("ip -6 route add local fd00:1::/64 dev lo").context("these tests need a system with IPv6")?;
    fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1").context("net.ipv6.ip_nonlocal_bind cannot be set")?;
    TcpListener::bind("[fd00:1::200:200]:80").context("the network namespace does not hold fd00:1::/64")?;
    // The mount namespace is the run's own too: nobody else sees this file.
    let servers = directory.join("resolv.conf");
    fs::write(&servers, format!("nameserver {}\n", dns::ADDRESS))?;
    system(&format!("mount --bind {} /etc/resolv.conf", servers.display()))?;
    dns::start()
}

/// Runs a program with words as its arguments.
pub(crate) fn system(line: &str) -> anyhow::Result<()> {
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or_default();
    let output =
        Command::new(program).args(words).output().with_context(|| format!("cannot start {program} (packages iproute2, mount)"))?;
    ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Ends this process, the first of its process namespace and so everything in it, once the outer one is gone.
fn end_with_the_outer_process() {
    std::thread::spawn(|| {
        let mut nothing = [0_u8; 1];
        while matches!(std::io::stdin().read(&mut nothing), Ok(count) if count > 0) {}
        std::process::exit(130);
    });
}
