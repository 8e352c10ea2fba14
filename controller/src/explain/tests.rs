#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::CandidateStanding::{LessSpecific, NotServed, OtherHost, Overruled, Serves};
use super::*;
use crate::app::Lookout;
use crate::args::{Command, Options};

/// Explains a GET of this URL, by the manifests and with these flags.
async fn explained(manifests: &str, url: &str, flags: &[&str]) -> Explanation {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("all.yaml"), manifests).unwrap();
    let source = ["--manifests", root.path().to_str().unwrap()];
    let line = [&["tidegate", "explain", url], &source[..], flags].concat();
    let Command::Explain(options) = Options::parse_checked(line).unwrap().command else { panic!("not explain") };
    let question =
        Question { method: options.method, url: options.url, headers: options.header.into_iter().collect(), client: options.client };
    let reply = Lookout::open(&options.look).await.unwrap().page("/explain", Some(&question.query())).await.unwrap();
    serde_json::from_slice(&reply.body).unwrap()
}

const CLASS: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: tidegate}
spec: {controller: tidegate.dev/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: other}
spec: {controller: example.com/other}
";

/// An Ingress of a class. Rules are written `HOST/PATH TYPE SERVICE`; a rule without a path is the default backend.
fn ingress_of(class: &str, name: &str, metadata: &str, rules: &[&str]) -> String {
    let mut text = format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}{metadata}}}\nspec:\n  ingressClassName: {class}\n"
    );
    let backend = |service: &str| format!("{{service: {{name: {service}, port: {{number: 80}}}}}}");
    let mut list = String::new();
    for rule in rules {
        let words: Vec<_> = rule.split(' ').collect();
        let [place, kind, service] = words[..] else {
            text.push_str(&format!("  defaultBackend: {}\n", backend(rule)));
            continue;
        };
        let (host, path) = place.split_once('/').unwrap();
        let host = if host.is_empty() { String::new() } else { format!("host: '{host}', ") };
        list.push_str(&format!("  - {{{host}http: {{paths: [{{path: /{path}, pathType: {kind}, backend: {}}}]}}}}\n", backend(service)));
    }
    if !list.is_empty() {
        text.push_str("  rules:\n");
        text.push_str(&list);
    }
    text
}

fn ingress(name: &str, rules: &[&str]) -> String {
    ingress_of("tidegate", name, "", rules)
}

/// A Service with endpoints in these states: `ready`, `draining` or `down`; the word `no-slice` leaves the slice out.
fn service(name: &str, endpoints: &[&str]) -> String {
    let mut text = format!("---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]}}\n");
    if endpoints == ["no-slice"] {
        return text;
    }
    text.push_str(&format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{port: 8080}}]\nendpoints:\n"
    ));
    for (number, state) in endpoints.iter().enumerate() {
        let conditions = match *state {
            "ready" => "ready: true",
            "draining" => "ready: false, serving: true, terminating: true",
            _ => "ready: false",
        };
        text.push_str(&format!("- {{addresses: [10.0.0.{number}], conditions: {{{conditions}}}}}\n"));
    }
    if endpoints.is_empty() {
        text.push_str("[]\n");
    }
    text.replace("endpoints:\n[]", "endpoints: []")
}

fn all(parts: &[String]) -> String {
    format!("{CLASS}{}", parts.concat())
}

/// What becomes of each candidate: its object, its path and its standing.
fn standings(explanation: &Explanation) -> Vec<(String, String, CandidateStanding)> {
    explanation.candidates.iter().map(|c| (c.object.name.to_string(), format!("{} of {}", c.path, c.host), c.standing)).collect()
}

fn told(expected: &[(&str, &str, CandidateStanding)]) -> Vec<(String, String, CandidateStanding)> {
    expected.iter().map(|(object, path, standing)| ((*object).to_owned(), (*path).to_owned(), *standing)).collect()
}

#[tokio::test]
async fn the_older_object_wins_and_the_loser_is_told_why() {
    let created = |day: u8| format!(", creationTimestamp: '2026-01-0{day}T00:00:00Z'");
    let manifests = all(&[
        ingress_of("tidegate", "young", &created(2), &["a.test/x Prefix app"]),
        ingress_of("tidegate", "old", &created(1), &["a.test/x/ Prefix app", "a.test/ Prefix app", "a.test/x Prefix app"]),
        ingress_of("other", "foreign", "", &["a.test/x Prefix app"]),
        ingress("any", &["*.test/ Prefix app", "/x Prefix app"]),
        service("app", &["ready"]),
    ]);
    let explanation = explained(&manifests, "http://a.test/x/y", &[]).await;
    let expected = [
        ("old", "Prefix /x/ of a.test", Serves),
        ("old", "Prefix /x of a.test", Overruled),
        ("young", "Prefix /x of a.test", Overruled),
        ("old", "Prefix / of a.test", LessSpecific),
        ("any", "Prefix / of *.test", OtherHost),
        ("any", "Prefix /x of *", OtherHost),
        ("foreign", "Prefix /x of a.test", NotServed),
    ];
    assert_eq!(standings(&explanation), told(&expected), "{explanation}");
    let why = |at: usize| &*explanation.candidates[at].why;
    assert_eq!(why(1), "an earlier rule of the same object has this place");
    assert_eq!(why(2), "Ingress default/old has this place: it is older (2026-01-01T00:00:00Z, against 2026-01-02T00:00:00Z)");
    assert_eq!(why(3), "Prefix /x/ is more specific");
    assert!(why(4).contains("a.test is a more specific host than *.test"), "{}", why(4));
    assert_eq!(why(6), "its class other is of the controller example.com/other, which is not served here");
    assert!(explanation.candidates[0].place.as_ref().unwrap().contains("all.yaml:"), "{explanation}");
    assert_eq!(explanation.answer, by(AnsweredBy::Endpoint));
    assert!(explanation.diagnostics.iter().any(|found| found.diagnostic.code.as_str() == "path_conflict"), "{explanation}");
}

#[tokio::test]
async fn a_404_names_the_rule_that_comes_nearest_and_why_it_does_not_take_the_request() {
    let manifests = all(&[
        ingress("web", &["shop.test/cart Exact app", "shop.test/API/v1 Prefix app", "shop.test/img Prefix app", "*.wild.test/ Prefix app"]),
        ingress_of("other", "foreign", "", &["foreign.test/ Prefix app"]),
        ingress("split", &["*.split.test/deep Prefix app", "one.split.test/shallow Prefix app"]),
        service("app", &["ready"]),
    ]);
    for (url, reason, nearest, why) in [
        ("http://shop.test/cart/", "no_path", Some("Exact /cart"), "a trailing slash counts"),
        ("http://shop.test/cart/items", "no_path", Some("Exact /cart"), "nothing below it"),
        ("http://shop.test/api/v1/users", "no_path", Some("Prefix /API/v1"), "another case"),
        ("http://shop.test/imgs/1", "no_path", Some("Prefix /img"), "whole elements"),
        ("http://shop.test/crat", "no_path", Some("Exact /cart"), "spelt otherwise"),
        ("http://shop.test/", "no_path", Some("Prefix /img"), "another path"),
        ("http://sohp.test/", "no_host", Some("shop.test"), "spelt otherwise"),
        ("http://wild.test/", "no_host", Some("*.wild.test"), "not for wild.test itself"),
        ("http://a.b.wild.test/", "no_host", Some("*.wild.test"), "exactly one label"),
        ("http://nothing.example/", "no_host", None, ""),
    ] {
        let Explanation { answer, route, .. } = explained(&manifests, url, &[]).await;
        assert_eq!((answer.status, answer.reason.as_deref(), route), (Some(404), Some(reason), None), "{url}");
        let found = answer.nearest.as_ref().map(|nearest| nearest.path.as_deref().unwrap_or(&nearest.host));
        assert_eq!(found, nearest, "{url}: {answer:?}");
        assert!(answer.nearest.is_none_or(|nearest| nearest.why.contains(why)), "{url}");
    }
    let cause = |explanation: Explanation| explanation.answer.cause.unwrap();
    let foreign = cause(explained(&manifests, "http://foreign.test/", &[]).await);
    assert!(foreign.contains("Ingress default/foreign has a rule for it") && foreign.contains("example.com/other"), "{foreign}");
    let split = cause(explained(&manifests, "http://one.split.test/deep", &[]).await);
    assert!(split.contains("Ingress default/split has a rule for it (*.split.test Prefix /deep), but one.split.test is"), "{split}");
}

#[tokio::test]
async fn a_503_names_its_cause() {
    let protected = ", annotations: {nginx.ingress.kubernetes.io/auth-url: 'http://auth.test/'}";
    let manifests = all(&[
        ingress(
            "web",
            &[
                "a.test/gone Prefix gone",
                "a.test/bare Prefix bare",
                "a.test/empty Prefix empty",
                "a.test/down Prefix down",
                "a.test/one Prefix one",
            ],
        ),
        ingress_of("tidegate", "closed", protected, &["closed.test/ Prefix down"]),
        service("bare", &["no-slice"]),
        service("empty", &[]),
        service("down", &["down", "down"]),
        service("one", &["down"]),
    ]);
    for (url, reason, cause) in [
        ("http://a.test/gone", "no_service", "Service default/gone does not exist"),
        ("http://a.test/bare", "no_endpoints", "Service default/bare has no EndpointSlice"),
        ("http://a.test/empty", "no_endpoints", "have no endpoints; perhaps its selector matches no Pod"),
        ("http://a.test/down", "no_endpoints", "none of the 2 endpoints of Service default/down is ready"),
        ("http://a.test/one", "no_endpoints", "the only endpoint of Service default/one is not ready"),
        ("http://closed.test/", "protection_refused", "auth-url"),
    ] {
        let Explanation { answer, route, .. } = explained(&manifests, url, &[]).await;
        assert_eq!((answer.status, answer.reason.as_deref()), (Some(503), Some(reason)), "{url}");
        assert!(answer.cause.as_ref().unwrap().contains(cause), "{url}: {answer:?}");
        assert!(route.is_some(), "{url}");
    }
}

#[tokio::test]
async fn endpoints_are_shown_with_their_states_and_whether_they_are_used() {
    let states = |explanation: Explanation| {
        let endpoints = explanation.backend.unwrap().state.endpoints.into_iter();
        endpoints.map(|endpoint| format!("{} {}", endpoint.state.as_str(), endpoint.serves)).collect::<Vec<_>>()
    };
    let web = ingress("web", &["a.test/ Prefix app"]);
    let mixed = all(&[web.clone(), service("app", &["ready", "draining", "down"])]);
    assert_eq!(states(explained(&mixed, "http://a.test/", &[]).await), ["ready true", "draining false", "not_ready false"]);
    let leaving = all(&[web, service("app", &["draining", "down"])]);
    assert_eq!(states(explained(&leaving, "http://a.test/", &[]).await), ["draining true", "not_ready false"]);
}

#[tokio::test]
async fn redirects_are_followed_through_the_filters() {
    let root = ", annotations: {tidegate.dev/app-root: /home, tidegate.dev/force-ssl-redirect: 'true', tidegate.dev/proxy-body-size: 1k}";
    let manifests = all(&[ingress_of("tidegate", "web", root, &["a.test/ Prefix app"]), service("app", &["ready"])]);
    for (url, flags, status, location) in [
        ("http://a.test/", &[][..], Some(302), Some("http://a.test/home")),
        ("http://a.test/x?y", &[], Some(308), Some("https://a.test:8443/x?y")),
        ("http://a.test/x", &["--public-https-port", "443"], Some(308), Some("https://a.test/x")),
        ("https://a.test/x", &[], None, None),
        ("https://a.test/x", &["-H", "Content-Length: 1025", "-X", "POST"], Some(413), None),
        // A proxy that is trusted may say what its client used.
        ("http://a.test/x", &["-H", "X-Forwarded-Proto: https"], Some(308), Some("https://a.test:8443/x")),
        ("http://a.test/x", &["-H", "X-Forwarded-Proto: https", "--client", "10.0.0.1", "--trusted-proxy", "10.0.0.0/8"], None, None),
    ] {
        let explanation = explained(&manifests, url, flags).await;
        let AnswerFacts { status: found, location: to, .. } = &explanation.answer;
        assert_eq!((*found, to.as_deref()), (status, location), "{url} {flags:?}\n{explanation}");
        let answers = explanation.filters.iter().filter(|filter| filter.effect == FilterEffect::Answers).count();
        assert_eq!(answers, usize::from(status.is_some()), "{url}\n{explanation}");
        assert_eq!(explanation.filters.len(), 3, "{explanation}");
    }
}

#[tokio::test]
async fn default_backends_take_the_rest_in_their_order() {
    let manifests = all(&[
        ingress("own", &["a.test/x Prefix app", "rest"]),
        ingress("first", &["app"]),
        ingress("second", &["rest"]),
        service("app", &["ready"]),
        service("rest", &["ready"]),
    ]);
    let own = explained(&manifests, "http://a.test/y", &[]).await;
    let expected = [
        ("own", "default backend of a.test", Serves),
        ("second", "default backend of *", Overruled),
        ("first", "default backend of *", LessSpecific),
    ];
    assert_eq!(standings(&own), told(&expected), "{own}");
    assert_eq!(own.backend.unwrap().state.backend, "default/rest:80");
    let rest = explained(&manifests, "http://elsewhere.test/", &[]).await;
    assert_eq!(standings(&rest), told(&[("first", "default backend of *", Serves), ("second", "default backend of *", Overruled)]));
    let none = all(&[service("app", &["ready"])]);
    let flag = explained(&none, "http://a.test/", &["--default-backend", "default/app:80"]).await;
    assert_eq!((&*flag.candidates[0].field, flag.candidates[0].standing), ("--default-backend", Serves));
}

#[tokio::test]
async fn a_certificate_is_chosen_by_server_name_and_those_that_are_not_say_why() {
    let pem = |name: &str| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let secret = |name: &str, host: &str| {
        let (chain, key) = pem(host);
        let data = serde_json::json!({ "tls.crt": chain, "tls.key": key });
        format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\nstringData: {data}\n")
    };
    let with_tls = |name: &str, host: &str, secret: &str| {
        let web = ingress(name, &[&format!("{host}/{name} Prefix app")]);
        format!("{web}  tls: [{{hosts: ['{host}'], secretName: {secret}}}]\n")
    };
    let manifests = all(&[
        with_tls("one", "a.test", "good"),
        with_tls("two", "a.test", "late"),
        with_tls("wild", "*.test", "wild"),
        with_tls("broken", "b.test", "missing"),
        secret("good", "a.test"),
        secret("late", "a.test"),
        secret("wild", "*.test"),
        service("app", &["ready"]),
    ]);
    for (url, object, served_for, covers, others) in [
        ("https://A.test/one", "good", Some("a.test"), true, 1),
        ("https://c.test/", "wild", Some("*.test"), true, 0),
        ("https://b.test/broken", "wild", Some("*.test"), true, 1),
        ("https://elsewhere.example/", "default", None, false, 0),
        ("https://192.0.2.1/", "default", None, false, 0),
    ] {
        let explanation = explained(&manifests, url, &[]).await;
        let certificate = explanation.certificate.as_ref().unwrap();
        let CertificateFacts { object: found, served_for: name, covers: valid, others: lost, .. } = certificate;
        assert_eq!((&*found.name, name.as_deref(), *valid, lost.len()), (object, served_for, covers, others), "{url}\n{explanation}");
    }
    let explanation = explained(&manifests, "https://b.test/broken", &[]).await;
    assert_eq!(explanation.certificate.unwrap().others[0].why, "Secret default/missing does not exist; the default certificate is served");
    assert!(explanation.diagnostics.iter().any(|found| found.diagnostic.code.as_str() == "missing_secret"));
    assert!(explained(&manifests, "http://a.test/one", &[]).await.certificate.is_none(), "clear text shows none");
}

#[tokio::test]
async fn a_name_that_nobody_has_looked_up_is_not_called_a_503() {
    let away = "---\napiVersion: v1\nkind: Service\nmetadata: {name: away}\nspec: {type: ExternalName, externalName: db.example.com, ports: [{port: 80}]}\n";
    let manifests = all(&[ingress("web", &["a.test/ Prefix away"]), away.to_owned()]);
    let explanation = explained(&manifests, "http://a.test/", &[]).await;
    assert_eq!((explanation.answer.by, explanation.answer.status), (AnsweredBy::Unknown, None), "{explanation}");
    assert!(explanation.to_string().contains("db.example.com"), "{explanation}");
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_refused_with_its_reason() {
    let manifests = all(&[ingress("web", &["a.test/ Prefix app"]), service("app", &["ready"])]);
    for (url, flags, reason) in [("http://a.test/%zz", &[][..], "bad_path"), ("http://a.test/", &["-H", "Host: a b"], "bad_host")] {
        let answer = explained(&manifests, url, flags).await.answer;
        assert_eq!((answer.status, answer.reason.as_deref()), (Some(400), Some(reason)), "{url} {flags:?}");
    }
    let other = explained(&manifests, "http://b.test/", &["-H", "Host: a.test"]).await;
    assert_eq!(other.answer.by, AnsweredBy::Endpoint, "the header says which host");
}

#[tokio::test]
async fn parameters_that_are_missing_are_those_of_the_rules_own_class() {
    let class = |name: &str| {
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {name}}}\nspec:\n  \
             controller: tidegate.dev/ingress-controller\n  \
             parameters: {{apiGroup: tidegate.dev, kind: ClassParameters, name: of-{name}}}\n"
        )
    };
    let manifests =
        all(&[class("first"), class("second"), ingress_of("second", "web", "", &["a.test/ Prefix app"]), service("app", &["ready"])]);
    let explanation = explained(&manifests, "http://a.test/", &[]).await;
    assert_eq!(explanation.answer.reason.as_deref(), Some("no_class_parameters"), "{explanation}");
    assert!(explanation.answer.cause.as_ref().unwrap().contains("of-second does not exist"), "{explanation}");
    let found: Vec<_> = explanation.diagnostics.iter().map(|found| found.diagnostic.object.to_string()).collect();
    assert_eq!(found, ["IngressClass second"], "{explanation}");
}
