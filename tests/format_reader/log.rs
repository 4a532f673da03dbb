//! Files of the log.

use super::body::histogram;
use super::bytes::unzigzag;
use super::tables::Layout;
use super::{Cursor, Found, Pairs, Read, Tombstone, float_text, labels_text, salted};

struct Frame<'a> {
    sequence: u64,
    durable: u64,
    kind: u8,
    payload: &'a [u8],
    length: usize,
}

fn frame(bytes: &[u8], salt: u64) -> Read<Frame<'_>> {
    let mut cursor = Cursor::new(bytes);
    let (length, sequence, durable) = (cursor.u32()? as usize, cursor.u64()?, cursor.u64()?);
    let (kind, checksum) = (cursor.u8()?, cursor.u32()?);
    if length > 256 << 20 || !(1..=4).contains(&kind) {
        return Err("no frame".into());
    }
    let payload = cursor.take(length)?;
    if salted(salt, &[&bytes[..21], payload]) != checksum {
        return Err("a frame does not verify".into());
    }
    Ok(Frame { sequence, durable, kind, payload, length: 25 + length })
}

pub(crate) fn read(
    bytes: &[u8],
    salt: u64,
    first: u64,
    end: Option<(u64, u64)>,
    found: &mut Found,
) -> Read<()> {
    let bytes = match end {
        Some((length, _)) => bytes.get(..length as usize).ok_or("the file is too short")?,
        None => bytes,
    };
    let (mut at, mut next) = (40, first);
    let mut numbers = Numbers::default();
    while let Ok(frame) = frame(&bytes[at..], salt) {
        if frame.sequence != next {
            break;
        }
        *found.frames.entry(frame.kind).or_default() += 1;
        if frame.kind == 3 {
            numbers = Numbers::default();
        }
        if frame.kind == 4 {
            let tombstone = Tombstone::read(frame.payload)?;
            found.content.retain(|labels, samples| {
                samples.retain(|time, _| !tombstone.hides(labels, *time));
                !samples.is_empty()
            });
        } else if frame.kind != 2 {
            batch(frame.payload, &mut numbers, found)
                .map_err(|wrong| format!("batch {}: {wrong}", frame.sequence))?;
        }
        at += frame.length;
        next += 1;
    }
    if let Some((_, behind)) = end {
        return if at == bytes.len() && next == behind { Ok(()) } else { Err("frames are missing".into()) };
    }
    for offset in at..bytes.len() {
        if let Ok(frame) = frame(&bytes[offset..], salt)
            && (next..next + (1 << 40)).contains(&frame.sequence)
            && frame.durable >= next
        {
            return Err(format!("frame {next} was durable"));
        }
    }
    found.torn += bytes.len() - at;
    Ok(())
}

#[derive(Default)]
struct Numbers {
    symbols: Vec<String>,
    layouts: Vec<Layout>,
    items: Vec<Item>,
}

struct Item {
    labels: Pairs,
    is_histogram: bool,
    layout: Option<usize>,
    row: Row,
    float: Float,
}

/// The newest row.
#[derive(Clone)]
enum Row {
    None,
    /// What each bucket has of its own, and the sum.
    Whole(Vec<u64>, f64),
    Any(Vec<Option<u64>>),
}

#[derive(Clone, Copy, Default)]
struct Float {
    value: f64,
    scale: u32,
}

impl Numbers {
    fn symbol(&mut self, cursor: &mut Cursor<'_>) -> Read<String> {
        let number = cursor.size()?;
        if number == 0 {
            self.symbols.push(cursor.text()?);
            return Ok(self.symbols.last().unwrap().clone());
        }
        Ok(self.symbols.get(number - 1).ok_or("no such symbol")?.clone())
    }

    fn definition(&mut self, cursor: &mut Cursor<'_>) -> Read<()> {
        let kind = cursor.u8()?;
        match kind {
            0 => {
                let layout = Layout::read(cursor, |cursor| self.symbol(cursor))?;
                self.layouts.push(layout);
            }
            1..=3 => {
                let mut labels = Pairs::new();
                for _ in 0..cursor.varint()? {
                    labels.push((self.symbol(cursor)?, self.symbol(cursor)?));
                }
                if !labels.is_sorted_by(|a, b| a.0 < b.0) {
                    return Err("names do not rise".into());
                }
                self.items.push(Item {
                    labels,
                    is_histogram: kind == 2,
                    layout: None,
                    row: Row::None,
                    float: Float::default(),
                });
            }
            _ => return Err("no kind of definition".into()),
        }
        Ok(())
    }
}

fn batch(payload: &[u8], numbers: &mut Numbers, found: &mut Found) -> Read<()> {
    let mut cursor = Cursor::new(payload);
    for _ in 0..cursor.varint()? {
        numbers.definition(&mut cursor)?;
    }
    let (mut expected, mut time) = (0_i64, 0_i64);
    while !cursor.is_empty() {
        let head = cursor.varint()?;
        let number = expected.checked_add(unzigzag(head >> 3)).ok_or("an item overflows")?;
        expected = number + 1;
        let form = head & 7;
        if form != 0 && form != 3 {
            time = time.checked_add(cursor.signed()?).ok_or("a time overflows")?;
        }
        let item = usize::try_from(number).ok().and_then(|number| numbers.items.get_mut(number));
        let item = item.ok_or("no such item")?;
        match form {
            0..=2 => {
                if form == 2 {
                    item.layout = Some(cursor.size()?);
                    item.row = Row::None;
                    found.count("layout");
                }
                let layout = item.layout.and_then(|layout| numbers.layouts.get(layout));
                let layout = layout.filter(|_| item.is_histogram).ok_or("no layout")?;
                item.row.take(&mut cursor, layout, found)?;
                for (column, value) in item.row.values(layout).into_iter().enumerate() {
                    if let Some(bits) = value {
                        let labels = labels_text(&layout.series(&item.labels, column));
                        found.add(&labels, time, float_text(bits, 0));
                    }
                }
            }
            3..=5 => {
                if form == 5 {
                    item.float = Float::default();
                }
                item.float.take(&mut cursor, found)?;
                let value = float_text(item.float.value.to_bits(), 0);
                found.add(&labels_text(&item.labels), time, value);
            }
            6 => {
                item.float = Float::default();
                let start = cursor.signed()?;
                let value = match cursor.u8()? {
                    0 => float_text(cursor.u64()?, start),
                    1 => format!("{} {start}", histogram(&mut cursor)?),
                    _ => return Err("no kind of sample".into()),
                };
                found.count("other");
                found.add(&labels_text(&item.labels), time, value);
            }
            7 => {
                let start = cursor.signed()?;
                found.count("late");
                match cursor.u8()? {
                    0 => {
                        let value = float_text(cursor.u64()?, start);
                        found.add(&labels_text(&item.labels), time, value);
                    }
                    1 => {
                        let value = format!("{} {start}", histogram(&mut cursor)?);
                        found.add(&labels_text(&item.labels), time, value);
                    }
                    2 if start == 0 && item.is_histogram => {
                        found.count("late row");
                        let layout = numbers.layouts.get(cursor.size()?).ok_or("no layout")?;
                        let mut row = Row::None;
                        row.take(&mut cursor, layout, found)?;
                        for (column, value) in row.values(layout).into_iter().enumerate() {
                            if let Some(bits) = value {
                                let labels = labels_text(&layout.series(&item.labels, column));
                                found.add(&labels, time, float_text(bits, 0));
                            }
                        }
                    }
                    _ => return Err("no kind of late sample".into()),
                }
            }
            _ => return Err("no form of entry".into()),
        }
    }
    Ok(())
}

impl Row {
    fn take(&mut self, cursor: &mut Cursor<'_>, layout: &Layout, found: &mut Found) -> Read<()> {
        let head = cursor.varint()?;
        match head {
            0 => {
                let sort = cursor.u8()?;
                *self = match sort {
                    0 if layout.buckets() > 0 => {
                        let own = (0..layout.buckets()).map(|_| cursor.varint()).collect::<Read<_>>()?;
                        let sum = if layout.has_sum() { f64::from_bits(cursor.u64()?) } else { 0.0 };
                        found.count("whole row");
                        Self::Whole(own, sum)
                    }
                    1 => {
                        let there = cursor.mask(layout.columns.len())?;
                        let mut values = Vec::new();
                        for there in there {
                            values.push(if there { Some(cursor.u64()?) } else { None });
                        }
                        found.count("any row");
                        Self::Any(values)
                    }
                    _ => return Err("no form of row".into()),
                };
                return Ok(());
            }
            1 => {
                found.count("same row");
                return if matches!(self, Self::None) { Err("no row before".into()) } else { Ok(()) };
            }
            _ => {}
        }
        let Self::Whole(own, sum) = self else { return Err("no whole row before".into()) };
        let total = head - 1;
        let mut add = |bucket: usize, more: u64| {
            let own = own.get_mut(bucket).ok_or("no such bucket")?;
            *own = own.checked_add(more).ok_or("a count overflows")?;
            Read::Ok(())
        };
        found.count("observations");
        if total == 1 {
            add(cursor.size()?, 1)?;
        } else {
            let mut set = Vec::new();
            for word in 0..layout.buckets().div_ceil(64) {
                let mask = cursor.varint()?;
                set.extend((0..64).filter(|bit| mask >> bit & 1 == 1).map(|bit| word * 64 + bit));
            }
            let (last, before) = set.split_last().ok_or("an empty mask")?;
            let mut left = total;
            for bucket in before {
                let more = cursor.varint()?;
                left = left.checked_sub(more).filter(|_| more > 0).ok_or("too many")?;
                add(*bucket, more)?;
            }
            add(*last, left)?;
            if left == 0 {
                return Err("nothing is left".into());
            }
        }
        if layout.has_sum() {
            let widest =
                layout.bounds.iter().filter(|bound| bound.is_finite()).fold(0.0, |a: f64, b| a.max(*b));
            let scale = if widest < 500.0 { 1e9 } else { 1e6 };
            let (k, r) = (cursor.signed()?, cursor.signed()?);
            *sum = f64::from_bits((*sum + k as f64 / scale).to_bits().wrapping_add(r as u64));
        }
        Ok(())
    }

    fn values(&self, layout: &Layout) -> Vec<Option<u64>> {
        match self {
            Self::None => Vec::new(),
            Self::Any(values) => values.clone(),
            Self::Whole(own, sum) => {
                let mut values = Vec::new();
                let mut total = 0_u64;
                for own in own {
                    total = total.wrapping_add(*own);
                    values.push(Some((total as f64).to_bits()));
                }
                values.extend(layout.has_count().then_some(Some((total as f64).to_bits())));
                values.extend(layout.has_sum().then_some(Some(sum.to_bits())));
                values
            }
        }
    }
}

impl Float {
    fn k(self) -> i64 {
        let power = 10_f64.powi(self.scale as i32);
        let k = (self.value * power).round();
        let exact =
            k.abs() <= 9_007_199_254_740_992.0 && (k as i64 as f64 / power).to_bits() == self.value.to_bits();
        if exact { k as i64 } else { 0 }
    }

    fn take(&mut self, cursor: &mut Cursor<'_>, found: &mut Found) -> Read<()> {
        let head = cursor.varint()?;
        if head & 1 == 1 {
            return Err("bit 0 of a float is set".into());
        }
        let rest = head >> 3;
        match head >> 1 & 3 {
            0 => found.count("float 0"),
            1 => {
                found.count("float 1");
                let k = self.k().checked_add(unzigzag(rest)).ok_or("k overflows")?;
                self.value = k as f64 / 10_f64.powi(self.scale as i32);
            }
            2 => {
                found.count("float 2");
                self.scale = u32::try_from(rest).ok().filter(|scale| *scale < 10).ok_or("no scale")?;
                self.value = cursor.signed()? as f64 / 10_f64.powi(self.scale as i32);
            }
            _ => {
                found.count("float 3");
                self.value = f64::from_bits(cursor.u64()?);
            }
        }
        Ok(())
    }
}
