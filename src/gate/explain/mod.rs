//! Why a selector matches nothing: the matcher at fault, and the name or value that was probably meant. And why a query answers nothing
//! where its selectors match.

mod diagnose;
mod nothing;

pub(crate) use diagnose::{diagnose_selector, nearest_labels, nearest_metrics};
pub(crate) use nothing::why_nothing;

use super::evidence::select;
use super::reason::Finding;
use super::spec::Selector;
use crate::error::Result;
use crate::model::Timestamp;
use crate::promql::Query;
use crate::source::Source;

/// Why selectors of a query match no series that has a sample up to `now`, each with what was probably meant: a metric
/// of that name, a label, a value that the metric has. Selectors that match something are not mentioned, and neither is
/// how old what they match is.
///
/// Costs look-ups in the index of the source, a few for every matcher of the selectors in question.
///
/// # Errors
///
/// What the source fails with.
///
/// ```
/// # use promgate::{Engine, Labels, Sample, Store, StoreOptions, Timestamp};
/// let store = Store::in_memory(StoreOptions::new());
/// let mut appender = store.appender();
/// let labels = Labels::from_pairs([("__name__", "http_requests_total"), ("code", "200")]);
/// appender.append(&labels, Sample::float(Timestamp::from_millis(1_000), 7.0))?;
/// appender.commit()?;
///
/// let query = Engine::new().prepare("rate(http_request_total[5m])")?;
/// let findings = promgate::diagnose(&store.snapshot(), &query, Timestamp::from_millis(2_000))?;
/// assert_eq!(
///     findings[0].to_string(),
///     "no series match: the metric `http_request_total` has never been received; similar: `http_requests_total`"
/// );
/// # Ok::<(), promgate::Error>(())
/// ```
pub fn diagnose(source: &dyn Source, query: &Query, now: Timestamp) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for selector in Selector::all_of(query.expr()) {
        if select(source, &selector, now)?.is_empty() {
            findings.push(diagnose_selector(source, &selector, now)?);
        }
    }
    Ok(findings)
}
