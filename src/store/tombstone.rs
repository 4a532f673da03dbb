//! What was deleted: series and times that are not to be seen any more, until merging has left them out.
//!
//! ```text
//! tombstone  start varint zigzag | end varint zigzag        milliseconds, both included
//!            matchers varint;  each: op u8 (0 =, 1 !=, 2 =~, 3 !~) | name | value;  each: length varint, bytes
//! ```
//!
//! A tombstone is a frame of the log. What the heads hold when it comes goes at once, and so does it when the log is replayed;
//! segments that are there by then keep what it hides until they are merged.

use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::index::{Item, column_name};
use super::segment::Segment;
use super::sync::Mutex;
use crate::chunk::{Chunk, Column, Hidden, Layout, Masked};
use crate::codec::varint;
use crate::model::label::{BUCKET_BOUND, METRIC_NAME};
use crate::model::{Labels, MatchOp, Matcher};

/// A tombstone as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TombstoneEntry {
    /// It hides nothing in segments with this number and higher ones.
    pub(crate) before: u64,
    pub(crate) payload: Arc<[u8]>,
}

/// A tombstone that is read.
#[derive(Debug)]
pub(crate) struct Tombstone {
    pub(crate) entry: TombstoneEntry,
    /// That of its frame in the log; 0 if it is published, and its frame may be gone.
    pub(crate) sequence: u64,
    /// By number of a segment, how many bytes the chunks have of which it hides something.
    pub(crate) hidden_bytes: Mutex<HashMap<u64, u64>>,
    /// First and last time, both included.
    pub(crate) times: (i64, i64),
    matchers: Vec<Matcher>,
}

const OPS: [MatchOp; 4] = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Matches, MatchOp::NotMatches];

/// A tombstone as bytes.
pub(crate) fn put_tombstone(times: (i64, i64), matchers: &[Matcher], into: &mut Vec<u8>) {
    varint::put_signed(into, times.0);
    varint::put_signed(into, times.1);
    varint::put(into, matchers.len() as u64);
    for matcher in matchers {
        into.push((0..).zip(OPS).find(|(_, op)| *op == matcher.op()).map_or(0, |(number, _)| number));
        varint::put_bytes(into, matcher.name().as_bytes());
        varint::put_bytes(into, matcher.value());
    }
}

impl Tombstone {
    /// `None`: the payload does not decode.
    pub(crate) fn read(entry: TombstoneEntry, sequence: u64) -> Option<Self> {
        let payload = entry.payload.clone();
        let bytes = &mut &*payload;
        let times = (varint::take_signed(bytes)?, varint::take_signed(bytes)?);
        let mut matchers = Vec::new();
        for _ in 0..varint::take(bytes)? {
            let (op, rest) = bytes.split_first()?;
            *bytes = rest;
            let op = *OPS.get(usize::from(*op))?;
            let name = std::str::from_utf8(varint::take_bytes(bytes)?).ok()?;
            matchers.push(Matcher::new(name, op, varint::take_bytes(bytes)?).ok()?);
        }
        bytes.is_empty().then_some(Self { entry, sequence, hidden_bytes: Mutex::default(), times, matchers })
    }

    pub(crate) fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// Whether it may hide something between these times, both included.
    pub(crate) fn overlaps(&self, (first, last): (i64, i64)) -> bool {
        self.times.0 <= last && first <= self.times.1
    }

    /// Whether it may hide something of a segment.
    pub(crate) fn may_hide(&self, segment: &Segment) -> bool {
        segment.entry.number < self.entry.before
            && self.overlaps((segment.entry.first_time, segment.entry.last_time))
    }

    /// Whether it may hide series of the item: of a histogram some columns at least, see [`hides_column`](Self::hides_column).
    pub(crate) fn accepts(&self, item: &Item) -> bool {
        let (labels, is_family) = match item {
            Item::Single(labels) => (labels, false),
            Item::Family { labels, .. } => (labels, true),
        };
        self.accepts_labels(labels, is_family)
    }

    /// The same of an item with these labels: of a histogram those that its series share.
    pub(crate) fn accepts_labels(&self, labels: &Labels, is_family: bool) -> bool {
        self.matchers.iter().all(|matcher| match matcher.name() {
            METRIC_NAME | BUCKET_BOUND if is_family => true,
            name => matcher.matches(labels.get(name).unwrap_or("")),
        })
    }

    /// Whether it hides this column of a histogram that it accepts, whose base name is `base`.
    fn hides_column(&self, base: &str, column: &Column) -> bool {
        let bound = match column {
            Column::Bucket(bound) => bound,
            Column::Count | Column::Sum => "",
        };
        self.matchers.iter().all(|matcher| match matcher.name() {
            METRIC_NAME => matcher.matches(&column_name(base, column)),
            BUCKET_BOUND => matcher.matches(bound),
            _ => true,
        })
    }

    /// What it hides of a series of an item that it accepts.
    pub(crate) fn hidden_series(&self, item: &Item, column: u32) -> Option<Hidden> {
        let hides = match item {
            Item::Single(_) => true,
            Item::Family { labels, columns } => columns
                .get(column as usize)
                .is_some_and(|column| self.hides_column(labels.metric_name(), column)),
        };
        hides.then_some(Hidden { times: self.times, columns: None })
    }

    /// What it hides of rows of an item that it accepts.
    pub(crate) fn hidden_rows(&self, item: &Item, layout: &Layout) -> Option<Hidden> {
        let (Item::Single(labels) | Item::Family { labels, .. }) = item;
        self.hidden_labels(labels, Some(layout))
    }

    /// What it hides of an item with labels that it accepts: of rows in this layout, or of a series on its own.
    pub(crate) fn hidden_labels(&self, labels: &Labels, layout: Option<&Layout>) -> Option<Hidden> {
        let Some(layout) = layout else { return Some(Hidden { times: self.times, columns: None }) };
        let base = labels.metric_name();
        let mut bits: SmallVec<[u64; 2]> = SmallVec::from_elem(0, layout.width().div_ceil(64));
        let mut hidden = 0_usize;
        for (place, column) in layout.columns().iter().enumerate() {
            if self.hides_column(base, column)
                && let Some(word) = bits.get_mut(place / 64)
            {
                *word |= 1 << (place % 64);
                hidden = hidden.saturating_add(1);
            }
        }
        let columns = if hidden == layout.width() { None } else { Some(bits) };
        (hidden > 0).then_some(Hidden { times: self.times, columns })
    }

    /// What it hides of a chunk: of rows, or of the series `column` of the item.
    pub(crate) fn hidden(&self, item: &Item, column: u32, chunk: &Chunk) -> Option<Hidden> {
        let hidden = match chunk.layout() {
            Some(layout) => self.hidden_rows(item, layout),
            None => self.hidden_series(item, column),
        };
        hidden.filter(|hidden| chunk.time_range().is_some_and(|range| hidden.touches(range)))
    }
}

/// What is left of a sealed chunk of an item with these labels under tombstones that accept them; `None`: nothing.
pub(crate) fn masked_labels(chunk: Chunk, labels: &Labels, tombstones: &[&Arc<Tombstone>]) -> Option<Chunk> {
    let layout = chunk.layout().map(|layout| &**layout);
    let hidden = tombstones.iter().filter_map(|tombstone| tombstone.hidden_labels(labels, layout));
    let hidden: SmallVec<[Hidden; 1]> =
        hidden.filter(|hidden| chunk.time_range().is_some_and(|range| hidden.touches(range))).collect();
    if hidden.is_empty() { Some(chunk) } else { Masked::without(chunk, hidden) }
}

/// What is left of a sealed chunk of an item under tombstones that accept the item; `None`: nothing.
pub(crate) fn masked(
    chunk: Chunk,
    item: &Item,
    column: u32,
    tombstones: &[&Arc<Tombstone>],
) -> Option<Chunk> {
    let hidden: SmallVec<[Hidden; 1]> =
        tombstones.iter().filter_map(|tombstone| tombstone.hidden(item, column, &chunk)).collect();
    if hidden.is_empty() { Some(chunk) } else { Masked::without(chunk, hidden) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_is_read_as_it_was_written_and_no_part_of_it_is() {
        let matchers = [
            Matcher::equal("__name__", "up"),
            Matcher::new("job", MatchOp::Matches, "a|b").unwrap(),
            Matcher::new("pod", MatchOp::NotEqual, [0xff_u8]).unwrap(),
        ];
        let mut bytes = Vec::new();
        put_tombstone((-5, i64::MAX), &matchers, &mut bytes);
        let entry = |bytes: &[u8]| TombstoneEntry { before: 9, payload: bytes.into() };
        let read = Tombstone::read(entry(&bytes), 3).unwrap();
        assert_eq!(read.times, (-5, i64::MAX));
        let mut again = Vec::new();
        put_tombstone(read.times, &read.matchers, &mut again);
        assert_eq!(again, bytes);
        for length in 0..bytes.len() {
            assert!(Tombstone::read(entry(&bytes[..length]), 3).is_none(), "{length} bytes");
        }
        bytes.push(0);
        assert!(Tombstone::read(entry(&bytes), 3).is_none());
    }
}
