//! Aggregations that keep some of their input: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use crate::error::{Error, ErrorKind, Result};
use crate::model::Labels;
use crate::model::number::format_g;
use crate::promql::ast::AggregateOp;
use crate::promql::func::extremum;
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{Aggregate, Node};

use super::Evaluator;
use super::aggregate::Groups;
use super::budget::Budget;
use super::column::{Column, ColumnSample};
use super::go_sort;
use super::vector::{Scalars, Vector, VectorSeries};

/// The float that is 2^63 - 1024, the largest below 2^63.
const LARGEST_BELOW_TWO_TO_63: f64 = 9_223_372_036_854_774_784.0;

/// Go's truncation of a float to `i64` for values that were checked to fit.
fn count_at(scalars: &Scalars, step: usize, series: usize) -> usize {
    let k = scalars.at(step);
    if k < 1.0 || k.is_nan() {
        return 0;
    }
    // Float to integer saturates.
    (k as usize).min(series)
}

impl Evaluator<'_> {
    /// Checks the counts of `topk`, `bottomk` and `limitk`; false if no step asks for anything.
    fn check_counts(&self, counts: &Scalars, steps: Steps) -> Result<bool> {
        let mut values = counts.iter(steps.count());
        let Some(first) = values.next() else { return Ok(false) };
        let (mut least, mut most, mut any_nan) = (first, first, first.is_nan());
        for value in values {
            least = extremum::min(least, value);
            most = extremum::max(most, value);
            any_nan |= value.is_nan();
        }
        if most < 1.0 {
            return Ok(false);
        }
        let error = |text: String| Err(Error::new(ErrorKind::Query, text));
        if any_nan {
            return error("Parameter value is NaN".to_owned());
        }
        if least <= i64::MIN as f64 {
            return error(format!("Scalar value {} underflows int64", format_g(least)));
        }
        if most >= LARGEST_BELOW_TWO_TO_63 {
            return error(format!("Scalar value {} overflows int64", format_g(most)));
        }
        Ok(true)
    }

    /// `topk`, `bottomk`
    pub(crate) fn topk(
        &self,
        aggregate: &Aggregate<'_>,
        counts: &Scalars,
        input: &Vector,
        node: &Node<'_>,
        steps: Steps,
    ) -> Result<Vector> {
        let mut output = Vector::new(&self.budget);
        if !self.check_counts(counts, steps)? {
            return Ok(output);
        }
        let groups = Groups::new(&input.series, aggregate);
        let order = Order { largest: aggregate.op == AggregateOp::Topk };
        let mut columns: Vec<Option<Column>> = vec![None; input.series.len()];
        let mut heap: Vec<(f64, usize)> = Vec::new();
        for members in groups.members() {
            for step in 0..steps.count() {
                let k = count_at(counts, step, input.series.len());
                self.budget.tick(members.len())?;
                if k == 0 {
                    continue;
                }
                heap.clear();
                for index in &members {
                    match input.series.get(*index).and_then(|series| series.column.sample(step)) {
                        Some(ColumnSample::Float(value)) => order.offer(&mut heap, k, (value, *index)),
                        Some(ColumnSample::Histogram(_)) => {
                            self.notes.ignored_histogram_in_aggregation(aggregate.op.as_str(), node.range);
                        }
                        None => {}
                    }
                }
                if steps.is_single() {
                    order.best_first(&mut heap);
                    for (value, index) in &heap {
                        if let Some(series) = input.series.get(*index) {
                            let column = Column::constant(*value, 1);
                            output.push(VectorSeries { column, ..without_column(series) })?;
                        }
                    }
                } else {
                    for (value, index) in &heap {
                        if let Some(slot) = columns.get_mut(*index) {
                            slot.get_or_insert_with(|| Column::absent(steps.count())).set_float(step, *value);
                        }
                    }
                }
            }
        }
        for (series, column) in input.series.iter().zip(columns) {
            if let Some(column) = column {
                output.push(VectorSeries { column, ..without_column(series) })?;
            }
        }
        Ok(output)
    }

    /// `limitk`, `limit_ratio`
    pub(crate) fn limit(
        &self,
        aggregate: &Aggregate<'_>,
        parameter: &Scalars,
        mut input: Vector,
        steps: Steps,
    ) -> Result<Vector> {
        let groups = Groups::new(&input.series, aggregate);
        if aggregate.op == AggregateOp::LimitRatio {
            if !self.check_ratios(parameter, aggregate, steps)? {
                return Ok(Vector::new(&self.budget));
            }
            for series in &mut input.series {
                self.budget.tick(steps.count())?;
                let offset = hash(&series.labels) as f64 / TWO_TO_64;
                for step in 0..steps.count() {
                    let ratio = extremum::max(-1.0, extremum::min(1.0, parameter.at(step)));
                    let kept = if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio };
                    if !kept || ratio == 0.0 {
                        series.column.remove(step);
                    }
                }
            }
        } else {
            if !self.check_counts(parameter, steps)? {
                return Ok(Vector::new(&self.budget));
            }
            let mut taken = vec![0_usize; groups.groups.len()];
            for step in 0..steps.count() {
                taken.fill(0);
                let k = count_at(parameter, step, input.series.len());
                self.budget.tick(input.series.len())?;
                for (series, group) in input.series.iter_mut().zip(&groups.ids) {
                    let Some(taken) = taken.get_mut(*group) else { continue };
                    if !series.column.is_present(step) {
                        continue;
                    }
                    if *taken < k {
                        *taken = taken.saturating_add(1);
                    } else {
                        series.column.remove(step);
                    }
                }
            }
        }
        if steps.is_single() {
            return heaped(&input, &groups, &self.budget);
        }
        input.prune();
        Ok(input)
    }

    /// Checks the ratios of `limit_ratio`; false if all are zero.
    fn check_ratios(&self, ratios: &Scalars, aggregate: &Aggregate<'_>, steps: Steps) -> Result<bool> {
        let (mut all_zero, mut any_nan) = (true, false);
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for ratio in ratios.iter(steps.count()) {
            all_zero &= ratio == 0.0;
            any_nan |= ratio.is_nan();
            least = extremum::min(least, ratio);
            most = extremum::max(most, ratio);
        }
        if all_zero {
            return Ok(false);
        }
        if any_nan {
            return Err(Error::new(ErrorKind::Query, "Ratio value is NaN"));
        }
        if let Some(param) = &aggregate.param {
            if most > 1.0 {
                self.notes.bad_ratio(most, 1.0, param.range);
            }
            if least < -1.0 {
                self.notes.bad_ratio(least, -1.0, param.range);
            }
        }
        Ok(true)
    }
}

/// The series of an instant in the order in which Prometheus's heaps, one a group, hold them: what is above `limitk`
/// and `limit_ratio` adds up in it.
fn heaped(input: &Vector, groups: &Groups, budget: &Budget) -> Result<Vector> {
    let order = Order { largest: true };
    let mut output = Vector::new(budget);
    let mut heap: Vec<(f64, usize)> = Vec::new();
    for members in groups.members() {
        heap.clear();
        for index in members {
            if let Some(series) = input.series.get(index).filter(|series| series.column.is_present(0)) {
                heap.push((series.column.float(0).unwrap_or(0.0), index));
                order.sift_up(&mut heap);
            }
        }
        for series in heap.iter().filter_map(|(_, index)| input.series.get(*index)) {
            output.push(series.clone())?;
        }
    }
    Ok(output)
}

fn without_column(series: &VectorSeries) -> VectorSeries {
    VectorSeries { labels: series.labels.clone(), drop_name: series.drop_name, column: Column::absent(0) }
}

/// 2^64, to which hashes are compared.
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

/// The hash of labels by which `limit_ratio` chooses: Prometheus's, so that it chooses the same series.
fn hash(labels: &Labels) -> u64 {
    let mut bytes = Vec::new();
    for label in labels {
        for text in [&label.name, &label.value] {
            match u8::try_from(text.len()) {
                Ok(length) if length < u8::MAX => bytes.push(length),
                _ => {
                    bytes.push(u8::MAX);
                    bytes.extend(text.len().to_le_bytes().iter().take(3));
                }
            }
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    twox_hash::XxHash64::oneshot(0, &bytes)
}

/// The order of `topk` and `bottomk`. The heap works as Go's `container/heap` does, so that ties end up in the
/// same places.
struct Order {
    largest: bool,
}

impl Order {
    /// Whether `a` is worse than `b`.
    fn worse(&self, a: f64, b: f64) -> bool {
        a.is_nan() || if self.largest { a < b } else { a > b }
    }

    /// Keeps the `k` best in a heap with the worst on top.
    fn offer(&self, heap: &mut Vec<(f64, usize)>, k: usize, candidate: (f64, usize)) {
        if heap.len() < k {
            heap.push(candidate);
            self.sift_up(heap);
            return;
        }
        if let Some(worst) = heap.first_mut() {
            let better = if self.largest { worst.0 < candidate.0 } else { worst.0 > candidate.0 };
            if better || (worst.0.is_nan() && !candidate.0.is_nan()) {
                *worst = candidate;
                self.sift_down(heap);
            }
        }
    }

    fn value(heap: &[(f64, usize)], index: usize) -> f64 {
        heap.get(index).map_or(f64::NAN, |entry| entry.0)
    }

    fn sift_up(&self, heap: &mut [(f64, usize)]) {
        let mut child = heap.len().saturating_sub(1);
        while child > 0 {
            let parent = child.saturating_sub(1) / 2;
            if !self.worse(Self::value(heap, child), Self::value(heap, parent)) {
                break;
            }
            heap.swap(parent, child);
            child = parent;
        }
    }

    fn sift_down(&self, heap: &mut [(f64, usize)]) {
        let mut parent = 0_usize;
        loop {
            let left = parent.saturating_mul(2).saturating_add(1);
            if left >= heap.len() {
                break;
            }
            let right = left.saturating_add(1);
            let mut child = left;
            if right < heap.len() && self.worse(Self::value(heap, right), Self::value(heap, left)) {
                child = right;
            }
            if !self.worse(Self::value(heap, child), Self::value(heap, parent)) {
                break;
            }
            heap.swap(parent, child);
            parent = child;
        }
    }

    /// Sorts best first, NaN last.
    fn best_first(&self, heap: &mut [(f64, usize)]) {
        go_sort::sort(heap, |a, b| self.worse(b.0, a.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(largest: bool, k: usize, values: &[f64]) -> Vec<usize> {
        let order = Order { largest };
        let mut heap = Vec::new();
        for (index, value) in values.iter().enumerate() {
            order.offer(&mut heap, k, (*value, index));
        }
        order.best_first(&mut heap);
        heap.into_iter().map(|(_, index)| index).collect()
    }

    #[test]
    fn the_best_come_first_and_nan_last() {
        assert_eq!(best(true, 2, &[1.0, f64::NAN, 3.0, 2.0]), [2, 3]);
        assert_eq!(best(false, 3, &[1.0, f64::NAN, 3.0]), [0, 2, 1]);
    }

    #[test]
    fn ties_keep_the_earlier_series() {
        assert_eq!(best(true, 1, &[5.0, 5.0, 5.0]), [0]);
    }

    #[test]
    fn the_hash_is_prometheus_s() {
        // xxhash of "\x08__name__\x01m" prepended lengths included, seed 0.
        let labels = Labels::from_pairs([("__name__", "m")]);
        assert_eq!(hash(&labels), twox_hash::XxHash64::oneshot(0, b"\x08__name__\x01m"));
    }
}
