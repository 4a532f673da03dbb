//! Functions of one float.

use crate::model::calendar::DateTime;
use crate::model::log;
use crate::promql::signature::Function;

/// The function of one float that `function` applies to every sample, if it is such a function.
pub(crate) fn of_one(function: Function) -> Option<fn(f64) -> f64> {
    Some(match function {
        Function::Abs => f64::abs,
        Function::Acos => f64::acos,
        Function::Acosh => acosh,
        Function::Asin => f64::asin,
        Function::Asinh => libm::asinh,
        Function::Atan => f64::atan,
        Function::Atanh => libm::atanh,
        Function::Ceil => f64::ceil,
        Function::Cos => f64::cos,
        Function::Cosh => f64::cosh,
        Function::Deg => |x| x * 180.0 / std::f64::consts::PI,
        Function::Exp => f64::exp,
        Function::Floor => f64::floor,
        Function::Ln => log::ln,
        Function::Log10 => log::log10,
        Function::Log2 => log::log2,
        Function::Rad => |x| x * std::f64::consts::PI / 180.0,
        Function::Sgn => sgn,
        Function::Sin => f64::sin,
        Function::Sinh => f64::sinh,
        Function::Sqrt => f64::sqrt,
        Function::Tan => f64::tan,
        Function::Tanh => f64::tanh,
        Function::DayOfMonth => |x| DateTime::from_unix_seconds(x).day as f64,
        Function::DayOfWeek => |x| DateTime::from_unix_seconds(x).day_of_week as f64,
        Function::DayOfYear => |x| DateTime::from_unix_seconds(x).day_of_year as f64,
        Function::DaysInMonth => |x| DateTime::from_unix_seconds(x).days_in_month() as f64,
        Function::Hour => |x| DateTime::from_unix_seconds(x).hour as f64,
        Function::Minute => |x| DateTime::from_unix_seconds(x).minute as f64,
        Function::Month => |x| DateTime::from_unix_seconds(x).month as f64,
        Function::Year => |x| DateTime::from_unix_seconds(x).year as f64,
        _ => return None,
    })
}

/// -1, 1, or the value itself where it is neither below nor above zero.
fn sgn(x: f64) -> f64 {
    if x < 0.0 {
        -1.0
    } else if x > 0.0 {
        1.0
    } else {
        x
    }
}

/// The library answers numbers for some arguments far below one.
fn acosh(x: f64) -> f64 {
    if x < 1.0 { f64::NAN } else { libm::acosh(x) }
}

/// Rounds to a multiple of `to`; ties go up.
pub(crate) fn round(x: f64, to: f64) -> f64 {
    // The inverse is taken first, as Prometheus does: 1/0.1 is exactly 10, so that rounding to tenths is exact.
    let inverse = 1.0 / to;
    (x * inverse + 0.5).floor() / inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_round_up() {
        assert_eq!(round(-2.5, 1.0), -2.0);
        assert_eq!(round(2.5, 1.0), 3.0);
        assert_eq!(round(0.26, 0.1), 0.3);
    }

    #[test]
    fn below_one_there_is_no_area_cosine() {
        for x in [0.999, 0.0, -1.0, -2.5, -980_000.0, -1.8e7, -1e300, f64::NEG_INFINITY, f64::NAN] {
            assert!(acosh(x).is_nan(), "{x}");
        }
        assert_eq!((acosh(1.0), acosh(f64::INFINITY)), (0.0, f64::INFINITY));
    }

    #[test]
    fn the_sign_of_nan_and_zero_is_itself() {
        assert!(sgn(f64::NAN).is_nan());
        assert!(sgn(-0.0).is_sign_negative() && sgn(-0.0) == 0.0);
    }
}
