//! The samples of every item, in shards that are copied when a snapshot still reads them.

mod family;
mod hide;
mod late;
mod page;
mod series;

use std::ops::Deref;
use std::sync::Arc;

use crate::chunk::{Chunk, Layout, touches};
use crate::error::{Error, ErrorKind};
use crate::model::{Timestamp, Window};

use super::SHARDS;
use super::index::ItemBits;

pub(crate) use family::FamilyHead;
pub(crate) use late::{LateHead, LateHeads};
use page::PAGE_ITEMS;
pub(crate) use page::Page;
pub(crate) use series::{Newest, SeriesHead, same_bits};

/// Samples of a series, or rows of a histogram, in a full chunk of a head.
pub(super) const CHUNK_ROWS: usize = 120;

/// What became of a sample that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    New,
    /// The series has the very same sample already.
    Duplicate,
}

/// The samples of one item.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ItemHead<'a> {
    Series(&'a SeriesHead),
    Family(HeldFamily<'a>),
    /// A family whose samples do not come as rows: a head for every column, in the order of the item's columns.
    Columns(&'a [SeriesHead]),
}

impl ItemHead<'_> {
    pub(crate) fn byte_size(&self) -> usize {
        match self {
            Self::Series(head) => head.byte_size(),
            Self::Family(head) => head.byte_size(),
            Self::Columns(heads) => columns_size(heads),
        }
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

    /// The time that a next sample has to be later than; what was deleted counts as well.
    pub(crate) fn last_time(&self) -> Option<i64> {
        match self {
            Self::Series(head) => head.last_time(),
            Self::Family(head) => head.last_time(),
            Self::Columns(heads) => heads.iter().filter_map(SeriesHead::last_time).max(),
        }
    }

    /// Whether what is held here begins at `time` or before.
    pub(crate) fn begins_by(&self, time: i64) -> bool {
        match self {
            // Most questions are about the newest rows.
            Self::Family(head) if head.tail_begins_by(time) => true,
            _ => self.time_range().is_some_and(|(first, _)| first <= time),
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
}

/// A classic histogram's head, and where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldFamily<'a> {
    head: &'a FamilyHead,
    page: &'a Arc<Page>,
    place: u8,
}

impl<'a> HeldFamily<'a> {
    /// The chunks of rows that touch the window in time order, the tail as it is.
    pub(crate) fn chunks(self, window: Window) -> impl Iterator<Item = Chunk> + 'a {
        let tail = touches(self.head.tail().time_range(), window).then(|| {
            let held: Arc<Page> = self.page.clone();
            Chunk::Open { held, place: u32::from(self.place) }
        });
        self.head.full_chunks(window).chain(tail)
    }
}

impl<'a> Deref for HeldFamily<'a> {
    type Target = FamilyHead;

    fn deref(&self) -> &FamilyHead {
        self.head
    }
}

/// The samples of one item, to be appended to.
#[derive(Debug)]
pub(crate) enum ItemHeadMut<'a> {
    Series(&'a mut SeriesHead),
    Family(&'a mut FamilyHead),
    Columns(&'a mut Vec<SeriesHead>),
}

impl ItemHeadMut<'_> {
    pub(crate) fn byte_size(&self) -> usize {
        match self {
            Self::Series(head) => head.byte_size(),
            Self::Family(head) => head.byte_size(),
            Self::Columns(heads) => columns_size(heads),
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
}

fn columns_size(heads: &[SeriesHead]) -> usize {
    heads.iter().map(SeriesHead::byte_size).fold(size_of::<Vec<SeriesHead>>(), usize::saturating_add)
}

/// Pages of heads. A page that is created but has no sample is `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shard {
    pages: Vec<Option<Arc<Page>>>,
}

impl Shard {
    /// Nothing is behind the last page that has a sample.
    fn cut_end(&mut self) {
        while matches!(self.pages.last(), Some(None)) {
            self.pages.pop();
        }
        if self.pages.len() < self.pages.capacity() / 4 {
            self.pages.shrink_to_fit();
        }
    }

    fn page_mut(&mut self, slot: usize, grown: &mut isize) -> Option<&mut Page> {
        if self.pages.len() <= slot {
            self.pages.resize(slot.saturating_add(1), None);
        }
        let page = self.pages.get_mut(slot)?.get_or_insert_default();
        if Arc::strong_count(page) == 1 {
            return Some(Arc::make_mut(page));
        }
        let before = page.byte_size();
        let page = Arc::make_mut(page);
        *grown = grown.saturating_add_unsigned(page.byte_size()).saturating_sub_unsigned(before);
        Some(page)
    }
}

/// The heads of all items: pages of neighbours, so that a batch in the order of items goes through memory in one direction,
/// and asks once a page whether a snapshot still reads it.
#[derive(Clone, Debug)]
pub(crate) struct Heads {
    shards: [Arc<Shard>; SHARDS],
    /// What came late.
    pub(crate) late: LateHeads,
}

impl Default for Heads {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Arc::default()), late: LateHeads::default() }
    }
}

impl Heads {
    pub(crate) fn get(&self, item: u32) -> Option<ItemHead<'_>> {
        let (shard, slot) = address(item);
        Page::get(self.shards.get(shard)?.pages.get(slot)?.as_ref()?, item)
    }

    /// The page of an item, by a number that rises with the items.
    pub(crate) fn page_number(item: u32) -> u32 {
        item / PAGE_ITEMS
    }

    /// Whether two items are of one page.
    pub(crate) fn are_neighbours(a: u32, b: u32) -> bool {
        Self::page_number(a) == Self::page_number(b)
    }

    /// Reads a little of every head of an item's page, for whoever goes on to most of them.
    pub(crate) fn touch(&self, item: u32) {
        let (shard, slot) = address(item);
        if let Some(Some(page)) = self.shards.get(shard).and_then(|shard| shard.pages.get(slot)) {
            page.touch();
        }
    }

    /// The page of an item, to append to; a snapshot that reads it keeps what it has. A page that had to be copied for that
    /// has no room to spare: `grown` is told.
    pub(crate) fn page_mut(&mut self, item: u32, grown: &mut isize) -> Option<&mut Page> {
        let (shard, slot) = address(item);
        Arc::make_mut(self.shards.get_mut(shard)?).page_mut(slot, grown)
    }

    /// Takes away full chunks of an item that are sealed. Returns by how many bytes the heads grew.
    pub(crate) fn forget(&mut self, item: u32, sealed: &[Option<i64>]) -> isize {
        let mut grown = 0;
        let page = self.page_mut(item, &mut grown);
        if let Some(mut head) = page.and_then(|page| page.get_mut(item)) {
            let before = head.byte_size();
            head.forget(sealed);
            grown = grown.saturating_add_unsigned(head.byte_size()).saturating_sub_unsigned(before);
        }
        grown
    }

    /// Takes an item's head away: all its samples are elsewhere. Returns by how many bytes the heads grew.
    pub(crate) fn remove(&mut self, item: u32) -> isize {
        let mut grown = 0;
        let Some(page) = self.page_mut(item, &mut grown) else { return grown };
        grown = grown.saturating_sub_unsigned(page.get_mut(item).map_or(0, |head| head.byte_size()));
        page.remove(item);
        let is_empty = page.is_empty();
        let (shard, slot) = address(item);
        if let Some(page) =
            self.shards.get_mut(shard).and_then(|shard| Arc::make_mut(shard).pages.get_mut(slot))
            && is_empty
        {
            *page = None;
        }
        if is_empty && let Some(shard) = self.shards.get_mut(shard) {
            Arc::make_mut(shard).cut_end();
        }
        grown
    }

    /// All heads with their item's number, page by page.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, ItemHead<'_>)> {
        self.shards.iter().enumerate().flat_map(|(shard, held)| {
            let pages = held.pages.iter().enumerate().filter_map(|(slot, page)| Some((slot, page.as_ref()?)));
            pages.flat_map(move |(slot, page)| {
                let first = first_item(shard, slot);
                (0..PAGE_ITEMS).filter_map(move |place| {
                    let item = first?.checked_add(place)?;
                    Some((item, Page::get(page, item)?))
                })
            })
        })
    }

    /// Tells the items that have a head, or anything late.
    pub(crate) fn tell_items(&self, known: &mut ItemBits) {
        for (shard, held) in self.shards.iter().enumerate() {
            for (slot, page) in held.pages.iter().enumerate() {
                if let (Some(page), Some(first)) = (page, first_item(shard, slot)) {
                    known.insert_bits(first, page.held());
                }
            }
        }
        self.late.iter().for_each(|(item, _)| known.insert(item));
    }

    /// Bytes of memory that all heads hold.
    pub(crate) fn byte_size(&self) -> usize {
        self.iter().map(|(_, head)| head.byte_size()).fold(self.late.byte_size(), usize::saturating_add)
    }
}

/// Shard of an item, and page within it.
fn address(item: u32) -> (usize, usize) {
    let page = (item / PAGE_ITEMS) as usize;
    (page % SHARDS, page / SHARDS)
}

/// The first item of a page.
fn first_item(shard: usize, slot: usize) -> Option<u32> {
    let page = slot.checked_mul(SHARDS)?.checked_add(shard)?;
    u32::try_from(page).ok()?.checked_mul(PAGE_ITEMS)
}

/// The layout that all chunks have, if it is one.
pub(crate) fn common_layout(chunks: &[Chunk]) -> Option<Arc<Layout>> {
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

/// `oldest`: what the out-of-order window still takes.
pub(crate) fn too_old(time: Timestamp, oldest: Timestamp) -> Error {
    Error::new(
        ErrorKind::OutOfOrder,
        format!(
            "sample at {time} is too old: the out-of-order window takes samples from {oldest} on; raise \
             out_of_order_window, or send samples sooner"
        ),
    )
}

pub(crate) fn duplicate(time: Timestamp) -> Error {
    Error::new(
        ErrorKind::OutOfOrder,
        format!("the series has a sample at {time} with another value; the first one is kept"),
    )
}
