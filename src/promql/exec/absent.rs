//! `absent` and `absent_over_time`: one sample where there is none.

use crate::error::{Error, ErrorKind, Result};
use crate::model::label::METRIC_NAME;
use crate::model::{Labels, LabelsBuilder, MatchOp, Matcher};
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{Node, Operator};
use crate::promql::signature::Function;

use super::Evaluator;
use super::column::Column;
use super::operands::Operands;
use super::range::{Slider, bounds, check_extension, range_argument};
use super::vector::{Vector, VectorSeries};

/// The labels that a selector says its series would have.
fn labels_of(matchers: &[Matcher]) -> Labels {
    let mut builder = LabelsBuilder::new();
    let mut seen: Vec<&str> = Vec::new();
    // Prometheus's storage moves matchers that only take series away behind the others, which shows here.
    let subtracts = |matcher: &&Matcher| {
        matches!(matcher.op(), MatchOp::NotEqual | MatchOp::NotMatches) && matcher.matches("")
    };
    let (behind, before): (Vec<_>, Vec<_>) = matchers.iter().partition(subtracts);
    for matcher in before.into_iter().chain(behind).filter(|matcher| matcher.name() != METRIC_NAME) {
        let first_equal = matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name());
        match std::str::from_utf8(matcher.value()) {
            Ok(value) if first_equal => {
                seen.push(matcher.name());
                builder.set(matcher.name(), value);
            }
            _ => {
                builder.remove(matcher.name());
            }
        }
    }
    builder.build()
}

impl Evaluator<'_> {
    /// `absent`
    pub(crate) fn absent(&self, argument: &Node<'_>, vector: &Vector, steps: Steps) -> Result<Vector> {
        let labels = match &argument.operator {
            Operator::Instant(selector) => labels_of(selector.matchers),
            _ => Labels::empty(),
        };
        let mut column = Column::constant(1.0, steps.count());
        for step in 0..steps.count() {
            if vector.series.iter().any(|series| series.column.is_present(step)) {
                column.remove(step);
            }
        }
        self.only(labels, column)
    }

    /// `absent_over_time`
    pub(crate) fn absent_over_time(
        &self,
        args: &[Node<'_>],
        steps: Steps,
        operands: &mut Operands,
    ) -> Result<Vector> {
        let Some((argument, window, extension)) = range_argument(args) else {
            return Err(Error::new(ErrorKind::Query, "absent_over_time expects a range vector"));
        };
        check_extension(Function::AbsentOverTime, extension)?;
        let labels = match &argument.operator {
            Operator::Range(selector) => labels_of(selector.matchers),
            _ => Labels::empty(),
        };
        let mut column = Column::constant(1.0, steps.count());
        self.for_each_range_series(argument, steps, operands, false, |series| {
            let mut slider = Slider::default();
            for (step, time) in steps.times().enumerate() {
                let bounds = bounds(window, time);
                if !slider.at(series.samples, bounds.start, bounds.end).is_empty() {
                    column.remove(step);
                }
            }
            Ok(())
        })?;
        // Unlike the sample of `absent`, this one is flagged.
        let mut series = VectorSeries { labels, drop_name: false, column };
        if self.settings.delayed_name_removal {
            self.drop_name(&mut series);
        }
        let mut vector = Vector::new(&self.budget);
        vector.push(series)?;
        Ok(vector)
    }

    /// A vector of one series.
    pub(crate) fn only(&self, labels: Labels, column: Column) -> Result<Vector> {
        let mut vector = Vector::new(&self.budget);
        vector.push(VectorSeries { labels, drop_name: false, column })?;
        Ok(vector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
        Matcher::new(name, op, value).unwrap()
    }

    #[test]
    fn only_a_single_equality_gives_a_label() {
        let labels = labels_of(&[
            matcher("a", MatchOp::Equal, "1"),
            matcher("a", MatchOp::Equal, "2"),
            matcher("b", MatchOp::Equal, "3"),
            matcher("c", MatchOp::NotEqual, ""),
            matcher("c", MatchOp::Equal, "5"),
            matcher("d", MatchOp::NotEqual, "6"),
            matcher("d", MatchOp::Equal, "7"),
            Matcher::equal("__name__", "m"),
        ]);
        assert_eq!(labels, Labels::from_pairs([("b", "3"), ("c", "5")]));
    }
}
