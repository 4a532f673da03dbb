//! Time columns, and bodies of single series.

use super::bytes::{Bits, unzigzag};
use super::{Cursor, Read, float_text};

pub(crate) fn times(bytes: &[u8]) -> Read<Vec<i64>> {
    let mut cursor = Cursor::new(bytes);
    let rows = cursor.size()?;
    if rows > 1 << 22 {
        return Err("too many rows".into());
    }
    let mut times = Vec::new();
    if rows == 0 {
        cursor.end()?;
        return Ok(times);
    }
    let first = cursor.signed()?;
    times.push(first);
    if rows == 1 {
        cursor.end()?;
        return Ok(times);
    }
    let mode = cursor.u8()?;
    if mode == 0 {
        for row in 1..rows {
            times.push(times[row - 1].wrapping_add(cursor.varint()? as i64));
        }
        cursor.end()?;
        return rising(times);
    }
    let (mut step, mut extra) = (0, vec![0_u64; rows]);
    if (1..=3).contains(&mode) {
        step = cursor.varint()?;
        let mut row = 0_usize;
        for _ in 0..cursor.varint()? {
            row = row.checked_add(cursor.size()?).ok_or("a gap overflows")?;
            *extra.get_mut(row).ok_or("a gap behind the end")? = cursor.varint()?;
        }
    } else if mode != 4 {
        return Err("no such mode".into());
    }
    let mut residuals = vec![0_i64; rows];
    if mode > 1 {
        let k = u64::from(cursor.u8()?);
        if k > 40 {
            return Err("k is above 40".into());
        }
        let mut bits = Bits::new(cursor.rest());
        for residual in residuals.iter_mut().skip(1) {
            let mut ones = 0;
            while ones < 32 && bits.take(1)? == 1 {
                ones += 1;
            }
            let z = if ones == 32 { bits.take(64)? } else { ones << k | bits.take(k)? };
            *residual = unzigzag(z);
        }
        bits.end()?;
    } else {
        cursor.end()?;
    }
    let (mut place, mut distance) = (0_u64, 0_i64);
    for row in 1..rows {
        let steps = 1_u64.wrapping_add(extra[row]);
        let before = times[row - 1];
        times.push(match mode {
            1 | 2 => {
                place = place.wrapping_add(steps);
                first.wrapping_add(place.wrapping_mul(step) as i64).wrapping_add(residuals[row])
            }
            3 => before.wrapping_add(steps.wrapping_mul(step) as i64).wrapping_add(residuals[row]),
            _ => {
                distance = distance.wrapping_add(residuals[row]);
                before.wrapping_add(distance)
            }
        });
    }
    rising(times)
}

fn rising(times: Vec<i64>) -> Read<Vec<i64>> {
    if times.is_sorted_by(|a, b| a < b) { Ok(times) } else { Err("times do not rise".into()) }
}

/// Floats, as bits.
pub(crate) fn floats(kind: u8, bytes: &[u8], rows: usize) -> Read<Vec<u64>> {
    match kind {
        0 => packed(bytes, rows),
        6 => xor(bytes, rows),
        _ => Err("no kind of floats".into()),
    }
}

fn turn(bits: i64) -> i64 {
    bits ^ (bits >> 63 & i64::MAX)
}

fn packed(bytes: &[u8], rows: usize) -> Read<Vec<u64>> {
    let mut cursor = Cursor::new(bytes);
    if rows == 0 {
        cursor.end()?;
        return Ok(Vec::new());
    }
    let head = cursor.u8()?;
    let (predictor, form) = (head & 3, head >> 4);
    if head & 8 != 0 || (10..15).contains(&form) {
        return Err("no such head".into());
    }
    let mut exceptions = Vec::new();
    if head & 4 != 0 {
        let mut row = 0_usize;
        for _ in 0..cursor.varint()? {
            row = row.checked_add(cursor.size()?).ok_or("a row overflows")?;
            exceptions.push((row, cursor.u64()?));
        }
    }
    let first = if form == 15 { turn(cursor.u64()? as i64) } else { cursor.signed()? };
    let mut integers = vec![first];
    if predictor == 3 {
        integers.resize(rows, first);
    } else {
        let divisor = cursor.varint()? as i64;
        let (mut slope, mut above) = (0, 0);
        match predictor {
            1 => slope = cursor.signed()?,
            2 => above = cursor.varint()? as i64,
            _ => {}
        }
        let base = first.wrapping_sub(above.wrapping_mul(divisor));
        while integers.len() < rows {
            let count = (rows - integers.len()).min(120);
            for residual in block(&mut cursor, count)? {
                let before = *integers.last().unwrap();
                integers.push(match predictor {
                    2 => base.wrapping_add((residual as i64).wrapping_mul(divisor)),
                    _ => {
                        let units = unzigzag(residual).wrapping_add(slope);
                        before.wrapping_add(units.wrapping_mul(divisor))
                    }
                });
            }
        }
    }
    cursor.end()?;
    let float = |v: &i64| match form {
        0 => (*v as f64).to_bits(),
        15 => turn(*v) as u64,
        _ => (*v as f64 / 10_f64.powi(form.into())).to_bits(),
    };
    let mut values: Vec<u64> = integers.iter().map(float).collect();
    for (row, bits) in exceptions {
        *values.get_mut(row).ok_or("an exception behind the end")? = bits;
    }
    Ok(values)
}

fn block(cursor: &mut Cursor<'_>, count: usize) -> Read<Vec<u64>> {
    let head = cursor.u8()?;
    let width = u64::from(head & 0x7f);
    let (patches, extra) = if head & 0x80 != 0 { (cursor.u8()?, u64::from(cursor.u8()?)) } else { (0, 0) };
    if width + extra > 64 {
        return Err("a residual is too wide".into());
    }
    let mut bits = Bits::new(cursor.rest());
    let mut residuals: Vec<u64> = (0..count).map(|_| bits.take(width)).collect::<Read<_>>()?;
    for _ in 0..patches {
        let (position, high) = (bits.take(7)? as usize, bits.take(extra)?);
        *residuals.get_mut(position).ok_or("a patch behind the end")? |=
            high.checked_shl(width as u32).unwrap_or(0);
    }
    let taken = bits.bytes();
    Bits::new(cursor.take(taken)?);
    Ok(residuals)
}

fn xor(bytes: &[u8], rows: usize) -> Read<Vec<u64>> {
    let mut bits = Bits::new(bytes);
    let mut values = Vec::new();
    let mut window = None;
    for row in 0..rows {
        if row == 0 {
            values.push(bits.take(64)?);
            continue;
        }
        let before = values[row - 1];
        if bits.take(1)? == 0 {
            values.push(before);
            continue;
        }
        if bits.take(1)? == 1 {
            let (leading, length) = (bits.take(5)?, bits.take(6)?);
            window = Some((leading, if length == 0 { 64 } else { length }));
        }
        let (leading, length) = window.ok_or("no window")?;
        let shift = 64_u64.checked_sub(leading + length).ok_or("a window beyond 64 bits")?;
        values.push(before ^ bits.take(length)? << shift);
    }
    bits.end()?;
    Ok(values)
}

/// Samples of one series, as text.
pub(crate) fn samples(kind: u8, bytes: &[u8], rows: usize) -> Read<Vec<String>> {
    if kind != 5 {
        return Ok(floats(kind, bytes, rows)?.into_iter().map(|bits| float_text(bits, 0)).collect());
    }
    let mut cursor = Cursor::new(bytes);
    let mut is_histogram = vec![false; rows];
    let (mut row, count) = (0_usize, cursor.size()?);
    for _ in 0..count {
        row = row.checked_add(cursor.size()?).ok_or("a row overflows")?;
        *is_histogram.get_mut(row).ok_or("a histogram behind the end")? = true;
    }
    let (kind, length) = (cursor.u8()?, cursor.size()?);
    let values = floats(kind, cursor.take(length)?, rows.checked_sub(count).ok_or("too many")?)?;
    let mut starts = Vec::new();
    let mut start = 0_i64;
    for _ in 0..cursor.varint()? {
        let run = cursor.size()?;
        start = start.wrapping_add(cursor.signed()?);
        if run > rows - starts.len() {
            return Err("starts behind the end".into());
        }
        starts.resize(starts.len() + run, start);
    }
    if starts.is_empty() {
        starts.resize(rows, 0);
    }
    if starts.len() != rows {
        return Err("starts do not cover all rows".into());
    }
    let (mut values, mut newest) = (values.into_iter(), None);
    let mut samples = Vec::new();
    for (is_histogram, start) in is_histogram.into_iter().zip(starts) {
        if !is_histogram {
            samples.push(float_text(values.next().ok_or("no float is left")?, start));
            continue;
        }
        match cursor.u8()? {
            0 => newest = Some(histogram(&mut cursor)?),
            1 => {}
            _ => return Err("no such histogram".into()),
        }
        samples.push(format!("{} {start}", newest.as_ref().ok_or("no histogram before")?));
    }
    cursor.end()?;
    Ok(samples)
}

/// A native histogram as text.
pub(crate) fn histogram(cursor: &mut Cursor<'_>) -> Read<String> {
    let hint = cursor.u8()?;
    if hint > 3 {
        return Err("no such hint".into());
    }
    let schema = cursor.signed()?;
    let mut text = format!("histogram {hint} {schema}");
    for _ in 0..4 {
        text.push_str(&format!(" {:016x}", number(cursor)?));
    }
    for _ in 0..2 {
        let spans: Vec<(i64, u64)> =
            (0..cursor.varint()?).map(|_| Ok((cursor.signed()?, cursor.varint()?))).collect::<Read<_>>()?;
        text.push_str(&format!(" {spans:?} {}", numbers(cursor)?));
    }
    text.push_str(&format!(" {}", numbers(cursor)?));
    Ok(text)
}

fn numbers(cursor: &mut Cursor<'_>) -> Read<String> {
    let numbers: Vec<String> =
        (0..cursor.varint()?).map(|_| Ok(format!("{:016x}", number(cursor)?))).collect::<Read<_>>()?;
    Ok(format!("[{}]", numbers.join(" ")))
}

fn number(cursor: &mut Cursor<'_>) -> Read<u64> {
    match cursor.varint()? {
        1 => cursor.u64(),
        odd if odd & 1 == 1 => Err("no such number".into()),
        even => Ok(((even >> 1) as f64).to_bits()),
    }
}
