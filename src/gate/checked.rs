//! States as JSON, each with the checksum of its own JSON: one that was damaged on its way is refused, not gone on from.
//!
//! The checksum is part of how a state serializes (`#[serde(with = "checked")]` on its fields), so that it is there in whatever
//! a state is written into, too. It is that of the JSON this crate writes, whatever others make of blanks and order.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, Serializer};

use super::binary::Owner;
use crate::error::{Error, ErrorKind, Result};

#[derive(serde::Serialize, serde::Deserialize)]
struct Checked<S> {
    crc32c: u32,
    state: S,
}

fn checksum(state: &impl Serialize) -> serde_json::Result<u32> {
    serde_json::to_vec(state).map(|json| crc32c::crc32c(&json))
}

pub(super) fn serialize<S: Serialize, T: Serializer>(state: &S, serializer: T) -> Result<T::Ok, T::Error> {
    let crc32c = checksum(state).map_err(T::Error::custom)?;
    Checked { crc32c, state }.serialize(serializer)
}

pub(super) fn deserialize<'de, S, D>(deserializer: D) -> Result<S, D::Error>
where
    S: Serialize + Deserialize<'de>,
    D: Deserializer<'de>,
{
    let Checked { crc32c, state } = Checked::<S>::deserialize(deserializer)?;
    let found = checksum(&state).map_err(D::Error::custom)?;
    if found == crc32c {
        return Ok(state);
    }
    Err(D::Error::custom(format!(
        "it is not what was written: its checksum is {found:08x}, not {crc32c:08x}"
    )))
}

/// The JSON of a state.
pub(super) fn to_json(state: &impl Serialize, owner: Owner) -> Result<String> {
    serde_json::to_string(state).map_err(|error| {
        let text = format!("the state of {owner} cannot be written as JSON");
        Error::new(ErrorKind::InvalidArgument, text).caused_by(error)
    })
}

/// The state in this text.
pub(super) fn from_json<'de, S: Deserialize<'de>>(text: &'de str, owner: Owner) -> Result<S> {
    serde_json::from_str(text).map_err(|error| {
        Error::new(ErrorKind::Corrupt, format!("this is no state of {owner}: {error}")).caused_by(error)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::Value;

    use crate::error::{ErrorKind, Result};

    /// Exchanges every value of a state's JSON, one at a time, and lets none of them be read.
    pub(in crate::gate) fn every_edit_is_refused<S: std::fmt::Debug>(
        json: &str,
        from_json: impl Fn(&str) -> Result<S>,
    ) {
        let whole: Value = serde_json::from_str(json).unwrap();
        let blanks = serde_json::to_string_pretty(&whole).unwrap();
        assert!(from_json(&blanks).is_ok(), "blanks and the order of fields do not matter");
        let mut paths = Vec::new();
        leaves(&whole, String::new(), &mut paths);
        assert!(paths.len() > 10);
        for path in paths {
            let mut edited = whole.clone();
            let value = edited.pointer_mut(&path).unwrap();
            *value = match &*value {
                Value::Null => Value::from(1),
                Value::Bool(flag) => Value::from(!flag),
                Value::Number(number) => Value::from(u8::from(number.as_f64() == Some(0.0))),
                Value::String(text) => Value::from(format!("{text}!")),
                Value::Array(_) | Value::Object(_) => Value::Null,
            };
            let error = from_json(&edited.to_string()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{path}: {error}");
        }
    }

    fn leaves(value: &Value, path: String, paths: &mut Vec<String>) {
        let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
        match value {
            Value::Array(list) if !list.is_empty() => {
                list.iter()
                    .enumerate()
                    .for_each(|(index, inner)| leaves(inner, format!("{path}/{index}"), paths));
            }
            Value::Object(fields) if !fields.is_empty() => {
                fields
                    .iter()
                    .for_each(|(name, inner)| leaves(inner, format!("{path}/{}", escaped(name)), paths));
            }
            _ => paths.push(path),
        }
    }
}
