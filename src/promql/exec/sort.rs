//! `sort` and its relatives: the order of an instant vector.

use crate::error::Result;
use crate::promql::func::natural_order;
use crate::promql::plan::Node;
use crate::promql::plan::steps::Steps;
use crate::promql::signature::Function;

use super::Evaluator;
use super::go_sort;
use super::operands::Operands;
use super::vector::{Vector, VectorSeries};

impl Evaluator<'_> {
    /// `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`
    pub(crate) fn sort(
        &self,
        function: Function,
        args: &[Node<'_>],
        node: &Node<'_>,
        steps: Steps,
        operands: &mut Operands,
    ) -> Result<Vector> {
        let Some((argument, names)) = args.split_first() else { return Err(self.not_built(function, node)) };
        let mut vector = operands.vector(argument)?;
        if !steps.is_single() {
            self.notes.sort_in_range_query(node.range);
        }
        let descending = matches!(function, Function::SortDesc | Function::SortByLabelDesc);
        if matches!(function, Function::Sort | Function::SortDesc) {
            for series in &mut vector.series {
                series.column.drop_histograms();
            }
            vector.prune();
            if steps.is_single() {
                go_sort::sort(&mut vector.series, |a, b| before(a, b, descending));
            }
        } else if steps.is_single() {
            let names = names.iter().map(|name| self.text(name)).collect::<Result<Vec<_>>>()?;
            go_sort::sort(&mut vector.series, |a, b| before_by_labels(a, b, &names, descending));
        }
        Ok(vector)
    }
}

/// Whether `a` stands before `b` by value, NaN last either way. As in Prometheus, NaN comes before itself, too.
fn before(a: &VectorSeries, b: &VectorSeries, descending: bool) -> bool {
    let (a, b) = (a.column.float(0).unwrap_or(f64::NAN), b.column.float(0).unwrap_or(f64::NAN));
    b.is_nan() || if descending { a > b } else { a < b }
}

/// Whether `a` stands before `b` by the values of labels, and where all are equal by all labels.
fn before_by_labels(a: &VectorSeries, b: &VectorSeries, names: &[String], descending: bool) -> bool {
    for name in names {
        let (a, b) = (a.labels.get(name).unwrap_or(""), b.labels.get(name).unwrap_or(""));
        if a != b {
            return natural_order::precedes(a, b) != descending;
        }
    }
    if descending { a.labels > b.labels } else { a.labels < b.labels }
}
