//! What annotations do as a whole: prefixes, bad values, protections, names that are not known.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::object::Kind;
use crate::policy::{BackendProtocol, BodyLimit, Setting};

fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn shop() -> ObjectRef {
    ObjectRef::new(Kind::Ingress, "default", "shop")
}

/// Reads annotations; `n/X` is short for ingress-nginx's prefix, `t/X` for ours.
fn read(pairs: &[(&str, &str)]) -> Parsed {
    let full = |key: &str| match key.split_once('/') {
        Some(("n", name)) => format!("{INGRESS_NGINX}{name}"),
        Some(("t", name)) => format!("{TIDEGATE}{name}"),
        _ => key.to_owned(),
    };
    let pairs = pairs.iter().map(|(key, value)| (full(key), (*value).to_owned())).collect();
    parse(&shop(), &pairs)
}

fn codes(parsed: &Parsed) -> Vec<Code> {
    parsed.diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
}

#[test]
fn every_setting_has_one_row() {
    let rows: Vec<_> = ROWS.iter().map(|row| row.setting).collect();
    assert_eq!(rows, Setting::ALL);
}

#[test]
fn no_name_stands_in_two_tables() {
    let mut names: Vec<_> = ROWS.iter().map(|row| row.setting.name()).collect();
    names.extend(UNBUILT.iter().map(|unbuilt| unbuilt.name));
    names.extend(UNREAD.iter().map(|(name, _)| name));
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(ROWS.len() + UNBUILT.len() > 125, "the catalogue of ingress-nginx 1.15 is complete: {}", ROWS.len() + UNBUILT.len());
}

#[test]
fn the_example_of_every_row_is_good_under_both_prefixes() {
    for row in ROWS {
        for dialect in [Dialect::IngressNginx, Dialect::Tidegate] {
            let key = format!("{}{}", dialect.prefix(), row.setting.name());
            let parsed = parse(&shop(), &annotations(&[(&key, row.example)]));
            assert_eq!(parsed.diagnostics, [], "{key}");
            assert_eq!(parsed.verdict, Verdict::Serve, "{key}");
            assert_ne!(parsed.policy, Policy::default(), "{key} sets something");
        }
    }
}

#[test]
fn the_counterexample_of_every_row_gets_the_answer_of_its_row() {
    for row in ROWS {
        for dialect in [Dialect::IngressNginx, Dialect::Tidegate] {
            let key = format!("{}{}", dialect.prefix(), row.setting.name());
            let parsed = parse(&shop(), &annotations(&[(&key, row.counterexample)]));
            assert_eq!(codes(&parsed), [Code::InvalidAnnotation], "{key}");
            assert_eq!(parsed.diagnostics[0].field.as_deref(), Some(field(&key).as_str()));
            let verdict = match row.bad_value {
                BadValue::Default | BadValue::Refuse => Verdict::Serve,
                BadValue::KeepLastGood | BadValue::DefaultIfNumber => Verdict::KeepLastGood,
            };
            assert_eq!(parsed.verdict, verdict, "{key}");
        }
    }
}

#[test]
fn no_row_takes_a_control_character_or_white_space_anywhere() {
    for row in ROWS {
        for dirt in ['\n', '\r', '\0', '\t', ' ', '\u{7f}', '\u{85}'] {
            for at in 0..=row.example.len() {
                let (head, tail) = row.example.split_at(at);
                let value = format!("{head}{dirt}{tail}");
                let parsed = read(&[(&format!("t/{}", row.setting.name()), &value)]);
                assert_eq!(codes(&parsed), [Code::InvalidAnnotation], "{}: {value:?}", row.setting.name());
            }
        }
    }
}

#[test]
fn an_empty_value_counts_as_not_set() {
    for row in ROWS {
        let name = row.setting.name();
        let parsed = read(&[(&format!("n/{name}"), "")]);
        assert_eq!((parsed.policy, parsed.verdict), (Policy::default(), Verdict::Serve), "{name}");
        let behind = read(&[(&format!("t/{name}"), ""), (&format!("n/{name}"), row.example)]);
        assert_eq!(behind.policy, read(&[(&format!("n/{name}"), row.example)]).policy, "{name}");
        assert_eq!(codes(&behind), [Code::RedundantValue], "{name}");
    }
}

#[test]
fn tidegate_wins_where_the_prefixes_differ() {
    let parsed = read(&[("n/proxy-read-timeout", "10"), ("t/proxy-read-timeout", "20")]);
    assert_eq!(parsed.policy.read_timeout, Some(Duration::from_secs(20)));
    assert_eq!(codes(&parsed), [Code::ConflictingAnnotation]);
    assert_eq!(parsed.diagnostics[0].field.as_deref(), Some("metadata.annotations[nginx.ingress.kubernetes.io/proxy-read-timeout]"));
    assert_eq!(
        &*parsed.diagnostics[0].message,
        r#""10" differs from "20" of tidegate.dev/proxy-read-timeout: tidegate.dev/proxy-read-timeout wins"#
    );
}

#[test]
fn prefixes_that_mean_the_same_do_not_differ() {
    for (name, nginx, tidegate) in [
        ("ssl-redirect", "false", "False"),
        ("proxy-read-timeout", "90", "1m30s"),
        ("proxy-body-size", "8m", "8Mi"),
        ("app-root", "/a", "/a"),
    ] {
        let parsed = read(&[(&format!("n/{name}"), nginx), (&format!("t/{name}"), tidegate)]);
        assert_eq!(parsed.diagnostics, [], "{name}");
    }
}

#[test]
fn a_protection_whose_prefixes_differ_or_whose_value_is_bad_refuses() {
    let row = || Row {
        setting: Setting::SslRedirect,
        scope: Scope::Path,
        risk: Risk::Low,
        bad_value: BadValue::Refuse,
        values: "",
        default: "",
        doc: "",
        example: "",
        counterexample: "",
        set: |policy, value, _| values::boolean(value).map(|value| policy.ssl_redirect = Some(value)),
    };
    let (nginx, tidegate) = ("nginx.ingress.kubernetes.io/ssl-redirect", "tidegate.dev/ssl-redirect");
    let differing = parse_by(&[row()], &shop(), &annotations(&[(nginx, "true"), (tidegate, "false")]));
    assert_eq!(codes(&differing), [Code::ConflictingAnnotation, Code::ProtectionRefused]);
    assert_eq!((differing.policy.refuse, differing.verdict), (Some(Refusal::Protection), Verdict::Serve));
    let bad = parse_by(&[row()], &shop(), &annotations(&[(nginx, "maybe")]));
    assert_eq!(codes(&bad), [Code::InvalidAnnotation, Code::ProtectionRefused]);
    assert_eq!((bad.policy.refuse, bad.verdict), (Some(Refusal::Protection), Verdict::Serve));
    let agreeing = parse_by(&[row()], &shop(), &annotations(&[(nginx, "true"), (tidegate, "1")]));
    assert_eq!((codes(&agreeing), agreeing.policy.refuse), (vec![], None));
}

#[test]
fn units_are_for_our_own_prefix() {
    assert_eq!(read(&[("t/proxy-read-timeout", "10s")]).policy.read_timeout, Some(Duration::from_secs(10)));
    assert_eq!(read(&[("t/proxy-body-size", "1Mi")]).policy.body_limit_bytes(), Some(1 << 20));
    let nginx = read(&[("n/proxy-read-timeout", "60s"), ("n/proxy-connect-timeout", "5s")]);
    assert_eq!(nginx.policy, Policy::default());
    assert_eq!(codes(&nginx), [Code::InvalidAnnotation; 2]);
    assert_eq!(&*nginx.diagnostics[1].message, r#""60s" is not a number of seconds without a unit, such as 60; the default holds instead"#);
}

#[test]
fn a_status_out_of_range_gets_the_default_and_one_that_is_no_number_keeps_the_last_good_version() {
    for (name, number) in [("permanent-redirect-code", "200"), ("permanent-redirect-code", "309"), ("temporal-redirect-code", "308")] {
        let out_of_range = read(&[(&format!("n/{name}"), number)]);
        assert_eq!((codes(&out_of_range), out_of_range.verdict), (vec![Code::InvalidAnnotation], Verdict::Serve), "{name}: {number}");
        let no_number = read(&[(&format!("n/{name}"), "abc")]);
        assert_eq!((codes(&no_number), no_number.verdict), (vec![Code::InvalidAnnotation], Verdict::KeepLastGood), "{name}");
    }
}

#[test]
fn a_body_size_that_is_not_understood_does_not_fail_open() {
    let parsed = read(&[("n/proxy-body-size", "2mb")]);
    assert_eq!((codes(&parsed), parsed.verdict), (vec![Code::InvalidAnnotation], Verdict::Serve));
    assert_eq!(parsed.policy.body_limit_bytes(), Some(1 << 20));
    let class = Policy { body_limit: Some(BodyLimit::Bytes(7)), ..Policy::default() };
    assert_eq!(parsed.policy.or(&class).body_limit_bytes(), Some(7));
}

#[test]
fn protocols_of_backends_are_read_in_any_case_and_fcgi_refuses() {
    for (text, protocol) in [
        ("http", BackendProtocol::Http),
        ("Https", BackendProtocol::Https),
        ("AUTO_HTTP", BackendProtocol::AutoHttp),
        ("grpc", BackendProtocol::Grpc),
        ("GRPCS", BackendProtocol::Grpcs),
    ] {
        assert_eq!(read(&[("n/backend-protocol", text)]).policy.backend_protocol, Some(protocol), "{text}");
    }
    let fcgi = read(&[("n/backend-protocol", "FCGI")]);
    assert_eq!((codes(&fcgi), fcgi.verdict), (vec![Code::UnsupportedBackend], Verdict::Serve));
    assert_eq!(fcgi.policy.refuse, Some(Refusal::BackendProtocol));
}

#[test]
fn a_setting_without_effect_is_told() {
    let both = read(&[("n/permanent-redirect", "https://p.test"), ("t/temporal-redirect", "https://t.test")]);
    assert_eq!(both.policy.redirect().unwrap().location, "https://t.test");
    assert_eq!(codes(&both), [Code::RedundantValue]);
    assert_eq!(both.diagnostics[0].field.as_deref(), Some("metadata.annotations[nginx.ingress.kubernetes.io/permanent-redirect]"));
    let forced = read(&[("n/ssl-redirect", "false"), ("n/force-ssl-redirect", "true")]);
    assert_eq!(codes(&forced), [Code::RedundantValue]);
    let usual = read(&[("n/ssl-redirect", "true"), ("n/force-ssl-redirect", "true")]);
    assert_eq!(codes(&usual), []);
}

#[test]
fn a_feature_that_is_not_built_is_told_once_and_served_without() {
    let parsed = read(&[("n/rewrite-target", "/$1"), ("t/enable-cors", "true")]);
    assert_eq!((codes(&parsed), parsed.verdict), (vec![Code::UnsupportedAnnotation; 2], Verdict::Serve));
    assert_eq!(&*parsed.diagnostics[0].message, "rewrite-target is not supported yet: the Ingress is served without it");
}

#[test]
fn a_protection_that_is_not_built_refuses() {
    let protections = [
        ("auth-type", "basic"),
        ("auth-secret", "users"),
        ("auth-url", "https://auth.test/"),
        ("auth-signin", "https://auth.test/start"),
        ("auth-tls-secret", "default/ca"),
        ("auth-tls-verify-client", "on"),
        ("auth-tls-verify-client", "optional"),
        ("satisfy", "any"),
        ("allowlist-source-range", "10.0.0.0/8"),
        ("whitelist-source-range", "10.0.0.0/8"),
        ("denylist-source-range", "10.0.0.0/8"),
        ("whitelist-source-range", ""),
        ("limit-rps", "5"),
        ("limit-rpm", "5"),
        ("limit-connections", "x"),
        ("limit-rate", "100"),
        ("enable-modsecurity", "true"),
        ("enable-modsecurity", "perhaps"),
        ("modsecurity-snippet", "SecRuleEngine On"),
        ("configuration-snippet", "deny all;"),
        ("server-snippet", "allow 10.0.0.1;"),
        ("auth-snippet", "proxy_set_header X y;"),
        ("proxy-ssl-verify", "on"),
    ];
    for (name, value) in protections {
        for prefix in ["n", "t"] {
            let parsed = read(&[(&format!("{prefix}/{name}"), value)]);
            assert_eq!(codes(&parsed), [Code::UnsupportedAnnotation, Code::ProtectionRefused], "{name}: {value:?}");
            assert_eq!((parsed.policy.refuse, parsed.verdict), (Some(Refusal::Protection), Verdict::Serve), "{name}: {value:?}");
        }
    }
}

#[test]
fn a_protection_that_is_off_refuses_nothing() {
    let off = [
        ("limit-rps", "0"),
        ("limit-connections", ""),
        ("enable-modsecurity", "false"),
        ("enable-owasp-core-rules", "0"),
        ("auth-url", ""),
        ("auth-type", ""),
        ("auth-tls-verify-client", "off"),
        ("satisfy", "all"),
        ("proxy-ssl-verify", "off"),
        ("configuration-snippet", ""),
        ("enable-global-auth", "false"),
    ];
    for (name, value) in off {
        let parsed = read(&[(&format!("n/{name}"), value)]);
        assert_eq!((codes(&parsed), parsed.verdict), (vec![Code::UnsupportedAnnotation], Verdict::Serve), "{name}: {value:?}");
        assert_eq!(parsed.policy, Policy::default());
    }
}

#[test]
fn all_protections_are_told_in_one_line_and_refuse_beside_values_that_keep_the_last_good_version() {
    let parsed = read(&[("n/auth-url", "https://a.test"), ("n/auth-signin", "https://a.test"), ("n/from-to-www-redirect", "yes")]);
    assert_eq!((parsed.policy.refuse, parsed.verdict), (Some(Refusal::Protection), Verdict::KeepLastGood));
    let refused: Vec<_> = parsed.diagnostics.iter().filter(|diagnostic| diagnostic.code == Code::ProtectionRefused).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(&*refused[0].message, "all paths answer 503 because of auth-signin, auth-url");
}

#[test]
fn a_canary_serves_nothing_of_its_own() {
    let parsed = read(&[("n/canary", "true"), ("n/canary-weight", "10"), ("n/auth-url", "https://auth.test/")]);
    assert_eq!(parsed.verdict, Verdict::Abstain);
    for value in ["false", "", "yes"] {
        assert_eq!(read(&[("n/canary", value)]).verdict, Verdict::Serve, "{value:?}");
    }
}

#[test]
fn an_unknown_annotation_names_the_nearest_known_one() {
    for (unknown, nearest) in [
        ("proxy-body-sise", "proxy-body-size"),
        ("SSL-Redirect", "ssl-redirect"),
        ("whitelist-source-ranges", "whitelist-source-range"),
        ("rewrite-targets", "rewrite-target"),
    ] {
        let parsed = read(&[(&format!("n/{unknown}"), "x")]);
        assert_eq!((codes(&parsed), parsed.verdict), (vec![Code::UnknownAnnotation], Verdict::Serve), "{unknown}");
        let message = &parsed.diagnostics[0].message;
        assert!(message.ends_with(&format!("did you mean {nearest}?")), "{message}");
    }
    let far = read(&[("t/zzzzzz", "x")]);
    assert_eq!(&*far.diagnostics[0].message, r#""zzzzzz" has no effect: there is no such annotation"#);
}

#[test]
fn an_annotation_that_was_removed_says_so() {
    let parsed = read(&[("n/session-cookie-hash", "sha1"), ("n/secure-backends", "true")]);
    let messages: Vec<_> = parsed.diagnostics.iter().map(|diagnostic| &*diagnostic.message).collect();
    let expected = [
        r#""secure-backends" has no effect: it was removed from ingress-nginx in favour of backend-protocol: HTTPS"#,
        r#""session-cookie-hash" has no effect: it was removed from ingress-nginx 0.24 and has no effect"#,
    ];
    assert_eq!(messages, expected);
    assert_eq!(codes(&parsed), [Code::UnknownAnnotation; 2]);
}

#[test]
fn annotations_of_the_other_nginx_controller_are_told_once_and_those_of_others_never() {
    let parsed = read(&[
        ("nginx.org/proxy-read-timeout", "10s"),
        ("nginx.org/redirect-to-https", "true"),
        ("nginx.com/jwt-key", "x"),
        ("cert-manager.io/cluster-issuer", "letsencrypt"),
        ("external-dns.alpha.kubernetes.io/hostname", "x.test"),
        ("kubernetes.io/ingress.class", "nginx"),
        ("sub.tidegate.dev/x", "y"),
        ("tidegate.dev", "y"),
    ]);
    assert_eq!(codes(&parsed), [Code::UnknownAnnotation]);
    assert!(parsed.diagnostics[0].message.contains("F5"));
}

#[test]
fn long_values_are_cut_and_escaped_in_messages() {
    let parsed = read(&[("n/backend-protocol", &format!("\u{1b}[31m{}", "é".repeat(1000)))]);
    let message = &parsed.diagnostics[0].message;
    assert!(message.starts_with(r#""\u{1b}[31mé"#) && message.len() < 400, "{message}");
    assert!(!message.chars().any(char::is_control));
}

/// Names that reach every table, and values of every grammar, mixed with arbitrary ones.
fn any_annotation() -> impl Strategy<Value = (String, String)> {
    let names: Vec<&str> = ROWS.iter().map(|row| row.setting.name()).chain(UNBUILT.iter().map(|unbuilt| unbuilt.name)).collect();
    let key = prop_oneof![
        3 => (prop_oneof![Just(INGRESS_NGINX), Just(TIDEGATE), Just("nginx.org/")], proptest::sample::select(names))
            .prop_map(|(prefix, name)| format!("{prefix}{name}")),
        1 => (prop_oneof![Just(INGRESS_NGINX), Just(TIDEGATE)], any::<String>()).prop_map(|(prefix, name)| format!("{prefix}{name}")),
        1 => any::<String>(),
    ];
    let value = prop_oneof![
        2 => "[-+]?[0-9]{0,25}(ms|s|m|h|k|M|Ki|Gi|b)?([0-9]{1,20}h)?",
        1 => "(https?://|/|//|[a-z]+:)?[-a-z0-9.%$#?@:\\[\\]/ ]{0,20}",
        1 => any::<String>(),
    ];
    (key, value)
}

proptest! {
    #[test]
    fn no_annotations_make_the_parser_panic(pairs in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..4)) {
        let _ = parse(&shop(), &pairs);
    }

    #[test]
    fn whatever_is_read_can_be_served(pairs in proptest::collection::vec(any_annotation(), 0..6)) {
        let pairs: BTreeMap<String, String> = pairs.into_iter().collect();
        let parsed = parse(&shop(), &pairs);
        // Deadlines are added to clocks; locations stand in headers as they are.
        for time in [parsed.policy.connect_timeout, parsed.policy.read_timeout, parsed.policy.send_timeout].into_iter().flatten() {
            prop_assert!(time > Duration::ZERO && std::time::Instant::now().checked_add(time).is_some());
        }
        if let Some(redirect) = parsed.policy.redirect() {
            prop_assert!(redirect.location.to_str().is_ok_and(|text| text.starts_with('/') || text.contains("://")));
            prop_assert!(redirect.status.is_redirection());
        }
        let told = parsed.diagnostics.iter().any(|told| matches!(told.code, Code::ProtectionRefused | Code::UnsupportedBackend));
        prop_assert_eq!(parsed.policy.refuse.is_some(), told);
        for diagnostic in &parsed.diagnostics {
            prop_assert!(!diagnostic.message.chars().any(char::is_control), "{:?}", diagnostic.message);
        }
        prop_assert_eq!(&parsed, &parse(&shop(), &pairs));
    }
}
