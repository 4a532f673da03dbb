//! Series that are not histograms.

use super::Random;

const SERIES: usize = 40;

/// A name, and series of that kind.
pub(crate) type Kind = (&'static str, Vec<Vec<f64>>);

/// All kinds, with so many samples a series.
pub(crate) fn kinds(rows: usize) -> Vec<Kind> {
    let mut random = Random::new(9);
    let random = &mut random;
    let mut kinds: Vec<Kind> = Vec::new();
    let mut add =
        |name, make: &mut dyn FnMut(usize) -> Vec<f64>| kinds.push((name, (0..SERIES).map(make).collect()));
    add("counter, 0.05 .. 500 rps", &mut |index| {
        let rate = 0.05 * 10_f64.powf(4.0 * index as f64 / SERIES as f64);
        let mut count = 1000.0;
        from_fn(rows, || {
            count += random.poisson(rate * 15.0) as f64;
            count
        })
    });
    add("integer gauge", &mut |_| {
        let mut gauge = 120.0;
        from_fn(rows, || {
            gauge += ((120.0 - gauge) * 0.1 + random.normal() * 4.0).round();
            gauge
        })
    });
    add("memory, page multiples", &mut |_| {
        let mut pages = 30000.0;
        from_fn(rows, || {
            if random.unit() < 0.3 {
                pages += (random.normal() * 60.0).round();
            }
            pages * 4096.0
        })
    });
    add("CPU seconds, 2 decimals", &mut |_| {
        let mut ticks = 100_000;
        from_fn(rows, || {
            ticks += random.poisson(130.0);
            ticks as f64 / 100.0
        })
    });
    add("ratio, 3 decimals", &mut |_| {
        let mut ratio = 500.0_f64;
        from_fn(rows, || {
            ratio = (ratio + random.normal() * 9.0).clamp(0.0, 1000.0);
            ratio.round() / 1000.0
        })
    });
    add("full-precision random walk", &mut |_| {
        let mut walk = 50.0;
        from_fn(rows, || {
            walk += random.normal();
            walk
        })
    });
    add("noisy integer saw", &mut |_| {
        let mut heap = 4e6;
        from_fn(rows, || {
            heap += random.between(1e5, 4e6).round();
            if heap > 3e7 {
                heap = 4e6;
            }
            heap
        })
    });
    add("constant 1", &mut |_| vec![1.0; rows]);
    kinds
}

fn from_fn(rows: usize, next: impl FnMut() -> f64) -> Vec<f64> {
    std::iter::repeat_with(next).take(rows).collect()
}
