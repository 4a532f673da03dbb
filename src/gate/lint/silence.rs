//! Sources without evidence: what a query answers where there is nothing, and where nothing moves.

use crate::error::Result;
use crate::gate::argo::QueryValue;
use crate::model::{Labels, MatchOp, Matcher, SampleBuffer, Timestamp};
use crate::promql::{Engine, Query};
use crate::source::{Item, SelectRequest, Series, SeriesSet, Source};

/// No series at all.
struct Nothing;

impl Source for Nothing {
    fn select(&self, _: &SelectRequest<'_>) -> Result<SeriesSet> {
        Ok(SeriesSet::default())
    }
}

/// Every selector finds one counter that stands still, or buckets that do.
struct Still;

/// How often a still counter was scraped within any window.
const SCRAPES: i64 = 16;

impl Source for Still {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        let (after, until) = (request.window.after.as_millis(), request.window.until.as_millis());
        let step = (until.saturating_sub(after)).checked_div(SCRAPES).unwrap_or(0).max(1);
        let given = |matcher: &&Matcher| matcher.op() == MatchOp::Equal && !matcher.value().is_empty();
        let pairs: Vec<(String, String)> = request
            .matchers
            .iter()
            .filter(given)
            .map(|matcher| (matcher.name().to_owned(), String::from_utf8_lossy(matcher.value()).into_owned()))
            .collect();
        let is_bucket = pairs.iter().any(|(name, value)| name == "__name__" && value.ends_with("_bucket"));
        let has_le = pairs.iter().any(|(name, _)| name == "le");
        let bounds: &[&str] = if is_bucket && !has_le { &["+Inf", "1"] } else { &[""] };
        let mut set = SeriesSet::default();
        for bound in bounds {
            let mut pairs = pairs.clone();
            if !bound.is_empty() {
                pairs.push(("le".to_owned(), (*bound).to_owned()));
            }
            let mut samples = SampleBuffer::default();
            for scrape in 1..=SCRAPES {
                let time = after.saturating_add(step.saturating_mul(scrape)).min(until);
                if samples.times.last().is_none_or(|last| *last < time) {
                    samples.push_float(time, 100.0, 0);
                }
            }
            set.items.push(Item::Series(Series::from_samples(Labels::from_pairs(pairs), samples)));
        }
        Ok(set)
    }
}

/// What a query answers where there is no series; none if it fails.
pub(super) fn without_series(engine: &Engine, query: &Query) -> Option<QueryValue> {
    answer(engine, query, &Nothing)
}

/// What a query answers where every counter stands still.
pub(super) fn without_movement(engine: &Engine, query: &Query) -> Option<QueryValue> {
    answer(engine, query, &Still)
}

fn answer(engine: &Engine, query: &Query, source: &dyn Source) -> Option<QueryValue> {
    let at = Timestamp::from_secs(1_700_000_000);
    engine.instant(source, query, at).ok().map(|evaluation| QueryValue::from(&evaluation.value))
}
