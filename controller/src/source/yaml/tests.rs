#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn one(text: &str) -> Document {
    let mut all = documents(text);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0).unwrap()
}

fn error(text: &str) -> InvalidYaml {
    documents(text).into_iter().find_map(Result::err).unwrap()
}

#[test]
fn words_mean_what_they_mean_to_kubectl() {
    for (word, value) in [
        ("yes", json!(true)),
        ("On", json!(true)),
        ("n", json!(false)),
        ("'yes'", json!("yes")),
        ("\"on\"", json!("on")),
        ("!!str yes", json!("yes")),
        ("~", json!(null)),
        ("80", json!(80)),
        ("-1", json!(-1)),
        ("+1", json!(1)),
        ("0777", json!(511)),
        ("0x1F", json!(31)),
        ("0b11", json!(3)),
        ("1_000", json!(1000)),
        ("09", json!(9)),
        ("80.0", json!(80)),
        ("1.5", json!(1.5)),
        ("1e3", json!(1000)),
        ("10m", json!("10m")),
        ("1.2.3", json!("1.2.3")),
        ("10.0.0.1", json!("10.0.0.1")),
        ("2001-12-14", json!("2001-12-14")),
        ("2024-01-02T03:04:05Z", json!("2024-01-02T03:04:05Z")),
        ("'-'", json!("-")),
        ("2001:db8::1", json!("2001:db8::1")),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
    ] {
        assert_eq!(one(&format!("a: {word}")).value, json!({ "a": value }), "{word}");
    }
    assert!(error("a: .inf").message.contains(".inf"));
}

#[test]
fn every_field_has_its_line() {
    let document = one(
        "# a comment\nkind: Ingress\nspec:\n  rules:\n  - host: a\n    http:\n      paths: [{path: /}, {path: /b}]\n  - host: b\ndata:\n  tls.crt: |\n    x\n",
    );
    let line = |path: &str| document.lines.get(path).copied();
    assert_eq!(document.line, 2);
    assert_eq!(line("spec"), Some(3));
    assert_eq!(line("spec.rules[0]"), Some(5));
    assert_eq!(line("spec.rules[0].http.paths[1].path"), Some(7));
    assert_eq!(line("spec.rules[1].host"), Some(8));
    assert_eq!(line("data[tls.crt]"), Some(10));
}

#[test]
fn a_broken_document_costs_itself_and_its_line_is_that_of_the_file() {
    let all = documents("a: 1\n--- # second\nb: [\n---\nc: 3\n...\n---\n# nothing\n---\nd: {e: 5}\n");
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(all[0].as_ref().unwrap().value, json!({ "a": 1 }));
    assert!((3..=4).contains(&all[1].as_ref().unwrap_err().line), "{all:?}");
    assert_eq!(all[2].as_ref().unwrap().lines["c"], 5);
    assert_eq!(all[3].as_ref().unwrap().lines["d.e"], 10);
}

#[test]
fn directives_belong_to_the_document_that_follows() {
    assert_eq!(one("%YAML 1.2\n---\na: 1\n").value, json!({ "a": 1 }));
}

#[test]
fn a_key_that_stands_twice_is_an_error() {
    let error = error("a: 1\nb: 2\na: 3\n");
    assert_eq!((error.line, error.message.as_str()), (3, "the key `a` stands twice in this mapping"));
}

#[test]
fn anchors_and_merges_are_expanded() {
    let document = one("base: &base {a: 1, b: 2}\none: *base\ntwo:\n  <<: *base\n  b: 3\nthree:\n  <<: [{a: 5}, *base]\n");
    assert_eq!(document.value["one"], json!({"a": 1, "b": 2}));
    assert_eq!(document.value["two"], json!({"b": 3, "a": 1}));
    assert_eq!(document.value["three"], json!({"a": 5, "b": 2}));
}

#[test]
fn aliases_cannot_multiply_without_end() {
    let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..10 {
        let before = format!("*a{}", level - 1);
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(", ")));
    }
    assert!(error(&laughs).message.contains("aliases"));
    assert!(error("a: &a [*a]").message.contains("anchor"));
}

#[test]
fn a_document_cannot_nest_without_end() {
    assert!(error(&"- ".repeat(200)).message.contains("nests deeper"));
    assert!(documents(&"[".repeat(100_000)).iter().all(Result::is_err));
}

#[test]
fn json_with_tabs_and_escapes_is_yaml_too() {
    assert_eq!(
        one("{\n\t\"a\": [1, true, null, \"x\\ny\\/\"],\n\t\"b\": {\"c\": \"\\u00e9\"}\n}\n").value,
        json!({"a": [1, true, null, "x\ny/"], "b": {"c": "é"}})
    );
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_do_not_matter() {
    assert_eq!(
        documents("\u{feff}a: 1\r\n---\r\nb: two\r\n").into_iter().map(|d| d.unwrap().value).collect::<Vec<_>>(),
        [json!({"a": 1}), json!({"b": "two"})]
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(?s)[ \\n\\t:\\-\\[\\]{}&*!|>'\"%@`,#?a-c0-9~<.]{0,60}") {
        let _ = documents(&text);
    }

    #[test]
    fn what_json_writes_is_read_back(words in proptest::collection::vec("[a-z/._-]{0,8}", 0..6), number in any::<i64>()) {
        let value = json!({ "words": words, "number": number, "nested": [{ "more": words }] });
        let text = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(one(&text).value, value);
    }
}
