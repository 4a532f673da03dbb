//! A view that stays as it is, and the series in it.

use std::sync::Arc;

use hashbrown::HashSet;
use smallvec::SmallVec;

use crate::error::Result;
use crate::source::{Family, Item as SourceItem, SelectRequest, Series, SeriesChunk, SeriesSet, Source};

use super::head::{ItemHead, Shard, rows};
use super::index::{Item, Selection, column_name};
use super::{SHARDS, Store};
use crate::chunk::{Chunk, Column};
use crate::model::label::{BUCKET_BOUND, METRIC_NAME};
use crate::model::{Matcher, Window};

/// What a [`Store`] held at one moment: every commit before it, nothing of those after. Cheap to clone.
///
/// It holds no lock: writers go on, and the same question gets the same answer for as long as the snapshot lives.
#[derive(Clone, Debug)]
pub struct Snapshot {
    store: Store,
    shards: Arc<[Arc<Shard>]>,
}

impl Snapshot {
    pub(super) fn new(store: Store, shards: Arc<[Arc<Shard>]>) -> Self {
        Self { store, shards }
    }

    fn head(&self, item: u32) -> Option<&Arc<ItemHead>> {
        self.shards.get(item as usize % SHARDS)?.get(item as usize / SHARDS)
    }
}

impl Source for Snapshot {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        let selection = Selection::resolve(&self.store.inner.index, request.matchers);
        let mut items = Vec::with_capacity(selection.items.len());
        for (number, item) in &selection.items {
            // An item without head was made after this snapshot, or has no sample.
            let Some(head) = self.head(*number) else { continue };
            match (&**item, &**head) {
                (Item::Single(labels), ItemHead::Series(series)) => {
                    let chunks = series.chunks(request.window);
                    let chunks: SmallVec<_> = chunks.map(|chunk| SeriesChunk { chunk, column: 0 }).collect();
                    if !chunks.is_empty() {
                        items.push(SourceItem::Series(Series::from_chunks(labels.clone(), chunks)));
                    }
                }
                (Item::Family { labels, columns }, head) => {
                    let base = labels.metric_name();
                    let wanted: SmallVec<[usize; 24]> = columns
                        .iter()
                        .enumerate()
                        .filter(|(_, column)| selection.accepts_column(base, column))
                        .map(|(position, _)| position)
                        .collect();
                    select_family(&selection, request, item, columns, &wanted, head, &mut items);
                }
                (Item::Single(_), _) => {}
            }
        }
        items.sort_by(|a, b| a.labels().cmp(b.labels()));
        Ok(SeriesSet { items })
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Result<Vec<Arc<str>>> {
        let selection = Selection::resolve(&self.store.inner.index, matchers);
        let mut values: HashSet<Arc<str>> = HashSet::new();
        for (number, item) in &selection.items {
            let Some(head) = self.head(*number) else { continue };
            let (labels, columns): (_, &[Column]) = match &**item {
                Item::Single(labels) => (labels, &[]),
                Item::Family { labels, columns } => (labels, columns),
            };
            let base = labels.metric_name();
            let there = columns
                .iter()
                .enumerate()
                .filter(|(_, column)| selection.accepts_column(base, column))
                .filter(|(position, column)| match &**head {
                    ItemHead::Family(head) => {
                        head.layouts(window).any(|layout| layout.position(column).is_some())
                    }
                    ItemHead::Columns(heads) => heads.get(*position).is_some_and(|head| head.touches(window)),
                    ItemHead::Series(_) => false,
                })
                .map(|(_, column)| column);
            match (&**head, name) {
                (ItemHead::Series(series), _) => {
                    if let Some(label) = labels.label(name).filter(|_| series.touches(window)) {
                        values.insert(label.value.clone());
                    }
                }
                (_, METRIC_NAME) => values.extend(there.map(|column| column_name(base, column).into())),
                (_, BUCKET_BOUND) => values.extend(there.filter_map(|column| match column {
                    Column::Bucket(bound) => Some(bound.clone()),
                    Column::Count | Column::Sum => None,
                })),
                _ => {
                    let mut there = there;
                    let known = labels.label(name).filter(|label| !values.contains(&label.value));
                    if let Some(label) = known.filter(|_| there.next().is_some()) {
                        values.insert(label.value.clone());
                    }
                }
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
    head: &ItemHead,
    into: &mut Vec<SourceItem>,
) {
    match head {
        ItemHead::Family(head) => {
            let chunks: SmallVec<[Arc<Chunk>; 2]> = head.chunks(request.window).collect();
            if chunks.is_empty() {
                return;
            }
            let is_bucket = |position: &usize| matches!(columns.get(*position), Some(Column::Bucket(_)));
            let all_buckets = !selection.looks_at_bounds()
                && wanted.iter().all(is_bucket)
                && wanted.len() == columns.iter().filter(|c| matches!(c, Column::Bucket(_))).count();
            if request.families
                && all_buckets
                && let Some(layout) = head.common_layout(request.window)
                && let Some(bucket) = wanted.first().and_then(|position| columns.get(*position))
            {
                let labels = item.shared_labels(bucket);
                into.push(SourceItem::Family(Family::from_chunks(labels, layout, chunks)));
                return;
            }
            for column in wanted.iter().filter_map(|position| columns.get(*position)) {
                let parts: SmallVec<[SeriesChunk; 2]> = chunks
                    .iter()
                    .filter_map(|chunk| {
                        let column = rows(chunk)?.layout().position(column)?;
                        Some(SeriesChunk { chunk: chunk.clone(), column })
                    })
                    .collect();
                if !parts.is_empty() {
                    into.push(SourceItem::Series(Series::from_chunks(item.series_labels(column), parts)));
                }
            }
        }
        ItemHead::Columns(heads) => {
            for position in wanted {
                let (Some(column), Some(head)) = (columns.get(*position), heads.get(*position)) else {
                    continue;
                };
                let chunks = head.chunks(request.window);
                let chunks: SmallVec<_> = chunks.map(|chunk| SeriesChunk { chunk, column: 0 }).collect();
                if !chunks.is_empty() {
                    into.push(SourceItem::Series(Series::from_chunks(item.series_labels(column), chunks)));
                }
            }
        }
        ItemHead::Series(_) => {}
    }
}
