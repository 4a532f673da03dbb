//! Tree to text over several lines, as Prometheus's prettifier formats queries.

use super::ast::Expr;
use super::print::{AggregateHead, BinaryHead, SubquerySuffix};

/// The length in bytes up to which a part stays on one line.
const LINE_BYTES: usize = 100;

const INDENT: &str = "  ";

/// The query over as many lines as it needs; comments are lost.
pub(crate) fn pretty(expr: &Expr) -> String {
    part(expr, 0)
}

fn part(expr: &Expr, level: usize) -> String {
    let indent = INDENT.repeat(level);
    if let Expr::Unary(unary) = expr {
        // The operand brings its own indentation, which belongs before the operator.
        return format!("{indent}{}{}", unary.op.as_str(), part(&unary.expr, level).trim());
    }
    let line = expr.to_string();
    if line.len() <= LINE_BYTES {
        let indented = !matches!(expr, Expr::Subquery(_));
        return if indented { indent + &line } else { line };
    }
    let below = level.saturating_add(1);
    match expr {
        Expr::Aggregate(aggregate) => {
            let param = aggregate.param.as_ref().map_or(String::new(), |param| part(param, below) + ",\n");
            let inner = part(&aggregate.expr, below);
            format!("{indent}{}(\n{param}{inner}\n{indent})", AggregateHead(aggregate))
        }
        Expr::Call(call) => {
            let args: Vec<String> = call.args.iter().map(|arg| part(arg, below)).collect();
            format!("{indent}{}(\n{}\n{indent})", call.function.signature().name, args.join(",\n"))
        }
        Expr::Binary(binary) => {
            let (lhs, rhs) = (part(&binary.lhs, below), part(&binary.rhs, below));
            format!("{lhs}\n{indent}{}\n{rhs}", BinaryHead(binary))
        }
        Expr::Paren(paren) => format!("{indent}(\n{}\n{indent})", part(&paren.expr, below)),
        Expr::Subquery(subquery) => {
            format!("{}{}", part(&subquery.expr, level), SubquerySuffix(subquery))
        }
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) | Expr::Unary(_) => {
            indent + &line
        }
    }
}
