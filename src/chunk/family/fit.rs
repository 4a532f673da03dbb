//! The scales and means that a writer finds for the model of a body. Readers take them as they are: any values are
//! lossless, good ones are short.

use super::model::Scales;
use super::sum::SumForm;

/// The rows of a body as the model sees them: those after the first.
pub(super) struct Increments {
    /// Rows, idle ones included.
    pub(super) rows: usize,
    /// How many buckets count.
    pub(super) width: usize,
    /// For each row its observations.
    pub(super) totals: Vec<u64>,
    /// For each row with observations what each bucket that counts has of them.
    pub(super) counts: Vec<u64>,
    /// For each row with observations the change of the sum and its residual; empty without a sum.
    pub(super) sums: Vec<(i64, i64)>,
}

impl Increments {
    /// The rows with observations: how many, and by bucket.
    pub(super) fn live(&self) -> impl Iterator<Item = (u64, &[u64])> {
        let totals = self.totals.iter().copied().filter(|total| *total > 0);
        totals.zip(self.counts.chunks_exact(self.width.max(1)))
    }
}

/// Scales of the counts.
pub(super) fn scales(rows: &Increments) -> Scales {
    let live = rows.totals.iter().filter(|total| **total > 0).count();
    let idle = rows.rows.saturating_sub(live).saturating_mul(256).checked_div(rows.rows).unwrap_or(0);
    let all: f64 = rows.totals.iter().map(|total| *total as f64).sum();
    let mut mean = all / live.max(1) as f64;
    let mut errors = 0.0;
    for total in rows.totals.iter().filter(|total| **total > 0) {
        let error = *total as f64 - mean;
        errors += error.abs();
        mean += 0.25 * error;
    }
    let spread = (errors / live.max(1) as f64 * 1.25).max(1.0);
    Scales {
        rounding: 0,
        gain: 0,
        spread: (spread.log2() * 4.0).round().clamp(0.0, f64::from(Scales::MOST_SPREAD)) as u8,
        idle: idle.min(255) as u8,
    }
}

/// Means in the buckets as parts of 256, by least mean squares; and the scales of the sums beside those of the counts.
pub(super) fn sums(
    rows: &Increments,
    spans: &[(f64, f64)],
    form: SumForm,
    last: f64,
    scales: &mut Scales,
) -> Vec<u8> {
    let unit = form.unit(last);
    let variances: Vec<f64> = spans.iter().map(|(low, high)| ((high - low) * unit * 0.25).powi(2)).collect();
    let mut means: Vec<f64> = spans.iter().map(|(low, high)| (low + high) * 0.5 * unit).collect();
    let (mut seen, mut ratios) = (0.0, 0.0);
    for (pass, rate) in [0.3, 0.08].into_iter().enumerate() {
        for ((_, counts), (change, _)) in rows.live().zip(&rows.sums) {
            let (mut expected, mut variance) = (0.0, 0.0);
            for ((count, mean), cell) in counts.iter().zip(&means).zip(&variances) {
                let count = *count as i64 as f64;
                expected += count * mean;
                variance += count * cell;
            }
            if variance <= 0.0 {
                continue;
            }
            let error = *change as f64 - expected;
            let step = rate * error / variance;
            for ((count, mean), cell) in counts.iter().zip(&mut means).zip(&variances) {
                if *count > 0 {
                    *mean += step * cell;
                }
            }
            if pass == 1 {
                seen += 1.0;
                ratios += (error * error / variance).min(9.0);
            }
        }
    }
    if seen > 0.0 {
        scales.gain = ((ratios / seen).max(1e-4).log2() * 2.0).round().clamp(-40.0, 20.0) as i8;
    }
    let residuals = rows.live().zip(&rows.sums);
    let squares: f64 =
        residuals.map(|((total, _), (_, rounding))| (*rounding as f64).powi(2) / total as f64).sum();
    scales.rounding = if squares > 0.0 {
        let spread = (squares / rows.sums.len().max(1) as f64).sqrt();
        (spread.log2() * 4.0).floor().clamp(-12.0, 100.0) as i8
    } else {
        -60
    };
    let parts = means.iter().zip(spans).map(|(mean, (low, high))| {
        // A bucket without width has its mean where it is; NaN becomes 0.
        ((mean / unit - low) / (high - low) * 256.0).clamp(0.0, 255.0) as u8
    });
    parts.collect()
}
