//! Rows of a family under a model.

use super::bytes::{Bits, unzigzag};
use super::{Cursor, Read};

/// What a body says before its rows.
pub(crate) struct Setup<'a> {
    pub(crate) bounds: &'a [f64],
    pub(crate) totals: &'a [u64],
    pub(crate) means: &'a [u8],
    pub(crate) rows: usize,
    pub(crate) sum_kind: u8,
    pub(crate) q: u32,
}

fn ilog(number: u64) -> i64 {
    let number = number.max(1);
    let e = i64::from(63 - number.leading_zeros());
    let below = if e >= 16 { number >> (e - 16) } else { number << (16 - e) } & 0xffff;
    4 * e + i64::from(below >= 12396) + i64::from(below >= 27146) + i64::from(below >= 44684)
}

fn flog(number: f64) -> i64 {
    let bits = number.to_bits();
    let e = (bits >> 52 & 0x7ff) as i64 - 1023;
    let below = bits >> 36 & 0xffff;
    4 * e + i64::from(below >= 12396) + i64::from(below >= 27146) + i64::from(below >= 44684)
}

/// The middle of a bin.
fn middle(bin: i64) -> f64 {
    let mut middle = 1.0905077326652577;
    for _ in 0..bin.rem_euclid(4) {
        middle *= 1.189207115002721;
    }
    let octave = bin.div_euclid(4);
    for _ in 0..octave.abs() {
        middle = if octave > 0 { middle * 2.0 } else { middle / 2.0 };
    }
    middle
}

/// Frequencies of 4096 from weights.
fn frequencies(weights: &[f64]) -> Vec<u32> {
    let sum = weights.iter().fold(0.0, |sum, weight| sum + weight);
    let room = (4096 - weights.len()) as f64;
    let mut found: Vec<u32> = weights.iter().map(|weight| (weight / sum * room) as u32 + 1).collect();
    let mut heaviest = 0;
    for (symbol, weight) in weights.iter().enumerate() {
        if *weight > weights[heaviest] {
            heaviest = symbol;
        }
    }
    found[heaviest] += 4096 - found.iter().sum::<u32>();
    found
}

fn poisson(bin: i64) -> Vec<u32> {
    let m = middle(bin);
    let mut weights = vec![0.0; 48];
    for (share, factor) in [(0.25, 0.75), (0.5, 1.0), (0.25, 1.3)] {
        let mut terms = vec![1.0];
        while terms.len() < 200 {
            let k = terms.len() - 1;
            let next = terms[k] * (m * factor) / (k + 1) as f64;
            if next < 1e-30 {
                break;
            }
            terms.push(next);
        }
        let sum = terms.iter().fold(0.0, |sum, term| sum + term);
        for (k, term) in terms.iter().enumerate() {
            weights[k.min(47)] += share * term / sum;
        }
    }
    frequencies(&weights)
}

fn exp(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..24 {
        term = term * x / f64::from(k);
        sum += term;
    }
    sum
}

fn gauss(bin: i64, centred: bool) -> Vec<u32> {
    let s = middle(bin);
    let mut weights = vec![0.0; 50];
    for (share, factor) in [(0.80, 0.9), (0.17, 1.35), (0.03, 3.0)] {
        let scale = s * factor * 16.0;
        let base = exp(-1.0 / (scale * scale));
        let mut cells = vec![0.0; 26];
        let (mut density, mut ratio, mut all, mut point) = (1.0, base, 0.0, 0_usize);
        while density > 1e-30 {
            let cell = if centred { (point + 8) / 16 } else { point / 16 };
            cells[cell.min(25)] += density;
            all += density;
            density *= ratio;
            ratio *= base;
            point += 1;
        }
        for (cell, density) in cells.iter().enumerate() {
            let w = share * density / (all + all);
            for value in [cell as i64, if centred { -(cell as i64) } else { -(cell as i64) - 1 }] {
                let symbol = if (-24..=24).contains(&value) { (value + 24) as usize } else { 49 };
                weights[symbol] += w;
            }
        }
    }
    weights[49] += 1e-4;
    frequencies(&weights)
}

fn binomial(n: usize, bin: i64) -> Vec<u32> {
    let odds = middle(bin);
    let mut weights = vec![1.0];
    for k in 0..n {
        weights.push(weights[k] * odds * (n - k) as f64 / (k + 1) as f64);
    }
    frequencies(&weights)
}

/// A stream of coded bytes beside raw ones.
struct Stream<'a> {
    state: u32,
    words: Cursor<'a>,
    raw: Bits<'a>,
    raw_bytes: usize,
}

impl<'a> Stream<'a> {
    fn new(coded: &'a [u8], raw: &'a [u8]) -> Read<Self> {
        let mut words = Cursor::new(coded);
        Ok(Self { state: words.u32()?, words, raw: Bits::new(raw), raw_bytes: raw.len() })
    }

    fn symbol(&mut self, frequencies: &[u32]) -> Read<usize> {
        let slot = self.state & 4095;
        let mut start = 0;
        for (symbol, frequency) in frequencies.iter().enumerate() {
            if slot < start + frequency {
                self.state = frequency * (self.state >> 12) + slot - start;
                if self.state < 65536 {
                    self.state = self.state << 16 | u32::from(self.words.u16()?);
                }
                return Ok(symbol);
            }
            start += frequency;
        }
        Err("no such symbol".into())
    }

    fn escape(&mut self) -> Read<i64> {
        let length = self.raw.take(7)?;
        if length > 64 {
            return Err("an escape is too long".into());
        }
        Ok(unzigzag(self.raw.take(length)?))
    }

    fn poisson(&mut self, log: i64) -> Read<i64> {
        match self.symbol(&poisson(log.clamp(-40, 11)))? {
            47 => self.escape(),
            count => Ok(count as i64),
        }
    }

    fn gauss(&mut self, log: i64) -> Read<i64> {
        if log < 8 {
            return match self.symbol(&gauss(log.clamp(-12, 7), true))? {
                49 => self.escape(),
                symbol => Ok(symbol as i64 - 24),
            };
        }
        let log = log.min(248);
        let shift = (log >> 2) - 1;
        match self.symbol(&gauss(4 + (log & 3), false))? {
            49 => self.escape(),
            symbol => {
                let high = (symbol as i64 - 24).checked_shl(shift as u32).unwrap_or(0);
                Ok(high.wrapping_add(self.raw.take(shift as u64)? as i64))
            }
        }
    }

    fn end(self) -> Read<()> {
        if self.state != 65536 || self.raw.bytes() != self.raw_bytes {
            return Err("a stream does not end where it has to".into());
        }
        self.words.end()
    }
}

struct Rank {
    bucket: usize,
    part: u64,
    odds: i64,
    log: i64,
    rest: i64,
    mean: i64,
    variance: f64,
}

fn turn(bits: i64) -> i64 {
    bits ^ (bits >> 63 & i64::MAX)
}

fn step(from: f64, by: i64) -> f64 {
    f64::from_bits(turn(turn(from.to_bits() as i64).wrapping_add(by)) as u64)
}

/// What each row but row 0 adds to each bucket, and its sum.
pub(crate) fn decode(
    cursor: &mut Cursor<'_>,
    setup: &Setup<'_>,
    first_sum: u64,
    last_sum: u64,
) -> Read<Vec<(Vec<u64>, u64)>> {
    let has_sum = setup.sum_kind == 1 || setup.sum_kind == 2;
    let (mut rounding, mut gain) = (0_i64, 0_i64);
    if has_sum {
        (rounding, gain) = (i64::from(cursor.u8()? as i8), i64::from(cursor.u8()? as i8) * 256);
    }
    let (spread, idle) = (cursor.u8()?, i64::from(cursor.u8()?));
    if spread > 200 {
        return Err("spread is above 200".into());
    }
    let (counts_coded, counts_raw) = (cursor.size()?, cursor.size()?);
    let sums_coded = if has_sum { cursor.size()? } else { 0 };
    let mut counts = Stream::new(cursor.take(counts_coded)?, cursor.take(counts_raw)?)?;
    let mut sums = None;
    if has_sum {
        let coded = cursor.take(sums_coded)?;
        let raw = cursor.take(cursor.rest().len())?;
        sums = Some(Stream::new(coded, raw)?);
    }

    let all: u64 = setup.totals.iter().sum();
    let mut order: Vec<usize> = (0..setup.totals.len()).filter(|bucket| setup.totals[*bucket] > 0).collect();
    order.sort_by_key(|bucket| (std::cmp::Reverse(setup.totals[*bucket]), *bucket));
    let unit = match setup.sum_kind {
        1 => 10_f64.powi(setup.q as i32),
        _ => {
            let last = f64::from_bits(last_sum).abs();
            let unit = 1.0 / (f64::from_bits(last.to_bits() + 1) - last);
            if unit.is_finite() { unit } else { 1.0 }
        }
    };
    let mut edges = Vec::new();
    let mut below = 0.0;
    for (bucket, bound) in setup.bounds.iter().enumerate() {
        let mut low: f64 = match bucket {
            0 if *bound > 0.0 => 0.0,
            0 => 2.0 * bound,
            _ => below,
        };
        let mut high = *bound;
        if !high.is_finite() {
            high = if low > 0.0 { 2.0 * low } else { 0.0 };
        }
        if !low.is_finite() {
            low = 0.0;
        }
        if !high.is_finite() {
            high = 0.0;
        }
        if high < low {
            high = low;
        }
        below = high;
        edges.push((low, high));
    }
    let mut ranks = Vec::new();
    let mut left = all;
    for bucket in order {
        let w = setup.totals[bucket];
        let part = ((u128::from(w) << 32) / u128::from(left)) as u64;
        let odds = if left == w { 31 } else { (ilog(w) - ilog(left - w)).clamp(-32, 31) };
        let (low, high) = edges[bucket];
        let mean = (low + (high - low) * (f64::from(setup.means[bucket]) + 0.5) / 256.0) * unit;
        let deviation = (high - low) * unit * 0.25;
        ranks.push(Rank {
            bucket,
            part,
            odds,
            log: ilog(part) - 128,
            rest: ilog((1 << 32) - part) - 128,
            mean: mean.trunc() as i64,
            variance: deviation * deviation,
        });
        left -= w;
    }
    let following = setup.rows.saturating_sub(1) as u64;
    let live = ((following * (256 - idle as u64) + 128) >> 8).max(1);
    let mut mean = (u128::from(all) * 256 / u128::from(live)).max(256) as i64;
    let mut spread = [256_i64, 304, 362, 430][usize::from(spread & 3)] << (spread >> 2);
    let mut idles = [(((idle + 1) * 16 / 514).clamp(1, 7), 8_i64); 16];
    let mut context = 0_usize;
    let mut sum = f64::from_bits(first_sum);
    let mut rows = Vec::new();
    for _ in 0..following {
        let mut more = vec![0_u64; setup.totals.len()];
        let (idle, seen) = &mut idles[context];
        let yes = ((2 * *idle + 1) * 4096 / (2 * *seen + 2)).clamp(1, 4095) as u32;
        let is_idle = counts.symbol(&[yes, 4096 - yes])? == 0;
        *idle += i64::from(is_idle);
        *seen += 1;
        if *seen >= 250 {
            (*idle, *seen) = (*idle / 2, *seen / 2);
        }
        if is_idle {
            context = (context + 1).min(15);
            rows.push((more, sum.to_bits()));
            continue;
        }
        context = 0;
        let is_low = mean < 2048;
        let n = if is_low {
            counts.poisson(ilog((mean - 255).max(1) as u64) - 32)?.wrapping_add(1)
        } else {
            ((mean + 128) >> 8).wrapping_add(counts.gauss(ilog(spread as u64) - 32)?)
        };
        if !(1..=1 << 53).contains(&n) {
            return Err("no such total".into());
        }
        let error = 256 * n - mean;
        mean = (mean + (error >> if is_low { 6 } else { 2 })).max(256);
        let size = error.abs();
        spread += (size + (size >> 2) - spread) >> 4;
        let mut left = n;
        for (place, rank) in ranks.iter().enumerate() {
            if left == 0 {
                break;
            }
            let log = ilog(left as u64);
            let count = if place + 1 == ranks.len() {
                left
            } else if left <= 15 {
                counts.symbol(&binomial(left as usize, rank.odds))? as i64
            } else if log + rank.log < 8 {
                counts.poisson(log + rank.log)?
            } else if log + rank.rest < 8 {
                left.wrapping_sub(counts.poisson(log + rank.rest)?)
            } else {
                let likely = ((u128::from(left as u64) * u128::from(rank.part)) >> 32) as i64;
                likely.wrapping_add(counts.gauss((log + rank.log + rank.rest + 1) >> 1)?)
            };
            if !(0..=left).contains(&count) {
                return Err("a bucket counts more than is left".into());
            }
            more[rank.bucket] = count as u64;
            left -= count;
        }
        if let Some(sums) = &mut sums {
            let (mut expected, mut variance) = (0_i64, 0.0);
            for rank in ranks.iter().filter(|rank| more[rank.bucket] > 0) {
                expected = expected.wrapping_add(rank.mean.wrapping_mul(more[rank.bucket] as i64));
                variance += rank.variance * more[rank.bucket] as f64;
            }
            let log = (flog(variance).max(-48) + (gain >> 7) + 1) >> 1;
            let error = sums.gauss(log)?;
            gain += ((ilog(error.unsigned_abs()) - log) * 256 + 940) >> 5;
            let change = expected.wrapping_add(error);
            let residual = sums.gauss(rounding + (ilog(n as u64) >> 1))?;
            sum = if setup.sum_kind == 1 {
                step(sum + change as f64 / 10_f64.powi(setup.q as i32), residual)
            } else {
                step(sum, change.wrapping_add(residual))
            };
        }
        rows.push((more, sum.to_bits()));
    }
    counts.end()?;
    if let Some(sums) = sums {
        sums.end()?;
        if let Some((_, sum)) = rows.last_mut() {
            *sum = last_sum;
        }
    }
    Ok(rows)
}
