//! The probability tables that family chunks are coded with; every chunk shares them.
//!
//! They are made at first use from additions, subtractions, multiplications and divisions alone, in this order, so
//! that every platform has the same ones. A test pins their checksum: a chunk is unreadable with any other.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "small constants and array lengths, nothing from outside"
)]

use std::sync::OnceLock;

/// Frequencies are parts of `ONE`, which is `1 << BITS`.
pub(crate) const BITS: u32 = 12;
pub(crate) const ONE: u32 = 1 << BITS;

/// Means of the Poisson tables in quarter octaves: 2^-10 up to 2^3.
pub(crate) const POISSON: (i32, i32) = (-40, 11);
/// Poisson symbols are counts below this; this one is the escape.
pub(crate) const POISSON_ESCAPE: usize = 47;
/// Spreads of the centred Gauss tables in quarter octaves: 2^-3 up to 2^2.
pub(crate) const CENTRED: (i32, i32) = (-12, 7);
/// Spreads of the Gauss tables for values that were shifted right.
pub(crate) const FLOORED: (i32, i32) = (4, 7);
/// Gauss symbols are `-GAUSS_REACH..=GAUSS_REACH`, counted from 0; the next one is the escape.
pub(crate) const GAUSS_REACH: i64 = 24;
pub(crate) const GAUSS_ESCAPE: usize = 49;
/// Odds of the binomial tables in quarter octaves: 2^-8 to 2^8.
pub(crate) const ODDS: (i32, i32) = (-32, 31);
/// The largest number that a binomial table splits.
pub(crate) const BINOMIAL_MOST: usize = 15;

const POISSON_TABLES: usize = 52;
const CENTRED_TABLES: usize = 20;
const FLOORED_TABLES: usize = 4;
const ODDS_TABLES: usize = 64;

/// Frequencies of up to 64 symbols.
pub(crate) struct Table {
    /// The symbol in which slot `16 * i` lies.
    first: [u8; 256],
    /// Where a symbol's slots start; behind the last symbol `ONE`.
    starts: [u16; 65],
}

impl Table {
    fn new(weights: &[f64]) -> Self {
        let mut starts = [ONE as u16; 65];
        let mut sum = 0;
        for (start, frequency) in starts.iter_mut().zip(frequencies(weights)) {
            *start = sum;
            sum += frequency;
        }
        let mut symbol = 0;
        let first = std::array::from_fn(|slot| {
            while usize::from(starts[symbol + 1]) <= slot * 16 {
                symbol += 1;
            }
            symbol as u8
        });
        Self { first, starts }
    }

    /// First slot and frequency of a symbol.
    #[inline(always)]
    pub(crate) fn range(&self, symbol: usize) -> (u32, u32) {
        let symbol = symbol & 63;
        let start = u32::from(self.starts[symbol]);
        (start, u32::from(self.starts[symbol + 1]) - start)
    }

    /// The symbol that a slot below `ONE` belongs to.
    #[inline(always)]
    pub(crate) fn find(&self, slot: u32) -> usize {
        let mut symbol = usize::from(self.first[(slot >> 4) as usize & 255]);
        symbol &= 63;
        while symbol < 63 && u32::from(self.starts[symbol + 1]) <= slot {
            symbol += 1;
        }
        symbol
    }
}

/// Frequencies of up to 16 symbols: where the slots of each start, and behind the last symbol `ONE`.
pub(crate) struct Ends([i16; 17]);

impl Ends {
    fn new(weights: &[f64]) -> Self {
        let mut starts = [ONE as i16; 17];
        let mut sum = 0;
        for (start, frequency) in starts.iter_mut().zip(frequencies(weights)) {
            *start = sum;
            sum += frequency as i16;
        }
        Self(starts)
    }

    /// First slot and frequency of a symbol.
    #[inline(always)]
    pub(crate) fn range(&self, symbol: usize) -> (u32, u32) {
        let symbol = symbol & 15;
        let start = self.0[symbol] as u32;
        (start, self.0[symbol + 1] as u32 - start)
    }

    /// The symbol that a slot below `ONE` belongs to.
    #[inline(always)]
    pub(crate) fn find(&self, slot: u32) -> usize {
        let further = self.0[1..].iter();
        further.map(|start| i16::from(*start <= slot as i16)).sum::<i16>() as usize
    }
}

/// All of them.
pub(crate) struct Tables {
    pub(crate) poisson: [Table; POISSON_TABLES],
    pub(crate) centred: [Table; CENTRED_TABLES],
    pub(crate) floored: [Table; FLOORED_TABLES],
    /// By the number that is split, less 1, then by odds.
    pub(crate) binomial: [[Ends; ODDS_TABLES]; BINOMIAL_MOST],
}

/// The tables; the first call makes them.
pub(crate) fn tables() -> &'static Tables {
    static TABLES: OnceLock<Box<Tables>> = OnceLock::new();
    TABLES.get_or_init(|| {
        Box::new(Tables {
            poisson: std::array::from_fn(|index| Table::new(&poisson(centre(POISSON.0 + index as i32)))),
            centred: std::array::from_fn(|index| Table::new(&gauss(centre(CENTRED.0 + index as i32), 8))),
            floored: std::array::from_fn(|index| Table::new(&gauss(centre(FLOORED.0 + index as i32), 0))),
            binomial: std::array::from_fn(|index| {
                std::array::from_fn(|odds| Ends::new(&binomial(index + 1, centre(ODDS.0 + odds as i32))))
            }),
        })
    })
}

/// Weights as frequencies: 1 for every symbol, the rest of `ONE` by weight, what rounding leaves to the first heaviest.
fn frequencies(weights: &[f64]) -> impl Iterator<Item = u16> {
    let mut sum = 0.0;
    let mut heaviest = 0;
    for (index, weight) in weights.iter().enumerate() {
        sum += weight;
        if *weight > weights[heaviest] {
            heaviest = index;
        }
    }
    let shared = f64::from(ONE) - weights.len() as f64;
    let floor = move |weight: &f64| (weight / sum * shared) as u16 + 1;
    let left = ONE as u16 - weights.iter().map(floor).sum::<u16>();
    weights
        .iter()
        .enumerate()
        .map(move |(index, weight)| floor(weight) + if index == heaviest { left } else { 0 })
}

/// 2^((q + 1/2) / 4), the middle of a quarter octave.
fn centre(q: i32) -> f64 {
    /// 2^(1/8), and 2^(1/4).
    const EIGHTH: f64 = 1.090_507_732_665_257_7;
    const QUARTER: f64 = 1.189_207_115_002_721;
    let mut value = EIGHTH;
    for _ in 0..q.rem_euclid(4) {
        value *= QUARTER;
    }
    for _ in 0..q.div_euclid(4).abs() {
        value = if q < 0 { value / 2.0 } else { value * 2.0 };
    }
    value
}

/// Counts about a mean that itself varies: three parts with means 0.75, 1 and 1.3 times `mean`, weights 1, 2, 1.
fn poisson(mean: f64) -> [f64; POISSON_ESCAPE + 1] {
    let mut weights = [0.0; POISSON_ESCAPE + 1];
    for (share, factor) in [(0.25, 0.75), (0.5, 1.0), (0.25, 1.3)] {
        let mut terms = [0.0; 200];
        let (mut term, mut sum) = (1.0, 0.0);
        for (count, slot) in terms.iter_mut().enumerate() {
            *slot = term;
            sum += term;
            term = term * (mean * factor) / (count as f64 + 1.0);
            if term < 1e-30 {
                break;
            }
        }
        for (count, term) in terms.iter().enumerate() {
            weights[count.min(POISSON_ESCAPE)] += share * term / sum;
        }
    }
    weights
}

/// Residuals about 0 with heavy ends: normal parts of 0.9, 1.35 and 3 times `spread`, weights 0.80, 0.17, 0.03.
///
/// The density is summed at 16 points a unit, `(j + 1/2) / 16`, as powers of one constant. `shift` 8 puts symbol k
/// at `k - 1/2 .. k + 1/2`, 0 at `k .. k + 1`.
fn gauss(spread: f64, shift: usize) -> [f64; GAUSS_ESCAPE + 1] {
    const MIDDLE: usize = GAUSS_REACH as usize;
    let mut weights = [0.0; GAUSS_ESCAPE + 1];
    for (share, factor) in [(0.80, 0.9), (0.17, 1.35), (0.03, 3.0)] {
        let scale = spread * factor * 16.0;
        let base = exponential(-1.0 / (scale * scale));
        let mut cells = [0.0; MIDDLE + 2];
        let (mut density, mut ratio, mut sum) = (1.0, base, 0.0);
        let mut point = 0;
        while density > 1e-30 {
            cells[((point + shift) / 16).min(MIDDLE + 1)] += density;
            sum += density + density;
            density *= ratio;
            ratio *= base;
            point += 1;
        }
        for (cell, density) in cells.iter().enumerate() {
            let weight = share * density / sum;
            let below = if shift == 0 { cell + 1 } else { cell };
            weights[if cell <= MIDDLE { MIDDLE + cell } else { GAUSS_ESCAPE }] += weight;
            weights[if below <= MIDDLE { MIDDLE - below } else { GAUSS_ESCAPE }] += weight;
        }
    }
    weights[GAUSS_ESCAPE] += 1e-4;
    weights
}

/// How many of `number` fall to a side with these odds.
fn binomial(number: usize, odds: f64) -> Vec<f64> {
    let mut weights = vec![1.0; number + 1];
    for taken in 0..number {
        weights[taken + 1] = weights[taken] * odds * (number - taken) as f64 / (taken as f64 + 1.0);
    }
    weights
}

/// e^x for x between -1 and 0, by its series.
fn exponential(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for index in 1..24 {
        term = term * x / f64::from(index);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = &'static Table> {
        let tables = tables();
        tables.poisson.iter().chain(&tables.centred).chain(&tables.floored)
    }

    #[test]
    fn the_tables_are_the_ones_that_chunks_were_written_with() {
        let mut bytes = Vec::new();
        for table in all() {
            bytes.extend(table.starts.iter().flat_map(|start| start.to_le_bytes()));
        }
        for ends in tables().binomial.iter().flatten() {
            bytes.extend(ends.0[1..].iter().flat_map(|end| end.to_le_bytes()));
        }
        assert_eq!(bytes.len(), 76 * 130 + 960 * 32);
        assert_eq!(
            twox_hash::XxHash64::oneshot(0, &bytes),
            13_819_247_376_360_024_904,
            "a chunk is unreadable with other tables"
        );
    }

    #[test]
    fn every_slot_belongs_to_the_symbol_whose_range_holds_it() {
        for table in all() {
            for slot in 0..ONE {
                let (start, frequency) = table.range(table.find(slot));
                assert!(start <= slot && slot < start + frequency);
            }
        }
        for (index, ends) in
            tables().binomial.iter().enumerate().flat_map(|(n, odds)| odds.iter().map(move |e| (n, e)))
        {
            for slot in 0..ONE {
                let symbol = ends.find(slot);
                let (start, frequency) = ends.range(symbol);
                assert!(symbol <= index + 1 && start <= slot && slot < start + frequency);
            }
        }
    }

    #[test]
    fn tables_have_the_means_and_spreads_of_their_bins() {
        let moments = |table: &Table, symbols: usize, value: &dyn Fn(usize) -> f64| {
            let mut sums = [0.0; 3];
            for symbol in 0..symbols {
                let weight = f64::from(table.range(symbol).1 - 1);
                for (sum, power) in sums.iter_mut().zip([1.0, value(symbol), value(symbol) * value(symbol)]) {
                    *sum += weight * power;
                }
            }
            (sums[1] / sums[0], (sums[2] / sums[0]).sqrt())
        };
        // A mean of 2^1.125 = 2.18.
        let (mean, _) = moments(&tables().poisson[44], POISSON_ESCAPE, &|symbol| symbol as f64);
        assert!((mean - 2.18).abs() < 0.1, "{mean}");
        // A spread of 2^1.125, a little more for the heavy ends.
        let (mean, spread) = moments(&tables().centred[16], GAUSS_ESCAPE, &|symbol| symbol as f64 - 24.0);
        assert!(mean.abs() < 0.05 && (2.1..2.7).contains(&spread), "{mean} {spread}");
        let (mean, spread) = moments(&tables().floored[0], GAUSS_ESCAPE, &|symbol| symbol as f64 - 23.5);
        assert!(mean.abs() < 0.05 && (2.1..2.7).contains(&spread), "{mean} {spread}");
    }
}
