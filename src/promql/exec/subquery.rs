//! Subqueries: an expression evaluated on a grid of its own becomes a range vector.

use std::sync::Arc;

use crate::error::Result;
use crate::model::{CounterResetHint, NativeHistogram, SampleBuffer};
use crate::promql::plan::Subquery;
use crate::promql::plan::steps::Steps;

use super::Evaluator;
use super::column::buffer_weight;
use super::range::RangeSeries;
use super::vector::Vector;

impl Evaluator<'_> {
    /// Calls `f` for every series of a subquery, whose expression has this value, with the points of all windows.
    pub(crate) fn for_each_subquery_series(
        &self,
        subquery: &Subquery<'_>,
        vector: &Vector,
        steps: Steps,
        mut f: impl FnMut(RangeSeries<'_>) -> Result<()>,
    ) -> Result<()> {
        let grid = subquery.steps(steps);
        let mut buffer = SampleBuffer::default();
        for series in &vector.series {
            buffer.clear();
            self.budget.tick(grid.count())?;
            for (step, value) in series.column.floats() {
                buffer.push_float(grid.time(step), value, 0);
            }
            for (step, histogram) in series.column.histograms() {
                buffer.histograms.push((grid.time(step), without_hint(histogram), 0));
            }
            self.budget.check_samples(buffer_weight(&buffer))?;
            f(RangeSeries { labels: &series.labels, drop_name: series.drop_name, samples: &buffer })?;
        }
        Ok(())
    }
}

/// Points of a subquery are no neighbours in storage, so a hint about the predecessor no longer holds.
fn without_hint(histogram: &Arc<NativeHistogram>) -> Arc<NativeHistogram> {
    match histogram.hint {
        CounterResetHint::Unknown | CounterResetHint::Gauge => histogram.clone(),
        CounterResetHint::Reset | CounterResetHint::NotReset => {
            Arc::new(NativeHistogram { hint: CounterResetHint::Unknown, ..NativeHistogram::clone(histogram) })
        }
    }
}
