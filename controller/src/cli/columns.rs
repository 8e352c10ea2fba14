//! Pages as tables for people, and the words for what stands in them.

use std::fmt;

use serde_json::Value;

/// Rows of texts under their titles.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    titles: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles: Vec<String> = self.titles.iter().map(|title| (*title).to_owned()).collect();
        let all = || std::iter::once(&titles).chain(&self.rows);
        let width = |at: usize| all().filter_map(|row| row.get(at)).map(|text| text.chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..titles.len()).map(width).collect();
        for row in all() {
            let cells = row.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("   ").trim_end())?;
        }
        Ok(())
    }
}

/// Returns the elements of a list.
pub(super) fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Returns the text of a field; empty without one.
pub(super) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Names an object: `Ingress shop/web`.
pub(super) fn object(value: Option<&Value>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let (kind, namespace, name) = (text(value, "kind"), text(value, "namespace"), text(value, "name"));
    if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
}

/// Says how a route matches: `Prefix /cart`.
pub(super) fn path(route: &Value) -> String {
    match route.get("path").and_then(Value::as_object).and_then(|path| path.iter().next()) {
        Some((how, path)) => format!("{} {}", if how == "exact" { "Exact" } else { "Prefix" }, path.as_str().unwrap_or_default()),
        None => "default".to_owned(),
    }
}

/// Says where a route leads: `shop/cart:80`.
pub(super) fn backend(route: &Value) -> String {
    let Some(backend) = route.get("backend") else { return "-".to_owned() };
    if let Some(reason) = backend.get("unavailable").and_then(Value::as_str) {
        return format!("none ({reason})");
    }
    let Some(forward) = backend.get("forward") else { return "-".to_owned() };
    let protocol = text(forward, "protocol");
    let over = if protocol == "http1" { String::new() } else { format!(" over {protocol}") };
    format!("{}{over}", text(forward, "upstream"))
}

/// Names the filters of a route.
pub(super) fn filters(route: &Value) -> String {
    let name = |filter: &Value| {
        let (name, what) = filter.as_object()?.iter().next()?;
        Some(match what {
            Value::Object(redirect) => {
                let status = redirect.get("status").map(Value::to_string).unwrap_or_default();
                format!("{name} {status} {}", redirect.get("when").and_then(Value::as_str).unwrap_or_default())
            }
            Value::String(text) => format!("{name} {text}"),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => format!("{name} {what}"),
        })
    };
    route.get("filters").into_iter().flat_map(elements).filter_map(name).collect::<Vec<_>>().join(", ")
}

pub(super) fn routes(page: &Value) -> Table {
    let row = |route: &Value| {
        let host = if route.get("fallback").is_some() { "all the rest".to_owned() } else { text(route, "host").to_owned() };
        let listeners: Vec<_> = route.get("listeners").into_iter().flat_map(elements).filter_map(Value::as_str).collect();
        vec![host, path(route), object(route.get("origin")), backend(route), listeners.join(","), filters(route)]
    };
    Table { titles: &["HOST", "PATH", "OBJECT", "BACKEND", "ON", "FILTERS"], rows: elements(page).map(row).collect() }
}

/// Returns the certificates of all listeners as one list: each with its listener and its host; the default one has none.
pub(super) fn all_certificates(page: &Value) -> Vec<(&str, Option<&str>, &Value)> {
    let of = |listener| {
        let name = text(listener, "listener");
        let by_host = listener.get("certificates").into_iter().flat_map(elements);
        let by_host = by_host.filter_map(move |entry| Some((name, Some(text(entry, "host")), entry.get("certificate")?)));
        by_host.chain(listener.get("default").map(|default| (name, None, default)))
    };
    elements(page).flat_map(of).collect()
}

pub(super) fn certificates(page: &Value) -> Table {
    let row = |(listener, host, certificate): (&str, Option<&str>, &Value)| {
        let names: Vec<_> = certificate.get("names").into_iter().flat_map(elements).filter_map(Value::as_str).collect();
        let host = host.unwrap_or("all the rest").to_owned();
        vec![host, object(certificate.get("origin")), names.join(","), text(certificate, "not_after").to_owned(), listener.to_owned()]
    };
    Table { titles: &["SERVER NAME", "OBJECT", "VALID FOR", "UNTIL", "ON"], rows: all_certificates(page).into_iter().map(row).collect() }
}

pub(super) fn backends(page: &Value) -> Table {
    let rows = |backend: &Value| {
        let name = text(backend, "backend").to_owned();
        let row = |endpoint: &Value| {
            let serves = if endpoint.get("serves") == Some(&Value::Bool(true)) { "yes" } else { "no" };
            let state = text(endpoint, "state").replace('_', " ");
            vec![name.clone(), text(endpoint, "address").to_owned(), state, serves.to_owned(), text(endpoint, "name").to_owned()]
        };
        let rows: Vec<_> = backend.get("endpoints").into_iter().flat_map(elements).map(row).collect();
        if !rows.is_empty() {
            return rows;
        }
        let unasked = || format!("not looked up: the DNS name {}", text(backend, "external_name"));
        let problem = backend.get("problem").and_then(Value::as_str).map_or_else(unasked, str::to_owned);
        // A sentence: in the last column it widens no other.
        vec![vec![name.clone(), "none".to_owned(), String::new(), "no".to_owned(), problem]]
    };
    Table { titles: &["BACKEND", "ENDPOINT", "STATE", "SERVES", "NAME"], rows: elements(page).flat_map(rows).collect() }
}

pub(super) fn diagnostics(page: &Value) -> Table {
    let row = |found: &Value| {
        let field = |name| text(found, name).to_owned();
        vec![field("severity"), field("code"), object(found.get("object")), field("field"), field("message")]
    };
    Table { titles: &["SEVERITY", "CODE", "OBJECT", "FIELD", "MESSAGE"], rows: elements(page).map(row).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_text_and_lines_end_without_blanks() {
        let page = json!([
            { "severity": "error", "code": "missing_service", "object": { "kind": "Ingress", "namespace": "a", "name": "b" }, "message": "gone" },
            { "severity": "warning", "code": "x", "object": { "kind": "IngressClass", "namespace": "", "name": "c" }, "field": "spec", "message": "m" },
        ]);
        let expected = "\
SEVERITY   CODE              OBJECT           FIELD   MESSAGE
error      missing_service   Ingress a/b              gone
warning    x                 IngressClass c   spec    m
";
        assert_eq!(diagnostics(&page).to_string(), expected);
    }

    #[test]
    fn an_empty_list_has_its_titles() {
        assert_eq!(routes(&json!([])).to_string(), "HOST   PATH   OBJECT   BACKEND   ON   FILTERS\n");
    }
}
