//! What a segment holds, by labels: its sections but for chunks and times, read when somebody first asks.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::super::backing::FilePart;
use super::super::index::{
    Index, Items, LabelLists, candidates, column_name, histogram_column, shared_labels,
};
use super::blocks::Blocks;
use super::items::{ItemTable, Pairs, PartKind, Record, read_layouts, walk, walk_first};
use super::postings::{NameLists, Postings, PostingsWriter};
use super::symbols::Symbols;
use crate::chunk::{Layout, Place};
use crate::model::label::METRIC_NAME;
use crate::model::{Labels, Matcher};

/// The tables of a segment. `None` from its functions: they do not decode.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) symbols: Symbols,
    pub(super) layouts: Vec<Arc<Layout>>,
    pub(super) items: ItemTable,
    pub(super) postings: Postings,
}

/// The sections, verified.
pub(super) struct Sections {
    pub(super) symbols: FilePart,
    pub(super) layouts: FilePart,
    pub(super) items: FilePart,
    pub(super) postings: FilePart,
}

impl Contents {
    /// The tables of a segment with so many items.
    pub(super) fn read(sections: Sections, items: u64, index: &mut Index) -> Option<Self> {
        let symbols = Symbols::read(sections.symbols)?;
        let layouts = read_layouts(&sections.layouts, &symbols, index)?;
        let records = Blocks::read(sections.items, 0)?;
        if u64::from(records.count()) != items {
            return None;
        }
        let postings = Postings::read(sections.postings, records.count(), symbols.names().len())?;
        Some(Self { symbols, layouts, items: ItemTable::new(records), postings })
    }

    /// The items that may have a series that all matchers accept: exact but for the name and the bounds of a histogram, of
    /// which one column at least has the name.
    pub(super) fn candidates(&self, matchers: &[Matcher]) -> Option<RoaringBitmap> {
        let mut postings = Vec::with_capacity(matchers.len());
        for matcher in matchers {
            postings.push((matcher, self.lists(matcher.name())?));
        }
        candidates(self, &postings, self.postings.families())
    }

    /// The lists of a label name; `None` inside if no item has it.
    pub(super) fn lists(&self, name: &str) -> Option<Option<NameLists<'_>>> {
        match self.symbols.find_name(name) {
            Some(number) => self.postings.name(number, &self.symbols).map(Some),
            None => Some(None),
        }
    }

    /// The item with these labels of this kind, if it is there.
    pub(super) fn find(&self, labels: &Labels, kind: PartKind) -> Option<Option<u32>> {
        let mut pairs = Pairs::with_capacity(labels.len());
        for label in labels {
            let Some(name) = self.symbols.find_name(&label.name) else { return Some(None) };
            let (value, true) = self.symbols.find_value(&label.value)? else { return Some(None) };
            pairs.push((name, value));
        }
        self.items.find(&pairs, kind)
    }

    /// Series with this name that are items of their own, if there are any.
    pub(super) fn singles(&self, name: &str) -> Option<RoaringBitmap> {
        let Some(lists) = self.lists(METRIC_NAME)? else { return Some(RoaringBitmap::new()) };
        let named = lists.equal(name.as_bytes())?;
        Some(named.map(|items| &*items - self.postings.families()).unwrap_or_default())
    }

    /// All items of one histogram, and the series that look like its own.
    pub(super) fn histogram(&self, shared: &Labels) -> Option<RoaringBitmap> {
        let mut found = RoaringBitmap::new();
        found.extend(self.find(shared, PartKind::Family)?);
        for suffix in ["_bucket", "_count", "_sum"] {
            let mut singles = self.singles(&format!("{}{suffix}", shared.metric_name()))?;
            for label in shared.iter().filter(|label| &*label.name != METRIC_NAME) {
                if singles.is_empty() {
                    break;
                }
                let lists = self.lists(&label.name)?;
                let listed = match &lists {
                    Some(lists) => lists.equal(label.value.as_bytes())?,
                    None => None,
                };
                singles &= &*listed.unwrap_or_default();
            }
            for number in singles {
                let labels = self.items.get(number)?.labels(&self.symbols)?;
                if histogram_column(&labels).is_some_and(|(_, base)| shared_labels(&labels, base) == *shared)
                {
                    found.insert(number);
                }
            }
        }
        Some(found)
    }

    /// Goes through the chunks of an item in the order of the directory.
    pub(super) fn places(
        &self,
        mut directory: &[u8],
        is_family: bool,
        each: impl FnMut(Place, Option<&Arc<Layout>>),
    ) -> Option<()> {
        self.first_places(&mut directory, is_family, each)?;
        directory.is_empty().then_some(())
    }

    /// The same for an item that the index has, by where its directory starts.
    pub(super) fn places_at(
        &self,
        directory: u32,
        is_family: bool,
        each: impl FnMut(Place, Option<&Arc<Layout>>),
    ) -> Option<()> {
        self.first_places(&mut self.items.directory(directory)?, is_family, each)
    }

    fn first_places(
        &self,
        directory: &mut &[u8],
        is_family: bool,
        mut each: impl FnMut(Place, Option<&Arc<Layout>>),
    ) -> Option<()> {
        let mut known = true;
        walk_first(directory, is_family, |layout, place| {
            let layout = usize::try_from(layout).ok().and_then(|layout| self.layouts.get(layout));
            known &= layout.is_some() || !is_family;
            each(place, layout.filter(|_| is_family));
        })?;
        known.then_some(())
    }

    /// The layouts of an item's chunks, each once.
    pub(super) fn layouts_of(&self, record: &Record<'_>) -> Option<Vec<&Arc<Layout>>> {
        let mut numbers = Vec::new();
        walk(record.directory, record.is_family(), |layout, _| numbers.push(layout))?;
        if !record.is_family() {
            return Some(Vec::new());
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers.iter().map(|number| self.layouts.get(usize::try_from(*number).ok()?)).collect()
    }

    /// Whether symbols and items are in order, and postings say of every item what its labels say, and nothing else.
    pub(super) fn verify(&self) -> Option<()> {
        self.symbols.verify()?;
        let name_label = self.symbols.find_name(METRIC_NAME);
        let mut wanted = PostingsWriter::default();
        let mut before: Option<(Pairs, PartKind)> = None;
        for number in 0..self.items.count() {
            let record = self.items.get(number)?;
            record.labels(&self.symbols)?;
            for (name, value) in &record.pairs {
                if !record.is_family() || Some(*name) != name_label {
                    wanted.add(*name, *value, number);
                }
            }
            if record.is_family() {
                wanted.add_family(number);
                let base = record.value(name_label, &self.symbols)?;
                for column in self.layouts_of(&record)?.iter().flat_map(|layout| layout.columns()) {
                    let (value, true) = self.symbols.find_value(&column_name(&base, column))? else {
                        return None;
                    };
                    wanted.add(name_label?, value, number);
                }
            }
            let own = Some((record.pairs, record.kind));
            if before >= own {
                return None;
            }
            before = own;
        }
        (self.postings.listed(&self.symbols)? == wanted.listed()).then_some(())
    }
}

impl Items for Contents {
    fn count(&self) -> u32 {
        self.items.count()
    }

    fn accepted_by_own_values(&self, items: &RoaringBitmap, matcher: &Matcher) -> Option<RoaringBitmap> {
        let name = self.symbols.find_name(matcher.name());
        let mut accepted = RoaringBitmap::new();
        for item in items {
            let value = self.items.get(item)?.value(name, &self.symbols)?;
            if matcher.matches(&value) {
                accepted.insert(item);
            }
        }
        Some(accepted)
    }
}
