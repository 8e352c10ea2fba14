//! What the client gets, why, and what is wrong with the objects that have a part in it.

use std::collections::BTreeSet;

use tidegate_proxy::error::Reason;
use tidegate_proxy::forward::Foreseen;
use tidegate_proxy::model::Origin;
use tidegate_proxy::table::Listener;

use super::{
    AnswerFacts, AnsweredBy, BackendFacts, Candidate, CandidateStanding, Explanation, Known, NearestRule, by, matches_of, nearest, words,
};
use crate::diagnostic::{Code, Finding};
use crate::object::{Kind, ObjectRef};
use crate::translate::class_of;

/// Says what the client gets, and why.
pub(super) fn answer(
    known: Known<'_>,
    listener: &Listener,
    foreseen: &Foreseen,
    candidates: &[Candidate],
    backend: Option<&BackendFacts>,
) -> AnswerFacts {
    let Some(answer) = &foreseen.answer else { return by(AnsweredBy::Endpoint) };
    let reason = answer.reason;
    let unasked = backend.and_then(|backend| backend.state.external_name.as_ref()).filter(|name| known.snapshot.resolution(name).is_none());
    if let (Reason::NoEndpoints, Some(name)) = (reason, unasked) {
        let cause = format!("the Service stands for the DNS name {name}, which a running instance looks up");
        return AnswerFacts { cause: Some(cause), ..by(AnsweredBy::Unknown) };
    }
    let location = answer.location.as_ref().map(|location| String::from_utf8_lossy(location.as_bytes()).into_owned());
    let nearest = nearest(listener, foreseen, reason);
    AnswerFacts {
        by: AnsweredBy::Tidegate,
        status: Some(answer.status.unwrap_or_else(|| reason.status()).as_u16()),
        reason: Some(reason.as_str().to_owned()),
        location,
        cause: Some(cause(known, foreseen, candidates, backend, reason)),
        nearest,
    }
}

fn nearest(listener: &Listener, foreseen: &Foreseen, reason: Reason) -> Option<NearestRule> {
    let host = foreseen.host.as_ref()?;
    if reason == Reason::NoHost {
        return nearest::by_host(listener, host);
    }
    (reason == Reason::NoPath).then(|| nearest::by_path(listener.hosts.get(host)?, foreseen.path.as_ref()?)).flatten()
}

/// Says in one sentence why no endpoint answers.
fn cause(known: Known<'_>, foreseen: &Foreseen, candidates: &[Candidate], backend: Option<&BackendFacts>, reason: Reason) -> String {
    let host = foreseen.host.as_deref().unwrap_or_default();
    let path = foreseen.path.as_deref().unwrap_or_default();
    let told = |code: &[Code]| told_of(known, candidates, code);
    let left =
        candidates.iter().find(|candidate| matches!(candidate.standing, CandidateStanding::NotServed | CandidateStanding::OtherHost));
    match reason {
        Reason::NoHost | Reason::NoPath if left.is_some() => {
            let whose = left.map_or_else(String::new, |left| {
                format!("{} has a rule for it ({} {}), but {}", left.object, left.host, left.path, left.why)
            });
            format!("no rule that is served takes it; {whose}")
        }
        Reason::NoHost => format!("no rule is for the host {host}, and there is no default backend"),
        Reason::NoPath => format!("no rule of the host {host} takes the path {path}, and there is no default backend"),
        Reason::NoService => told(&[Code::MissingService, Code::MissingServicePort, Code::InvalidBackend])
            .unwrap_or_else(|| "the rule's Service, or its port, does not exist".to_owned()),
        Reason::UnsupportedBackend => told(&[Code::UnsupportedBackend, Code::RefusedExternalName])
            .unwrap_or_else(|| "the rule's backend is of a kind that is not supported".to_owned()),
        Reason::NoEndpoints => backend
            .and_then(|backend| backend.state.problem.clone())
            .unwrap_or_else(|| "the Service has no endpoint that could serve".to_owned()),
        Reason::ProtectionRefused => told(&[Code::ProtectionRefused])
            .unwrap_or_else(|| "a protection of the rule is not understood, so that it refuses everything".to_owned()),
        Reason::NoClassParameters => class_of_rule(known, candidates)
            .and_then(|class| known.translator.diagnostics().find(|found| found.code == Code::MissingParameters && found.object == class))
            .map_or_else(|| "the parameters of the rule's class cannot be had".to_owned(), |found| found.message.to_string()),
        Reason::BadPath => "the path is malformed or ambiguous".to_owned(),
        Reason::BadHost => "the host is missing, malformed, or at odds with the URL".to_owned(),
        Reason::BodyTooLarge => "the body is larger than the rule allows".to_owned(),
        Reason::Redirect | Reason::HttpsRedirect => {
            let step = foreseen.steps.iter().find(|step| step.effect == tidegate_proxy::forward::Effect::Answers);
            step.map_or_else(|| "a filter answers".to_owned(), |step| format!("the rule says so: {}", words::filter(&step.filter)))
        }
        Reason::BadRequest
        | Reason::HttpOnHttps
        | Reason::UnknownCoding
        | Reason::TargetTooLong
        | Reason::HeadersTooLarge
        | Reason::HeaderTimeout
        | Reason::BodyTimeout
        | Reason::ConnectFailed
        | Reason::ConnectTimeout
        | Reason::UpstreamTls
        | Reason::UpstreamReset
        | Reason::ReadTimeout
        | Reason::SendTimeout
        | Reason::ClientGone
        | Reason::Internal => format!("the request cannot be served: {reason}"),
    }
}

/// Returns what a diagnostic says about the rule that takes the request: by its field, else about its object as a whole.
fn told_of(known: Known<'_>, candidates: &[Candidate], codes: &[Code]) -> Option<String> {
    let serving = candidates.first().filter(|candidate| candidate.standing == CandidateStanding::Serves)?;
    let of_code = || known.translator.diagnostics().filter(|found| codes.contains(&found.code) && found.object.origin() == serving.object);
    let at = of_code().find(|found| found.field.as_deref().is_some_and(|field| field.starts_with(&serving.field)));
    at.or_else(|| of_code().find(|found| found.field.as_deref().is_none_or(|field| !field.starts_with("spec.rules["))))
        .map(|found| found.message.to_string())
}

/// Returns the class of the Ingress whose rule takes the request.
fn class_of_rule(known: Known<'_>, candidates: &[Candidate]) -> Option<ObjectRef> {
    let serving = candidates.first().filter(|candidate| candidate.standing == CandidateStanding::Serves)?;
    let ingress = ObjectRef::new(Kind::Ingress, &serving.object.namespace, &serving.object.name);
    class_of(known.snapshot, &known.snapshot.ingress(&ingress)?.serving()?.class)
}

/// Returns what is wrong with the objects that have a part in an explanation, but for what is about other rules of them.
pub(super) fn findings(known: Known<'_>, explanation: &Explanation) -> Vec<Finding> {
    let Explanation { candidates, certificate, host, answer, backend, .. } = explanation;
    let mut objects: BTreeSet<Origin> = candidates.iter().map(|candidate| candidate.object.clone()).collect();
    if let Some(certificate) = certificate {
        objects.insert(certificate.object.clone());
        objects.extend(certificate.others.iter().map(|other| other.object.clone()));
    }
    if let Some((namespace, name)) = backend.as_ref().and_then(|backend| backend.state.backend.split_once('/')) {
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        objects.insert(Origin::new("Service", namespace, name));
    }
    if answer.reason.as_deref() == Some(Reason::NoClassParameters.as_str()) {
        objects.extend(class_of_rule(known, candidates).map(|class| class.origin()));
    }
    // Where nothing takes the request, what is wrong with any rule of the host may be why.
    let unmatched = answer.status == Some(404);
    if let Some(host) = host.as_ref().filter(|_| unmatched) {
        let claimants = matches_of(&host.asked)
            .into_iter()
            .flat_map(|host| known.translator.host_claims(&host).map(|(seniority, _)| seniority.reference.origin()).collect::<Vec<_>>());
        objects.extend(claimants);
    }
    let fields: Vec<&str> = candidates.iter().map(|candidate| &*candidate.field).collect();
    let about = |field: &str| unmatched || !field.starts_with("spec.rules[") || fields.iter().any(|known| field.starts_with(known));
    let relevant = known.translator.diagnostics().filter(|found| {
        let tls = found.field.as_deref().is_some_and(|field| field.starts_with("spec.tls["));
        objects.contains(&found.object.origin()) && found.field.as_deref().is_none_or(about) && (certificate.is_some() || !tls)
    });
    relevant.cloned().map(Finding::from).collect()
}
