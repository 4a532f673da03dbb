//! Rollouts from YAML and JSON.
//!
//! Fields that are not known are skipped, as the Kubernetes API server prunes them.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::spec::{
    ArgumentValue, BackgroundAnalysis, BlueGreenStrategy, CanaryScale, CanaryStep, CanaryStrategy, PodCount,
    RolloutAnalysis, RolloutArgument, RolloutSpec,
};
use crate::error::{Error, ErrorKind, Result};
use crate::gate::argo::manifest::{self, Manifest, Metadata, optional_text, or_default, text};
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
        let documents: Vec<Option<Document>> = manifest::from_yaml(text)?;
        // Arguments may refer to any field of the manifest.
        let refers = documents.iter().flatten().any(|document| document.spec.refers());
        let values: Vec<Value> = if refers { manifest::documents(text)? } else { Vec::new() };
        let documents = documents.into_iter().enumerate();
        documents.filter_map(|(index, document)| Some(document?.build(values.get(index)))).collect()
    }

    /// Reads an Argo `Rollout` from JSON.
    ///
    /// # Errors
    ///
    /// As `from_yaml`, and [`ErrorKind::Parse`] for what is of another kind.
    pub fn from_json(text: &str) -> Result<Self> {
        let found: Option<Document> = manifest::from_json(text)?;
        let document = found.ok_or_else(|| Error::new(ErrorKind::Parse, "found no Rollout"))?;
        let value = document.spec.refers().then(|| manifest::json(text)).transpose()?;
        document.build(value.as_ref())
    }
}

/// A Rollout as it is written.
struct Document {
    name: String,
    spec: Spec,
}

impl Manifest for Document {
    type Spec = Spec;
    const EXPECTED: &'static str = "a Kubernetes object";

    fn is_kind(kind: Option<&str>) -> bool {
        kind == Some("Rollout")
    }

    fn build(_: Option<&str>, metadata: Metadata, spec: Spec) -> Self {
        Self { name: metadata.name, spec }
    }
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
    analysis: Option<Analysis>,
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
enum Step {
    Analysis(Analysis),
    Other(CanaryStep),
    /// Why no rollout with it is walked through.
    Unsupported(String),
}

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

#[derive(Default, Deserialize)]
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
    /// Of an analysis beside the steps only.
    starting_step: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Argument {
    #[serde(deserialize_with = "text")]
    name: String,
    #[serde(deserialize_with = "optional_text")]
    value: Option<String>,
    value_from: Option<ValueFrom>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ValueFrom {
    pod_template_hash_value: Option<String>,
    field_ref: Option<FieldReference>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FieldReference {
    #[serde(deserialize_with = "text")]
    field_path: String,
}

impl TryFrom<StepFields> for Step {
    type Error = String;

    fn try_from(fields: StepFields) -> Result<Self, String> {
        let mut steps = Vec::new();
        steps.extend(fields.set_weight.map(|weight| Self::Other(CanaryStep::SetWeight(weight))));
        if let Some(pause) = fields.pause {
            steps.push(Self::Other(CanaryStep::Pause(pause.duration.as_ref().map(seconds).transpose()?)));
        }
        steps.extend(fields.analysis.map(Self::Analysis));
        if let Some(scale) = fields.set_canary_scale {
            steps.push(Self::Other(CanaryStep::SetCanaryScale(match scale {
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
            })));
        }
        for (kind, given) in
            [("setHeaderRoute", fields.set_header_route), ("setMirrorRoute", fields.set_mirror_route)]
        {
            steps.extend(given.map(|_| Self::Other(CanaryStep::SetRoute(kind.to_owned()))));
        }
        for (kind, given) in [("experiment", fields.experiment), ("plugin", fields.plugin)] {
            if given.is_some() {
                return Ok(Self::Unsupported(format!("a step of kind {kind} is not supported")));
            }
        }
        match <[Self; 1]>::try_from(steps) {
            Ok([step]) => Ok(step),
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
    /// Whether an argument is a field of the manifest.
    fn refers(&self) -> bool {
        let canary = self.strategy.canary.iter();
        let steps = canary.clone().flat_map(|canary| &canary.steps);
        let steps = steps.filter_map(|step| match step {
            Step::Analysis(analysis) => Some(analysis),
            Step::Other(_) | Step::Unsupported(_) => None,
        });
        let switch = self.strategy.blue_green.iter().flat_map(|strategy| {
            strategy.pre_promotion_analysis.iter().chain(&strategy.post_promotion_analysis)
        });
        let analyses = canary.flat_map(|canary| &canary.analysis).chain(steps).chain(switch);
        let mut references =
            analyses.flat_map(|analysis| &analysis.args).flat_map(|argument| &argument.value_from);
        references.any(|from| from.field_ref.is_some())
    }
}

impl Document {
    fn build(self, manifest: Option<&Value>) -> Result<RolloutSpec> {
        let Self { name, spec } = self;
        let unsupported =
            |text: &str| Err(Error::new(ErrorKind::Unsupported, format!("rollout `{name}`: {text}")));
        let blue_green = spec.strategy.blue_green.map(|strategy| strategy.build(manifest)).transpose()?;
        let canary = match (spec.strategy.canary, &blue_green) {
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
            steps.push(match step {
                Step::Analysis(analysis) => CanaryStep::Analysis(analysis.build(manifest)?),
                Step::Other(step) => step,
                Step::Unsupported(text) => return unsupported(&text),
            });
        }
        let background = match canary.analysis {
            Some(analysis) => Some(BackgroundAnalysis {
                starting_step: analysis.starting_step,
                analysis: analysis.build(manifest)?,
            }),
            None => None,
        };
        let maximum = canary.traffic_routing.as_ref().and_then(|routing| routing.max_traffic_weight);
        Ok(RolloutSpec {
            name,
            replicas: spec.replicas.unwrap_or(defaults.replicas),
            progress_deadline_seconds: spec
                .progress_deadline_seconds
                .unwrap_or(defaults.progress_deadline_seconds),
            progress_deadline_abort: spec.progress_deadline_abort,
            rollback_window: spec.rollback_window.revisions,
            successful_run_history_limit: spec
                .analysis
                .successful_run_history_limit
                .unwrap_or(defaults.successful_run_history_limit),
            unsuccessful_run_history_limit: spec
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
