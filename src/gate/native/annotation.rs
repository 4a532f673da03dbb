//! What a template says of itself as a native gate, under one key, so that it stays valid for Argo.

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::gate::argo::AnalysisTemplate;
use crate::gate::evidence::TRACE_ID;
use crate::gate::file::{Bursts, Looks, LowTraffic, MissingNumerator, Switch, duration};
use crate::gate::spec::{CheckKind, CheckSpec, GateSpecBuilder};

/// `metadata.annotations` has the options under this key, as YAML.
const KEY: &str = "promgate.dev/native";

/// Options of a native gate, named as in a gate file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Annotation {
    confidence: Option<f64>,
    deadline: Option<String>,
    min_duration: Option<String>,
    settle: Option<String>,
    low_traffic: Option<LowTraffic>,
    missing_numerator: Option<MissingNumerator>,
    health: Option<Switch>,
    watch: Option<Switch>,
    false_alarm: Option<String>,
    trace_link: Option<String>,
    dispersion: Option<Bursts>,
    looks: Option<Looks>,
    min_requests: Option<u64>,
}

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
        serde_saphyr::from_str(text).map_err(|error| {
            Error::new(ErrorKind::Parse, format!("annotation {KEY}: {error}")).caused_by(error.to_string())
        })
    }

    fn with(self, other: Self) -> Result<Self> {
        Ok(Self {
            confidence: either("confidence", self.confidence, other.confidence)?,
            deadline: either("deadline", self.deadline, other.deadline)?,
            min_duration: either("minDuration", self.min_duration, other.min_duration)?,
            settle: either("settle", self.settle, other.settle)?,
            low_traffic: either("lowTraffic", self.low_traffic, other.low_traffic)?,
            missing_numerator: either("missingNumerator", self.missing_numerator, other.missing_numerator)?,
            health: either("health", self.health, other.health)?,
            watch: either("watch", self.watch, other.watch)?,
            false_alarm: either("falseAlarm", self.false_alarm, other.false_alarm)?,
            trace_link: either("traceLink", self.trace_link, other.trace_link)?,
            dispersion: either("dispersion", self.dispersion, other.dispersion)?,
            looks: either("looks", self.looks, other.looks)?,
            min_requests: either("minRequests", self.min_requests, other.min_requests)?,
        })
    }

    /// Where traces are looked at, if that is said as it has to be.
    pub(super) fn into_trace_link(self) -> Option<String> {
        self.trace_link.filter(|link| link.contains(TRACE_ID))
    }

    /// The time that a gate has to pass, in milliseconds.
    pub(super) fn deadline_ms(&self) -> Result<Option<i64>> {
        self.deadline.as_ref().map(|text| duration("deadline", text)).transpose()
    }

    /// The builder with these options, and the checks with theirs.
    pub(super) fn apply(
        self,
        mut builder: GateSpecBuilder,
        mut checks: Vec<CheckSpec>,
    ) -> Result<(GateSpecBuilder, Vec<CheckSpec>)> {
        if let Some(confidence) = self.confidence {
            builder = builder.confidence(confidence);
        }
        if let Some(text) = &self.min_duration {
            builder = builder.min_duration_ms(duration("minDuration", text)?);
        }
        if let Some(text) = &self.settle {
            builder = builder.settle_ms(duration("settle", text)?);
        }
        if let Some(text) = &self.false_alarm {
            builder = builder.false_alarm_ms(duration("falseAlarm", text)?);
        }
        if let Some(health) = self.health {
            builder = builder.health(health.is_on("health")?);
        }
        if let Some(watch) = self.watch {
            builder = builder.watch(watch.is_on("watch")?);
        }
        if let Some(link) = self.trace_link {
            builder = builder.trace_link(link);
        }
        if let Some(bursts) = &self.dispersion {
            builder = bursts.apply(builder)?;
        }
        if let Some(requests) = self.min_requests {
            builder = builder.min_requests(requests);
            checks.iter_mut().for_each(|check| ask_for(&mut check.kind, requests));
        }
        if let Some(looks) = self.looks {
            builder = builder.looks_once(looks == Looks::Once);
        }
        if self.missing_numerator == Some(MissingNumerator::Zero) {
            checks.iter_mut().for_each(|check| missing_is_zero(&mut check.kind));
        }
        Ok((builder.low_traffic_fails(self.low_traffic == Some(LowTraffic::Fail)), checks))
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
        CheckKind::Quantile { .. } | CheckKind::Volume { .. } | CheckKind::Value(_) => {}
    }
}
