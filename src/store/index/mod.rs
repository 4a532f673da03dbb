//! What the store holds, by labels: items, their columns, and postings.

mod columns;
mod item;
mod item_set;
mod leave;
mod limits;
mod paged;
mod postings;
mod resolve;
mod restore;
mod restoring;
mod symbols;

use std::hash::{BuildHasher, Hash, Hasher};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable};
use roaring::RoaringBitmap;

use crate::chunk::{Column, Layout};
use crate::error::{Error, ErrorKind, Result};
use crate::model::label::{BUCKET_BOUND, METRIC_NAME};
use crate::model::{Label, Labels};

use super::options::Limits;
pub(crate) use columns::ColumnList;
use columns::ColumnLists;
use item::split_name;
pub(crate) use item::{Item, ItemRef, SeriesRef, column_name, histogram_column, is_shared, shared_labels};
pub(crate) use leave::ItemBits;
use leave::Leaving;
use limits::check_labels;
use paged::Paged;
pub(crate) use postings::LabelLists;
use postings::NamePostings;
pub(crate) use resolve::{Items, Selection, accepts_column, candidates};
pub(crate) use restoring::Restoring;
use symbols::{Symbols, is_sparse};

/// What is known of an item.
#[derive(Debug)]
struct Known {
    /// Its own labels, or those that its series share.
    labels: Labels,
    /// The number of a histogram's columns.
    columns: Option<NonZeroU32>,
    /// Of the labels.
    hash: u32,
}

/// Everything that is known about what the store holds, but for the samples.
#[derive(Debug, Default)]
pub(crate) struct Index {
    symbols: Symbols,
    /// Items by their number; a number whose item has left has none until it is given out anew.
    items: Paged<Known>,
    /// Items that were ever made.
    made_items: u64,
    leaving: Leaving,
    columns: ColumnLists,
    series_count: usize,
    /// Items that nothing has been appended to for long, and how many series they are.
    idle: RoaringBitmap,
    idle_series: usize,
    /// Series that were made in a minute.
    made: (i64, usize),
    /// Every single series by its labels.
    singles: HashTable<u32>,
    /// The metric names that single series have.
    single_names: HashSet<Arc<str>>,
    /// Every family by its shared labels.
    families_by_labels: HashTable<u32>,
    families: Arc<RoaringBitmap>,
    /// Whether a single series is the column of a histogram as well: made before its histogram was known.
    split: bool,
    postings: HashMap<Arc<str>, Arc<NamePostings>>,
    hasher: DefaultHashBuilder,
    label_bytes: usize,
}

impl Index {
    /// The series with these labels, if the store has it.
    pub(crate) fn find(&self, labels: &Labels) -> Option<SeriesRef> {
        if self.split
            && let Some(series) = self.find_single(labels)
        {
            return Some(series);
        }
        self.find_column(labels).or_else(|| self.find_single(labels))
    }

    /// The column of a histogram that is the series with these labels.
    fn find_column(&self, labels: &Labels) -> Option<SeriesRef> {
        let bound = labels.label(BUCKET_BOUND);
        let (base, suffix) = split_name(labels, bound)?;
        let item = self.find_family(labels, base)?;
        let Some(ItemRef::Family { columns, .. }) = self.item(item) else { return None };
        let is_it = |column: &Column| match column {
            Column::Bucket(own) => bound.is_some_and(|bound| bound.value == *own),
            Column::Count => suffix == "_count",
            Column::Sum => suffix == "_sum",
        };
        let column = u32::try_from(columns.iter().position(is_it)?).ok()?;
        Some(SeriesRef { item, column })
    }

    fn find_single(&self, labels: &Labels) -> Option<SeriesRef> {
        self.find_single_hashed(labels, self.hash(labels.iter().map(|label| (&*label.name, &*label.value))))
    }

    fn find_single_hashed(&self, labels: &Labels, hash: u32) -> Option<SeriesRef> {
        let found = self.singles.find(widened(hash), |item| {
            self.has_hash(*item, hash)
                && matches!(self.item(*item), Some(ItemRef::Single(own)) if own == labels)
        });
        self.stays(found.copied()).map(|item| SeriesRef { item, column: 0 })
    }

    /// The family of a series whose name splits into `base` and a suffix.
    fn find_family(&self, labels: &Labels, base: &str) -> Option<u32> {
        self.find_family_hashed(labels, base, self.shared_hash(labels, base))
    }

    /// The classic histogram whose series share these labels.
    pub(crate) fn find_histogram(&self, shared: &Labels) -> Option<u32> {
        self.find_family(shared, shared.metric_name())
    }

    fn find_family_hashed(&self, labels: &Labels, base: &str, hash: u32) -> Option<u32> {
        let found = self.families_by_labels.find(widened(hash), |item| {
            self.has_hash(*item, hash)
                && matches!(self.item(*item), Some(ItemRef::Family { labels: own, .. }) if is_shared(own, labels, base))
        });
        self.stays(found.copied())
    }

    #[inline]
    fn has_hash(&self, item: u32, hash: u32) -> bool {
        self.items.get(item as usize).is_some_and(|known| known.hash == hash)
    }

    /// The hash of the labels that a series shares with its family's others.
    fn shared_hash(&self, labels: &Labels, base: &str) -> u32 {
        let shared = labels.iter().filter(|label| *label.name != *BUCKET_BOUND);
        self.hash(shared.map(|label| match &*label.name {
            METRIC_NAME => (METRIC_NAME, base),
            name => (name, &*label.value),
        }))
    }

    /// The same, where the labels are probably those of the series after `before`: a scrape has the order of the one
    /// before.
    pub(crate) fn find_after(&self, before: (&Labels, SeriesRef), labels: &Labels) -> Option<SeriesRef> {
        if self.split {
            return self.find(labels);
        }
        let (sibling, before) = before;
        let next_column = SeriesRef { column: before.column.saturating_add(1), ..before };
        let next_item = SeriesRef { item: before.item.saturating_add(1), column: 0 };
        let is_last = match self.item(before.item) {
            Some(ItemRef::Family { columns, .. }) => columns.len() <= next_column.column as usize,
            Some(ItemRef::Single(_)) | None => true,
        };
        let (next, sibling) = if is_last { (next_item, None) } else { (next_column, Some(sibling)) };
        if self.is(next, labels, sibling) {
            self.stays(Some(next.item));
            return Some(next);
        }
        self.find(labels)
    }

    /// Whether the series has these labels. `sibling`: labels that another series of the same item has.
    fn is(&self, series: SeriesRef, labels: &Labels, sibling: Option<&Labels>) -> bool {
        match self.item(series.item) {
            Some(ItemRef::Single(own)) => series.column == 0 && own == labels,
            Some(ItemRef::Family { labels: shared, columns }) => {
                let Some(column) = columns.get(series.column as usize) else { return false };
                let bound = match column {
                    Column::Bucket(bound) => Some(bound),
                    Column::Count | Column::Sum => None,
                };
                let mut shared = shared.iter();
                // A label that the sibling holds in the same memory needs no look at its text.
                let is_real = |label: &&Label| !matches!(&*label.name, METRIC_NAME | BUCKET_BOUND);
                let mut sibling = sibling.into_iter().flatten().filter(is_real);
                let mut bound_seen = false;
                for label in labels {
                    let same = match &*label.name {
                        BUCKET_BOUND => {
                            bound_seen = true;
                            bound == Some(&label.value)
                        }
                        METRIC_NAME => shared.next().is_some_and(|base| {
                            *base.name == *METRIC_NAME
                                && label.value.strip_suffix(column.suffix()) == Some(&*base.value)
                        }),
                        _ => {
                            let own = shared.next();
                            let same_pointers = sibling.next().is_some_and(|other| {
                                Arc::ptr_eq(&other.name, &label.name)
                                    && Arc::ptr_eq(&other.value, &label.value)
                            });
                            same_pointers || own == Some(label)
                        }
                    };
                    if !same {
                        return false;
                    }
                }
                shared.next().is_none() && bound_seen == bound.is_some()
            }
            None => false,
        }
    }

    /// The series with these labels, made if the store does not have it.
    pub(crate) fn find_or_create(&mut self, labels: &Labels, limits: &Limits) -> Result<SeriesRef> {
        if let Some(series) = self.find(labels) {
            return Ok(series);
        }
        check_labels(labels, limits)?;
        self.check_series(limits, labels)?;
        let series = match histogram_column(labels) {
            Some((column, base)) => match self.family_column(labels, &column, base, limits)? {
                Some(series) => series,
                None => self.create_single(labels)?,
            },
            None => self.create_single(labels)?,
        };
        self.series_count = self.series_count.saturating_add(1);
        Ok(series)
    }

    /// A new column of the family that these labels belong to. `None`: it is better a single series.
    fn family_column(
        &mut self,
        labels: &Labels,
        column: &Column,
        base: &str,
        limits: &Limits,
    ) -> Result<Option<SeriesRef>> {
        let item = match (self.find_family(labels, base), column) {
            (Some(item), _) => item,
            // A count or a sum alone is an ordinary counter.
            (None, Column::Count | Column::Sum) => return Ok(None),
            (None, Column::Bucket(_)) => self.create_family(&shared_labels(labels, base))?,
        };
        self.wake(item);
        let Some(ItemRef::Family { columns, .. }) = self.item(item) else { return Ok(None) };
        let is_bucket = |column: &&Column| matches!(column, Column::Bucket(_));
        if is_bucket(&column) && columns.iter().filter(is_bucket).count() >= limits.buckets_per_family {
            return Ok(None);
        }
        let position = u32::try_from(columns.len()).unwrap_or(u32::MAX);
        let columns = columns.clone();
        // Buckets share a name, and the item is told once by each.
        let is_told = columns.iter().any(|own| own.suffix() == column.suffix());
        let column = self.interned_column(column);
        let name = (!is_told).then(|| column_name(base, &column));
        let longer = self.columns.longer(&columns, column);
        self.set_columns(item, &longer);
        if let Some(name) = name {
            let (metric_name, name) = (self.symbols.intern(METRIC_NAME), self.symbols.intern(&name));
            self.post(&metric_name, &name, item);
        }
        Ok(Some(SeriesRef { item, column: position }))
    }

    fn interned_column(&mut self, column: &Column) -> Column {
        match column {
            Column::Bucket(bound) => Column::Bucket(self.symbols.intern(bound)),
            Column::Count | Column::Sum => column.clone(),
        }
    }

    fn set_columns(&mut self, item: u32, list: &ColumnList) {
        if let Some(known) = self.items.get_mut(item as usize) {
            known.columns = Some(list.number());
        }
    }

    /// The one layout of these columns.
    pub(crate) fn layout(&mut self, columns: &[Column]) -> Arc<Layout> {
        let columns = columns.iter().map(|column| self.interned_column(column)).collect();
        self.columns.layout(columns)
    }

    fn create_family(&mut self, shared: &Labels) -> Result<u32> {
        let hash = self.shared_hash(shared, shared.metric_name());
        let shared = self.interned(shared);
        let item = self.add_family(shared.clone(), hash)?;
        for label in shared.iter().filter(|label| &*label.name != METRIC_NAME) {
            self.post(&label.name, &label.value, item);
        }
        Ok(item)
    }

    /// A new family without postings, whose labels are symbols of this index and have this hash.
    fn add_family(&mut self, shared: Labels, hash: u32) -> Result<u32> {
        let item = self.next_item()?;
        let pairs = shared.len().saturating_mul(size_of::<Label>()).saturating_add(16);
        self.label_bytes = self.label_bytes.saturating_add(pairs);
        let columns = self.columns.empty();
        self.put_item(item, Known { labels: shared, columns: Some(columns.number()), hash });
        Arc::make_mut(&mut self.families).insert(item);
        let items = &self.items;
        self.families_by_labels.insert_unique(widened(hash), item, |item| widened_of(items, *item));
        Ok(item)
    }

    fn create_single(&mut self, labels: &Labels) -> Result<SeriesRef> {
        let hash = self.hash(labels.iter().map(|label| (&*label.name, &*label.value)));
        let labels = self.interned(labels);
        let item = self.add_single(labels.clone(), hash)?;
        for label in &labels {
            self.post(&label.name, &label.value, item);
        }
        Ok(SeriesRef { item, column: 0 })
    }

    /// A new single series without postings, whose labels are symbols of this index and have this hash.
    fn add_single(&mut self, labels: Labels, hash: u32) -> Result<u32> {
        let item = self.next_item()?;
        let pairs = labels.len().saturating_mul(size_of::<Label>()).saturating_add(16);
        self.label_bytes = self.label_bytes.saturating_add(pairs);
        if let Some(name) = labels.label(METRIC_NAME)
            && !self.single_names.contains(&name.value)
        {
            self.single_names.insert(name.value.clone());
        }
        self.put_item(item, Known { labels, columns: None, hash });
        let items = &self.items;
        self.singles.insert_unique(widened(hash), item, |item| widened_of(items, *item));
        Ok(item)
    }

    /// The number of an item that is made next.
    fn next_item(&self) -> Result<u32> {
        if let Some(number) = self.leaving.free_number() {
            return Ok(number);
        }
        u32::try_from(self.items.len()).map_err(|_| {
            Error::new(ErrorKind::Limit, "item limit: 4294967296 items asked, 4294967295 allowed")
        })
    }

    /// Puts a new item under the number that is next.
    fn put_item(&mut self, number: u32, item: Known) {
        self.leaving.give_out(number);
        self.items.put(number as usize, item);
        self.made_items = self.made_items.saturating_add(1);
    }

    fn interned(&mut self, labels: &Labels) -> Labels {
        let pairs: Arc<[Label]> = labels
            .iter()
            .map(|label| Label {
                name: self.symbols.intern(&label.name),
                value: self.symbols.intern(&label.value),
            })
            .collect();
        Labels::from_sorted(pairs)
    }

    /// The one copy of a text.
    pub(crate) fn symbol(&mut self, text: &str) -> Arc<str> {
        self.symbols.intern(text)
    }

    fn post(&mut self, name: &Arc<str>, value: &Arc<str>, item: u32) {
        self.post_items(name, value, item..=item);
    }

    fn post_items(&mut self, name: &Arc<str>, value: &Arc<str>, items: RangeInclusive<u32>) {
        let postings = match self.postings.get_mut(&**name) {
            Some(postings) => postings,
            None => self.postings.entry(name.clone()).or_default(),
        };
        Arc::make_mut(postings).insert(value, items);
    }

    fn hash<'a>(&self, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> u32 {
        let mut state = self.hasher.build_hasher();
        for (name, value) in pairs {
            name.hash(&mut state);
            value.hash(&mut state);
        }
        (state.finish() >> 32) as u32
    }

    #[inline]
    pub(crate) fn item(&self, item: u32) -> Option<ItemRef<'_>> {
        let Known { labels, columns, .. } = self.items.get(item as usize)?;
        Some(match columns {
            None => ItemRef::Single(labels),
            Some(number) => ItemRef::Family { labels, columns: self.columns.numbered(*number)? },
        })
    }

    /// How many series there are.
    pub(crate) fn series_count(&self) -> usize {
        self.series_count
    }

    /// How many families there are.
    pub(crate) fn family_count(&self) -> usize {
        usize::try_from(self.families.len()).unwrap_or(usize::MAX)
    }

    /// Bytes of memory for labels and for the index proper, roughly.
    pub(crate) fn byte_size(&self) -> (usize, usize) {
        let labels = self.symbols.byte_size().saturating_add(self.label_bytes);
        let tables = self.singles.capacity().saturating_add(self.families_by_labels.capacity());
        let postings = self.postings.values().map(|postings| postings.byte_size());
        let items = self.items.byte_size();
        // Tables are filled to seven eighths: a number and a byte of control for each place.
        let index = postings.fold(tables.saturating_mul(6), usize::saturating_add);
        (labels, index.saturating_add(items))
    }
}

/// The hash as tables take it, which look at its highest and its lowest bits.
#[inline]
fn widened(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[inline]
fn widened_of(items: &Paged<Known>, item: u32) -> u64 {
    widened(items.get(item as usize).map_or(0, |known| known.hash))
}

#[cfg(test)]
mod tests;
