//! Options of a native gate as text has them: in a gate file, and in the annotation of a template.

use serde::Deserialize;

use super::spec::GateSpecBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::model::number::parse_duration;

/// What may be said in either place, by the same names.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Settings {
    pub(super) confidence: Option<f64>,
    /// Left to the caller: what a template counts makes one, too.
    pub(super) deadline: Option<String>,
    pub(super) min_duration: Option<String>,
    pub(super) settle: Option<String>,
    pub(super) low_traffic: Option<LowTraffic>,
    /// Left to the caller, who has the checks.
    pub(super) missing_numerator: Option<MissingNumerator>,
    pub(super) health: Option<Switch>,
    pub(super) watch: Option<Switch>,
    pub(super) false_alarm: Option<String>,
    pub(super) trace_link: Option<String>,
    pub(super) dispersion: Option<Bursts>,
    pub(super) looks: Option<Looks>,
    pub(super) min_requests: Option<u64>,
    /// Left to the caller, who has the template.
    pub(super) argo: Option<Switch>,
}

impl Settings {
    /// The builder with these options.
    pub(super) fn apply(self, mut builder: GateSpecBuilder) -> Result<GateSpecBuilder> {
        if let Some(confidence) = self.confidence {
            builder = builder.confidence(confidence);
        }
        if let Some(text) = &self.min_duration {
            builder = builder.min_duration_ms(duration("minDuration", text)?);
        }
        if let Some(text) = &self.settle {
            builder = builder.settle_ms(duration("settle", text)?);
        }
        if let Some(low_traffic) = self.low_traffic {
            builder = builder.low_traffic_fails(low_traffic == LowTraffic::Fail);
        }
        if let Some(health) = self.health {
            builder = builder.health(health.is_on("health")?);
        }
        if let Some(watch) = self.watch {
            builder = builder.watch(watch.is_on("watch")?);
        }
        if let Some(text) = &self.false_alarm {
            builder = builder.false_alarm_ms(duration("falseAlarm", text)?);
        }
        if let Some(link) = self.trace_link {
            builder = builder.trace_link(link);
        }
        if let Some(bursts) = &self.dispersion {
            builder = bursts.apply(builder)?;
        }
        if let Some(looks) = self.looks {
            builder = builder.looks_once(looks == Looks::Once);
        }
        if let Some(requests) = self.min_requests {
            builder = builder.min_requests(requests);
        }
        Ok(builder)
    }
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum LowTraffic {
    Inconclusive,
    Fail,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Looks {
    Any,
    Once,
}

/// `off`, `upper`, or a factor.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub(super) enum Bursts {
    Flag(bool),
    Factor(f64),
    Word(String),
}

impl Bursts {
    fn apply(&self, builder: GateSpecBuilder) -> Result<GateSpecBuilder> {
        let found = match self {
            Self::Flag(false) => return Ok(builder),
            Self::Factor(factor) => return Ok(builder.dispersion_factor(*factor)),
            Self::Word(word) if word == "off" => return Ok(builder),
            Self::Word(word) if word == "upper" => return Ok(builder.allow_bursts()),
            Self::Flag(true) => "on",
            Self::Word(word) => word,
        };
        Err(invalid(format!("dispersion is `{found}`, it must be off, upper or a factor of 1 or more")))
    }
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub(super) enum Switch {
    Flag(bool),
    Word(String),
}

impl Switch {
    pub(super) fn is_on(&self, field: &str) -> Result<bool> {
        match self {
            Self::Flag(on) => Ok(*on),
            Self::Word(word) => match word.as_str() {
                "on" => Ok(true),
                "off" => Ok(false),
                _ => Err(invalid(format!("{field} is `{word}`, it must be on or off"))),
            },
        }
    }
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum MissingNumerator {
    Auto,
    Zero,
}

/// A duration as Prometheus writes it, such as `90s`, `1m30s` or `500ms`, in milliseconds.
pub(super) fn duration(field: &str, text: &str) -> Result<i64> {
    let nanos = parse_duration(text).map_err(|why| {
        let message =
            format!("{field} is `{text}`, which is no duration ({why}); write it like 90s, 1m30s or 500ms");
        Error::new(ErrorKind::Parse, message)
    })?;
    Ok(nanos / 1_000_000)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_do_not_overflow() {
        assert_eq!(duration("x", "1h2m3s4ms").unwrap(), 3_723_004);
        for text in ["", "5", "s", "5x", "-5s", "1.5s", "99999999999999999999s", "9999999999999999d", "5s "] {
            assert!(duration("x", text).is_err(), "{text}");
        }
    }
}
