//! Sums that remember what rounding took from them (Kahan, in Neumaier's variant), operation by operation as Prometheus
//! rounds them.

/// Adds `x` to the sum `sum` with compensation `c`; returns both.
#[inline]
pub(crate) fn kahan_add(x: f64, sum: f64, c: f64) -> (f64, f64) {
    let t = sum + x;
    let c = if t.is_infinite() {
        0.0
    } else if sum.abs() >= x.abs() {
        c + ((sum - t) + x)
    } else {
        c + ((x - t) + sum)
    };
    (t, c)
}

/// A running compensated sum.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) sum: f64,
    pub(crate) c: f64,
}

impl Sum {
    /// A sum that is `value` so far.
    pub(crate) const fn of(value: f64) -> Self {
        Self { sum: value, c: 0.0 }
    }

    #[inline]
    pub(crate) fn add(&mut self, x: f64) {
        (self.sum, self.c) = kahan_add(x, self.sum, self.c);
    }

    /// The sum with its compensation added.
    #[inline]
    pub(crate) fn total(self) -> f64 {
        self.sum + self.c
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn small_terms_survive_large_ones() {
        let mut sum = Sum::default();
        [1e100, 1.0, -1e100, 1.0].into_iter().for_each(|value| sum.add(value));
        assert_eq!(sum.total(), 2.0);
    }
}
