//! The gate: how many instructions Tidegate executes in user mode for one request, which no noise of a machine moves.
//!
//! Tidegate runs under callgrind, and one client sends it a fixed sequence of requests. It is run once with a few requests of each
//! protocol, and once more for each protocol with many of that one: the difference, by the number of those, is the cost of one. What
//! processors differ in is switched off: valgrind shows programs a processor of its own, and the C library and the cryptography are
//! told to do without what is newest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::load::{Exchange, Plan, Until};
use crate::measure::generate;
use crate::peers::install::{Tools, install};
use crate::peers::{Contestant, Ground, Peer, Site, free_address};
use crate::run::backend;

/// Further from the budget than this, in either direction, is told.
const TOLERANCE: f64 = 0.02;
const FEW: usize = 300;
const MANY: usize = 3_300;

/// What is counted: the name in the budget, the exchange, and whether it goes over TLS.
const SEQUENCES: [(&str, Exchange, bool); 3] =
    [("h1", Exchange::Download(64), false), ("h1-tls", Exchange::Download(64), true), ("h2-tls", Exchange::Http2, true)];

/// What makes the count the same on another processor.
const PINS: [(&str, &str); 2] = [
    (
        "GLIBC_TUNABLES",
        "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512CD,-AVX512DQ,-ERMS,-FSRM,-AVX_Fast_Unaligned_Load,-Prefer_No_VZEROUPPER",
    ),
    // AES, carry-less multiplication and AVX2 stay; AVX-512 and its kin, SHA, vector-AES go.
    ("OPENSSL_ia32cap", "~0x0:~0x5f42fc230000"),
];

/// What the gate is given.
#[derive(Debug, Clone, clap::Args)]
pub struct GateOptions {
    /// The committed budget
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/budget.json"))]
    budget: PathBuf,
    /// Write what was counted as the new budget
    #[arg(long)]
    update: bool,
    /// Count the floor's as well, for comparison
    #[arg(long)]
    floor: bool,
    /// Keep callgrind's profiles in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

type Counts = BTreeMap<String, u64>;

/// Counts, and holds the counts against the budget.
///
/// # Errors
/// A count is above its budget, or cannot be made.
pub fn gate(options: &GateOptions) -> anyhow::Result<()> {
    install(&["valgrind"])?;
    let directory = tempfile::tempdir()?;
    let upstream = free_address()?;
    let ground = Ground::new(directory.path().to_owned(), upstream, Tools::find(&[Peer::Tidegate], false)?)?;
    let _backend = backend(&ground, upstream)?;
    let profiles = options.keep.clone().unwrap_or_else(|| directory.path().to_owned());
    fs::create_dir_all(&profiles)?;

    let counts = count(&ground, Peer::Tidegate, &profiles)?;
    if options.floor {
        for (name, count) in count(&ground, Peer::Floor, &profiles)? {
            println!("floor {name}: {count} instructions a request");
        }
    }
    if options.update {
        fs::write(&options.budget, serde_json::to_string_pretty(&counts)? + "\n")?;
        println!("{counts:?} written to {}", options.budget.display());
        return Ok(());
    }
    let budget = fs::read_to_string(&options.budget).with_context(|| options.budget.display().to_string())?;
    let verdicts = judge(&counts, &serde_json::from_str(&budget).context("the budget is none")?);
    for verdict in &verdicts {
        println!("{}", verdict.text);
    }
    ensure!(!verdicts.iter().any(|verdict| verdict.exceeded), "a request costs more than its budget");
    Ok(())
}

fn count(ground: &Ground, peer: Peer, profiles: &Path) -> anyhow::Result<Counts> {
    let few = [FEW; SEQUENCES.len()];
    let base = total(ground, peer, few, &profiles.join(format!("{}-few.callgrind", peer.name())))?;
    let mut counts = Counts::new();
    for (at, (name, ..)) in SEQUENCES.iter().enumerate() {
        let mut requests = few;
        if let Some(requests) = requests.get_mut(at) {
            *requests = MANY;
        }
        let many = total(ground, peer, requests, &profiles.join(format!("{}-{name}.callgrind", peer.name())))?;
        let count = many.saturating_sub(base) / u64::try_from(MANY - FEW)?;
        counts.insert((*name).to_owned(), count);
    }
    Ok(counts)
}

/// Runs the peer under callgrind for so many requests of each sequence; returns the instructions of its whole life.
fn total(ground: &Ground, peer: Peer, requests: [usize; SEQUENCES.len()], profile: &Path) -> anyhow::Result<u64> {
    let contestant = ground.start_through(peer, Site::USUAL, |command| under_callgrind(&command, profile))?;
    for ((_, exchange, secure), requests) in SEQUENCES.into_iter().zip(requests) {
        let Contestant { http, https, .. } = contestant;
        let (address, tls) = if secure { (https, Some(ground.authority())) } else { (http, None) };
        let plan = Plan { exchange, until: Until::Requests(requests), ..Plan::one(address, tls) };
        generate(&ground.tools.own, &plan)?;
    }
    // callgrind writes the profile when the process ends.
    drop(contestant);
    let text = fs::read_to_string(profile).context("callgrind wrote no profile")?;
    let total = text.lines().find_map(|line| line.strip_prefix("summary:").or_else(|| line.strip_prefix("totals:")));
    total
        .context("a profile without a total")?
        .split_whitespace()
        .next()
        .context("an empty total")?
        .parse()
        .context("a total that is no number")
}

fn under_callgrind(command: &Command, profile: &Path) -> Command {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind", "--dump-instr=no"]);
    valgrind.arg(format!("--callgrind-out-file={}", profile.display()));
    // What stands before are taskset and its arguments; the count does not depend on the core.
    valgrind.args(command.get_args().skip(2)).envs(PINS);
    valgrind
}

struct Verdict {
    text: String,
    exceeded: bool,
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn judge(counts: &Counts, budget: &Counts) -> Vec<Verdict> {
    let judge = |(name, count): (&String, &u64)| {
        let Some(allowed) = budget.get(name) else {
            return Verdict { text: format!("{name}: {count} instructions a request, and no budget for them"), exceeded: true };
        };
        let share = *count as f64 / *allowed as f64 - 1.0;
        let told = format!("{name}: {count} instructions a request, {:+.1} % of the budget's {allowed}", share * 100.0);
        let advice = if share > TOLERANCE {
            ": too much"
        } else if share < -TOLERANCE {
            ": lower the budget (`gate --update`)"
        } else {
            ""
        };
        Verdict { text: told + advice, exceeded: share > TOLERANCE }
    };
    counts.iter().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_more_than_the_budget_and_its_tolerance_fails() {
        let counts = |count| Counts::from([("h1".to_owned(), count)]);
        for (count, exceeded, text) in [(1_021, true, "too much"), (1_019, false, "+1.9 %"), (979, false, "lower the budget")] {
            let verdicts = judge(&counts(count), &counts(1_000));
            let told: Vec<_> = verdicts.iter().map(|verdict| (verdict.exceeded, verdict.text.contains(text))).collect();
            assert_eq!(told, [(exceeded, true)], "{count}");
        }
        assert!(judge(&counts(1), &Counts::new()).iter().all(|verdict| verdict.exceeded));
    }
}
