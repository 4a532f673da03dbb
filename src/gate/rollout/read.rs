//! Rollouts from YAML and JSON.
//!
//! Fields that are not known are skipped, as the Kubernetes API server prunes them.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::spec::{
    ArgumentValue, BackgroundAnalysis, BlueGreenStrategy, CanaryScale, CanaryStep, CanaryStrategy, PodCount,
    RolloutAnalysis, RolloutArgument, RolloutSpec,
};
use crate::error::{Error, ErrorKind, Result};
use crate::gate::argo::template::read::{or_default, text};
use crate::gate::argo::{DryRun, IntOrText, MeasurementRetention, TemplateReference, parse_duration};

impl RolloutSpec {
    /// Reads every Argo `Rollout` of a YAML file, which may hold several documents; documents of other kinds are skipped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`] for text that is no YAML, for fields of a wrong type and for what no step or argument is, with
    /// line and column where the field's name does not come before its kind; [`ErrorKind::Unsupported`] for a strategy or
    /// a field that this version does not walk through.
    #[cfg(feature = "argo")]
    pub fn from_yaml(text: &str) -> Result<Vec<Self>> {
        let broken = |error: serde_saphyr::Error| {
            Error::new(ErrorKind::Parse, error.to_string()).caused_by(error.to_string())
        };
        let documents: Vec<Document> = serde_saphyr::from_multiple(text).map_err(broken)?;
        // Arguments may refer to any field of the manifest.
        let refers = documents.iter().flat_map(|document| &document.spec).any(Spec::refers);
        let values: Vec<Value> =
            if refers { serde_saphyr::from_multiple(text).map_err(broken)? } else { Vec::new() };
        let documents = documents.into_iter().enumerate();
        documents
            .filter_map(|(index, document)| Some(document.spec?.build(document.name, values.get(index))))
            .collect()
    }

    /// Reads an Argo `Rollout` from JSON.
    ///
    /// # Errors
    ///
    /// As `from_yaml`, and [`ErrorKind::Parse`] for what is of another kind.
    pub fn from_json(text: &str) -> Result<Self> {
        let broken =
            |error: serde_json::Error| Error::new(ErrorKind::Parse, error.to_string()).caused_by(error);
        let document: Document = serde_json::from_str(text).map_err(broken)?;
        let value: Value = serde_json::from_str(text).map_err(broken)?;
        match document.spec {
            Some(spec) => spec.build(document.name, Some(&value)),
            None => Err(Error::new(ErrorKind::Parse, "found no Rollout")),
        }
    }
}

/// One document of a file; it holds a spec if it is a Rollout.
struct Document {
    name: String,
    spec: Option<Spec>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    #[serde(deserialize_with = "text")]
    name: String,
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a Kubernetes object")
            }

            fn visit_unit<E>(self) -> Result<Document, E> {
                Ok(Document { name: String::new(), spec: None })
            }

            fn visit_none<E>(self) -> Result<Document, E> {
                Ok(Document { name: String::new(), spec: None })
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
                deserializer.deserialize_map(self)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Document, A::Error> {
                document(map)
            }
        }

        deserializer.deserialize_option(Fields)
    }
}

fn document<'de, A: MapAccess<'de>>(mut map: A) -> Result<Document, A::Error> {
    let mut kind: Option<String> = None;
    let mut name = String::new();
    let mut spec: Option<Spec> = None;
    // Fields that stand before the kind, which may be anything until then.
    let mut early: Vec<(String, Value)> = Vec::new();
    while let Some(key) = map.next_key::<String>()? {
        let ours = kind.as_deref().map(|kind| kind == "Rollout");
        match (key.as_str(), ours) {
            ("kind", _) => kind = Some(map.next_value()?),
            ("metadata" | "spec", None) => early.push((key, map.next_value()?)),
            ("metadata", Some(true)) => name = map.next_value::<Option<Metadata>>()?.unwrap_or_default().name,
            ("spec", Some(true)) => spec = Some(map.next_value::<Option<Spec>>()?.unwrap_or_default()),
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
    }
    if kind.as_deref() != Some("Rollout") {
        return Ok(Document { name, spec: None });
    }
    for (key, value) in early {
        let broken = A::Error::custom;
        if key == "spec" {
            spec = Some(serde_json::from_value::<Option<Spec>>(value).map_err(broken)?.unwrap_or_default());
        } else {
            let metadata: Option<Metadata> = serde_json::from_value(value).map_err(broken)?;
            name = metadata.unwrap_or_default().name;
        }
    }
    Ok(Document { name, spec: Some(spec.unwrap_or_default()) })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    replicas: Option<i64>,
    progress_deadline_seconds: Option<i64>,
    #[serde(deserialize_with = "or_default")]
    progress_deadline_abort: bool,
    #[serde(deserialize_with = "or_default")]
    rollback_window: RollbackWindow,
    #[serde(deserialize_with = "or_default")]
    analysis: History,
    #[serde(deserialize_with = "or_default")]
    strategy: Strategy,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RollbackWindow {
    revisions: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct History {
    successful_run_history_limit: Option<usize>,
    unsuccessful_run_history_limit: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Strategy {
    canary: Option<Canary>,
    blue_green: Option<BlueGreen>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Canary {
    #[serde(deserialize_with = "or_default")]
    steps: Vec<Step>,
    analysis: Option<Background>,
    traffic_routing: Option<TrafficRouting>,
    #[serde(deserialize_with = "or_default")]
    dynamic_stable_scale: bool,
    max_surge: Option<Pods>,
    max_unavailable: Option<Pods>,
    abort_scale_down_delay_seconds: Option<i64>,
    scale_down_delay_seconds: Option<i64>,
    scale_down_delay_revision_limit: Option<i64>,
    min_pods_per_replica_set: Option<i64>,
    replica_progress_threshold: Option<IgnoredAny>,
    ping_pong: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BlueGreen {
    pre_promotion_analysis: Option<Analysis>,
    post_promotion_analysis: Option<Analysis>,
    auto_promotion_enabled: Option<bool>,
    auto_promotion_seconds: Option<i64>,
    preview_replica_count: Option<i64>,
    abort_scale_down_delay_seconds: Option<i64>,
    scale_down_delay_seconds: Option<i64>,
    scale_down_delay_revision_limit: Option<i64>,
}

impl BlueGreen {
    fn build(self, manifest: Option<&Value>) -> Result<BlueGreenStrategy> {
        let build =
            |analysis: Option<Analysis>| analysis.map(|analysis| analysis.build(manifest)).transpose();
        Ok(BlueGreenStrategy {
            pre_promotion_analysis: build(self.pre_promotion_analysis)?,
            post_promotion_analysis: build(self.post_promotion_analysis)?,
            auto_promotion_enabled: self.auto_promotion_enabled.unwrap_or(true),
            auto_promotion_seconds: self.auto_promotion_seconds.unwrap_or(0),
            preview_replica_count: self.preview_replica_count,
            abort_scale_down_delay_seconds: self.abort_scale_down_delay_seconds,
            scale_down_delay_seconds: self.scale_down_delay_seconds,
            scale_down_delay_revision_limit: self.scale_down_delay_revision_limit,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TrafficRouting {
    max_traffic_weight: Option<i64>,
}

#[derive(Deserialize)]
#[serde(try_from = "IntOrText")]
struct Pods(PodCount);

impl TryFrom<IntOrText> for Pods {
    type Error = String;

    fn try_from(given: IntOrText) -> Result<Self, String> {
        let text = match given {
            IntOrText::Int(pods) => return Ok(Self(PodCount::Pods(i64::from(pods)))),
            IntOrText::Text(text) => text,
        };
        let percent = text.strip_suffix('%').and_then(|number| number.parse::<u32>().ok());
        match percent {
            Some(percent) => Ok(Self(PodCount::Percent(i64::from(percent)))),
            None => Err(format!("`{text}` is no number of pods and no percentage such as 25%")),
        }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "StepFields")]
struct Step(Result<(CanaryStep, Option<Analysis>), String>);

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StepFields {
    set_weight: Option<i64>,
    pause: Option<PauseFields>,
    analysis: Option<Analysis>,
    set_canary_scale: Option<ScaleFields>,
    set_header_route: Option<IgnoredAny>,
    set_mirror_route: Option<IgnoredAny>,
    experiment: Option<IgnoredAny>,
    plugin: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PauseFields {
    duration: Option<IntOrText>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ScaleFields {
    replicas: Option<i64>,
    weight: Option<i64>,
    #[serde(deserialize_with = "or_default")]
    match_traffic_weight: bool,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Analysis {
    #[serde(deserialize_with = "or_default")]
    templates: Vec<TemplateReference>,
    #[serde(deserialize_with = "or_default")]
    args: Vec<Argument>,
    #[serde(deserialize_with = "or_default")]
    dry_run: Vec<DryRun>,
    #[serde(deserialize_with = "or_default")]
    measurement_retention: Vec<MeasurementRetention>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Background {
    #[serde(deserialize_with = "or_default")]
    templates: Vec<TemplateReference>,
    #[serde(deserialize_with = "or_default")]
    args: Vec<Argument>,
    #[serde(deserialize_with = "or_default")]
    dry_run: Vec<DryRun>,
    #[serde(deserialize_with = "or_default")]
    measurement_retention: Vec<MeasurementRetention>,
    starting_step: Option<i64>,
}

impl Background {
    fn build(self, manifest: Option<&Value>) -> Result<BackgroundAnalysis> {
        let Self { templates, args, dry_run, measurement_retention, starting_step } = self;
        let analysis = Analysis { templates, args, dry_run, measurement_retention }.build(manifest)?;
        Ok(BackgroundAnalysis { analysis, starting_step })
    }
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Argument {
    #[serde(deserialize_with = "text")]
    name: String,
    #[serde(deserialize_with = "crate::gate::argo::template::read::optional_text")]
    value: Option<String>,
    value_from: Option<ValueFrom>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ValueFrom {
    pod_template_hash_value: Option<String>,
    field_ref: Option<FieldReference>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FieldReference {
    #[serde(deserialize_with = "text")]
    field_path: String,
}

impl TryFrom<StepFields> for Step {
    type Error = String;

    fn try_from(fields: StepFields) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut analysis = None;
        steps.extend(fields.set_weight.map(CanaryStep::SetWeight));
        if let Some(pause) = fields.pause {
            steps.push(CanaryStep::Pause(pause.duration.as_ref().map(seconds).transpose()?));
        }
        if let Some(given) = fields.analysis {
            analysis = Some(given);
            steps.push(CanaryStep::Analysis(RolloutAnalysis::default()));
        }
        if let Some(scale) = fields.set_canary_scale {
            steps.push(CanaryStep::SetCanaryScale(match scale {
                ScaleFields { replicas: None, weight: None, match_traffic_weight: true } => {
                    CanaryScale::MatchTrafficWeight
                }
                ScaleFields { replicas: Some(replicas), weight: None, match_traffic_weight: false } => {
                    CanaryScale::Replicas(replicas)
                }
                ScaleFields { replicas: None, weight: Some(weight), match_traffic_weight: false } => {
                    CanaryScale::Weight(weight)
                }
                _ => {
                    return Err(
                        "setCanaryScale takes one of replicas, weight and matchTrafficWeight".to_owned()
                    );
                }
            }));
        }
        for (kind, given) in
            [("setHeaderRoute", fields.set_header_route), ("setMirrorRoute", fields.set_mirror_route)]
        {
            steps.extend(given.map(|_| CanaryStep::SetRoute(kind.to_owned())));
        }
        for (kind, given) in [("experiment", fields.experiment), ("plugin", fields.plugin)] {
            if given.is_some() {
                return Ok(Self(Err(format!("a step of kind {kind} is not supported"))));
            }
        }
        match <[CanaryStep; 1]>::try_from(steps) {
            Ok([step]) => Ok(Self(Ok((step, analysis)))),
            Err(steps) => Err(format!(
                "a step must have exactly one of setWeight, pause, analysis, setCanaryScale, setHeaderRoute and \
                 setMirrorRoute, this one has {}",
                steps.len()
            )),
        }
    }
}

/// A pause in whole seconds: a number of them, a text that is one, or a Go duration.
fn seconds(duration: &IntOrText) -> Result<i64, String> {
    let seconds = match duration {
        IntOrText::Int(seconds) => i64::from(*seconds),
        IntOrText::Text(text) => match text.parse::<i32>() {
            Ok(seconds) => i64::from(seconds),
            Err(_) => parse_duration(text)?.div_euclid(1_000_000_000),
        },
    };
    if seconds < 0 { Err(format!("a pause of {seconds} s; a pause is not negative")) } else { Ok(seconds) }
}

impl Analysis {
    fn build(self, manifest: Option<&Value>) -> Result<RolloutAnalysis> {
        let args = self.args.into_iter().map(|argument| argument.build(manifest)).collect::<Result<_>>()?;
        let Self { templates, dry_run, measurement_retention, .. } = self;
        Ok(RolloutAnalysis { templates, args, dry_run, measurement_retention })
    }
}

impl Argument {
    fn build(self, manifest: Option<&Value>) -> Result<RolloutArgument> {
        let refuse = |text: String| {
            Err(Error::new(ErrorKind::Parse, format!("argument `{}` of the analysis: {text}", self.name)))
        };
        let from = self.value_from.unwrap_or_default();
        let value = match (self.value, from.pod_template_hash_value.as_deref(), from.field_ref) {
            (Some(text), None, None) => ArgumentValue::Text(text),
            (None, Some("Latest"), None) => ArgumentValue::LatestVersion,
            (None, Some("Stable"), None) => ArgumentValue::StableVersion,
            (None, Some(other), None) => {
                return refuse(format!("podTemplateHashValue is `{other}`, it must be Latest or Stable"));
            }
            (None, None, Some(field)) => match field_of(manifest, &field.field_path) {
                Ok(text) => ArgumentValue::Text(text),
                Err(text) => return refuse(text),
            },
            _ => {
                return refuse(
                    "exactly one of value, podTemplateHashValue and fieldRef is wanted".to_owned(),
                );
            }
        };
        Ok(RolloutArgument { name: self.name, value })
    }
}

/// A field of the manifest by its path, as text: `metadata.labels['env']`, `spec.template.spec.containers[0].image`.
fn field_of(manifest: Option<&Value>, path: &str) -> Result<String, String> {
    let invalid = || format!("invalid path {path} in rollout");
    let mut value = manifest.ok_or_else(invalid)?;
    // A label's or annotation's key is quoted and may hold anything.
    let quoted = path.strip_suffix("']").and_then(|rest| rest.split_once("['"));
    let (fields, key) = match quoted {
        Some((fields, key)) if path.starts_with("metadata") => (fields, Some(key)),
        _ => (path, None),
    };
    for part in fields.split(['.', '[', ']']).filter(|part| !part.is_empty()).chain(key) {
        value = match value {
            Value::Array(list) => {
                let index: usize = part.parse().map_err(|_| format!("invalid index '{part}'"))?;
                list.get(index).ok_or_else(|| format!("index {index} out of range"))?
            }
            Value::Object(fields) => fields.get(part).ok_or_else(invalid)?,
            _ => return Err(invalid()),
        };
    }
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(format!("path {path} in rollout must terminate in a primitive value"))
        }
    }
}

impl Spec {
    fn refers(&self) -> bool {
        let canary = self.strategy.canary.iter();
        let steps = canary.clone().flat_map(|canary| &canary.steps);
        let steps = steps.filter_map(|step| step.0.as_ref().ok()?.1.as_ref());
        let background = canary.flat_map(|canary| &canary.analysis).map(|background| &background.args);
        let switch = self.strategy.blue_green.iter().flat_map(|strategy| {
            strategy.pre_promotion_analysis.iter().chain(&strategy.post_promotion_analysis)
        });
        let args = steps.chain(switch).map(|analysis| &analysis.args);
        let mut args = args.chain(background).flatten();
        args.any(|argument| argument.value_from.as_ref().is_some_and(|from| from.field_ref.is_some()))
    }

    fn build(self, name: String, manifest: Option<&Value>) -> Result<RolloutSpec> {
        let unsupported =
            |text: &str| Err(Error::new(ErrorKind::Unsupported, format!("rollout `{name}`: {text}")));
        let blue_green = self.strategy.blue_green.map(|strategy| strategy.build(manifest)).transpose()?;
        let canary = match (self.strategy.canary, &blue_green) {
            (Some(canary), None) => canary,
            (None, Some(_)) => Canary::default(),
            (given, _) => {
                let found = if given.is_some() { "both" } else { "none" };
                return Err(Error::new(
                    ErrorKind::Parse,
                    format!("rollout `{name}`: a strategy is canary or blueGreen, found {found}"),
                ));
            }
        };
        if canary.replica_progress_threshold.is_some() {
            return unsupported("replicaProgressThreshold is not supported");
        }
        if canary.ping_pong.is_some() {
            return unsupported("pingPong services are not supported");
        }
        let defaults = RolloutSpec::default();
        let canary_defaults = CanaryStrategy::default();
        let mut steps = Vec::with_capacity(canary.steps.len());
        for step in canary.steps {
            let (step, analysis) = match step.0 {
                Ok(step) => step,
                Err(text) => return unsupported(&text),
            };
            steps.push(match analysis {
                Some(analysis) => CanaryStep::Analysis(analysis.build(manifest)?),
                None => step,
            });
        }
        let background = canary.analysis.map(|background| background.build(manifest)).transpose()?;
        let maximum = canary.traffic_routing.as_ref().and_then(|routing| routing.max_traffic_weight);
        Ok(RolloutSpec {
            name,
            replicas: self.replicas.unwrap_or(defaults.replicas),
            progress_deadline_seconds: self
                .progress_deadline_seconds
                .unwrap_or(defaults.progress_deadline_seconds),
            progress_deadline_abort: self.progress_deadline_abort,
            rollback_window: self.rollback_window.revisions,
            successful_run_history_limit: self
                .analysis
                .successful_run_history_limit
                .unwrap_or(defaults.successful_run_history_limit),
            unsuccessful_run_history_limit: self
                .analysis
                .unsuccessful_run_history_limit
                .unwrap_or(defaults.unsuccessful_run_history_limit),
            canary: CanaryStrategy {
                steps,
                background,
                traffic_routing: canary.traffic_routing.is_some(),
                max_traffic_weight: maximum.unwrap_or(canary_defaults.max_traffic_weight),
                dynamic_stable_scale: canary.dynamic_stable_scale,
                max_surge: canary.max_surge.map_or(canary_defaults.max_surge, |pods| pods.0),
                max_unavailable: canary
                    .max_unavailable
                    .map_or(canary_defaults.max_unavailable, |pods| pods.0),
                abort_scale_down_delay_seconds: canary.abort_scale_down_delay_seconds,
                scale_down_delay_seconds: canary.scale_down_delay_seconds,
                scale_down_delay_revision_limit: canary.scale_down_delay_revision_limit,
                min_pods_per_replica_set: canary.min_pods_per_replica_set,
            },
            blue_green,
        })
    }
}

#[cfg(test)]
#[cfg(feature = "argo")]
mod tests;
