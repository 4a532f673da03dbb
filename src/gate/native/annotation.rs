//! What a template says of itself as a native gate, under one key, so that it stays valid for Argo.

use crate::error::{Error, ErrorKind, Result};
use crate::gate::argo::AnalysisTemplate;
use crate::gate::evidence::TRACE_ID;
use crate::gate::settings::{MissingNumerator, Settings, duration};
use crate::gate::spec::{CheckKind, CheckSpec, GateSpecBuilder};

/// `metadata.annotations` has the options under this key, as YAML.
const KEY: &str = "promgate.dev/native";

/// The options that an annotation states.
#[derive(Debug, Default)]
pub(super) struct Annotation(Settings);

impl Annotation {
    /// What the annotations of a template say. One of templates that were put together has several, which have to agree.
    pub(super) fn of(template: &AnalysisTemplate) -> Result<Self> {
        let own = template.annotations.iter().filter(|(key, _)| key == KEY);
        own.map(|(_, text)| Self::read(text)).try_fold(Self::default(), |all, one| all.with(one?))
    }

    fn read(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map(Self).map_err(|error| {
            Error::new(ErrorKind::Parse, format!("annotation {KEY}: {error}")).caused_by(error.to_string())
        })
    }

    fn with(self, other: Self) -> Result<Self> {
        let (Self(one), Self(other)) = (self, other);
        Ok(Self(Settings {
            confidence: either("confidence", one.confidence, other.confidence)?,
            deadline: either("deadline", one.deadline, other.deadline)?,
            min_duration: either("minDuration", one.min_duration, other.min_duration)?,
            settle: either("settle", one.settle, other.settle)?,
            low_traffic: either("lowTraffic", one.low_traffic, other.low_traffic)?,
            missing_numerator: either("missingNumerator", one.missing_numerator, other.missing_numerator)?,
            health: either("health", one.health, other.health)?,
            watch: either("watch", one.watch, other.watch)?,
            false_alarm: either("falseAlarm", one.false_alarm, other.false_alarm)?,
            trace_link: either("traceLink", one.trace_link, other.trace_link)?,
            dispersion: either("dispersion", one.dispersion, other.dispersion)?,
            looks: either("looks", one.looks, other.looks)?,
            min_requests: either("minRequests", one.min_requests, other.min_requests)?,
            argo: either("argo", one.argo, other.argo)?,
        }))
    }

    /// Where traces are looked at, if that is said as it has to be.
    pub(super) fn into_trace_link(self) -> Option<String> {
        self.0.trace_link.filter(|link| link.contains(TRACE_ID))
    }

    /// The time that a gate has to pass, in milliseconds.
    pub(super) fn deadline_ms(&self) -> Result<Option<i64>> {
        self.0.deadline.as_ref().map(|text| duration("deadline", text)).transpose()
    }

    /// Whether the report is to carry what Argo would have said.
    pub(super) fn asks_for_argo(&mut self) -> Result<bool> {
        self.0.argo.take().map_or(Ok(false), |argo| argo.is_on("argo"))
    }

    /// The builder with these options, and the checks with theirs.
    pub(super) fn apply(
        self,
        builder: GateSpecBuilder,
        mut checks: Vec<CheckSpec>,
    ) -> Result<(GateSpecBuilder, Vec<CheckSpec>)> {
        if let Some(requests) = self.0.min_requests {
            checks.iter_mut().for_each(|check| ask_for(&mut check.kind, requests));
        }
        if self.0.missing_numerator == Some(MissingNumerator::Zero) {
            checks.iter_mut().for_each(|check| missing_is_zero(&mut check.kind));
        }
        Ok((self.0.apply(builder)?, checks))
    }
}

fn either<T: PartialEq>(option: &str, one: Option<T>, other: Option<T>) -> Result<Option<T>> {
    match (&one, &other) {
        (Some(a), Some(b)) if a != b => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("annotation {KEY}: the templates of one gate say different things of {option}"),
        )),
        _ => Ok(one.or(other)),
    }
}

/// A mean is judged with so many requests; without being asked for them with thirty.
fn ask_for(kind: &mut CheckKind, requests: u64) {
    if let CheckKind::Value(value) = kind
        && let Some((_, least)) = &mut value.least
    {
        *least = requests as f64;
    }
}

fn missing_is_zero(kind: &mut CheckKind) {
    match kind {
        CheckKind::Ratio { share, .. } => share.missing_is_zero = true,
        CheckKind::Comparison { canary, baseline, .. } => {
            canary.missing_is_zero = true;
            baseline.missing_is_zero = true;
        }
        CheckKind::Count { missing_is_zero, .. } => *missing_is_zero = true,
        CheckKind::Quantile { .. }
        | CheckKind::Volume { .. }
        | CheckKind::Gauge { .. }
        | CheckKind::Value(_) => {}
    }
}
