//! `docs/annotations.md`, made of the tables.

#![expect(clippy::expect_used, reason = "tests")]

use std::fmt::Write;

use super::unbuilt::OffWhen;
use super::*;

const HEAD: &str = "\
# Annotations of an Ingress

Every annotation has two names: `nginx.ingress.kubernetes.io/X`, which takes the values that ingress-nginx takes, and `tidegate.dev/X`,
which takes the same and, where said, more. Where both are set and mean different things, `tidegate.dev/X` wins, and the diagnostic
[`conflicting_annotation`](diagnostics.md) says so; of a protection, all paths of the Ingress refuse instead. Where neither is set, the
[parameters of the class](class-parameters.md) hold, then the default.

An empty value counts as not set. No value may hold control characters, or white space around it. A value that cannot be understood is
told as [`invalid_annotation`](diagnostics.md), and has one of these answers:

- *default*: it counts as not set;
- *last good*: the Ingress as a whole stays as it was when all of it was last understood; one that never was is not served.

Names under the two prefixes that do not exist are told as `unknown_annotation`, with the nearest name that does. Annotations of other
prefixes are not looked at.
";

const UNBUILT_HEAD: &str = "
## Known, and not supported yet

These annotations of ingress-nginx are told as [`unsupported_annotation`](diagnostics.md) when they are set.

The Ingress is served without them:
";

const PROTECTIONS_HEAD: &str = "
Those below keep requests away, or may do so (snippets can hold `deny` and the like; each annotation of the `auth` families shows that
somebody wants authentication). They never fail open: **all paths of the Ingress answer 503** until they are removed, and
[`protection_refused`](diagnostics.md) names them.

| annotation | off, so that nothing refuses, when its value is |
|---|---|
";

const CANARY: &str = "
An Ingress with `canary: \"true\"` is an addition to another one, and is not served at all, so that it never takes the other's place.
";

const UNREAD_HEAD: &str = "
## Names that no ingress-nginx reads

Manifests carry them all the same. They have no effect, here as there.

| annotation | why |
|---|---|
";

fn page() -> String {
    let mut page = format!("<!-- Generated; `UPDATE_GENERATED=1 cargo test -p tidegate --lib` writes it anew. -->\n{HEAD}");
    for row in ROWS {
        let example = format!("{TIDEGATE}{}: {:?}", row.setting.name(), row.example);
        write!(
            page,
            "\n## {}\n\n{}\n\n- Values: {}\n- Default: {}.\n- Bad value: {}.\n- Applies to {}. Risk: {}. Class-wide: `{}`.\n- Example: `{example}`\n",
            row.setting.name(),
            row.doc,
            row.values,
            row.default,
            bad_value(row.bad_value),
            row.scope.as_str(),
            row.risk.as_str(),
            row.setting.camel_case(),
        )
        .expect("text grows");
    }
    page.push_str(UNBUILT_HEAD);
    page.push('\n');
    for unbuilt in UNBUILT.iter().filter(|unbuilt| unbuilt.role == Role::Feature) {
        writeln!(page, "- `{}`", unbuilt.name).expect("text grows");
    }
    page.push_str(CANARY);
    page.push_str(PROTECTIONS_HEAD);
    for unbuilt in UNBUILT {
        if let Role::Protection(off) = unbuilt.role {
            writeln!(page, "| `{}` | {} |", unbuilt.name, off_values(off)).expect("text grows");
        }
    }
    page.push_str(UNREAD_HEAD);
    for (name, advice) in UNREAD {
        writeln!(page, "| `{name}` | {advice} |").expect("text grows");
    }
    page
}

fn bad_value(answer: BadValue) -> &'static str {
    match answer {
        BadValue::Default => "default",
        BadValue::KeepLastGood => "last good",
        BadValue::DefaultIfNumber => "default where it is a number out of range, else last good",
        BadValue::Refuse => "all paths of the Ingress answer 503",
    }
}

fn off_values(off: OffWhen) -> String {
    match off {
        OffWhen::Never => "-".to_owned(),
        OffWhen::Empty => "empty".to_owned(),
        OffWhen::False => "false, or empty".to_owned(),
        OffWhen::Zero => "`0` or less, or empty".to_owned(),
        OffWhen::Is(value) => format!("`{value}`, or empty"),
    }
}

#[test]
fn the_page_of_annotations_is_current() {
    crate::generated::assert_current("docs/annotations.md", &page());
}
