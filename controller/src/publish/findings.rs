//! The findings that hold now: for the admin page, and as a metric by code.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_proxy::observe::{Exposition, Family, FamilyKind, Growth, Unit};
use tokio::sync::mpsc;

use crate::diagnostic::{Code, Diagnostic};
use crate::reconcile::Outcome;

static DIAGNOSTICS: Family = Family {
    name: "tidegate_diagnostics",
    kind: FamilyKind::Gauge,
    labels: &["code", "severity"],
    unit: Unit::One,
    help: "Findings about objects that hold now, by code",
    series: Growth::Fixed(Code::ALL.len()),
};

/// The findings that hold. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    holding: Arc<Mutex<BTreeSet<Diagnostic>>>,
}

impl Findings {
    /// The families that [`Findings::write`] writes.
    pub const FAMILIES: &'static [&'static Family] = &[&DIAGNOSTICS];

    /// Takes in what changed.
    pub fn take(&self, outcome: &Outcome) {
        let mut holding = self.lock();
        for diagnostic in outcome.cleared.iter() {
            holding.remove(diagnostic);
        }
        holding.extend(outcome.raised.iter().cloned());
    }

    /// Takes in outcomes until they end.
    pub async fn follow(self, mut outcomes: mpsc::UnboundedReceiver<Arc<Outcome>>) {
        while let Some(outcome) = outcomes.recv().await {
            self.take(&outcome);
        }
    }

    /// Returns all of them, sorted by object.
    #[must_use]
    pub fn all(&self) -> Vec<Diagnostic> {
        self.lock().iter().cloned().collect()
    }

    /// Writes how many there are, by code.
    pub fn write(&self, out: &mut Exposition) {
        let mut counts: BTreeMap<Code, usize> = Code::ALL.iter().map(|code| (*code, 0)).collect();
        for diagnostic in self.lock().iter() {
            *counts.entry(diagnostic.code).or_default() += 1;
        }
        let mut samples = out.family(&DIAGNOSTICS);
        for (code, count) in counts {
            samples.sample(&[code.as_str(), code.severity().as_str()], count);
        }
    }

    /// Locks; each change is one step, so that a panic elsewhere leaves a whole set.
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Diagnostic>> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Kind, ObjectRef};

    #[test]
    fn findings_are_counted_by_code_while_they_hold() {
        let findings = Findings::default();
        let finding = |name| Diagnostic::of(&ObjectRef::new(Kind::Ingress, "x", name), Code::InvalidHost, "bad");
        findings.take(&Outcome { raised: [finding("a"), finding("b")].into(), ..Outcome::default() });
        findings.take(&Outcome { cleared: [finding("a")].into(), ..Outcome::default() });
        assert_eq!(findings.all(), [finding("b")]);
        let mut out = Exposition::default();
        findings.write(&mut out);
        let text = out.into_text();
        assert!(text.contains("tidegate_diagnostics{code=\"invalid_host\",severity=\"error\"} 1"), "{text}");
        assert!(text.contains("tidegate_diagnostics{code=\"missing_service\",severity=\"error\"} 0"), "{text}");
    }
}
