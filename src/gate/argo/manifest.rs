//! Kubernetes manifests as YAML and JSON: objects of one kind among others, and the forms that their fields come in.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};

use crate::error::{Error, ErrorKind, Result};

/// Every document of a YAML file; empty ones are left out.
#[cfg(feature = "argo")]
pub(in crate::gate) fn documents<T: DeserializeOwned>(text: &str) -> Result<Vec<T>> {
    serde_saphyr::from_multiple(text)
        .map_err(|error| Error::new(ErrorKind::Parse, error.to_string()).caused_by(error.to_string()))
}

/// By document of a YAML file, the object if it is of this kind.
#[cfg(feature = "argo")]
pub(in crate::gate) fn from_yaml<M: Manifest>(text: &str) -> Result<Vec<Option<M>>> {
    Ok(documents::<Document<M>>(text)?.into_iter().map(|document| document.0).collect())
}

/// The object of a JSON text if it is of this kind.
pub(in crate::gate) fn from_json<M: Manifest>(text: &str) -> Result<Option<M>> {
    json::<Document<M>>(text).map(|document| document.0)
}

/// A JSON text.
pub(in crate::gate) fn json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Error::new(ErrorKind::Parse, error.to_string()).caused_by(error))
}

/// A kind of object that is read; documents of other kinds are skipped whatever is in them.
pub(in crate::gate) trait Manifest: Sized {
    type Spec: Default + DeserializeOwned;
    /// What a document is.
    const EXPECTED: &'static str;

    /// Whether an object of this kind, or without one, is read.
    fn is_kind(kind: Option<&str>) -> bool;

    /// Takes a field beside `kind`, `metadata` and `spec` that stands before any kind. Answers whether it makes the document a
    /// bare spec.
    fn bare_field<'de, A: MapAccess<'de>>(
        _spec: &mut Self::Spec,
        _name: &str,
        map: &mut A,
    ) -> Result<bool, A::Error> {
        map.next_value::<IgnoredAny>().map(|_| false)
    }

    fn build(kind: Option<&str>, metadata: Metadata, spec: Self::Spec) -> Self;
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::gate) struct Metadata {
    #[serde(deserialize_with = "text")]
    pub(in crate::gate) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(in crate::gate) annotations: Annotations,
}

#[derive(Default)]
pub(in crate::gate) struct Annotations(pub(in crate::gate) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Annotations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
                let mut entries = Vec::new();
                while let Some((name, text)) = map.next_entry::<String, Option<Text>>()? {
                    entries.push((name, text.unwrap_or_default().0));
                }
                Ok(Annotations(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// One document of a file.
struct Document<M>(Option<M>);

impl<'de, M: Manifest> Deserialize<'de> for Document<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<M>(PhantomData<M>);

        impl<'de, M: Manifest> Visitor<'de> for Fields<M> {
            type Value = Document<M>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(M::EXPECTED)
            }

            fn visit_unit<E>(self) -> Result<Document<M>, E> {
                Ok(Document(None))
            }

            fn visit_none<E>(self) -> Result<Document<M>, E> {
                Ok(Document(None))
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document<M>, D::Error> {
                deserializer.deserialize_map(self)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Document<M>, A::Error> {
                object(map).map(Document)
            }
        }

        deserializer.deserialize_option(Fields(PhantomData))
    }
}

fn object<'de, M: Manifest, A: MapAccess<'de>>(mut map: A) -> Result<Option<M>, A::Error> {
    let mut kind: Option<String> = None;
    let mut metadata = Metadata::default();
    let mut spec = M::Spec::default();
    let mut early_spec: Option<serde_json::Value> = None;
    let mut is_bare_spec = false;
    while let Some(name) = map.next_key::<String>()? {
        let ours = kind.as_deref().map(|kind| M::is_kind(Some(kind)));
        match (name.as_str(), ours) {
            ("kind", _) => kind = Some(map.next_value()?),
            ("metadata", None | Some(true)) => metadata = map.next_value::<OrDefault<Metadata>>()?.0,
            ("spec", Some(true)) => spec = map.next_value::<OrDefault<M::Spec>>()?.0,
            // The kind comes later, if at all: until then this may be anything.
            ("spec", None) => early_spec = Some(map.next_value()?),
            (_, None) => is_bare_spec |= M::bare_field(&mut spec, &name, &mut map)?,
            (_, Some(_)) => {
                map.next_value::<IgnoredAny>()?;
            }
        }
    }
    let is_found = kind.is_some() || is_bare_spec || early_spec.is_some();
    if !is_found || !M::is_kind(kind.as_deref()) {
        return Ok(None);
    }
    if let Some(early) = early_spec {
        spec = serde_json::from_value::<OrDefault<M::Spec>>(early).map_err(A::Error::custom)?.0;
    }
    Ok(Some(M::build(kind.as_deref(), metadata, spec)))
}

/// A value that may be written as nothing, `key:`, which is its default.
pub(in crate::gate) struct OrDefault<T>(pub(in crate::gate) T);

impl<'de, T: Default + Deserialize<'de>> Deserialize<'de> for OrDefault<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        or_default(deserializer).map(Self)
    }
}

pub(in crate::gate) fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Text; numbers and truth values count as what was written.
#[derive(Default)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;

        impl Visitor<'_> for Scalar {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
        }

        deserializer.deserialize_str(Scalar)
    }
}

pub(in crate::gate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    optional_text(deserializer).map(Option::unwrap_or_default)
}

pub(in crate::gate) fn optional_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Ok(Option::<Text>::deserialize(deserializer)?.map(|text| text.0))
}
