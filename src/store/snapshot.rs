//! A view that stays as it is, and the series in it.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use crate::error::Result;
use crate::source::{Family, Item as SourceItem, SelectRequest, Series, SeriesChunk, SeriesSet, Source};

use super::Store;
use super::exemplars::Exemplars;
use super::head::{Heads, ItemHead, LateHead, SeriesHead, common_layout};
use super::index::{ColumnList, Index, Item, ItemBits, ItemRef, Selection, SeriesRef, column_name};
use super::pin::Pin;
use super::segment::{Segment, newest_in, newest_of_column};
use super::sync::RwLock;
use super::tombstone::{Tombstone, masked};
use crate::chunk::{Chunk, Column, Merged, is_rising, overlapping};
use crate::model::label::{BUCKET_BOUND, METRIC_NAME};
use crate::model::{Labels, Loss, Matcher, SeriesExemplars, Timestamp, Window};

/// What a [`Store`] held at one moment: every commit before it, nothing of those after. Cheap to clone.
///
/// It holds no lock: writers go on, and the same question gets the same answer for as long as the snapshot lives. Memory of
/// what it sees, and labels of series that have gone since, are given back after it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    store: Store,
    /// What the view has stays known.
    _pin: Pin,
    view: View,
    /// What is missing since the store has failed.
    failed: Option<Loss>,
    /// Samples up to this are forgotten.
    border: Option<Timestamp>,
}

/// Items that are touched at once.
const TOUCHED: usize = 16;

/// What is visible at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) heads: Heads,
    /// The heads that are being sealed, as they were when that began. What was late by then lies nowhere else.
    pub(super) sealing: Option<Arc<Heads>>,
    /// By item, the newest time of what came late and is sealed: the heads lack that.
    pub(super) late_sealed: Arc<HashMap<u32, i64>>,
    /// In the order in which they were sealed, which is that of the times of every item, but for what came late.
    pub(super) segments: Arc<[Arc<Segment>]>,
    /// What was deleted and may be in segments.
    pub(super) tombstones: Arc<[Arc<Tombstone>]>,
    /// What is known to be missing, the acknowledged included.
    pub(super) losses: Arc<[Loss]>,
    pub(super) exemplars: Exemplars,
}

impl View {
    /// The newest time of an item that has no head, as far as it may matter for a sample at `time`: what is sealed, and what
    /// came late.
    pub(super) fn newest_sealed(
        &self,
        index: &RwLock<Index>,
        item: u32,
        time: Timestamp,
    ) -> Result<Option<i64>> {
        let mut newest = self.newest_late(item);
        let Some(known) = index.read().item(item).map(ItemRef::to_item) else { return Ok(newest) };
        for segment in self.segments.iter().filter(|segment| segment.entry.last_time >= time.as_millis()) {
            newest = newest.max(segment.newest(index, &known)?);
        }
        Ok(newest)
    }

    /// The newest time of what came late for an item.
    fn newest_late(&self, item: u32) -> Option<i64> {
        let late = self.heads.late.get(item).and_then(|late| late.newest());
        let sealing = self.sealing.as_ref().and_then(|heads| heads.late.get(item)?.newest());
        late.max(sealing).max(self.late_sealed.get(&item).copied())
    }

    /// The newest time of one column of a family beside what its head knows, as far as it may matter for a sample at `time`:
    /// late, being sealed, and sealed. What was deleted counts until its segment is written anew, for the segment tells what of
    /// a head is sealed already. `is_unknown`: the head knows of no sample.
    pub(super) fn newest_beside(
        &self,
        index: &RwLock<Index>,
        series: SeriesRef,
        columns: &ColumnList,
        time: Timestamp,
        is_unknown: bool,
    ) -> Result<Option<i64>> {
        let is_told_by_head = !is_unknown
            && self.tombstones.is_empty()
            && self.newest_late(series.item) < Some(time.as_millis());
        let column = columns.get(series.column as usize).filter(|_| !is_told_by_head);
        let Some(column) = column else { return Ok(None) };
        let sealed = self.newest_sealed_of(index, series, column, time)?;
        Ok(sealed.max(self.newest_in_sealing(series, columns, time)?))
    }

    fn newest_in_sealing(
        &self,
        series: SeriesRef,
        columns: &ColumnList,
        time: Timestamp,
    ) -> Result<Option<i64>> {
        let head = self.sealing.as_ref().and_then(|heads| heads.get(series.item));
        let Some(head) = head.filter(|head| head.last_time() >= Some(time.as_millis())) else {
            return Ok(None);
        };
        let column = series.column as usize;
        Ok(match head {
            ItemHead::Series(head) => head.last_time(),
            ItemHead::Family(head) => head.to_columns(columns)?.get(column).and_then(SeriesHead::last_time),
            ItemHead::Columns(heads) => heads.get(column).and_then(SeriesHead::last_time),
        })
    }

    /// The newest time that one column of a family has in segments, or late, as far as it may matter for a sample at `time`.
    fn newest_sealed_of(
        &self,
        index: &RwLock<Index>,
        series: SeriesRef,
        column: &Column,
        time: Timestamp,
    ) -> Result<Option<i64>> {
        let mut newest = None;
        let sealing = self.sealing.as_ref().and_then(|heads| heads.late.get(series.item));
        for late in self.heads.late.get(series.item).into_iter().chain(sealing) {
            let own = late.series(Window::ALL).filter(|(own, _)| *own == series.column);
            newest = newest.max(own.filter_map(|(_, chunk)| chunk.time_range()).map(|(_, last)| last).max());
            let rows: Vec<Chunk> = late.rows(Window::ALL).collect();
            newest = newest.max(newest_in(&rows, column)?);
        }
        let touched = self.segments.iter().filter(|segment| segment.entry.last_time >= time.as_millis());
        let touched: SmallVec<[Arc<Segment>; 4]> = touched.cloned().collect();
        if touched.is_empty() {
            return Ok(newest);
        }
        let item = index.read().item(series.item).map(ItemRef::to_item);
        if let Some(Item::Family { labels, .. }) = item.as_ref() {
            touched.iter().try_for_each(|segment| segment.join_histogram(index, labels))?;
        }
        Ok(newest.max(newest_of_column(&touched, series, column)?))
    }

    /// Tells the items of which anything is known here.
    pub(super) fn tell_items(&self, known: &mut ItemBits) {
        for heads in self.sealing.as_deref().into_iter().chain([&self.heads]) {
            heads.tell_items(known);
        }
        self.late_sealed.keys().for_each(|item| known.insert(*item));
        self.segments.iter().for_each(|segment| segment.tell_items(known));
    }

    /// Whether anything is known of an item here.
    pub(super) fn knows(&self, item: u32) -> bool {
        let sealing = self.sealing.as_ref().is_some_and(|heads| heads.get(item).is_some());
        self.is_held(item)
            || sealing
            || self.late_sealed.contains_key(&item)
            || self.segments.iter().any(|segment| segment.has_part_of(item))
    }

    /// The segments that touch the window.
    pub(super) fn segments_in(&self, window: Window) -> SmallVec<[&Arc<Segment>; 4]> {
        self.segments.iter().filter(|segment| segment.touches(window)).collect()
    }
}

impl Snapshot {
    pub(super) fn new(store: Store, view: View, failed: Option<Loss>, pin: Pin) -> Self {
        let border = store.inner.retention_border();
        Self { store, _pin: pin, view, failed, border }
    }

    /// What is kept of a window.
    fn window(&self, window: Window) -> Window {
        match self.border {
            Some(border) => Window::new(window.after.max(border), window.until),
            None => window,
        }
    }
}

/// What one item has inside a window.
#[derive(Default)]
pub(super) struct Found {
    /// Chunks of a single series, or of whole rows of a family.
    pub(super) chunks: SmallVec<[Chunk; 2]>,
    /// Chunks of single columns of a family.
    columns: Vec<(u32, Chunk)>,
    /// Whether rows of different columns overlap in time.
    mixed: bool,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.columns.is_empty()
    }

    /// The chunks of one column of a family, in time order.
    pub(super) fn column(&self, position: usize, column: &Column) -> SmallVec<[SeriesChunk; 2]> {
        let rows = self.chunks.iter().filter_map(|chunk| {
            let column = chunk.layout()?.position(column)?;
            Some(SeriesChunk { chunk: chunk.clone(), column })
        });
        let own = self.columns.iter().filter(|(own, _)| *own as usize == position);
        let own = own.map(|(_, chunk)| SeriesChunk { chunk: chunk.clone(), column: 0 });
        let chunks: SmallVec<[SeriesChunk; 2]> = rows.chain(own).collect();
        let in_order =
            (self.columns.is_empty() && !self.mixed) || is_rising(chunks.iter().map(|part| &part.chunk));
        if in_order {
            return chunks;
        }
        let merged = |mut group: Vec<SeriesChunk>| match group.pop() {
            Some(only) if group.is_empty() => Some(only),
            last => {
                let parts = group.into_iter().chain(last).map(|part| (part.chunk, part.column));
                Some(SeriesChunk { chunk: Merged::series(parts.collect()), column: 0 })
            }
        };
        overlapping(chunks, |part| part.chunk.time_range()).into_iter().filter_map(merged).collect()
    }

    /// Puts chunks in the order of time; those that overlap become one where they can.
    fn put_in_order(&mut self, is_family: bool) {
        if is_rising(&self.chunks) {
            return;
        }
        for group in overlapping(std::mem::take(&mut self.chunks), |chunk| chunk.time_range()) {
            match common_layout(&group) {
                _ if group.len() < 2 => self.chunks.extend(group),
                Some(layout) => self.chunks.push(Merged::rows(group, layout)),
                None if is_family => {
                    self.mixed = true;
                    self.chunks.extend(group);
                }
                None => {
                    let parts = group.into_iter().map(|chunk| (chunk, 0));
                    self.chunks.push(Merged::series(parts.collect()));
                }
            }
        }
    }

    fn add_late(&mut self, late: &LateHead, is_family: bool, window: Window) {
        self.chunks.extend(late.rows(window));
        for (column, chunk) in late.series(window) {
            if is_family {
                self.columns.push((column, chunk));
            } else {
                self.chunks.push(chunk);
            }
        }
    }
}

impl View {
    /// Whether anything of an item is in memory.
    pub(super) fn is_held(&self, item: u32) -> bool {
        let sealing = self.sealing.as_ref().is_some_and(|heads| heads.late.get(item).is_some());
        sealing || self.heads.get(item).is_some() || self.heads.late.get(item).is_some()
    }

    /// Reads a little of what the next items have in memory, so that the memory's answers come together, and not one after the
    /// other. What is read means nothing.
    fn touch(&self, items: &[(u32, Item)]) {
        let touched = items.iter().take(TOUCHED).map(|(number, item)| {
            let (Item::Single(labels) | Item::Family { labels, .. }) = item;
            let head = match self.heads.get(*number) {
                Some(ItemHead::Family(head)) => head.touch(),
                _ => 0,
            };
            head ^ labels.touch() as u64
        });
        std::hint::black_box(touched.fold(0, |read, touched| read ^ touched));
    }

    /// Whether something of a segment may be deleted.
    fn is_hidden_in(&self, segment: &Segment) -> bool {
        self.tombstones.iter().any(|tombstone| tombstone.may_hide(segment))
    }

    /// What an item has inside the window, in time order. `segments`: those that touch it, joined. Nothing up to `border` is
    /// seen.
    pub(super) fn find(
        &self,
        (number, item): (u32, &Item),
        window: Window,
        segments: &[&Arc<Segment>],
        border: Option<Timestamp>,
    ) -> Result<Found> {
        let mut found = Found::default();
        // None for a single series.
        let columns: &[Column] = match item {
            Item::Single(_) => &[],
            Item::Family { columns, .. } => columns,
        };
        let is_family = matches!(item, Item::Family { .. });
        let head = self.heads.get(number);
        // The head keeps rows that are sealed already; most windows lie within them.
        let after = window.after.as_millis();
        let is_held = head.is_some_and(|head| head.begins_by(after))
            && (self.late_sealed.is_empty()
                || self.late_sealed.get(&number).is_none_or(|last| *last <= after));
        if !is_held || matches!(head, Some(ItemHead::Columns(_))) {
            self.find_sealed((number, item), window, segments, &mut found)?;
        }
        let sealed = last_of(found.chunks.iter());
        match head {
            None => {}
            Some(ItemHead::Series(head)) => {
                found.chunks.extend(head.chunks(window).filter_map(|chunk| later(chunk, sealed)))
            }
            Some(ItemHead::Family(head)) => {
                found.chunks.extend(head.chunks(window).filter_map(|chunk| later(chunk, sealed)));
            }
            Some(ItemHead::Columns(heads)) => {
                let before = found.columns.len();
                for ((number, head), column) in (0..).zip(heads).zip(columns) {
                    let own = found.columns.iter().take(before).filter(|(own, _)| *own == number);
                    let mut own = last_of(own.map(|(_, chunk)| chunk));
                    // Rows that were sealed may lack a value that came later than they did.
                    if sealed > own && head.time_range().is_some_and(|(first, _)| sealed >= Some(first)) {
                        own = own.max(newest_in(&found.chunks, column)?);
                    }
                    let sealed = own;
                    let chunks = head.chunks(window).filter_map(|chunk| later(chunk, sealed));
                    let chunks: SmallVec<[Chunk; 2]> = chunks.collect();
                    found.columns.extend(chunks.into_iter().map(|chunk| (number, chunk)));
                }
            }
        }
        if let Some(late) = self.heads.late.get(number) {
            found.add_late(late, is_family, window);
        }
        if let Some(late) = self.sealing.as_ref().and_then(|heads| heads.late.get(number)) {
            found.add_late(late, is_family, window);
        }
        if border.is_some() {
            // Whoever reads a chunk may ask it for more than the window that found it.
            let border = border.map(Timestamp::as_millis);
            found.chunks = found.chunks.into_iter().filter_map(|chunk| later(chunk, border)).collect();
            let columns = found.columns.into_iter();
            found.columns =
                columns.filter_map(|(column, chunk)| Some((column, later(chunk, border)?))).collect();
        }
        found.put_in_order(is_family);
        Ok(found)
    }

    fn find_sealed(
        &self,
        (number, item): (u32, &Item),
        window: Window,
        segments: &[&Arc<Segment>],
        found: &mut Found,
    ) -> Result<()> {
        let is_family = matches!(item, Item::Family { .. });
        let tombstones: SmallVec<[&Arc<Tombstone>; 1]> =
            self.tombstones.iter().filter(|tombstone| tombstone.accepts(item)).collect();
        for segment in segments {
            let number_of = segment.entry.number;
            let own: SmallVec<[&Arc<Tombstone>; 1]> =
                tombstones.iter().copied().filter(|tombstone| number_of < tombstone.entry.before).collect();
            segment.chunks(number, window, |series, is_rows, chunk| {
                let chunk = match own.is_empty() {
                    true => Some(chunk),
                    false => masked(chunk, item, series.column, &own),
                };
                let Some(chunk) = chunk else { return };
                if is_rows || !is_family {
                    found.chunks.push(chunk);
                } else {
                    found.columns.push((series.column, chunk));
                }
            })?;
        }
        Ok(())
    }
}

fn last_of<'a>(chunks: impl Iterator<Item = &'a Chunk>) -> Option<i64> {
    chunks.filter_map(|chunk| chunk.time_range()).map(|(_, last)| last).max()
}

/// What of a head's chunk is later than what is sealed.
pub(super) fn later(chunk: Chunk, sealed: Option<i64>) -> Option<Chunk> {
    let (first, last) = chunk.time_range()?;
    match sealed {
        Some(sealed) if last <= sealed => None,
        Some(sealed) if first <= sealed => {
            Some(Chunk::Later(Arc::new((chunk, Timestamp::from_millis(sealed)))))
        }
        _ => Some(chunk),
    }
}

impl Source for Snapshot {
    fn losses(&self, window: Window) -> Vec<Loss> {
        let losses = self.view.losses.iter().chain(&self.failed);
        losses.filter(|loss| !loss.acknowledged && loss.touches(window)).cloned().collect()
    }

    fn exemplars(&self, matchers: &[Matcher], window: Window) -> Result<Vec<SeriesExemplars>> {
        Ok(self.view.exemplars.select(matchers, self.window(window)))
    }

    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        let window = self.window(request.window);
        let segments = self.view.segments_in(window);
        for segment in &segments {
            segment.join(&self.store.inner.index, request.matchers)?;
        }
        let selection = Selection::resolve(&self.store.inner.index, request.matchers);
        let mut items = Vec::with_capacity(selection.items.len());
        let mut wanted = WantedCache::default();
        for (place, (number, item)) in selection.items.iter().enumerate() {
            if place.is_multiple_of(TOUCHED) {
                self.view.touch(selection.items.get(place..).unwrap_or_default());
            }
            // An item without samples here was made after this snapshot, or has none in the window.
            let found = self.view.find((*number, item), window, &segments, self.border)?;
            if found.is_empty() {
                continue;
            }
            match item {
                Item::Single(labels) => {
                    let chunks = found.chunks.into_iter().map(|chunk| SeriesChunk { chunk, column: 0 });
                    items.push(SourceItem::Series(Series::from_chunks(labels.clone(), chunks.collect())));
                }
                Item::Family { labels, columns } => {
                    let wanted = wanted.of(&selection, labels, columns);
                    select_family(request, (item, labels), wanted, found, &mut items);
                }
            }
        }
        items.sort_by(SourceItem::order);
        // A count or a sum may be a single series here and a column of its histogram there.
        items.dedup_by(|later, first| match (later, first) {
            (SourceItem::Series(later), SourceItem::Series(first)) => first.join(later),
            _ => false,
        });
        Ok(SeriesSet { items })
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Result<Vec<Arc<str>>> {
        let window = self.window(window);
        let index = &self.store.inner.index;
        let mut values: HashSet<Arc<str>> = HashSet::new();
        let (hidden, whole): (Vec<&Arc<Segment>>, Vec<&Arc<Segment>>) =
            self.view.segments_in(window).into_iter().partition(|segment| self.view.is_hidden_in(segment));
        for segment in whole {
            segment.label_values(index, name, matchers, window, &mut values)?;
        }
        // What is in whole segments is told by those; the rest is in the heads, and in segments of which something is deleted.
        for segment in &hidden {
            segment.join(index, matchers)?;
        }
        let selection = Selection::resolve(index, matchers);
        let may_have = |number: u32| !hidden.is_empty() || self.view.is_held(number);
        for (number, item) in selection.items.iter().filter(|(number, _)| may_have(*number)) {
            let (labels, columns): (_, &[Column]) = match item {
                Item::Single(labels) => (labels, &[]),
                Item::Family { labels, columns } => (labels, columns),
            };
            let is_virtual = matches!(name, METRIC_NAME | BUCKET_BOUND) && !columns.is_empty();
            let known = labels.label(name).filter(|label| !is_virtual && !values.contains(&label.value));
            if known.is_none() && !is_virtual {
                continue;
            }
            let found = self.view.find((*number, item), window, &hidden, self.border)?;
            if columns.is_empty() {
                values.extend(known.filter(|_| !found.is_empty()).map(|label| label.value.clone()));
                continue;
            }
            let base = labels.metric_name();
            let mut there = columns
                .iter()
                .enumerate()
                .filter(|(_, column)| selection.accepts_column(base, column))
                .filter(|(position, column)| !found.column(*position, column).is_empty())
                .map(|(_, column)| column);
            match name {
                METRIC_NAME => values.extend(there.map(|column| column_name(base, column).into())),
                BUCKET_BOUND => values.extend(there.filter_map(|column| match column {
                    Column::Bucket(bound) => Some(bound.clone()),
                    Column::Count | Column::Sum => None,
                })),
                _ => values.extend(known.filter(|_| there.next().is_some()).map(|label| label.value.clone())),
            }
        }
        let mut values: Vec<Arc<str>> = values.into_iter().collect();
        values.sort_unstable();
        Ok(values)
    }
}

/// Which columns of a histogram are selected.
struct WantedColumns {
    base: Arc<str>,
    columns: Arc<ColumnList>,
    positions: SmallVec<[usize; 24]>,
    /// Whether they are all buckets, and no others.
    all_buckets: bool,
    bucket_name: Arc<str>,
}

/// The columns selected last: neighbouring histograms have the same name and the same columns, as a rule.
#[derive(Default)]
struct WantedCache {
    last: Option<WantedColumns>,
}

impl WantedCache {
    fn of(
        &mut self,
        selection: &Selection<'_>,
        labels: &Labels,
        columns: &Arc<ColumnList>,
    ) -> &WantedColumns {
        let base = labels.label(METRIC_NAME).map(|label| &label.value);
        let known = self.last.take_if(|last| {
            Arc::ptr_eq(&last.columns, columns) && base.is_some_and(|base| Arc::ptr_eq(&last.base, base))
        });
        self.last.insert(known.unwrap_or_else(|| {
            let base = base.cloned().unwrap_or_else(|| Arc::from(""));
            let accepted = columns.iter().enumerate();
            let accepted = accepted.filter(|(_, column)| selection.accepts_column(&base, column));
            let positions: SmallVec<[usize; 24]> = accepted.map(|(position, _)| position).collect();
            let is_bucket = |column: &Column| matches!(column, Column::Bucket(_));
            let all_buckets = !selection.looks_at_bounds()
                && !positions.is_empty()
                && positions.iter().all(|position| columns.get(*position).is_some_and(is_bucket))
                && positions.len() == columns.iter().filter(|column| is_bucket(column)).count();
            let bucket_name = column_name(&base, &Column::Bucket(Arc::from(""))).into();
            WantedColumns { base, columns: columns.clone(), positions, all_buckets, bucket_name }
        }))
    }
}

fn select_family(
    request: &SelectRequest<'_>,
    (item, labels): (&Item, &Labels),
    wanted: &WantedColumns,
    found: Found,
    into: &mut Vec<SourceItem>,
) {
    if request.families
        && wanted.all_buckets
        && found.columns.is_empty()
        && let Some(layout) = common_layout(&found.chunks)
    {
        let family = Family::from_chunks(labels.clone(), wanted.bucket_name.clone(), layout, found.chunks);
        into.push(SourceItem::Family(family));
        return;
    }
    for position in &wanted.positions {
        let Some(column) = wanted.columns.get(*position) else { continue };
        let parts = found.column(*position, column);
        if !parts.is_empty() {
            into.push(SourceItem::Series(Series::from_chunks(item.series_labels(column), parts)));
        }
    }
}
