//! Unary minus.

use crate::error::Result;

use super::Evaluator;
use super::unique::merge_equal;
use super::vector::Vector;

impl Evaluator<'_> {
    /// `-vector`
    pub(crate) fn negate(&self, mut vector: Vector) -> Result<Vector> {
        for series in &mut vector.series {
            self.budget.tick(series.column.steps())?;
            series.column.map_floats(|_, value| -value);
            series.column.map_histograms(|histogram| histogram.multiply(-1.0));
            self.drop_name(series);
        }
        if self.settings.delayed_name_removal { Ok(vector) } else { merge_equal(vector, false) }
    }
}
