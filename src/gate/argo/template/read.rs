//! Templates from YAML and JSON.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

use super::super::manifest::{self, Manifest, Metadata, OrDefault};
use super::{AnalysisTemplate, Provider, TemplateKind, TemplateSpec};
use crate::error::{Error, ErrorKind, Result};

impl AnalysisTemplate {
    /// Reads every AnalysisTemplate and ClusterAnalysisTemplate of a YAML file, which may hold several documents;
    /// documents of other kinds are skipped. A document without a kind is read as a bare `spec`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`] for text that is no YAML and for fields of a wrong type, with line and column.
    #[cfg(feature = "argo")]
    pub fn from_yaml(text: &str) -> Result<Vec<Self>> {
        Ok(manifest::from_yaml(text)?.into_iter().flatten().collect())
    }

    /// Reads a template from JSON: the object itself, or a bare `spec`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`] for what is no JSON, has fields of a wrong type, or is of another kind.
    pub fn from_json(text: &str) -> Result<Self> {
        manifest::from_json(text)?.ok_or_else(|| {
            Error::new(ErrorKind::Parse, "found no AnalysisTemplate, ClusterAnalysisTemplate or spec of one")
        })
    }
}

impl Manifest for AnalysisTemplate {
    type Spec = TemplateSpec;
    const EXPECTED: &'static str = "a Kubernetes object, or the spec of an AnalysisTemplate";

    fn is_kind(kind: Option<&str>) -> bool {
        matches!(kind, None | Some("AnalysisTemplate" | "ClusterAnalysisTemplate"))
    }

    fn bare_field<'de, A: MapAccess<'de>>(
        spec: &mut TemplateSpec,
        name: &str,
        map: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "metrics" => spec.metrics = map.next_value::<OrDefault<_>>()?.0,
            "args" => spec.args = map.next_value::<OrDefault<_>>()?.0,
            "dryRun" => spec.dry_run = map.next_value::<OrDefault<_>>()?.0,
            "measurementRetention" => spec.measurement_retention = map.next_value::<OrDefault<_>>()?.0,
            "templates" => spec.templates = map.next_value::<OrDefault<_>>()?.0,
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        // Other things have arguments, too.
        Ok(matches!(name, "metrics" | "templates"))
    }

    fn build(kind: Option<&str>, metadata: Metadata, spec: TemplateSpec) -> Self {
        let kind = match kind {
            Some("ClusterAnalysisTemplate") => TemplateKind::Cluster,
            _ => TemplateKind::Namespaced,
        };
        Self { kind, name: metadata.name, annotations: metadata.annotations.0, spec }
    }
}

impl<'de> Deserialize<'de> for Provider {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Provider;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map with one provider")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Provider, A::Error> {
                let mut provider = Provider::default();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "prometheus" => provider.prometheus = map.next_value()?,
                        "plugin" => {
                            let plugins: Option<Names> = map.next_value()?;
                            provider.others.extend(plugins.map(|names| names.0).unwrap_or_default());
                        }
                        "kayenta" | "web" | "datadog" | "wavefront" | "newRelic" | "job" | "cloudWatch"
                        | "graphite" | "influxdb" | "skywalking" => {
                            if map.next_value::<Option<IgnoredAny>>()?.is_some() {
                                provider.others.push(name);
                            }
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(provider)
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// The keys of a map.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of plugins")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

/// The texts anywhere in a value, each with its path; other scalars hold no placeholder and are left out.
struct Texts(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tree;

        impl<'de> Visitor<'de> for Tree {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of settings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![(String::new(), text.to_owned())]))
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Texts, E> {
                Ok(Texts(Vec::new()))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Texts, E> {
                Ok(Texts(Vec::new()))
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Texts, E> {
                Ok(Texts(Vec::new()))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Texts, E> {
                Ok(Texts(Vec::new()))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Texts, E> {
                Ok(Texts(Vec::new()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(inner) = list.next_element::<Texts>()? {
                    texts.extend(inner.0);
                }
                Ok(Texts(texts))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some((name, inner)) = map.next_entry::<String, Texts>()? {
                    texts.extend(inner.0.into_iter().map(|(path, text)| {
                        let path = if path.is_empty() { name.clone() } else { format!("{name}.{path}") };
                        (path, text)
                    }));
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_any(Tree)
    }
}

pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    Texts::deserialize(deserializer).map(|texts| texts.0)
}

#[cfg(all(test, feature = "argo"))]
mod tests {
    use super::super::super::int_or_text::IntOrText;
    use super::super::Argument;
    use super::*;

    #[test]
    fn a_manifest_may_hold_other_kinds_and_several_templates() {
        let templates = AnalysisTemplate::from_yaml(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\nspec:\n  metrics: none\n---\n\
             apiVersion: argoproj.io/v1alpha1\nkind: AnalysisTemplate\nmetadata:\n  name: a\n  annotations:\n    \
             promgate.dev/native: 'x: 1'\nspec:\n  args:\n  metrics:\n  - name: m\n    count: 3\n    provider:\n      \
             prometheus:\n        query: up\n---\n# nothing\n---\nspec:\n  metrics:\n  - name: other\n    provider:\n      \
             web: {}\nkind: ClusterAnalysisTemplate\n",
        )
        .unwrap();
        let [a, b] = templates.as_slice() else { panic!("{templates:?}") };
        assert_eq!((a.kind, a.name.as_str()), (TemplateKind::Namespaced, "a"));
        assert_eq!(a.annotations, [("promgate.dev/native".to_owned(), "x: 1".to_owned())]);
        assert_eq!(a.spec.metrics[0].count, Some(IntOrText::Int(3)));
        assert_eq!(
            (b.kind, b.spec.metrics[0].provider.others.as_slice()),
            (TemplateKind::Cluster, &["web".to_owned()][..])
        );
    }

    #[test]
    fn unquoted_numbers_keep_the_text_they_were_written_with() {
        let templates = AnalysisTemplate::from_yaml(
            "args:\n- name: max\n  value: 1.10\n- name: on\n  value: true\n- name: port\n  value: 0x1F\n- name: empty\n  \
             value: \"\"\nmetrics:\n- name: m\n  interval: 60\n  failureLimit: \"+2\"\n  unknown: [1]\n",
        )
        .unwrap();
        let spec = &templates[0].spec;
        assert_eq!(
            spec.args,
            [
                Argument::new("max", "1.10"),
                Argument::new("on", "true"),
                Argument::new("port", "0x1F"),
                Argument::new("empty", "")
            ]
        );
        assert_eq!(spec.metrics[0].interval, "60");
        assert_eq!(spec.metrics[0].failure_limit, Some(IntOrText::Text("+2".to_owned())));
    }

    #[test]
    fn texts_of_authentication_are_kept_for_their_placeholders() {
        let templates = AnalysisTemplate::from_yaml(
            "metrics:\n- name: m\n  provider:\n    prometheus:\n      authentication:\n        oauth2:\n          \
             tokenUrl: 'https://{{args.host}}'\n          scopes: [a, b]\n        sigv4:\n",
        )
        .unwrap();
        let prometheus = templates[0].spec.metrics[0].provider.prometheus.as_ref().unwrap();
        let text = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        assert_eq!(
            prometheus.authentication,
            [
                text("oauth2.tokenUrl", "https://{{args.host}}"),
                text("oauth2.scopes", "a"),
                text("oauth2.scopes", "b")
            ]
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_place() {
        for (yaml, part) in [
            ("metrics:\n- name: m\n  count: 1.5\n", "1.5 is no integer"),
            ("metrics:\n- name: m\n  count: 3000000000\n", "beyond 32 bits"),
            ("metrics: 7\n", "line 1"),
            ("metrics:\n- name: m\n  name: n\n", "line 3"),
            ("metrics: [\n", "line"),
        ] {
            let error = AnalysisTemplate::from_yaml(yaml).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Parse);
            assert!(error.to_string().contains(part), "{yaml}: {error}");
        }
    }

    #[test]
    fn json_is_an_object_or_a_bare_spec() {
        let bare = AnalysisTemplate::from_json(r#"{"metrics": [{"name": "m"}]}"#).unwrap();
        let whole = AnalysisTemplate::from_json(
            r#"{"spec": {"metrics": [{"name": "m"}]}, "kind": "AnalysisTemplate"}"#,
        )
        .unwrap();
        assert_eq!(bare.spec, whole.spec);
        let other = AnalysisTemplate::from_json(r#"{"kind": "Rollout", "spec": {}}"#).unwrap_err();
        assert_eq!(other.to_string(), "found no AnalysisTemplate, ClusterAnalysisTemplate or spec of one");
    }
}
