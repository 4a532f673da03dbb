//! The samples of one single series: sealed chunks, and a tail that grows.

use std::sync::Arc;

use crate::chunk::{Chunk, XorChunk, columns_range, columns_size, touches};
use crate::codec::xor::XorEncoder;
use crate::error::Result;
use crate::model::{Sample, SampleBuffer, SampleValue, Timestamp, Window};

use super::{Taken, duplicate, out_of_order};

/// Samples in a chunk.
const CHUNK_SAMPLES: usize = 120;

/// A single series' samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeriesHead {
    sealed: Vec<Arc<Chunk>>,
    sealed_bytes: usize,
    tail: Tail,
    last: Option<Sample>,
}

#[derive(Clone, Debug, Default)]
enum Tail {
    #[default]
    Empty,
    /// Floats without start times.
    Floats { encoder: XorEncoder, first: i64 },
    /// Anything.
    Columns(SampleBuffer),
}

impl SeriesHead {
    /// Appends a sample that is later than all before it; equal to the last one it is a duplicate.
    pub(crate) fn append(&mut self, sample: Sample) -> Result<Taken> {
        if let Some(last) = &self.last {
            if sample.timestamp < last.timestamp {
                return Err(out_of_order(sample.timestamp, last.timestamp));
            }
            if sample.timestamp == last.timestamp {
                return if same_bits(&sample, last) {
                    Ok(Taken::Duplicate)
                } else {
                    Err(duplicate(sample.timestamp))
                };
            }
        }
        let time = sample.timestamp.as_millis();
        match (&mut self.tail, &sample.value, sample.start) {
            (Tail::Floats { encoder, .. }, SampleValue::Float(value), None) => encoder.push(time, *value),
            (Tail::Empty, SampleValue::Float(value), None) => {
                let mut encoder = XorEncoder::default();
                encoder.push(time, *value);
                self.tail = Tail::Floats { encoder, first: time };
            }
            (Tail::Columns(columns), ..) => push(columns, &sample),
            _ => {
                self.seal();
                let mut columns = SampleBuffer::default();
                push(&mut columns, &sample);
                self.tail = Tail::Columns(columns);
            }
        }
        self.last = Some(sample);
        if self.tail_count() >= CHUNK_SAMPLES {
            self.seal();
        }
        Ok(Taken::New)
    }

    fn tail_count(&self) -> usize {
        match &self.tail {
            Tail::Empty => 0,
            Tail::Floats { encoder, .. } => encoder.count() as usize,
            Tail::Columns(columns) => columns.len(),
        }
    }

    fn seal(&mut self) {
        let chunk = match std::mem::take(&mut self.tail) {
            Tail::Empty => return,
            Tail::Floats { encoder, first } => Chunk::Xor(XorChunk::from_encoder(&encoder, first)),
            Tail::Columns(columns) => Chunk::Columns(columns),
        };
        self.sealed_bytes = self.sealed_bytes.saturating_add(chunk.byte_size());
        self.sealed.push(Arc::new(chunk));
    }

    /// The chunks that touch the window in time order, the tail as it is.
    pub(crate) fn chunks(&self, window: Window) -> impl Iterator<Item = Arc<Chunk>> + '_ {
        let tail = match &self.tail {
            _ if !touches(self.tail_range(), window) => None,
            Tail::Empty => None,
            Tail::Floats { encoder, first } => Some(Chunk::Xor(XorChunk::from_encoder(encoder, *first))),
            Tail::Columns(columns) => Some(Chunk::Columns(columns.clone())),
        };
        let sealed = self.sealed.iter().filter(move |chunk| touches(chunk.time_range(), window));
        sealed.cloned().chain(tail.map(Arc::new))
    }

    /// Whether a chunk touches the window.
    pub(crate) fn touches(&self, window: Window) -> bool {
        touches(self.tail_range(), window)
            || self.sealed.iter().any(|chunk| touches(chunk.time_range(), window))
    }

    fn tail_range(&self) -> Option<(i64, i64)> {
        match &self.tail {
            Tail::Empty => None,
            Tail::Floats { encoder, first } => Some((*first, encoder.last().0)),
            Tail::Columns(columns) => columns_range(columns),
        }
    }

    pub(crate) fn byte_size(&self) -> usize {
        let tail = match &self.tail {
            Tail::Empty => 0,
            Tail::Floats { encoder, .. } => encoder.byte_size(),
            Tail::Columns(columns) => columns_size(columns),
        };
        let list = self.sealed.capacity().saturating_mul(size_of::<Arc<Chunk>>());
        tail.saturating_add(list).saturating_add(self.sealed_bytes).saturating_add(size_of::<Self>())
    }
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
