//! Tree to text over several lines, as Prometheus's prettifier formats queries.

use std::fmt::Display;

use super::ast::Expr;
use super::print::{AggregateHead, BinaryHead, SubquerySuffix};

/// The length in bytes up to which a part stays on one line.
const LINE_BYTES: usize = 100;

const INDENT: &str = "  ";

/// The query over as many lines as it needs; comments are lost.
pub(crate) fn pretty(expr: &Expr) -> String {
    let mut text = String::new();
    write_part(&mut text, expr, 0);
    text
}

/// Writes a part; everything that does not lead deeper is done by functions of their own, so that deep trees take little stack.
fn write_part(text: &mut String, expr: &Expr, level: usize) {
    if let Expr::Unary(unary) = expr {
        // The operand brings its own indentation, which belongs before the operator.
        write_indent(text, level);
        text.push_str(unary.op.as_str());
        let start = text.len();
        write_part(text, &unary.expr, level);
        trim_from(text, start);
        return;
    }
    if write_line(text, expr, level) {
        return;
    }
    let below = level.saturating_add(1);
    match expr {
        Expr::Aggregate(aggregate) => {
            write_head(text, level, &AggregateHead(aggregate));
            if let Some(param) = &aggregate.param {
                write_part(text, param, below);
                text.push_str(",\n");
            }
            write_part(text, &aggregate.expr, below);
            write_close(text, level);
        }
        Expr::Call(call) => {
            write_head(text, level, &call.function.signature().name);
            for (index, arg) in call.args.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ",\n" });
                write_part(text, arg, below);
            }
            write_close(text, level);
        }
        Expr::Binary(binary) => {
            write_part(text, &binary.lhs, below);
            text.push('\n');
            write_indent(text, level);
            write_shown(text, &BinaryHead(binary));
            text.push('\n');
            write_part(text, &binary.rhs, below);
        }
        Expr::Paren(paren) => {
            write_head(text, level, &"");
            write_part(text, &paren.expr, below);
            write_close(text, level);
        }
        Expr::Subquery(subquery) => {
            write_part(text, &subquery.expr, level);
            write_shown(text, &SubquerySuffix(subquery));
        }
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) | Expr::Unary(_) => {}
    }
}

/// Writes a part on one line, if it fits there or has no parts itself.
#[inline(never)]
fn write_line(text: &mut String, expr: &Expr, level: usize) -> bool {
    let line = expr.to_string();
    let whole = matches!(expr, Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_));
    if line.len() > LINE_BYTES && !whole {
        return false;
    }
    if !matches!(expr, Expr::Subquery(_)) {
        write_indent(text, level);
    }
    text.push_str(&line);
    true
}

/// What stands before the parts of a call, and the parenthesis that opens.
#[inline(never)]
fn write_head(text: &mut String, level: usize, head: &dyn Display) {
    write_indent(text, level);
    write_shown(text, head);
    text.push_str("(\n");
}

fn write_close(text: &mut String, level: usize) {
    text.push('\n');
    write_indent(text, level);
    text.push(')');
}

#[inline(never)]
fn write_shown(text: &mut String, shown: &dyn Display) {
    text.push_str(&shown.to_string());
}

fn write_indent(text: &mut String, level: usize) {
    (0..level).for_each(|_| text.push_str(INDENT));
}

/// Removes blank space at the end, and at the beginning of what stands behind byte `start`.
#[inline(never)]
fn trim_from(text: &mut String, start: usize) {
    let trimmed = text.get(start..).unwrap_or_default().trim().to_owned();
    text.truncate(start);
    text.push_str(&trimmed);
}
