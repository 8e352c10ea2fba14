//! Why a request is answered as it is: who takes it, who does not and why, and what stands in its way.
//!
//! What becomes of the request, the data plane says itself ([`tidegate_proxy::forward::foresee`]); what translation knows of who wanted
//! what is laid beside it. Nothing here matches a request by rules of its own.

mod candidates;
mod cause;
mod certificate;
mod facts;
mod nearest;
mod question;
mod text;
mod words;

use std::net::SocketAddr;

use tidegate_proxy::forward::{Effect, Foreseen, foresee};
use tidegate_proxy::model::HostMatch;
use tidegate_proxy::table::{Backend, Listener, Route, Table};

pub use facts::{
    AnswerFacts, AnsweredBy, AskedRequest, BackendFacts, Candidate, CandidateStanding, CertificateFacts, Explanation, FilterEffect,
    FilterFacts, HostFacts, ListenerFacts, NearestRule, OtherCertificate, RouteFacts,
};
pub use question::{Question, header, method, url};

use crate::snapshot::Snapshot;
use crate::translate::Translator;

/// What serves now, and all that is known of why.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What serves.
    pub table: &'a Table,
    /// The objects that it was made of.
    pub snapshot: &'a Snapshot,
    /// What was made of them.
    pub translator: &'a Translator,
}

/// Explains what becomes of a request. `bound` are the addresses that listeners have, where the system chose another than the table's.
#[must_use]
pub fn explain(known: Known<'_>, bound: &[(&'static str, SocketAddr)], question: &Question) -> Explanation {
    let nowhere = |problem: String| blank(known, question, AnswerFacts { cause: Some(problem), ..by(AnsweredBy::Tidegate) });
    let scheme = question.scheme();
    let Some(listener) = known.table.listeners.iter().find(|listener| listener.scheme() == scheme) else {
        return nowhere(format!("nothing listens for {}", scheme.as_str()));
    };
    let parts = match question.parts() {
        Ok(parts) => parts,
        Err(error) => return nowhere(format!("no client can send this: {error}")),
    };
    let address = bound.iter().find(|(name, _)| **name == *listener.name).map_or(listener.address, |(_, address)| *address);
    let foreseen = foresee(known.table, &question.connection(listener, address.port()), &parts, question.body_bytes());
    let candidates = candidates::all(known, listener, &foreseen);
    let backend = foreseen.route.as_deref().and_then(|route| backend(known, route));
    let certificate = listener.tls.as_ref().map(|tls| certificate::facts(known, tls, question.server_name()));
    let answer = cause::answer(known, listener, &foreseen, &candidates, backend.as_ref());
    let mut explanation = Explanation {
        listener: Some(ListenerFacts { name: listener.name.to_string(), address }),
        host: foreseen
            .host
            .as_ref()
            .map(|asked| HostFacts { asked: asked.clone(), rule: rule_host(listener, asked).map(ToString::to_string) }),
        path: foreseen.path.clone(),
        route: foreseen.route.as_deref().map(route_facts),
        filters: filters(&foreseen),
        candidates,
        backend,
        certificate,
        ..blank(known, question, answer)
    };
    explanation.diagnostics = cause::findings(known, &explanation);
    explanation
}

fn by(by: AnsweredBy) -> AnswerFacts {
    AnswerFacts { by, status: None, reason: None, location: None, cause: None, nearest: None }
}

fn blank(known: Known<'_>, question: &Question, answer: AnswerFacts) -> Explanation {
    let headers = question.headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    let request = AskedRequest { method: question.method.to_string(), url: question.url.to_string(), headers: headers.collect() };
    Explanation {
        request,
        generation: known.table.generation,
        listener: None,
        certificate: None,
        host: None,
        path: None,
        route: None,
        candidates: Vec::new(),
        filters: Vec::new(),
        backend: None,
        answer,
        diagnostics: Vec::new(),
    }
}

/// Returns the host whose rules stand for this one: the host itself, or the wildcard that it has a copy of.
fn rule_host<'t>(listener: &'t Listener, host: &str) -> Option<&'t HostMatch> {
    let host = listener.hosts.get(host)?;
    Some(host.routes.first().or(host.default.as_ref()).map_or(&host.name, |route| &route.host))
}

fn route_facts(route: &Route) -> RouteFacts {
    RouteFacts {
        object: (*route.origin).clone(),
        host: route.host.to_string(),
        path: words::path(route.path.as_ref()),
        service: match &route.backend {
            Backend::Forward(forward) => Some(format!("{}/{}", forward.service.namespace, forward.service.name)),
            Backend::Unavailable(_) => None,
        },
    }
}

fn filters(foreseen: &Foreseen) -> Vec<FilterFacts> {
    let facts = foreseen.steps.iter().map(|step| FilterFacts {
        filter: words::filter(&step.filter),
        effect: match step.effect {
            Effect::Passes => FilterEffect::Passes,
            Effect::Answers => FilterEffect::Answers,
            Effect::NotReached => FilterEffect::NotReached,
        },
    });
    facts.collect()
}

fn backend(known: Known<'_>, route: &Route) -> Option<BackendFacts> {
    let Backend::Forward(forward) = &route.backend else { return None };
    let key = &forward.upstream.key;
    Some(BackendFacts {
        protocol: words::protocol(key.protocol).to_owned(),
        state: known.translator.backend(known.snapshot, &key.backend)?,
    })
}

/// Returns every match that could stand for a host, the more specific first.
fn matches_of(host: &str) -> Vec<HostMatch> {
    let exact = host.parse().ok().map(HostMatch::Exact);
    let one = host.split_once('.').and_then(|(_, suffix)| suffix.parse().ok()).map(HostMatch::OneLabel);
    exact.into_iter().chain(one).chain([HostMatch::Any]).collect()
}

#[cfg(test)]
#[path = "explain/tests.rs"]
mod tests;
