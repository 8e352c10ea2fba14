//! What a run gave, as tables, raw data and a plot.

pub mod machine;
pub mod markdown;
mod plot;

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::run::{Results, Sample};

/// The median of several values, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The middle one, or the mean of the middle two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Returns that of some values; `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
        Some(Self { median: f64::midpoint(*low, *high), min: *values.first()?, max: *values.last()? })
    }
}

/// Who, and set up for what.
pub type Who<'r> = (&'r str, &'r str);

impl Results {
    /// Returns a suite's samples of one contestant.
    fn samples_of(&self, suite: &str, who: Who<'_>) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.suite == suite && (sample.peer.as_str(), sample.site.as_str()) == who)
    }

    /// Returns how a figure of a contestant spreads over the rounds.
    pub fn spread(&self, suite: &str, who: Who<'_>, figure: &str) -> Option<Spread> {
        Spread::of(self.samples_of(suite, who).filter_map(|sample| sample.figures.get(figure).copied()))
    }

    /// Returns how the ratio of two contestants spreads, each taken inside one round.
    pub fn ratio(&self, suite: &str, who: Who<'_>, to: Who<'_>, figure: &str) -> Option<Spread> {
        Spread::of(self.samples_of(suite, who).filter_map(|sample| {
            let other = self.samples_of(suite, to).find(|other| other.round == sample.round)?;
            Some(sample.figures.get(figure)? / other.figures.get(figure).filter(|figure| **figure > 0.0)?)
        }))
    }

    /// Returns who took part in a suite.
    pub fn contestants(&self, suite: &str) -> Vec<Who<'_>> {
        let mut all = Vec::new();
        for sample in self.samples.iter().filter(|sample| sample.suite == suite) {
            let who = (sample.peer.as_str(), sample.site.as_str());
            if !all.contains(&who) {
                all.push(who);
            }
        }
        all
    }
}

/// Writes the tables, the raw data and the plot.
///
/// # Errors
/// The directory cannot be written to.
pub fn write(results: &Results, directory: &Path, name: &str) -> anyhow::Result<()> {
    fs::create_dir_all(directory)?;
    let file = |ending: &str| directory.join(format!("{name}.{ending}"));
    let plot = plot::render(results);
    for (ending, text) in [("md", markdown::render(results)), ("json", serde_json::to_string(results)? + "\n"), ("svg", plot)] {
        fs::write(file(ending), text).with_context(|| format!("{} cannot be written", file(ending).display()))?;
    }
    eprintln!("written: {}, .json, .svg", file("md").display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_inside_a_round() {
        let sample = |round, peer: &str, value| Sample {
            suite: "s".to_owned(),
            round,
            peer: peer.to_owned(),
            site: String::new(),
            figures: [("f".to_owned(), value)].into(),
        };
        let results = Results {
            machine: Vec::new(),
            versions: Vec::new(),
            rounds: 2,
            slice: 1.0,
            faults: Vec::new(),
            // The machine is twice as slow in the second round.
            samples: vec![sample(0, "a", 1.0), sample(0, "b", 2.0), sample(1, "a", 2.0), sample(1, "b", 4.0)],
        };
        assert_eq!(results.ratio("s", ("a", ""), ("b", ""), "f"), Some(Spread { median: 0.5, min: 0.5, max: 0.5 }));
        assert_eq!(results.spread("s", ("a", ""), "f"), Some(Spread { median: 1.5, min: 1.0, max: 2.0 }));
        assert_eq!(results.ratio("s", ("a", ""), ("c", ""), "f"), None);
    }

    #[test]
    fn the_readme_tells_the_last_run() {
        let results = include_str!("../results/latest.md");
        let table = results.split("\n\n").find(|block| block.starts_with("| suite | figure |")).unwrap_or("no table");
        assert!(include_str!("../README.md").contains(table), "bench/README.md has not the table of results/latest.md:\n{table}");
    }
}
