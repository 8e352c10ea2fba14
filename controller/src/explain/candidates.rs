//! Every rule that would take a request: the one that does, and those that do not, with the reason.

use std::sync::Arc;

use tidegate_proxy::forward::Foreseen;
use tidegate_proxy::model::{HostMatch, Origin};
use tidegate_proxy::table::{Host, Listener, Route};

use super::{Candidate, CandidateStanding, Known, matches_of, rule_host, words};
use crate::object::ObjectRef;
use crate::snapshot::Age;
use crate::translate::{Claim, Seniority, Standing};

/// Returns them all, the one that serves first.
pub(super) fn all(known: Known<'_>, listener: &Listener, foreseen: &Foreseen) -> Vec<Candidate> {
    let (Some(host), Some(path)) = (&foreseen.host, &foreseen.path) else { return Vec::new() };
    let search = Search { known, listener, host, path, chosen: foreseen.route.as_ref() };
    let mut found: Vec<_> = matches_of(host).iter().flat_map(|rules| search.of_host(rules)).collect();
    found.extend(search.of_fallback());
    found.extend(search.not_served());
    // The sort is stable: among equals the more specific host stays first, then the senior object.
    found.sort_by_key(|candidate| candidate.standing);
    found
}

struct Search<'a> {
    known: Known<'a>,
    listener: &'a Listener,
    host: &'a str,
    path: &'a str,
    chosen: Option<&'a Arc<Route>>,
}

impl<'a> Search<'a> {
    /// Looks at who wants something of one host.
    fn of_host(&self, rules: &HostMatch) -> Vec<Candidate> {
        let host = self.listener.hosts.get(self.host).filter(|_| rule_host(self.listener, self.host) == Some(rules));
        let mut taken: Vec<(&Origin, &Claim)> = Vec::new();
        let mut found = Vec::new();
        for (seniority, claims) in self.known.translator.host_claims(rules) {
            for claim in claims.routes.iter().chain(claims.without_rules.as_deref()) {
                if !claim.path.as_ref().is_none_or(|path| path.matches(self.path)) {
                    continue;
                }
                let Some(host) = host else {
                    found.extend(self.of_other_host(rules, seniority, claim));
                    continue;
                };
                let Some(winner) = place(host, claim) else { continue };
                let again = taken.iter().any(|(origin, other)| **origin == *claim.origin && same_place(other, claim));
                taken.push((&claim.origin, claim));
                let (standing, why) = if *winner.origin != *claim.origin {
                    if claim.standing == Standing::Implied {
                        continue;
                    }
                    (CandidateStanding::Overruled, self.overruled(rules, winner, seniority))
                } else if again {
                    (CandidateStanding::Overruled, "an earlier rule of the same object has this place".to_owned())
                } else if self.chosen.is_some_and(|chosen| Arc::ptr_eq(chosen, winner)) {
                    (CandidateStanding::Serves, "it is the most specific rule for this request".to_owned())
                } else {
                    let chosen = self.chosen.map_or_else(|| "no rule".to_owned(), |chosen| words::path(chosen.path.as_ref()));
                    let why = if winner.conditions.is_empty() {
                        format!("{chosen} is more specific")
                    } else {
                        "its conditions do not hold".to_owned()
                    };
                    (CandidateStanding::LessSpecific, why)
                };
                found.push(self.candidate(standing, rules, &seniority.reference, claim, why));
            }
        }
        found
    }

    fn of_other_host(&self, rules: &HostMatch, seniority: &Seniority, claim: &Claim) -> Option<Candidate> {
        let serving = rule_host(self.listener, self.host)?;
        let why = format!("{serving} is a more specific host than {rules}, and its rules alone count");
        (claim.standing == Standing::Written).then(|| self.candidate(CandidateStanding::OtherHost, rules, &seniority.reference, claim, why))
    }

    /// Looks at who wants to serve what nothing else takes.
    fn of_fallback(&self) -> Vec<Candidate> {
        let Some(fallback) = &self.listener.fallback else { return Vec::new() };
        let serves = self.chosen.is_some_and(|chosen| Arc::ptr_eq(chosen, fallback));
        let mut found = Vec::new();
        let mut winner: Option<&Seniority> = None;
        for (seniority, claim) in self.known.translator.fallback_claims() {
            let (standing, why) = match winner {
                Some(winner) => (CandidateStanding::Overruled, precedence(winner, seniority)),
                None if serves => (CandidateStanding::Serves, "no rule takes the request, and it is for all the rest".to_owned()),
                None => (CandidateStanding::LessSpecific, "a rule takes the request before it".to_owned()),
            };
            winner = winner.or(Some(seniority));
            found.push(self.candidate(standing, &HostMatch::Any, &seniority.reference, claim, why));
        }
        if winner.is_none() {
            let (standing, why) = if serves {
                (CandidateStanding::Serves, "no rule takes the request")
            } else {
                (CandidateStanding::LessSpecific, "a rule takes the request before it")
            };
            found.push(Candidate {
                standing,
                object: (*fallback.origin).clone(),
                host: HostMatch::Any.to_string(),
                path: words::path(None),
                field: "--default-backend".to_owned(),
                place: None,
                why: why.to_owned(),
            });
        }
        found
    }

    /// Looks at the Ingresses that have such a rule and are not served.
    fn not_served(&self) -> Vec<Candidate> {
        let matches = matches_of(self.host);
        let mut found = Vec::new();
        for (reference, entry) in self.known.snapshot.ingresses() {
            let Some(ingress) = entry.latest() else { continue };
            let rules = ingress.rules.iter().filter(|rule| matches.contains(&rule.host));
            let wanted: Vec<_> = rules
                .flat_map(|rule| rule.paths.iter().map(|path| (&rule.host, path)))
                .filter(|(_, rule)| rule.path.matches(self.path))
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let Some(why) = self.known.translator.left_out(self.known.snapshot, reference, entry) else { continue };
            found.extend(wanted.into_iter().map(|(host, rule)| Candidate {
                standing: CandidateStanding::NotServed,
                object: reference.origin(),
                host: host.to_string(),
                path: words::path(Some(&rule.path)),
                field: rule.field.to_string(),
                place: self.place_of(reference, &rule.field),
                why: why.clone(),
            }));
        }
        found
    }

    fn candidate(&self, standing: CandidateStanding, rules: &HostMatch, object: &ObjectRef, claim: &Claim, why: String) -> Candidate {
        Candidate {
            standing,
            object: (*claim.origin).clone(),
            host: rules.to_string(),
            path: words::path(claim.path.as_ref()),
            field: claim.field.to_string(),
            place: self.place_of(object, &claim.field),
            why,
        }
    }

    fn place_of(&self, object: &ObjectRef, field: &str) -> Option<String> {
        let (file, line) = self.known.snapshot.provenance(object)?.place_of(Some(field))?;
        Some(format!("{}:{line}", file.display()))
    }

    fn overruled(&self, rules: &HostMatch, winner: &Route, loser: &Seniority) -> String {
        let mut claimants = self.known.translator.host_claims(rules).map(|(seniority, _)| seniority);
        match claimants.find(|seniority| seniority.reference.origin() == *winner.origin) {
            Some(winner) => precedence(winner, loser),
            None => format!("{} has this place", winner.origin),
        }
    }
}

/// Returns who has the place that a claim wants.
fn place<'h>(host: &'h Host, claim: &Claim) -> Option<&'h Arc<Route>> {
    let Some(path) = &claim.path else { return host.default.as_ref() };
    let wanted = path.without_trailing_slash();
    host.routes.iter().find(|route| {
        route.conditions == claim.conditions && route.path.as_ref().is_some_and(|path| path.without_trailing_slash() == wanted)
    })
}

fn same_place(a: &Claim, b: &Claim) -> bool {
    let path = |claim: &Claim| claim.path.as_ref().map(|path| path.without_trailing_slash());
    path(a) == path(b) && a.conditions == b.conditions
}

/// Says why one object comes before another.
pub(super) fn precedence(winner: &Seniority, loser: &Seniority) -> String {
    let first = &winner.reference;
    match (&winner.age, &loser.age) {
        (Age::Created(a), Age::Created(b)) if a < b => format!("{first} has this place: it is older ({a}, against {b})"),
        (Age::Position(..), Age::Position(..)) if winner.age < loser.age => {
            format!("{first} has this place: it stands first in the manifests")
        }
        (Age::Created(a), Age::Created(b)) if a == b => format!("{first} has this place: both are of {a}, and its name comes first"),
        (Age::Created(_), Age::Position(..)) => format!("{first} has this place: it says when it was created, which comes first"),
        (Age::Created(_) | Age::Position(..), _) => format!("{first} has this place"),
    }
}
