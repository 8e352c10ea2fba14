//! How values of `http`, which have no serde, stand in dumps of the table: `#[serde(serialize_with = "dump::status")]`.

use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Serializer;

/// Writes a status as its number.
pub(crate) fn status<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

/// Writes a header's value; what is not UTF-8 in it is replaced.
pub(crate) fn header_value<S: Serializer>(value: &HeaderValue, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(value.as_bytes()))
}

/// Writes a header's name.
pub(crate) fn header_name<S: Serializer>(name: &HeaderName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}

/// Writes a method; `None` as null.
pub(crate) fn method<S: Serializer>(method: &Option<Method>, serializer: S) -> Result<S::Ok, S::Error> {
    match method {
        Some(method) => serializer.serialize_some(method.as_str()),
        None => serializer.serialize_none(),
    }
}
