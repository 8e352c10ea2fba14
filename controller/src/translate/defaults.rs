//! What serves where nothing else does: the fallback route and the default certificate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use tidegate_proxy::model::{Certificate, Compatibility, Conditions, Scheme};
use tidegate_proxy::state::State;
use tidegate_proxy::table::Route;

use super::assemble::fallback_route;
use super::backends::{BackendKey, resolve_service};
use super::certificates;
use super::claim::{BackendClaim, Claim, FallbackClaim, FilterClaims, Seniority, Standing};
use super::findings::{Findings, Step};
use super::options::Options;
use crate::diagnostic::{Code, Diagnostic};
use crate::object::ObjectRef;
use crate::policy::Policy;
use crate::snapshot::Snapshot;

/// The fallback and the default certificate, and who wants to be them.
pub(super) struct Defaults {
    /// Ingresses that are only a default backend, the oldest first.
    claimants: BTreeMap<Seniority, Arc<FallbackClaim>>,
    /// What the flag names.
    flag: Option<Arc<FallbackClaim>>,
    flag_backend: Option<BackendKey>,
    named: Vec<ObjectRef>,
    self_signed: Arc<Certificate>,
    certificate: Arc<Certificate>,
    certificate_changed: bool,
    fallback_dirty: bool,
    http: Option<Arc<Route>>,
    https: Option<Arc<Route>>,
}

/// What a look at what flags name came to.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) findings: Vec<Diagnostic>,
    pub(super) taken: Option<BackendKey>,
    pub(super) released: Option<BackendKey>,
    pub(super) recheck: Option<(SystemTime, ObjectRef)>,
}

/// What settling came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settled {
    pub(super) certificate_changed: bool,
    pub(super) fallback_changed: bool,
}

impl Defaults {
    /// Starts with what flags give without any object.
    pub(super) fn new(options: &Options) -> Self {
        let backend = options.default_backend.as_ref().map(|backend| backend.service.clone());
        Self {
            claimants: BTreeMap::new(),
            flag: None,
            flag_backend: None,
            named: backend.into_iter().chain(options.default_certificate.clone()).collect(),
            self_signed: Arc::clone(&options.self_signed),
            certificate: Arc::clone(&options.self_signed),
            certificate_changed: true,
            fallback_dirty: true,
            http: None,
            https: None,
        }
    }

    /// Whether a flag names this object.
    pub(super) fn names(&self, object: &ObjectRef) -> bool {
        self.named.contains(object)
    }

    /// Replaces what an Ingress wants of the fallback.
    pub(super) fn replace_fallback(&mut self, before: Option<&Seniority>, now: Option<(&Seniority, &Arc<FallbackClaim>)>) {
        if let Some(seniority) = before {
            self.claimants.remove(seniority);
        }
        if let Some((seniority, claim)) = now {
            self.claimants.insert(seniority.clone(), Arc::clone(claim));
        }
        self.fallback_dirty = true;
    }

    /// Looks at the objects that flags name.
    pub(super) fn look(&mut self, snapshot: &Snapshot, options: &Options, now: SystemTime) -> Looked {
        let mut looked = Looked::default();
        self.look_at_backend(snapshot, options, &mut looked);
        self.look_at_certificate(snapshot, options, now, &mut looked);
        looked
    }

    fn look_at_backend(&mut self, snapshot: &Snapshot, options: &Options, looked: &mut Looked) {
        let Some(backend) = &options.default_backend else { return };
        let resolved = resolve_service(snapshot, options, &backend.service, backend.port.as_ref(), &Policy::default(), format_args!(""));
        // There is no field of an object at fault, but a flag.
        let finding =
            resolved.finding.map(|(code, _, message)| Diagnostic::of(&backend.service, code, format!("--default-backend: {message}")));
        looked.findings.extend(finding);
        if resolved.key != self.flag_backend {
            looked.taken.clone_from(&resolved.key);
            looked.released = std::mem::replace(&mut self.flag_backend, resolved.key);
        }
        let claim = flag_claim(&backend.service, resolved.claim);
        if self.flag.as_deref() != Some(&claim) {
            self.flag = Some(Arc::new(claim));
            self.fallback_dirty = true;
        }
    }

    fn look_at_certificate(&mut self, snapshot: &Snapshot, options: &Options, now: SystemTime, looked: &mut Looked) {
        let Some(secret) = &options.default_certificate else { return };
        let (certificate, problem) = certificates::find(snapshot, secret);
        if let Some((code, message)) = problem {
            let message = message.replace("the default certificate", "a self-signed certificate");
            looked.findings.push(Diagnostic::of(secret, code, format!("--default-certificate: {message}")));
        }
        if let Some(certificate) = &certificate {
            let (message, recheck) = certificates::expiry(certificate, now);
            looked.findings.extend(message.map(|message| Diagnostic::of(secret, Code::CertificateExpiry, message)));
            looked.recheck = recheck.map(|when| (when, secret.clone()));
        }
        let certificate = certificate.unwrap_or_else(|| Arc::clone(&self.self_signed));
        if !Arc::ptr_eq(&certificate, &self.certificate) {
            self.certificate = certificate;
            self.certificate_changed = true;
        }
    }

    /// Makes the fallback route anew where something of it changed.
    pub(super) fn settle(&mut self, state: &State, findings: &mut Findings) -> Settled {
        let fallback_changed = std::mem::take(&mut self.fallback_dirty);
        if fallback_changed {
            let mut claimants = self.claimants.iter();
            let oldest = claimants.next();
            let lost = claimants.map(|(loser, claim)| {
                let winner = oldest.map_or_else(String::new, |(winner, _)| winner.reference.to_string());
                let message = format!("{winner}, which takes precedence, already serves what no rule takes");
                Diagnostic::at(&loser.reference, Code::DefaultBackendConflict, &*claim.route.field, message)
            });
            findings.set(Step::Fallback, lost.collect());
            let claim = oldest.map(|(_, claim)| claim).or(self.flag.as_ref());
            let route = |scheme| claim.map(|claim| fallback_route(claim, scheme, state));
            self.http = route(Scheme::Http);
            let as_client = claim.is_some_and(|claim| claim.route.backend.is_as_client());
            self.https = if as_client { route(Scheme::Https) } else { self.http.clone() };
        }
        Settled { certificate_changed: std::mem::take(&mut self.certificate_changed), fallback_changed }
    }

    /// Returns who wants to serve the rest, the senior first.
    pub(super) fn claimants(&self) -> impl Iterator<Item = (&Seniority, &Claim)> {
        self.claimants.iter().map(|(seniority, claim)| (seniority, &claim.route))
    }

    /// Returns what serves requests that no host takes.
    pub(super) fn fallback(&self, scheme: Scheme) -> Option<&Arc<Route>> {
        match scheme {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
        }
    }

    /// Returns the certificate for names that no other is for.
    pub(super) fn certificate(&self) -> &Arc<Certificate> {
        &self.certificate
    }
}

/// The claim of `--default-backend`. A Service that is missing answers 503, as a path to it would.
fn flag_claim(service: &ObjectRef, backend: BackendClaim) -> FallbackClaim {
    let route = Claim {
        origin: Arc::new(service.origin()),
        path: None,
        conditions: Conditions::default(),
        filters: FilterClaims::default(),
        backend,
        field: "--default-backend".into(),
        standing: Standing::Written,
    };
    FallbackClaim { compatibility: Compatibility::Native, route }
}
