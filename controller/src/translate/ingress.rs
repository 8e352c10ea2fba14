//! One Ingress to its claims.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tidegate_proxy::error::Reason;
use tidegate_proxy::model::{Compatibility, Conditions, HostMatch, Origin, PathMatch};

use super::backends;
use super::certificates::{self, Twins};
use super::claim::{BackendClaim, Claim, Claims, FallbackClaim, FilterClaims, HostClaims, HttpsRedirect, Seniority, Standing};
use super::class::{ClassSettings, Ownership, ownership};
use super::filters::app_root;
use super::options::Options;
use super::redirects::{twin, twin_claim};
use crate::annotations::Verdict;
use crate::diagnostic::{Code, Diagnostic};
use crate::object::ObjectRef;
use crate::policy::Policy;
use crate::snapshot::{BackendRef, Entry, IngressObject, Snapshot};

/// What an Ingress comes to.
pub(super) enum Compiled {
    /// It is ours.
    Ours(Seniority, Claims),
    /// It is not; there may be something to say all the same.
    Foreign(Vec<Diagnostic>),
}

/// Compiles an Ingress: the version that counts, with what is wrong in the current one.
pub(super) fn compile(
    snapshot: &Snapshot,
    options: &Options,
    reference: &ObjectRef,
    entry: &Entry<IngressObject>,
    now: SystemTime,
) -> Compiled {
    // Whose it is, its newest readable version says: an Ingress that changes hands is let go at once.
    let (Some(latest), Some(serving)) = (entry.latest(), entry.serving()) else { return Compiled::Foreign(Vec::new()) };
    let class = match ownership(snapshot, options, &latest.class) {
        Ownership::Ours(class) => class,
        Ownership::Foreign => return Compiled::Foreign(Vec::new()),
        Ownership::MissingClass(name) => {
            let message = format!("IngressClass {name} does not exist");
            return Compiled::Foreign(vec![Diagnostic::at(reference, Code::MissingClass, "spec.ingressClassName", message)]);
        }
    };
    let mut findings = latest.findings.clone();
    if !Arc::ptr_eq(latest, serving) {
        let message = "this version cannot be served as written; the version before it keeps being served";
        findings.push(Diagnostic::of(reference, Code::InvalidObject, message));
    }
    let seniority = Seniority { age: serving.age.clone(), reference: reference.clone() };
    // Without any version that could be understood nothing is served: a setting that is not known may be the one that matters.
    if latest.verdict == Verdict::Abstain || matches!(serving.verdict, Verdict::KeepLastGood | Verdict::Abstain) {
        return Compiled::Ours(seniority, Claims { findings, ..Claims::default() });
    }
    let mut policy = Policy::clone(&serving.policy);
    // A protection that cannot be understood refuses, last good version or not.
    policy.refuse = policy.refuse.or(latest.policy.refuse);
    let mut compiler = Compiler::new(snapshot, options, reference, policy, &class);
    compiler.claims.findings = findings;
    compiler.rules(serving);
    compiler.default_backend(serving);
    compiler.twins();
    let twins = if compiler.policy.from_to_www_redirect.unwrap_or(false) { Twins::Redirect } else { Twins::Ignore };
    let Compiler { mut claims, hosts, compatibility, .. } = compiler;
    let host_claims = |Wanted { routes, without_rules }| Arc::new(HostClaims { compatibility, routes: routes.into(), without_rules });
    claims.hosts = hosts.into_iter().map(|(host, wanted)| (host, host_claims(wanted))).collect();
    let certificates::Outcome { claims: certificates, findings, recheck } = certificates::compile(snapshot, reference, serving, twins, now);
    claims.certificates = certificates.into_iter().map(|(host, claims)| (host, claims.into())).collect();
    claims.findings.extend(findings);
    claims.recheck = recheck;
    Compiled::Ours(seniority, claims)
}

/// What is wanted of one host so far.
#[derive(Default)]
struct Wanted {
    routes: Vec<Claim>,
    without_rules: Option<Box<Claim>>,
}

struct Compiler<'a> {
    snapshot: &'a Snapshot,
    options: &'a Options,
    reference: &'a ObjectRef,
    origin: Arc<Origin>,
    policy: Policy,
    filters: FilterClaims,
    compatibility: Compatibility,
    hosts: BTreeMap<HostMatch, Wanted>,
    claims: Claims,
}

impl<'a> Compiler<'a> {
    fn new(snapshot: &'a Snapshot, options: &'a Options, reference: &'a ObjectRef, policy: Policy, class: &ClassSettings) -> Self {
        let policy = policy.or(&class.defaults);
        Self {
            snapshot,
            options,
            reference,
            origin: Arc::new(reference.origin()),
            filters: FilterClaims::of(&policy),
            policy,
            compatibility: class.compatibility,
            hosts: BTreeMap::new(),
            claims: Claims::default(),
        }
    }

    fn backend(&mut self, backend: &BackendRef, field: fmt::Arguments<'_>) -> BackendClaim {
        let resolved = backends::resolve(self.snapshot, self.options, &self.reference.namespace, backend, &self.policy, field);
        if let Some(key) = resolved.key {
            self.claims.backends.insert(key, ());
        }
        let finding = resolved.finding.map(|(code, field, message)| Diagnostic::at(self.reference, code, field, message));
        self.claims.findings.extend(finding);
        resolved.claim
    }

    fn claim(&self, path: Option<PathMatch>, backend: BackendClaim, field: Arc<str>) -> Claim {
        let (origin, filters) = (Arc::clone(&self.origin), self.filters.clone());
        Claim { origin, path, conditions: Conditions::default(), filters, backend, field, standing: Standing::Written }
    }

    fn host(&mut self, host: &HostMatch) -> &mut Wanted {
        self.hosts.entry(host.clone()).or_default()
    }

    fn rules(&mut self, ingress: &IngressObject) {
        for rule in &ingress.rules {
            self.host(&rule.host);
            for path in &rule.paths {
                let backend = self.backend(&path.backend, format_args!("{}.backend", path.field));
                let claim = self.claim(Some(path.path.clone()), backend, Arc::clone(&path.field));
                self.host(&rule.host).routes.push(claim);
            }
        }
        for claims in self.hosts.values_mut() {
            claims.routes.extend(root_claim(&self.policy, &self.origin, &claims.routes));
        }
    }

    /// One with rules takes what its own hosts leave unmatched; one without is for all the rest.
    fn default_backend(&mut self, ingress: &IngressObject) {
        let Some(backend) = &ingress.default_backend else { return };
        let backend = self.backend(backend, format_args!("spec.defaultBackend"));
        let claim = self.claim(None, backend, "spec.defaultBackend".into());
        if ingress.only_default {
            let compatibility = self.compatibility;
            self.claims.fallback = Some(Arc::new(FallbackClaim { compatibility, route: claim }));
            return;
        }
        for claims in self.hosts.values_mut() {
            claims.routes.push(claim.clone());
        }
    }

    fn twins(&mut self) {
        if !self.policy.from_to_www_redirect.unwrap_or(false) {
            return;
        }
        let twins: Vec<_> = self.hosts.keys().filter_map(twin).map(|(host, twin)| (twin, twin_claim(&self.origin, host))).collect();
        for (twin, claim) in twins {
            self.hosts.entry(HostMatch::Exact(twin)).or_insert(Wanted { routes: Vec::new(), without_rules: Some(Box::new(claim)) });
        }
    }
}

/// `app-root` holds for all of a host, also where no path of the Ingress takes `/`.
fn root_claim(policy: &Policy, origin: &Arc<Origin>, routes: &[Claim]) -> Option<Claim> {
    let filter = app_root(policy)?;
    if routes.iter().any(|route| route.path.as_ref().is_some_and(|path| path.matches("/"))) {
        return None;
    }
    Some(Claim {
        origin: Arc::clone(origin),
        path: Some(PathMatch::Exact("/".parse().ok()?)),
        conditions: Conditions::default(),
        filters: FilterClaims { filters: vec![filter], https: HttpsRedirect::Never },
        backend: BackendClaim::Unavailable(Reason::NoPath),
        field: "metadata.annotations".into(),
        standing: Standing::Implied,
    })
}
