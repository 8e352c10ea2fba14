//! Diagnostics by the place that found them, and what is new and what is gone since the last look.

use std::collections::{BTreeMap, HashMap};

use tidegate_proxy::model::HostMatch;

use crate::diagnostic::Diagnostic;
use crate::object::ObjectRef;

/// Which step of translation found something. A step that runs again replaces what it found before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Reading an object, a file or a kind.
    Reading(ObjectRef),
    /// Compiling an Ingress.
    Compiling(ObjectRef),
    /// The parameters of classes.
    Classes,
    /// What flags name.
    Defaults,
    /// Assembling a host.
    Host(HostMatch),
    /// Choosing the certificate of a host.
    Certificate(HostMatch),
    /// Choosing what serves the rest.
    Fallback,
    /// Finding the endpoints of a backend, by its name.
    Endpoints(std::sync::Arc<str>),
}

/// What has been found and still holds. The same finding may come from several steps; it is told once.
#[derive(Debug, Default)]
pub(super) struct Findings {
    by_step: HashMap<Step, Vec<Diagnostic>>,
    counts: BTreeMap<Diagnostic, usize>,
    /// Findings that were touched since the last look, with whether they held then.
    touched: BTreeMap<Diagnostic, bool>,
}

impl Findings {
    /// Sets what a step finds now.
    pub(super) fn set(&mut self, step: Step, found: Vec<Diagnostic>) {
        let before = if found.is_empty() { self.by_step.remove(&step) } else { self.by_step.insert(step, found.clone()) };
        for diagnostic in found {
            let count = self.counts.entry(diagnostic.clone()).or_default();
            self.touched.entry(diagnostic).or_insert(*count > 0);
            *count += 1;
        }
        for diagnostic in before.into_iter().flatten() {
            if let Some(count) = self.counts.get_mut(&diagnostic) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&diagnostic);
                }
                self.touched.entry(diagnostic).or_insert(true);
            }
        }
    }

    /// Returns what was raised and what was cleared since the last look.
    pub(super) fn take_difference(&mut self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let (mut raised, mut cleared) = (Vec::new(), Vec::new());
        for (diagnostic, held) in std::mem::take(&mut self.touched) {
            match (held, self.counts.contains_key(&diagnostic)) {
                (false, true) => raised.push(diagnostic),
                (true, false) => cleared.push(diagnostic),
                (true, true) | (false, false) => {}
            }
        }
        (raised, cleared)
    }

    /// Returns everything that holds, sorted.
    pub(super) fn all(&self) -> impl Iterator<Item = &Diagnostic> {
        self.counts.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;
    use crate::object::Kind;

    #[test]
    fn a_finding_of_two_steps_is_raised_once_and_cleared_with_the_last() {
        let object = ObjectRef::new(Kind::Ingress, "a", "b");
        let finding = Diagnostic::of(&object, Code::InvalidHost, "x");
        let mut findings = Findings::default();
        findings.set(Step::Classes, vec![finding.clone()]);
        findings.set(Step::Fallback, vec![finding.clone()]);
        assert_eq!(findings.take_difference(), (vec![finding.clone()], vec![]));
        findings.set(Step::Classes, vec![]);
        assert_eq!(findings.take_difference(), (vec![], vec![]));
        findings.set(Step::Fallback, vec![finding.clone()]);
        assert_eq!(findings.take_difference(), (vec![], vec![]), "finding it again is nothing new");
        findings.set(Step::Fallback, vec![]);
        assert_eq!(findings.take_difference(), (vec![], vec![finding]));
        assert_eq!(findings.all().count(), 0);
    }
}
