//! Hosts from claims, blind to the kinds of objects that make them.

use std::sync::Arc;

use tidegate_proxy::model::{Compatibility, HostMatch, Scheme};
use tidegate_proxy::observe::SeriesLabels;
use tidegate_proxy::state::State;
use tidegate_proxy::table::{Backend, Forward, Host, HostBuilder, Route};
use tidegate_proxy::upstream::UpstreamKey;

use super::claim::{BackendClaim, Claim, FallbackClaim, HostClaims, HttpsRedirect, Seniority, Standing};
use super::filters::Coverage;
use crate::diagnostic::{Code, Diagnostic};
use crate::few::Few;

/// What objects want of one host, the senior first.
pub(super) type Claimants = Few<Seniority, Arc<HostClaims>>;

/// A host of the table.
#[derive(Debug)]
pub(super) struct Assembled {
    /// For clients in clear text.
    pub(super) http: Arc<Host>,
    /// For clients under TLS; the same where nothing of it depends on the scheme.
    pub(super) https: Arc<Host>,
    pub(super) findings: Vec<Diagnostic>,
}

/// Assembles a host. `rules` is the host that its rules name: the same, but for a name that stands in for a wildcard.
pub(super) fn assemble(name: &HostMatch, rules: &HostMatch, claimants: &Claimants, coverage: Coverage, state: &State) -> Option<Assembled> {
    let wanted = wanted(claimants);
    let (oldest, claims) = wanted.first()?;
    let compatibility = claims.compatibility;
    let mixed = wanted.iter().filter(|(_, claims)| claims.compatibility != compatibility).map(|(seniority, claims)| {
        let message = format!(
            "the host {rules} follows the conventions of {} ({}), which takes precedence, and not those of this object's class ({})",
            oldest.reference,
            conventions(compatibility),
            conventions(claims.compatibility)
        );
        Diagnostic::of(&seniority.reference, Code::MixedCompatibility, message)
    });
    let mut findings: Vec<_> = mixed.collect();
    let place = Place { name, rules, compatibility, coverage, state };
    let http = place.build(Scheme::Http, &wanted, Some(&mut findings))?;
    let as_client = wanted
        .iter()
        .flat_map(|(_, claims)| claims.routes.iter().chain(claims.without_rules.as_deref()))
        .any(|claim| claim.backend.is_as_client());
    let https = if as_client { place.build(Scheme::Https, &wanted, None)? } else { Arc::clone(&http) };
    Some(Assembled { http, https, findings })
}

/// Whether a host's routes differ where TLS covers it.
pub(super) fn depends_on_coverage(claimants: &Claimants) -> bool {
    claimants.values().flat_map(|claims| claims.routes.iter()).any(|claim| claim.filters.https == HttpsRedirect::WhereCovered)
}

fn conventions(compatibility: Compatibility) -> &'static str {
    match compatibility {
        Compatibility::Native => "native",
        Compatibility::IngressNginx => "ingress-nginx",
    }
}

type Wanted<'a> = Vec<(&'a Seniority, &'a HostClaims)>;

/// Returns who has a say: those with rules, or else the senior of those that stand in for rules.
fn wanted(claimants: &Claimants) -> Wanted<'_> {
    let all = || claimants.iter().map(|(seniority, claims)| (seniority, &**claims));
    let with_rules: Wanted<'_> = all().filter(|(_, claims)| claims.without_rules.is_none()).collect();
    if with_rules.is_empty() { all().take(1).collect() } else { with_rules }
}

/// The place that routes are built for.
struct Place<'a> {
    name: &'a HostMatch,
    rules: &'a HostMatch,
    compatibility: Compatibility,
    coverage: Coverage,
    state: &'a State,
}

impl Place<'_> {
    fn build(&self, scheme: Scheme, wanted: &Wanted<'_>, mut findings: Option<&mut Vec<Diagnostic>>) -> Option<Arc<Host>> {
        let mut builder = HostBuilder::new(self.name.clone(), self.compatibility);
        // What was written comes before what merely follows from it, whoever is older.
        for standing in [Standing::Written, Standing::Implied] {
            for (seniority, claims) in wanted {
                for claim in claims.routes.iter().chain(claims.without_rules.as_deref()).filter(|claim| claim.standing == standing) {
                    let route = Arc::new(route(self, claim, scheme));
                    if let Err(conflict) = builder.add(route)
                        && standing == Standing::Written
                        && let Some(findings) = &mut findings
                    {
                        findings.push(lost(self.rules, seniority, claim, &conflict.winner));
                    }
                }
            }
        }
        match builder.build() {
            Ok(host) => Some(Arc::new(host)),
            Err(error) => {
                tracing::error!(host = %self.name, %error, "a host cannot be compiled; it is not served");
                None
            }
        }
    }
}

fn lost(host: &HostMatch, loser: &Seniority, claim: &Claim, winner: &Route) -> Diagnostic {
    let itself = *winner.origin.name == *loser.reference.name && winner.origin.namespace == loser.reference.namespace;
    let winner = if itself { "an earlier rule of this object".to_owned() } else { format!("{}, which takes precedence,", winner.origin) };
    match &claim.path {
        Some(path) => {
            let message = format!("{winner} already serves {path} of host {host}");
            Diagnostic::at(&loser.reference, Code::PathConflict, &*claim.field, message)
        }
        None => {
            let message = format!("{winner} already serves what no path of host {host} takes");
            Diagnostic::at(&loser.reference, Code::DefaultBackendConflict, &*claim.field, message)
        }
    }
}

fn route(place: &Place<'_>, claim: &Claim, scheme: Scheme) -> Route {
    let service = match &claim.backend {
        BackendClaim::Forward { service, .. } => Some(service),
        BackendClaim::Unavailable(_) => None,
    };
    Route {
        origin: Arc::clone(&claim.origin),
        host: place.rules.clone(),
        path: claim.path.clone(),
        conditions: claim.conditions.clone(),
        compatibility: place.compatibility,
        filters: claim.filters.for_host(place.coverage),
        backend: backend(&claim.backend, scheme, place.state),
        series: place.state.metrics.route(SeriesLabels::of(&claim.origin, place.rules, claim.path.as_ref(), service)),
    }
}

fn backend(claim: &BackendClaim, scheme: Scheme, state: &State) -> Backend {
    match claim {
        BackendClaim::Forward { backend, protocol, timeouts, service } => {
            let key = UpstreamKey { backend: Arc::clone(backend), protocol: protocol.for_scheme(scheme) };
            Backend::Forward(Forward { upstream: state.upstreams.get(&key), timeouts: *timeouts, service: Arc::clone(service) })
        }
        BackendClaim::Unavailable(reason) => Backend::Unavailable(*reason),
    }
}

/// Builds the route for requests that no host takes. It is of no host, so TLS covers it where the claim forces it alone.
pub(super) fn fallback_route(claim: &FallbackClaim, scheme: Scheme, state: &State) -> Arc<Route> {
    let place =
        Place { name: &HostMatch::Any, rules: &HostMatch::Any, compatibility: claim.compatibility, coverage: Coverage::Uncovered, state };
    Arc::new(route(&place, &claim.route, scheme))
}
