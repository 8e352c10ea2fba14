//! The control plane's programs, h2spec and helm: where `KUBEBUILDER_ASSETS` says, else built once from the Go modules in
//! `tests/control-plane` and kept.
//! Nothing is skipped in silence: with neither, the run stops and says what is missing.

use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// What a directory of assets holds at least; the layout is envtest's.
const NEEDED: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];
/// What it holds besides where Pods run; envtest has none.
const CONTROLLERS: &str = "kube-controller-manager";
const FLAGS: [(&str, &str); 4] =
    [("CGO_ENABLED", "0"), ("GOFLAGS", "-mod=readonly -buildvcs=false"), ("GOTOOLCHAIN", "local"), ("GOWORK", "off")];
const STRIP: &str = "-s -w";
const PROGRESS_EVERY: Duration = Duration::from_secs(15);
const MISSING: &str = "\
Tests of a cluster need the programs of a Kubernetes control plane, and there are none. Either
  - set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and kubectl (setup-envtest makes one), and for the tests of the
    chart kube-controller-manager, or
  - install Go (https://go.dev/dl): the programs are then built once, in about ten minutes, and kept, or
  - set TIDEGATE_TEST_CLUSTER=off to run without the tests that need a cluster.";

const MISSING_H2SPEC: &str = "\
The tests of HTTP/2 need h2spec, and there is none. Either
  - install Go (https://go.dev/dl): it is then built once, in less than a minute, and kept, or
  - put h2spec beside the programs in KUBEBUILDER_ASSETS, or
  - set TIDEGATE_TEST_CLUSTER=off to run without the tests that need what is built with Go.";

const MISSING_HELM: &str = "\
The tests of the chart need helm, and there is none. Either
  - install Go (https://go.dev/dl): it is then built once, in a few minutes, and kept, or
  - put helm beside the programs in KUBEBUILDER_ASSETS, or
  - set TIDEGATE_TEST_CLUSTER=off to run without the tests that need what is built with Go.";

/// Whether tests against a cluster are to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assets {
    /// The programs are here.
    Directory(PathBuf),
    /// The person asked for the run without a cluster.
    Declined,
}

/// Finds the programs, or builds them.
///
/// # Errors
/// There are none and there is no Go to build them with, or the build fails; the message says what can be done.
pub fn find() -> anyhow::Result<Assets> {
    if is_declined()? {
        return Ok(Assets::Declined);
    }
    if let Some(given) = std::env::var_os("KUBEBUILDER_ASSETS") {
        let directory = PathBuf::from(given);
        hold(&directory, &NEEDED, "unset it to have the programs built")?;
        return Ok(Assets::Directory(directory.canonicalize()?));
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("control-plane");
    let Some(go) = go_version() else { bail!(MISSING) };
    let cache = cache_directory()?;
    let target = cache.join(format!("control-plane-{:016x}", key(&source, &go)?));
    // Two runs must not build at once: it takes both of them, and all the memory, twice as long.
    let _lock = lock(&cache, "control-plane")?;
    if !target.is_dir() {
        build(&source, &cache, &target).context(MISSING)?;
    }
    Ok(Assets::Directory(target))
}

/// Finds the programs as [`find`] does, the controllers of Kubernetes among them.
///
/// # Errors
/// As [`find`]; or `KUBEBUILDER_ASSETS` names a directory without the controllers.
pub fn find_with_controllers() -> anyhow::Result<Assets> {
    let found = find()?;
    if let Assets::Directory(directory) = &found {
        let advice =
            "put the one of the same version of Kubernetes there (setup-envtest brings none), or unset it to have the programs built";
        hold(directory, &[CONTROLLERS], advice)?;
    }
    Ok(found)
}

/// Checks that a directory that somebody has named holds these programs.
fn hold(directory: &Path, programs: &[&str], advice: &str) -> anyhow::Result<()> {
    for program in programs {
        let shown = directory.display();
        ensure!(directory.join(program).is_file(), "KUBEBUILDER_ASSETS is {shown}, but there is no {program} in it; {advice}");
    }
    Ok(())
}

fn is_declined() -> anyhow::Result<bool> {
    match std::env::var("TIDEGATE_TEST_CLUSTER").as_deref() {
        Ok("off") => Ok(true),
        Ok("on" | "") | Err(_) => Ok(false),
        Ok(other) => bail!("TIDEGATE_TEST_CLUSTER is {other:?}; it can be on or off"),
    }
}

/// Keeps other runs from building the same thing, until the file is closed.
pub(crate) fn lock(cache: &Path, name: &str) -> anyhow::Result<File> {
    let file = File::create(cache.join(format!("{name}.lock")))?;
    if file.try_lock().is_err() {
        eprintln!("{name}: another run is at it; waiting");
        file.lock()?;
    }
    Ok(file)
}

fn go_version() -> Option<String> {
    let output = Command::new("go").arg("version").env("GOTOOLCHAIN", "local").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the directory that what is built once is kept in; it is there.
pub(crate) fn cache_directory() -> anyhow::Result<PathBuf> {
    let under = |variable: &str, rest: &str| {
        std::env::var_os(variable).filter(|value| !value.is_empty()).map(|base: OsString| PathBuf::from(base).join(rest))
    };
    let cache = under("TIDEGATE_TEST_CACHE", "")
        .or_else(|| under("XDG_CACHE_HOME", "tidegate-tests"))
        .or_else(|| under("HOME", ".cache/tidegate-tests"))
        .context("none of TIDEGATE_TEST_CACHE, XDG_CACHE_HOME and HOME is set: there is nowhere to keep what is built once")?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    Ok(cache)
}

/// Everything that the result depends on.
fn key(source: &Path, go: &str) -> anyhow::Result<u64> {
    let mut hasher = DefaultHasher::new();
    for file in ["go.mod", "go.sum"] {
        fs::read(source.join(file))?.hash(&mut hasher);
    }
    // Tools have no source here.
    if let Ok(program) = fs::read(source.join("main.go")) {
        program.hash(&mut hasher);
    }
    (FLAGS, STRIP, go).hash(&mut hasher);
    Ok(hasher.finish())
}

fn build(source: &Path, cache: &Path, target: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    eprintln!(
        "control plane: building etcd, kube-apiserver, kube-controller-manager and kubectl; this happens once, and takes about ten minutes"
    );
    let staging = tempfile::Builder::new().prefix("building-").tempdir_in(cache)?;
    step(source, begun, "fetching modules", &["mod", "download", "-x"])?;
    let version = module_version(source, "k8s.io/kubernetes")?;
    let output = staging.path().join("etcd");
    let output = output.to_str().context("the cache directory's name is not UTF-8")?;
    step(
        source,
        begun,
        "compiling the control plane",
        &["build", "-v", "-trimpath", "-ldflags", &kubernetes_flags(&version), "-o", output, "."],
    )?;
    for name in ["kube-apiserver", CONTROLLERS, "kubectl"] {
        symlink("etcd", staging.path().join(name))?;
    }
    fs::rename(staging.keep(), target)?;
    eprintln!("control plane: built in {} s, kept in {}", begun.elapsed().as_secs(), target.display());
    Ok(())
}

/// A program that is built with Go by itself, because that takes a minute and not ten.
struct Tool {
    name: &'static str,
    /// Directory of its module, under `control-plane`.
    module: &'static str,
    package: &'static str,
    /// The module that its version is that of.
    versioned: &'static str,
    flags: fn(&str, &Path) -> anyhow::Result<String>,
    missing: &'static str,
}

const H2SPEC: Tool = Tool {
    name: "h2spec",
    module: ".",
    package: "github.com/summerwind/h2spec/cmd/h2spec",
    versioned: "github.com/summerwind/h2spec",
    flags: |version, _| Ok(format!("-X main.VERSION={}", version.trim_start_matches('v').trim_end_matches("+incompatible"))),
    missing: MISSING_H2SPEC,
};

const HELM: Tool = Tool {
    name: "helm",
    module: "helm",
    package: "helm.sh/helm/v3/cmd/helm",
    versioned: "helm.sh/helm/v3",
    flags: |version, source| {
        // Without these it calls itself v3, and charts are rendered for Kubernetes 1.20.
        let kubernetes = module_version(source, "k8s.io/client-go")?;
        let minor = kubernetes.split('.').nth(1).context("the version of client-go has no second number")?.to_owned();
        let mut flags = format!("-X helm.sh/helm/v3/internal/version.version={version}");
        for package in ["pkg/lint/rules", "pkg/chartutil"] {
            flags
                .push_str(&format!(" -X helm.sh/helm/v3/{package}.k8sVersionMajor=1 -X helm.sh/helm/v3/{package}.k8sVersionMinor={minor}"));
        }
        Ok(flags)
    },
    missing: MISSING_HELM,
};

/// Finds h2spec, the conformance suite of HTTP/2, or builds it: where `KUBEBUILDER_ASSETS` says, else from its Go module, which takes
/// less than a minute. `None` if there is no way to get it and the person asked for the run without a cluster: that is, without Go.
///
/// # Errors
/// There is no way to get it, or the build fails; the message says what can be done.
pub fn h2spec() -> anyhow::Result<Option<PathBuf>> {
    H2SPEC.find()
}

/// Finds helm, or builds it: as [`h2spec`].
///
/// # Errors
/// There is no way to get it, or the build fails; the message says what can be done.
pub fn helm() -> anyhow::Result<Option<PathBuf>> {
    HELM.find()
}

impl Tool {
    fn find(&self) -> anyhow::Result<Option<PathBuf>> {
        if let Some(given) = std::env::var_os("KUBEBUILDER_ASSETS") {
            let program = PathBuf::from(given).join(self.name);
            if program.is_file() {
                return Ok(Some(program));
            }
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("control-plane").join(self.module);
        let Some(go) = go_version() else {
            ensure!(is_declined()?, self.missing);
            return Ok(None);
        };
        let cache = cache_directory()?;
        let target = cache.join(format!("{}-{:016x}", self.name, key(&source, &go)?));
        let _lock = lock(&cache, self.name)?;
        let program = target.join(self.name);
        if !program.is_file() {
            self.build(&source, &cache, &target).context(self.missing)?;
        }
        Ok(Some(program))
    }

    fn build(&self, source: &Path, cache: &Path, target: &Path) -> anyhow::Result<()> {
        let (begun, name) = (Instant::now(), self.name);
        let flags = format!("{STRIP} {}", (self.flags)(&module_version(source, self.versioned)?, source)?);
        let staging = tempfile::Builder::new().prefix("building-").tempdir_in(cache)?;
        let output = staging.path().join(name);
        let output = output.to_str().context("the cache directory's name is not UTF-8")?;
        let arguments = ["build", "-v", "-trimpath", "-ldflags", &flags, "-o", output, self.package];
        step(source, begun, &format!("compiling {name}"), &arguments)?;
        fs::rename(staging.keep(), target)?;
        Ok(())
    }
}

/// Without these the programs call themselves v0.0.0, and clients believe it.
fn kubernetes_flags(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or("0"), numbers.next().unwrap_or("0"));
    let mut flags = STRIP.to_owned();
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        flags.push_str(&format!(" -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"));
    }
    flags
}

fn go(source: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("go");
    command.args(arguments).envs(FLAGS).current_dir(source).stdin(Stdio::null());
    command
}

fn module_version(source: &Path, module: &str) -> anyhow::Result<String> {
    let output = go(source, &["list", "-m", "-f", "{{.Version}}", module]).output()?;
    ensure!(output.status.success(), "go list {module} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Runs Go and shows now and then how far it is.
fn step(source: &Path, begun: Instant, what: &str, arguments: &[&str]) -> anyhow::Result<()> {
    eprintln!("{what} ({} s)", begun.elapsed().as_secs());
    let mut child = go(source, arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut shown = Instant::now();
    let mut last = Vec::new();
    let mut lines = 0_usize;
    for line in BufReader::new(child.stderr.take().context("no standard error")?).lines() {
        let line = line?;
        lines += 1;
        if shown.elapsed() >= PROGRESS_EVERY {
            eprintln!("{what}, {} s so far, step {lines}: {line}", begun.elapsed().as_secs());
            shown = Instant::now();
        }
        last.push(line);
        if last.len() > 20 {
            last.remove(0);
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "{what} failed ({status}):\n{}", last.join("\n"));
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_a_directory_lacks_is_named() {
        let directory = tempfile::tempdir().unwrap();
        for program in NEEDED {
            File::create(directory.path().join(program)).unwrap();
        }
        assert!(hold(directory.path(), &NEEDED, "").is_ok());
        let refused = hold(directory.path(), &[CONTROLLERS], "put it there").unwrap_err().to_string();
        assert!(refused.contains("there is no kube-controller-manager in it; put it there"), "{refused}");
    }

    #[test]
    fn the_version_reaches_server_and_client() {
        let flags = kubernetes_flags("v1.37.2");
        assert!(flags.contains("k8s.io/component-base/version.gitVersion=v1.37.2"), "{flags}");
        assert!(flags.contains("k8s.io/client-go/pkg/version.gitMinor=37"), "{flags}");
    }
}
