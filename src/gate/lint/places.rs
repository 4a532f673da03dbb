//! Where the fields of a template stand in its YAML.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{NonFiniteFloatPolicy, Spanned};

/// Line and column of every field of one template, by its path.
#[derive(Debug, Default)]
pub(super) struct Places {
    of: HashMap<String, (u64, u64)>,
}

impl Places {
    /// Where a field stands, or the nearest thing around it that is there.
    pub(super) fn find(&self, path: &str) -> Option<(u64, u64)> {
        let mut path = path;
        loop {
            if let Some(place) = self.of.get(path) {
                return Some(*place);
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }
}

/// The places of every template of a file that was read, in order; of what is read as text and is no value for itself, none.
pub(super) fn places(text: &str) -> Vec<Places> {
    let options = serde_saphyr::options! {
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
    };
    let documents: Vec<Spanned<Node>> =
        serde_saphyr::from_multiple_with_options(text, options).unwrap_or_default();
    let mut all = Vec::new();
    for document in documents {
        let Node::Map(fields) = &document.value else { continue };
        let kind = fields.iter().find_map(|(name, node)| match &node.value {
            Node::Text(text) if name == "kind" => Some(text.as_str()),
            _ => None,
        });
        let mut places = Places::default();
        match kind {
            Some("AnalysisTemplate" | "ClusterAnalysisTemplate") => places.note("", &document),
            Some(_) => continue,
            None if fields.iter().any(|(name, _)| name == "spec") => places.note("", &document),
            None => places.note("spec", &document),
        }
        all.push(places);
    }
    all
}

impl Places {
    fn note(&mut self, path: &str, node: &Spanned<Node>) {
        self.of.insert(path.to_owned(), (node.referenced.line(), node.referenced.column()));
        match &node.value {
            Node::Text(_) | Node::Other => {}
            Node::Map(fields) => {
                for (name, field) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.note(&path, field);
                }
            }
            Node::List(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.note(&format!("{path}[{index}]"), element);
                }
            }
        }
    }
}

/// Any YAML, as far as places need it.
enum Node {
    Text(String),
    Map(Vec<(String, Spanned<Node>)>),
    List(Vec<Spanned<Node>>),
    Other,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;

        impl<'de> Visitor<'de> for Anything {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
                Ok(Node::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
                Ok(Node::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
                Ok(Node::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
                Ok(Node::Other)
            }

            fn visit_str<E>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Other)
            }

            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Other)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
                deserializer.deserialize_any(self)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut fields = Vec::new();
                while let Some(key) = map.next_key::<Node>()? {
                    match key {
                        Node::Text(name) => fields.push((name, map.next_value()?)),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(Node::Map(fields))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Node::List(elements))
            }
        }

        deserializer.deserialize_any(Anything)
    }
}
