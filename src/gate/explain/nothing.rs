//! Why a query answers nothing although its selectors match series: the deepest part of it that is empty.

use std::collections::BTreeSet;

use super::diagnose_selector;
use crate::error::{ErrorKind, Result};
use crate::gate::evidence::{read, select};
use crate::gate::reason::Finding;
use crate::gate::round::{At, Round};
use crate::gate::spec::Selector;
use crate::model::{Labels, SampleBuffer, SampleValue, Timestamp, Window};
use crate::promql::ast::{self, Binary, BinaryOp, DurationExpr, Expr, UnaryOp, VectorSelector};
use crate::promql::{DEFAULT_LOOKBACK_MS, Value, VectorSample};

/// So many parts of a query are asked for one by one.
const MAX_PARTS: usize = 64;
/// A reason names so many values.
const TOLD: usize = 3;

/// Why a query answers nothing at `at`; none where its form does not tell.
///
/// Goes down from the whole to the operand that is empty, and stops where all operands have samples.
pub(crate) fn why_nothing(round: &Round<'_>, query: &Expr, at: Timestamp) -> Result<Option<Finding>> {
    let mut expr = query.unwrap_parens();
    let mut parts = 0_usize;
    loop {
        let operands: Vec<&Expr> = match expr {
            Expr::Vector(selector) => return of_selector(round, selector, None, at),
            Expr::Unary(unary) => vec![&unary.expr],
            Expr::Aggregate(aggregate) => vec![&aggregate.expr],
            Expr::Binary(binary) => vec![&binary.lhs, &binary.rhs],
            Expr::Call(call) => call.args.iter().collect(),
            // What a subquery answers is many instants, each for itself.
            _ => return Ok(None),
        };
        let (mut empty, mut answers) = (None, Vec::new());
        for operand in operands.into_iter().map(Expr::unwrap_parens) {
            parts = parts.saturating_add(1);
            match operand {
                Expr::Matrix(matrix) => {
                    return of_selector(round, &matrix.selector, Some(&matrix.window), at);
                }
                Expr::Subquery(_) => return Ok(None),
                _ if parts > MAX_PARTS => return Ok(None),
                _ => match samples(round, operand, at)? {
                    Some(samples) if samples.is_empty() => empty = empty.or(Some(operand)),
                    answer => answers.push(answer),
                },
            }
        }
        match (empty, expr) {
            (Some(operand), _) => expr = operand,
            (None, Expr::Binary(binary)) => return between(round, binary, &answers, at),
            (None, _) => return Ok(None),
        }
    }
}

/// The samples of a part of a query; none for a number, and for a part that fails by itself.
fn samples(round: &Round<'_>, expr: &Expr, at: Timestamp) -> Result<Option<Vec<VectorSample>>> {
    let Ok(query) = round.engine().prepare(&expr.to_string()) else { return Ok(None) };
    match round.evaluate(&query, At::Instant(at)).evaluation {
        Ok(evaluation) => Ok(match &evaluation.value {
            Value::Vector(samples) => Some(samples.clone()),
            _ => None,
        }),
        Err(error)
            if matches!(error.kind(), ErrorKind::Query | ErrorKind::Limit | ErrorKind::Unsupported) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Why an operator makes nothing of operands that all have samples.
fn between(
    round: &Round<'_>,
    binary: &Binary,
    answers: &[Option<Vec<VectorSample>>],
    at: Timestamp,
) -> Result<Option<Finding>> {
    let filters = binary.op.is_comparison() && !binary.return_bool;
    Ok(match answers {
        [Some(left), Some(right)] => {
            let compared = Expr::Binary(Box::new(Binary { return_bool: true, ..binary.clone() }));
            let meet = filters && samples(round, &compared, at)?.is_some_and(|pairs| !pairs.is_empty());
            match binary.op {
                _ if meet => Some(filtered(binary, left)),
                BinaryOp::Unless => None,
                op => Some(apart(op, left, right)),
            }
        }
        [Some(one), None] | [None, Some(one)] if filters => Some(filtered(binary, one)),
        _ => None,
    })
}

fn filtered(binary: &Binary, removed: &[VectorSample]) -> Finding {
    let values = removed.iter().take(TOLD).map(|sample| match &sample.value {
        SampleValue::Float(value) => value.to_string(),
        SampleValue::Histogram(_) => "a histogram".to_owned(),
    });
    let comparison = Expr::Binary(Box::new(binary.clone())).to_string();
    Finding::FilteredOut { comparison, removed: removed.len(), values: values.collect() }
}

fn apart(op: BinaryOp, left: &[VectorSample], right: &[VectorSample]) -> Finding {
    let names = |samples: &[VectorSample]| -> BTreeSet<String> {
        let labels = samples.iter().flat_map(|sample| sample.labels.iter());
        labels.map(|label| label.name.to_string()).filter(|name| name != "__name__").collect()
    };
    let example = |samples: &[VectorSample]| samples.first().map_or_else(String::new, |one| own(&one.labels));
    let (of_left, of_right) = (names(left), names(right));
    Finding::JoinEmpty {
        operator: op.as_str().to_owned(),
        left_only: of_left.difference(&of_right).cloned().collect(),
        right_only: of_right.difference(&of_left).cloned().collect(),
        left: example(left),
        right: example(right),
    }
}

/// The labels by which samples meet.
fn own(labels: &Labels) -> String {
    let own = labels.iter().filter(|label| &*label.name != "__name__");
    let own: Vec<String> = own.map(|label| format!("{}={:?}", label.name, label.value)).collect();
    format!("{{{}}}", own.join(","))
}

/// Why the samples of a selector make nothing of what asks for them, over a window or at an instant.
fn of_selector(
    round: &Round<'_>,
    selector: &VectorSelector,
    window: Option<&DurationExpr>,
    at: Timestamp,
) -> Result<Option<Finding>> {
    let own = Selector::of(selector.matchers.clone());
    let modifiers = &selector.modifiers;
    let offset = modifiers.offset.as_ref().map_or(Some(0), millis);
    let (Some(length_ms), Some(offset_ms)) = (window.map_or(Some(DEFAULT_LOOKBACK_MS), millis), offset)
    else {
        return Ok(None);
    };
    let base = match modifiers.at {
        Some(ast::At::Time(millis)) => Timestamp::from_millis(millis),
        _ => at,
    };
    let until = base.minus_millis(offset_ms);
    let from = until.minus_millis(length_ms);
    let all = select(round, &own, at.max(until))?;
    if all.is_empty() {
        return diagnose_selector(round, &own, at).map(Some);
    }
    let loaded = read(&all, from, until)?;
    if loaded.series.is_empty() {
        let mut buffer = SampleBuffer::default();
        for series in &all {
            series.read(Window::new(until, at.max(until)), &mut buffer)?;
        }
        let first = buffer.times.iter().chain(buffer.histograms.iter().map(|(time, ..)| time)).min();
        return Ok(first.map(|first| Finding::WindowExceedsHistory {
            selector: own.text,
            from,
            until,
            first: Timestamp::from_millis(*first),
        }));
    }
    let most = loaded.series.iter().map(|series| series.points.len()).max().unwrap_or(0);
    Ok((window.is_some() && most < 2).then(|| Finding::WindowTooShort {
        selector: own.text,
        window_seconds: length_ms as f64 / 1000.0,
        interval_seconds: loaded.interval_ms.map(|interval| interval as f64 / 1000.0),
        samples: most,
    }))
}

/// A duration that was written as one, in milliseconds.
fn millis(duration: &DurationExpr) -> Option<i64> {
    match duration {
        DurationExpr::Literal(literal) => Some((literal.value * 1000.0) as i64),
        DurationExpr::Paren(inner, _) => millis(inner),
        DurationExpr::Unary { op, expr, .. } => {
            let value = millis(expr)?;
            Some(if *op == UnaryOp::Minus { value.saturating_neg() } else { value })
        }
        DurationExpr::Step(_)
        | DurationExpr::Range(_)
        | DurationExpr::Extreme { .. }
        | DurationExpr::Binary { .. } => None,
    }
}

#[cfg(test)]
mod tests;
