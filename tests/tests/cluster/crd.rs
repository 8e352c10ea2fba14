//! What the API server makes of `ClassParameters`: its validation, by the CRD as people install it, against our own reading.
//!
//! Every object is a dry run: validated as any other, and kept by nobody.

use anyhow::{Context as _, bail, ensure};
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};
use tidegate::annotations::Verdict;
use tidegate::object::{Kind, ObjectRef};
use tidegate::policy;
use tidegate_tests::object;
use tidegate_tests::site::Site;

tidegate_tests::scenarios!("crd":
    a_bad_setting_is_refused_and_its_field_named,
    a_good_setting_is_taken,
    what_the_api_server_takes_we_understand,
);

/// Asks the API server for an object with this spec; returns the spec as it would be stored, or why it is refused.
async fn create(site: &Site, spec: &Value) -> anyhow::Result<Result<Value, String>> {
    let api = object::api(&site.cluster()?.client(), "ClassParameters", "")?;
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "ClassParameters", "metadata": { "name": site.fill("$CLASS") }, "spec": spec,
    }))?;
    match api.create(&PostParams { dry_run: true, ..PostParams::default() }, &object).await {
        Ok(stored) => Ok(Ok(stored.data["spec"].clone())),
        Err(kube::Error::Api(status)) if status.code == 422 => Ok(Err(status.message.clone())),
        Err(error) => bail!("{spec}: {error}"),
    }
}

async fn a_bad_setting_is_refused_and_its_field_named(site: &Site) -> anyhow::Result<()> {
    let bad: &[(&str, Value)] = &[
        ("compatibility", json!("nginx")),
        ("compatibility", json!(1)),
        ("sslRedirect", json!("yes")),
        ("forceSslRedirect", json!("true")),
        ("fromToWwwRedirect", json!(1)),
        ("permanentRedirect", json!("relative")),
        ("permanentRedirect", json!("https://x.test$request_uri")),
        ("permanentRedirect", json!("/a b")),
        ("permanentRedirect", json!("/%zz")),
        ("permanentRedirect", json!("")),
        ("permanentRedirect", json!(format!("/{}", "x".repeat(2048)))),
        ("permanentRedirectCode", json!(299)),
        ("permanentRedirectCode", json!(309)),
        ("permanentRedirectCode", json!("301")),
        ("temporalRedirect", json!("/path")),
        ("temporalRedirect", json!("ftp://x.test/")),
        ("temporalRedirect", json!("https://x.test/\n")),
        ("temporalRedirectCode", json!(308)),
        ("temporalRedirectCode", json!(200)),
        ("appRoot", json!("/")),
        ("appRoot", json!("//x.test")),
        ("appRoot", json!("app")),
        ("appRoot", json!("/#top")),
        ("appRoot", json!("/.")),
        ("appRoot", json!("/?tab=1")),
        ("backendProtocol", json!("http")),
        ("backendProtocol", json!("FCGI")),
        ("proxyConnectTimeout", json!("5")),
        ("proxyConnectTimeout", json!(5)),
        ("proxyReadTimeout", json!("0s")),
        ("proxyReadTimeout", json!("4294967296s")),
        ("proxyReadTimeout", json!("-1s")),
        ("proxySendTimeout", json!("1 day")),
        ("proxySendTimeout", json!("1.5s")),
        ("proxyBodySize", json!("10m")),
        ("proxyBodySize", json!("10M")),
        ("proxyBodySize", json!("1G")),
        ("proxyBodySize", json!("1.5Gi")),
        ("proxyBodySize", json!("-1Ki")),
        ("proxyBodySize", json!(-1)),
        ("proxyBodySize", json!("lots")),
        ("proxyBodySize", json!(true)),
    ];
    let mut wrong = Vec::new();
    for (field, value) in bad {
        match create(site, &json!({ *field: value })).await? {
            Ok(_) => wrong.push(format!("{field}: {value} is taken")),
            Err(message) if !message.contains(&format!("spec.{field}")) => wrong.push(format!("{field}: {value}: {message}")),
            Err(_) => {}
        }
    }
    let together = [
        json!({ "permanentRedirect": "/a", "temporalRedirect": "https://x.test/" }),
        json!({ "sslRedirect": false, "forceSslRedirect": true }),
    ];
    for spec in together {
        let refused = create(site, &spec).await?;
        let names = |message: &str| spec.as_object().is_some_and(|fields| fields.keys().all(|field| message.contains(field)));
        if !refused.as_ref().is_err_and(|message| names(message)) {
            wrong.push(format!("{spec}: {refused:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn a_good_setting_is_taken(site: &Site) -> anyhow::Result<()> {
    let good = [
        json!({}),
        json!({ "compatibility": "native", "sslRedirect": false, "forceSslRedirect": false, "fromToWwwRedirect": true }),
        json!({ "compatibility": "ingress-nginx", "sslRedirect": true, "forceSslRedirect": true }),
        json!({ "permanentRedirect": "https://new.test/here?x=%20#part", "permanentRedirectCode": 308 }),
        json!({ "permanentRedirect": "/elsewhere", "permanentRedirectCode": 300 }),
        json!({ "permanentRedirect": "https://[2001:db8::1]:8443/" }),
        json!({ "permanentRedirect": "https://new.test:65535" }),
        json!({ "temporalRedirect": "HTTPS://new.test", "temporalRedirectCode": 307 }),
        json!({ "appRoot": "/app" }),
        json!({ "appRoot": "/app/home/?tab=1" }),
        json!({ "backendProtocol": "HTTP" }),
        json!({ "backendProtocol": "HTTPS" }),
        json!({ "backendProtocol": "AUTO_HTTP" }),
        json!({ "backendProtocol": "GRPC" }),
        json!({ "backendProtocol": "GRPCS" }),
        json!({ "proxyConnectTimeout": "500ms", "proxyReadTimeout": "1h", "proxySendTimeout": "1m30s" }),
        json!({ "proxyReadTimeout": "4294967295s" }),
        json!({ "proxyBodySize": 0 }),
        json!({ "proxyBodySize": "1024" }),
        json!({ "proxyBodySize": "8Ki" }),
        json!({ "proxyBodySize": "64Mi" }),
        json!({ "proxyBodySize": "3Gi" }),
        json!({ "proxyBodySize": 4_294_967_296_i64 }),
    ];
    let mut wrong = Vec::new();
    for spec in good {
        match create(site, &spec).await? {
            Ok(stored) => wrong.extend(understood(&stored).err().map(|error| format!("{spec}: {error:#}"))),
            Err(message) => wrong.push(format!("{spec}: {message}")),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Whether we read a spec without a finding that makes it bad.
fn understood(spec: &Value) -> anyhow::Result<()> {
    let spec = serde_json::from_value(spec.clone()).context("it is not even read")?;
    let read = policy::of_class(&ObjectRef::new(Kind::ClassParameters, "", "x"), &spec);
    ensure!(read.verdict == Verdict::Serve, "{:?}", read.diagnostics);
    Ok(())
}

/// Values where grammars may differ, by space.
const DURATIONS: &str = "1ms 0s1ms 0h0m0s 4294967295s 4294967295s999ms 1193046h 1193047h 00001s 1s1s 1h1m1s1ms 999999999h 9223372036s
    9999999999999999999999999s 18446744073709551615ms 1m0 ms 1S 1us 1ns +1s";
const URLS: &str = "http://[::1]/ http://[ http://[::1 http://[::1]x/ http://[::1]:80x/ http://[]/ http://[g]/ http://[::1]:/ http://x:y/
    http://x:99999/ http://x:65536/ http://x:65535/ http://x:/ http://x@y/ http://x:1@y:2/ http://a@b@c/ http://@y/ http://:80/
    http://x:80:90/ http://%41/ http://%/ http://x%41/ http://%2f/ http://-/ http://./ http://~/ http://_/ http://a,b/ http://a;b/
    http://a=b/ http://a+b/ http://a!b/ http://a*b/ http://(a)/ http://'/ http://a'b/ http://a&b/ http://x]/ http://x[/ http://x[::1]/
    http://x?y http://x#y http://x/[ http://x/#a#b HTTP://X/ hTtPs://x x-y+z.a://h x:// http:/// http://? / // //x.test/ /// /%41 /%2 /%zz
    /[ /# /? /%00 /../.. mailto:x@y http:x http://x/\u{e9}";
const PATHS: &str =
    "/a /a/ /%2f /%2F /%00 /./. /./a /a/. /x/.. /x/../a /a//b /a/../.. /.. /../a /%2e /%2E%2e /a/%2e%2e /x/%2e%2e /a;b /..;/a
    /a/..; /; /%5c /..%5c /..%2f /a%2f.. /.?x /%2e?x /..?x /a/..?x /% /%2 /... /.a /..a /a.. /@ /[ /? /?? /a# /%23 /%3f /%25 /%2500 /' /:
    /a:b /a/b?c=/../d";
const SIZES: &str =
    "0 00000000000000000001 9223372036854775807 9223372036854775808 99999999999999999999 9007199254740991Ki 9007199254740992Ki
    8796093022207Mi 8796093022208Mi 8589934591Gi 8589934592Gi 99999999999999999Gi 1Ti 1e3 +1 0x1 1ki";

fn odd_specs() -> Vec<Value> {
    let sizes = [json!(""), json!(" 1"), json!(i64::MAX), json!(1.0), json!(1.5), json!(i64::MIN), json!(null)];
    let mut specs: Vec<_> = sizes.iter().map(|size| json!({ "proxyBodySize": size })).collect();
    specs.extend(SIZES.split_whitespace().map(|size| json!({ "proxyBodySize": size })));
    specs.extend(DURATIONS.split_whitespace().chain(["", " 1s", "1s\n"]).map(|text| json!({ "proxyReadTimeout": text })));
    let urls = URLS.split_whitespace().chain(["", "http://x/ ", " http://x/", "/\n"]);
    specs.extend(urls.flat_map(|text| [json!({ "permanentRedirect": text }), json!({ "temporalRedirect": text })]));
    specs.extend(PATHS.split_whitespace().chain(["", "/a ", "/a\n"]).map(|text| json!({ "appRoot": text })));
    specs.extend((299..310).flat_map(|code| [json!({ "permanentRedirectCode": code }), json!({ "temporalRedirectCode": code })]));
    specs
}

/// Whatever the API server takes must be read by us, or it would be stored and not served.
async fn what_the_api_server_takes_we_understand(site: &Site) -> anyhow::Result<()> {
    let specs = odd_specs();
    let (mut taken, mut wrong) = (0, Vec::new());
    for spec in &specs {
        if let Ok(stored) = create(site, spec).await? {
            taken += 1;
            wrong.extend(understood(&stored).err().map(|error| format!("{spec}: {error:#}")));
        }
    }
    ensure!(taken > 50, "the API server took only {taken} of {} specs", specs.len());
    ensure!(wrong.is_empty(), "{} of {taken} are taken and not understood:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}
