//! A view that stays as it is, and the series in it.

use std::sync::Arc;

use hashbrown::HashSet;
use smallvec::SmallVec;

use crate::error::Result;
use crate::source::{Family, Item as SourceItem, SelectRequest, Series, SeriesChunk, SeriesSet, Source};

use super::Store;
use super::head::{Heads, ItemHead, common_layout};
use super::index::{Index, Item, Selection, SeriesRef, column_name};
use super::segment::{Segment, newest_in, newest_of_column};
use super::sync::RwLock;
use crate::chunk::{Chunk, Column};
use crate::model::label::{BUCKET_BOUND, METRIC_NAME};
use crate::model::{Loss, Matcher, Timestamp, Window};

/// What a [`Store`] held at one moment: every commit before it, nothing of those after. Cheap to clone.
///
/// It holds no lock: writers go on, and the same question gets the same answer for as long as the snapshot lives.
#[derive(Clone, Debug)]
pub struct Snapshot {
    store: Store,
    view: View,
    /// What is missing since the store has failed.
    failed: Option<Loss>,
    /// Samples up to this are forgotten.
    border: Option<Timestamp>,
}

/// What is visible at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) heads: Heads,
    /// In the order in which they were sealed, which is that of the times of every item.
    pub(super) segments: Arc<[Arc<Segment>]>,
    /// What is known to be missing, the acknowledged included.
    pub(super) losses: Arc<[Loss]>,
}

impl View {
    /// The newest time of an item that has no head, as far as it may matter for a sample at `time`.
    pub(super) fn newest_sealed(
        &self,
        index: &RwLock<Index>,
        item: u32,
        time: Timestamp,
    ) -> Result<Option<i64>> {
        let mut newest = None;
        let Some(item) = index.read().item(item).cloned() else { return Ok(newest) };
        for segment in self.segments.iter().filter(|segment| segment.entry.last_time >= time.as_millis()) {
            newest = newest.max(segment.newest(index, &item)?);
        }
        Ok(newest)
    }

    /// The newest time that one column of a family has in segments, as far as it may matter for a sample at `time`.
    pub(super) fn newest_sealed_of(
        &self,
        index: &RwLock<Index>,
        series: SeriesRef,
        column: &Column,
        time: Timestamp,
    ) -> Result<Option<i64>> {
        let late = self.segments.iter().filter(|segment| segment.entry.last_time >= time.as_millis());
        let late: SmallVec<[Arc<Segment>; 4]> = late.cloned().collect();
        if late.is_empty() {
            return Ok(None);
        }
        let item = index.read().item(series.item).cloned();
        if let Some(Item::Family { labels, .. }) = item.as_deref() {
            late.iter().try_for_each(|segment| segment.join_histogram(index, labels))?;
        }
        newest_of_column(&late, series, column)
    }
}

impl Snapshot {
    pub(super) fn new(store: Store, view: View, failed: Option<Loss>) -> Self {
        let border = store.inner.retention_border();
        Self { store, view, failed, border }
    }

    fn head(&self, item: u32) -> Option<ItemHead<'_>> {
        self.view.heads.get(item)
    }
}

/// What one item has inside a window.
#[derive(Default)]
struct Found {
    /// Chunks of a single series, or of whole rows of a family.
    chunks: SmallVec<[Arc<Chunk>; 2]>,
    /// Chunks of single columns of a family.
    columns: Vec<(u32, Arc<Chunk>)>,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.columns.is_empty()
    }

    /// The chunks of one column of a family, in time order.
    fn column(&self, position: usize, column: &Column) -> SmallVec<[SeriesChunk; 2]> {
        let rows = self.chunks.iter().filter_map(|chunk| {
            let column = chunk.layout()?.position(column)?;
            Some(SeriesChunk { chunk: chunk.clone(), column })
        });
        let own = self.columns.iter().filter(|(own, _)| *own as usize == position);
        let own = own.map(|(_, chunk)| SeriesChunk { chunk: chunk.clone(), column: 0 });
        let mut chunks: SmallVec<[SeriesChunk; 2]> = rows.chain(own).collect();
        if !self.columns.is_empty() {
            chunks.sort_by_key(|part| part.chunk.time_range());
        }
        chunks
    }
}

impl Snapshot {
    /// The segments that touch the window.
    fn segments(&self, window: Window) -> SmallVec<[&Arc<Segment>; 4]> {
        self.view.segments.iter().filter(|segment| segment.touches(window)).collect()
    }

    fn window(&self, window: Window) -> Window {
        match self.border {
            Some(border) => Window::new(window.after.max(border), window.until),
            None => window,
        }
    }

    /// `columns`: those of a family, none for a single series.
    fn find(
        &self,
        item: u32,
        columns: &[Column],
        window: Window,
        segments: &[&Arc<Segment>],
    ) -> Result<Found> {
        let is_family = !columns.is_empty();
        let mut found = Found::default();
        let head = self.head(item);
        let held = head.and_then(|head| head.time_range());
        // The head keeps rows that are sealed already; most windows lie within them.
        let is_held = held.is_some_and(|(first, _)| first <= window.after.as_millis());
        if !is_held || matches!(head, Some(ItemHead::Columns(_))) {
            for segment in segments {
                segment.chunks(item, window, |series, is_rows, chunk| {
                    if is_rows || !is_family {
                        found.chunks.push(chunk);
                    } else {
                        found.columns.push((series.column, chunk));
                    }
                })?;
            }
        }
        let sealed = last_of(found.chunks.iter());
        match head {
            None => {}
            Some(ItemHead::Series(head)) => {
                found.chunks.extend(head.chunks(window).filter_map(|chunk| later(chunk, sealed)))
            }
            Some(ItemHead::Family(head)) => {
                let sealed = sealed.max(last_of(found.columns.iter().map(|(_, chunk)| chunk)));
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
                    let chunks: SmallVec<[Arc<Chunk>; 2]> = chunks.collect();
                    found.columns.extend(chunks.into_iter().map(|chunk| (number, chunk)));
                }
            }
        }
        if self.border.is_some() {
            // Whoever reads a chunk may ask it for more than the window that found it.
            let border = self.border.map(Timestamp::as_millis);
            found.chunks = found.chunks.into_iter().filter_map(|chunk| later(chunk, border)).collect();
            let columns = found.columns.into_iter();
            found.columns =
                columns.filter_map(|(column, chunk)| Some((column, later(chunk, border)?))).collect();
        }
        Ok(found)
    }
}

fn last_of<'a>(chunks: impl Iterator<Item = &'a Arc<Chunk>>) -> Option<i64> {
    chunks.filter_map(|chunk| chunk.time_range()).map(|(_, last)| last).max()
}

/// What of a head's chunk is later than what is sealed.
fn later(chunk: Arc<Chunk>, sealed: Option<i64>) -> Option<Arc<Chunk>> {
    let (first, last) = chunk.time_range()?;
    match sealed {
        Some(sealed) if last <= sealed => None,
        Some(sealed) if first <= sealed => {
            Some(Arc::new(Chunk::Later(chunk, Timestamp::from_millis(sealed))))
        }
        _ => Some(chunk),
    }
}

impl Source for Snapshot {
    fn losses(&self, window: Window) -> Vec<Loss> {
        let losses = self.view.losses.iter().chain(&self.failed);
        losses.filter(|loss| !loss.acknowledged && loss.touches(window)).cloned().collect()
    }

    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        let window = self.window(request.window);
        let segments = self.segments(window);
        for segment in &segments {
            segment.join(&self.store.inner.index, request.matchers)?;
        }
        let selection = Selection::resolve(&self.store.inner.index, request.matchers);
        let mut items = Vec::with_capacity(selection.items.len());
        for (number, item) in &selection.items {
            let columns: &[Column] = match &**item {
                Item::Single(_) => &[],
                Item::Family { columns, .. } => columns,
            };
            // An item without samples here was made after this snapshot, or has none in the window.
            let found = self.find(*number, columns, window, &segments)?;
            if found.is_empty() {
                continue;
            }
            match &**item {
                Item::Single(labels) => {
                    let chunks = found.chunks.into_iter().map(|chunk| SeriesChunk { chunk, column: 0 });
                    items.push(SourceItem::Series(Series::from_chunks(labels.clone(), chunks.collect())));
                }
                Item::Family { labels, columns } => {
                    let base = labels.metric_name();
                    let wanted: SmallVec<[usize; 24]> = columns
                        .iter()
                        .enumerate()
                        .filter(|(_, column)| selection.accepts_column(base, column))
                        .map(|(position, _)| position)
                        .collect();
                    select_family(&selection, request, item, columns, &wanted, found, &mut items);
                }
            }
        }
        items.sort_by(|a, b| a.labels().cmp(b.labels()));
        // A count or a sum may be a single series here and a column of its histogram there.
        items.dedup_by(|later, first| match (later, first) {
            (SourceItem::Series(later), SourceItem::Series(first)) => first.join(later),
            _ => false,
        });
        Ok(SeriesSet { items })
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Result<Vec<Arc<str>>> {
        let window = self.window(window);
        let mut values: HashSet<Arc<str>> = HashSet::new();
        for segment in self.segments(window) {
            segment.label_values(&self.store.inner.index, name, matchers, window, &mut values)?;
        }
        // What is in segments is told by those; the rest is in the heads.
        let selection = Selection::resolve(&self.store.inner.index, matchers);
        for (number, item) in selection.items.iter().filter(|(number, _)| self.head(*number).is_some()) {
            let (labels, columns): (_, &[Column]) = match &**item {
                Item::Single(labels) => (labels, &[]),
                Item::Family { labels, columns } => (labels, columns),
            };
            let is_virtual = matches!(name, METRIC_NAME | BUCKET_BOUND) && !columns.is_empty();
            let known = labels.label(name).filter(|label| !is_virtual && !values.contains(&label.value));
            if known.is_none() && !is_virtual {
                continue;
            }
            let found = self.find(*number, columns, window, &[])?;
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

fn select_family(
    selection: &Selection<'_>,
    request: &SelectRequest<'_>,
    item: &Item,
    columns: &[Column],
    wanted: &[usize],
    found: Found,
    into: &mut Vec<SourceItem>,
) {
    let is_bucket = |position: &usize| matches!(columns.get(*position), Some(Column::Bucket(_)));
    let all_buckets = !selection.looks_at_bounds()
        && wanted.iter().all(is_bucket)
        && wanted.len() == columns.iter().filter(|c| matches!(c, Column::Bucket(_))).count();
    if request.families
        && all_buckets
        && found.columns.is_empty()
        && let Some(layout) = common_layout(&found.chunks)
        && let Some(bucket) = wanted.first().and_then(|position| columns.get(*position))
    {
        let labels = item.shared_labels(bucket);
        into.push(SourceItem::Family(Family::from_chunks(labels, layout, found.chunks)));
        return;
    }
    for position in wanted {
        let Some(column) = columns.get(*position) else { continue };
        let parts = found.column(*position, column);
        if !parts.is_empty() {
            into.push(SourceItem::Series(Series::from_chunks(item.series_labels(column), parts)));
        }
    }
}
