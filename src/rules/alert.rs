//! The life of an alert: pending, firing, resolved.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, ErrorKind, Result};
use crate::model::label::METRIC_NAME;
use crate::model::{Labels, LabelsBuilder, Sample, SampleValue, Timestamp};

use super::file::{Alerting, Rule};

/// The metric that tells which alerts are pending and firing.
pub(super) const ALERTS: &str = "ALERTS";
/// The metric that tells since when.
pub(super) const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
pub(super) const ALERT_NAME: &str = "alertname";
/// How long a resolved alert is remembered.
const RESOLVED_RETENTION_MS: i64 = 15 * 60 * 1000;

/// What an alert does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertState {
    /// Its query answers nothing for it any more.
    Inactive,
    /// Its query answers something, not for as long as the rule's `for` yet.
    Pending,
    /// Its query has answered something for as long as the rule's `for`, or did so less than `keep_firing_for` ago.
    Firing,
}

impl AlertState {
    /// The value of the label `alertstate`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// One alert of an alerting rule: one element of what its query answers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Alert {
    /// What it does.
    pub state: AlertState,
    /// Its labels, `alertname` among them.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// What its query answered last.
    pub value: SampleValue,
    /// Since when its query answers something.
    pub active_at: Timestamp,
    /// Since when it fires.
    pub fired_at: Option<Timestamp>,
    /// Since when it does no more.
    pub resolved_at: Option<Timestamp>,
    /// Since when it fires only because of `keep_firing_for`.
    pub keep_firing_since: Option<Timestamp>,
}

/// The alerts of one rule by their labels.
pub(super) type Alerts = BTreeMap<Labels, Alert>;

/// Brings the alerts of a rule up to what its query has `found` at an instant.
pub(super) fn update(
    alerts: &mut Alerts,
    alerting: &Alerting,
    found: Alerts,
    at: Timestamp,
    limit: u64,
) -> Result<()> {
    let present: BTreeSet<Labels> = found.keys().cloned().collect();
    for (labels, new) in found {
        match alerts.get_mut(&labels) {
            Some(alert) if alert.state != AlertState::Inactive => {
                (alert.value, alert.annotations) = (new.value, new.annotations);
            }
            _ => {
                alerts.insert(labels, new);
            }
        }
    }
    let mut active = 0_u64;
    alerts.retain(|labels, alert| {
        if present.contains(labels) {
            alert.keep_firing_since = None;
        } else {
            match alert.disappeared(alerting, at) {
                Gone::Forgotten => return false,
                Gone::Resolved => return true,
                Gone::KeptFiring => {}
            }
        }
        active = active.saturating_add(1);
        alert.age(alerting, at);
        true
    });
    if limit > 0 && active > limit {
        alerts.clear();
        let text = format!("exceeded limit of {limit} with {active} alerts");
        return Err(Error::new(ErrorKind::Limit, text));
    }
    Ok(())
}

/// What becomes of an alert that a query no longer answers.
enum Gone {
    Forgotten,
    Resolved,
    KeptFiring,
}

impl Alert {
    pub(super) fn new(
        labels: Labels,
        annotations: BTreeMap<String, String>,
        value: SampleValue,
        at: Timestamp,
    ) -> Self {
        Self {
            state: AlertState::Pending,
            labels,
            annotations,
            value,
            active_at: at,
            fired_at: None,
            resolved_at: None,
            keep_firing_since: None,
        }
    }

    fn disappeared(&mut self, alerting: &Alerting, at: Timestamp) -> Gone {
        let mut keeps_firing = false;
        if self.state == AlertState::Firing && alerting.keep_firing_ms > 0 {
            let since = *self.keep_firing_since.get_or_insert(at);
            keeps_firing = at.millis_since(since) < alerting.keep_firing_ms;
        }
        let is_old = self.resolved_at.is_some_and(|since| at.millis_since(since) > RESOLVED_RETENTION_MS);
        let is_forgotten = self.state == AlertState::Pending || is_old;
        if self.state != AlertState::Inactive && !keeps_firing {
            self.state = AlertState::Inactive;
            self.resolved_at = Some(at);
        }
        match (is_forgotten, keeps_firing) {
            (_, true) => Gone::KeptFiring,
            (true, false) => Gone::Forgotten,
            (false, false) => Gone::Resolved,
        }
    }

    /// From pending to firing, and back where it was found to be younger.
    fn age(&mut self, alerting: &Alerting, at: Timestamp) {
        let age = at.millis_since(self.active_at);
        match self.state {
            AlertState::Pending if age >= alerting.hold_ms => {
                self.state = AlertState::Firing;
                self.fired_at = Some(at);
            }
            AlertState::Firing if age < alerting.hold_ms => {
                self.state = AlertState::Pending;
                (self.fired_at, self.keep_firing_since) = (None, None);
            }
            _ => {}
        }
    }

    /// Whether it is pending or firing.
    pub(super) const fn is_active(&self) -> bool {
        self.resolved_at.is_none()
    }

    /// What `ALERTS` and `ALERTS_FOR_STATE` say about it.
    pub(super) fn samples(&self, rule: &Rule, at: Timestamp) -> [(Labels, Sample); 2] {
        let mut labels = LabelsBuilder::new();
        // As in Prometheus the rule's own text shows where a template came out empty.
        for (name, text) in &rule.labels {
            labels.set(name.clone(), text.raw.clone());
        }
        for label in &self.labels {
            labels.set(label.name.clone(), label.value.clone());
        }
        labels.set(ALERT_NAME, rule.name.as_str());
        labels.set(METRIC_NAME, ALERTS_FOR_STATE);
        let since = self.active_at.as_millis().div_euclid(1000);
        let for_state = (labels.build(), Sample::float(at, since as f64));
        labels.set(METRIC_NAME, ALERTS).set("alertstate", self.state.as_str());
        [(labels.build(), Sample::float(at, 1.0)), for_state]
    }
}
