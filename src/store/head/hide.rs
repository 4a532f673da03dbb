//! Heads without what was deleted.

use super::super::index::{Index, Item};
use super::super::sync::RwLock;
use super::super::tombstone::Tombstone;
use super::late::LateHead;
use super::{Heads, ItemHeadMut};

impl Heads {
    /// The items of which a tombstone hides something here, or may hide something that came late; also of what is being sealed,
    /// which comes back where that fails.
    pub(crate) fn hit_by(
        &self,
        index: &RwLock<Index>,
        sealing: Option<&Self>,
        tombstone: &Tombstone,
    ) -> Vec<(u32, Item)> {
        let heads = self.iter().filter(|(_, head)| {
            let range = head.time_range();
            range.is_some_and(|range| tombstone.overlaps(range))
        });
        let mut items: Vec<u32> = heads.map(|(item, _)| item).collect();
        let late = sealing.into_iter().chain([self]).flat_map(|heads| heads.late.iter());
        items.extend(late.map(|(item, _)| item));
        items.sort_unstable();
        items.dedup();
        let index = index.read();
        let known = items.into_iter().filter_map(|item| Some((item, index.item(item)?.to_item())));
        known.filter(|(_, item)| tombstone.accepts(item)).collect()
    }

    /// Takes out of these items what a tombstone hides. Says by how many bytes they grew.
    pub(crate) fn hide(&mut self, items: &[(u32, Item)], tombstone: &Tombstone) -> isize {
        let mut grown = 0_isize;
        for (number, item) in items {
            let touched = self.get(*number).is_some_and(|head| {
                let range = head.time_range();
                range.is_some_and(|range| tombstone.overlaps(range))
            });
            let page = if touched { self.page_mut(*number, &mut grown) } else { None };
            if let Some(mut head) = page.and_then(|page| page.get_mut(*number)) {
                let before = head.byte_size();
                head.hide(item, tombstone);
                grown = grown.saturating_add_unsigned(head.byte_size()).saturating_sub_unsigned(before);
            }
        }
        grown.saturating_add(self.hide_late(items, tombstone))
    }

    /// The same of what came late.
    pub(crate) fn hide_late(&mut self, items: &[(u32, Item)], tombstone: &Tombstone) -> isize {
        let mut grown = 0_isize;
        for (number, item) in items {
            if self.late.get(*number).is_some() {
                let hide = |late: &mut LateHead| {
                    late.hide(
                        |layout| tombstone.hidden_rows(item, layout),
                        |column| tombstone.hidden_series(item, column),
                    );
                };
                grown = grown.saturating_add(self.late.change(*number, hide));
            }
        }
        grown
    }
}

impl ItemHeadMut<'_> {
    fn hide(&mut self, item: &Item, tombstone: &Tombstone) {
        match self {
            Self::Series(head) => {
                if let Some(hidden) = tombstone.hidden_series(item, 0) {
                    head.hide(&hidden);
                }
            }
            Self::Family(head) => head.hide(|layout| tombstone.hidden_rows(item, layout)),
            Self::Columns(heads) => {
                for (column, head) in (0..).zip(heads.iter_mut()) {
                    if let Some(hidden) = tombstone.hidden_series(item, column) {
                        head.hide(&hidden);
                    }
                }
            }
        }
    }
}
