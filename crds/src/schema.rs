//! Schemas of fields, with what the API server checks by itself (patterns, and rules in CEL).

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// Characters of a URL (RFC 3986), percent-escapes complete; `$` is left out, since ingress-nginx reads a variable there.
const URL_CHARACTERS: &str = r"([-A-Za-z0-9._~:/?#\[\]@!&'()*+,;=]|%[0-9A-Fa-f]{2})";

/// A host (a name, an IPv4 address, or an IPv6 address in brackets), perhaps with a port of at most 65535. Credentials are none of a
/// redirect's business.
const AUTHORITY: &str =
    r"([-A-Za-z0-9._~]+|\[[0-9A-Fa-f:.]+\])(:([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?";

/// Rules over more than one field.
pub(crate) fn spec_rules() -> Value {
    json!([
        {
            "rule": "!(has(self.permanentRedirect) && has(self.temporalRedirect))",
            "message": "permanentRedirect and temporalRedirect exclude each other",
        },
        {
            "rule": "!(has(self.sslRedirect) && has(self.forceSslRedirect) && !self.sslRedirect && self.forceSslRedirect)",
            "message": "forceSslRedirect: true contradicts sslRedirect: false",
        },
    ])
}

/// An absolute URL or an absolute path.
pub(crate) fn location(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 2048,
        "pattern": format!("^(/{URL_CHARACTERS}*|[A-Za-z][-A-Za-z0-9+.]*://{AUTHORITY}([/?#]{URL_CHARACTERS}*)?)$"),
    })
}

/// An absolute http or https URL.
pub(crate) fn http_url(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 2048,
        "pattern": format!("^[Hh][Tt][Tt][Pp][Ss]?://{AUTHORITY}([/?#]{URL_CHARACTERS}*)?$"),
    })
}

/// An absolute path, perhaps with a query, other than the root.
pub(crate) fn path_below_root(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 2048,
        "pattern": format!("^/{URL_CHARACTERS}*$"),
        "x-kubernetes-validations": [
            { "rule": "!self.startsWith('//') && !self.contains('#')", "message": "must be an absolute path of the same host" },
            { "rule": "self.split('?')[0] != '/'", "message": "must not be / itself: the redirect would never end" },
            {
                "rule": "!self.split('?')[0].matches('(/|%2[fF]|%5[cC])([.]|%2[eE]){1,2}(;|/|%2[fF]|%5[cC]|$)|%00')",
                "message": "must be free of dot segments, however they are written, and of %00",
            },
        ],
    })
}

/// A time as `metav1.Duration` writes it, more than zero.
pub(crate) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 32,
        "pattern": "^([0-9]+(ms|s|m|h))+$",
        "x-kubernetes-validations": [
            { "rule": "duration(self) > duration('0s')", "message": "must be more than zero" },
            { "rule": "duration(self) <= duration('4294967295s')", "message": "must be at most 4294967295s" },
        ],
    })
}

/// A size in bytes: a number, or text with a binary suffix.
pub(crate) fn size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "maxLength": 20,
        // Of each unit so many digits that they stay below 2^63 bytes.
        "pattern": "^([0-9]{1,18}|[0-9]{1,15}Ki|[0-9]{1,12}Mi|[0-9]{1,9}Gi)$",
        "x-kubernetes-validations": [
            { "rule": "type(self) != int || self >= 0", "message": "must not be negative" },
        ],
    })
}

/// Conditions as in `metav1.Condition`, one of each type.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": { "type": "string", "maxLength": 316 },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"] },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0 },
                "lastTransitionTime": { "type": "string", "format": "date-time" },
                "reason": { "type": "string", "minLength": 1, "maxLength": 1024 },
                "message": { "type": "string", "maxLength": 32768 },
            },
        },
    })
}
