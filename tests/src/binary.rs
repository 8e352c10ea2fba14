//! The `tidegate` binary as a process: built once, started with arguments, read line by line, sent signals, and never left behind.

use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// How long a process may take to say or do what a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Returns the binary, built beforehand: `TIDEGATE_BINARY`, else that of this very build. Cargo builds no binary of one package for
/// the tests of another, so that this asks it to.
///
/// # Errors
/// It cannot be built.
pub fn path() -> anyhow::Result<PathBuf> {
    static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);
    if let Some(given) = std::env::var_os("TIDEGATE_BINARY") {
        return Ok(given.into());
    }
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = &*built {
        return Ok(path.clone());
    }
    let test = std::env::current_exe()?;
    // target/PROFILE/deps/test-0123: the binary lies beside deps.
    let profile = test.parent().and_then(|deps| deps.parent()).context("the test runs from an unusual place")?;
    let name = profile.file_name().and_then(|name| name.to_str()).context("the profile has no name")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        // As a test build, since that is what `cargo test --workspace` has made already: the same features, nothing to build twice.
        .args([
            "test",
            "--no-run",
            "--quiet",
            "--locked",
            "--package",
            "tidegate",
            "--profile",
            if name == "debug" { "test" } else { name },
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()?;
    ensure!(status.success(), "the binary cannot be built");
    let path = profile.join("tidegate");
    *built = Some(path.clone());
    Ok(path)
}

/// A running `tidegate`. It is killed when it goes out of scope.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

/// What a process left behind.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// Runs the binary to its end.
///
/// # Errors
/// It cannot be built or started.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Ended> {
    let output = command(arguments, environment)?.output()?;
    Ok(Ended { status: output.status, stdout: String::from_utf8(output.stdout)?, stderr: String::from_utf8(output.stderr)? })
}

fn command(arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Command> {
    let mut command = Command::new(path()?);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEGATE_") || name == "KUBECONFIG") {
        command.env_remove(name);
    }
    command.args(arguments).envs(environment.iter().copied()).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    Ok(command)
}

impl Process {
    /// Starts the binary; both of its outputs are read as one.
    ///
    /// # Errors
    /// It cannot be built or started.
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::spawn(&mut command(arguments, environment)?)
    }

    /// Starts the binary through another program, which must replace itself by it.
    ///
    /// # Errors
    /// It cannot be built or started.
    pub fn start_through(program: &[&str], arguments: &[&str]) -> anyhow::Result<Self> {
        let inner = command(arguments, &[])?;
        let [name, first @ ..] = program else { bail!("no program") };
        let mut outer = Command::new(name);
        outer.args(first).arg(inner.get_program()).args(inner.get_args());
        for (name, _) in inner.get_envs() {
            outer.env_remove(name);
        }
        Self::spawn(&mut outer)
    }

    /// Starts the binary in a network namespace of its own, in which only loopback is: it may use any port there.
    ///
    /// # Errors
    /// It cannot be built or started; the system lets nobody make namespaces.
    pub fn start_alone(arguments: &[&str]) -> anyhow::Result<Self> {
        // Everything replaces the process before it, so that the child's number is that of tidegate itself.
        Self::start_through(&["unshare", "--map-root-user", "--net", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""], arguments)
    }

    /// Runs a shell's line in the process's own namespaces, and returns what it wrote to standard output.
    ///
    /// # Errors
    /// It failed: says what it wrote to standard error.
    pub fn shell(&self, line: &str) -> anyhow::Result<String> {
        let mut enter = Command::new("nsenter");
        enter.args(["--preserve-credentials", "--user", "--net", "--target", &self.id().to_string(), "sh", "-c", line]);
        let output = enter.output()?;
        ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (sender, lines) = channel();
        let outputs: [Option<Box<dyn Read + Send>>; 2] =
            [child.stdout.take().map(|output| Box::new(output) as _), child.stderr.take().map(|output| Box::new(output) as _)];
        for output in outputs.into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { child, lines, seen: Vec::new() })
    }

    /// Waits for a line that holds the text, and returns it. Lines before it are passed over for good.
    ///
    /// # Errors
    /// It did not come within [`PATIENCE`], or the process ended: says what came instead.
    pub fn line(&mut self, text: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return Ok(line);
                    }
                }
                Err(_) => bail!("no line with {text:?}; the process said:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Returns every line so far.
    pub fn said(&mut self) -> &[String] {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }

    /// Returns the process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, by its name as `kill` knows it.
    ///
    /// # Errors
    /// The process is gone.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let status = Command::new("kill").args(["-s", name, &self.id().to_string()]).status()?;
        ensure!(status.success(), "kill -s {name} failed");
        Ok(())
    }

    /// Returns how it ended, if it has.
    ///
    /// # Errors
    /// The system does not say.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It did not end within [`PATIENCE`].
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the process did not end; it said:\n{}", self.said().join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs curl with these arguments and returns what it wrote to standard output.
///
/// # Errors
/// curl is not there, or fails: says what it wrote to standard error.
pub fn curl(arguments: &[&str]) -> anyhow::Result<String> {
    static PRESENT: OnceLock<bool> = OnceLock::new();
    ensure!(*PRESENT.get_or_init(|| Command::new("curl").arg("--version").output().is_ok()), "these tests need curl");
    let output = Command::new("curl").args(["--silent", "--show-error", "--max-time", "20"]).args(arguments).output()?;
    ensure!(output.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
