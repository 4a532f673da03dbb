//! Exemplars: the newest so many of all series, as Prometheus keeps them in a ring.
//!
//! They are in memory and in the log. Sealing, which lets files of the log go, begins with a new file, into which it puts all
//! exemplars anew.
//!
//! ```text
//! frame   u8  1 these are all, 0 they come behind those of the frames before
//!         until the end, each: labels of the series | own labels | value f64 | time varint zigzag, milliseconds
//! labels  how many varint;  each: name | value;  each: length varint, bytes
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;

use super::Inner;
use super::append::{AppendReport, Refusal};
use super::backing::FileName;
use super::disk::Disk;
use super::file::corrupt;
use super::open::Opening;
use super::tombstone::Tombstone;
use super::wal::{Frame, FrameKind};
use super::write::Writer;
use crate::codec::varint;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Exemplar, Labels, Matcher, SeriesExemplars, Timestamp, Window};

/// Characters of names and values of an exemplar's labels together, by OpenMetrics.
const MOST_CHARACTERS: usize = 128;
/// Exemplars that are copied together when a snapshot still reads them.
const BLOCK: usize = 64;
/// A frame ends with the exemplar that reaches so many bytes.
const FRAME_BYTES: usize = 1 << 20;

/// Exemplars beside the labels of their series.
type Block = Arc<Vec<(Labels, Exemplar)>>;

/// The exemplars that snapshots see, from the oldest appended to the newest.
#[derive(Clone, Debug, Default)]
pub(super) struct Exemplars {
    blocks: Arc<VecDeque<Block>>,
    /// So many of the first block are gone.
    gone: usize,
    count: usize,
}

/// What is known of a series that has exemplars.
#[derive(Debug)]
pub(super) struct Newest {
    exemplar: Exemplar,
    /// Exemplars of the series in the ring.
    count: usize,
}

/// By series.
pub(super) type NewestExemplars = HashMap<Labels, Newest>;

impl Exemplars {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn iter(&self) -> impl Iterator<Item = &(Labels, Exemplar)> {
        self.blocks.iter().flat_map(|block| block.iter()).skip(self.gone)
    }

    fn push(&mut self, labels: Labels, exemplar: Exemplar) {
        let blocks = Arc::make_mut(&mut self.blocks);
        match blocks.back_mut().filter(|block| block.len() < BLOCK) {
            Some(block) => Arc::make_mut(block).push((labels, exemplar)),
            None => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push((labels, exemplar));
                blocks.push_back(Arc::new(block));
            }
        }
        self.count = self.count.saturating_add(1);
    }

    /// Takes the oldest one away. Answers whose it was.
    fn pop(&mut self) -> Option<Labels> {
        let first = self.blocks.front()?;
        let (labels, _) = first.get(self.gone)?.clone();
        self.gone = self.gone.saturating_add(1);
        self.count = self.count.saturating_sub(1);
        if self.gone >= first.len() {
            Arc::make_mut(&mut self.blocks).pop_front();
            self.gone = 0;
        }
        Some(labels)
    }

    /// Takes those away whose samples a tombstone hides.
    pub(super) fn delete(&mut self, tombstone: &Tombstone) {
        let (start, end) = tombstone.times;
        let is_hit = |labels: &Labels, exemplar: &Exemplar| {
            (start..=end).contains(&exemplar.timestamp.as_millis()) && accepts(tombstone.matchers(), labels)
        };
        let mut kept = Self::default();
        for (labels, exemplar) in self.iter().filter(|(labels, exemplar)| !is_hit(labels, exemplar)) {
            kept.push(labels.clone(), exemplar.clone());
        }
        *self = kept;
    }

    /// Those of the series that all matchers accept, within the window, in label and time order.
    pub(super) fn select(&self, matchers: &[Matcher], window: Window) -> Vec<SeriesExemplars> {
        let mut found: BTreeMap<&Labels, Vec<Exemplar>> = BTreeMap::new();
        for (labels, exemplar) in self.iter() {
            if window.contains(exemplar.timestamp) && accepts(matchers, labels) {
                found.entry(labels).or_default().push(exemplar.clone());
            }
        }
        found.into_iter().map(|(labels, found)| SeriesExemplars::new(labels.clone(), found)).collect()
    }
}

/// What is known of the series of a ring.
pub(super) fn newest_of(ring: &Exemplars) -> NewestExemplars {
    let mut newest = NewestExemplars::new();
    for (labels, exemplar) in ring.iter() {
        note(&mut newest, labels.clone(), exemplar);
    }
    newest
}

/// Notes a further exemplar of a series. Answers the labels of which all exemplars of the series share one copy.
fn note(newest: &mut NewestExemplars, labels: Labels, exemplar: &Exemplar) -> Labels {
    let known = newest.get_key_value(&labels).map(|(known, _)| known.clone());
    let labels = known.unwrap_or(labels);
    let own = newest.entry(labels.clone()).or_insert_with(|| Newest { exemplar: exemplar.clone(), count: 0 });
    own.exemplar = exemplar.clone();
    own.count = own.count.saturating_add(1);
    labels
}

fn forget(newest: &mut NewestExemplars, labels: &Labels) {
    if let Some(own) = newest.get_mut(labels) {
        own.count = own.count.saturating_sub(1);
        if own.count == 0 {
            newest.remove(labels);
        }
    }
}

/// Refuses what no store keeps.
pub(super) fn check(series: &Labels, exemplar: &Exemplar) -> Result<()> {
    let characters = exemplar.labels.iter().flat_map(|label| [&label.name, &label.value]);
    let asked: usize = characters.map(|text| text.chars().count()).sum();
    if asked <= MOST_CHARACTERS {
        return Ok(());
    }
    let text = format!(
        "exemplar label limit: {asked} characters asked, {MOST_CHARACTERS} allowed: an exemplar of {series}"
    );
    Err(Error::new(ErrorKind::Limit, text))
}

impl Inner {
    /// Keeps the exemplars of a batch, in the order in which they came.
    pub(super) fn append_exemplars(&self, batch: Vec<(Labels, Exemplar)>, report: &mut AppendReport) {
        let allowed = self.options.limits.exemplars;
        if batch.is_empty() || allowed == 0 {
            return;
        }
        // Looking for a series may read segments: before anybody has to wait for the writer.
        let (batch, unknown): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|(labels, _)| self.has_series(labels));
        report.refused_exemplars.extend(unknown.into_iter().map(|(labels, exemplar)| {
            let text = format!("an exemplar of {labels}: the store has no such series");
            let error = Error::new(ErrorKind::InvalidArgument, text);
            Refusal { labels, timestamp: exemplar.timestamp, error }
        }));
        let mut writer = self.writer.lock();
        let taken = take_exemplars(&mut writer.exemplars, batch, report);
        if taken.is_empty() {
            return;
        }
        match self.log_exemplars(&mut writer, &taken) {
            Ok(sequence) => report.sequence = report.sequence.max(sequence),
            Err(error) => {
                writer.exemplars = newest_of(&self.view.read().exemplars);
                let refused = taken.into_iter().map(|(labels, exemplar)| {
                    let error = Error::new(error.kind(), error.to_string());
                    Refusal { labels, timestamp: exemplar.timestamp, error }
                });
                report.refused_exemplars.extend(refused);
                return;
            }
        }
        report.exemplars = report.exemplars.saturating_add(taken.len());
        let mut view = self.view.write();
        for (labels, exemplar) in taken {
            view.exemplars.push(labels, exemplar);
        }
        while view.exemplars.count() > allowed
            && let Some(labels) = view.exemplars.pop()
        {
            forget(&mut writer.exemplars, &labels);
        }
    }

    fn has_series(&self, labels: &Labels) -> bool {
        let is_known = || self.index.read().find(labels).is_some();
        if is_known() {
            return true;
        }
        // It may be in segments that nobody has asked for it yet.
        let matchers: Vec<Matcher> =
            labels.iter().map(|label| Matcher::equal(label.name.clone(), &label.value)).collect();
        let segments = self.view.read().segments.clone();
        // What cannot be read is not there for queries either.
        segments.iter().any(|segment| segment.join(&self.index, &matchers).is_ok() && is_known())
    }

    fn log_exemplars(&self, writer: &mut Writer, taken: &[(Labels, Exemplar)]) -> Result<u64> {
        let Some(disk) = &self.disk else { return Ok(0) };
        self.prepare(disk, writer)?;
        put_in_frames(disk, writer, false, taken.iter())
    }

    /// Puts all exemplars into a file of the log that has begun, as those before it will go. Answers what has to be durable by
    /// then: the sequence of the last frame, 0 without one.
    pub(super) fn log_all_exemplars(&self, disk: &Disk, writer: &mut Writer) -> Result<u64> {
        let all = self.view.read().exemplars.clone();
        put_in_frames(disk, writer, true, all.iter())
    }

    /// Forgets the exemplars of deleted samples. The caller holds the writer.
    pub(super) fn delete_exemplars(&self, writer: &mut Writer, tombstone: &Tombstone) {
        if !writer.exemplars.is_empty() {
            let mut view = self.view.write();
            view.exemplars.delete(tombstone);
            writer.exemplars = newest_of(&view.exemplars);
        }
    }
}

impl Opening {
    /// Replays a frame of exemplars.
    pub(super) fn exemplars(&mut self, frame: &Frame<'_>, name: FileName) -> Result<()> {
        if self.most_exemplars == 0 {
            return Ok(());
        }
        let decoded = take_frame(frame.payload, &mut self.view.exemplars, self.most_exemplars);
        decoded
            .ok_or_else(|| corrupt(format!("{name}, frame {}: the exemplars do not decode", frame.sequence)))
    }
}

/// What of a batch is taken, and noted; the report says what is not.
fn take_exemplars(
    newest: &mut NewestExemplars,
    batch: Vec<(Labels, Exemplar)>,
    report: &mut AppendReport,
) -> Vec<(Labels, Exemplar)> {
    let mut taken = Vec::new();
    for (labels, exemplar) in batch {
        match newest.get(&labels).map(|own| &own.exemplar) {
            Some(last) if last.repeats(&exemplar) => {}
            Some(last) if exemplar.timestamp < last.timestamp => {
                let (timestamp, last) = (exemplar.timestamp, last.timestamp);
                let text = format!(
                    "an exemplar of {labels} at {timestamp} is older than the newest one, which is at {last}"
                );
                let error = Error::new(ErrorKind::OutOfOrder, text);
                report.refused_exemplars.push(Refusal { labels, timestamp, error });
            }
            _ => taken.push((note(newest, labels, &exemplar), exemplar)),
        }
    }
    taken
}

/// Writes exemplars as one frame or more. Answers the sequence of the last one.
fn put_in_frames<'a>(
    disk: &Disk,
    writer: &mut Writer,
    are_all: bool,
    exemplars: impl Iterator<Item = &'a (Labels, Exemplar)>,
) -> Result<u64> {
    let mut payload = vec![u8::from(are_all)];
    let mut sequence = 0;
    for (labels, exemplar) in exemplars {
        if payload.len() >= FRAME_BYTES {
            sequence = disk.write(writer, FrameKind::Exemplars, &[&payload])?;
            payload.clear();
            payload.push(0);
        }
        put_labels(labels, &mut payload);
        put_labels(&exemplar.labels, &mut payload);
        payload.extend_from_slice(&exemplar.value.to_le_bytes());
        varint::put_signed(&mut payload, exemplar.timestamp.as_millis());
    }
    if payload.len() > 1 {
        sequence = disk.write(writer, FrameKind::Exemplars, &[&payload])?;
    }
    Ok(sequence)
}

fn put_labels(labels: &Labels, into: &mut Vec<u8>) {
    varint::put(into, labels.iter().count() as u64);
    for label in labels.iter() {
        varint::put_bytes(into, label.name.as_bytes());
        varint::put_bytes(into, label.value.as_bytes());
    }
}

/// Takes in a frame; the ring holds no more than `most`, whatever comes. `None`: the payload does not decode.
fn take_frame(mut bytes: &[u8], ring: &mut Exemplars, most: usize) -> Option<()> {
    let (are_all, rest) = bytes.split_first()?;
    bytes = rest;
    match are_all {
        0 => {}
        1 => *ring = Exemplars::default(),
        _ => return None,
    }
    while !bytes.is_empty() {
        let (series, labels) = (take_labels(&mut bytes)?, take_labels(&mut bytes)?);
        let (value, rest) = bytes.split_first_chunk::<8>()?;
        bytes = rest;
        let timestamp = Timestamp::from_millis(varint::take_signed(&mut bytes)?);
        ring.push(series, Exemplar { labels, value: f64::from_le_bytes(*value), timestamp });
        while ring.count() > most && ring.pop().is_some() {}
    }
    Some(())
}

fn take_labels(bytes: &mut &[u8]) -> Option<Labels> {
    let mut pairs = Vec::new();
    for _ in 0..varint::take(bytes)? {
        let name = std::str::from_utf8(varint::take_bytes(bytes)?).ok()?;
        pairs.push((name, std::str::from_utf8(varint::take_bytes(bytes)?).ok()?));
    }
    Some(Labels::from_pairs(pairs))
}

fn accepts(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.accepts(labels))
}

#[cfg(test)]
mod tests;
