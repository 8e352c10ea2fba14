#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

use std::sync::Mutex;

use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::net::UdpSocket;

use super::*;

/// A DNS server on loopback that answers every name with the same addresses, all with one TTL; without addresses it says that the name
/// does not exist.
#[derive(Clone)]
struct Dns {
    answer: Arc<Mutex<(Vec<IpAddr>, u32)>>,
    asked: Arc<Mutex<Vec<String>>>,
    port: u16,
}

impl Dns {
    async fn start(addresses: &[&str], ttl: u32) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let dns = Self { answer: Arc::default(), asked: Arc::default(), port };
        dns.set(addresses, ttl);
        let server = dns.clone();
        tokio::spawn(async move {
            let mut packet = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                socket.send_to(&server.reply(&packet[..length]), from).await.unwrap();
            }
        });
        dns
    }

    fn set(&self, addresses: &[&str], ttl: u32) {
        *self.answer.lock().unwrap() = (addresses.iter().map(|address| address.parse().unwrap()).collect(), ttl);
    }

    /// RFC 1035 §4: the question is repeated, answers point back to its name.
    fn reply(&self, query: &[u8]) -> Vec<u8> {
        let mut end = 12;
        let mut name = String::new();
        while query[end] != 0 {
            let length = usize::from(query[end]);
            name.push_str(&String::from_utf8_lossy(&query[end + 1..=end + length]));
            name.push('.');
            end += length + 1;
        }
        self.asked.lock().unwrap().push(name);
        let v6 = query[end + 2] == 28;
        let (addresses, ttl) = self.answer.lock().unwrap().clone();
        let answers: Vec<_> = addresses.iter().filter(|address| address.is_ipv6() == v6).collect();
        let missing = u8::from(addresses.is_empty()) * 3;
        let mut reply = vec![query[0], query[1], 0x81, 0x80 | missing, 0, 1, 0, answers.len() as u8, 0, 0, 0, 0];
        reply.extend(&query[12..end + 5]);
        for address in answers {
            reply.extend([0xc0, 12, 0, if v6 { 28 } else { 1 }, 0, 1]);
            reply.extend(ttl.to_be_bytes());
            match address {
                IpAddr::V4(v4) => reply.extend([0, 4].into_iter().chain(v4.octets())),
                IpAddr::V6(v6) => reply.extend([0, 16].into_iter().chain(v6.octets())),
            }
        }
        reply
    }

    fn resolver(&self, own: &[&str]) -> (Resolver, mpsc::Receiver<SourceEvent>) {
        let mut server = NameServerConfig::udp("127.0.0.1".parse().unwrap());
        server.connections[0].port = self.port;
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        configure(builder.options_mut());
        let (sender, events) = mpsc::channel(100);
        (Resolver::new(Ok(builder.build().unwrap()), own.iter().map(|own| own.parse().unwrap()).collect(), sender), events)
    }
}

/// The next report, in short: its addresses, then its problem's code.
async fn next(events: &mut mpsc::Receiver<SourceEvent>) -> String {
    let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap();
    let SourceEvent::Resolved { name, addresses, problem } = event else { panic!("{event:?}") };
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    format!("{name} [{}] {}", addresses.join(" "), problem.map_or("", |(code, _)| code.as_str())).trim_end().to_owned()
}

#[tokio::test]
async fn both_families_are_asked_for_and_again_when_the_answer_is_over() {
    let dns = Dns::start(&["10.0.0.2", "10.0.0.1", "2001:db8::1"], 1).await;
    let (mut resolver, mut events) = dns.resolver(&[]);
    resolver.follow(&["api.example.com".into()]);
    assert_eq!(next(&mut events).await, "api.example.com [10.0.0.1 10.0.0.2 2001:db8::1]");
    dns.set(&["10.0.0.3"], 300);
    assert_eq!(next(&mut events).await, "api.example.com [10.0.0.3]");
    assert!(dns.asked.lock().unwrap().iter().all(|name| name == "api.example.com."), "no search list");
}

#[tokio::test]
async fn the_last_good_answer_stays_while_dns_fails() {
    let dns = Dns::start(&["10.0.0.1"], 1).await;
    let (mut resolver, mut events) = dns.resolver(&[]);
    resolver.follow(&["a.test".into()]);
    assert_eq!(next(&mut events).await, "a.test [10.0.0.1]");
    dns.set(&[], 0);
    assert_eq!(next(&mut events).await, "a.test [10.0.0.1] unresolved_external_name");
    dns.set(&["10.0.0.2"], 300);
    assert_eq!(next(&mut events).await, "a.test [10.0.0.2]");
}

#[tokio::test]
async fn addresses_that_must_not_be_reached_are_left_out_and_a_name_with_no_other_is_refused() {
    let dns = Dns::start(&["127.0.0.1", "10.0.0.1", "10.9.9.9", "::1"], 1).await;
    let (mut resolver, mut events) = dns.resolver(&["10.9.9.9:80"]);
    resolver.follow(&["a.test".into()]);
    assert_eq!(next(&mut events).await, "a.test [10.0.0.1] refused_external_name", "the rest serves, and what does not is told");
    dns.set(&["127.0.0.1"], 300);
    assert_eq!(next(&mut events).await, "a.test [] refused_external_name");
}

#[tokio::test]
async fn without_a_dns_configuration_each_name_says_that_it_does_not_resolve() {
    let (sender, mut events) = mpsc::channel(100);
    let mut resolver = Resolver::new(Err("no resolv.conf".to_owned()), Vec::new(), sender);
    resolver.follow(&["a.test".into()]);
    assert_eq!(next(&mut events).await, "a.test [] unresolved_external_name");
}

#[tokio::test]
async fn names_of_the_machine_are_not_even_asked_for_and_literals_need_no_asking() {
    let dns = Dns::start(&["10.0.0.1"], 300).await;
    let (mut resolver, mut events) = dns.resolver(&[]);
    resolver.follow(&["localhost".into()]);
    assert_eq!(next(&mut events).await, "localhost [] refused_external_name");
    resolver.follow(&["10.0.0.7".into()]);
    assert_eq!(next(&mut events).await, "10.0.0.7 [10.0.0.7]");
    resolver.follow(&["169.254.169.254".into()]);
    assert_eq!(next(&mut events).await, "169.254.169.254 [] refused_external_name");
    assert!(dns.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_name_that_nobody_needs_is_not_asked_for_again() {
    let dns = Dns::start(&["10.0.0.1"], 1).await;
    let (mut resolver, mut events) = dns.resolver(&[]);
    resolver.follow(&["a.test".into()]);
    next(&mut events).await;
    resolver.follow(&[]);
    let asked = dns.asked.lock().unwrap().len();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(dns.asked.lock().unwrap().len(), asked);
}
