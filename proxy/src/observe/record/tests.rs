//! What is counted and written of a request, whatever becomes of it.

use super::*;
use crate::model::{HostMatch, PathMatch};
use crate::observe::logger::tests::told;
use crate::observe::{Logger, Metrics, SeriesLabels};
use http::{HeaderValue, Version};
use std::sync::mpsc::Receiver;

struct Case {
    logger: Logger,
    told: Receiver<Vec<u8>>,
    observer: Rc<Observer>,
}

fn case(format: &str) -> Case {
    let (logger, told) = told(format);
    let observer = logger.observer();
    Case { logger, told, observer }
}

impl Case {
    fn begin(&self, request: http::request::Builder) -> Record {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let client = ClientFacts {
            client: ([192, 0, 2, 7], 1234).into(),
            listener: &"https".into(),
            local_port: 8443,
            scheme: Scheme::Https,
            server_name: Some(&"shop.example".into()),
            tls_version: Some("TLSv1.3"),
        };
        Record::begin(&self.observer, client, &parts)
    }

    /// Ends the log and returns its lines.
    fn lines(self) -> String {
        let Self { logger, told, observer } = self;
        drop(observer);
        logger.close();
        String::from_utf8(told.iter().flatten().collect()).unwrap()
    }
}

fn get(target: &str) -> http::request::Builder {
    http::Request::get(target).header("host", "Shop.Example:8443")
}

fn series(metrics: &Metrics) -> Arc<RouteSeries> {
    let path = PathMatch::Prefix("/cart".parse().unwrap());
    let origin = Arc::new(Origin::new("Ingress", "shop", "web"));
    metrics.route(SeriesLabels::of(&origin, &HostMatch::of_ingress("shop.example").unwrap(), Some(&path), None))
}

/// Replaces what time makes of a line.
fn without_times(line: &str) -> String {
    let time = |word: &str| word.parse::<f64>().is_ok() && word.split_once('.').is_some_and(|(_, after)| after.len() == 3);
    line.split(' ').map(|word| if time(word.trim_end_matches(',')) { "T" } else { word }).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_text_line_has_the_fields_of_ingress_nginx_in_their_order() {
    let case = case("text");
    let mut record = case.begin(get("/cart/1?x=2").header("user-agent", "curl/8").header("referer", "https://a.b/"));
    record.route(&series(record.observer().metrics()));
    record.service(&Arc::new(Origin::new("Service", "shop", "cart:80")));
    record.request_id(|| Some(HeaderValue::from_static("abc")));
    record.attempt(([10, 0, 0, 1], 80).into(), &"cart-1".into(), Instant::now());
    record.attempt(([10, 0, 0, 2], 80).into(), &"cart-2".into(), Instant::now());
    record.answered(StatusCode::OK);
    record.status(StatusCode::OK);
    record.received(11);
    record.sent(5);
    record.finish();
    drop(record);
    let lines = case.lines();
    let (before, after) = lines.split_once('[').unwrap();
    let (_time, after) = after.split_once(']').unwrap();
    assert_eq!(before, "192.0.2.7 - - ");
    let head = "GET /cart/1?x=2 HTTP/1.1\r\nhost: Shop.Example:8443\r\nuser-agent: curl/8\r\nreferer: https://a.b/\r\n\r\n".len();
    let wanted = format!(
        " \"GET /cart/1?x=2 HTTP/1.1\" 200 5 \"https://a.b/\" \"curl/8\" {} T [shop-cart-80] [] 10.0.0.1:80, 10.0.0.2:80 0, 5 T T 502, 200 abc\n",
        head + 11
    );
    assert_eq!(without_times(after), wanted);
}

#[test]
fn the_json_line_has_the_same_facts_under_stable_keys() {
    let case = case("json");
    let mut record = case.begin(get("/cart\u{e9}?x").header("user-agent", HeaderValue::from_bytes(b"\xff\"").unwrap()));
    record.route(&series(record.observer().metrics()));
    record.attempt(([10, 0, 0, 1], 80).into(), &"cart-1".into(), Instant::now());
    record.reason(Reason::ConnectFailed);
    record.reason(Reason::Internal);
    record.status(StatusCode::BAD_GATEWAY);
    record.finish();
    drop(record);
    let line: serde_json::Value = serde_json::from_str(&case.lines()).unwrap();
    let wanted = serde_json::json!({
        "client.ip": "192.0.2.7", "scheme": "https", "protocol": "HTTP/1.1", "tls_version": "TLSv1.3", "server_name": "shop.example",
        "method": "GET", "host": "shop.example", "target": "/cart\u{e9}?x", "status": 502, "reason": "connect_failed",
        "route": {"kind": "Ingress", "namespace": "shop", "name": "web", "host": "shop.example", "path": "/cart"},
        "user_agent": "\u{fffd}\"", "referer": null, "request.id": null,
    });
    for (key, value) in wanted.as_object().unwrap() {
        assert_eq!(line.get(key), Some(value), "{key} of {line}");
    }
    assert_eq!(line.pointer("/attempts/0/endpoint"), Some(&"cart-1".into()));
}

#[test]
fn a_client_that_goes_away_is_logged_once_with_what_it_had_got() {
    for (status, logged) in [(None, "499 client_gone 0\n"), (Some(StatusCode::OK), "200 client_gone 7\n")] {
        let case = case("$status $reason $body_bytes_sent");
        let mut record = case.begin(get("/"));
        if let Some(status) = status {
            record.status(status);
            record.sent(7);
        }
        drop(record);
        assert_eq!(case.lines(), logged);
    }
}

#[test]
fn no_request_can_forge_a_line() {
    let case = case("\"$http_x_a\" $request_uri");
    let forged = HeaderValue::from_bytes(b"a\" 200 \\ \t\xff").unwrap();
    let mut record = case.begin(get("/\u{e9}").header("x-a", forged));
    record.finish();
    drop(record);
    assert_eq!(case.lines(), "\"a\\x22 200 \\x5C \\x09\\xFF\" /\\xC3\\xA9\n");
}

#[test]
fn targets_are_logged_as_the_client_sent_them() {
    let http2 = |target| http::Request::get(target).version(Version::HTTP_2);
    for (request, logged) in [
        (http2("https://a.b/x?y"), "GET /x?y HTTP/2.0 a.b\n"),
        (http::Request::get("http://A.b:80/x"), "GET http://A.b:80/x HTTP/1.1 a.b\n"),
        (http::Request::connect("a.b:443"), "CONNECT a.b:443 HTTP/1.1 a.b\n"),
        (http::Request::options("*"), "OPTIONS * HTTP/1.1 -\n"),
    ] {
        let case = case("$request $host");
        let mut record = case.begin(request);
        record.finish();
        drop(record);
        assert_eq!(case.lines(), logged);
    }
}

#[test]
fn a_log_that_is_off_keeps_nothing_but_what_is_counted() {
    let logger = Logger::off(Arc::default());
    let observer = logger.observer();
    let (parts, ()) = get("/").body(()).unwrap().into_parts();
    let client = ClientFacts {
        client: ([192, 0, 2, 7], 1).into(),
        listener: &"http".into(),
        local_port: 80,
        scheme: Scheme::Http,
        server_name: None,
        tls_version: None,
    };
    let record = Record::begin(&observer, client, &parts);
    assert!(record.details.is_none());
}

#[test]
fn a_panic_is_ours_and_not_the_clients() {
    let case = case("$status $reason");
    let record = case.begin(get("/"));
    let fault = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _record = record;
        std::panic::resume_unwind(Box::new("as a fault of ours would"));
    }));
    assert!(fault.is_err());
    assert_eq!(case.lines(), "500 internal\n");
}

#[test]
fn the_last_try_at_an_endpoint_is_counted_whether_or_not_it_is_logged() {
    /// When a try began after the request, and when it was connected, in milliseconds.
    type Told = (u64, Option<u64>);
    let ms = Duration::from_millis;
    let name: Arc<str> = "cart-1".into();
    let endpoint: SocketAddr = ([10, 0, 0, 1], 80).into();
    // How many tries and connections are counted, and the time to connect in seconds.
    let cases: [(&[Told], u64, u64, f64); 4] =
        [(&[], 0, 0, 0.0), (&[(0, Some(0))], 1, 1, 0.0), (&[(0, None)], 1, 0, 0.0), (&[(0, Some(9)), (10, Some(12))], 1, 1, 0.002)];
    for logger in [Logger::off(Arc::default()), told("text").0] {
        let case = Case { observer: logger.observer(), logger, told: std::sync::mpsc::channel().1 };
        for (number, (tries, tried, connected, connect)) in cases.iter().enumerate() {
            let mut record = case.begin(get("/"));
            let origin = Arc::new(Origin::new("Ingress", "shop", &number.to_string()));
            let series = record.observer().metrics().route(SeriesLabels::of(&origin, &HostMatch::Any, None, None));
            record.route(&series);
            let began = record.started();
            for (after, up) in *tries {
                record.attempt(endpoint, &name, began + ms(*after));
                if let Some(up) = up {
                    record.connected(began + ms(*up));
                }
            }
            record.finish();
            drop(record);
            let (read, _) = case.observer.metrics().requests();
            let of = |counts: &&crate::observe::RequestCounts| counts.labels.as_ref() == Some(series.labels());
            let counts = read.iter().find(of).unwrap();
            assert_eq!((counts.tried(), counts.connected(), counts.connects().1), (*tried, *connected, *connect), "{tries:?}");
            if let [(0, Some(_))] = tries {
                assert_eq!(counts.tries(), counts.durations());
            }
        }
    }
}
