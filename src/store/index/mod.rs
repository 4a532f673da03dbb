//! What the store holds, by labels: items, their columns, and postings.

mod columns;
mod postings;
mod resolve;
mod symbols;

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use roaring::RoaringBitmap;
use smallvec::SmallVec;

use crate::chunk::{Column, Layout};
use crate::error::{Error, ErrorKind, Result};
use crate::model::label::{BUCKET_BOUND, METRIC_NAME};
use crate::model::{Label, Labels, LabelsBuilder, Timestamp};

use super::options::Limits;
use super::segment::PartKind;
pub(crate) use columns::ColumnList;
use columns::ColumnLists;
pub(crate) use postings::LabelLists;
use postings::NamePostings;
pub(crate) use resolve::{Items, Selection, accepts_column, candidates};
use symbols::Symbols;

/// A series: an item, and which of its columns. A single series is column 0 of its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SeriesRef {
    pub(crate) item: u32,
    pub(crate) column: u32,
}

/// What is indexed as one thing.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// One series with these labels.
    Single(Labels),
    /// A classic histogram: the labels that its series share, under the base name, and its columns in the order
    /// in which they came.
    Family { labels: Labels, columns: Arc<ColumnList> },
}

impl Item {
    /// The labels of one column's series.
    pub(crate) fn series_labels(&self, column: &Column) -> Labels {
        let bound = match column {
            Column::Bucket(bound) => Some(Label { name: BUCKET_BOUND.into(), value: bound.clone() }),
            Column::Count | Column::Sum => None,
        };
        self.column_labels(column, bound)
    }

    /// The labels that all series of the column's kind share: those of `x_bucket` without `le`.
    pub(crate) fn shared_labels(&self, column: &Column) -> Labels {
        self.column_labels(column, None)
    }

    fn column_labels(&self, column: &Column, mut bound: Option<Label>) -> Labels {
        let labels = match self {
            Self::Single(labels) => return labels.clone(),
            Self::Family { labels, .. } => labels,
        };
        let mut pairs: SmallVec<[Label; 24]> = SmallVec::with_capacity(labels.len().saturating_add(1));
        for label in labels {
            if let Some(bound) = bound.take_if(|bound| bound.name < label.name) {
                pairs.push(bound);
            }
            pairs.push(match &*label.name {
                METRIC_NAME => {
                    let value = column_name(&label.value, column).into();
                    Label { name: label.name.clone(), value }
                }
                _ => label.clone(),
            });
        }
        pairs.extend(bound);
        Labels::from_sorted(pairs.into_iter().collect::<Arc<[Label]>>())
    }
}

/// The metric name of the column's series.
pub(crate) fn column_name(base: &str, column: &Column) -> String {
    let mut name = String::with_capacity(base.len().saturating_add(7));
    name.push_str(base);
    name.push_str(column.suffix());
    name
}

/// How a metric name splits into a classic histogram's base name and the suffix of one of its columns.
fn split_name<'a>(labels: &'a Labels, bound: Option<&Label>) -> Option<(&'a str, &'static str)> {
    let name = labels.metric_name();
    let suffixes: &[&'static str] = if bound.is_some() { &["_bucket"] } else { &["_count", "_sum"] };
    let (base, suffix) = suffixes.iter().find_map(|suffix| Some((name.strip_suffix(suffix)?, *suffix)))?;
    (!base.is_empty()).then_some((base, suffix))
}

/// The column that labels name and its base name, if they look like a classic histogram's.
pub(crate) fn histogram_column(labels: &Labels) -> Option<(Column, &str)> {
    let bound = labels.label(BUCKET_BOUND);
    let (base, suffix) = split_name(labels, bound)?;
    let column = match (bound, suffix) {
        (Some(bound), _) => {
            bound.value.parse::<f64>().ok().filter(|bound| !bound.is_nan())?;
            Column::Bucket(bound.value.clone())
        }
        (None, "_count") => Column::Count,
        (None, _) => Column::Sum,
    };
    Some((column, base))
}

/// The labels that a series of a histogram with this base name shares with its others.
pub(crate) fn shared_labels(labels: &Labels, base: &str) -> Labels {
    let mut shared = LabelsBuilder::from_labels(labels);
    shared.set(METRIC_NAME, base).remove(BUCKET_BOUND);
    shared.build()
}

/// Everything that is known about what the store holds, but for the samples.
#[derive(Debug, Default)]
pub(crate) struct Index {
    symbols: Symbols,
    items: Vec<Arc<Item>>,
    columns: ColumnLists,
    series_count: usize,
    /// Items that nothing has been appended to for long, and how many series they are.
    idle: RoaringBitmap,
    idle_series: usize,
    /// Series that were made in a minute.
    made: (i64, usize),
    /// Every single series by its labels: (hash, item).
    singles: HashTable<(u64, u32)>,
    /// Every family by its shared labels: (hash, item).
    families_by_labels: HashTable<(u64, u32)>,
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
        let bound = labels.label(BUCKET_BOUND);
        if let Some((base, suffix)) = split_name(labels, bound)
            && let Some(item) = self.find_family(labels, base)
            && let Some(Item::Family { columns, .. }) = self.item(item).map(|item| &**item)
        {
            let is_it = |column: &Column| match column {
                Column::Bucket(own) => bound.is_some_and(|bound| bound.value == *own),
                Column::Count => suffix == "_count",
                Column::Sum => suffix == "_sum",
            };
            if let Some(column) = columns.iter().position(is_it).and_then(|column| u32::try_from(column).ok())
            {
                return Some(SeriesRef { item, column });
            }
        }
        self.find_single(labels)
    }

    fn find_single(&self, labels: &Labels) -> Option<SeriesRef> {
        let hash = self.hash(labels.iter().map(|label| (&*label.name, &*label.value)));
        let found = self.singles.find(hash, |(other, item)| {
            *other == hash
                && matches!(self.item(*item).map(|item| &**item), Some(Item::Single(own)) if own == labels)
        });
        found.map(|(_, item)| SeriesRef { item: *item, column: 0 })
    }

    /// The family of a series whose name splits into `base` and a suffix.
    fn find_family(&self, labels: &Labels, base: &str) -> Option<u32> {
        let hash = self.shared_hash(labels, base);
        let found = self.families_by_labels.find(hash, |(other, item)| {
            *other == hash
                && matches!(self.item(*item).map(|item| &**item), Some(Item::Family { labels: own, .. }) if is_shared(own, labels, base))
        });
        found.map(|(_, item)| *item)
    }

    /// The hash of the labels that a series shares with its family's others.
    fn shared_hash(&self, labels: &Labels, base: &str) -> u64 {
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
        let is_last = match self.item(before.item).map(|item| &**item) {
            Some(Item::Family { columns, .. }) => columns.len() <= next_column.column as usize,
            Some(Item::Single(_)) | None => true,
        };
        let (next, sibling) = if is_last { (next_item, None) } else { (next_column, Some(sibling)) };
        if self.is(next, labels, sibling) { Some(next) } else { self.find(labels) }
    }

    /// Whether the series has these labels. `sibling`: labels that another series of the same item has.
    fn is(&self, series: SeriesRef, labels: &Labels, sibling: Option<&Labels>) -> bool {
        match self.item(series.item).map(|item| &**item) {
            Some(Item::Single(own)) => series.column == 0 && own == labels,
            Some(Item::Family { labels: shared, columns }) => {
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
        self.check_series(1, limits, labels)?;
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

    fn check_series(&self, more: usize, limits: &Limits, labels: &Labels) -> Result<()> {
        let asked = self.active_count().saturating_add(more);
        if asked > limits.series {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("series limit: {asked} series asked, {} allowed; not added: {labels}", limits.series),
            ));
        }
        Ok(())
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
        let Some(Item::Family { columns, .. }) = self.item(item).map(|item| &**item) else { return Ok(None) };
        let is_bucket = |column: &&Column| matches!(column, Column::Bucket(_));
        if is_bucket(&column) && columns.iter().filter(is_bucket).count() >= limits.buckets_per_family {
            return Ok(None);
        }
        let position = u32::try_from(columns.len()).unwrap_or(u32::MAX);
        let columns = columns.clone();
        let column = self.interned_column(column);
        let name = self.symbols.intern(&column_name(base, &column));
        let longer = self.columns.longer(&columns, column);
        self.set_columns(item, longer);
        let metric_name = self.symbols.intern(METRIC_NAME);
        self.post(&metric_name, &name, item);
        Ok(Some(SeriesRef { item, column: position }))
    }

    fn interned_column(&mut self, column: &Column) -> Column {
        match column {
            Column::Bucket(bound) => Column::Bucket(self.symbols.intern(bound)),
            Column::Count | Column::Sum => column.clone(),
        }
    }

    fn set_columns(&mut self, item: u32, list: Arc<ColumnList>) {
        let item = self.items.get_mut(item as usize).map(Arc::make_mut);
        if let Some(Item::Family { columns, .. }) = item {
            *columns = list;
        }
    }

    /// The one layout of these columns.
    pub(crate) fn layout(&mut self, columns: &[Column]) -> Arc<Layout> {
        let columns = columns.iter().map(|column| self.interned_column(column)).collect();
        self.columns.layout(columns)
    }

    /// The series of these labels as a column of its family, both of which are made if they are not there, without a look at the
    /// limits. `None`: no family has such a column.
    pub(crate) fn restore_column(&mut self, labels: &Labels) -> Option<Result<SeriesRef>> {
        let (column, base) = histogram_column(labels)?;
        let item = match self.restore_family(&shared_labels(labels, base), std::slice::from_ref(&column)) {
            Ok(item) => item,
            Err(error) => return Some(Err(error)),
        };
        let Some(Item::Family { columns, .. }) = self.item(item).map(|item| &**item) else { return None };
        let place = columns.iter().position(|own| *own == column)?;
        Some(Ok(SeriesRef { item, column: u32::try_from(place).ok()? }))
    }

    /// The family whose series share these labels, with at least these columns; what it lacks is made without a look at the
    /// limits: for what a store holds already.
    pub(crate) fn restore_family(&mut self, shared: &Labels, wanted: &[Column]) -> Result<u32> {
        let known = self.find_family(shared, shared.metric_name());
        let item = match known {
            Some(item) => item,
            None => self.create_family(shared)?,
        };
        let Some(Item::Family { columns, .. }) = self.item(item).map(|item| &**item) else { return Ok(item) };
        let columns = columns.clone();
        let missing: Vec<Column> =
            wanted.iter().filter(|column| !columns.contains(column)).cloned().collect();
        if missing.is_empty() {
            return Ok(item);
        }
        let missing: Vec<Column> = missing.iter().map(|column| self.interned_column(column)).collect();
        if self.idle.contains(item) {
            self.idle_series = self.idle_series.saturating_add(missing.len());
        }
        self.series_count = self.series_count.saturating_add(missing.len());
        let metric_name = self.symbols.intern(METRIC_NAME);
        let (mut suffixes, mut suspects): (SmallVec<[&str; 3]>, SmallVec<[&str; 3]>) = Default::default();
        for column in &missing {
            if !suffixes.contains(&column.suffix()) {
                suffixes.push(column.suffix());
                let name = self.symbols.intern(&column_name(shared.metric_name(), column));
                let named = self.postings.get(METRIC_NAME).and_then(|names| names.equal(name.as_bytes())?);
                if named.is_some_and(|named| !named.is_subset(&self.families)) {
                    suspects.push(column.suffix());
                }
                self.post(&metric_name, &name, item);
            }
        }
        let is_single = |column: &Column| {
            let known = self.item(item).map(|item| item.series_labels(column));
            known.is_some_and(|labels| self.find_single(&labels).is_some())
        };
        self.split |= missing.iter().filter(|column| suspects.contains(&column.suffix())).any(is_single);
        let list = self.columns.list(columns.iter().cloned().chain(missing).collect());
        self.set_columns(item, list);
        Ok(item)
    }

    /// The single series with these labels, whatever histogram they look like; made without a look at the limits.
    pub(crate) fn restore_single(&mut self, labels: &Labels) -> Result<SeriesRef> {
        if let Some(series) = self.find_single(labels) {
            return Ok(series);
        }
        check_labels(labels, &Limits::unlimited())?;
        self.split |= self.find(labels).is_some();
        let series = self.create_single(labels)?;
        self.series_count = self.series_count.saturating_add(1);
        Ok(series)
    }

    fn create_family(&mut self, shared: &Labels) -> Result<u32> {
        let hash = self.shared_hash(shared, shared.metric_name());
        let shared = self.interned(shared);
        let item = self.next_item()?;
        let columns = self.columns.empty();
        self.items.push(Arc::new(Item::Family { labels: shared.clone(), columns }));
        Arc::make_mut(&mut self.families).insert(item);
        self.families_by_labels.insert_unique(hash, (hash, item), |(hash, _)| *hash);
        for label in shared.iter().filter(|label| &*label.name != METRIC_NAME) {
            self.post(&label.name, &label.value, item);
        }
        Ok(item)
    }

    fn create_single(&mut self, labels: &Labels) -> Result<SeriesRef> {
        let hash = self.hash(labels.iter().map(|label| (&*label.name, &*label.value)));
        let labels = self.interned(labels);
        let item = self.next_item()?;
        self.singles.insert_unique(hash, (hash, item), |(hash, _)| *hash);
        for label in &labels {
            self.post(&label.name, &label.value, item);
        }
        self.items.push(Arc::new(Item::Single(labels)));
        Ok(SeriesRef { item, column: 0 })
    }

    fn next_item(&self) -> Result<u32> {
        u32::try_from(self.items.len()).map_err(|_| {
            Error::new(ErrorKind::Limit, "item limit: 4294967296 items asked, 4294967295 allowed")
        })
    }

    fn interned(&mut self, labels: &Labels) -> Labels {
        let pairs: Arc<[Label]> = labels
            .iter()
            .map(|label| Label {
                name: self.symbols.intern(&label.name),
                value: self.symbols.intern(&label.value),
            })
            .collect();
        self.label_bytes = self.label_bytes.saturating_add(size_of_val(&*pairs)).saturating_add(16);
        Labels::from_sorted(pairs)
    }

    fn post(&mut self, name: &Arc<str>, value: &Arc<str>, item: u32) {
        let postings = self.postings.entry(name.clone()).or_default();
        Arc::make_mut(postings).insert(value, item);
    }

    fn hash<'a>(&self, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
        let mut state = self.hasher.build_hasher();
        for (name, value) in pairs {
            name.hash(&mut state);
            value.hash(&mut state);
        }
        state.finish()
    }

    /// Whether a histogram has all columns of a layout.
    pub(crate) fn has_columns(&self, item: u32, layout: &Arc<Layout>) -> bool {
        let Some(Item::Family { columns, .. }) = self.item(item).map(|item| &**item) else { return false };
        let known = columns.layout();
        Arc::ptr_eq(known, layout) || layout.columns().iter().all(|column| known.position(column).is_some())
    }

    /// An item of a segment, which is made here if it is not there; with the columns of these layouts if it is a histogram. What
    /// is made is not appended to. `None`: there can be no such item.
    pub(crate) fn restore(
        &mut self,
        labels: &Labels,
        kind: PartKind,
        layouts: &[&Arc<Layout>],
    ) -> Option<Result<SeriesRef>> {
        let known = self.items.len();
        let restored = match kind {
            PartKind::Single => self.restore_single(labels),
            PartKind::Column => self.restore_column(labels)?,
            PartKind::Family => {
                let mut item = self.restore_family(labels, &[]);
                for layout in layouts {
                    item = item.and_then(|_| self.restore_family(labels, layout.columns()));
                }
                item.map(|item| SeriesRef { item, column: 0 })
            }
        };
        if let Ok(series) = &restored
            && series.item as usize >= known
        {
            self.rest(series.item);
        }
        Some(restored)
    }

    pub(crate) fn item(&self, item: u32) -> Option<&Arc<Item>> {
        self.items.get(item as usize)
    }

    /// How many series are appended to.
    pub(crate) fn active_count(&self) -> usize {
        self.series_count.saturating_sub(self.idle_series)
    }

    fn width(&self, item: u32) -> usize {
        match self.item(item).map(|item| &**item) {
            Some(Item::Family { columns, .. }) => columns.len(),
            Some(Item::Single(_)) => 1,
            None => 0,
        }
    }

    /// Nothing is appended to the item any more: its series do not count against the limit.
    pub(crate) fn rest(&mut self, item: u32) {
        if self.idle.insert(item) {
            self.idle_series = self.idle_series.saturating_add(self.width(item));
        }
    }

    /// The item is appended to again.
    pub(crate) fn wake(&mut self, item: u32) {
        if self.idle.remove(item) {
            self.idle_series = self.idle_series.saturating_sub(self.width(item));
        }
    }

    /// Whether nothing has been appended to the item for long.
    pub(crate) fn is_idle(&self, item: u32) -> bool {
        self.idle.contains(item)
    }

    /// Counts a new series at the time `now`, if one more is allowed in its minute.
    pub(crate) fn check_rate(&mut self, now: Timestamp, limits: &Limits, labels: &Labels) -> Result<()> {
        let minute = now.as_millis().div_euclid(60_000);
        if self.made.0 != minute {
            self.made = (minute, 0);
        }
        let (made, allowed) = (self.made.1.saturating_add(1), limits.new_series_per_minute);
        if made > allowed {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("new series per minute limit: {made} asked, {allowed} allowed; not added: {labels}"),
            ));
        }
        self.made.1 = made;
        Ok(())
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
        let items = self.items.capacity().saturating_mul(size_of::<Item>().saturating_add(24));
        let index = postings.fold(tables.saturating_mul(17), usize::saturating_add);
        (labels, index.saturating_add(items))
    }
}

/// Whether a family with the labels `own` is the one of a series with these labels, whose name splits into `base` and a suffix.
fn is_shared(own: &Labels, labels: &Labels, base: &str) -> bool {
    let mut own = own.iter();
    let mut rest = labels.iter().filter(|label| *label.name != *BUCKET_BOUND);
    let same = rest.all(|label| {
        own.next().is_some_and(|own| match &*label.name {
            METRIC_NAME => *own.name == *METRIC_NAME && *own.value == *base,
            _ => own == label,
        })
    });
    same && own.next().is_none()
}

/// Refuses labels that exceed a limit, or that cannot be stored.
fn check_labels(labels: &Labels, limits: &Limits) -> Result<()> {
    let refuse = |what: &str, asked: usize, allowed: usize| {
        Err(Error::new(ErrorKind::Limit, format!("{what} limit: {asked} asked, {allowed} allowed")))
    };
    if labels.is_empty() {
        return Err(Error::new(ErrorKind::InvalidArgument, "a series needs at least one label"));
    }
    if labels.len() > limits.labels_per_series {
        return refuse("labels per series", labels.len(), limits.labels_per_series);
    }
    let mut total = 0_usize;
    for label in labels {
        if label.name.is_empty() {
            return Err(Error::new(ErrorKind::InvalidArgument, "a label needs a name"));
        }
        if label.name.len() > limits.label_name_bytes {
            return refuse("label name bytes", label.name.len(), limits.label_name_bytes);
        }
        if label.value.len() > limits.label_value_bytes {
            return refuse("label value bytes", label.value.len(), limits.label_value_bytes);
        }
        total = total.saturating_add(label.name.len()).saturating_add(label.value.len());
    }
    if total > limits.series_bytes {
        return refuse("series bytes", total, limits.series_bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
