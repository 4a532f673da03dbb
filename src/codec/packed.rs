//! One column of floats as integers in blocks of few bits.
//!
//! ```text
//! head        u8       bits 0-1 predictor: 0 last value, 1 last value + slope, 2 minimum, 3 all values are the first
//!                      bit 2 exceptions; bits 4-7 form: 0 whole, 1..9 decimals, 15 bit pattern
//! exceptions  if bit 2: how many varint, then for each: rows since the last one (first: since row 0) varint,
//!                      8 bytes of the float; in the stream such a row repeats the row before it (the first: the next)
//! first       whole and decimals: varint zigzag; bit pattern: 8 bytes
//!
//! unless the predictor is 3:
//! divisor     varint
//! parameter   predictor 1: slope varint zigzag; 2: (first - minimum) / divisor varint
//! blocks      of 120 residuals, the last of what is left; one residual for each row but the first
//!
//! form      float of integer i                             residual r, v the value before
//! whole     i                                              0   v + unzigzag(r) * divisor
//! decimals  i / 10^form                                    1   v + (unzigzag(r) + slope) * divisor
//! pattern   bits of i, all but the sign turned if i < 0    2   minimum + r * divisor
//!
//! block   width u8 (bit 7: there are patches) | if so: patches u8, extra u8
//!         width bits for each residual | for each patch: 7 bits position, extra bits to put above the width
//! ```
//!
//! Bits stand most significant first, the end of a block is filled up to a byte with zeros. All integer arithmetic
//! wraps at 64 bits.

use super::bits::{BitReader, BitWriter};
use super::varint;

/// Residuals of a block.
const BLOCK: usize = 120;
/// Integers of the forms whole and decimals are below this, so that they are floats of their own.
const EXACT: f64 = 9_007_199_254_740_992.0;
const PATTERN: u8 = 15;
const HAS_EXCEPTIONS: u8 = 4;

const LAST: u8 = 0;
const SLOPE: u8 = 1;
const MINIMUM: u8 = 2;
const CONSTANT: u8 = 3;

/// How floats are integers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Form(u8);

impl Form {
    /// The integer of a float; `None` where the way back does not give the same bits.
    fn integer(self, value: f64) -> Option<i64> {
        if self.0 == PATTERN {
            return Some(turn(value.to_bits() as i64));
        }
        let scaled = (value * power_of_ten(self.0)).round();
        let integer = scaled as i64;
        (scaled.abs() < EXACT && self.float(integer).to_bits() == value.to_bits()).then_some(integer)
    }

    fn float(self, integer: i64) -> f64 {
        match self.0 {
            0 => integer as f64,
            PATTERN => f64::from_bits(turn(integer) as u64),
            decimals => integer as f64 / power_of_ten(decimals),
        }
    }
}

/// Bit patterns of floats as integers in the order of the floats, and back.
pub(crate) const fn turn(bits: i64) -> i64 {
    bits ^ ((bits >> 63) & i64::MAX)
}

/// 10^exponent for exponents up to 9.
pub(crate) fn power_of_ten(exponent: u8) -> f64 {
    const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
    POWERS.get(usize::from(exponent)).copied().unwrap_or(1.0)
}

/// The bytes of a column.
pub(crate) fn pack(values: &[f64]) -> Vec<u8> {
    if values.is_empty() {
        return Vec::new();
    }
    let form = choose_form(values);
    let skip_odd = few(values.iter().filter(|value| is_odd(**value)).count(), values.len());
    let integer = |value: f64| form.integer(value).filter(|_| !(skip_odd && is_odd(value)));
    let mut exceptions: Vec<(usize, f64)> = Vec::new();
    let mut integers: Vec<i64> = Vec::with_capacity(values.len());
    let mut last = values.iter().find_map(|value| integer(*value)).unwrap_or(0);
    for (row, value) in values.iter().enumerate() {
        if let Some(integer) = integer(*value) {
            last = integer;
        } else {
            exceptions.push((row, *value));
        }
        integers.push(last);
    }
    let stream = choose_stream(form, &integers);
    let has_exceptions = if exceptions.is_empty() { 0 } else { HAS_EXCEPTIONS };
    let mut bytes = vec![(form.0 << 4) | has_exceptions | stream.predictor];
    if !exceptions.is_empty() {
        varint::put(&mut bytes, exceptions.len() as u64);
        let mut since = 0;
        for (row, value) in exceptions {
            varint::put(&mut bytes, row.saturating_sub(since) as u64);
            bytes.extend_from_slice(&value.to_le_bytes());
            since = row;
        }
    }
    bytes.extend_from_slice(&stream.bytes);
    bytes
}

/// Values that make no sense as numbers, and negative zero.
fn is_odd(value: f64) -> bool {
    !value.is_finite() || value.to_bits() == (-0.0_f64).to_bits()
}

/// Whether so many exceptions of `rows` cost less than another form would.
const fn few(exceptions: usize, rows: usize) -> bool {
    exceptions.saturating_mul(16) <= rows || (exceptions <= 2 && exceptions.saturating_mul(2) < rows)
}

fn choose_form(values: &[f64]) -> Form {
    let most = (0..=values.len()).rev().find(|count| few(*count, values.len())).unwrap_or(0);
    let fits = |form: &Form| {
        values.iter().filter(|value| form.integer(**value).is_none()).take(most.saturating_add(1)).count()
            <= most
    };
    (0..=9).map(Form).find(fits).unwrap_or(Form(PATTERN))
}

/// The integers after the head of a column.
struct Stream {
    predictor: u8,
    bytes: Vec<u8>,
}

fn choose_stream(form: Form, integers: &[i64]) -> Stream {
    let first = integers.first().copied().unwrap_or(0);
    let mut start = Vec::with_capacity(24);
    if form.0 == PATTERN {
        start.extend_from_slice(&form.float(first).to_le_bytes());
    } else {
        varint::put_signed(&mut start, first);
    }
    let steps = || integers.iter().zip(integers.iter().skip(1)).map(|(a, b)| b.wrapping_sub(*a));
    let divisor = steps().fold(0, |divisor, step| greatest_divisor(divisor, step.unsigned_abs()));
    if divisor == 0 {
        return Stream { predictor: CONSTANT, bytes: start };
    }
    varint::put(&mut start, divisor);
    // A divisor of 2^63 is negative: it goes 1 time into itself, as it should.
    let units: Vec<i64> = steps().map(|step| step.checked_div(divisor as i64).unwrap_or(0)).collect();
    let mut best: Option<Stream> = None;
    let mut offer = |predictor, parameter: Option<u64>, residuals: &mut dyn Iterator<Item = u64>| {
        let mut bytes = start.clone();
        if let Some(parameter) = parameter {
            varint::put(&mut bytes, parameter);
        }
        put_blocks(&mut bytes, residuals);
        if best.as_ref().is_none_or(|best| bytes.len() < best.bytes.len()) {
            best = Some(Stream { predictor, bytes });
        }
    };
    offer(LAST, None, &mut units.iter().map(|unit| varint::zigzag(*unit)));
    let sum: i128 = units.iter().map(|unit| i128::from(*unit)).sum();
    let slope = sum.checked_div(units.len() as i128).and_then(|slope| i64::try_from(slope).ok());
    if let Some(slope) = slope.filter(|slope| *slope != 0) {
        let residuals = units.iter().map(|unit| varint::zigzag(unit.wrapping_sub(slope)));
        offer(SLOPE, Some(varint::zigzag(slope)), &mut residuals.into_iter());
    }
    let minimum = integers.iter().copied().min().unwrap_or(0);
    let maximum = integers.iter().copied().max().unwrap_or(0);
    // Only then no step wrapped, and every distance from the minimum is a multiple of the divisor.
    if maximum.checked_sub(minimum).is_some() {
        let above = |integer: i64| (integer.wrapping_sub(minimum) as u64).checked_div(divisor).unwrap_or(0);
        offer(MINIMUM, Some(above(first)), &mut integers.iter().skip(1).map(|integer| above(*integer)));
    }
    best.unwrap_or(Stream { predictor: CONSTANT, bytes: start })
}

fn greatest_divisor(mut a: u64, mut b: u64) -> u64 {
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}

fn put_blocks(into: &mut Vec<u8>, residuals: &mut dyn Iterator<Item = u64>) {
    let mut block = [0_u64; BLOCK];
    loop {
        let mut length = 0_usize;
        for (slot, residual) in block.iter_mut().zip(&mut *residuals) {
            *slot = residual;
            length = length.saturating_add(1);
        }
        let Some(residuals) = block.get(..length).filter(|residuals| !residuals.is_empty()) else { return };
        put_block(into, residuals);
    }
}

const fn bits_of(value: u64) -> u32 {
    64_u32.saturating_sub(value.leading_zeros())
}

fn put_block(into: &mut Vec<u8>, residuals: &[u64]) {
    let mut counts = [0_usize; 65];
    let mut widest = 0;
    for residual in residuals {
        let width = bits_of(*residual);
        widest = widest.max(width);
        if let Some(count) = counts.get_mut(width as usize) {
            *count = count.saturating_add(1);
        }
    }
    let (mut width, mut least, mut above) = (widest, usize::MAX, 0_usize);
    for (candidate, count) in counts.iter().enumerate().take(widest.saturating_add(1) as usize).rev() {
        let extra = (widest as usize).saturating_sub(candidate);
        let patches =
            if above == 0 { 0 } else { above.saturating_mul(extra.saturating_add(7)).saturating_add(16) };
        let cost = candidate.saturating_mul(residuals.len()).saturating_add(patches);
        if cost < least {
            (width, least) = (candidate as u32, cost);
        }
        above = above.saturating_add(*count);
    }
    let patches = residuals.iter().filter(|residual| bits_of(**residual) > width).count();
    let extra = widest.saturating_sub(width);
    if patches == 0 {
        into.push(width as u8);
    } else {
        into.extend([width as u8 | 0x80, patches as u8, extra as u8]);
    }
    let mut bits = BitWriter::default();
    for residual in residuals {
        bits.put(*residual, width);
    }
    for (position, residual) in
        residuals.iter().enumerate().filter(|(_, residual)| bits_of(**residual) > width)
    {
        bits.put(position as u64, 7);
        bits.put(residual.unbounded_shr(width), extra);
    }
    into.extend_from_slice(bits.bytes());
}

/// Fills `residuals` with the block at the front of `bytes` and moves past it.
#[inline]
fn take_block(bytes: &mut &[u8], residuals: &mut [u64]) -> Option<()> {
    let (head, mut rest) = bytes.split_first()?;
    let width = u32::from(head & 0x7f);
    if width > 64 {
        return None;
    }
    let (mut patches, mut extra) = (0, 0);
    if head & 0x80 != 0 {
        let ([count, bits], after) = rest.split_first_chunk::<2>()?;
        (patches, extra, rest) = (usize::from(*count), u32::from(*bits), after);
        if patches > residuals.len() || extra > 64_u32.saturating_sub(width) {
            return None;
        }
    }
    let plain = (width as usize).saturating_mul(residuals.len());
    let patched = patches.saturating_mul((extra as usize).saturating_add(7));
    let (packed, after) = rest.split_at_checked(plain.saturating_add(patched).div_ceil(8))?;
    unpack(packed, width, residuals)?;
    if patches > 0 {
        let mut bits = BitReader::new(packed.get(plain / 8..)?);
        bits.take((plain % 8) as u32)?;
        for _ in 0..patches {
            let position = bits.take(7)? as usize;
            let high = bits.take(extra)?;
            *residuals.get_mut(position)? |= high.unbounded_shl(width);
        }
    }
    *bytes = after;
    Some(())
}

/// Reads `values.len()` values of `width` bits.
#[inline]
fn unpack(packed: &[u8], width: u32, values: &mut [u64]) -> Option<()> {
    macro_rules! by_width {
        ($($width:literal)*) => {
            match width {
                0 => {
                    values.fill(0);
                    return Some(());
                }
                $($width => unpack_groups::<$width>(packed, values),)*
                _ => 0,
            }
        };
    }
    let done = by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56);
    // A group of eight ends with a byte.
    let mut bits = BitReader::new(packed.get((done / 8).wrapping_mul(width as usize)..)?);
    for value in values.get_mut(done..)? {
        *value = bits.take(width)?;
    }
    Some(())
}

/// Reads values of `WIDTH` bits in groups of eight, as far as they go; how many it read.
///
/// With the width known all shifts are constants, and a group is a few vector instructions.
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "offsets within WIDTH bytes and 64 bits, by constants"
)]
fn unpack_groups<const WIDTH: usize>(packed: &[u8], values: &mut [u64]) -> usize {
    let mut done = 0;
    for (bytes, values) in packed.chunks_exact(WIDTH).zip(values.chunks_exact_mut(8)) {
        if WIDTH < 8 {
            let mut word = [0; 8];
            word[..WIDTH].copy_from_slice(bytes);
            let word = u64::from_be_bytes(word);
            for (index, value) in values.iter_mut().enumerate() {
                *value = (word << (index * WIDTH)) >> (64 - WIDTH);
            }
        } else {
            for (index, value) in values.iter_mut().enumerate() {
                let byte = (index * WIDTH / 8).min(WIDTH - 8);
                let mut word = [0; 8];
                word.copy_from_slice(&bytes[byte..byte + 8]);
                *value = (u64::from_be_bytes(word) << (index * WIDTH - byte * 8)) >> (64 - WIDTH);
            }
        }
        done += 8;
    }
    done
}

/// Appends the `rows` values of a packed column. `None`: it is damaged; what was appended is of no use.
pub(crate) fn unpack_into(bytes: &[u8], rows: usize, into: &mut Vec<f64>) -> Option<()> {
    if rows == 0 {
        return bytes.is_empty().then_some(());
    }
    let (head, mut rest) = bytes.split_first()?;
    let form = Form(head >> 4);
    if head & 8 != 0 || !(form.0 <= 9 || form.0 == PATTERN) {
        return None;
    }
    let exceptions = if head & HAS_EXCEPTIONS == 0 { Vec::new() } else { take_exceptions(&mut rest, rows)? };
    let first = if form.0 == PATTERN {
        let (bits, after) = rest.split_first_chunk::<8>()?;
        rest = after;
        turn(i64::from_le_bytes(*bits))
    } else {
        varint::take_signed(&mut rest)?
    };
    let from = into.len();
    match head & 3 {
        CONSTANT => into.resize(from.checked_add(rows)?, form.float(first)),
        predictor => {
            let divisor = varint::take(&mut rest)? as i64;
            let residuals = rows.saturating_sub(1);
            // A block takes a byte at least.
            if residuals.div_ceil(BLOCK) > rest.len() {
                return None;
            }
            into.reserve(rows);
            into.push(form.float(first));
            match predictor {
                LAST => take_steps(&mut rest, form, residuals, (first, divisor, 0), into)?,
                SLOPE => {
                    let slope = varint::take_signed(&mut rest)?;
                    take_steps(&mut rest, form, residuals, (first, divisor, slope), into)?;
                }
                _ => {
                    let above = varint::take(&mut rest)? as i64;
                    let minimum = first.wrapping_sub(above.wrapping_mul(divisor));
                    take_each(&mut rest, form, residuals, into, |residual| {
                        minimum.wrapping_add((residual as i64).wrapping_mul(divisor))
                    })?;
                }
            }
        }
    }
    for (row, value) in exceptions {
        *into.get_mut(from.checked_add(row)?)? = value;
    }
    rest.is_empty().then_some(())
}

fn take_steps(
    bytes: &mut &[u8],
    form: Form,
    rows: usize,
    (first, divisor, slope): (i64, i64, i64),
    into: &mut Vec<f64>,
) -> Option<()> {
    let mut value = first;
    let step = slope.wrapping_mul(divisor);
    take_each(bytes, form, rows, into, |residual| {
        let change = varint::unzigzag(residual).wrapping_mul(divisor).wrapping_add(step);
        value = value.wrapping_add(change);
        value
    })
}

/// Blocks of `rows` residuals; `next` makes each an integer. By form outside of the loop over the values.
#[inline(always)]
fn take_each(
    bytes: &mut &[u8],
    form: Form,
    rows: usize,
    into: &mut Vec<f64>,
    mut next: impl FnMut(u64) -> i64,
) -> Option<()> {
    let mut block = [0_u64; BLOCK];
    let mut left = rows;
    while left > 0 {
        let residuals = block.get_mut(..left.min(BLOCK))?;
        take_block(bytes, residuals)?;
        left = left.saturating_sub(residuals.len());
        match form.0 {
            0 => into.extend(residuals.iter().map(|residual| next(*residual) as f64)),
            PATTERN => into.extend(residuals.iter().map(|residual| Form(PATTERN).float(next(*residual)))),
            decimals => {
                let scale = power_of_ten(decimals);
                into.extend(residuals.iter().map(|residual| next(*residual) as f64 / scale));
            }
        }
    }
    Some(())
}

fn take_exceptions(bytes: &mut &[u8], rows: usize) -> Option<Vec<(usize, f64)>> {
    let count = usize::try_from(varint::take(bytes)?).ok()?;
    if count > bytes.len() / 9 || count > rows {
        return None;
    }
    let mut row = 0_usize;
    let mut exceptions = Vec::with_capacity(count);
    for _ in 0..count {
        row = row.checked_add(usize::try_from(varint::take(bytes)?).ok()?)?;
        let (value, rest) = bytes.split_first_chunk::<8>()?;
        *bytes = rest;
        exceptions.push((row, f64::from_le_bytes(*value)));
    }
    Some(exceptions)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn column(values: &[f64]) -> Vec<u8> {
        let bytes = pack(values);
        let mut read = vec![7.0];
        unpack_into(&bytes, values.len(), &mut read).unwrap();
        assert!(
            read[1..].iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits())),
            "{values:?} {read:?}"
        );
        bytes
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            (-1000_i64..1000).prop_map(|n| n as f64),
            (-1000_i64..1000).prop_map(|n| n as f64 / 100.0),
            Just(-0.0),
            Just(crate::model::stale_marker()),
            Just(f64::INFINITY),
        ]
    }

    proptest! {
        #[test]
        fn any_values_come_back(values in vec(value(), 0..300)) {
            column(&values);
        }

        #[test]
        fn any_bits_come_back(values in vec(any::<u64>(), 0..10)) {
            column(&values.into_iter().map(f64::from_bits).collect::<Vec<_>>());
        }

        #[test]
        fn regular_values_with_odd_ones_come_back(
            form in 0_u8..10,
            unit in 1_i64..1000,
            slope in -1000_i64..1000,
            noise in vec((0_i64..30, prop_oneof![20 => Just(None), 1 => value().prop_map(Some)]), 1..400),
        ) {
            let mut last = 0;
            let values: Vec<f64> = noise
                .iter()
                .map(|(noise, odd)| {
                    last += (slope + noise) * unit;
                    odd.unwrap_or(last as f64 / power_of_ten(form))
                })
                .collect();
            let bytes = column(&values);
            for end in 0..bytes.len() {
                prop_assert!(unpack_into(&bytes[..end], values.len(), &mut Vec::new()).is_none());
            }
        }

        #[test]
        fn any_bytes_are_values_or_none(bytes: Vec<u8>, rows in 0_usize..1000) {
            let mut read = Vec::new();
            let _outcome = unpack_into(&bytes, rows, &mut read);
            prop_assert!(read.len() <= rows);
        }

        #[test]
        fn residuals_of_any_width_come_back(residuals in vec(any::<u64>(), 1..=BLOCK), width in 0_u32..=64, wide in 0_usize..9) {
            let mut residuals: Vec<u64> = residuals.iter().map(|r| r.unbounded_shr(64 - width)).collect();
            if let Some(residual) = residuals.get_mut(wide) {
                *residual = u64::MAX;
            }
            let mut bytes = Vec::new();
            put_block(&mut bytes, &residuals);
            let (mut rest, mut read) = (bytes.as_slice(), vec![0; residuals.len()]);
            take_block(&mut rest, &mut read).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(read, residuals);
        }
    }

    #[test]
    fn every_form_has_the_bytes_of_the_format() {
        assert_eq!(column(&[5.0; 4]), [CONSTANT, 10]);
        assert_eq!(column(&[3.0, 5.0, 9.0, 7.0]), [LAST, 6, 2, 3, 0b0101_0000, 0b1000_0000]);
        assert_eq!(column(&[1.5, 11.5, 21.5, 31.5, 41.5, 51.5]), [0x10 | SLOPE, 30, 100, 2, 0]);
        let saw: Vec<f64> = (0..20).map(|row| if row % 2 == 0 { 0.0 } else { 7.0 }).collect();
        assert_eq!(column(&saw), [MINIMUM, 0, 7, 0, 1, 0xaa, 0xaa, 0xa0]);
        assert_eq!(
            column(&[5.0, 5.0, 5.0, f64::NAN]),
            [HAS_EXCEPTIONS | CONSTANT, 1, 3, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f, 10]
        );
        let pattern = column(&[std::f64::consts::PI, std::f64::consts::E]);
        assert_eq!(pattern[..9], [0xf0, 0x18, 0x2d, 0x44, 0x54, 0xfb, 0x21, 9, 0x40]);
    }
}
