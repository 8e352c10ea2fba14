//! What would become of a request, found out by the very steps that serve one, without sending it anywhere.

use std::sync::Arc;

use http::HeaderValue;
use http::request::Parts;

use super::facts::Facts;
use super::worker::Found;
use super::{Connection, host_field, rewritten_target};
use crate::error::Reason;
use crate::filter::{Answer, Filter, Flow};
use crate::table::{Backend, Route, Table};

/// What would become of a request.
#[derive(Debug)]
pub struct Foreseen {
    /// The host that it is looked up by; `None` where the request cannot be read.
    pub host: Option<String>,
    /// Its path in normal form; `None` where the request cannot be read.
    pub path: Option<String>,
    /// The route that takes it.
    pub route: Option<Arc<Route>>,
    /// The route's filters in the order in which they run.
    pub steps: Vec<Step>,
    /// The answer that the proxy makes itself; `None` where the request is sent to an endpoint.
    pub answer: Option<Answer>,
}

/// A filter, and what it does to the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The filter.
    pub filter: Filter,
    /// What it does.
    pub effect: Effect,
}

/// What a filter does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It lets the request on.
    Passes,
    /// It answers.
    Answers,
    /// It does not run: one before it answers.
    NotReached,
}

/// Finds out what a table makes of a request with a body of `body_bytes`. Endpoints are looked at as they are now, and not asked.
#[must_use]
pub fn foresee(table: &Table, connection: &Connection, parts: &Parts, body_bytes: u64) -> Foreseen {
    let facts = table.listener(&connection.listener).and_then(|listener| Facts::read(parts, &listener.limits).ok());
    let (host, path) = facts.map(|facts| (facts.host.into_owned(), facts.path.path.into_owned())).unzip();
    let mut foreseen = Foreseen { host, path, route: None, steps: Vec::new(), answer: None };
    foreseen.answer = foreseen.walk(table, connection, parts, body_bytes).err();
    foreseen
}

impl Foreseen {
    fn walk(&mut self, table: &Table, connection: &Connection, parts: &Parts, body_bytes: u64) -> Result<(), Answer> {
        let found = Found::find(table, connection, parts)?;
        let route = Arc::clone(self.route.insert(Arc::clone(&found.route)));
        self.steps = route.filters.iter().map(|filter| Step { filter: filter.clone(), effect: Effect::NotReached }).collect();
        let host = found.host()?;
        let mut exchange = found.exchange(parts, &host, Some(body_bytes));
        for step in &mut self.steps {
            step.effect = Effect::Passes;
            match step.filter.apply(&mut exchange) {
                Flow::Continue => {}
                Flow::Answer(answer) => {
                    step.effect = Effect::Answers;
                    return Err(answer);
                }
                Flow::Ask(call) => match call {},
            }
        }
        host_field(&found.facts, |authority| HeaderValue::from_str(authority).ok())?;
        rewritten_target(parts, &found.facts.path)?;
        match &route.backend {
            Backend::Forward(forward) if forward.upstream.endpoints().endpoints.is_empty() => Err(Answer::from(Reason::NoEndpoints)),
            Backend::Forward(_) => Ok(()),
            Backend::Unavailable(reason) => Err(Answer::from(*reason)),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use http::{Request, StatusCode};

    use super::*;
    use crate::filter::{Redirect, RedirectTarget, RedirectWhen};
    use crate::model::{CidrSet, Compatibility, Conditions, HostMap, HostMatch, Origin, PathMatch, Scheme};
    use crate::table::{HostBuilder, Listener};

    fn table(filters: Vec<Filter>) -> Table {
        let name = HostMatch::Exact("a.test".parse().unwrap());
        let mut host = HostBuilder::new(name.clone(), Compatibility::Native);
        let route = Route {
            origin: Arc::new(Origin::new("Ingress", "x", "web")),
            host: name.clone(),
            path: Some(PathMatch::Prefix("/shop".parse().unwrap())),
            conditions: Conditions::default(),
            compatibility: Compatibility::Native,
            filters: filters.into(),
            backend: Backend::Unavailable(Reason::NoService),
            series: Arc::default(),
        };
        host.add(Arc::new(route)).unwrap();
        let mut hosts = HostMap::default();
        hosts.set(&name, Some(Arc::new(host.build().unwrap())));
        let listener = Listener {
            name: "http".into(),
            address: ([127, 0, 0, 1], 0).into(),
            tls: None,
            public_port: None,
            public_https_port: None,
            proxy_protocol: CidrSet::default(),
            limits: Arc::default(),
            hosts,
            fallback: None,
        };
        Table { generation: 1, listeners: vec![listener], trusted_proxies: CidrSet::default() }
    }

    fn seen(table: &Table, host: &str, target: &str) -> Foreseen {
        let client = ([192, 0, 2, 1], 1).into();
        let connection = Connection {
            listener: "http".into(),
            peer: client,
            client,
            local_port: 80,
            scheme: Scheme::Http,
            server_name: None,
            tls_version: None,
        };
        let parts = Request::get(target).header("host", host).body(()).unwrap().into_parts().0;
        foresee(table, &connection, &parts, 0)
    }

    #[test]
    fn a_request_that_no_route_takes_says_how_far_it_came() {
        let table = table(Vec::new());
        for (host, target, found, reason) in [
            ("A.test:80", "/shop/../else", Some("/else"), Reason::NoPath),
            ("b.test", "/shop", Some("/shop"), Reason::NoHost),
            ("a.test", "/shop/%zz", None, Reason::BadPath),
            ("a.test", "/shop//x", Some("/shop/x"), Reason::NoService),
        ] {
            let foreseen = seen(&table, host, target);
            assert_eq!((foreseen.path.as_deref(), foreseen.answer.unwrap().reason), (found, reason), "{host} {target}");
            assert_eq!(foreseen.route.is_some(), reason == Reason::NoService);
        }
    }

    #[test]
    fn each_filter_says_what_it_does() {
        let redirect = |when| {
            let to = RedirectTarget::Path(HeaderValue::from_static("/x"));
            Filter::Redirect(Redirect { when, to, status: StatusCode::FOUND })
        };
        let table = table(vec![redirect(RedirectWhen::Root), redirect(RedirectWhen::Always), Filter::BodyLimit(1)]);
        let foreseen = seen(&table, "a.test:81", "/shop");
        let effects: Vec<_> = foreseen.steps.iter().map(|step| step.effect).collect();
        assert_eq!(effects, [Effect::Passes, Effect::Answers, Effect::NotReached]);
        let answer = foreseen.answer.unwrap();
        assert_eq!((answer.status, answer.location.unwrap().to_str().unwrap()), (Some(StatusCode::FOUND), "http://a.test:81/x"));
    }
}
