//! The samples of one single series: chunks that are full, and a tail that grows.

use std::sync::Arc;

use crate::chunk::{Chunk, LastValue, SeriesRows, columns_range, columns_size, touches};
use crate::error::Result;
use crate::model::{Sample, SampleBuffer, SampleValue, Timestamp, Window};

use super::{Taken, duplicate, out_of_order};

/// Samples in a chunk.
const CHUNK_SAMPLES: usize = 120;

/// A single series' samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeriesHead {
    full: Vec<Arc<Chunk>>,
    full_bytes: usize,
    tail: Tail,
    /// What the log tells the next float relative to.
    pub(crate) logged: LastValue,
    /// The newest sample, where it is no plain float in the tail.
    newest: Option<Box<Sample>>,
}

#[derive(Clone, Debug)]
enum Tail {
    /// Floats without start times.
    Floats(SeriesRows),
    /// Anything.
    Columns(Box<SampleBuffer>),
}

impl Default for Tail {
    fn default() -> Self {
        Self::Floats(SeriesRows::default())
    }
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
        match (&self.newest, &self.tail) {
            (Some(sample), _) => Newest::Other(sample.clone()),
            (None, Tail::Floats(rows)) => {
                rows.last().map_or(Newest::None, |(time, bits)| Newest::Float(time, bits))
            }
            (None, Tail::Columns(_)) => Newest::None,
        }
    }

    /// Appends a sample that is later than all before it.
    pub(crate) fn append(&mut self, sample: Sample) {
        let time = sample.timestamp.as_millis();
        match (&mut self.tail, &sample.value, sample.start) {
            (Tail::Floats(rows), SampleValue::Float(value), None) => {
                rows.push(time, *value);
                self.newest = None;
            }
            (Tail::Columns(columns), ..) => {
                push(columns, &sample);
                self.newest = Some(Box::new(sample));
            }
            (Tail::Floats(_), ..) => {
                self.finish_tail();
                let mut columns = SampleBuffer::default();
                push(&mut columns, &sample);
                self.tail = Tail::Columns(Box::new(columns));
                self.newest = Some(Box::new(sample));
            }
        }
        if self.tail_count() >= CHUNK_SAMPLES {
            self.finish_tail();
        }
    }

    fn tail_count(&self) -> usize {
        match &self.tail {
            Tail::Floats(rows) => rows.count() as usize,
            Tail::Columns(columns) => columns.len(),
        }
    }

    fn finish_tail(&mut self) {
        let chunk = match &mut self.tail {
            Tail::Floats(rows) if rows.count() == 0 => return,
            Tail::Floats(rows) => Chunk::Samples(Arc::new(rows.take_samples())),
            Tail::Columns(columns) => {
                let columns = std::mem::take(&mut **columns);
                self.tail = Tail::default();
                Chunk::Columns(columns)
            }
        };
        self.full_bytes = self.full_bytes.saturating_add(full_size(&chunk));
        self.full.push(Arc::new(chunk));
    }

    /// The chunks that touch the window in time order, the tail as it is.
    pub(crate) fn chunks(&self, window: Window) -> impl Iterator<Item = Arc<Chunk>> + '_ {
        let tail = match &self.tail {
            _ if !touches(self.tail_range(), window) => None,
            Tail::Floats(rows) => Some(Chunk::Samples(Arc::new(rows.clone()))),
            Tail::Columns(columns) => Some(Chunk::Columns((**columns).clone())),
        };
        let full = self.full.iter().filter(move |chunk| touches(chunk.time_range(), window));
        full.cloned().chain(tail.map(Arc::new))
    }

    /// First and last time of what is held here.
    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        let full = self.full.first().and_then(|chunk| chunk.time_range());
        let last = self.full.last().and_then(|chunk| chunk.time_range());
        let tail = self.tail_range();
        Some((full.or(tail)?.0, tail.or(last)?.1))
    }

    /// Forgets full chunks that end at `until` or before.
    pub(crate) fn forget(&mut self, until: i64) {
        self.full.retain(|chunk| chunk.time_range().is_some_and(|(_, last)| last > until));
        self.full_bytes = self.full.iter().map(|chunk| full_size(chunk)).fold(0, usize::saturating_add);
    }

    /// Whether there is a full chunk that ends at `until` or before.
    pub(crate) fn can_forget(&self, until: i64) -> bool {
        self.full.first().and_then(|chunk| chunk.time_range()).is_some_and(|(_, last)| last <= until)
    }

    fn tail_range(&self) -> Option<(i64, i64)> {
        match &self.tail {
            Tail::Floats(rows) => rows.time_range(),
            Tail::Columns(columns) => columns_range(columns),
        }
    }

    pub(crate) fn byte_size(&self) -> usize {
        let tail = match &self.tail {
            Tail::Floats(rows) => rows.byte_size().saturating_sub(size_of::<SeriesRows>()),
            Tail::Columns(columns) => columns_size(columns).saturating_add(size_of::<SampleBuffer>()),
        };
        let newest = self.newest.as_ref().map_or(0, |_| size_of::<Sample>());
        let full =
            self.full.capacity().saturating_mul(size_of::<Arc<Chunk>>()).saturating_add(self.full_bytes);
        tail.saturating_add(newest).saturating_add(full)
    }
}

/// Bytes that a full chunk takes, counters of its `Arc` and the enum included.
pub(super) fn full_size(chunk: &Chunk) -> usize {
    chunk.byte_size().saturating_add(size_of::<Chunk>()).saturating_add(16)
}

fn push(columns: &mut SampleBuffer, sample: &Sample) {
    let time = sample.timestamp.as_millis();
    let start = sample.start.map_or(0, Timestamp::as_millis);
    match &sample.value {
        SampleValue::Float(value) => columns.push_float(time, *value, start),
        SampleValue::Histogram(histogram) => columns.histograms.push((time, histogram.clone(), start)),
    }
}

fn same_bits(a: &Sample, b: &Sample) -> bool {
    a.start == b.start
        && match (&a.value, &b.value) {
            (SampleValue::Float(a), SampleValue::Float(b)) => a.to_bits() == b.to_bits(),
            (SampleValue::Histogram(a), SampleValue::Histogram(b)) => a.same_bits(b),
            _ => false,
        }
}
