//! What is not built, by reason. This list only shrinks.

use promgate::{Error, ErrorKind};

pub(crate) const NATIVE_HISTOGRAMS: &str = "native histograms";
pub(crate) const SPAN_METRICS: &str = "span metrics from OTLP traces";

/// Prometheus 3 caps the extrapolation of `rate` before it clamps it at zero, Prometheus 2 the other way round.
pub(crate) const OLDER_RATE: &str = "answered by Prometheus 2, whose rate extrapolates further to the left";
pub(crate) const REFUSED_SPEC: &str = "a spec that validation refuses before anything is scheduled";
pub(crate) const ROLLOUTS: &str = "rollouts through canary steps";

pub(crate) const NATIVE_CHECKS: &str = "native checks of other kinds than ratio, quantile and volume";

/// The declared reason with this text.
pub(crate) fn declared(text: &str) -> Option<&'static str> {
    [NATIVE_HISTOGRAMS, SPAN_METRICS, OLDER_RATE, REFUSED_SPEC, ROLLOUTS, NATIVE_CHECKS]
        .into_iter()
        .find(|reason| *reason == text)
}

/// Errors of the engine that name something not built: a part of the error's text, and the reason.
const UNSUPPORTED: &[(&str, &str)] = &[("native histogram", NATIVE_HISTOGRAMS)];

/// The reason why a case that ended in this error is skipped, if one is declared.
pub(crate) fn reason(error: &Error) -> Option<&'static str> {
    let text = error.to_string();
    (error.kind() == ErrorKind::Unsupported)
        .then(|| UNSUPPORTED.iter().find(|(part, _)| text.contains(part)).map(|(_, reason)| *reason))
        .flatten()
}
