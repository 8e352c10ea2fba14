//! The runner as a process: a run of seconds, against the floor alone. What it measures in that time proves nothing; that it measures does.

use std::fs;
use std::process::Command;

use serde_json::Value;

#[test]
fn a_short_run_measures_tidegate_beside_the_floor() -> anyhow::Result<()> {
    let results = tempfile::tempdir()?;
    let suites = ["h1", "h1-tls", "h2-tls", "handshake", "upload-1m", "websocket", "resume", "idle-tls"];
    let status = Command::new(env!("CARGO_BIN_EXE_tidegate-bench"))
        .args(["--only", &suites.join(","), "--peers", "floor", "--rounds", "1", "--slice", "0.2", "--name", "smoke", "--results"])
        .arg(results.path())
        .status()?;
    // It fails for a request that failed and for a wrong byte.
    assert!(status.success());
    let raw: Value = serde_json::from_str(&fs::read_to_string(results.path().join("smoke.json"))?)?;
    let samples = raw.get("samples").and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
    for suite in suites {
        let measured = samples.iter().filter(|sample| sample.get("suite").is_some_and(|name| name == suite)).count();
        assert_eq!(measured, if suite == "websocket" { 1 } else { 2 }, "{suite}");
    }
    let tables = fs::read_to_string(results.path().join("smoke.md"))?;
    assert!(tables.contains("| h1 | CPU µs | **"), "{tables}");
    assert!(fs::read_to_string(results.path().join("smoke.svg"))?.contains("tidegate</text>"));
    Ok(())
}

#[test]
fn a_short_soak_swaps_the_table_under_load() -> anyhow::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate-bench")).args(["soak", "--requests", "2000", "--swaps", "40"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("none failed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn a_short_run_measures_changes_of_a_cluster() -> anyhow::Result<()> {
    if std::env::var_os("TIDEGATE_TEST_CLUSTER").is_some_and(|value| value == "off") {
        println!("LEFT OUT, as TIDEGATE_TEST_CLUSTER=off asks");
        return Ok(());
    }
    let results = tempfile::tempdir()?;
    let status = Command::new(env!("CARGO_BIN_EXE_tidegate-bench"))
        .args(["control", "--sizes", "25", "--changes", "5", "--only", "cost,serving,endpoints", "--results"])
        .arg(results.path())
        .status()?;
    assert!(status.success());
    let tables = fs::read_to_string(results.path().join("control.md"))?;
    for row in
        ["| CPU of a change: Secret rotated, 25 ÷ 25 Ingresses |", "| endpoint replaced | tidegate | 25 |", "p99 ÷ that of a bare watch"]
    {
        assert!(tables.contains(row), "{row} is not in\n{tables}");
    }
    Ok(())
}
