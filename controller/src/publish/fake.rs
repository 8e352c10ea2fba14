//! An API server for this room's tests: objects by path, resource versions and conflicts, and a record of what was asked.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

#[derive(Default)]
pub(super) struct FakeApi {
    objects: Mutex<BTreeMap<String, Value>>,
    requests: Mutex<Vec<(Method, String, Value)>>,
    /// Answers everything with this status while set.
    broken: Mutex<Option<StatusCode>>,
    /// Answers what has this in its path with 403.
    forbidden: Mutex<Option<String>>,
    /// How long an answer takes, after the request had its effect.
    delay: Mutex<Duration>,
}

impl FakeApi {
    pub(super) fn new() -> (Arc<Self>, Client) {
        let api = Arc::new(Self::default());
        let served = Arc::clone(&api);
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = Arc::clone(&served);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let (status, answer) = api.answer(&head.method, &head.uri, body);
                let delay = *api.delay.lock().unwrap();
                tokio::time::sleep(delay).await;
                Ok::<_, Infallible>(Response::builder().status(status).body(Full::new(Bytes::from(answer.to_string()))).unwrap())
            }
        });
        (api, Client::new(service, "default"))
    }

    pub(super) fn put(&self, path: &str, object: Value) {
        self.objects.lock().unwrap().insert(path.to_owned(), object);
    }

    pub(super) fn get(&self, path: &str) -> Option<Value> {
        self.objects.lock().unwrap().get(path).cloned()
    }

    pub(super) fn break_with(&self, status: Option<StatusCode>) {
        *self.broken.lock().unwrap() = status;
    }

    /// Answers everything below this part of a path with 403.
    pub(super) fn forbid(&self, part: Option<&str>) {
        *self.forbidden.lock().unwrap() = part.map(str::to_owned);
    }

    pub(super) fn answer_after(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    /// Returns what was asked since the last call, written or read.
    pub(super) fn requests(&self) -> Vec<String> {
        let requests = std::mem::take(&mut *self.requests.lock().unwrap());
        requests.into_iter().map(|(method, uri, _)| format!("{method} {uri}")).collect()
    }

    /// Returns what was written since the last call: method and path with query, and the body.
    pub(super) fn writes(&self) -> Vec<(String, Value)> {
        let requests = std::mem::take(&mut *self.requests.lock().unwrap());
        requests
            .into_iter()
            .filter(|(method, ..)| *method != Method::GET)
            .map(|(method, uri, body)| (format!("{method} {uri}"), body))
            .collect()
    }

    fn answer(&self, method: &Method, uri: &http::Uri, body: Value) -> (StatusCode, Value) {
        self.requests.lock().unwrap().push((method.clone(), uri.to_string(), body.clone()));
        if let Some(status) = *self.broken.lock().unwrap() {
            return failure(status);
        }
        if self.forbidden.lock().unwrap().as_ref().is_some_and(|part| uri.path().contains(part)) {
            return failure(StatusCode::FORBIDDEN);
        }
        let mut objects = self.objects.lock().unwrap();
        let path = uri.path().to_owned();
        let key = path.strip_suffix("/status").unwrap_or(&path).to_owned();
        let stamp = |mut object: Value, before: Option<&Value>| {
            let version = before.and_then(|before| before["metadata"]["resourceVersion"].as_str()?.parse().ok()).unwrap_or(0_u64) + 1;
            object["metadata"]["resourceVersion"] = json!(version.to_string());
            object
        };
        if method == Method::POST {
            let key = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
            if objects.contains_key(&key) {
                return failure(StatusCode::CONFLICT);
            }
            let object = stamp(body, None);
            objects.insert(key, object.clone());
            return (StatusCode::CREATED, object);
        }
        let Some(before) = objects.get(&key).cloned() else {
            if method == Method::GET && path.rsplit('/').next().is_some_and(|last| last.ends_with('s') && !last.contains('-')) {
                let items: Vec<_> =
                    objects.iter().filter(|(key, _)| key.contains(path.rsplit('/').next().unwrap())).map(|(_, object)| object).collect();
                return (
                    StatusCode::OK,
                    json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "1" }, "items": items }),
                );
            }
            return failure(StatusCode::NOT_FOUND);
        };
        if method == Method::GET {
            return (StatusCode::OK, before);
        }
        let object = if method == Method::PUT {
            if body["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"] {
                return failure(StatusCode::CONFLICT);
            }
            stamp(body, Some(&before))
        } else {
            let mut object = before.clone();
            for field in ["status", "series"] {
                object[field] = body[field].clone();
            }
            stamp(object, Some(&before))
        };
        objects.insert(key, object.clone());
        (StatusCode::OK, object)
    }
}

fn failure(status: StatusCode) -> (StatusCode, Value) {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": status.as_str(),
        "reason": status.canonical_reason().unwrap_or_default().replace(' ', ""), "code": status.as_u16()
    });
    (status, body)
}
