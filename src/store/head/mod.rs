//! The samples of every item, in shards that are copied when a snapshot still reads them.

mod family;
mod series;

use std::sync::Arc;

use smallvec::SmallVec;

use crate::chunk::{Column, Layout};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Sample, SampleValue, Timestamp};

use super::index::SeriesRef;

pub(crate) use family::{FamilyHead, rows};
pub(crate) use series::SeriesHead;

/// What became of a sample that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    New,
    /// The series has the very same sample already.
    Duplicate,
}

/// The samples of one item.
#[derive(Clone, Debug)]
pub(crate) enum ItemHead {
    Series(SeriesHead),
    Family(FamilyHead),
    /// A family whose samples do not come as rows: a head for every column, in the order of the item's columns.
    Columns(Vec<SeriesHead>),
}

impl ItemHead {
    pub(crate) fn byte_size(&self) -> usize {
        match self {
            Self::Series(head) => head.byte_size(),
            Self::Family(head) => head.byte_size(),
            Self::Columns(heads) => heads.iter().fold(0, |sum, head| sum.saturating_add(head.byte_size())),
        }
    }

    /// Appends the samples of one instant to a family, each with its column. Tells `each` what became of each, in the
    /// same order.
    pub(crate) fn append_instant(
        &mut self,
        columns: &[Column],
        samples: &[(SeriesRef, Sample)],
        mut each: impl FnMut(&(SeriesRef, Sample), Result<Taken>),
    ) {
        if self.append_as_row(columns, samples, &mut each).is_some() {
            return;
        }
        if let Self::Family(head) = self {
            match head.to_columns(columns) {
                Ok(heads) => *self = Self::Columns(heads),
                Err(error) => {
                    let text = error.to_string();
                    for sample in samples {
                        each(sample, Err(Error::new(ErrorKind::Corrupt, text.clone())));
                    }
                    return;
                }
            }
        }
        if let Self::Columns(heads) = self
            && heads.len() < columns.len()
        {
            heads.resize_with(columns.len(), SeriesHead::default);
        }
        for sample in samples {
            let head = match self {
                Self::Columns(heads) => heads.get_mut(sample.0.column as usize),
                Self::Family(_) | Self::Series(_) => None,
            };
            let outcome = match head {
                Some(head) => head.append(sample.1.clone()),
                None => Err(Error::new(ErrorKind::Corrupt, "family has no such column")),
            };
            each(sample, outcome);
        }
    }

    /// `None`: the samples do not make a row, and nothing was done.
    fn append_as_row(
        &mut self,
        columns: &[Column],
        samples: &[(SeriesRef, Sample)],
        mut each: impl FnMut(&(SeriesRef, Sample), Result<Taken>),
    ) -> Option<()> {
        let Self::Family(head) = self else { return None };
        let (_, first) = samples.first()?;
        let time = first.timestamp.as_millis();
        let last = head.last_time();
        if last.is_some_and(|last| time < last) {
            return None;
        }
        let is_float =
            |sample: &Sample| matches!(sample.value, SampleValue::Float(_)) && sample.start.is_none();
        if !samples.iter().all(|(_, sample)| is_float(sample)) {
            return None;
        }
        let repeats = last == Some(time);
        let mut places: SmallVec<[usize; 24]> = SmallVec::with_capacity(samples.len());
        for (series, _) in samples {
            let column = columns.get(series.column as usize)?;
            let place = match head.place(series.column as usize, column) {
                Some(place) => place,
                None if repeats => return None,
                None => {
                    let of = |(series, _): &(SeriesRef, Sample)| columns.get(series.column as usize);
                    head.widen(samples.iter().filter_map(of));
                    places.clear();
                    break;
                }
            };
            places.push(place);
        }
        if places.is_empty() {
            for (series, _) in samples {
                places.push(head.place(series.column as usize, columns.get(series.column as usize)?)?);
            }
        }
        let mut row: SmallVec<[Option<f64>; 24]> = SmallVec::from_elem(None, head.width());
        if repeats {
            row.copy_from_slice(head.last_row());
            // A column that the row lacks would change it.
            if places.iter().any(|place| row.get(*place).is_none_or(Option::is_none)) {
                return None;
            }
        }
        let mut grown = false;
        for (sample, place) in samples.iter().zip(&places) {
            let SampleValue::Float(value) = sample.1.value else { continue };
            let Some(known) = row.get_mut(*place) else { continue };
            let outcome = match *known {
                Some(known) if known.to_bits() == value.to_bits() => Ok(Taken::Duplicate),
                Some(_) => Err(duplicate(sample.1.timestamp)),
                None => {
                    *known = Some(value);
                    grown = true;
                    Ok(Taken::New)
                }
            };
            each(sample, outcome);
        }
        if grown {
            head.append_placed(time, &row);
        }
        Some(())
    }

    /// Appends a row with a value for every column of `layout`. `false`: it has to go sample by sample.
    pub(crate) fn append_whole_row(&mut self, time: i64, layout: &Arc<Layout>, row: &[Option<f64>]) -> bool {
        match self {
            Self::Family(head) if head.last_time().is_none_or(|last| time > last) => {
                head.append_whole_row(time, layout, row);
                true
            }
            _ => false,
        }
    }
}

/// The items of one shard, by their number within it. An item that is created but has no sample is `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shard {
    items: Vec<Option<Arc<ItemHead>>>,
}

impl Shard {
    pub(crate) fn get(&self, slot: usize) -> Option<&Arc<ItemHead>> {
        self.items.get(slot)?.as_ref()
    }

    /// The items that have a head.
    #[cfg(test)]
    pub(crate) fn items(&self) -> impl Iterator<Item = &Arc<ItemHead>> {
        self.items.iter().flatten()
    }

    /// Bytes of memory that the item holds; 0 before it has a head.
    pub(crate) fn byte_size(&self, slot: usize) -> usize {
        self.get(slot).map_or(0, |item| item.byte_size())
    }

    /// The item to append to; a snapshot that reads it keeps what it has.
    pub(crate) fn item_mut(&mut self, slot: usize, is_family: bool) -> Option<&mut ItemHead> {
        if self.items.len() <= slot {
            self.items.resize(slot.saturating_add(1), None);
        }
        let item = self.items.get_mut(slot)?.get_or_insert_with(|| {
            Arc::new(match is_family {
                true => ItemHead::Family(FamilyHead::default()),
                false => ItemHead::Series(SeriesHead::default()),
            })
        });
        Some(Arc::make_mut(item))
    }
}

fn out_of_order(time: Timestamp, last: Timestamp) -> Error {
    Error::new(
        ErrorKind::OutOfOrder,
        format!(
            "sample at {time} is older than the last one in this series ({last}); samples must arrive in time order"
        ),
    )
}

fn duplicate(time: Timestamp) -> Error {
    Error::new(
        ErrorKind::OutOfOrder,
        format!("the series has a sample at {time} with another value; the first one is kept"),
    )
}
