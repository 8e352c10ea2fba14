//! How values of `http`, which have no serde, stand in a saved [`Policy`](super::Policy): `#[serde(with = "http_values::header")]`.

/// A header's value as text.
pub(super) mod header {
    use http::HeaderValue;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Option<HeaderValue>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes())).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HeaderValue>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| HeaderValue::try_from(text).map_err(D::Error::custom)).transpose()
    }
}

/// A status as its number.
pub(super) mod status {
    use http::StatusCode;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(status: &Option<StatusCode>, serializer: S) -> Result<S::Ok, S::Error> {
        status.map(|status| status.as_u16()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StatusCode>, D::Error> {
        let number = Option::<u16>::deserialize(deserializer)?;
        number.map(|number| StatusCode::from_u16(number).map_err(D::Error::custom)).transpose()
    }
}
