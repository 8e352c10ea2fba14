use http::HeaderName;
use proptest::prelude::*;

use super::super::headers::{Trust, clean_request, scan};
use super::*;
use crate::model::CidrSet;

const NAMES: [HeaderName; 7] =
    [X_REQUEST_ID, X_FORWARDED_FOR, X_REAL_IP, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_FORWARDED_SCHEME];

fn values(headers: &HeaderMap, name: &HeaderName) -> String {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join("|")
}

/// Returns what a backend behind 10.0.0.1 is told, but the request's ID.
fn told(client: Client, mut headers: HeaderMap) -> Vec<String> {
    let (seen, _) = scan(&headers);
    let memo = Memo::new();
    let host = HeaderValue::from_static("a.test:81");
    Told::of(client, &mut headers, seen, "10.0.0.1".parse().unwrap(), host, &memo).insert_into(&mut headers);
    NAMES.iter().skip(1).map(|name| values(&headers, name)).collect()
}

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn a_stranger_is_not_believed() {
    let headers = map(&[("x-forwarded-for", "1.2.3.4"), ("x-real-ip", "1.2.3.4"), ("x-forwarded-proto", "https")]);
    let client = Client::of_connection("192.0.2.7".parse().unwrap(), Scheme::Http, 80);
    assert_eq!(told(client, headers), ["192.0.2.7", "192.0.2.7", "a.test:81", "80", "http", "http"]);
}

#[test]
fn a_trusted_proxy_is_believed_as_far_as_it_makes_sense() {
    let mut trusted = CidrSet::default();
    trusted.add("10.0.0.0/8").unwrap();
    trusted.add("fd00::/8").unwrap();
    for (what, fields, expected) in [
        ("nothing said", &[][..], ["10.0.0.1", "10.0.0.1", "a.test:81", "80", "http"]),
        (
            "the client behind one proxy",
            &[("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "HTTPS")],
            ["192.0.2.7, 10.0.0.1", "192.0.2.7", "a.test:81", "443", "https"],
        ),
        (
            "the client behind two proxies, with a lie before",
            &[("x-forwarded-for", "1.1.1.1, 192.0.2.7"), ("x-forwarded-for", "10.0.0.2")],
            ["1.1.1.1, 192.0.2.7, 10.0.0.2, 10.0.0.1", "192.0.2.7", "a.test:81", "80", "http"],
        ),
        (
            "addresses with ports",
            &[("x-forwarded-for", "192.0.2.7:99, [fd00::1]:80")],
            ["192.0.2.7:99, [fd00::1]:80, 10.0.0.1", "192.0.2.7", "a.test:81", "80", "http"],
        ),
        (
            "what is no address ends the walk",
            &[("x-forwarded-for", "192.0.2.7, unknown, 10.0.0.2")],
            ["192.0.2.7, unknown, 10.0.0.2, 10.0.0.1", "10.0.0.2", "a.test:81", "80", "http"],
        ),
        (
            "host and port",
            &[("x-forwarded-host", "www.test:8443, b"), ("x-forwarded-port", "8443"), ("x-forwarded-proto", "https")],
            ["10.0.0.1", "10.0.0.1", "www.test:8443", "8443", "https"],
        ),
        (
            "nonsense",
            &[("x-forwarded-host", "a b"), ("x-forwarded-port", "0"), ("x-forwarded-proto", "gopher")],
            ["10.0.0.1", "10.0.0.1", "a.test:81", "80", "http"],
        ),
    ] {
        let headers = map(fields);
        let client = Client::behind_proxy("10.0.0.1".parse().unwrap(), Scheme::Http, 80, &headers, &trusted);
        assert_eq!(told(client, headers)[..5], expected, "{what}");
    }
}

#[test]
fn a_request_id_is_kept_if_it_is_one_and_else_made() {
    let memo = Memo::new();
    let id = |sent: Option<&str>| {
        let mut headers = HeaderMap::new();
        if let Some(sent) = sent {
            headers.insert(X_REQUEST_ID, sent.parse().unwrap());
        }
        let (seen, _) = scan(&headers);
        let client = Client::of_connection("192.0.2.7".parse().unwrap(), Scheme::Http, 80);
        let told = Told::of(client, &mut headers, seen, "192.0.2.7".parse().unwrap(), HeaderValue::from_static("a"), &memo);
        told.insert_into(&mut headers);
        assert_eq!(headers[X_REQUEST_ID], told.request_id());
        headers[X_REQUEST_ID].to_str().unwrap().to_owned()
    };
    let longest = "x".repeat(128);
    for kept in ["abc-123", longest.as_str()] {
        assert_eq!(id(Some(kept)), kept);
    }
    let made = [id(None), id(None), id(Some("")), id(Some("a b")), id(Some(&"x".repeat(129)))];
    for one in &made {
        assert!(one.len() == 32 && one.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()), "{one}");
    }
    assert_eq!(made.iter().collect::<std::collections::BTreeSet<_>>().len(), made.len());
}

/// Returns the names and values of lines, sorted.
fn lines(mut text: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    text.extend_from_slice(b"\r\n");
    let mut room = [httparse::EMPTY_HEADER; 64];
    let (length, fields) = httparse::parse_headers(&text, &mut room).unwrap().unwrap();
    assert_eq!(length, text.len());
    let mut fields: Vec<_> = fields.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect();
    fields.sort();
    fields
}

fn fields(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    fields.sort();
    fields
}

/// Fields that a client may send: those that are told, in any number, what names them, and others.
fn sent() -> impl Strategy<Value = Vec<(HeaderName, HeaderValue)>> {
    let others = ["connection", "forwarded", "x_real_ip", "accept", "cookie"].map(HeaderName::from_static);
    let name = prop::sample::select(NAMES.into_iter().chain(others).collect::<Vec<_>>());
    let value = prop_oneof![
        any::<IpAddr>().prop_map(|address| address.to_string().into_bytes()),
        prop::collection::vec(any::<IpAddr>(), 0..4).prop_map(|all| all
            .iter()
            .map(IpAddr::to_string)
            .collect::<Vec<_>>()
            .join(", ")
            .into()),
        any::<u16>().prop_map(|port| port.to_string().into_bytes()),
        prop::sample::select(vec!["", "https", "HTTP", "b.test:8443", "x-real-ip", "close, X-Request-ID", "10.0.0.2:80, unknown"])
            .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(prop_oneof![0x20..0x7f_u8, 0x80..=0xff_u8], 0..40),
    ];
    let value = value.prop_map(|bytes| HeaderValue::from_bytes(bytes.trim_ascii()).unwrap());
    prop::collection::vec((name, value), 0..10)
}

proptest! {
    /// Whatever a client sends and whoever it is, both forms tell the same, once, and as often as the request is sent.
    #[test]
    fn a_request_is_told_the_same_in_lines_as_in_its_map(
        sent in sent(),
        peer in any::<IpAddr>(),
        trust in prop::sample::select(vec![Trust::Proxy, Trust::Stranger]),
        scheme in prop::sample::select(vec![Scheme::Http, Scheme::Https]),
        port in any::<u16>(),
    ) {
        let mut headers: HeaderMap = sent.iter().cloned().collect();
        let mut trusted = CidrSet::default();
        trusted.add("0.0.0.0/1").unwrap();
        trusted.add("::/1").unwrap();
        let client = match trust {
            Trust::Proxy => Client::behind_proxy(peer, scheme, port, &headers, &trusted),
            Trust::Stranger => Client::of_connection(peer, scheme, port),
        };
        let seen = scan(&headers).0.judged(trust);
        clean_request(&mut headers, seen);
        // What a map would hold if each were put in place of the client's own.
        let mut replaced = headers.clone();
        let memo = Memo::new();
        let told = Told::of(client.clone(), &mut headers, seen, peer, HeaderValue::from_static("a.test"), &memo);
        told.insert_into(&mut replaced);

        let own = headers.clone();
        prop_assert!(NAMES.iter().all(|name| !own.contains_key(name)));
        told.insert_into(&mut headers);
        prop_assert_eq!(fields(&headers), fields(&replaced));
        prop_assert!(NAMES.iter().all(|name| headers.get_all(name).iter().count() == 1));
        let mut text = Vec::new();
        told.write_to(&mut text);
        let mut written = lines(text);
        prop_assert_eq!(written.len(), NAMES.len());
        written.extend(fields(&own));
        written.sort();
        prop_assert_eq!(&written, &fields(&headers));

        // Sent again, after it came back with them in its map.
        remove_told(&mut headers);
        prop_assert_eq!(fields(&headers), fields(&own));
        told.insert_into(&mut headers);
        prop_assert_eq!(&written, &fields(&headers));
        prop_assert_eq!(values(&headers, &X_REAL_IP), client.address.to_string());
        if trust == Trust::Stranger {
            prop_assert_eq!(values(&headers, &X_FORWARDED_FOR), peer.to_string());
        }
    }
}
