//! What a rollout is to do: the part of a `Rollout`'s spec that decides.

use super::state::RunPurpose;
use crate::error::{Error, ErrorKind, Result};
use crate::gate::argo::{DryRun, MeasurementRetention, TemplateReference};

/// More pods than any version has; keeps every product of pods and weights within 64 bits.
pub(super) const MAX_REPLICAS: i64 = 1_000_000;
/// As many steps as a rollout may have.
pub(super) const MAX_STEPS: usize = 10_000;
/// As long as the name of a rollout or a version may be.
pub(super) const MAX_NAME_BYTES: usize = 253;
/// As many finished runs of either end as may be remembered, each with its report.
const MAX_HISTORY: usize = 1_000;
/// How long pods outlive an abort or a promotion where the spec does not say.
pub(super) const SCALE_DOWN_DELAY_SECONDS: i64 = 30;
/// As large as `maxTrafficWeight` may be.
const MAX_WEIGHT: i64 = 1_000_000;
/// As long as any delay may be: a hundred years of seconds.
const MAX_SECONDS: i64 = 3_153_600_000;

/// A rollout, in canary steps or blue-green: the part of an Argo `Rollout` that decides what happens when.
///
/// Read from a manifest by `from_yaml` and `from_json` (features `argo`, `serde`), or filled in by hand.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutSpec {
    /// `metadata.name`; analysis runs and messages begin with it.
    pub name: String,
    /// `replicas`: pods of a version that serves alone.
    pub replicas: i64,
    /// `progressDeadlineSeconds`: how long pods may make no progress.
    pub progress_deadline_seconds: i64,
    /// `progressDeadlineAbort`: whether a rollout that makes no progress is aborted.
    pub progress_deadline_abort: bool,
    /// `rollbackWindow.revisions`: going back by fewer versions than this skips all steps.
    pub rollback_window: Option<i64>,
    /// `analysis.successfulRunHistoryLimit`: finished successful runs that are kept.
    pub successful_run_history_limit: usize,
    /// `analysis.unsuccessfulRunHistoryLimit`: other finished runs that are kept.
    pub unsuccessful_run_history_limit: usize,
    /// `strategy.canary`.
    pub canary: CanaryStrategy,
    /// `strategy.blueGreen`: in the place of canary steps.
    pub blue_green: Option<BlueGreenStrategy>,
}

impl Default for RolloutSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            replicas: 1,
            progress_deadline_seconds: 600,
            progress_deadline_abort: false,
            rollback_window: None,
            successful_run_history_limit: 5,
            unsuccessful_run_history_limit: 5,
            canary: CanaryStrategy::default(),
            blue_green: None,
        }
    }
}

/// How a new version takes over, step by step.
#[derive(Clone, Debug, PartialEq)]
pub struct CanaryStrategy {
    /// The steps in order.
    pub steps: Vec<CanaryStep>,
    /// The analysis that runs beside the steps.
    pub background: Option<BackgroundAnalysis>,
    /// Whether a traffic router splits requests; without one a weight is approximated by numbers of pods.
    pub traffic_routing: bool,
    /// `trafficRouting.maxTrafficWeight`: the weight that is all traffic.
    pub max_traffic_weight: i64,
    /// Whether the stable version shrinks as the weight grows.
    pub dynamic_stable_scale: bool,
    /// Pods beyond `replicas`; only without a router.
    pub max_surge: PodCount,
    /// Pods that may be missing; only without a router.
    pub max_unavailable: PodCount,
    /// How long the canary's pods outlive an abort; only with a router. None: 30, and no delay with `dynamic_stable_scale`;
    /// 0: no delay, and a `setCanaryScale` of the first step stays in force.
    pub abort_scale_down_delay_seconds: Option<i64>,
    /// How long the pods of the version before outlive a promotion; none: 30.
    pub scale_down_delay_seconds: Option<i64>,
    /// How many versions may wait for their end at once; none: any number.
    pub scale_down_delay_revision_limit: Option<i64>,
    /// The fewest pods of a version that has any; only with a router.
    pub min_pods_per_replica_set: Option<i64>,
}

impl Default for CanaryStrategy {
    fn default() -> Self {
        Self {
            steps: Vec::new(),
            background: None,
            traffic_routing: false,
            max_traffic_weight: 100,
            dynamic_stable_scale: false,
            max_surge: PodCount::Percent(25),
            max_unavailable: PodCount::Percent(25),
            abort_scale_down_delay_seconds: None,
            scale_down_delay_seconds: None,
            scale_down_delay_revision_limit: None,
            min_pods_per_replica_set: None,
        }
    }
}

/// How a new version stands beside the active one until all traffic is switched at once.
#[derive(Clone, Debug, PartialEq)]
pub struct BlueGreenStrategy {
    /// The gate before the switch.
    pub pre_promotion_analysis: Option<RolloutAnalysis>,
    /// The gate after the switch; where it fails, traffic is switched back.
    pub post_promotion_analysis: Option<RolloutAnalysis>,
    /// Whether the switch needs no human.
    pub auto_promotion_enabled: bool,
    /// Seconds of a pause before the switch; 0: none. It ends by itself only where the switch needs no human.
    pub auto_promotion_seconds: i64,
    /// Pods of the new version before the switch; none: all.
    pub preview_replica_count: Option<i64>,
    /// How long the new version's pods outlive an abort; none: 30; 0: they are kept.
    pub abort_scale_down_delay_seconds: Option<i64>,
    /// How long the pods of the version before outlive a promotion; none: 30; 0: they are kept.
    pub scale_down_delay_seconds: Option<i64>,
    /// How many versions may wait for their end at once; none: any number.
    pub scale_down_delay_revision_limit: Option<i64>,
}

impl Default for BlueGreenStrategy {
    fn default() -> Self {
        Self {
            pre_promotion_analysis: None,
            post_promotion_analysis: None,
            auto_promotion_enabled: true,
            auto_promotion_seconds: 0,
            preview_replica_count: None,
            abort_scale_down_delay_seconds: None,
            scale_down_delay_seconds: None,
            scale_down_delay_revision_limit: None,
        }
    }
}

impl BlueGreenStrategy {
    /// Whether there is a pause before the switch.
    pub(super) fn pauses(&self) -> bool {
        !self.auto_promotion_enabled || self.auto_promotion_seconds > 0
    }

    /// After an abort: none where the new version's pods are kept.
    pub(super) fn abort_delay_seconds(&self) -> Option<i64> {
        match self.abort_scale_down_delay_seconds {
            Some(0) => None,
            given => Some(given.unwrap_or(SCALE_DOWN_DELAY_SECONDS)),
        }
    }

    fn check(&self) -> Result<()> {
        for (field, seconds) in [
            ("autoPromotionSeconds", Some(self.auto_promotion_seconds)),
            ("abortScaleDownDelaySeconds", self.abort_scale_down_delay_seconds),
            ("scaleDownDelaySeconds", self.scale_down_delay_seconds),
        ] {
            within(field, seconds.unwrap_or(0), 0, MAX_SECONDS)?;
        }
        for (field, count) in [
            ("previewReplicaCount", self.preview_replica_count),
            ("scaleDownDelayRevisionLimit", self.scale_down_delay_revision_limit),
        ] {
            within(field, count.unwrap_or(0), 0, MAX_REPLICAS)?;
        }
        for analysis in self.pre_promotion_analysis.iter().chain(&self.post_promotion_analysis) {
            if analysis.templates.is_empty() {
                return Err(invalid("an analysis needs a template"));
            }
        }
        Ok(())
    }
}

/// A number of pods, or a percentage of `replicas`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodCount {
    /// So many.
    Pods(i64),
    /// So many of a hundred.
    Percent(i64),
}

impl PodCount {
    pub(super) fn rounded_up(self, replicas: i64) -> i64 {
        match self {
            Self::Pods(pods) => pods,
            Self::Percent(percent) => (percent * replicas + 99).div_euclid(100),
        }
    }

    pub(super) fn rounded_down(self, replicas: i64) -> i64 {
        match self {
            Self::Pods(pods) => pods,
            Self::Percent(percent) => (percent * replicas).div_euclid(100),
        }
    }

    fn check(self, field: &str) -> Result<()> {
        let (Self::Pods(number) | Self::Percent(number)) = self;
        within(field, number, 0, MAX_REPLICAS)
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum CanaryStep {
    /// `setWeight`: the share of the traffic that the canary gets, of a hundred or of `maxTrafficWeight`.
    SetWeight(i64),
    /// `pause`: so many seconds, or until a human resumes.
    Pause(Option<i64>),
    /// `analysis`: a gate.
    Analysis(RolloutAnalysis),
    /// `setCanaryScale`: the canary's pods, apart from its weight.
    SetCanaryScale(CanaryScale),
    /// `setHeaderRoute` or `setMirrorRoute`, which the caller's router does; done at once.
    SetRoute(String),
}

/// How many pods the canary has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanaryScale {
    /// So many.
    Replicas(i64),
    /// As many as for this weight.
    Weight(i64),
    /// As many as for the weight it has.
    MatchTrafficWeight,
}

/// The templates of an analysis and what the rollout adds to them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RolloutAnalysis {
    /// Which templates.
    pub templates: Vec<TemplateReference>,
    /// Arguments, put over the templates' own.
    pub args: Vec<RolloutArgument>,
    /// Metrics that decide nothing, beside those of the templates.
    pub dry_run: Vec<DryRun>,
    /// How many measurements are kept, before the templates' own rules.
    pub measurement_retention: Vec<MeasurementRetention>,
}

/// An argument of an analysis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutArgument {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: ArgumentValue,
}

/// Where the value of an argument comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentValue {
    /// Written out, or a field of the rollout.
    Text(String),
    /// `podTemplateHashValue: Latest`: the version that is rolled out.
    LatestVersion,
    /// `podTemplateHashValue: Stable`: the version before it.
    StableVersion,
}

/// The analysis that runs beside the steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackgroundAnalysis {
    /// What is measured.
    pub analysis: RolloutAnalysis,
    /// The step at which it begins; none: at once.
    pub starting_step: Option<i64>,
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

fn within(field: &str, number: i64, least: i64, most: i64) -> Result<()> {
    if (least..=most).contains(&number) {
        return Ok(());
    }
    Err(invalid(format!("{field} is {number}, it must be from {least} to {most}")))
}

impl RolloutSpec {
    /// The analysis of a purpose.
    pub(super) fn analysis(&self, purpose: RunPurpose) -> Option<&RolloutAnalysis> {
        let blue_green = self.blue_green.as_ref();
        match purpose {
            RunPurpose::Step(index) => match self.canary.steps.get(index) {
                Some(CanaryStep::Analysis(analysis)) => Some(analysis),
                _ => None,
            },
            RunPurpose::Background => self.canary.background.as_ref().map(|background| &background.analysis),
            RunPurpose::PrePromotion => blue_green?.pre_promotion_analysis.as_ref(),
            RunPurpose::PostPromotion => blue_green?.post_promotion_analysis.as_ref(),
        }
    }

    /// Refuses what cannot be walked through, as Argo refuses it with the phase Degraded and `InvalidSpec`.
    pub(super) fn check(&self) -> Result<()> {
        if self.name.is_empty() {
            return Err(invalid("the rollout has no name"));
        }
        if self.name.len() > MAX_NAME_BYTES {
            let text = format!(
                "the rollout's name has {} bytes, at most {MAX_NAME_BYTES} are allowed",
                self.name.len()
            );
            return Err(Error::new(ErrorKind::Limit, text));
        }
        for (field, limit) in [
            ("successfulRunHistoryLimit", self.successful_run_history_limit),
            ("unsuccessfulRunHistoryLimit", self.unsuccessful_run_history_limit),
        ] {
            if limit > MAX_HISTORY {
                let text = format!("analysis.{field} is {limit}, at most {MAX_HISTORY} are allowed");
                return Err(Error::new(ErrorKind::Limit, text));
            }
        }
        within("replicas", self.replicas, 0, MAX_REPLICAS)?;
        within("progressDeadlineSeconds", self.progress_deadline_seconds, 1, MAX_SECONDS)?;
        if let Some(revisions) = self.rollback_window {
            within("rollbackWindow.revisions", revisions, 0, MAX_REPLICAS)?;
        }
        let Some(blue_green) = &self.blue_green else { return self.canary.check() };
        if self.canary != CanaryStrategy::default() {
            return Err(invalid("multiple strategies, a rollout has canary or blueGreen"));
        }
        blue_green.check()
    }
}

impl CanaryStrategy {
    fn check(&self) -> Result<()> {
        if self.steps.len() > MAX_STEPS {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("{} steps, at most {MAX_STEPS} are allowed", self.steps.len()),
            ));
        }
        within("maxTrafficWeight", self.max_traffic_weight, 1, MAX_WEIGHT)?;
        self.max_surge.check("maxSurge")?;
        self.max_unavailable.check("maxUnavailable")?;
        let is_zero = |count| matches!(count, PodCount::Pods(0) | PodCount::Percent(0));
        if is_zero(self.max_surge) && is_zero(self.max_unavailable) {
            return Err(invalid("MaxSurge and MaxUnavailable both can not be zero"));
        }
        for (field, seconds) in [
            ("abortScaleDownDelaySeconds", self.abort_scale_down_delay_seconds),
            ("scaleDownDelaySeconds", self.scale_down_delay_seconds),
        ] {
            within(field, seconds.unwrap_or(0), 0, MAX_SECONDS)?;
        }
        for (field, count) in [
            ("scaleDownDelayRevisionLimit", self.scale_down_delay_revision_limit),
            ("minPodsPerReplicaSet", self.min_pods_per_replica_set),
        ] {
            within(field, count.unwrap_or(0), 0, MAX_REPLICAS)?;
        }
        if !self.traffic_routing {
            for (field, given) in [
                ("dynamicStableScale", self.dynamic_stable_scale),
                ("scaleDownDelaySeconds", self.scale_down_delay_seconds.is_some()),
                ("minPodsPerReplicaSet", self.min_pods_per_replica_set.is_some()),
            ] {
                if given {
                    return Err(invalid(format!("canary {field} can only be used with traffic routing")));
                }
            }
        }
        if let Some(background) = &self.background {
            within("startingStep", background.starting_step.unwrap_or(0), 0, MAX_STEPS as i64)?;
        }
        for (index, step) in self.steps.iter().enumerate() {
            self.check_step(step).map_err(|text| invalid(format!("steps[{index}]: {text}")))?;
        }
        Ok(())
    }

    fn check_step(&self, step: &CanaryStep) -> std::result::Result<(), String> {
        let maximum = self.max_traffic_weight;
        match step {
            CanaryStep::SetWeight(weight) if !(0..=maximum).contains(weight) => {
                Err(format!("SetWeight needs to be between 0 and {maximum}, found {weight}"))
            }
            CanaryStep::Pause(Some(seconds)) if !(0..=MAX_SECONDS).contains(seconds) => {
                Err(format!("a pause of {seconds} s, it must be from 0 to {MAX_SECONDS} s"))
            }
            CanaryStep::Analysis(analysis) if analysis.templates.is_empty() => {
                Err("an analysis needs a template".to_owned())
            }
            CanaryStep::SetCanaryScale(_) if !self.traffic_routing => {
                Err("SetCanaryScale requires TrafficRouting to be set".to_owned())
            }
            CanaryStep::SetCanaryScale(CanaryScale::Replicas(replicas))
                if !(0..=MAX_REPLICAS).contains(replicas) =>
            {
                Err(format!("setCanaryScale of {replicas} pods, it must be from 0 to {MAX_REPLICAS}"))
            }
            CanaryStep::SetCanaryScale(CanaryScale::Weight(weight)) if !(0..=maximum).contains(weight) => {
                Err(format!("setCanaryScale to weight {weight}, it must be from 0 to {maximum}"))
            }
            _ => Ok(()),
        }
    }

    /// After an abort: none where the canary's pods follow the weight without a delay.
    pub(super) fn abort_delay_seconds(&self) -> Option<i64> {
        match self.abort_scale_down_delay_seconds {
            Some(0) => None,
            None if self.dynamic_stable_scale => None,
            given => Some(given.unwrap_or(SCALE_DOWN_DELAY_SECONDS)),
        }
    }
}

impl std::fmt::Display for CanaryStep {
    /// As Argo's events name it: `setWeight: 20`, `pause: 60s`, `setCanaryScale{weight: 10}`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SetWeight(weight) => write!(f, "setWeight: {weight}"),
            Self::Pause(None) => f.write_str("pause"),
            Self::Pause(Some(seconds)) => write!(f, "pause: {seconds}s"),
            Self::Analysis(_) => f.write_str("analysis"),
            Self::SetCanaryScale(CanaryScale::Replicas(replicas)) => {
                write!(f, "setCanaryScale{{replicas: {replicas}}}")
            }
            Self::SetCanaryScale(CanaryScale::Weight(weight)) => {
                write!(f, "setCanaryScale{{weight: {weight}}}")
            }
            Self::SetCanaryScale(CanaryScale::MatchTrafficWeight) => {
                f.write_str("setCanaryScale{matchTrafficWeight: true}")
            }
            Self::SetRoute(kind) => f.write_str(kind),
        }
    }
}
