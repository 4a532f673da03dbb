//! The groups of a sum over bucket series: sums for every step side by side, bound by bound, so that the buckets of a histogram
//! are added in one go. Labels are made at the end, once for each group.

use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::model::label::{BUCKET_BOUND, is_metadata};
use crate::model::{Labels, LabelsBuilder};
use crate::promql::func::rate::Reach;
use crate::promql::func::sum::Sum;
use crate::promql::plan::Aggregate;
use crate::source::{Family, Item, Layout};

use super::aggregate::is_grouped;
use super::column::Column;

/// Addresses of the texts that labels consist of: while the labels live, equal addresses are equal labels.
type Addresses = SmallVec<[usize; 8]>;

/// Which place among the bounds of a base each bucket has.
pub(super) enum Places {
    /// Bucket by bucket, from the first place on.
    InOrder,
    Each(SmallVec<[usize; 24]>),
}

/// All groups that have the same labels apart from their bound.
struct Base {
    labels: Labels,
    bounds: Vec<Bound>,
    /// The layout whose buckets are the bounds, one by one.
    layout: Option<Arc<Layout>>,
    /// Step by step, a sum for every bound.
    sums: Vec<Sum>,
    /// The same: whether something was added.
    present: Vec<bool>,
}

/// A bound of a base: one group.
struct Bound {
    text: Arc<str>,
    /// The item that contributed first; groups come in the order of these.
    first: usize,
}

/// The groups of a sum.
pub(super) struct FamilyGroups<'n> {
    grouping: &'n [String],
    without: bool,
    /// Whether names are kept until the query is done.
    delayed: bool,
    steps: usize,
    bases: Vec<Base>,
    by_addresses: HashMap<Addresses, usize>,
    by_labels: HashMap<Labels, usize>,
    /// How many sums there are.
    cells: usize,
}

impl<'n> FamilyGroups<'n> {
    pub(super) fn new(aggregate: &Aggregate<'n>, delayed: bool, steps: usize) -> Self {
        Self {
            grouping: aggregate.grouping,
            without: aggregate.without,
            delayed,
            steps,
            bases: Vec::new(),
            by_addresses: HashMap::new(),
            by_labels: HashMap::new(),
            cells: 0,
        }
    }

    /// How many sums there are.
    pub(super) fn cells(&self) -> usize {
        self.cells
    }

    /// The base of a family, which has to live for as long as the groups do.
    pub(super) fn base_of_family(&mut self, family: &Family) -> usize {
        // Delayed, a group may have the name of the buckets.
        if self.delayed {
            return self.base(family.labels());
        }
        let shared = family.shared_labels();
        let mut addresses = Addresses::new();
        if self.without {
            let kept = shared.iter().filter(|label| self.is_kept(&label.name));
            addresses.extend(kept.flat_map(|label| [address(&label.name), address(&label.value)]));
        } else {
            let kept = self.grouping.iter().filter(|name| self.is_kept(name));
            addresses.extend(kept.map(|name| shared.label(name).map_or(0, |label| address(&label.value))));
        }
        if let Some(base) = self.by_addresses.get(&addresses) {
            return *base;
        }
        let base = self.base(shared);
        self.by_addresses.insert(addresses, base);
        base
    }

    fn is_kept(&self, name: &str) -> bool {
        (self.delayed || !is_metadata(name)) && is_grouped(name, self.grouping, self.without)
    }

    /// The base of a series, given its labels without bound.
    pub(super) fn base(&mut self, labels: &Labels) -> usize {
        let labels = labels.filtered(|label| self.is_kept(&label.name));
        let bases = &mut self.bases;
        *self.by_labels.entry(labels).or_insert_with_key(|labels| {
            bases.push(Base {
                labels: labels.clone(),
                bounds: Vec::new(),
                layout: None,
                sums: Vec::new(),
                present: Vec::new(),
            });
            bases.len().saturating_sub(1)
        })
    }

    /// Where the buckets of a family stand among the bounds of a base; those that are new get a place.
    pub(super) fn places_of_family(&mut self, base: usize, item: usize, family: &Family) -> Places {
        let Some(found) = self.bases.get_mut(base) else { return Places::InOrder };
        let layout = family.layout();
        if found.layout.as_ref().is_some_and(|known| Arc::ptr_eq(known, layout)) {
            return Places::InOrder;
        }
        let buckets = family.bounds().len();
        let texts: SmallVec<[&Arc<str>; 24]> =
            (0..buckets).filter_map(|bucket| family.bound_text(bucket)).collect();
        let places: SmallVec<[usize; 24]> =
            texts.iter().map(|text| found.place(item, text, self.steps, &mut self.cells)).collect();
        if places.iter().enumerate().all(|(bucket, place)| bucket == *place) {
            found.layout = Some(layout.clone());
            return Places::InOrder;
        }
        Places::Each(places)
    }

    /// Adds the rates of all buckets of a histogram at one step, between these rows.
    pub(super) fn add_row(
        &mut self,
        base: usize,
        step: usize,
        places: &Places,
        (first, last): (&[f64], &[f64]),
        (reach, factor): (Reach, f64),
    ) {
        let Some(base) = self.bases.get_mut(base) else { return };
        let width = base.bounds.len();
        let start = step.saturating_mul(width);
        let cells = start..start.saturating_add(width);
        let (Some(sums), Some(present)) = (base.sums.get_mut(cells.clone()), base.present.get_mut(cells))
        else {
            return;
        };
        let rates =
            first.iter().zip(last).map(|(first, last)| reach.extend_counter_by(factor, last - first, *first));
        match places {
            Places::InOrder => {
                for ((sum, present), rate) in sums.iter_mut().zip(present).zip(rates) {
                    sum.add(rate);
                    *present = true;
                }
            }
            Places::Each(places) => {
                for (place, rate) in places.iter().zip(rates) {
                    if let (Some(sum), Some(present)) = (sums.get_mut(*place), present.get_mut(*place)) {
                        sum.add(rate);
                        *present = true;
                    }
                }
            }
        }
    }

    /// Adds the rates of one series at all steps.
    pub(super) fn add_column(
        &mut self,
        base: usize,
        (item, bound): (usize, &Arc<str>),
        rates: &[Option<f64>],
    ) {
        if rates.iter().all(Option::is_none) {
            return;
        }
        let Some(base) = self.bases.get_mut(base) else { return };
        let place = base.place(item, bound, self.steps, &mut self.cells);
        let width = base.bounds.len();
        for (step, rate) in rates.iter().enumerate() {
            let cell = step.saturating_mul(width).saturating_add(place);
            if let (Some(rate), Some(sum), Some(present)) =
                (rate, base.sums.get_mut(cell), base.present.get_mut(cell))
            {
                sum.add(*rate);
                *present = true;
            }
        }
    }

    /// Labels and sums of the groups, in the order of the series that contributed first; `items` are those that were added.
    pub(super) fn into_columns(self, items: &[Item]) -> impl Iterator<Item = (Labels, Column)> {
        let mut groups: Vec<(Labels, Labels, Column)> = Vec::new();
        for base in &self.bases {
            let width = base.bounds.len();
            for (place, bound) in base.bounds.iter().enumerate() {
                let Some(item) = items.get(bound.first) else { continue };
                let mut column = Column::absent(self.steps);
                for step in 0..self.steps {
                    let cell = step.saturating_mul(width).saturating_add(place);
                    if let (Some(sum), Some(true)) = (base.sums.get(cell), base.present.get(cell)) {
                        column.set_float(step, sum.total());
                    }
                }
                let first = with_bound(item.labels(), &bound.text);
                groups.push((first, with_bound(&base.labels, &bound.text), column));
            }
        }
        groups.sort_by(|a, b| a.0.cmp(&b.0));
        groups.into_iter().map(|(_, labels, column)| (labels, column))
    }
}

impl Base {
    /// The place of a bound, made if it is new.
    fn place(&mut self, item: usize, text: &Arc<str>, steps: usize, cells: &mut usize) -> usize {
        let is_bound = |bound: &Bound| Arc::ptr_eq(&bound.text, text) || bound.text == *text;
        if let Some(place) = self.bounds.iter().position(is_bound) {
            return place;
        }
        let width = self.bounds.len();
        self.bounds.push(Bound { text: text.clone(), first: item });
        self.sums = widened(&self.sums, width, steps);
        self.present = widened(&self.present, width, steps);
        *cells = cells.saturating_add(steps);
        width
    }
}

/// A table of `steps` rows with a column more.
fn widened<T: Copy + Default>(cells: &[T], width: usize, steps: usize) -> Vec<T> {
    let mut wider = Vec::with_capacity(steps.saturating_mul(width.saturating_add(1)));
    for step in 0..steps {
        let start = step.saturating_mul(width);
        wider.extend_from_slice(cells.get(start..start.saturating_add(width)).unwrap_or_default());
        wider.push(T::default());
    }
    wider
}

fn address(text: &Arc<str>) -> usize {
    Arc::as_ptr(text).addr()
}

/// The labels with this bound; those of a group whose bound is empty have none.
fn with_bound(labels: &Labels, bound: &Arc<str>) -> Labels {
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.set(BUCKET_BOUND, bound.clone());
    builder.build()
}
