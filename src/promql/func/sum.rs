//! Compensated means, operation by operation as Prometheus rounds them.

pub(crate) use crate::model::kahan::Sum;
use crate::model::kahan::kahan_add;

/// A running compensated mean: a sum until the sum overflows, then incremental.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    count: f64,
    /// The sum, or the mean once `incremental`.
    value: f64,
    c: f64,
    incremental: bool,
}

impl Mean {
    pub(crate) fn add(&mut self, x: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.value = x;
            return;
        }
        if !self.incremental {
            let (sum, c) = kahan_add(x, self.value, self.c);
            if !sum.is_infinite() {
                (self.value, self.c) = (sum, c);
                return;
            }
            self.incremental = true;
            self.value /= self.count - 1.0;
            self.c /= self.count - 1.0;
        }
        let q = (self.count - 1.0) / self.count;
        (self.value, self.c) = kahan_add(x / self.count, q * self.value, q * self.c);
    }

    /// The mean; of nothing it is NaN.
    pub(crate) fn mean(self) -> f64 {
        if self.incremental { self.value + self.c } else { self.value / self.count + self.c / self.count }
    }
}

#[cfg(test)]
mod tests {
    use super::Mean;

    fn mean(values: &[f64]) -> f64 {
        let mut mean = Mean::default();
        values.iter().for_each(|value| mean.add(*value));
        mean.mean()
    }

    #[test]
    fn a_mean_does_not_overflow() {
        assert_eq!(mean(&[9.99e307; 4]), 9.99e307);
        assert_eq!(mean(&[1.0, 2.0, 6.0]), 3.0);
    }

    #[test]
    fn a_mean_of_infinity_is_infinite() {
        assert_eq!(mean(&[f64::INFINITY, 1.0, 2.0]), f64::INFINITY);
        assert!(mean(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    }
}
