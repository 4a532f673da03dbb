//! The samples of every item, in shards that are copied when a snapshot still reads them.

mod family;
mod series;

use std::sync::Arc;

use crate::chunk::{Chunk, Layout};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;

use super::SHARDS;
use super::index::{ColumnList, Item};

pub(crate) use family::FamilyHead;
pub(crate) use series::{Newest, SeriesHead};

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
    /// A head for an item without samples.
    pub(crate) fn new(item: &Item) -> Self {
        match item {
            Item::Single(_) => Self::Series(SeriesHead::default()),
            Item::Family { columns, .. } => Self::Family(FamilyHead::new(columns.layout().clone())),
        }
    }

    pub(crate) fn byte_size(&self) -> usize {
        let inner = match self {
            Self::Series(head) => head.byte_size(),
            Self::Family(head) => head.byte_size(),
            Self::Columns(heads) => {
                let heads = heads.iter().map(|head| head.byte_size().saturating_add(size_of::<SeriesHead>()));
                heads.fold(0, usize::saturating_add)
            }
        };
        inner.saturating_add(size_of::<Self>()).saturating_add(16)
    }

    /// First and last time of what is held here.
    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        match self {
            Self::Series(head) => head.time_range(),
            Self::Family(head) => head.time_range(),
            Self::Columns(heads) => {
                heads.iter().filter_map(SeriesHead::time_range).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
            }
        }
    }

    /// Whether all of it is sealed; `sealed` has the newest time that segments have, for each column of a head of columns.
    pub(crate) fn is_sealed(&self, sealed: &[Option<i64>]) -> bool {
        let is_sealed = |range: Option<(i64, i64)>, sealed: &Option<i64>| {
            range.is_none_or(|(_, last)| *sealed >= Some(last))
        };
        match self {
            Self::Series(_) | Self::Family(_) => {
                sealed.first().is_some_and(|sealed| is_sealed(self.time_range(), sealed))
            }
            Self::Columns(heads) => {
                heads.iter().zip(sealed).all(|(head, sealed)| is_sealed(head.time_range(), sealed))
            }
        }
    }

    /// Whether there are full chunks that are sealed.
    pub(crate) fn can_forget(&self, sealed: &[Option<i64>]) -> bool {
        let first = sealed.first().copied().flatten();
        match self {
            Self::Series(head) => first.is_some_and(|until| head.can_forget(until)),
            Self::Family(head) => first.is_some_and(|until| head.can_forget(until)),
            Self::Columns(heads) => heads
                .iter()
                .zip(sealed)
                .any(|(head, until)| until.is_some_and(|until| head.can_forget(until))),
        }
    }

    /// Forgets full chunks that are sealed.
    pub(crate) fn forget(&mut self, sealed: &[Option<i64>]) {
        let first = sealed.first().copied().flatten();
        match (self, first) {
            (Self::Series(head), Some(until)) => head.forget(until),
            (Self::Family(head), Some(until)) => head.forget(until),
            (Self::Columns(heads), _) => {
                for (head, until) in heads.iter_mut().zip(sealed) {
                    if let Some(until) = until {
                        head.forget(*until);
                    }
                }
            }
            (Self::Series(_) | Self::Family(_), None) => {}
        }
    }

    /// A family as columns from here on, one head for each.
    pub(crate) fn as_columns(&mut self, columns: &ColumnList) -> Result<&mut Vec<SeriesHead>> {
        if let Self::Family(head) = self {
            *self = Self::Columns(head.to_columns(columns)?);
        }
        match self {
            Self::Columns(heads) => {
                if heads.len() < columns.len() {
                    heads.resize_with(columns.len(), SeriesHead::default);
                }
                Ok(heads)
            }
            _ => Err(Error::new(ErrorKind::Corrupt, "a single series has no columns")),
        }
    }
}

/// The items of one shard, by their number within it. An item that is created but has no sample is `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shard {
    items: Vec<Option<Arc<ItemHead>>>,
}

/// The heads of all items.
#[derive(Clone, Debug)]
pub(crate) struct Heads {
    shards: [Arc<Shard>; SHARDS],
}

impl Default for Heads {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Arc::default()) }
    }
}

impl Heads {
    pub(crate) fn get(&self, item: u32) -> Option<&Arc<ItemHead>> {
        self.shards.get(item as usize % SHARDS)?.items.get(item as usize / SHARDS)?.as_ref()
    }

    /// The item to append to; a snapshot that reads it keeps what it has.
    pub(crate) fn get_mut(&mut self, item: u32, new: impl FnOnce() -> ItemHead) -> Option<&mut ItemHead> {
        let shard = Arc::make_mut(self.shards.get_mut(item as usize % SHARDS)?);
        let slot = item as usize / SHARDS;
        if shard.items.len() <= slot {
            shard.items.resize(slot.saturating_add(1), None);
        }
        let head = shard.items.get_mut(slot)?.get_or_insert_with(|| Arc::new(new()));
        Some(Arc::make_mut(head))
    }

    /// Takes an item's head away: all its samples are elsewhere.
    pub(crate) fn remove(&mut self, item: u32) {
        if let Some(shard) = self.shards.get_mut(item as usize % SHARDS).map(Arc::make_mut)
            && let Some(slot) = shard.items.get_mut(item as usize / SHARDS)
        {
            *slot = None;
        }
    }

    /// All heads with their item's number, shard by shard.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Arc<ItemHead>)> {
        self.shards.iter().enumerate().flat_map(|(number, shard)| {
            let items = shard.items.iter().enumerate();
            items.filter_map(move |(slot, head)| {
                let item = slot.checked_mul(SHARDS)?.checked_add(number)?;
                Some((u32::try_from(item).ok()?, head.as_ref()?))
            })
        })
    }

    /// Bytes of memory that all heads hold.
    pub(crate) fn byte_size(&self) -> usize {
        self.iter().map(|(_, head)| head.byte_size()).fold(0, usize::saturating_add)
    }
}

/// The layout that all chunks have, if it is one.
pub(crate) fn common_layout(chunks: &[Arc<Chunk>]) -> Option<Arc<Layout>> {
    let (first, others) = chunks.split_first()?;
    let first = first.layout()?;
    let same = |layout: &Arc<Layout>| Arc::ptr_eq(layout, first) || **layout == **first;
    others.iter().all(|chunk| chunk.layout().is_some_and(same)).then(|| first.clone())
}

pub(crate) fn out_of_order(time: Timestamp, last: Timestamp) -> Error {
    Error::new(
        ErrorKind::OutOfOrder,
        format!(
            "sample at {time} is older than the last one in this series ({last}); samples must arrive in time order"
        ),
    )
}

pub(crate) fn duplicate(time: Timestamp) -> Error {
    Error::new(
        ErrorKind::OutOfOrder,
        format!("the series has a sample at {time} with another value; the first one is kept"),
    )
}
