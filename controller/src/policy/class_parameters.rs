//! A class's parameters as a [`Policy`]: the defaults of all its objects.

use tidegate_crds::{BackendProtocol as Protocol, ClassParametersSpec, Size};

use crate::annotations::{Fault, Parsed, Verdict, quoted, values};
use crate::diagnostic::{Code, Diagnostic};
use crate::object::ObjectRef;
use crate::policy::{BackendProtocol, BodyLimit, Policy, Setting};

/// Reads the settings of a class.
///
/// The API server's validation lets no bad value through, but manifests in a directory have not seen one: then the verdict is
/// [`Verdict::KeepLastGood`], and the policy holds all that can be read, for a class that never was good.
#[must_use]
pub fn of_class(object: &ObjectRef, spec: &ClassParametersSpec) -> Parsed {
    let mut reading = Reading { object, diagnostics: Vec::new() };
    let policy = Policy {
        ssl_redirect: spec.ssl_redirect,
        force_ssl_redirect: spec.force_ssl_redirect,
        permanent_redirect: reading.text(Setting::PermanentRedirect, spec.permanent_redirect.as_ref(), values::location),
        permanent_redirect_code: reading
            .field(Setting::PermanentRedirectCode, spec.permanent_redirect_code, |code| values::permanent_status(code.into())),
        temporal_redirect: reading.text(Setting::TemporalRedirect, spec.temporal_redirect.as_ref(), values::http_url),
        temporal_redirect_code: reading
            .field(Setting::TemporalRedirectCode, spec.temporal_redirect_code, |code| values::temporal_status(code.into())),
        app_root: reading.text(Setting::AppRoot, spec.app_root.as_ref(), values::path_below_root),
        from_to_www_redirect: spec.from_to_www_redirect,
        backend_protocol: spec.backend_protocol.map(protocol),
        connect_timeout: reading.text(Setting::ProxyConnectTimeout, spec.proxy_connect_timeout.as_ref(), values::duration),
        read_timeout: reading.text(Setting::ProxyReadTimeout, spec.proxy_read_timeout.as_ref(), values::duration),
        send_timeout: reading.text(Setting::ProxySendTimeout, spec.proxy_send_timeout.as_ref(), values::duration),
        body_limit: spec
            .proxy_body_size
            .as_ref()
            .map(|size| reading.field(Setting::ProxyBodySize, Some(size), body_limit).unwrap_or(BodyLimit::Unreadable)),
        refuse: None,
    };
    let verdict = if reading.diagnostics.is_empty() { Verdict::Serve } else { Verdict::KeepLastGood };
    let mut diagnostics = reading.diagnostics;
    for ineffective in policy.ineffective() {
        let message = format!("has no effect: {}", ineffective.because);
        diagnostics.push(Diagnostic::at(object, Code::RedundantValue, field(ineffective.setting), message));
    }
    diagnostics.sort();
    Parsed { policy, diagnostics, verdict }
}

fn field(setting: Setting) -> String {
    format!("spec.{}", setting.camel_case())
}

struct Reading<'a> {
    object: &'a ObjectRef,
    diagnostics: Vec<Diagnostic>,
}

impl Reading<'_> {
    fn text<T>(&mut self, setting: Setting, text: Option<&String>, read: impl Fn(&str) -> Result<T, Fault>) -> Option<T> {
        self.field(setting, text, |text| read(text))
    }

    fn field<V: std::fmt::Display + Copy, T>(
        &mut self,
        setting: Setting,
        value: Option<V>,
        read: impl Fn(V) -> Result<T, Fault>,
    ) -> Option<T> {
        let value = value?;
        match read(value) {
            Ok(read) => Some(read),
            Err(fault) => {
                self.diagnostics.push(Diagnostic::at(
                    self.object,
                    Code::InvalidParameters,
                    field(setting),
                    format!("{} {fault}; the class's parameters stay as they last were", quoted(&value.to_string())),
                ));
                None
            }
        }
    }
}

fn body_limit(size: &Size) -> Result<BodyLimit, Fault> {
    let bytes = match size {
        Size::Bytes(bytes) => u64::try_from(*bytes).map_err(|_| Fault::OutOfRange("at least 0 bytes"))?,
        Size::Text(text) => values::quantity_bytes(text)?,
    };
    Ok(BodyLimit::of(bytes))
}

fn protocol(protocol: Protocol) -> BackendProtocol {
    match protocol {
        Protocol::Http => BackendProtocol::Http,
        Protocol::Https => BackendProtocol::Https,
        Protocol::AutoHttp => BackendProtocol::AutoHttp,
        Protocol::Grpc => BackendProtocol::Grpc,
        Protocol::Grpcs => BackendProtocol::Grpcs,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::object::Kind;

    fn read(spec: serde_json::Value) -> Parsed {
        let spec: ClassParametersSpec = serde_json::from_value(spec).unwrap();
        of_class(&ObjectRef::new(Kind::ClassParameters, "", "defaults"), &spec)
    }

    #[test]
    fn every_setting_of_annotations_has_a_field_of_the_same_name() {
        let crd = serde_json::to_value(<tidegate_crds::ClassParameters as kube::CustomResourceExt>::crd()).unwrap();
        let fields = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties").unwrap();
        let mut fields: Vec<_> = fields.as_object().unwrap().keys().cloned().collect();
        let mut expected: Vec<_> = Setting::ALL.iter().map(|setting| setting.camel_case()).collect();
        expected.push("compatibility".to_owned());
        fields.sort();
        expected.sort();
        assert_eq!(fields, expected);
    }

    #[test]
    fn all_fields_reach_the_policy() {
        let parsed = read(serde_json::json!({
            "sslRedirect": false, "forceSslRedirect": true, "permanentRedirectCode": 308, "temporalRedirect": "https://example.com/",
            "temporalRedirectCode": 307, "appRoot": "/app", "fromToWwwRedirect": true, "backendProtocol": "AUTO_HTTP",
            "proxyConnectTimeout": "500ms", "proxyReadTimeout": "1h", "proxySendTimeout": "1m30s", "proxyBodySize": "3Gi",
        }));
        let expected = Policy {
            ssl_redirect: Some(false),
            force_ssl_redirect: Some(true),
            permanent_redirect: None,
            permanent_redirect_code: Some(http::StatusCode::PERMANENT_REDIRECT),
            temporal_redirect: Some(http::HeaderValue::from_static("https://example.com/")),
            temporal_redirect_code: Some(http::StatusCode::TEMPORARY_REDIRECT),
            app_root: Some(http::HeaderValue::from_static("/app")),
            from_to_www_redirect: Some(true),
            backend_protocol: Some(BackendProtocol::AutoHttp),
            connect_timeout: Some(Duration::from_millis(500)),
            read_timeout: Some(Duration::from_secs(3600)),
            send_timeout: Some(Duration::from_secs(90)),
            body_limit: Some(BodyLimit::Bytes(3 << 30)),
            refuse: None,
        };
        assert_eq!(parsed.policy, expected);
        assert_eq!(parsed.verdict, Verdict::Serve);
        assert_eq!(parsed.diagnostics.len(), 1, "forceSslRedirect makes sslRedirect: false idle: {:?}", parsed.diagnostics);
    }

    #[test]
    fn a_body_size_is_bytes_or_binary_text_and_zero_is_unlimited() {
        let cases = [
            (serde_json::json!(4_294_967_296_i64), Some(BodyLimit::Bytes(1 << 32))),
            (serde_json::json!("1024"), Some(BodyLimit::Bytes(1024))),
            (serde_json::json!("8Ki"), Some(BodyLimit::Bytes(8192))),
            (serde_json::json!(0), Some(BodyLimit::Unlimited)),
            (serde_json::json!(null), None),
            // What Kubernetes and nginx mean different sizes by, and what is no size: the limit does not fail open.
            (serde_json::json!("10M"), Some(BodyLimit::Unreadable)),
            (serde_json::json!("10m"), Some(BodyLimit::Unreadable)),
            (serde_json::json!(-1), Some(BodyLimit::Unreadable)),
        ];
        for (size, limit) in cases {
            let parsed = read(serde_json::json!({ "proxyBodySize": size }));
            assert_eq!(parsed.policy.body_limit, limit, "{size}");
            let bad = limit == Some(BodyLimit::Unreadable);
            assert_eq!(parsed.verdict == Verdict::KeepLastGood, bad, "{size}");
        }
    }

    #[test]
    fn a_bad_field_names_itself_and_keeps_the_last_good_version() {
        let cases = [
            ("permanentRedirect", serde_json::json!("https://x.test$request_uri")),
            ("permanentRedirectCode", serde_json::json!(200)),
            ("temporalRedirect", serde_json::json!("/relative")),
            ("temporalRedirectCode", serde_json::json!(308)),
            ("appRoot", serde_json::json!("/")),
            ("proxyConnectTimeout", serde_json::json!("5")),
            ("proxyReadTimeout", serde_json::json!("0s")),
            ("proxySendTimeout", serde_json::json!("1 day")),
        ];
        for (name, value) in cases {
            let parsed = read(serde_json::json!({ name: value }));
            let codes: Vec<_> = parsed.diagnostics.iter().map(|diagnostic| (diagnostic.code, diagnostic.field.clone())).collect();
            assert_eq!(codes, [(Code::InvalidParameters, Some(format!("spec.{name}").into()))]);
            assert_eq!(parsed.verdict, Verdict::KeepLastGood);
            assert_eq!(parsed.policy, Policy::default());
        }
    }
}
