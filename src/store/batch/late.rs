//! Samples that do not come next in their series: which of them the out-of-order window takes.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use smallvec::SmallVec;

use super::super::head::{Newest, Taken, duplicate, out_of_order, same_bits, too_old};
use super::super::index::{Item, SeriesRef};
use super::super::snapshot::Found;
use super::{Encoder, labels_of};
use crate::error::Result;
use crate::model::{Sample, SampleBuffer, SampleValue, Timestamp, Window};

/// What the out-of-order window is at this moment.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct LateRule {
    /// In milliseconds; with 0 nothing late is taken.
    pub(in super::super) window: i64,
    /// The oldest time that it takes.
    pub(in super::super) oldest: i64,
}

/// A sample that is looked at once what comes in order is told.
#[derive(Debug)]
pub(super) struct Candidate {
    series: SeriesRef,
    sample: Sample,
    /// What its series has, as far as that is known without reading.
    last: i64,
}

impl Encoder<'_> {
    /// Puts a sample aside that was found not to come next, unless that is all there is to know. `known`: what its series
    /// has last.
    pub(super) fn leave_late(&mut self, series: SeriesRef, sample: &Sample, known: &Newest) -> bool {
        let (Some(last), time) = (known.time(), sample.timestamp.as_millis()) else { return false };
        let is_unknown = time == last && matches!(known, Newest::At(_));
        let leave = is_unknown || (time < last && self.rule.window > 0);
        if leave {
            self.late.push(Candidate { series, sample: sample.clone(), last });
        }
        leave
    }

    /// Takes of the samples that were put aside what the window allows.
    pub(in super::super) fn add_late(&mut self) -> Result<()> {
        if self.late.is_empty() {
            return Ok(());
        }
        let mut late = std::mem::take(&mut self.late);
        late.sort_by_key(|late| (late.series.item, late.sample.timestamp));
        for part in late.chunk_by(|a, b| a.series.item == b.series.item) {
            let Some(first) = part.first() else { continue };
            let Some(item) = self.item(first.series.item) else { continue };
            self.add_late_of(&item, part)?;
        }
        Ok(())
    }

    fn add_late_of(&mut self, item: &Item, late: &[Candidate]) -> Result<()> {
        let oldest = self.rule.oldest;
        let is_inside = |late: &&Candidate| {
            let time = late.sample.timestamp.as_millis();
            time >= oldest || time == late.last
        };
        let inside = late.iter().filter(is_inside);
        let times = inside.clone().map(|late| late.sample.timestamp);
        let mut known = Known::default();
        if let (Some(first), Some(last)) = (times.clone().min(), times.max()) {
            let window = Window::new(first.minus_millis(1), last);
            let segments = self.view.segments_in(window);
            segments.iter().try_for_each(|segment| segment.join_item(self.index, item))?;
            let number = late.first().map_or(0, |late| late.series.item);
            known.found = self.view.find((number, item), window, &segments, None)?;
            known.window = Some(window);
        }
        let mut taken: Vec<&Candidate> = Vec::new();
        for candidate in late {
            let outcome = if is_inside(&candidate) {
                known.check(item, candidate, self.rule)?
            } else {
                Err(too_old(candidate.sample.timestamp, Timestamp::from_millis(oldest)))
            };
            if matches!(outcome, Ok(Taken::New)) {
                taken.push(candidate);
            }
            self.record(outcome, || labels_of(item, candidate.series), candidate.sample.timestamp);
        }
        self.put_late(item, &taken);
        Ok(())
    }

    fn put_late(&mut self, item: &Item, taken: &[&Candidate]) {
        let Item::Family { columns, .. } = item else {
            for late in taken {
                self.put_late_sample(item, late);
            }
            return;
        };
        for instant in taken.chunk_by(|a, b| a.sample.timestamp == b.sample.timestamp) {
            let mut row: SmallVec<[Option<f64>; 24]> = SmallVec::new();
            for late in instant {
                match late.sample.value {
                    SampleValue::Float(value) if late.sample.start.is_none() => {
                        row.resize(columns.layout().width(), None);
                        let place = columns.place(late.series.column).and_then(|place| row.get_mut(place));
                        if let Some(place) = place {
                            *place = Some(value);
                        }
                    }
                    _ => self.put_late_sample(item, late),
                }
            }
            if let Some(first) = instant.first().filter(|_| !row.is_empty()) {
                let time = first.sample.timestamp.as_millis();
                let own = (first.series.item, item);
                self.batch.put_late_row(self.tables, own, columns.layout(), time, &row);
            }
        }
    }

    fn put_late_sample(&mut self, item: &Item, late: &Candidate) {
        self.batch.put_late_sample(self.tables, (late.series, item), &late.sample);
    }
}

/// What the series of an item have at the times of the candidates.
#[derive(Default)]
struct Known {
    found: Found,
    /// The window that was looked at.
    window: Option<Window>,
    columns: HashMap<u32, SampleBuffer>,
    /// By column, the newest that was taken of this batch: candidates come in the order of time.
    taken: HashMap<u32, Sample>,
}

impl Known {
    /// # Errors
    ///
    /// What reading the series meets.
    fn check(&mut self, item: &Item, late: &Candidate, rule: LateRule) -> Result<Result<Taken>> {
        let column = late.series.column;
        let (sample, time) = (&late.sample, late.sample.timestamp);
        let taken = self.taken.get(&column).filter(|taken| taken.timestamp == time).cloned();
        let same = match taken {
            Some(taken) => Some(taken),
            None => sample_at(self.known(item, column)?, time),
        };
        if let Some(same) = same {
            let is_same = same_bits(&same, sample);
            return Ok(if is_same { Ok(Taken::Duplicate) } else { Err(duplicate(time)) });
        }
        if rule.window > 0 && time.as_millis() >= rule.oldest {
            self.taken.insert(column, sample.clone());
            return Ok(Ok(Taken::New));
        }
        let last = Timestamp::from_millis(late.last);
        Ok(Err(match rule.window {
            0 => out_of_order(time, last),
            _ => too_old(time, Timestamp::from_millis(rule.oldest)),
        }))
    }

    /// What a column has, read once.
    fn known(&mut self, item: &Item, column: u32) -> Result<&SampleBuffer> {
        let Self { found, window, columns, .. } = self;
        Ok(match columns.entry(column) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(read(found, *window, item, column)?),
        })
    }
}

fn read(found: &Found, window: Option<Window>, item: &Item, column: u32) -> Result<SampleBuffer> {
    let mut read = SampleBuffer::default();
    let Some(window) = window else { return Ok(read) };
    match item {
        Item::Single(_) => {
            for chunk in &found.chunks {
                chunk.read(0, window, &mut read)?;
            }
        }
        Item::Family { columns, .. } => {
            let position = column as usize;
            if let Some(own) = columns.get(position) {
                for part in found.column(position, own) {
                    part.chunk.read(part.column, window, &mut read)?;
                }
            }
        }
    }
    Ok(read)
}

fn sample_at(samples: &SampleBuffer, timestamp: Timestamp) -> Option<Sample> {
    let time = timestamp.as_millis();
    let start = |start: i64| (start != 0).then(|| Timestamp::from_millis(start));
    if let Ok(place) = samples.times.binary_search(&time) {
        let value = SampleValue::Float(*samples.values.get(place)?);
        let start = start(samples.starts.get(place).copied().unwrap_or(0));
        return Some(Sample { timestamp, value, start });
    }
    let place = samples.histograms.binary_search_by_key(&time, |(time, ..)| *time).ok()?;
    let (_, histogram, own) = samples.histograms.get(place)?;
    Some(Sample { timestamp, value: SampleValue::Histogram(Arc::clone(histogram)), start: start(*own) })
}
