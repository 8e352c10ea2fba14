//! The findings that hold now: for the admin page, and as a metric by code.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;

use crate::diagnostic::{Code, Diagnostic};
use crate::reconcile::Outcome;

/// The findings that hold. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    holding: Arc<Mutex<BTreeSet<Diagnostic>>>,
}

impl Findings {
    /// Starts without findings, and registers the metric `tidegate_diagnostics`.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let findings = Self::default();
        registry.register_collector(Box::new(findings.clone()));
        findings
    }

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

    fn counts(&self) -> BTreeMap<Code, i64> {
        let mut counts: BTreeMap<Code, i64> = Code::ALL.iter().map(|code| (*code, 0)).collect();
        for diagnostic in self.lock().iter() {
            *counts.entry(diagnostic.code).or_default() += 1;
        }
        counts
    }

    /// Locks; each change is one step, so that a panic elsewhere leaves a whole set.
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Diagnostic>> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Findings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Findings about objects that hold now, by code";
        let mut metric = encoder.encode_descriptor("tidegate_diagnostics", help, None, MetricType::Gauge)?;
        for (code, count) in self.counts() {
            let severity = match code.severity() {
                crate::diagnostic::Severity::Warning => "warning",
                crate::diagnostic::Severity::Error => "error",
            };
            ConstGauge::new(count).encode(metric.encode_family(&[("code", code.as_str()), ("severity", severity)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::object::{Kind, ObjectRef};

    #[test]
    fn findings_are_counted_by_code_while_they_hold() {
        let mut registry = Registry::default();
        let findings = Findings::register(&mut registry);
        let finding = |name| Diagnostic::of(&ObjectRef::new(Kind::Ingress, "x", name), Code::InvalidHost, "bad");
        findings.take(&Outcome { raised: [finding("a"), finding("b")].into(), ..Outcome::default() });
        findings.take(&Outcome { cleared: [finding("a")].into(), ..Outcome::default() });
        assert_eq!(findings.all(), [finding("b")]);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("tidegate_diagnostics{code=\"invalid_host\",severity=\"error\"} 1"), "{text}");
        assert!(text.contains("tidegate_diagnostics{code=\"missing_service\",severity=\"error\"} 0"), "{text}");
    }
}
