//! How likely the rows of a family are: static shares of the buckets from the totals of the body, and a few scales
//! that follow the rows. Whole numbers only, so that a reader on any platform sees the same symbols.

use crate::codec::log2::{flog, ilog};
use crate::codec::probability::{
    BINOMIAL_MOST, CENTRED, GAUSS_ESCAPE, GAUSS_REACH, ODDS, ONE, POISSON, POISSON_ESCAPE, Tables,
};
use crate::codec::rans::Coder;
use crate::codec::varint::{unzigzag, zigzag};

/// Counts are below 2^53, so that they are floats of their own.
pub(super) const MOST_COUNT: u64 = 1 << 53;

/// Layouts with more buckets are packed by column.
pub(super) const MOST_BUCKETS: usize = 1 << 15;

/// The largest quarter-logarithm of a spread that can be coded.
const WIDEST: i32 = 248;
/// What a spread of 0 counts as, in quarter-logarithms of the variance.
const LEAST_VARIANCE: i32 = -48;

/// Scales that a body states, as its writer measured them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Scales {
    /// Spread of the rounding residual of a sum after one observation, in quarter octaves.
    pub(super) rounding: i8,
    /// What the spread of the sums is beyond the model's, in half octaves of the variance.
    pub(super) gain: i8,
    /// Spread of a row's observations, in quarter octaves.
    pub(super) spread: u8,
    /// Parts of 256 of the rows that have no observation.
    pub(super) idle: u8,
}

impl Scales {
    /// Larger ones would leave 64 bits.
    pub(super) const MOST_SPREAD: u8 = 200;
}

/// A value about 0 with the spread 2^(log / 4).
#[inline(always)]
fn gauss<C: Coder>(coder: &mut C, tables: &Tables, value: i64, log: i32) -> Option<i64> {
    if log < 8 {
        let index = log.clamp(CENTRED.0, CENTRED.1).wrapping_sub(CENTRED.0) as usize;
        let symbol = coder.symbol(tables.centred.get(index)?, symbol_of(value));
        return if symbol < GAUSS_ESCAPE { Some(value_of(symbol)) } else { escape(coder, value) };
    }
    let log = log.min(WIDEST);
    let shift = (log >> 2).wrapping_sub(1) as u32;
    let symbol = coder.symbol(tables.floored.get((log & 3) as usize)?, symbol_of(value.wrapping_shr(shift)));
    if symbol >= GAUSS_ESCAPE {
        return escape(coder, value);
    }
    Some(value_of(symbol).wrapping_shl(shift) | coder.raw(value as u64, shift) as i64 & mask(shift))
}

#[inline(always)]
fn symbol_of(value: i64) -> usize {
    // One comparison for both ends.
    let symbol = value.wrapping_add(GAUSS_REACH) as u64;
    if symbol < GAUSS_ESCAPE as u64 { symbol as usize } else { GAUSS_ESCAPE }
}

#[inline(always)]
const fn value_of(symbol: usize) -> i64 {
    (symbol as i64).wrapping_sub(GAUSS_REACH)
}

#[inline(always)]
const fn mask(bits: u32) -> i64 {
    1_i64.wrapping_shl(bits).wrapping_sub(1)
}

#[cold]
fn escape<C: Coder>(coder: &mut C, value: i64) -> Option<i64> {
    let number = zigzag(value);
    let length = coder.raw(64_u64.saturating_sub(number.leading_zeros().into()), 7);
    if length > 64 {
        return None;
    }
    Some(unzigzag(coder.raw(number, length as u32)))
}

/// A count with the mean 2^(log / 4).
#[inline(always)]
fn poisson<C: Coder>(coder: &mut C, tables: &Tables, count: u64, log: i32) -> Option<u64> {
    let index = log.clamp(POISSON.0, POISSON.1).wrapping_sub(POISSON.0) as usize;
    let symbol = coder.symbol(tables.poisson.get(index)?, count.min(POISSON_ESCAPE as u64) as usize);
    if symbol < POISSON_ESCAPE {
        return Some(symbol as u64);
    }
    escape(coder, count as i64).map(|count| count as u64)
}

/// A bucket that counts in the body, with its share of what the busier ones leave.
struct Share {
    bucket: usize,
    /// Parts of 2^32.
    part: u64,
    /// Which of the binomial tables.
    odds: usize,
    /// Quarter-logarithms of the share, of what is beside it, and of both together.
    log: i32,
    log_rest: i32,
    log_both: i32,
}

/// The model of the counts.
pub(super) struct CountModel {
    /// The busiest bucket first.
    shares: Vec<Share>,
    /// Mean and spread of the observations of a row that has any, with 8 fraction bits.
    mean: i64,
    spread: i64,
    /// By rows since the last one with observations: how many had none, of how many.
    idle: [(u16, u16); 16],
    since: usize,
}

impl CountModel {
    /// From what each bucket counts in all, over `rows` rows. `None`: the totals are none of a body.
    pub(super) fn new(totals: &[u64], rows: usize, scales: Scales) -> Option<Self> {
        let all = totals.iter().try_fold(0_u64, |all, total| all.checked_add(*total))?;
        if all == 0 || all > MOST_COUNT || scales.spread > Scales::MOST_SPREAD {
            return None;
        }
        let mut order: Vec<(usize, u64)> =
            totals.iter().copied().enumerate().filter(|(_, total)| *total > 0).collect();
        order.sort_by_key(|(bucket, total)| (std::cmp::Reverse(*total), *bucket));
        let mut left = all;
        let shares = order
            .into_iter()
            .map(|(bucket, total)| {
                let part = u128::from(total).wrapping_shl(32).checked_div(left.into()).unwrap_or(0) as u64;
                left = left.saturating_sub(total);
                let odds = ilog(total).wrapping_sub(ilog(left));
                let odds = if left == 0 { ODDS.1 } else { odds.clamp(ODDS.0, ODDS.1) };
                let log = ilog(part).wrapping_sub(128);
                let log_rest = ilog((1_u64 << 32).saturating_sub(part)).wrapping_sub(128);
                let odds = odds.wrapping_sub(ODDS.0) as usize;
                Share { bucket, part, odds, log, log_rest, log_both: log.wrapping_add(log_rest) }
            })
            .collect();
        let live = (rows as u64).saturating_mul(256_u64.saturating_sub(scales.idle.into()));
        let live = (live.saturating_add(128) >> 8).max(1);
        let quarter = [256_i64, 304, 362, 430];
        let quarter = quarter.get(usize::from(scales.spread & 3)).copied().unwrap_or(256);
        let idle = u16::from(scales.idle).saturating_add(1).saturating_mul(16) / 514;
        Some(Self {
            shares,
            mean: (all << 8).checked_div(live).unwrap_or(0).max(256) as i64,
            spread: quarter.wrapping_shl(u32::from(scales.spread >> 2)),
            idle: [(idle.clamp(1, 7), 8); 16],
            since: 0,
        })
    }

    /// The buckets that count, the busiest first.
    pub(super) fn buckets(&self) -> impl Iterator<Item = usize> {
        self.shares.iter().map(|share| share.bucket)
    }

    /// A row: how many observations, and for how many of the buckets they are stated; they lie in `increments`, in the
    /// order of [`Self::buckets`]. An encoder gives both. `None`: no such row can have been written.
    #[inline(always)]
    pub(super) fn row<C: Coder>(
        &mut self,
        coder: &mut C,
        tables: &Tables,
        total: u64,
        increments: &mut [u64],
    ) -> Option<(u64, usize)> {
        if self.idle(coder, total == 0)? {
            return Some((0, 0));
        }
        let total = self.total(coder, tables, total)?;
        // The last bucket takes what the others leave.
        let (_, shares) = self.shares.split_last()?;
        let mut left = total;
        let mut stated = 0_usize;
        for (share, increment) in shares.iter().zip(increments.iter_mut()) {
            if left == 0 {
                return Some((total, stated));
            }
            let count = share.count(coder, tables, left, *increment)?;
            left = left.checked_sub(count)?;
            *increment = count;
            stated = stated.wrapping_add(1);
        }
        if left > 0 {
            *increments.get_mut(stated)? = left;
            stated = stated.wrapping_add(1);
        }
        Some((total, stated))
    }

    /// Whether the row has no observation: rare traffic, or a source that speaks less often than it is asked.
    #[inline(always)]
    fn idle<C: Coder>(&mut self, coder: &mut C, idle: bool) -> Option<bool> {
        let (idles, seen) = self.idle.get_mut(self.since)?;
        let frequency = u32::from(*idles).wrapping_mul(2).wrapping_add(1).wrapping_mul(ONE);
        let frequency = frequency.checked_div(u32::from(*seen).wrapping_mul(2).wrapping_add(2))?;
        let idle = coder.bit(frequency.clamp(1, ONE.wrapping_sub(1)), idle);
        *idles = idles.wrapping_add(idle.into());
        *seen = seen.wrapping_add(1);
        if *seen >= 250 {
            *idles >>= 1;
            *seen >>= 1;
        }
        self.since = if idle { self.since.wrapping_add(1).min(15) } else { 0 };
        Some(idle)
    }

    /// How many observations a row has that has any.
    #[inline(always)]
    fn total<C: Coder>(&mut self, coder: &mut C, tables: &Tables, total: u64) -> Option<u64> {
        let few = self.mean < 8 << 8;
        let total = if few {
            let log = ilog(self.mean.wrapping_sub(255).max(1) as u64).wrapping_sub(32);
            poisson(coder, tables, total.wrapping_sub(1), log)?.wrapping_add(1)
        } else {
            let mean = self.mean.wrapping_add(128) >> 8;
            let log = ilog(self.spread as u64).wrapping_sub(32);
            mean.wrapping_add(gauss(coder, tables, (total as i64).wrapping_sub(mean), log)?) as u64
        };
        if total == 0 || total > MOST_COUNT {
            return None;
        }
        let error = ((total as i64) << 8).wrapping_sub(self.mean);
        self.mean = self.mean.wrapping_add(if few { error >> 6 } else { error >> 2 }).max(256);
        let size = error.wrapping_abs();
        self.spread = self.spread.wrapping_add(size.wrapping_add(size >> 2).wrapping_sub(self.spread) >> 4);
        Some(total)
    }
}

impl Share {
    /// How many of `left` observations are the bucket's.
    #[inline(always)]
    fn count<C: Coder>(&self, coder: &mut C, tables: &Tables, left: u64, count: u64) -> Option<u64> {
        if left <= BINOMIAL_MOST as u64 {
            let ends = tables.binomial.get(left.wrapping_sub(1) as usize)?.get(self.odds)?;
            return Some(coder.split(ends, count as usize) as u64);
        }
        let log = ilog(left);
        if log.wrapping_add(self.log) < 8 {
            return poisson(coder, tables, count, log.wrapping_add(self.log));
        }
        if log.wrapping_add(self.log_rest) < 8 {
            let rest = left.wrapping_sub(count);
            return Some(left.wrapping_sub(poisson(coder, tables, rest, log.wrapping_add(self.log_rest))?));
        }
        let mean = (u128::from(left).wrapping_mul(self.part.into()) >> 32) as i64;
        let log = log.wrapping_add(self.log_both).wrapping_add(1) >> 1;
        Some(mean.wrapping_add(gauss(coder, tables, (count as i64).wrapping_sub(mean), log)?) as u64)
    }
}

/// The model of the sums, in units of 10^-q, or of a unit in the last place.
pub(super) struct SumModel {
    /// By bucket in the order of the counts: what an observation is expected to add, and its variance.
    cells: Vec<(i64, f64)>,
    gain: i32,
    rounding: i32,
}

impl SumModel {
    /// `means` are the means in the buckets as parts of 256 of their widths, in the order of `spans`, which are the
    /// buckets' in the order of the counts; `unit` is how many units make 1.
    pub(super) fn new(spans: &[(f64, f64)], means: &[u8], unit: f64, scales: Scales) -> Self {
        let cells = spans.iter().zip(means).map(|((low, high), mean)| {
            let mean = low + (high - low) * (f64::from(*mean) + 0.5) / 256.0;
            let deviation = (high - low) * unit * 0.25;
            ((mean * unit) as i64, deviation * deviation)
        });
        let gain = i32::from(scales.gain) << 8;
        Self { cells: cells.collect(), gain, rounding: scales.rounding.into() }
    }

    /// The change of the sum and its rounding residual, after a row of counts. An encoder gives both.
    #[inline(always)]
    pub(super) fn row<C: Coder>(
        &mut self,
        coder: &mut C,
        tables: &Tables,
        (total, increments): (u64, &[u64]),
        (change, rounding): (i64, i64),
    ) -> Option<(i64, i64)> {
        let (mut expected, mut variance) = (0_i64, 0.0);
        for ((mean, cell), increment) in self.cells.iter().zip(increments) {
            expected = expected.wrapping_add(mean.wrapping_mul(*increment as i64));
            variance += cell * *increment as i64 as f64;
        }
        let log = flog(variance).max(LEAST_VARIANCE);
        let log = log.wrapping_add(self.gain >> 7).wrapping_add(1) >> 1;
        let error = gauss(coder, tables, change.wrapping_sub(expected), log)?;
        // The quarter-logarithm of a normal value is 3.7 below that of its spread on the average.
        let surprise = ilog(error.unsigned_abs()).wrapping_sub(log).wrapping_mul(256).wrapping_add(940);
        self.gain = self.gain.wrapping_add(surprise >> 5);
        let log = self.rounding.wrapping_add(ilog(total) >> 1);
        Some((expected.wrapping_add(error), gauss(coder, tables, rounding, log)?))
    }
}

/// Lower and upper end of each bucket, as far as bounds tell: finite, and never turned round.
pub(super) fn spans(bounds: &[f64]) -> Vec<(f64, f64)> {
    let mut below: Option<f64> = None;
    bounds
        .iter()
        .map(|bound| {
            let low = below.unwrap_or(if *bound > 0.0 { 0.0 } else { finite(*bound * 2.0) });
            let high = if bound.is_finite() {
                *bound
            } else if low > 0.0 {
                low * 2.0
            } else {
                0.0
            };
            let high = finite(high).max(low);
            below = Some(high);
            (low, high)
        })
        .collect()
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}
