#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Mutex as StdMutex;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};

use super::received::LAST_APPLIED;
use super::*;

/// An API server that answers each path from a script, one answer a request; the last answer of a path stays.
#[derive(Default)]
struct Script {
    answers: StdMutex<HashMap<&'static str, VecDeque<Answer>>>,
    asked: StdMutex<Vec<String>>,
}

#[derive(Clone)]
enum Answer {
    /// A list, or a status.
    Json(u16, Value),
    /// Watch events, after which the stream stays open.
    Events(Vec<Value>),
}

impl Script {
    fn new(answers: &[(&'static str, &[Answer])]) -> Arc<Self> {
        let answers = answers.iter().map(|(path, answers)| (*path, answers.iter().cloned().collect())).collect();
        Arc::new(Self { answers: StdMutex::new(answers), asked: StdMutex::default() })
    }

    fn answer(&self, request: &Request<Body>) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        let query = request.uri().query().unwrap_or_default();
        self.asked.lock().unwrap().push(request.uri().to_string());
        let watch = query.contains("watch=true");
        let path = request.uri().path().rsplit('/').next().unwrap_or_default();
        let key = if watch { format!("watch {path}") } else { path.to_owned() };
        let mut answers = self.answers.lock().unwrap();
        let answer = answers.get_mut(&*key).and_then(|queue| if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() });
        let text = |value: &Value| Full::new(Bytes::from(value.to_string())).boxed_unsync();
        let stream = |events: &[Value]| {
            let lines: Vec<_> = events.iter().map(|event| Ok(Frame::data(Bytes::from(format!("{event}\n"))))).collect();
            StreamBody::new(futures_util::stream::iter(lines).chain(futures_util::stream::pending())).boxed_unsync()
        };
        match answer {
            Some(Answer::Json(status, body)) => Response::builder().status(status).body(text(&body)).unwrap(),
            Some(Answer::Events(events)) => Response::new(stream(&events)),
            None if watch => Response::new(stream(&[])),
            None => Response::new(text(&list(&[]))),
        }
    }

    /// Starts watches, and returns the events of one kind alone.
    fn watch(self: &Arc<Self>, namespaces: &[&str]) -> Events {
        let script = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = script.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let (sender, events) = mpsc::channel(1000);
        let namespaces: Vec<Arc<str>> = namespaces.iter().map(|&name| name.into()).collect();
        let watches = watch(&Client::new(service, "default"), &namespaces, &sender);
        Events { events, _watches: watches }
    }
}

struct Events {
    events: mpsc::Receiver<SourceEvent>,
    _watches: JoinSet<()>,
}

impl Events {
    /// The next event about a kind, in short.
    async fn next(&mut self, kind: Kind) -> String {
        let names = |objects: &[Object]| {
            let mut names: Vec<_> = objects.iter().map(short).collect();
            names.sort();
            names.join(" ")
        };
        loop {
            let event = tokio::time::timeout(Duration::from_secs(120), self.events.recv()).await.unwrap().unwrap();
            match event {
                SourceEvent::Apply(object) if object.reference.kind == kind => return format!("+{}", short(&object)),
                SourceEvent::Delete(name) if name.kind == kind => return format!("-{}", name.name),
                SourceEvent::Replace { kind: found, namespace, objects } if found == kind => {
                    return format!("{}: {}", namespace.as_deref().unwrap_or("*"), names(&objects));
                }
                SourceEvent::Unavailable { kind: found, reason } if found == kind => return format!("unavailable {reason}"),
                SourceEvent::Apply(_) | SourceEvent::Delete(_) | SourceEvent::Replace { .. } | SourceEvent::Unavailable { .. } => {}
                SourceEvent::File { .. } | SourceEvent::Resolved { .. } => panic!("a cluster has no files, and no names"),
            }
        }
    }
}

fn short(object: &Object) -> String {
    format!("{}{}", object.reference.name, if object.body.is_ok() { "" } else { "?" })
}

fn service(name: &str) -> Value {
    json!({ "metadata": { "name": name, "namespace": "x", "resourceVersion": "1" }, "spec": {} })
}

fn list(items: &[Value]) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "10" }, "items": items })
}

fn services(names: &[&str]) -> Answer {
    Answer::Json(200, list(&names.iter().map(|name| service(name)).collect::<Vec<_>>()))
}

fn status(code: u16, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "X", "code": code })
}

fn event(kind: &str, object: &Value) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = json!("v1");
    object["kind"] = json!("Service");
    json!({ "type": kind, "object": object })
}

fn gone() -> Value {
    json!({ "type": "ERROR", "object": status(410, "too old resource version") })
}

#[tokio::test(start_paused = true)]
async fn a_watch_lists_and_then_follows() {
    let events = [event("ADDED", &service("b")), event("DELETED", &service("a"))];
    let script = Script::new(&[("services", &[services(&["a"])]), ("watch services", &[Answer::Events(events.into())])]);
    let mut events = script.watch(&[]);
    for expected in ["*: a", "+b", "-a"] {
        assert_eq!(events.next(Kind::Service).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_fit_its_kind_costs_itself() {
    let bad = json!({ "metadata": { "name": "bad", "namespace": "x", "resourceVersion": "1" }, "spec": { "ports": "none" } });
    let script = Script::new(&[
        ("services", &[Answer::Json(200, list(&[service("a"), bad.clone()]))]),
        ("watch services", &[Answer::Events(vec![event("MODIFIED", &bad), event("ADDED", &service("b"))])]),
    ]);
    let mut events = script.watch(&[]);
    for expected in ["*: a bad?", "+bad?", "+b"] {
        assert_eq!(events.next(Kind::Service).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_whose_place_is_forgotten_begins_with_a_list() {
    for forgotten in [Answer::Events(vec![gone()]), Answer::Json(410, status(410, "gone"))] {
        let script = Script::new(&[
            ("services", &[services(&["a"]), services(&["a", "b"])]),
            ("watch services", &[forgotten, Answer::Events(vec![event("ADDED", &service("c"))])]),
        ]);
        let mut events = script.watch(&[]);
        for expected in ["*: a", "*: a b", "+c"] {
            assert_eq!(events.next(Kind::Service).await, expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_in_trouble_is_asked_again_and_nothing_is_told_meanwhile() {
    let broken = || Answer::Json(500, status(500, "etcd is away"));
    let script = Script::new(&[("services", &[broken(), Answer::Json(403, status(403, "forbidden")), broken(), services(&["a"])])]);
    let mut events = script.watch(&[]);
    let began = tokio::time::Instant::now();
    assert_eq!(events.next(Kind::Service).await, "*: a");
    assert!(began.elapsed() >= FIRST_PAUSE * 3, "with pauses: {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_loses_most_counts_only_once_it_is_confirmed() {
    let all = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let forgotten = || Answer::Events(vec![gone()]);
    let script = Script::new(&[
        // The second list is wrong, as the third says; the fourth is confirmed by the fifth.
        ("services", &[services(&all), services(&["a"]), services(&all), services(&["b"]), services(&["b"])]),
        ("watch services", &[forgotten(), forgotten(), Answer::Events(Vec::new())]),
    ]);
    let mut events = script.watch(&[]);
    for expected in ["*: a b c d e f g h", "*: a b c d e f g h", "*: b"] {
        assert_eq!(events.next(Kind::Service).await, expected);
    }
    let asked = script.asked.lock().unwrap();
    assert!(asked.iter().filter(|uri| uri.contains("/services?") && !uri.contains("watch")).all(|uri| !uri.contains("resourceVersion")));
}

#[tokio::test(start_paused = true)]
async fn a_list_of_few_objects_that_loses_most_is_confirmed_too() {
    for (all, left) in [(&["a"][..], &[][..]), (&["a", "b", "c", "d", "e"], &[]), (&["a", "b", "c"], &["b"])] {
        let script = Script::new(&[
            ("services", &[services(all), services(left), services(all)]),
            ("watch services", &[Answer::Events(vec![gone()]), Answer::Events(Vec::new())]),
        ]);
        let mut events = script.watch(&["x"]);
        let whole = format!("x: {}", all.join(" "));
        assert_eq!([events.next(Kind::Service).await, events.next(Kind::Service).await], [whole.clone(), whole], "{left:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_class_kind_that_is_not_there_is_unavailable_until_it_is() {
    let missing = || Answer::Json(404, status(404, "no such resource"));
    let class = json!({ "metadata": { "name": "p" }, "spec": {} });
    let script = Script::new(&[("classparameters", &[missing(), missing(), Answer::Json(200, list(&[class]))])]);
    let mut events = script.watch(&[]);
    assert!(
        events
            .next(Kind::ClassParameters)
            .await
            .starts_with("unavailable the API server does not know ClassParameters of tidegate.dev/v1alpha1")
    );
    events.next(Kind::ClassParameters).await;
    assert_eq!(events.next(Kind::ClassParameters).await, "*: p");
}

#[tokio::test(start_paused = true)]
async fn a_class_kind_is_unavailable_only_once_it_is_refused_again_and_again() {
    let refused = || Answer::Json(403, status(403, "forbidden"));
    let class = json!({ "metadata": { "name": "c" }, "spec": {} });
    let there = || Answer::Json(200, list(std::slice::from_ref(&class)));
    // An API server that has just started refuses for a moment.
    let script = Script::new(&[("ingressclasses", &[refused(), refused(), there()])]);
    assert_eq!(script.watch(&[]).next(Kind::IngressClass).await, "*: c");
    let script = Script::new(&[("ingressclasses", &[refused(), refused(), refused(), there()])]);
    let mut events = script.watch(&[]);
    assert_eq!(events.next(Kind::IngressClass).await, "unavailable forbidden (HTTP 403)");
    assert_eq!(events.next(Kind::IngressClass).await, "*: c");
}

#[tokio::test(start_paused = true)]
async fn several_namespaces_are_listed_each_for_itself_and_classes_once() {
    let script = Script::new(&[("services", &[services(&["a"])])]);
    let mut events = script.watch(&["x", "y"]);
    let mut both = [events.next(Kind::Service).await, events.next(Kind::Service).await];
    both.sort();
    assert_eq!(both, ["x: a", "y: a"]);
    let asked = script.asked.lock().unwrap();
    assert!(asked.iter().any(|uri| uri.contains("/namespaces/y/secrets")) && asked.iter().any(|uri| uri.contains("/v1/ingressclasses")));
}

#[tokio::test(start_paused = true)]
async fn a_secret_travels_without_its_copy_and_only_some_types_are_asked_for() {
    let secret = json!({
        "metadata": { "name": "s", "namespace": "x", "annotations": { LAST_APPLIED: "the key", "other": "1" }, "managedFields": [{}] },
        "data": { "tls.key": "eA==" }
    });
    let script = Script::new(&[("secrets", &[Answer::Json(200, list(&[secret]))])]);
    let mut events = script.watch(&[]);
    let found = loop {
        if let SourceEvent::Replace { kind: Kind::Secret, objects, .. } = events.events.recv().await.unwrap() {
            break objects;
        }
    };
    let Ok(crate::object::Body::Secret(secret)) = &found[0].body else { panic!("a Secret") };
    assert_eq!(secret.0.metadata.annotations.as_ref().unwrap().keys().collect::<Vec<_>>(), ["other"]);
    assert!(secret.0.metadata.managed_fields.is_none());
    let asked = script.asked.lock().unwrap();
    let list = asked.iter().find(|uri| uri.contains("/secrets?")).unwrap();
    assert!(list.contains("fieldSelector=type") && list.contains("helm.sh"), "{list}");
}

#[test]
fn what_else_is_told_of_an_object_comes_with_it() {
    let metadata = json!({ "name": "p", "uid": "u-1", "generation": 7 });
    let page = list(&[json!({ "metadata": metadata, "spec": {} })]).to_string();
    let [object] = &read_list(Kind::ClassParameters, page.as_bytes()).unwrap()[..] else { panic!("one object") };
    assert_eq!(object.provenance.uid().as_deref(), Some("u-1"), "Events name it");
    let Ok(crate::object::Body::ClassParameters(parameters)) = &object.body else { panic!("parameters") };
    assert_eq!(parameters.metadata.generation, Some(7), "a condition says which version was judged");
}
