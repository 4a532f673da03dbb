//! How the sums of a family become integers: exact, whatever rounding they went through.

use crate::codec::packed::{power_of_ten, turn};

/// What an integer step of the sum is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SumForm {
    /// A decimal step of 10^-q, and the residual to the bits that the sum has.
    Decimal(u8),
    /// The distance of the bit patterns.
    Pattern,
}

impl SumForm {
    /// The change from one sum to the next, and the residual.
    #[inline]
    pub(super) fn split(self, before: f64, after: f64) -> (i64, i64) {
        match self {
            Self::Decimal(q) => {
                let change = ((after - before) * power_of_ten(q)).round();
                let change = if change.abs() < 9e17 { change as i64 } else { 0 };
                (change, distance(Self::decimal(before, change, q), after))
            }
            Self::Pattern => (distance(before, after), 0),
        }
    }

    /// The sum after a change and a residual.
    #[inline]
    pub(super) fn join(self, before: f64, change: i64, rounding: i64) -> f64 {
        match self {
            Self::Decimal(q) => step(Self::decimal(before, change, q), rounding),
            Self::Pattern => step(before, change.wrapping_add(rounding)),
        }
    }

    #[inline]
    fn decimal(before: f64, change: i64, q: u8) -> f64 {
        before + change as f64 / power_of_ten(q)
    }

    /// How many integer steps make 1, near the last sum.
    pub(super) fn unit(self, last: f64) -> f64 {
        match self {
            Self::Decimal(q) => power_of_ten(q),
            Self::Pattern => {
                let unit = 1.0 / (f64::from_bits((last.to_bits() & !(1 << 63)).wrapping_add(1)) - last.abs());
                if unit.is_finite() { unit } else { 1.0 }
            }
        }
    }

    /// The shortest decimal steps that leave small residuals; bit patterns where there are none.
    pub(super) fn choose(sums: &[f64]) -> Self {
        const MOST_ROUNDING: u64 = 2000;
        let last = sums.last().copied().unwrap_or(0.0);
        let place = 1.0 / Self::Pattern.unit(last);
        for q in [0, 3, 6, 9] {
            if place * power_of_ten(q) > 0.5 {
                break;
            }
            let mut pairs = sums.iter().zip(sums.iter().skip(1));
            if pairs.all(|(a, b)| Self::Decimal(q).split(*a, *b).1.unsigned_abs() <= MOST_ROUNDING) {
                return Self::Decimal(q);
            }
        }
        Self::Pattern
    }
}

fn distance(from: f64, to: f64) -> i64 {
    turn(to.to_bits() as i64).wrapping_sub(turn(from.to_bits() as i64))
}

fn step(from: f64, distance: i64) -> f64 {
    f64::from_bits(turn(turn(from.to_bits() as i64).wrapping_add(distance)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_split_joins_to_the_same_bits(before: u64, after: u64, q in 0_u8..10) {
            let (before, after) = (f64::from_bits(before), f64::from_bits(after));
            for form in [SumForm::Decimal(q), SumForm::Pattern] {
                let (change, rounding) = form.split(before, after);
                prop_assert_eq!(form.join(before, change, rounding).to_bits(), after.to_bits());
            }
        }
    }

    #[test]
    fn sums_of_decimals_take_decimal_steps() {
        let sums: Vec<f64> = (1..50).map(|n| f64::from(n * n) / 1000.0 + 1e6).collect();
        assert_eq!(SumForm::choose(&sums), SumForm::Decimal(3));
        assert_eq!(SumForm::choose(&[0.1, 0.7 + f64::from(1_u8) / 3.0]), SumForm::Pattern);
        assert_eq!(SumForm::choose(&[f64::NAN, f64::INFINITY, -1.0]), SumForm::Pattern);
    }
}
