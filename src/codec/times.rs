//! The times of the rows of a chunk, once for all chunks that share them.
//!
//! ```text
//! rows    varint            nothing follows 0 rows
//! first   varint zigzag     nothing follows 1 row
//! mode    u8
//!
//! 0  plain     for each further row the distance to the one before: varint
//! 1  regular   step varint, gaps
//! 2  grid      step varint, gaps, k u8, residuals to the grid: time = first + (row + gaps so far) * step + residual
//! 3  steps     step varint, gaps, k u8, residuals to the step: time = last + (1 + gap) * step + residual
//! 4  changes   k u8, changes of the distance: time = last + distance, distance += change, at first 0
//!
//! gaps       how many varint, then for each: rows since the last gap (first: since row 0) varint, extra steps varint
//! residuals  one for each row but the first, as bits: q = zigzag >> k as q ones and a zero, then k bits;
//!            32 ones instead are followed by the 64 bits of the zigzag. Filled up to a byte with zeros.
//! ```
//!
//! The shortest is written; of two the one with the lower number.

use super::bits::{BitReader, BitWriter};
use super::varint;

const PLAIN: u8 = 0;
const REGULAR: u8 = 1;
const GRID: u8 = 2;
const STEPS: u8 = 3;
const CHANGES: u8 = 4;

/// Ones that announce a residual in full.
const ESCAPE: u32 = 32;
const MOST_RICE_BITS: u8 = 40;

/// Appends a time column. The times rise.
pub(crate) fn put_times(into: &mut Vec<u8>, times: &[i64]) {
    varint::put(into, times.len() as u64);
    let Some((first, rest)) = times.split_first() else { return };
    varint::put_signed(into, *first);
    if rest.is_empty() {
        return;
    }
    let plain = plain_form(times);
    let step = frequent_step(times);
    let changes = changes_form(times);
    let forms = [Some(plain), grid_form(times, step), steps_form(times, step), changes];
    let shortest = forms.into_iter().flatten().min_by_key(|(_, form)| form.len());
    if let Some((mode, form)) = shortest {
        into.push(mode);
        into.extend_from_slice(&form);
    }
}

/// Reads a time column that [`put_times`] wrote and moves past it. `None`: it is damaged, or has more than `limit` rows.
pub(crate) fn take_times(bytes: &mut &[u8], limit: usize) -> Option<Vec<i64>> {
    let mut rest = *bytes;
    let rows = usize::try_from(varint::take(&mut rest)?).ok()?;
    if rows > limit {
        return None;
    }
    let mut times = Vec::new();
    if rows > 0 {
        times.push(varint::take_signed(&mut rest)?);
    }
    if rows > 1 {
        let (mode, after) = rest.split_first()?;
        rest = after;
        let distances = rows.saturating_sub(1);
        match *mode {
            PLAIN => take_plain(&mut rest, distances, &mut times)?,
            REGULAR | GRID | STEPS => take_stepped(&mut rest, *mode, distances, &mut times)?,
            CHANGES => take_changes(&mut rest, distances, &mut times)?,
            _ => return None,
        }
    }
    *bytes = rest;
    times.is_sorted_by(|a, b| a < b).then_some(times)
}

type Form = (u8, Vec<u8>);

fn distances(times: &[i64]) -> impl Iterator<Item = u64> {
    times.iter().zip(times.iter().skip(1)).map(|(a, b)| b.wrapping_sub(*a) as u64)
}

fn plain_form(times: &[i64]) -> Form {
    let mut form = Vec::with_capacity(times.len());
    distances(times).for_each(|distance| varint::put(&mut form, distance));
    (PLAIN, form)
}

/// The distance that stands in the middle: with any regularity at all it is close to the step.
fn frequent_step(times: &[i64]) -> u64 {
    let mut sorted: Vec<u64> = distances(times).collect();
    sorted.sort_unstable();
    let (mut best, mut most, mut run) = (0, 0_usize, 0_usize);
    let mut last = None;
    for distance in &sorted {
        run = if last == Some(distance) { run.saturating_add(1) } else { 1 };
        last = Some(distance);
        if run > most {
            (best, most) = (*distance, run);
        }
    }
    // Jitter leaves no distance frequent; a round one near the middle is what the scraper was told.
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    if most.saturating_mul(2) > sorted.len() {
        return best;
    }
    [60_000, 10_000, 5_000, 1_000, 500, 100, 10]
        .into_iter()
        .map(|unit: u64| {
            let units = middle.saturating_add(unit / 2).checked_div(unit).unwrap_or(0);
            (unit, units.saturating_mul(unit))
        })
        .find(|(unit, round)| *round > 0 && round.abs_diff(middle) <= unit / 50)
        .map_or(middle, |(_, round)| round)
}

/// Extra steps before each row but the first: how many times the step the distance is, beyond one.
fn extra_steps(times: &[i64], step: u64) -> impl Iterator<Item = u64> {
    distances(times).map(move |distance| {
        let steps = distance.saturating_add(step / 2).checked_div(step).unwrap_or(1);
        steps.saturating_sub(1)
    })
}

fn put_gaps(form: &mut Vec<u8>, extra: &[u64]) {
    varint::put(form, extra.iter().filter(|extra| **extra > 0).count() as u64);
    let mut since = 0_u64;
    for extra in extra {
        since = since.saturating_add(1);
        if *extra > 0 {
            varint::put(form, since);
            varint::put(form, *extra);
            since = 0;
        }
    }
}

fn grid_form(times: &[i64], step: u64) -> Option<Form> {
    let first = *times.first()?;
    // Where a row is decides its gap, not the row before it: late rows do not add up.
    let (mut place, mut extra, mut residuals) = (0_i64, Vec::new(), Vec::new());
    let signed = i64::try_from(step).ok().filter(|step| *step > 0)?;
    for time in times.iter().skip(1) {
        let from_first = time.checked_sub(first)?;
        let nearest = from_first.checked_add(signed / 2)?.checked_div(signed)?;
        let next = nearest.max(place.checked_add(1)?);
        extra.push(next.checked_sub(place)?.checked_sub(1)? as u64);
        place = next;
        residuals.push(from_first.checked_sub(place.checked_mul(signed)?)?);
    }
    let mut form = Vec::new();
    varint::put(&mut form, step);
    put_gaps(&mut form, &extra);
    if residuals.iter().all(|residual| *residual == 0) {
        return Some((REGULAR, form));
    }
    put_residuals(&mut form, &residuals);
    Some((GRID, form))
}

fn steps_form(times: &[i64], step: u64) -> Option<Form> {
    let extra: Vec<u64> = extra_steps(times, step).collect();
    let mut residuals = Vec::with_capacity(extra.len());
    for (distance, extra) in distances(times).zip(&extra) {
        let expected = extra.checked_add(1)?.checked_mul(step)?;
        residuals.push(i64::try_from(distance).ok()?.checked_sub(i64::try_from(expected).ok()?)?);
    }
    let mut form = Vec::new();
    varint::put(&mut form, step);
    put_gaps(&mut form, &extra);
    put_residuals(&mut form, &residuals);
    Some((STEPS, form))
}

fn changes_form(times: &[i64]) -> Option<Form> {
    let mut last = 0_i64;
    let mut residuals = Vec::with_capacity(times.len());
    for distance in distances(times) {
        let distance = i64::try_from(distance).ok()?;
        residuals.push(distance.checked_sub(last)?);
        last = distance;
    }
    let mut form = Vec::new();
    put_residuals(&mut form, &residuals);
    Some((CHANGES, form))
}

fn put_residuals(form: &mut Vec<u8>, residuals: &[i64]) {
    let cost = |k: u8| {
        let bits = residuals.iter().map(|residual| {
            let quotient = varint::zigzag(*residual) >> k;
            if quotient < u64::from(ESCAPE) {
                quotient.saturating_add(1).saturating_add(k.into())
            } else {
                96
            }
        });
        bits.fold(0_u64, u64::saturating_add)
    };
    let k = (0..=MOST_RICE_BITS).min_by_key(|k| cost(*k)).unwrap_or(0);
    form.push(k);
    let mut bits = BitWriter::default();
    for residual in residuals {
        let number = varint::zigzag(*residual);
        let quotient = number >> k;
        if quotient < u64::from(ESCAPE) {
            let ones = (1_u64 << quotient).saturating_sub(1);
            bits.put(ones << 1, (quotient as u32).saturating_add(1));
            bits.put(number, k.into());
        } else {
            bits.put(u64::from(u32::MAX), ESCAPE);
            bits.put(number, 64);
        }
    }
    form.extend_from_slice(bits.bytes());
}

/// Reads `rows` residuals, each paid with a bit at least.
fn take_residuals(bytes: &mut &[u8], rows: usize) -> Option<Vec<i64>> {
    let (k, rest) = bytes.split_first()?;
    if *k > MOST_RICE_BITS || rows.div_ceil(8) > rest.len() {
        return None;
    }
    let mut bits = BitReader::new(rest);
    let mut residuals = Vec::with_capacity(rows);
    for _ in 0..rows {
        let ones = bits.unary(ESCAPE)?;
        let number = if ones == ESCAPE {
            bits.take(64)?
        } else {
            (u64::from(ones) << k) | bits.take(u32::from(*k))?
        };
        residuals.push(varint::unzigzag(number));
    }
    *bytes = bits.rest();
    Some(residuals)
}

fn take_plain(bytes: &mut &[u8], rows: usize, times: &mut Vec<i64>) -> Option<()> {
    if rows > bytes.len() {
        return None;
    }
    let mut time = *times.last()?;
    times.reserve_exact(rows);
    for _ in 0..rows {
        // Between any two times there are fewer than 2^64 milliseconds: wrapping is right, and order is checked later.
        time = time.wrapping_add(varint::take(bytes)? as i64);
        times.push(time);
    }
    Some(())
}

fn take_stepped(bytes: &mut &[u8], mode: u8, rows: usize, times: &mut Vec<i64>) -> Option<()> {
    let first = *times.last()?;
    let step = i64::try_from(varint::take(bytes)?).ok()?;
    let gaps = usize::try_from(varint::take(bytes)?).ok()?;
    if gaps > rows || gaps > bytes.len() {
        return None;
    }
    let mut extra: Vec<(usize, i64)> = Vec::with_capacity(gaps);
    let mut row = 0_usize;
    for _ in 0..gaps {
        row = row.checked_add(usize::try_from(varint::take(bytes)?).ok()?)?;
        extra.push((row, i64::try_from(varint::take(bytes)?).ok()?));
    }
    let residuals = if mode == REGULAR { Vec::new() } else { take_residuals(bytes, rows)? };
    let mut extra = extra.into_iter().peekable();
    let (mut place, mut last) = (0_i64, first);
    times.reserve_exact(rows);
    for row in 0..rows {
        let gap = extra.next_if(|(gap, _)| *gap == row.saturating_add(1)).map_or(0, |(_, steps)| steps);
        let steps = gap.checked_add(1)?;
        let residual = residuals.get(row).copied().unwrap_or(0);
        let time = if mode == STEPS {
            last.checked_add(steps.checked_mul(step)?)?
        } else {
            place = place.checked_add(steps)?;
            first.checked_add(place.checked_mul(step)?)?
        };
        last = time.checked_add(residual)?;
        times.push(last);
    }
    extra.next().is_none().then_some(())
}

fn take_changes(bytes: &mut &[u8], rows: usize, times: &mut Vec<i64>) -> Option<()> {
    let mut time = *times.last()?;
    let mut distance = 0_i64;
    for change in take_residuals(bytes, rows)? {
        distance = distance.checked_add(change)?;
        time = time.checked_add(distance)?;
        times.push(time);
    }
    Some(())
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(times: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_times(&mut bytes, times);
        let mut rest = bytes.as_slice();
        assert_eq!(take_times(&mut rest, times.len()).as_deref(), Some(times));
        assert!(rest.is_empty());
        bytes
    }

    fn mode(bytes: &[u8]) -> u8 {
        let mut rest = bytes;
        varint::take(&mut rest).unwrap();
        varint::take(&mut rest).unwrap();
        rest[0]
    }

    proptest! {
        #[test]
        fn any_rising_times_come_back(times in proptest::collection::btree_set(any::<i64>(), 0..50)) {
            column(&times.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn scrapes_come_back(
            start: i32,
            step in 1_i64..100_000,
            rows in proptest::collection::vec((0_i64..20, prop_oneof![9 => Just(0_i64), 1 => 0_i64..10]), 0..100),
        ) {
            let mut place = 0;
            let mut last = i64::MIN;
            let times: Vec<i64> = rows
                .iter()
                .map(|(jitter, gap)| {
                    place += 1 + gap;
                    last = (i64::from(start) + place * step + jitter).max(last.saturating_add(1));
                    last
                })
                .collect();
            let bytes = column(&times);
            prop_assert!(take_times(&mut bytes.as_slice(), times.len().saturating_sub(1)).is_none() || times.is_empty());
            for end in 0..bytes.len() {
                prop_assert!(take_times(&mut &bytes[..end], times.len()).is_none());
            }
        }

        #[test]
        fn any_bytes_are_rising_times_or_none(bytes: Vec<u8>, mode in 0_u8..6) {
            let mut bytes = bytes;
            if let Some(byte) = bytes.get_mut(2) {
                *byte = mode;
            }
            if let Some(times) = take_times(&mut bytes.as_slice(), 10_000) {
                prop_assert!(times.is_sorted_by(|a, b| a < b));
            }
        }
    }

    #[test]
    fn every_mode_has_the_bytes_of_the_format() {
        let bytes = column(&[1000, 2000, 3000, 6000, 7000]);
        assert_eq!(bytes, [5, 0xd0, 0x0f, REGULAR, 0xe8, 0x07, 1, 3, 2]);
        let grid: Vec<i64> =
            (0..20).map(|row| 15_000 * row + [0, 9, -9, 7, -8][row as usize * row as usize % 5]).collect();
        assert_eq!(mode(&column(&grid)), GRID);
        let mut time = 0;
        let drift: Vec<i64> = (0..20)
            .map(|row| {
                time += 15_000 + [7, 2, 5, 9][row as usize % 4];
                time
            })
            .collect();
        assert_eq!(mode(&column(&drift)), STEPS);
        let slower: Vec<i64> = (0..20).map(|row| row * 15_000 + row * row * 1000).collect();
        assert_eq!(mode(&column(&slower)), CHANGES);
        assert_eq!(mode(&column(&[i64::MIN, 0, i64::MAX])), PLAIN);
    }
}
