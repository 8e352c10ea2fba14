//! An explanation for people.

use std::fmt::{self, Display, Formatter};

use super::{AnswerFacts, AnsweredBy, Candidate, CandidateStanding, Explanation, FilterEffect};

/// Writes a part with its name in front, further lines below the first.
fn part(f: &mut Formatter<'_>, name: &str, lines: &[String]) -> fmt::Result {
    for (number, line) in lines.iter().enumerate() {
        let name = if number == 0 { name } else { "" };
        writeln!(f, "{name:<13}{line}")?;
    }
    Ok(())
}

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            request,
            generation: _,
            listener,
            certificate: _,
            host,
            path,
            route,
            candidates,
            filters: _,
            backend: _,
            answer,
            diagnostics,
        } = self;
        writeln!(f, "{} {}", request.method, request.url)?;
        for header in &request.headers {
            writeln!(f, "{header}")?;
        }
        writeln!(f)?;
        part(f, "listener", &listener.iter().map(|listener| format!("{} at {}", listener.name, listener.address)).collect::<Vec<_>>())?;
        part(f, "certificate", &self.certificate_lines())?;
        part(
            f,
            "host",
            &host
                .iter()
                .map(|host| match &host.rule {
                    Some(rule) if *rule == host.asked => host.asked.clone(),
                    Some(rule) => format!("{}, by rules for {rule}", host.asked),
                    None => format!("{}, which no rule is for", host.asked),
                })
                .collect::<Vec<_>>(),
        )?;
        part(f, "path", &path.iter().cloned().collect::<Vec<_>>())?;
        part(
            f,
            "rule",
            &route
                .iter()
                .map(|route| {
                    let place = candidates.first().filter(|candidate| candidate.standing == CandidateStanding::Serves);
                    let place =
                        place.map(|candidate| format!(" ({})", candidate.place.as_deref().unwrap_or(&candidate.field))).unwrap_or_default();
                    format!("{} of {}{place}", route.path, route.object)
                })
                .collect::<Vec<_>>(),
        )?;
        part(f, "filters", &self.filter_lines())?;
        part(f, "backend", &self.backend_lines())?;
        part(f, "answer", &answer_lines(answer))?;
        let others: Vec<_> = candidates.iter().filter(|candidate| candidate.standing != CandidateStanding::Serves).collect();
        if !others.is_empty() {
            writeln!(f, "\nOther rules that would take it:")?;
            for Candidate { standing: _, object, host, path, field, place, why } in others {
                let place = place.as_deref().unwrap_or(field);
                writeln!(f, "  {object}: {path} of {host} ({place})\n    {why}")?;
            }
        }
        if !diagnostics.is_empty() {
            writeln!(f, "\nWhat is wrong with these objects:")?;
            for finding in diagnostics {
                writeln!(f, "  {}\n    {}", finding.diagnostic, finding.help)?;
            }
        }
        Ok(())
    }
}

impl Explanation {
    fn certificate_lines(&self) -> Vec<String> {
        let Some(certificate) = &self.certificate else { return Vec::new() };
        let whose = match &certificate.served_for {
            Some(name) => format!("{}, for {name}", certificate.object),
            None => format!("{}, for names without one of their own", certificate.object),
        };
        let mut lines = vec![whose];
        // A certificate that is made at every start says nothing by its end.
        if certificate.object.kind.as_ref() != "SelfSigned" {
            lines.push(format!("valid for {} until {}", certificate.names.join(", "), certificate.not_after));
        }
        if !certificate.covers {
            lines.push("it is NOT valid for this name: clients that verify it go away".to_owned());
        }
        lines.extend(certificate.others.iter().map(|other| format!("not that of {} ({}): {}", other.object, other.field, other.why)));
        lines
    }

    fn filter_lines(&self) -> Vec<String> {
        let line = |facts: &super::FilterFacts| {
            let effect = match facts.effect {
                FilterEffect::Passes => "passes",
                FilterEffect::Answers => "ANSWERS",
                FilterEffect::NotReached => "not reached",
            };
            format!("{}: {effect}", facts.filter)
        };
        self.filters.iter().map(line).collect()
    }

    fn backend_lines(&self) -> Vec<String> {
        let Some(backend) = &self.backend else {
            return self.route.iter().filter_map(|route| route.service.as_ref().map(|service| format!("Service {service}"))).collect();
        };
        let name = backend.state.external_name.as_ref().map(|name| format!(", the DNS name {name}")).unwrap_or_default();
        let mut lines = vec![format!("Service {} over {}{name}", backend.state.backend, backend.protocol)];
        lines.extend(backend.state.endpoints.iter().map(|endpoint| {
            let name = if endpoint.name.is_empty() { String::new() } else { format!(" {}", endpoint.name) };
            let unused = if endpoint.serves { "" } else { ", gets no requests" };
            format!("  {}{name}: {}{unused}", endpoint.address, endpoint.state.as_str().replace('_', " "))
        }));
        lines.extend(backend.state.problem.iter().map(|problem| format!("  {problem}")));
        lines
    }
}

fn answer_lines(answer: &AnswerFacts) -> Vec<String> {
    let AnswerFacts { by, status, reason, location, cause, nearest } = answer;
    let mut lines = vec![match (by, status) {
        (AnsweredBy::Endpoint, _) => "an endpoint's".to_owned(),
        (AnsweredBy::Unknown, _) => "not known".to_owned(),
        (AnsweredBy::Tidegate, None) => "none".to_owned(),
        (AnsweredBy::Tidegate, Some(status)) => {
            let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let location = location.as_ref().map(|location| format!(" to {location}")).unwrap_or_default();
            format!("{status}{reason}{location}, by Tidegate itself")
        }
    }];
    lines.extend(cause.clone());
    if let Some(nearest) = nearest {
        lines.push(match &nearest.path {
            Some(path) => format!("the nearest rule is {path} of {} ({}): {}", nearest.host, nearest.object, nearest.why),
            None => format!("the nearest host is {} ({}): {}", nearest.host, nearest.object, nearest.why),
        });
    }
    lines
}
