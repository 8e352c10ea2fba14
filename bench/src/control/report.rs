//! What the run gave, as tables and raw data.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

const METHOD: &str = "A real API server and etcd (without fsync), Tidegate with one worker and every default on, and the backends run on this machine, \
in a network namespace of their own; nothing is pinned to a core. All Ingresses are of one class and one host each, with a Service and an \
EndpointSlice of their own; 20 have a certificate. **serving**: time begins with the write; it ends, for a proxy, when the first request \
(asked every 0.2 ms on one connection) is answered by the new rule, and for the bare watch when a kube-rs watcher in the measuring process \
yields the object. Both hear of the same writes; `÷ bare watch` is of the percentiles, Tidegate's quiet period (3 ms) taken off before. \
**cost**: processor time (`/proc/PID/task/*/schedstat`) while changes come every 40 ms, less what the process uses while none come, by change; \
the median of five rounds in which the kinds take turns. **start**: Tidegate until `/readyz`, against a process that lists the same kinds by \
pages of 500 at once and decodes them with k8s-openapi, in turn; medians of five. Traefik runs over the same cluster with \
`providersThrottleDuration=1ns`, alone with the API server, and serves the same class.";

const DOUBTS: &str = "Two cores for everything: the API server competes with whom it serves, and what neighbours of the machine do moves single changes by \
tens of milliseconds, so that a p99 of a hundred changes is about its worst case. Sizes are measured one after another. Endpoints are a \
few addresses of loopback, and all Services lead to one backend.";

/// Everything measured.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Report {
    /// The machine, by names of its properties.
    pub(super) machine: Vec<(String, String)>,
    /// What was measured.
    pub(super) versions: Vec<String>,
    /// The measurements.
    pub(super) rows: Vec<Row>,
}

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    suite: &'static str,
    what: String,
    who: &'static str,
    ingresses: usize,
    figures: Vec<(&'static str, f64)>,
    samples: Vec<f64>,
}

/// Rows of one size.
pub(super) struct Rows<'r> {
    /// How many Ingresses there are.
    pub(super) size: usize,
    /// Where they go.
    pub(super) report: &'r mut Report,
}

impl Rows<'_> {
    /// Adds one, and shows it.
    pub(super) fn add(&mut self, suite: &'static str, what: &str, who: &'static str, figures: Vec<(&'static str, f64)>, samples: &[f64]) {
        let shown: Vec<String> = figures.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
        eprintln!("  {}: {suite}, {what}, {who}: {}", self.size, shown.join(", "));
        self.report.rows.push(Row { suite, what: what.to_owned(), who, ingresses: self.size, figures, samples: samples.to_vec() });
    }
}

impl Row {
    fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(figure, _)| *figure == name).map(|(_, value)| *value)
    }
}

impl Report {
    /// Writes tables and raw data.
    pub(super) fn write(&self, directory: &Path, name: &str) -> anyhow::Result<()> {
        fs::create_dir_all(directory)?;
        fs::write(directory.join(format!("{name}.json")), serde_json::to_string(self)? + "\n")?;
        fs::write(directory.join(format!("{name}.md")), self.tables()?)?;
        Ok(())
    }

    fn tables(&self) -> anyhow::Result<String> {
        let mut text = String::from("# Changes of a cluster: how soon they serve, and what they cost\n\n");
        self.ratios(&mut text)?;
        for suite in ["serving", "cost", "start"] {
            let rows = || self.rows.iter().filter(|row| row.suite == suite);
            let mut names: Vec<&str> = Vec::new();
            for (name, _) in rows().flat_map(|row| &row.figures) {
                if !names.contains(name) {
                    names.push(name);
                }
            }
            if names.is_empty() {
                continue;
            }
            writeln!(text, "## {suite}\n\n| | | Ingresses | {} |\n|---|---|---|{}", names.join(" | "), "---|".repeat(names.len()))?;
            for row in rows() {
                let cells: Vec<String> = names.iter().map(|name| row.figure(name).map_or(String::new(), short)).collect();
                writeln!(text, "| {} | {} | {} | {} |", row.what, row.who, row.ingresses, cells.join(" | "))?;
            }
            writeln!(text)?;
        }
        writeln!(text, "## Machine, method, doubts\n")?;
        for (name, value) in &self.machine {
            writeln!(text, "- {name}: {value}")?;
        }
        for version in &self.versions {
            writeln!(text, "- {version}")?;
        }
        writeln!(text, "\n{METHOD}\n\n{DOUBTS}")?;
        Ok(text)
    }

    /// Shows how cost grows with the number of Ingresses, and how Tidegate stands to Traefik.
    fn ratios(&self, text: &mut String) -> anyhow::Result<()> {
        let sizes = self.rows.iter().map(|row| row.ingresses);
        let (Some(least), Some(most)) = (sizes.clone().min(), sizes.max()) else { return Ok(()) };
        writeln!(text, "| ratio | |\n|---|---|")?;
        let find = |what: &str, who: &str, size: usize, name: &str| {
            self.rows.iter().find(|row| row.what == what && row.who == who && row.ingresses == size)?.figure(name)
        };
        for what in ["Ingress added", "Ingress changed", "slice changed", "Secret rotated"] {
            let cost = |size| {
                let mut rows = self.rows.iter().filter(|row| row.suite == "cost");
                rows.find(|row| row.what == what && row.ingresses == size)?.figure("CPU µs")
            };
            if let (Some(small), Some(large)) = (cost(least), cost(most)) {
                writeln!(text, "| CPU of a change: {what}, {most} ÷ {least} Ingresses | {:.2} |", large / small)?;
            }
        }
        for name in ["serving p50 ms", "serving p99 ms"] {
            let serving = |who| find_serving(&self.rows, who, most, name);
            if let (Some(ours), Some(theirs)) = (serving("tidegate"), serving("traefik")) {
                writeln!(text, "| {name}, {most} Ingresses: Tidegate ÷ Traefik | {:.3} |", ours / theirs)?;
            }
        }
        for what in ["Ingress added", "Ingress added, endpoints changing"] {
            let serving =
                self.rows.iter().find(|row| row.suite == "serving" && row.what == what && row.who == "tidegate" && row.ingresses == most);
            if let Some(ratio) = serving.and_then(|row| row.figure("÷ bare watch, p99")) {
                writeln!(text, "| {what}, {most} Ingresses: p99 ÷ that of a bare watch | {ratio:.2} |")?;
            }
        }
        for name in ["÷ bare client", "÷ bare client, CPU"] {
            if let Some(ratio) = find("start until ready", "tidegate", most, name) {
                writeln!(text, "| start, {most} Ingresses: {name} | {ratio:.2} |")?;
            }
        }
        writeln!(text)?;
        Ok(())
    }
}

fn find_serving(rows: &[Row], who: &str, size: usize, name: &str) -> Option<f64> {
    rows.iter().find(|row| row.suite == "serving" && row.what == "Ingress added" && row.who == who && row.ingresses == size)?.figure(name)
}

fn short(value: f64) -> String {
    let digits = if value.abs() < 10.0 { 2 } else { usize::from(value.abs() < 1_000.0) };
    format!("{value:.digits$}")
}

/// Returns a time in milliseconds.
pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Returns what this part of the values does not exceed; 0 if there are none.
pub(super) fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of a short list")]
    let index = ((sorted.len() as f64 * part).ceil() as usize).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|part| percentile(&values, part)), [100.0, 198.0, 200.0]);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }
}
