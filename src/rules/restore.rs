//! Restoring how long alerts have been pending: from `ALERTS_FOR_STATE`, which a former process wrote.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::model::label::METRIC_NAME;
use crate::model::number::truncate_to_i64;
use crate::model::{Labels, Matcher, SampleBuffer, Timestamp, Window, is_stale};
use crate::source::{Item, SelectRequest, Source};

use super::alert::{ALERT_NAME, ALERTS_FOR_STATE, Alerts};
use super::file::Rule;

/// How far back former alerts are looked for, and how long a restored one waits at least before it fires.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    pub(super) outage_ms: i64,
    pub(super) grace_ms: i64,
}

/// Sets the alerts of a rule back to where they were. As in Prometheus, rules with a `for` below the grace period begin anew.
pub(super) fn restore(
    alerts: &mut Alerts,
    rule: &Rule,
    source: &dyn Source,
    at: Timestamp,
    tolerance: Tolerance,
) -> Result<()> {
    let Some(alerting) = rule.alerting.as_ref().filter(|alerting| alerting.hold_ms >= tolerance.grace_ms)
    else {
        return Ok(());
    };
    let mut matchers =
        vec![Matcher::equal(METRIC_NAME, ALERTS_FOR_STATE), Matcher::equal(ALERT_NAME, &rule.name)];
    // A template's text is not what it made.
    let plain = rule.labels.iter().filter(|(name, text)| &***name != ALERT_NAME && !text.raw.contains("{{"));
    matchers.extend(plain.map(|(name, text)| Matcher::equal(&**name, &text.raw)));
    // The window is open on the left, where Prometheus's is closed.
    let window = Window::new(at.minus_millis(tolerance.outage_ms.saturating_add(1)), at);
    let found = source.select(&SelectRequest::new(&matchers, window))?;
    let mut states: BTreeMap<Labels, (i64, f64)> = BTreeMap::new();
    let mut samples = SampleBuffer::default();
    for item in found.items {
        let Item::Series(series) = item else { continue };
        samples.clear();
        series.read(window, &mut samples)?;
        if let (Some(time), Some(value)) = (samples.times.last(), samples.values.last()) {
            states.insert(series.labels().filtered(|label| &*label.name != METRIC_NAME), (*time, *value));
        }
    }
    for (labels, alert) in alerts {
        let Some((down_at, since)) = states.get(labels).filter(|(_, since)| !is_stale(*since)) else {
            continue;
        };
        // Whole seconds, as they are written.
        let down_at = down_at.div_euclid(1000).saturating_mul(1000);
        let since = truncate_to_i64(*since).saturating_mul(1000);
        let remaining = alerting.hold_ms.saturating_sub(down_at.saturating_sub(since));
        let active_at = if remaining <= 0 {
            // It fired, and does so again with the next evaluation.
            Timestamp::from_millis(since)
        } else if remaining < tolerance.grace_ms {
            at.plus_millis(tolerance.grace_ms).minus_millis(alerting.hold_ms)
        } else {
            // The time without evaluations does not count.
            Timestamp::from_millis(since).plus_millis(at.as_millis().saturating_sub(down_at))
        };
        alert.active_at = active_at;
    }
    Ok(())
}
