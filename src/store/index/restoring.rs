//! Many items that a store holds already, on their way into the index one after the other: neighbours share most of their
//! labels, and stand in the postings of such a label as one run.

use std::sync::Arc;

use smallvec::SmallVec;

use super::restore::ColumnName;
use super::{Index, ItemRef, SeriesRef};
use crate::chunk::{Column, Layout};
use crate::error::Result;
use crate::model::Labels;
use crate::model::label::METRIC_NAME;

/// An index that learns of many items. Its postings lack some of them until this is dropped.
#[derive(Debug)]
pub(crate) struct Restoring<'a> {
    index: &'a mut Index,
    /// By the place of a label among its item's: the newest items that have it.
    labels: Vec<Run>,
    /// The same for the metric names of histograms' columns, by suffix.
    names: Vec<Run>,
    newest: Option<NewestNames>,
}

/// The metric names of the newest histogram's columns, which another one of its base name and layout has as well.
#[derive(Debug)]
struct NewestNames {
    base: Arc<str>,
    layout: Arc<Layout>,
    names: SmallVec<[ColumnName; 3]>,
}

/// Items that follow each other, and a label that all of them have.
#[derive(Debug)]
struct Run {
    name: Arc<str>,
    value: Arc<str>,
    first: u32,
    last: u32,
}

impl Index {
    /// The index, to learn of many items.
    pub(crate) fn restoring(&mut self) -> Restoring<'_> {
        Restoring { index: self, labels: Vec::new(), names: Vec::new(), newest: None }
    }

    fn post_run(&mut self, run: &Run) {
        self.post_items(&run.name, &run.value, run.first..=run.last);
    }
}

impl Restoring<'_> {
    /// The one copy of a text.
    pub(crate) fn symbol(&mut self, text: &str) -> Arc<str> {
        self.index.symbol(text)
    }

    /// The one layout of these columns.
    pub(crate) fn layout(&mut self, columns: &[Column]) -> Arc<Layout> {
        self.index.layout(columns)
    }

    /// The single series with these labels, which are symbols of this index, whatever histogram they look like; made without a
    /// look at the limits.
    pub(crate) fn single(&mut self, labels: &Labels) -> Result<u32> {
        let (item, is_new) = self.index.restore_unposted_single(labels)?;
        if is_new {
            self.post(labels, item);
        }
        Ok(item)
    }

    /// The histogram whose series share these labels, which are symbols of this index; made without columns if it is not there.
    pub(crate) fn shared(&mut self, labels: &Labels) -> Result<u32> {
        let (item, is_new) = self.index.restore_unposted_family(labels)?;
        if is_new {
            self.post(labels, item);
        }
        Ok(item)
    }

    /// A column of a histogram, see [`Index::restore_column`].
    pub(crate) fn column(&mut self, labels: &Labels) -> Option<Result<SeriesRef>> {
        self.index.restore_column(labels)
    }

    /// Gives a histogram without columns those of a layout of this index. One that has some, or is none, stays as it is.
    pub(crate) fn columns(&mut self, item: u32, layout: &Arc<Layout>) {
        let Some(ItemRef::Family { labels, columns }) = self.index.item(item) else { return };
        let name = labels.label(METRIC_NAME).filter(|_| columns.is_empty());
        let Some(base) = name.map(|label| label.value.clone()) else {
            return;
        };
        let is_same =
            |newest: &&NewestNames| Arc::ptr_eq(&newest.base, &base) && Arc::ptr_eq(&newest.layout, layout);
        let names = match self.newest.as_ref().filter(is_same) {
            Some(newest) => newest.names.clone(),
            None => {
                let names = self.index.column_names(&base, layout.columns());
                self.newest = Some(NewestNames { base, layout: layout.clone(), names: names.clone() });
                names
            }
        };
        let list = self.index.columns.laid_out(layout);
        self.index.add_named_columns(item, &names, layout.columns(), &list);
        let metric_name = self.index.symbol(METRIC_NAME);
        for (place, (_, name)) in names.iter().enumerate() {
            post(self.index, &mut self.names, place, (&metric_name, name), item);
        }
    }

    fn post(&mut self, labels: &Labels, item: u32) {
        let is_family = matches!(self.index.item(item), Some(ItemRef::Family { .. }));
        // A histogram is found by the names of its columns.
        let posted = labels.iter().filter(|label| !is_family || &*label.name != METRIC_NAME);
        for (place, label) in posted.enumerate() {
            post(self.index, &mut self.labels, place, (&label.name, &label.value), item);
        }
    }
}

/// An item has a label: a run grows, or ends, and another one begins in its place.
fn post(
    index: &mut Index,
    runs: &mut Vec<Run>,
    place: usize,
    (name, value): (&Arc<str>, &Arc<str>),
    item: u32,
) {
    let run = || Run { name: name.clone(), value: value.clone(), first: item, last: item };
    match runs.get_mut(place) {
        Some(known)
            if known.last.checked_add(1) == Some(item)
                && Arc::ptr_eq(&known.value, value)
                && Arc::ptr_eq(&known.name, name) =>
        {
            known.last = item;
        }
        Some(known) => {
            let ended = std::mem::replace(known, run());
            index.post_run(&ended);
        }
        None => runs.push(run()),
    }
}

impl Drop for Restoring<'_> {
    fn drop(&mut self) {
        for run in self.labels.drain(..).chain(self.names.drain(..)) {
            self.index.post_run(&run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::LabelLists;
    use super::*;
    use crate::model::Label;
    use proptest::prelude::*;

    /// A label's name, its items, and those of each value.
    type Posted = (String, Vec<u32>, Vec<(usize, Vec<u32>)>);

    fn posted(index: &Index) -> Vec<Posted> {
        let items = |index: &Index, name: &str, value: usize| {
            let known = index.postings[name].equal(value.to_string().as_bytes()).unwrap();
            (value, known.map(|items| items.iter().collect()).unwrap_or_default())
        };
        let mut names: Vec<&Arc<str>> = index.postings.keys().collect();
        names.sort();
        let of = |name: &&Arc<str>| {
            let values = match &***name {
                METRIC_NAME => ["h_bucket", "h_count", "h_sum", "s"]
                    .iter()
                    .enumerate()
                    .map(|(place, value)| {
                        let known = index.postings[METRIC_NAME].equal(value.as_bytes()).unwrap();
                        (place, known.map(|items| items.iter().collect()).unwrap_or_default())
                    })
                    .collect(),
                name => (0..100).map(|value| items(index, name, value)).collect(),
            };
            let all = index.postings[&***name].all().unwrap().iter().collect();
            (name.to_string(), all, values)
        };
        names.iter().map(of).collect()
    }

    proptest! {
        #[test]
        fn items_that_are_learned_together_are_posted_as_one_by_one(
            items in proptest::collection::vec((any::<bool>(), 0..3_u32, 0..3_u32, 0..100_u32, any::<bool>()), 0..120),
        ) {
            let columns = [Column::Bucket("1".into()), Column::Bucket("+Inf".into()), Column::Count, Column::Sum];
            let (mut alone, mut together) = (Index::default(), Index::default());
            let mut restoring = together.restoring();
            for (is_family, a, b, c, has_b) in items {
                let name = if is_family { "h" } else { "s" };
                let (a, b, c) = (a.to_string(), b.to_string(), c.to_string());
                let mut pairs = vec![(METRIC_NAME, name), ("a", &*a)];
                pairs.extend(has_b.then_some(("b", &*b)));
                pairs.push(("c", &*c));
                let labels = Labels::from_pairs(pairs);
                let symbols: Arc<[Label]> = labels
                    .iter()
                    .map(|label| Label { name: restoring.symbol(&label.name), value: restoring.symbol(&label.value) })
                    .collect();
                let symbols = Labels::from_sorted(symbols);
                if is_family {
                    let layout = restoring.layout(&columns);
                    let item = restoring.shared(&symbols).unwrap();
                    restoring.columns(item, &layout);
                    prop_assert_eq!(alone.restore_family(&labels, &columns).unwrap(), item);
                } else {
                    let item = restoring.single(&symbols).unwrap();
                    prop_assert_eq!(alone.restore_single(&labels).unwrap().item, item);
                }
            }
            drop(restoring);
            prop_assert_eq!(posted(&alone), posted(&together));
            prop_assert_eq!((alone.series_count(), alone.split), (together.series_count(), together.split));
        }
    }
}
