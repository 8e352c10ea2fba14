//! The process as others script against it: wrong flags, addresses, first log lines, readiness, signals, exit codes.

#![expect(clippy::indexing_slicing, reason = "a test may panic; JSON is indexed without one")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tidegate_tests::binary::{Process, curl, run};
use tidegate_tests::cgroup::Cgroup;

const ANY: &[&str] = &["--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--health", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

/// A Tidegate that serves a directory.
struct Serve {
    process: Process,
    addresses: BTreeMap<String, SocketAddr>,
}

impl Serve {
    fn start(directory: &Path, more: &[&str]) -> anyhow::Result<Self> {
        let directory = directory.to_str().context("UTF-8")?;
        let arguments = [&["serve", "--manifests", directory, "--log-format", "json"], ANY, more].concat();
        let mut process = Process::start(&arguments, &[])?;
        process.line("\"ready\"")?;
        let mut addresses = BTreeMap::new();
        // It is among the first lines; a warning about the machine's limits may stand before.
        for line in process.said().iter().filter(|line| line.contains("\"listening\"")).take(4) {
            let line: Value = serde_json::from_str(line).with_context(|| line.clone())?;
            let text = |name: &str| line[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {line}"));
            addresses.insert(text("listener")?, text("address")?.parse()?);
        }
        Ok(Self { process, addresses })
    }

    fn url(&self, listener: &str, path: &str) -> String {
        format!("http://{}{path}", self.addresses[listener])
    }

    fn status(&self, listener: &str, path: &str) -> anyhow::Result<String> {
        curl(&["-o", "/dev/null", "-w", "%{http_code}", &self.url(listener, path)])
    }
}

/// An echo server, and a directory whose only Ingress leads to it.
fn backend() -> anyhow::Result<(Process, tempfile::TempDir)> {
    let mut echo = Process::start(&["echo", "--listen", "127.0.0.1:0"], &[])?;
    let line = echo.line("listening on")?;
    let port = line.rsplit(':').next().context("port")?;
    let directory = tempfile::tempdir()?;
    let manifest = format!(
        "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {{name: tidegate}}
spec: {{controller: tidegate.dev/ingress-controller}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: web}}
spec:
  ingressClassName: tidegate
  defaultBackend: {{service: {{name: echo, port: {{number: 80}}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: echo}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: echo-1, labels: {{kubernetes.io/service-name: echo}}}}
addressType: IPv4
ports: [{{port: {port}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
"
    );
    std::fs::write(directory.path().join("web.yaml"), manifest)?;
    Ok((echo, directory))
}

#[test]
fn a_wrong_flag_is_named_and_nothing_is_served() -> anyhow::Result<()> {
    for (arguments, environment, named) in [
        (&["serve", "--http", "80"][..], &[][..], "--http"),
        (&["serve", "--no-such-flag"], &[], "--no-such-flag"),
        (&["serve"], &[("TIDEGATE_DRAIN_MAX", "soon")], "--drain-max"),
        (&["serve", "--workers", "0"], &[], "--workers"),
        (&["check"], &[], "PATH"),
    ] {
        let ended = run(arguments, environment)?;
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {}", ended.stderr);
        ensure!(ended.stderr.contains(named), "{arguments:?}: {}", ended.stderr);
        ensure!(ended.stdout.is_empty() && !ended.stderr.contains("listening"), "{arguments:?}: it went on");
    }
    Ok(())
}

#[test]
fn the_environment_gives_flags_and_the_command_line_wins() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let root = directory.path().to_str().context("UTF-8")?;
    let environment = [
        ("TIDEGATE_MANIFESTS", root),
        ("TIDEGATE_HTTP", "127.0.0.1:0"),
        ("TIDEGATE_HTTPS", "127.0.0.1:0"),
        ("TIDEGATE_HEALTH", "not an address"),
        ("TIDEGATE_ADMIN", "127.0.0.1:0"),
        ("TIDEGATE_WORKERS", "3"),
    ];
    let mut process = Process::start(&["serve", "--health", "127.0.0.1:0"], &environment)?;
    let first = process.line("tidegate starts")?;
    ensure!(first.contains("workers=3"), "{first}");
    process.line("ready")?;
    Ok(())
}

#[test]
fn an_address_that_is_taken_is_named_with_its_flag() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for flag in ["--http", "--https", "--health", "--admin"] {
        let mut arguments = [&["serve", "--manifests", directory.path().to_str().context("UTF-8")?], ANY].concat();
        let at = arguments.iter().position(|argument| *argument == flag).context("flag")?;
        arguments[at + 1] = &address;
        let ended = run(&arguments, &[])?;
        assert_eq!(ended.status.code(), Some(1), "{flag}: {}", ended.stderr);
        ensure!(ended.stderr.contains(flag) && ended.stderr.contains(&address), "{flag}: {}", ended.stderr);
    }
    Ok(())
}

/// Runs a program that follows as on a host without IPv6.
const WITHOUT_IPV6: &[&str] = &["python3", concat!(env!("CARGO_MANIFEST_DIR"), "/python/without_ipv6.py")];

#[test]
fn a_port_without_an_address_is_listened_on_over_ipv4_alone_where_there_is_no_ipv6() -> anyhow::Result<()> {
    let (_echo, directory) = backend()?;
    let directory = directory.path().to_str().context("UTF-8")?;
    let all = ["serve", "--manifests", directory, "--http", ":0", "--https", ":0", "--health", ":0", "--admin", ":0"];
    for (through, any) in [(WITHOUT_IPV6, "0.0.0.0"), (&["env"], "[::]")] {
        let mut process = Process::start_through(through, &all)?;
        process.line("ready")?;
        let said = process.said().to_vec();
        let listening: Vec<_> = said.iter().filter(|line| line.contains("listening listener=")).collect();
        assert_eq!(listening.len(), 4, "{said:#?}");
        for line in listening {
            let (_, port) = line.split_once(&format!("address={any}:")).with_context(|| format!("not on {any}: {line}"))?;
            let page = if line.contains("listener=https") { continue } else { format!("http://127.0.0.1:{port}/") };
            let status = curl(&["-o", "/dev/null", "-w", "%{http_code}", &page])?;
            ensure!(status != "000", "{page} does not answer");
        }
        let told = said.iter().filter(|line| line.contains("this host has no IPv6")).count();
        assert_eq!(told, if any == "[::]" { 0 } else { 4 }, "{said:#?}");
    }
    let mut echo = Process::start_through(WITHOUT_IPV6, &["echo", "--listen", ":0"])?;
    echo.line("0.0.0.0")?;
    Ok(())
}

#[test]
fn an_address_with_its_family_gives_way_to_no_other() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path().to_str().context("UTF-8")?;
    let addresses = ["--http", ":0", "--https", ":0", "--health", "[::]:0", "--admin", ":0"];
    let mut process = Process::start_through(WITHOUT_IPV6, &[&["serve", "--manifests", directory], &addresses[..]].concat())?;
    process.line("cannot listen on [::]:0 (--health)")?;
    assert_eq!(process.wait()?.code(), Some(1));
    Ok(())
}

#[test]
fn a_directory_that_is_not_there_is_named() -> anyhow::Result<()> {
    let ended = run(&[&["serve", "--manifests", "/no/such/directory"], ANY].concat(), &[])?;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    ensure!(ended.stderr.contains("--manifests") && ended.stderr.contains("/no/such/directory"), "{}", ended.stderr);
    Ok(())
}

#[test]
fn ports_that_the_system_chose_stand_in_the_first_log_lines_and_in_the_admin_pages() -> anyhow::Result<()> {
    let (_echo, directory) = backend()?;
    let serve = Serve::start(directory.path(), &[])?;
    ensure!(serve.addresses.values().all(|address| address.port() != 0), "{:?}", serve.addresses);
    let told: Value = serde_json::from_str(&curl(&[&serve.url("admin", "/addresses")])?)?;
    for (listener, address) in &serve.addresses {
        assert_eq!(told["addresses"][listener], address.to_string(), "{told}");
    }
    assert_eq!(serve.addresses.keys().collect::<Vec<_>>(), ["admin", "health", "http", "https"]);
    assert_eq!(serve.status("http", "/")?, "200");
    Ok(())
}

#[test]
fn one_worker_is_the_default_on_one_cpu() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let arguments = [&["serve", "--manifests", directory.path().to_str().context("UTF-8")?], ANY].concat();
    let mut process = Process::start_through(&["taskset", "--cpu-list", "0"], &arguments)?;
    let first = process.line("tidegate starts")?;
    ensure!(first.contains("workers=1"), "{first}");
    Ok(())
}

/// Where no group can be made (only root may), the test says so past the harness, which would keep it to itself.
#[test]
fn one_worker_is_the_default_where_the_cgroup_allows_one_cpu() -> anyhow::Result<()> {
    let cpus = std::thread::available_parallelism()?;
    let group = match Cgroup::with_cpus(1) {
        Ok(group) if cpus.get() > 1 => group,
        Ok(_) => return Ok(writeln!(std::io::stderr(), "LEFT OUT: the quota of a cgroup shows only on a machine with several CPUs")?),
        Err(error) => return Ok(writeln!(std::io::stderr(), "LEFT OUT: the quota of a cgroup: {error:#}")?),
    };
    let directory = tempfile::tempdir()?;
    let arguments = [&["serve", "--manifests", directory.path().to_str().context("UTF-8")?], ANY].concat();
    let enter = group.enter();
    let mut process = Process::start_through(&enter.each_ref().map(String::as_str), &arguments)?;
    let first = process.line("tidegate starts")?;
    ensure!(first.contains("workers=1"), "on {cpus} CPUs: {first}");
    // The group can be removed once nothing is in it.
    drop(process);
    drop(group);
    Ok(())
}

#[test]
fn on_sigterm_it_is_not_ready_still_accepts_and_finishes_what_is_under_way() -> anyhow::Result<()> {
    let (_echo, directory) = backend()?;
    let mut serve = Serve::start(directory.path(), &["--drain-min", "2s", "--drain-max", "20s"])?;
    assert_eq!(serve.status("health", "/readyz")?, "200");
    let slow = serve.url("http", "/?delay=4000&body=done");
    let slow = std::thread::spawn(move || curl(&[&slow]));
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    serve.process.signal("TERM")?;
    serve.process.line("draining")?;
    assert_eq!(serve.status("health", "/readyz")?, "503");
    assert_eq!(serve.status("health", "/livez")?, "200");
    assert_eq!(serve.status("http", "/")?, "200", "new connections are refused within --drain-min");
    assert_eq!(slow.join().map_err(|_| anyhow::anyhow!("panicked"))??, "done");
    ensure!(begin.elapsed() >= Duration::from_secs(2), "it ended before --drain-min");
    assert_eq!(serve.process.wait()?.code(), Some(0));
    Ok(())
}

#[test]
fn on_sigint_it_does_not_wait_for_balancers() -> anyhow::Result<()> {
    let (_echo, directory) = backend()?;
    let mut serve = Serve::start(directory.path(), &["--drain-min", "60s"])?;
    let begin = Instant::now();
    serve.process.signal("INT")?;
    assert_eq!(serve.process.wait()?.code(), Some(0));
    ensure!(begin.elapsed() < Duration::from_secs(20), "it waited {:?}", begin.elapsed());
    Ok(())
}

#[test]
fn what_is_left_at_drain_max_is_cut() -> anyhow::Result<()> {
    let (_echo, directory) = backend()?;
    let mut serve = Serve::start(directory.path(), &["--drain-min", "0", "--drain-max", "1s"])?;
    let slow = serve.url("http", "/?delay=15000");
    let slow = std::thread::spawn(move || curl(&[&slow]));
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    serve.process.signal("TERM")?;
    assert_eq!(serve.process.wait()?.code(), Some(0));
    ensure!((1..10).contains(&begin.elapsed().as_secs()), "it took {:?}", begin.elapsed());
    ensure!(slow.join().is_ok_and(|answer| answer.is_err()), "the request was answered");
    Ok(())
}

#[test]
fn a_second_signal_ends_it_at_once() -> anyhow::Result<()> {
    let (_echo, directory) = backend()?;
    let mut serve = Serve::start(directory.path(), &["--drain-min", "60s"])?;
    serve.process.signal("TERM")?;
    serve.process.line("draining")?;
    let begin = Instant::now();
    serve.process.signal("TERM")?;
    assert_eq!(serve.process.wait()?.code(), Some(1));
    ensure!(begin.elapsed() < Duration::from_secs(10), "it took {:?}", begin.elapsed());
    Ok(())
}

#[test]
fn check_tells_by_its_exit_code() -> anyhow::Result<()> {
    let (_echo, directory) = backend()?;
    let root = directory.path().to_str().context("UTF-8")?;
    let clean = run(&["check", root], &[])?;
    assert_eq!(clean.status.code(), Some(0), "{}", clean.stdout);
    let manifest = directory.path().join("web.yaml");
    std::fs::write(
        &manifest,
        std::fs::read_to_string(&manifest)?.replace("name: echo, port: {number: 80}", "name: gone, port: {number: 80}"),
    )?;
    let wrong = run(&["check", root, "-o", "json"], &[])?;
    assert_eq!(wrong.status.code(), Some(1), "{}", wrong.stdout);
    let report: Value = serde_json::from_str(&wrong.stdout)?;
    let finding = &report["findings"][0];
    assert_eq!((finding["code"].as_str(), finding["severity"].as_str()), (Some("missing_service"), Some("error")));
    assert_eq!(finding["object"]["name"], "web");
    ensure!(finding["file"].as_str().is_some_and(|file| file.ends_with("web.yaml")) && finding["line"].is_number(), "{finding}");
    let text = run(&["check", root], &[])?.stdout;
    ensure!(text.contains("web.yaml:") && text.contains("error: Ingress default/web: ") && text.contains("[missing_service]"), "{text}");
    for arguments in [&["check", "/no/such/path"][..], &["check", root, "-o", "yaml"]] {
        assert_eq!(run(arguments, &[])?.status.code(), Some(2), "{arguments:?}");
    }
    Ok(())
}

#[test]
fn a_snapshot_of_what_is_served_is_checked_like_the_manifests() -> anyhow::Result<()> {
    let (_echo, directory) = backend()?;
    let ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: more}\nspec: {ingressClassName: gone}\n";
    std::fs::write(directory.path().join("more.yaml"), ingress)?;
    let serve = Serve::start(directory.path(), &[])?;
    // Without the name of a manifest, so that it is not read as one.
    let file = directory.path().join("saved");
    std::fs::write(&file, curl(&[&serve.url("admin", "/snapshot")])?)?;
    let check = |arguments: &[&str]| {
        let ended = run(&[&["check", "-o", "json"], arguments].concat(), &[])?;
        let report: Value = serde_json::from_str(&ended.stdout).with_context(|| ended.stdout.clone())?;
        let finding = &report["findings"][0];
        let counts = ["objects", "errors", "warnings"].map(|name| report[name].clone());
        let said = ["object", "field", "code", "message"].map(|name| finding[name].clone());
        anyhow::Ok((ended.status.code(), counts, said))
    };
    let of_snapshot = check(&["--snapshot", file.to_str().context("UTF-8")?])?;
    assert_eq!((of_snapshot.0, &of_snapshot.2[2]), (Some(1), &Value::from("missing_class")));
    assert_eq!(of_snapshot, check(&[directory.path().to_str().context("UTF-8")?])?);
    std::fs::write(&file, "{\"format\": 0}")?;
    let refused = run(&["check", "--snapshot", file.to_str().context("UTF-8")?], &[])?;
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stdout);
    Ok(())
}

#[test]
fn it_tells_its_version() -> anyhow::Result<()> {
    let ended = run(&["version"], &[])?;
    assert_eq!((ended.status.code(), ended.stdout.starts_with("tidegate ")), (Some(0), true), "{}", ended.stdout);
    let document: Value = serde_json::from_str(&run(&["version", "-o", "json"], &[])?.stdout)?;
    assert_eq!(format!("tidegate {}\n", document["version"].as_str().context("no version")?), ended.stdout);
    Ok(())
}
