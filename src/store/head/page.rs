//! The heads of neighbouring items, side by side in memory.

use std::sync::Arc;

use super::{FamilyHead, HeldFamily, ItemHead, ItemHeadMut, SeriesHead, columns_size};
use crate::chunk::{FamilyRows, OpenRows};
use crate::error::{Error, ErrorKind, Result};
use crate::store::index::{ColumnList, Item};

/// Items of one page.
pub(super) const PAGE_ITEMS: u32 = 16;

/// The heads of [`PAGE_ITEMS`] items, each kind for itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    slots: [Slot; PAGE_ITEMS as usize],
    series: Vec<SeriesHead>,
    families: Vec<FamilyHead>,
    /// Few pages have any.
    columns: Option<Box<Columns>>,
}

/// Heads for the columns of families.
type Columns = Vec<Vec<SeriesHead>>;

/// Where an item's head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// The item has no sample.
    Empty,
    Series(u8),
    Family(u8),
    Columns(u8),
}

/// The same in a byte: the kind above the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot(u8);

impl Slot {
    #[inline]
    fn held(self) -> Held {
        let place = self.0 & 0x3f;
        match self.0 >> 6 {
            0 => Held::Empty,
            1 => Held::Series(place),
            2 => Held::Family(place),
            _ => Held::Columns(place),
        }
    }
}

impl From<Held> for Slot {
    fn from(held: Held) -> Self {
        Self(match held {
            Held::Empty => 0,
            Held::Series(place) => 1 << 6 | place,
            Held::Family(place) => 2 << 6 | place,
            Held::Columns(place) => 3 << 6 | place,
        })
    }
}

impl Page {
    pub(super) fn get(self: &Arc<Self>, item: u32) -> Option<ItemHead<'_>> {
        Some(match self.slots.get(slot(item))?.held() {
            Held::Empty => return None,
            Held::Series(place) => ItemHead::Series(self.series.get(usize::from(place))?),
            Held::Family(place) => {
                let head = self.families.get(usize::from(place))?;
                ItemHead::Family(HeldFamily { head, page: self, place })
            }
            Held::Columns(place) => ItemHead::Columns(self.columns.as_ref()?.get(usize::from(place))?),
        })
    }

    /// The head of an item that has one.
    #[inline]
    pub(crate) fn get_mut(&mut self, item: u32) -> Option<ItemHeadMut<'_>> {
        Some(match self.slots.get(slot(item))?.held() {
            Held::Empty => return None,
            Held::Series(place) => ItemHeadMut::Series(self.series.get_mut(usize::from(place))?),
            Held::Family(place) => ItemHeadMut::Family(self.families.get_mut(usize::from(place))?),
            Held::Columns(place) => ItemHeadMut::Columns(self.columns.as_mut()?.get_mut(usize::from(place))?),
        })
    }

    /// A head for an item that has none.
    pub(crate) fn insert(&mut self, number: u32, item: &Item) {
        let Some(held) = self.slots.get_mut(slot(number)) else { return };
        let head = match item {
            Item::Single(_) => Held::Series(push(&mut self.series, SeriesHead::default())),
            Item::Family { columns, .. } => {
                Held::Family(push(&mut self.families, FamilyHead::new(columns.layout().clone())))
            }
        };
        *held = head.into();
    }

    /// A family as columns from here on, one head for each.
    pub(crate) fn as_columns(&mut self, item: u32, columns: &ColumnList) -> Result<&mut Vec<SeriesHead>> {
        let damaged = || Error::new(ErrorKind::Corrupt, "a single series has no columns");
        if let Some(Held::Family(place)) = self.slots.get(slot(item)).map(|slot| slot.held()) {
            let head = self.families.get(usize::from(place)).ok_or_else(damaged)?;
            let heads = head.to_columns(columns)?;
            self.remove(item);
            let place = push(self.columns.get_or_insert_default(), heads);
            if let Some(held) = self.slots.get_mut(slot(item)) {
                *held = Held::Columns(place).into();
            }
        }
        match self.get_mut(item) {
            Some(ItemHeadMut::Columns(heads)) => {
                if heads.len() < columns.len() {
                    heads.resize_with(columns.len(), SeriesHead::default);
                }
                Ok(heads)
            }
            _ => Err(damaged()),
        }
    }

    pub(super) fn remove(&mut self, item: u32) {
        let Some(held) = self.slots.get_mut(slot(item)) else { return };
        let gone = std::mem::take(held);
        let moved: Slot = match gone.held() {
            Held::Empty => return,
            Held::Series(place) => Held::Series(take_out(&mut self.series, place)),
            Held::Family(place) => Held::Family(take_out(&mut self.families, place)),
            Held::Columns(place) => Held::Columns(take_out(self.columns.get_or_insert_default(), place)),
        }
        .into();
        // The last one stands in the place of the one that is gone.
        for held in self.slots.iter_mut().filter(|held| **held == moved) {
            *held = gone;
        }
    }

    /// Reads a little of every head, for whoever goes on to most of them: the memory's answers then come together, and not
    /// one after the other. What is read means nothing.
    pub(crate) fn touch(&self) {
        std::hint::black_box(self.families.iter().fold(0, |read, head| read ^ head.tail().touch()));
    }

    /// Bytes of memory that the heads hold.
    pub(crate) fn byte_size(&self) -> usize {
        let series = self.series.iter().map(SeriesHead::byte_size);
        let families = self.families.iter().map(FamilyHead::byte_size);
        let columns = self.columns.iter().flat_map(|columns| columns.iter()).map(|heads| columns_size(heads));
        series.chain(families).chain(columns).fold(0, usize::saturating_add)
    }

    /// A bit for every item, from the first of the page on, that has a head.
    pub(super) fn held(&self) -> u64 {
        self.slots.iter().rev().fold(0, |bits, slot| bits << 1 | u64::from(slot.held() != Held::Empty))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.held() == Held::Empty)
    }
}

impl OpenRows for Page {
    fn rows(&self, place: u32) -> Option<&FamilyRows> {
        self.families.get(place as usize).map(FamilyHead::tail)
    }
}

fn slot(item: u32) -> usize {
    (item % PAGE_ITEMS) as usize
}

/// The place of the head that is pushed.
fn push<H>(heads: &mut Vec<H>, head: H) -> u8 {
    // A page has fewer heads than a byte has numbers.
    let place = u8::try_from(heads.len()).unwrap_or(0x3f);
    heads.push(head);
    place
}

/// Takes a head out; tells the place of the one that takes its place.
fn take_out<H>(heads: &mut Vec<H>, place: u8) -> u8 {
    if usize::from(place) < heads.len() {
        heads.swap_remove(usize::from(place));
    }
    u8::try_from(heads.len()).unwrap_or(0x3f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::LastValue;
    use crate::model::{Labels, Sample, Timestamp};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_item_keeps_its_own_head_whatever_comes_and_goes(
            steps in proptest::collection::vec((0_u32..PAGE_ITEMS, any::<bool>()), 0..80),
        ) {
            let mut page = Page::default();
            let mut held = [false; PAGE_ITEMS as usize];
            for (item, removed) in steps {
                if removed {
                    page.remove(item);
                    held[item as usize] = false;
                } else if !held[item as usize] {
                    page.insert(item, &Item::Single(Labels::empty()));
                    held[item as usize] = true;
                    if let Some(ItemHeadMut::Series(head)) = page.get_mut(item) {
                        let time = Timestamp::from_millis(i64::from(item));
                        head.append(Sample::float(time, 1.0), LastValue::default());
                    }
                }
                for (item, held) in (0..).zip(held) {
                    let time = match page.get_mut(item) {
                        Some(ItemHeadMut::Series(head)) => head.time_range().map(|range| range.0),
                        _ => None,
                    };
                    prop_assert_eq!(time, held.then_some(i64::from(item)));
                }
                prop_assert_eq!(page.is_empty(), held.iter().all(|held| !held));
            }
        }
    }
}
