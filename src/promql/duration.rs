//! What durations are worth: literals when they are read, expressions when the step and the range of the query are known.

use crate::error::{Error, ErrorKind, Result};
use crate::model::number::truncate_to_i64;

use super::ast::{BinaryOp, DurationExpr, NumberLiteral, UnaryOp};

/// What a duration is for, which decides about its sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DurationUse {
    /// A window or a step of a subquery: more than 0.
    Window,
    /// Any sign.
    Offset,
}

/// The bound of durations: 2^63 nanoseconds, in seconds.
const LIMIT_SECONDS: f64 = 9_223_372_036_854_775_808.0 / 1e9;

/// Whether so many seconds are beyond what a duration can hold.
pub(crate) fn is_out_of_range(seconds: f64) -> bool {
    !(-LIMIT_SECONDS..=LIMIT_SECONDS).contains(&seconds) && !seconds.is_nan()
}

/// A literal in nanoseconds, rounded half away from zero.
pub(crate) fn literal_nanos(literal: &NumberLiteral) -> i64 {
    truncate_to_i64((literal.value * 1e9).round())
}

impl DurationExpr {
    /// The duration in milliseconds, for a query that has this step and this distance from start to end, both 0 for an instant
    /// query.
    ///
    /// A literal is rounded to nanoseconds and then cut to milliseconds; the value of anything else is cut at once, as in
    /// Prometheus 3.15. A window can come out as 0 if it is below a millisecond.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`] with Prometheus's text and the place of the expression in bytes, `3:9: division by zero`, for a
    /// value that is no duration.
    pub(crate) fn evaluate(&self, step_ms: i64, range_ms: i64, usage: DurationUse) -> Result<i64> {
        if let Self::Literal(literal) = self {
            return Ok(literal_nanos(literal) / 1_000_000);
        }
        let seconds = self.seconds(step_ms, range_ms)?;
        if !seconds.is_finite() {
            return Err(self.error("duration is NaN or infinite"));
        }
        if seconds <= 0.0 && usage == DurationUse::Window {
            return Err(self.error("duration must be greater than 0"));
        }
        if is_out_of_range(seconds) {
            return Err(self.error("duration is out of range"));
        }
        Ok(truncate_to_i64(seconds * 1000.0))
    }

    fn error(&self, text: &str) -> Error {
        let range = self.range();
        Error::new(ErrorKind::Parse, format!("{}:{}: {text}", range.start, range.end))
            .at(range.start, range.end)
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds are floats in the language")]
    fn seconds(&self, step_ms: i64, range_ms: i64) -> Result<f64> {
        Ok(match self {
            Self::Literal(literal) => literal.value,
            Self::Step(_) => step_ms as f64 / 1000.0,
            Self::Range(_) => range_ms as f64 / 1000.0,
            Self::Extreme { max, lhs, rhs, .. } => {
                let lhs = lhs.seconds(step_ms, range_ms)?;
                let rhs = rhs.seconds(step_ms, range_ms)?;
                if *max { maximum(lhs, rhs) } else { -maximum(-lhs, -rhs) }
            }
            Self::Unary { op, expr, .. } => {
                let value = expr.seconds(step_ms, range_ms)?;
                match op {
                    UnaryOp::Plus => value,
                    UnaryOp::Minus => -value,
                }
            }
            Self::Binary { op, lhs, rhs, .. } => {
                let lhs = lhs.seconds(step_ms, range_ms)?;
                let rhs = rhs.seconds(step_ms, range_ms)?;
                self.binary_seconds(*op, lhs, rhs)?
            }
            Self::Paren(expr, _) => expr.seconds(step_ms, range_ms)?,
        })
    }

    #[inline(never)]
    fn binary_seconds(&self, op: BinaryOp, lhs: f64, rhs: f64) -> Result<f64> {
        Ok(match op {
            BinaryOp::Add => lhs + rhs,
            BinaryOp::Sub => lhs - rhs,
            BinaryOp::Mul => lhs * rhs,
            BinaryOp::Div if rhs == 0.0 => return Err(self.error("division by zero")),
            BinaryOp::Div => lhs / rhs,
            BinaryOp::Mod if rhs == 0.0 => return Err(self.error("modulo by zero")),
            BinaryOp::Mod => lhs % rhs,
            BinaryOp::Pow => libm::pow(lhs, rhs),
            op => {
                let text = format!("unexpected duration expression operator \"{}\"", op.as_str());
                return Err(self.error(&text));
            }
        })
    }
}

/// Go's `math.Max`: an infinite argument wins over NaN, and +0 over -0.
fn maximum(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}
