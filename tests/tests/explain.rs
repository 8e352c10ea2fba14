//! The commands that look at what is served, as people and scripts run them: the examples of their page, wrong input, exit codes.
//! That what they say is what is answered, the scenarios `explain` hold.

#![expect(clippy::indexing_slicing, reason = "a test may panic; JSON is indexed without one")]

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tidegate_tests::binary::run;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/explain.md");

/// Runs a line of the page, and returns what it prints.
fn printed(line: &str) -> anyhow::Result<String> {
    let arguments: Vec<_> = line.split(' ').skip(1).collect();
    let ended = run(&arguments, &[])?;
    ensure!(ended.stderr.is_empty(), "{line}: {}", ended.stderr);
    // The certificate that is made at start ends ten years after it.
    let lines = ended.stdout.lines().map(|line| match line.split_once("default.tidegate.invalid   ") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| !c.is_whitespace());
            format!("{before}default.tidegate.invalid   in ten years        {rest}\n")
        }
        None => format!("{line}\n"),
    });
    Ok(lines.collect())
}

/// The page that shows what the commands print; `UPDATE_GENERATED=1` writes it anew.
#[test]
fn the_page_shows_what_the_commands_print() -> anyhow::Result<()> {
    let page = std::fs::read_to_string(PAGE)?;
    let mut current = String::new();
    let (mut inside, mut examples) = (false, 0);
    for line in page.lines() {
        match (inside, line) {
            (false, "```console") => inside = true,
            (true, "```") => inside = false,
            (true, line) => {
                let Some(command) = line.strip_prefix("$ ") else { continue };
                if examples > 0 && !current.ends_with("```console\n") {
                    current.push('\n');
                }
                current.push_str(&format!("$ {command}\n{}", printed(command)?));
                examples += 1;
                continue;
            }
            (false, _) => {}
        }
        current.push_str(line);
        current.push('\n');
    }
    ensure!(examples > 5, "only {examples} examples");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(PAGE, &current)?;
        return Ok(());
    }
    ensure!(current == page, "docs/explain.md is not current: run this test with UPDATE_GENERATED=1. It would be:\n{current}");
    Ok(())
}

#[test]
fn what_cannot_be_looked_at_is_named() -> anyhow::Result<()> {
    // A port that nobody listens on: it was ours a moment ago.
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let directory = tempfile::tempdir()?;
    let kubeconfig = directory.path().join("none");
    let kubeconfig = kubeconfig.to_str().context("UTF-8")?;
    let url = "http://a.test/";
    for (arguments, code, named) in [
        (&["explain", url, "--manifests", "no/such/place"][..], 1, "no/such/place (--manifests)"),
        (&["explain", url, "--kubeconfig", kubeconfig], 1, kubeconfig),
        (&["explain", url, "--admin", &free], 1, "(--admin)"),
        (&["explain", "a.test", "--admin", &free], 2, "URL"),
        (&["routes", "--admin", &free], 1, &free),
        (&["certs", "--manifests", "no/such/place"], 1, "--manifests"),
        (
            &["backends", "--manifests", "examples/explain/now", "--watch-namespace", "a", "--default-backend", "b/c"],
            1,
            "--default-backend",
        ),
        (&["diff", "no/such/place", "examples/explain/now"], 2, "OLD"),
        (&["diff", "examples/explain/now", &format!("admin:{free}")], 2, "NEW"),
        (&["diff", "examples/explain/now"], 2, "NEW"),
        (&["diagnostics", "--admin", &free, "--manifests", "x"], 2, "--manifests"),
    ] {
        let ended = run(arguments, &[])?;
        ensure!(ended.status.code() == Some(code), "{arguments:?} ends with {:?}: {}", ended.status, ended.stderr);
        ensure!(ended.stderr.contains(named), "{arguments:?} does not name {named}: {}", ended.stderr);
        ensure!(ended.stdout.is_empty(), "{arguments:?}: {}", ended.stdout);
    }
    Ok(())
}

#[test]
fn the_exit_code_of_diff_says_whether_there_are_differences() -> anyhow::Result<()> {
    let (now, next) = ("examples/explain/now", "examples/explain/next");
    for (old, new, code) in [(now, now, 0), (now, next, 1), (next, now, 1), (next, next, 0)] {
        let ended = run(&["diff", old, new, "-o", "json"], &[])?;
        ensure!(ended.status.code() == Some(code), "{old} {new}: {:?} {}", ended.status, ended.stderr);
        let differences: Value = serde_json::from_str(&ended.stdout)?;
        let count = |list: &str| differences["routes"][list].as_array().map(Vec::len);
        let wanted = if code == 0 { [Some(0); 3] } else { [Some(1); 3] };
        ensure!(["gained", "lost", "changed"].map(count) == wanted, "{old} {new}: {differences:#}");
    }
    Ok(())
}

#[test]
fn lists_for_programs_say_the_same_in_json_and_in_yaml() -> anyhow::Result<()> {
    for list in ["routes", "certs", "backends", "diagnostics"] {
        let of = |format: &str| run(&[list, "--manifests", "examples/explain/now", "-o", format], &[]).map(|ended| ended.stdout);
        let json: Value = serde_json::from_str(&of("json")?)?;
        let mut yaml: Value = serde_saphyr::from_str(&of("yaml")?)?;
        ensure!(json.as_array().is_some_and(|list| !list.is_empty()), "{list}: {json}");
        if list == "certs" {
            // Made at start: each run has another.
            yaml[0]["default"]["fingerprint"] = json[0]["default"]["fingerprint"].clone();
        }
        ensure!(json == yaml, "{list}: {json:#}\n{yaml:#}");
    }
    Ok(())
}

#[test]
fn check_and_diagnostics_find_the_same() -> anyhow::Result<()> {
    let found = |arguments: &[&str], list: fn(&Value) -> &Value| -> anyhow::Result<Vec<String>> {
        let ended = run(arguments, &[])?;
        let page: Value = serde_json::from_str(&ended.stdout).with_context(|| ended.stderr.clone())?;
        let all = list(&page).as_array().context("not a list")?;
        let mut all: Vec<_> = all
            .iter()
            .map(|found| ["object", "code", "severity", "field", "message", "help"].map(|field| found[field].to_string()).join(" "))
            .collect();
        all.sort();
        Ok(all)
    };
    for directory in ["examples/explain/now", "examples/explain/next", "examples/quickstart"] {
        ensure!(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(directory).is_dir(), "{directory}");
        let checked = found(&["check", directory, "-o", "json"], |page| &page["findings"])?;
        let listed = found(&["diagnostics", "--manifests", directory, "-o", "json"], |page| page)?;
        ensure!(!checked.is_empty() && checked == listed, "{directory}: {checked:#?} {listed:#?}");
    }
    Ok(())
}
