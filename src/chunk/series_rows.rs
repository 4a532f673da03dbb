//! The recent past of a single series of floats: a byte or less a sample.
//!
//! ```text
//! rows    first   varint   zigzag: the first time
//!         row     the first two
//!         groups  of 16 further samples each, see `group`
//!         row     for each sample that no group has yet
//!
//! row     head    varint   bit 0 clear: the step of time as before, and the rest is zigzag of k less the k before, where
//!                          0 stands for the value as before;  set: the rest is the head of a value, see `samples`, above
//!                          bit 1: the step of time is another than before
//!         change  varint   zigzag: step less the step before, where bit 1 says so; a step that 32 bits do not hold counts
//!                          as 0 for the one that follows
//!         value   what of it stands behind its head
//! ```
//!
//! The first two rows have the whole value and the whole step of time, which would spoil a group.

use super::corrupt;
use super::group::{GROUP, Group, put_group, put_rows};
use super::samples::{LastValue, ToldValue, unscaled};
use crate::codec::varint;
use crate::error::Result;
use crate::model::{SampleBuffer, Window};

/// Rows before the first group.
const LEAD: usize = 2;
/// The longest row: three numbers, or two and a value's bits; and the first time before it.
const ROW_ROOM: usize = 48;

/// Floats of one series, in time order.
#[derive(Clone, Debug)]
pub(crate) struct SeriesRows {
    /// The newest value, in parts: a value of its own would leave half of its room empty.
    bits: u64,
    time: i64,
    /// What is used of it, and room to spare.
    bytes: Box<[u8]>,
    step: u32,
    count: u16,
    spare: u8,
    /// The scale of the newest value; in the high bits 1 more than the scale of [`logged`](Self::logged), 0 without.
    scales: u8,
}

impl Default for SeriesRows {
    fn default() -> Self {
        Self { bits: 0, time: i64::MIN, bytes: Box::default(), step: 0, count: 0, spare: 0, scales: 0 }
    }
}

/// A step of time as the one that follows sees it.
fn short(step: i64) -> u32 {
    u32::try_from(step).unwrap_or(0)
}

/// So much room for what has this length: what an allocator with a word of its own for every 16 bytes wastes none of.
fn room_for(length: usize) -> usize {
    length.saturating_sub(8).next_multiple_of(16).saturating_add(8)
}

/// A row on its way into the bytes.
struct Row {
    bytes: [u8; ROW_ROOM],
    length: usize,
}

impl Row {
    #[inline]
    fn put(&mut self, value: u64) {
        let (bytes, length) = varint::bytes(value);
        self.put_bytes(bytes);
        self.length = self.length.saturating_sub(bytes.len().saturating_sub(length));
    }

    #[inline]
    fn put_bytes<const N: usize>(&mut self, bytes: [u8; N]) {
        let room = self.bytes.get_mut(self.length..).and_then(|room| room.first_chunk_mut::<N>());
        if let Some(room) = room {
            *room = bytes;
            self.length = self.length.saturating_add(N);
        }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl SeriesRows {
    /// Takes the samples out. Newest value and time stay, and what the log tells.
    pub(crate) fn take_samples(&mut self) -> Self {
        let mut taken = Self::default();
        std::mem::swap(&mut taken, self);
        (self.bits, self.time, self.scales) = (taken.bits, taken.time, taken.scales);
        let mut bytes = taken.take_bytes();
        bytes.shrink_to_fit();
        taken.put_back(bytes);
        taken
    }

    /// The used bytes, with room to spare.
    fn take_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::from(std::mem::take(&mut self.bytes));
        bytes.truncate(bytes.len().saturating_sub(usize::from(self.spare)));
        bytes
    }

    fn put_back(&mut self, mut bytes: Vec<u8>) {
        let used = bytes.len();
        let spare = u8::try_from(bytes.capacity().saturating_sub(used)).unwrap_or(u8::MAX);
        bytes.resize(used.saturating_add(usize::from(spare)), 0);
        self.spare = spare;
        self.bytes = bytes.into();
    }

    fn used(&self) -> &[u8] {
        let length = self.bytes.len().saturating_sub(usize::from(self.spare));
        self.bytes.get(..length).unwrap_or_default()
    }

    /// Appends a sample later than all before it, at most 65,535 of them.
    pub(crate) fn push(&mut self, time: i64, value: f64) {
        let mut row = Row { bytes: [0; ROW_ROOM], length: 0 };
        if self.count == 0 {
            (self.bits, self.time, self.step) = (0, time, 0);
            self.scales &= 0xf0;
            row.put(varint::zigzag(time));
        }
        let step = time.wrapping_sub(self.time);
        let change = step.wrapping_sub(i64::from(self.step));
        let mut last = LastValue { bits: self.bits, scale: self.scales & 0xf };
        match (last.tell(value), change) {
            (ToldValue::Same, 0) => row.put(0),
            (ToldValue::Step(more), 0) if more != 0 => row.put(varint::zigzag(more) << 1),
            (told, change) => {
                row.put(told.head() << 2 | u64::from(change != 0) << 1 | 1);
                if change != 0 {
                    row.put(varint::zigzag(change));
                }
                match told {
                    ToldValue::Same | ToldValue::Step(_) => {}
                    ToldValue::Scaled(_, k) => row.put(varint::zigzag(k)),
                    ToldValue::Bits(bits) => row.put_bytes(bits.to_le_bytes()),
                }
            }
        }
        let row = row.bytes();
        let mut bytes = self.take_bytes();
        if bytes.capacity().saturating_sub(bytes.len()) < row.len() {
            let room = room_for(bytes.len().saturating_add(row.len()));
            bytes.reserve_exact(room.saturating_sub(bytes.len()));
        }
        bytes.extend_from_slice(row);
        (self.bits, self.scales) = (last.bits, self.scales & 0xf0 | last.scale);
        (self.time, self.step) = (time, short(step));
        self.count = self.count.saturating_add(1);
        let grouped = usize::from(self.count).saturating_sub(LEAD);
        if grouped > 0 && grouped.is_multiple_of(GROUP) {
            end_group(&mut bytes, grouped / GROUP);
        }
        self.put_back(bytes);
    }

    /// Time and bits of the newest sample, which may have been taken out.
    pub(crate) fn last(&self) -> Option<(i64, u64)> {
        (self.time > i64::MIN).then_some((self.time, self.bits))
    }

    /// At which scale a log tells the next value relative to the newest one, as whoever holds the rows has noted it.
    pub(crate) fn logged(&self) -> Option<u8> {
        (self.scales >> 4).checked_sub(1)
    }

    /// Notes a scale of at most 9.
    pub(crate) fn set_logged(&mut self, scale: Option<u8>) {
        let noted = scale.map_or(0, |scale| scale.wrapping_add(1));
        self.scales = self.scales & 0xf | noted << 4;
    }

    pub(crate) fn count(&self) -> u32 {
        u32::from(self.count)
    }

    /// First and last time; `None` without a sample.
    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        let first = if self.count > 0 { varint::take_signed(&mut self.used()) } else { None };
        Some((first?, self.time))
    }

    pub(crate) fn byte_size(&self) -> usize {
        self.bytes.len().saturating_add(size_of::<Self>())
    }

    /// Appends the samples inside the window.
    pub(crate) fn read(&self, window: Window, into: &mut SampleBuffer) -> Result<()> {
        if self.count == 0 || self.time <= window.after.as_millis() {
            return Ok(());
        }
        self.visit(window, into).ok_or_else(|| corrupt("a sample does not decode"))
    }

    fn visit(&self, window: Window, into: &mut SampleBuffer) -> Option<()> {
        let (after, until) = (window.after.as_millis(), window.until.as_millis());
        let mut bytes = self.used();
        let mut reader = Reader::new(&mut bytes)?;
        let mut left = usize::from(self.count);
        // Whether to go on.
        let mut each = |reader: &Reader| {
            if reader.time > after && reader.time <= until {
                into.push_float(reader.time, f64::from_bits(reader.bits), 0);
            }
            reader.time < until
        };
        for _ in 0..left.min(LEAD) {
            reader.row(&mut bytes)?;
            if !each(&reader) {
                return Some(());
            }
        }
        left = left.saturating_sub(LEAD);
        for _ in 0..left / GROUP {
            match Group::take(&mut bytes)? {
                Group::Steps(mut steps) => {
                    for _ in 0..GROUP {
                        reader.step(steps.next()?)?;
                        if !each(&reader) {
                            return Some(());
                        }
                    }
                }
                Group::Rows(mut rows) => {
                    for _ in 0..GROUP {
                        reader.row(&mut rows)?;
                        if !each(&reader) {
                            return Some(());
                        }
                    }
                }
            }
        }
        for _ in 0..left % GROUP {
            reader.row(&mut bytes)?;
            if !each(&reader) {
                return Some(());
            }
        }
        Some(())
    }
}

/// Makes a group of the rows behind those that are in groups, so many with the new one.
fn end_group(bytes: &mut Vec<u8>, groups: usize) {
    let Some((length, start, group)) = group_of(bytes, groups) else { return };
    let rows = bytes.get(start..length).unwrap_or_default();
    let mut told = Vec::with_capacity(rows.len().saturating_add(4));
    let is_group = match &group {
        Some((steps, changes)) => put_group(steps, changes, rows.len(), &mut told),
        None => false,
    };
    if !is_group {
        put_rows(rows, &mut told);
    }
    bytes.truncate(start);
    bytes.reserve_exact(told.len());
    bytes.extend_from_slice(&told);
    bytes.shrink_to(room_for(bytes.len()));
}

type Steps = ([i64; GROUP], [i64; GROUP]);

/// Where all ends, where the rows without a group start, and what they are as steps; `None` inside if they are no steps.
fn group_of(bytes: &[u8], groups: usize) -> Option<(usize, usize, Option<Steps>)> {
    let mut rest = bytes;
    let mut reader = Reader::new(&mut rest)?;
    for _ in 0..LEAD {
        reader.row(&mut rest)?;
    }
    for _ in 1..groups {
        Group::take(&mut rest)?;
    }
    let start = bytes.len().checked_sub(rest.len())?;
    let (mut steps, mut changes) = ([0; GROUP], [0; GROUP]);
    for (step, change) in steps.iter_mut().zip(&mut changes) {
        let row = take_row(&mut rest)?;
        match row.told {
            ToldValue::Same => {}
            ToldValue::Step(more) if more != 0 => *step = more,
            _ => return Some((bytes.len(), start, None)),
        }
        *change = row.change;
    }
    Some((bytes.len(), start, Some((steps, changes))))
}

/// What a row says.
struct TakenRow {
    told: ToldValue,
    change: i64,
}

/// Takes a row from the front of `bytes`. `None`: damaged.
#[inline]
fn take_row(bytes: &mut &[u8]) -> Option<TakenRow> {
    let head = varint::take(bytes)?;
    if head & 1 == 0 {
        let told = if head == 0 { ToldValue::Same } else { ToldValue::Step(varint::unzigzag(head >> 1)) };
        return Some(TakenRow { told, change: 0 });
    }
    let change = if head & 2 != 0 { varint::take_signed(bytes)? } else { 0 };
    let told = match head >> 2 & 3 {
        0 => ToldValue::Same,
        1 => ToldValue::Step(varint::unzigzag(head >> 4)),
        2 => ToldValue::Scaled(u8::try_from(head >> 4).ok()?, varint::take_signed(bytes)?),
        _ => {
            let (bits, rest) = bytes.split_first_chunk::<8>()?;
            *bytes = rest;
            ToldValue::Bits(u64::from_le_bytes(*bits))
        }
    };
    Some(TakenRow { told, change })
}

/// The sample that reading has come to.
struct Reader {
    bits: u64,
    scale: u8,
    k: i64,
    time: i64,
    step: i64,
}

impl Reader {
    /// Before the first sample.
    fn new(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self { bits: 0, scale: 0, k: 0, time: varint::take_signed(bytes)?, step: 0 })
    }

    #[inline]
    fn row(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let TakenRow { told, change } = take_row(bytes)?;
        self.pass(change);
        match told {
            ToldValue::Same => {}
            ToldValue::Step(more) => self.set(self.k.wrapping_add(more))?,
            ToldValue::Scaled(scale, k) => {
                self.scale = scale;
                self.set(k)?;
            }
            ToldValue::Bits(bits) => (self.bits, self.k) = (bits, 0),
        }
        Some(())
    }

    /// A sample of a group.
    #[inline]
    fn step(&mut self, (more, change): (i64, i64)) -> Option<()> {
        self.pass(change);
        if more != 0 { self.set(self.k.wrapping_add(more)) } else { Some(()) }
    }

    #[inline]
    fn pass(&mut self, change: i64) {
        let step = self.step.wrapping_add(change);
        self.time = self.time.wrapping_add(step);
        self.step = i64::from(short(step));
    }

    #[inline]
    fn set(&mut self, k: i64) -> Option<()> {
        self.k = k;
        self.bits = unscaled(k, self.scale)?.to_bits();
        Some(())
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use proptest::prelude::*;

    fn check(samples: &[(i64, u64)], window: Window) -> usize {
        let mut rows = SeriesRows::default();
        for (time, bits) in samples {
            rows.push(*time, f64::from_bits(*bits));
        }
        let taken = rows.take_samples();
        assert_eq!((rows.count(), taken.count() as usize), (0, samples.len()));
        let mut read = SampleBuffer::default();
        taken.read(window, &mut read).unwrap();
        let got: Vec<(i64, u64)> =
            read.times.into_iter().zip(read.values.into_iter().map(f64::to_bits)).collect();
        let inside = |time: i64| window.after.as_millis() < time && time <= window.until.as_millis();
        assert_eq!(got, samples.iter().copied().filter(|(time, _)| inside(*time)).collect::<Vec<_>>());
        taken.bytes.len()
    }

    proptest! {
        #[test]
        fn any_samples_come_back(
            samples in proptest::collection::vec((1_i64..1 << 40, 0_u8..6, any::<u64>()), 1..150),
            kinds in 1_u8..7,
            after in 0_i64..1 << 44,
        ) {
            let (mut time, mut value) = (-(1_i64 << 40), 0.0_f64);
            let samples: Vec<(i64, u64)> = samples
                .iter()
                .map(|(step, kind, bits)| {
                    // With few kinds groups are steps, with all of them most are rows.
                    let kind = kind % kinds;
                    time += if kind < 3 { 15_000 } else { *step };
                    value = match kind {
                        0 => value,
                        1 | 3 => value + (bits & 0xff) as f64,
                        2 => (bits & 0xfffff) as f64 / 1000.0,
                        _ => f64::from_bits(*bits),
                    };
                    (time, value.to_bits())
                })
                .collect();
            check(&samples, Window::ALL);
            check(&samples, Window::new(Timestamp::from_millis(after), Timestamp::MAX));
        }
    }

    #[test]
    fn extreme_times_and_values_come_back() {
        let values = [
            0.0,
            -0.0,
            f64::NAN,
            f64::INFINITY,
            f64::MIN,
            f64::MAX,
            5e-324,
            9_007_199_254_740_992.0,
            -9_007_199_254_740_992.0,
            0.1,
            1e9,
        ];
        let samples: Vec<(i64, u64)> = values
            .iter()
            .enumerate()
            .map(|(index, value)| (i64::MAX - 100 + index as i64, value.to_bits()))
            .collect();
        check(&samples, Window::ALL);
        check(&[(i64::MIN + 1, 1), (i64::MAX, 2)], Window::ALL);
    }

    #[test]
    fn a_counter_takes_a_byte_or_two_and_a_decimal_no_more() {
        let counter: Vec<(i64, u64)> =
            (0..100_i64).map(|i| (i * 15_000, ((i * 7) as f64).to_bits())).collect();
        assert!(check(&counter, Window::ALL) <= 110);
        let decimal: Vec<(i64, u64)> =
            (0..100_i64).map(|i| (i * 15_000, ((i * 7) as f64 / 100.0).to_bits())).collect();
        assert!(check(&decimal, Window::ALL) <= 120);
    }
}
