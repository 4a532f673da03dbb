//! How many elements a query can answer, told by its form.

use crate::promql::ast::{BinaryOp, Expr, ValueType};
use crate::promql::signature::Function;

/// How many elements an answer has at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elements {
    /// One, without labels.
    Bare,
    /// One.
    One,
    Many,
}

pub(super) fn elements(expr: &Expr) -> Elements {
    if matches!(expr.value_type(), ValueType::Scalar | ValueType::String) {
        return Elements::Bare;
    }
    match expr {
        Expr::Number(_) | Expr::String(_) => Elements::Bare,
        Expr::Paren(paren) => elements(&paren.expr),
        Expr::Unary(unary) => elements(&unary.expr),
        Expr::Vector(_) | Expr::Matrix(_) | Expr::Subquery(_) => Elements::Many,
        Expr::Aggregate(node) => match node.op {
            op if op.has_param() => {
                let one = matches!(&node.param, Some(Expr::Number(number)) if number.value == 1.0);
                if one && node.grouping.is_empty() && !node.without { Elements::One } else { Elements::Many }
            }
            _ if node.without => Elements::Many,
            _ if node.grouping.is_empty() => Elements::Bare,
            _ => Elements::Many,
        },
        Expr::Call(call) => match (call.function, call.args.as_slice()) {
            (Function::Vector_ | Function::Time | Function::Pi, _) => Elements::Bare,
            (Function::Absent | Function::AbsentOverTime, _) => Elements::One,
            (Function::LabelReplace | Function::LabelJoin, [inner, ..]) => match elements(inner) {
                Elements::Bare => Elements::One,
                other => other,
            },
            (Function::HistogramQuantile, [_, inner]) => match inner.unwrap_parens() {
                Expr::Aggregate(node)
                    if !node.without
                        && !node.op.has_param()
                        && node.grouping.iter().all(|label| label == "le") =>
                {
                    Elements::Bare
                }
                _ => Elements::Many,
            },
            (_, args) => {
                args.iter().find(|arg| arg.value_type() == ValueType::Vector).map_or(Elements::Many, elements)
            }
        },
        Expr::Binary(node) => {
            let scalar = |expr: &Expr| expr.value_type() == ValueType::Scalar;
            let (left, right) = (elements(&node.lhs), elements(&node.rhs));
            match node.op {
                _ if scalar(&node.lhs) => right,
                _ if scalar(&node.rhs) => left,
                BinaryOp::Or if (left, right) == (Elements::Bare, Elements::Bare) => Elements::Bare,
                BinaryOp::Or => Elements::Many,
                BinaryOp::And | BinaryOp::Unless => left,
                // An element of one side meets one of the other.
                _ if left == Elements::Many => right,
                _ => left,
            }
        }
    }
}
