//! The README's first command: the example is served with its backends, every curl line that is printed works, edits are followed.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tidegate_tests::binary::{PATIENCE, Process, run};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart");

/// Makes a copy of the example that may be written to, without what an earlier run has made.
fn example() -> anyhow::Result<tempfile::TempDir> {
    let copy = tempfile::tempdir()?;
    for name in ["ingress.yaml", "backends.yaml"] {
        std::fs::copy(Path::new(EXAMPLE).join(name), copy.path().join(name))?;
    }
    Ok(copy)
}

struct Quickstart {
    process: Process,
    /// The printed lines.
    lines: Vec<String>,
}

impl Quickstart {
    fn start(directory: &Path) -> anyhow::Result<Self> {
        let mut process = Process::start_alone(&["quickstart", directory.to_str().context("UTF-8")?])?;
        process.line("Edit the files while it runs")?;
        let lines = process.said().iter().filter_map(|line| line.strip_prefix("  curl ")).map(|line| format!("curl {line}")).collect();
        Ok(Self { process, lines })
    }

    /// Runs a line as it was printed, and returns the head and the body of the answer.
    fn try_line(&self, line: &str) -> anyhow::Result<(String, String)> {
        let answer = self.process.shell(&line.replacen("curl ", "curl --silent --show-error --max-time 20 ", 1))?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
        Ok((head.to_ascii_lowercase(), body.to_owned()))
    }
}

/// The name that the backend of an answer gave itself.
fn backend(body: &str) -> anyhow::Result<String> {
    let seen: Value = serde_json::from_str(body).with_context(|| body.to_owned())?;
    Ok(seen.get("name").and_then(Value::as_str).context("name")?.to_owned())
}

#[test]
fn every_printed_line_shows_what_its_comment_says() -> anyhow::Result<()> {
    let directory = example()?;
    let quickstart = Quickstart::start(directory.path())?;
    let mut meanings = Vec::new();
    for line in &quickstart.lines {
        let (head, body) = quickstart.try_line(line).with_context(|| line.clone())?;
        let meaning = line.split_once("  # ").context("no comment")?.1;
        if meaning == "redirected to https" {
            ensure!(head.contains(" 308"), "{line}: {head}");
            ensure!(head.contains("location: https://shop.localhost:8443/"), "{line}: {head}");
        } else if let Some(target) = meaning.strip_prefix("redirected to ") {
            ensure!(head.contains(" 301") && head.contains(&format!("location: {target}")), "{line}: {head}");
        } else {
            let service = meaning.strip_prefix("served by ").with_context(|| format!("{line}: unknown comment"))?;
            ensure!(head.contains(" 200"), "{line}: {head}");
            assert_eq!(backend(&body)?, format!("{service}-1"), "{line}");
        }
        meanings.push(meaning);
    }
    meanings.sort_unstable();
    let expected = [
        "redirected to https",
        "redirected to https://shop.localhost:8443/",
        "served by api-v1",
        "served by api-v2",
        "served by shop",
        "served by shop",
    ];
    assert_eq!(meanings, expected);
    Ok(())
}

#[test]
fn an_edited_file_is_followed() -> anyhow::Result<()> {
    let directory = example()?;
    let quickstart = Quickstart::start(directory.path())?;
    let line = quickstart.lines.iter().find(|line| line.contains("/api/orders")).context("no line for /api/orders")?;
    assert_eq!(backend(&quickstart.try_line(line)?.1)?, "api-v2-1");
    let file = directory.path().join("ingress.yaml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace("name: api-v2", "name: api-v1"))?;
    let deadline = Instant::now() + PATIENCE;
    while backend(&quickstart.try_line(line)?.1)? != "api-v1-1" {
        ensure!(Instant::now() < deadline, "the edit is not followed");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[test]
fn ctrl_c_ends_it() -> anyhow::Result<()> {
    let directory = example()?;
    let mut quickstart = Quickstart::start(directory.path())?;
    quickstart.process.signal("INT")?;
    assert_eq!(quickstart.process.wait()?.code(), Some(0));
    Ok(())
}

#[test]
fn the_example_has_no_findings_once_its_certificate_is_made() -> anyhow::Result<()> {
    let directory = example()?;
    drop(Quickstart::start(directory.path())?);
    let ended = run(&["check", directory.path().to_str().context("UTF-8")?], &[])?;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stdout);
    ensure!(ended.stdout.contains("0 errors, 0 warnings"), "{}", ended.stdout);
    Ok(())
}
