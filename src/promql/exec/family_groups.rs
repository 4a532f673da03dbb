//! The groups of a sum over bucket series: sums for every step side by side, bound by bound, so that the buckets of a histogram
//! are added in one go. Labels are made at the end, once for each group.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::label::{BUCKET_BOUND, METRIC_TYPE, METRIC_UNIT, is_metadata};
use crate::model::{Label, Labels};
use crate::promql::func::rate::Reach;
use crate::promql::func::sum::Sum;
use crate::promql::plan::Aggregate;
use crate::source::{Family, Item, Layout};

use super::aggregate::is_grouped;
use super::column::Column;
use super::subsets::Subsets;

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

/// The groups of some of the steps.
pub(super) struct Stretch {
    bases: Vec<Base>,
    steps: usize,
}

/// Whether labels of this name tell one base from another.
type IsKept<'n> = Box<dyn Fn(&str) -> bool + 'n>;

/// The groups of a sum.
pub(super) struct FamilyGroups<'n> {
    /// Whether names are kept until the query is done.
    delayed: bool,
    steps: usize,
    bases: Vec<Base>,
    /// The number of each base.
    numbers: Subsets<IsKept<'n>>,
    /// Whether a type or a unit was seen.
    typed: Rc<Cell<bool>>,
    /// How many sums there are.
    cells: usize,
}

impl<'n> FamilyGroups<'n> {
    pub(super) fn new(aggregate: &Aggregate<'n>, delayed: bool, steps: usize) -> Self {
        let (grouping, without) = (aggregate.grouping, aggregate.without);
        let typed = Rc::new(Cell::new(false));
        let seen = typed.clone();
        let is_kept = move |name: &str| {
            if matches!(name, METRIC_TYPE | METRIC_UNIT) {
                seen.set(true);
            }
            name != BUCKET_BOUND && (delayed || !is_metadata(name)) && is_grouped(name, grouping, without)
        };
        let is_kept: IsKept<'n> = Box::new(is_kept);
        Self { delayed, steps, bases: Vec::new(), numbers: Subsets::new(is_kept), typed, cells: 0 }
    }

    /// How many sums there are.
    pub(super) fn cells(&self) -> usize {
        self.cells
    }

    /// Whether something has a type or a unit: these are dropped along with the name, which can make labels equal.
    pub(super) fn is_typed(&self) -> bool {
        self.typed.get()
    }

    /// The base of a family or a series, which has to live for as long as the groups do.
    pub(super) fn base(&mut self, item: &Item) -> usize {
        let labels = match item {
            // Delayed, a group may have the name of the buckets.
            Item::Family(family) if !self.delayed => family.shared_labels(),
            item => item.labels(),
        };
        let (number, new) = self.numbers.number(labels);
        self.bases.extend(new.map(|labels| Base {
            labels,
            bounds: Vec::new(),
            layout: None,
            sums: Vec::new(),
            present: Vec::new(),
        }));
        number
    }

    /// Where the buckets of a family stand among the bounds of a base; those that are new get a place.
    pub(super) fn places(&mut self, base: usize, item: usize, family: &Family) -> Places {
        let Some(found) = self.bases.get_mut(base) else { return Places::InOrder };
        let layout = family.layout();
        if found.layout.as_ref().is_some_and(|known| Arc::ptr_eq(known, layout)) {
            return Places::InOrder;
        }
        let buckets = family.bounds().len();
        let texts: SmallVec<[&Arc<str>; 24]> =
            (0..buckets).filter_map(|bucket| family.bound_text(bucket)).collect();
        let known = found.bounds.len();
        let places: SmallVec<[usize; 24]> = texts.iter().map(|text| found.place(item, text)).collect();
        found.widen(known, self.steps, &mut self.cells);
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
        let known = base.bounds.len();
        let place = base.place(item, bound);
        base.widen(known, self.steps, &mut self.cells);
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

    /// What a worker hands on.
    pub(super) fn into_stretch(self) -> Stretch {
        Stretch { bases: self.bases, steps: self.steps }
    }

    /// The groups of stretches of the steps, one behind the other, to each of which the same items were added.
    pub(super) fn joined(aggregate: &Aggregate<'n>, delayed: bool, stretches: Vec<Stretch>) -> Self {
        let mut joined = Self::new(aggregate, delayed, 0);
        for Stretch { bases, steps } in stretches {
            for (number, base) in bases.into_iter().enumerate() {
                match joined.bases.get_mut(number) {
                    Some(known) => known.join(base, (joined.steps, steps)),
                    None => joined.bases.push(base),
                }
            }
            joined.steps = joined.steps.saturating_add(steps);
        }
        joined.cells = joined.bases.iter().map(|base| base.sums.len()).sum();
        joined
    }

    /// Labels and sums of the groups, in the order of the series that contributed first; `items` are those that were added.
    pub(super) fn into_columns(self, items: &[Item]) -> impl Iterator<Item = (Labels, Column)> {
        let Self { bases, steps, .. } = self;
        let order = order(&bases, items);
        let name: Arc<str> = BUCKET_BOUND.into();
        order.into_iter().filter_map(move |(base, place)| {
            let base = bases.get(base)?;
            let bound = base.bounds.get(place)?;
            let width = base.bounds.len();
            let mut column = Column::absent(steps);
            for step in 0..steps {
                let cell = step.saturating_mul(width).saturating_add(place);
                if let (Some(sum), Some(true)) = (base.sums.get(cell), base.present.get(cell)) {
                    column.set_float(step, sum.total());
                }
            }
            Some((with_bound(&base.labels, &name, &bound.text), column))
        })
    }
}

/// Base and place of every group, in the order of the series that contributed first: that of their labels, of which the
/// bound is one.
fn order(bases: &[Base], items: &[Item]) -> Vec<(usize, usize)> {
    let groups = || {
        bases.iter().enumerate().flat_map(|(number, base)| {
            base.bounds.iter().enumerate().map(move |(place, bound)| (bound, (number, place)))
        })
    };
    // A label set without bound has its other labels where the bound would be.
    if groups().any(|(bound, _)| bound.text.is_empty()) {
        let name: Arc<str> = BUCKET_BOUND.into();
        let first = |bound: &Bound| {
            let labels = items.get(bound.first).map_or_else(Labels::empty, |item| item.labels().clone());
            with_bound(&labels, &name, &bound.text)
        };
        let mut order: Vec<_> = groups().map(|(bound, place)| (first(bound), place)).collect();
        order.sort();
        return order.into_iter().map(|(_, place)| place).collect();
    }
    // What stands before the bound comes first, then the bound, then the rest. Items have the order of both without the bound.
    let mut firsts: Vec<usize> = groups().map(|(bound, _)| bound.first).collect();
    firsts.sort_unstable();
    firsts.dedup();
    let mut classes: Vec<(usize, usize)> = Vec::with_capacity(firsts.len());
    for first in firsts {
        let class = match classes.last() {
            None => 0,
            Some((before, class)) => match (items.get(*before), items.get(first)) {
                (Some(a), Some(b)) if same_before_bound(a.labels(), b.labels()) => *class,
                _ => class.saturating_add(1),
            },
        };
        classes.push((first, class));
    }
    let class = |first: usize| {
        let place = classes.partition_point(|(other, _)| *other < first);
        classes.get(place).map_or(0, |(_, class)| *class)
    };
    let mut order: Vec<_> =
        groups().map(|(bound, place)| (class(bound.first), &bound.text, bound.first, place)).collect();
    order.sort();
    order.into_iter().map(|(.., place)| place).collect()
}

/// Whether two label sets have the same labels before where a bound stands.
fn same_before_bound(a: &Labels, b: &Labels) -> bool {
    let before = |label: &&Label| *label.name < *BUCKET_BOUND;
    a.iter().take_while(before).eq(b.iter().take_while(before))
}

impl Base {
    /// Goes on with the steps of another one behind its own.
    fn join(&mut self, other: Self, (steps, more): (usize, usize)) {
        let places: Vec<usize> = other.bounds.iter().map(|bound| self.join_bound(bound)).collect();
        let (width, known) = (self.bounds.len(), self.sums.len().checked_div(steps).unwrap_or(0));
        self.sums = widened(&self.sums, known, width.saturating_sub(known), steps);
        self.present = widened(&self.present, known, width.saturating_sub(known), steps);
        let cells = steps.saturating_add(more).saturating_mul(width);
        self.sums.resize(cells, Sum::default());
        self.present.resize(cells, false);
        for step in 0..more {
            for (from, to) in places.iter().enumerate() {
                let from = step.saturating_mul(places.len()).saturating_add(from);
                let to = steps.saturating_add(step).saturating_mul(width).saturating_add(*to);
                if let (Some(sum), Some(own)) = (other.sums.get(from), self.sums.get_mut(to)) {
                    *own = *sum;
                }
                if let (Some(present), Some(own)) = (other.present.get(from), self.present.get_mut(to)) {
                    *own = *present;
                }
            }
        }
    }

    /// The place of a bound of another one, which may have got it from an earlier item.
    fn join_bound(&mut self, bound: &Bound) -> usize {
        let place = self.place(bound.first, &bound.text);
        if let Some(own) = self.bounds.get_mut(place) {
            own.first = own.first.min(bound.first);
        }
        place
    }

    /// The place of a bound, made if it is new: then [`widen`](Self::widen) has to follow.
    fn place(&mut self, item: usize, text: &Arc<str>) -> usize {
        let is_bound = |bound: &Bound| Arc::ptr_eq(&bound.text, text) || bound.text == *text;
        if let Some(place) = self.bounds.iter().position(is_bound) {
            return place;
        }
        self.bounds.push(Bound { text: text.clone(), first: item });
        self.bounds.len().saturating_sub(1)
    }

    /// Makes room for the bounds behind the first `known`.
    fn widen(&mut self, known: usize, steps: usize, cells: &mut usize) {
        let more = self.bounds.len().saturating_sub(known);
        if more > 0 {
            self.sums = widened(&self.sums, known, more, steps);
            self.present = widened(&self.present, known, more, steps);
            *cells = cells.saturating_add(steps.saturating_mul(more));
        }
    }
}

/// A table of `steps` rows with some columns more.
fn widened<T: Copy + Default>(cells: &[T], width: usize, more: usize, steps: usize) -> Vec<T> {
    let mut wider = Vec::with_capacity(steps.saturating_mul(width.saturating_add(more)));
    for step in 0..steps {
        let start = step.saturating_mul(width);
        wider.extend_from_slice(cells.get(start..start.saturating_add(width)).unwrap_or_default());
        wider.extend(std::iter::repeat_n(T::default(), more));
    }
    wider
}

/// The labels with this bound, of which `name` is the name; with none if it is empty.
fn with_bound(labels: &Labels, name: &Arc<str>, bound: &Arc<str>) -> Labels {
    let others = || labels.iter().filter(|label| *label.name != **name);
    let mut pairs: SmallVec<[Label; 16]> = SmallVec::new();
    pairs.extend(others().take_while(|label| *label.name < **name).cloned());
    if !bound.is_empty() {
        pairs.push(Label { name: name.clone(), value: bound.clone() });
    }
    pairs.extend(others().skip_while(|label| *label.name < **name).cloned());
    Labels::from_sorted(pairs.as_slice())
}
