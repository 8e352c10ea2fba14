//! Hosts, as requests carry them and as rules write them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_proxy::model::{HostMap, HostMatch, HostName, request_host};

fuzz_target!(|text: &str| {
    if let Ok(host) = request_host(text) {
        assert_eq!(request_host(&host).as_deref(), Ok(&*host), "what was read reads as itself");
        assert_eq!(request_host(&format!("{host}:8080")).as_deref(), Ok(&*host), "a port changes nothing");
        assert_eq!(request_host(&text.to_ascii_uppercase()).as_deref(), Ok(&*host), "nor does case");
        let mut map = HostMap::default();
        map.set(&HostMatch::Any, Some(()));
        assert!(map.get(&host).is_some());
        if let Some((_, suffix)) = host.split_once('.')
            && let Ok(suffix) = suffix.parse::<HostName>()
        {
            map.set(&HostMatch::Any, None);
            map.set(&HostMatch::OneLabel(suffix.clone()), Some(()));
            assert_eq!(map.get(&host).is_some(), format!("x.{suffix}").split('.').count() == host.split('.').count());
        }
    }
    if let Ok(rule) = HostMatch::of_ingress(text) {
        let shown = if rule == HostMatch::Any { String::new() } else { rule.to_string() };
        assert_eq!(HostMatch::of_ingress(&shown), Ok(rule.clone()));
        if let HostMatch::Exact(name) = rule {
            assert_eq!(request_host(text).as_deref(), Ok(name.as_str()), "a rule for a name takes requests for it");
        }
    }
});
