//! The samples of one single series: chunks that are full, and a tail that grows.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::chunk::{
    Chunk, Hidden, LastValue, Masked, PackedSamples, SeriesRows, columns_range, floats_size, histogram_size,
    touches,
};
use crate::error::Result;
use crate::model::{Sample, SampleBuffer, SampleValue, Timestamp, Window};

use super::{CHUNK_ROWS, Taken, duplicate, out_of_order};

/// A single series' samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeriesHead {
    /// The newest samples, if they are floats without start times. Notes at which scale the log tells the next float relative to
    /// the newest one; without, it tells it relative to 0.
    tail: SeriesRows,
    /// What most series have not.
    more: Option<Box<More>>,
}

#[derive(Clone, Debug, Default)]
struct More {
    full: Vec<Chunk>,
    full_bytes: usize,
    /// The newest samples, if they may be anything.
    columns: Option<Box<SampleBuffer>>,
    /// What the histograms in there hold: a walk over them at every sample would take longer with each.
    histogram_bytes: usize,
    /// The newest sample, where it is no plain float in the tail.
    newest: Option<Box<Newest>>,
}

/// The newest sample of a series: what decides whether a next one is taken.
#[derive(Clone, Debug)]
pub(crate) enum Newest {
    None,
    Float(i64, u64),
    Other(Box<Sample>),
    /// Known by its time only.
    At(i64),
}

impl Newest {
    pub(crate) fn time(&self) -> Option<i64> {
        match self {
            Self::None => None,
            Self::Float(time, _) | Self::At(time) => Some(*time),
            Self::Other(sample) => Some(sample.timestamp.as_millis()),
        }
    }

    /// What becomes of a sample that comes next.
    ///
    /// # Errors
    ///
    /// [`OutOfOrder`](crate::ErrorKind::OutOfOrder): it is older, or another one of the same time.
    pub(crate) fn check(&self, sample: &Sample) -> Result<Taken> {
        let time = sample.timestamp.as_millis();
        let Some(last) = self.time() else { return Ok(Taken::New) };
        if time > last {
            return Ok(Taken::New);
        }
        if time < last {
            return Err(out_of_order(sample.timestamp, Timestamp::from_millis(last)));
        }
        let same = match (self, &sample.value) {
            (Self::Float(_, bits), SampleValue::Float(value)) => {
                sample.start.is_none() && value.to_bits() == *bits
            }
            (Self::Other(last), _) => same_bits(sample, last),
            _ => false,
        };
        if same { Ok(Taken::Duplicate) } else { Err(duplicate(sample.timestamp)) }
    }

    /// This sample is the newest from here on.
    pub(crate) fn set(&mut self, sample: &Sample) {
        *self = match (&sample.value, sample.start) {
            (SampleValue::Float(value), None) => Self::Float(sample.timestamp.as_millis(), value.to_bits()),
            _ => Self::Other(Box::new(sample.clone())),
        };
    }
}

impl SeriesHead {
    pub(crate) fn newest(&self) -> Newest {
        match self.more.as_ref().and_then(|more| more.newest.as_ref()) {
            Some(newest) => (**newest).clone(),
            None => self.tail.last().map_or(Newest::None, |(time, bits)| Newest::Float(time, bits)),
        }
    }

    /// The time of the newest sample.
    pub(crate) fn last_time(&self) -> Option<i64> {
        match self.more.as_ref().and_then(|more| more.newest.as_ref()) {
            Some(newest) => newest.time(),
            None => self.tail.last().map(|(time, _)| time),
        }
    }

    /// Whether a sample of this time may be the next one that a log tells. Of a series whose newest sample was deleted that may
    /// be any: who wrote the log may have let go of the head, and of that time with it.
    pub(crate) fn may_follow(&self, time: i64) -> bool {
        let newest = self.more.as_ref().and_then(|more| more.newest.as_deref());
        self.last_time().is_none_or(|last| time > last) || matches!(newest, Some(Newest::At(_)))
    }

    /// What the log tells the next float relative to.
    pub(crate) fn logged(&self) -> LastValue {
        let Some(scale) = self.tail.logged() else { return LastValue::default() };
        let newest = self.more.as_ref().and_then(|more| more.newest.as_ref());
        let bits = match newest.map(|newest| &**newest) {
            Some(Newest::Float(_, bits)) => *bits,
            Some(Newest::Other(sample)) => match sample.value {
                SampleValue::Float(value) => value.to_bits(),
                SampleValue::Histogram(_) => 0,
            },
            Some(Newest::None | Newest::At(_)) => return LastValue::default(),
            None => self.tail.last().map_or(0, |(_, bits)| bits),
        };
        LastValue { bits, scale }
    }

    /// Appends a sample that is later than all before it. `logged`: what the log tells the next float relative to, the
    /// sample's value or 0.
    pub(crate) fn append(&mut self, sample: Sample, logged: LastValue) {
        let is_newest = matches!(sample.value, SampleValue::Float(value) if value.to_bits() == logged.bits);
        self.tail.set_logged(is_newest.then_some(logged.scale));
        let is_plain = matches!(sample.value, SampleValue::Float(_)) && sample.start.is_none();
        let in_columns = self.more.as_ref().is_some_and(|more| more.columns.is_some());
        match sample.value {
            SampleValue::Float(value) if is_plain && !in_columns => {
                self.tail.push(sample.timestamp.as_millis(), value);
                if let Some(more) = &mut self.more {
                    more.newest = None;
                }
            }
            _ => {
                if !in_columns {
                    self.finish_tail();
                }
                let more = self.more.get_or_insert_default();
                if let SampleValue::Histogram(histogram) = &sample.value {
                    more.histogram_bytes = more.histogram_bytes.saturating_add(histogram_size(histogram));
                }
                push(more.columns.get_or_insert_default(), &sample);
                more.newest = Some(Box::new(Newest::Other(Box::new(sample))));
            }
        }
        if self.tail_count() >= CHUNK_ROWS {
            self.finish_tail();
        }
    }

    fn columns(&self) -> Option<&SampleBuffer> {
        self.more.as_ref()?.columns.as_deref()
    }

    fn full(&self) -> &[Chunk] {
        self.more.as_ref().map_or(&[], |more| &more.full)
    }

    fn tail_count(&self) -> usize {
        self.columns().map_or(self.tail.count() as usize, SampleBuffer::len)
    }

    fn finish_tail(&mut self) {
        let columns = self.more.as_mut().and_then(|more| {
            more.histogram_bytes = 0;
            more.columns.take()
        });
        let chunk = match columns {
            Some(columns) => Chunk::Columns(Arc::new(*columns)),
            None if self.tail.count() == 0 => return,
            None => Chunk::Samples(Arc::new(self.tail.take_samples())),
        };
        self.more.get_or_insert_default().add_full(chunk);
    }

    /// The chunks that touch the window in time order, the tail as it is.
    pub(crate) fn chunks(&self, window: Window) -> impl Iterator<Item = Chunk> + '_ {
        let tail = match self.columns() {
            _ if !touches(self.tail_range(), window) => None,
            None => Some(Chunk::Samples(Arc::new(self.tail.clone()))),
            Some(columns) => Some(Chunk::Columns(Arc::new(columns.clone()))),
        };
        let full = self.full().iter().filter(move |chunk| touches(chunk.time_range(), window));
        full.cloned().chain(tail)
    }

    /// First and last time of what is held here.
    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        let full = self.full().first().and_then(|chunk| chunk.time_range());
        let last = self.full().last().and_then(|chunk| chunk.time_range());
        let tail = self.tail_range();
        Some((full.or(tail)?.0, tail.or(last)?.1))
    }

    /// Forgets full chunks that end at `until` or before.
    pub(crate) fn forget(&mut self, until: i64) {
        let Some(more) = &mut self.more else { return };
        more.full.retain(|chunk| chunk.time_range().is_some_and(|(_, last)| last > until));
        more.full_bytes = full_sizes(&more.full);
        if more.full.is_empty() {
            more.full = Vec::new();
            if more.columns.is_none() && more.newest.is_none() {
                self.more = None;
            }
        }
    }

    /// Whether there is a full chunk that ends at `until` or before.
    pub(crate) fn can_forget(&self, until: i64) -> bool {
        self.full().first().and_then(|chunk| chunk.time_range()).is_some_and(|(_, last)| last <= until)
    }

    /// Takes out what is hidden. The next sample has to be later than the newest one all the same, and is told relative to 0
    /// if that is hidden.
    pub(crate) fn hide(&mut self, hidden: &Hidden) {
        if self.tail_range().is_some_and(|range| hidden.touches(range)) {
            self.finish_tail();
        }
        if let Some(time) = self.last_time().filter(|time| hidden.touches((*time, *time))) {
            self.set_last_time(time);
        }
        let Some(more) = &mut self.more else { return };
        let full = more.full.drain(..);
        let left = full.filter_map(|chunk| Masked::without(chunk, SmallVec::from_iter([hidden.clone()])));
        more.full = left.collect();
        more.full_bytes = full_sizes(&more.full);
    }

    /// The next sample has to be later than this.
    pub(super) fn set_last_time(&mut self, time: i64) {
        self.tail.set_logged(None);
        self.more.get_or_insert_default().newest = Some(Box::new(Newest::At(time)));
    }

    fn tail_range(&self) -> Option<(i64, i64)> {
        self.columns().map_or_else(|| self.tail.time_range(), columns_range)
    }

    /// Bytes of memory, those of the head itself included.
    pub(crate) fn byte_size(&self) -> usize {
        let around = const { size_of::<Self>().saturating_sub(size_of::<SeriesRows>()) };
        let more = self.more.as_ref().map_or(0, |more| more.byte_size());
        self.tail.byte_size().saturating_add(around).saturating_add(more)
    }
}

impl More {
    /// The chunk before stays for long, as nobody has sealed it: it is packed.
    fn add_full(&mut self, chunk: Chunk) {
        if let Some(before) = self.full.last_mut()
            && let Chunk::Samples(rows) = before
            && let Some(packed) = PackedSamples::of(rows)
        {
            self.full_bytes = self.full_bytes.saturating_sub(before.byte_size());
            *before = Chunk::Packed(Arc::new(packed));
            self.full_bytes = self.full_bytes.saturating_add(before.byte_size());
        }
        self.full_bytes = self.full_bytes.saturating_add(chunk.byte_size());
        if self.full.is_empty() {
            self.full.reserve_exact(1);
        }
        self.full.push(chunk);
    }

    fn byte_size(&self) -> usize {
        let columns = self.columns.as_ref().map_or(0, |columns| {
            let floats = floats_size(columns).saturating_add(size_of::<SampleBuffer>());
            floats.saturating_add(self.histogram_bytes)
        });
        let newest =
            self.newest.as_ref().map_or(0, |_| size_of::<Newest>().saturating_add(size_of::<Sample>()));
        let full = self.full.capacity().saturating_mul(size_of::<Chunk>()).saturating_add(self.full_bytes);
        columns.saturating_add(newest).saturating_add(full).saturating_add(size_of::<Self>())
    }
}

/// Bytes that full chunks hold.
pub(super) fn full_sizes(chunks: &[Chunk]) -> usize {
    chunks.iter().map(Chunk::byte_size).fold(0, usize::saturating_add)
}

pub(super) fn push(columns: &mut SampleBuffer, sample: &Sample) {
    let time = sample.timestamp.as_millis();
    let start = sample.start.map_or(0, Timestamp::as_millis);
    match &sample.value {
        SampleValue::Float(value) => columns.push_float(time, *value, start),
        SampleValue::Histogram(histogram) => columns.histograms.push((time, histogram.clone(), start)),
    }
}

pub(crate) fn same_bits(a: &Sample, b: &Sample) -> bool {
    a.start == b.start
        && match (&a.value, &b.value) {
            (SampleValue::Float(a), SampleValue::Float(b)) => a.to_bits() == b.to_bits(),
            (SampleValue::Histogram(a), SampleValue::Histogram(b)) => a.same_bits(b),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::columns_size;
    use crate::model::NativeHistogram;

    #[test]
    fn the_size_that_is_kept_is_the_one_that_a_walk_finds() {
        let mut head = SeriesHead::default();
        let mut walked = 0;
        for time in 0..300_i64 {
            let histogram = NativeHistogram {
                positive_buckets: vec![1.0; time.rem_euclid(7) as usize],
                ..NativeHistogram::default()
            };
            let value = match time % 5 {
                0 => SampleValue::Float(time as f64),
                _ => SampleValue::Histogram(Arc::new(histogram)),
            };
            let sample = Sample { timestamp: Timestamp::from_millis(time), value, start: None };
            head.append(sample, LastValue::default());
            let more = head.more.as_ref().map_or(0, |more| {
                assert_eq!(more.full_bytes, full_sizes(&more.full));
                more.columns.as_ref().map_or(0, |columns| columns_size(columns))
            });
            let kept = head.more.as_ref().map_or(0, |more| {
                let floats = more.columns.as_ref().map_or(0, |columns| floats_size(columns));
                floats + more.histogram_bytes
            });
            assert_eq!(kept, more, "at {time}");
            walked = walked.max(more);
        }
        assert!(walked > 10_000);
    }
}
