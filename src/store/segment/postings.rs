//! Which items of a segment carry which value of a label.
//!
//! ```text
//! postings  histograms  u8: 0 there are none, 1 a list follows of the items that are classic histograms
//!           then for each name, in the order of the symbols:
//!             values    varint, how many there are
//!             union     u8: 0 not written, 1 a list follows of all items with the name
//!             length    varint, of the entries in bytes
//!             entries   for each value, rising: number of the value varint, less (the one before + 1), at first + 0
//!                       list of the items that have it, see `list`; the base is 0 for the first one
//! ```
//!
//! A histogram stands under the names of its series (`x_bucket`, `x_count`, `x_sum`), not under its own, and nowhere with the
//! bounds of its buckets: which columns are selected is the question after which items are.

use std::borrow::Cow;
use std::sync::OnceLock;

use roaring::RoaringBitmap;

use super::super::backing::FilePart;
use super::super::index::LabelLists;
use super::list::{List, put_list};
use super::symbols::Symbols;
use crate::codec::varint;
use crate::model::Matcher;

/// Values between two places that are known of a name's entries.
const STRIDE: u32 = 32;
/// A union is written if it takes so many bytes at most, or a sixteenth of the entries.
const UNION_BYTES: usize = 8;

/// What the section says: histograms, then names and values with their items, all rising.
pub(super) type Listed = (RoaringBitmap, Vec<((u32, u32), RoaringBitmap)>);

/// Postings that are gathered.
#[derive(Debug, Default)]
pub(super) struct PostingsWriter {
    families: Vec<u32>,
    /// Name, value, item.
    entries: Vec<(u32, u32, u32)>,
}

impl PostingsWriter {
    /// Items come in their order.
    pub(super) fn add_family(&mut self, item: u32) {
        self.families.push(item);
    }

    pub(super) fn add(&mut self, name: u32, value: u32, item: u32) {
        self.entries.push((name, value, item));
    }

    fn sort(&mut self) {
        self.entries.sort_unstable();
        self.entries.dedup();
    }

    pub(super) fn put(mut self, names: usize, into: &mut Vec<u8>) {
        self.sort();
        put_optional(&self.families, into);
        let mut rest = self.entries.as_slice();
        let (mut items, mut entries, mut union) = (Vec::new(), Vec::new(), Vec::new());
        for name in (0_u32..).take(names) {
            let (own, behind) = rest.split_at(rest.partition_point(|entry| entry.0 <= name));
            rest = behind;
            entries.clear();
            let (mut values, mut next, mut base) = (0_u64, 0_u32, 0);
            for part in own.chunk_by(|a, b| a.1 == b.1) {
                let Some((_, value, _)) = part.first() else { continue };
                varint::put(&mut entries, u64::from(value.wrapping_sub(next)));
                next = value.wrapping_add(1);
                items.clear();
                items.extend(part.iter().map(|(_, _, item)| *item));
                base = put_list(&items, base, &mut entries);
                values = values.saturating_add(1);
            }
            items.clear();
            items.extend(own.iter().map(|(_, _, item)| *item));
            items.sort_unstable();
            items.dedup();
            union.clear();
            put_optional(&items, &mut union);
            if union.len() > UNION_BYTES.max(entries.len() / 16) {
                union.clear();
                union.push(0);
            }
            varint::put(into, values);
            into.extend_from_slice(&union);
            varint::put(into, entries.len() as u64);
            into.extend_from_slice(&entries);
        }
    }

    pub(super) fn listed(mut self) -> Listed {
        self.sort();
        let parts = self.entries.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
        let lists = parts.filter_map(|part| {
            let (name, value, _) = part.first()?;
            Some(((*name, *value), part.iter().map(|(_, _, item)| *item).collect()))
        });
        (self.families.iter().copied().collect(), lists.collect())
    }
}

fn put_optional(items: &[u32], into: &mut Vec<u8>) {
    into.push(u8::from(!items.is_empty()));
    put_list(items, 0, into);
}

fn take_optional(bytes: &mut &[u8], items: u32) -> Option<Option<RoaringBitmap>> {
    let (there, rest) = bytes.split_first()?;
    *bytes = rest;
    match there {
        0 => Some(None),
        1 => Some(Some(List::take(bytes, 0, items)?.0.items(items)?)),
        _ => None,
    }
}

/// The postings of a segment. `None` from its functions: the section does not decode.
#[derive(Debug)]
pub(super) struct Postings {
    section: FilePart,
    /// How many items there are.
    items: u32,
    families: RoaringBitmap,
    names: Vec<NameEntries>,
}

#[derive(Debug)]
struct NameEntries {
    values: u32,
    union: Option<RoaringBitmap>,
    /// Where the entries lie.
    start: usize,
    end: usize,
    /// Where every so manieth entry starts, once somebody looks for one. `None` inside: they do not decode.
    marks: OnceLock<Option<Box<[Mark]>>>,
}

/// The state before an entry.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Values from this one on are not passed.
    next: u32,
    base: u32,
    offset: u32,
}

impl Postings {
    /// The postings of `items` items whose labels have `names` names.
    pub(super) fn read(section: FilePart, items: u32, names: usize) -> Option<Self> {
        let mut rest = &*section;
        let families = take_optional(&mut rest, items)?.unwrap_or_default();
        // A name takes three bytes at least.
        let mut read = Vec::with_capacity(Some(names).filter(|names| *names <= rest.len())?);
        for _ in 0..names {
            let values = u32::try_from(varint::take(&mut rest)?).ok()?;
            let union = take_optional(&mut rest, items)?;
            let length = usize::try_from(varint::take(&mut rest)?).ok()?;
            let start = section.len().checked_sub(rest.len())?;
            rest = rest.get(length..)?;
            let end = start.checked_add(length)?;
            read.push(NameEntries { values, union, start, end, marks: OnceLock::new() });
        }
        rest.is_empty().then_some(Self { section, items, families, names: read })
    }

    /// The items that are classic histograms.
    pub(super) fn families(&self) -> &RoaringBitmap {
        &self.families
    }

    /// The lists of a name.
    pub(super) fn name<'a>(&'a self, number: u32, symbols: &'a Symbols) -> Option<NameLists<'a>> {
        let entries = self.names.get(number as usize)?;
        let bytes = self.section.get(entries.start..entries.end)?;
        Some(NameLists { entries, bytes, items: self.items, symbols })
    }

    /// All of it.
    pub(super) fn listed(&self, symbols: &Symbols) -> Option<Listed> {
        let mut all = Vec::new();
        for number in 0..u32::try_from(self.names.len()).ok()? {
            let lists = self.name(number, symbols)?;
            let mut union = RoaringBitmap::new();
            lists.each(0, |value, list| {
                let items = list.items(self.items)?;
                union |= &items;
                all.push(((number, value), items));
                Some(true)
            })?;
            if lists.entries.union.as_ref().is_some_and(|written| *written != union) {
                return None;
            }
        }
        Some((self.families.clone(), all))
    }
}

/// The items of one label name, by value.
#[derive(Clone, Copy)]
pub(super) struct NameLists<'a> {
    entries: &'a NameEntries,
    bytes: &'a [u8],
    items: u32,
    symbols: &'a Symbols,
}

impl<'a> NameLists<'a> {
    fn marks(&self) -> Option<&'a [Mark]> {
        self.entries.marks.get_or_init(|| self.find_marks()).as_deref()
    }

    /// Goes through all entries once: what is behind a mark decodes.
    fn find_marks(&self) -> Option<Box<[Mark]>> {
        let mut marks = Vec::new();
        let (mut rest, mut next, mut base) = (self.bytes, 0, 0);
        for number in 0..self.entries.values {
            if number.is_multiple_of(STRIDE) {
                let offset = u32::try_from(self.bytes.len().checked_sub(rest.len())?).ok()?;
                marks.push(Mark { next, base, offset });
            }
            (next, base, _) = self.take(&mut rest, next, base)?;
        }
        (rest.is_empty() && next <= self.symbols.value_count()).then(|| marks.into())
    }

    /// An entry: its value and 1 more, the base of the next one, and its list.
    fn take(&self, rest: &mut &'a [u8], next: u32, base: u32) -> Option<(u32, u32, List<'a>)> {
        let value = u64::from(next).checked_add(varint::take(rest)?)?;
        let (list, base) = List::take(rest, base, self.items)?;
        Some((u32::try_from(value.checked_add(1)?).ok()?, base, list))
    }

    /// Goes through the values from number `from` on, as long as that is wanted.
    pub(super) fn each(&self, from: u32, mut each: impl FnMut(u32, List<'a>) -> Option<bool>) -> Option<()> {
        let marks = self.marks()?;
        let start = marks.partition_point(|mark| mark.next <= from).saturating_sub(1);
        let Some(Mark { mut next, mut base, offset }) = marks.get(start).copied() else { return Some(()) };
        let mut rest = self.bytes.get(offset as usize..)?;
        while !rest.is_empty() {
            let list;
            (next, base, list) = self.take(&mut rest, next, base)?;
            let value = next.checked_sub(1)?;
            if value >= from && !each(value, list)? {
                break;
            }
        }
        Some(())
    }
}

impl LabelLists for NameLists<'_> {
    fn value_count(&self) -> usize {
        self.entries.values as usize
    }

    fn all(&self) -> Option<Cow<'_, RoaringBitmap>> {
        if let Some(union) = &self.entries.union {
            return Some(Cow::Borrowed(union));
        }
        let mut all = RoaringBitmap::new();
        self.each(0, |_, list| {
            all |= list.items(self.items)?;
            Some(true)
        })?;
        Some(Cow::Owned(all))
    }

    fn equal(&self, value: &[u8]) -> Option<Option<Cow<'_, RoaringBitmap>>> {
        let Ok(value) = std::str::from_utf8(value) else { return Some(None) };
        let (number, true) = self.symbols.find_value(value)? else { return Some(None) };
        let mut found = None;
        self.each(number, |value, list| {
            if value == number {
                found = Some(Cow::Owned(list.items(self.items)?));
            }
            Some(false)
        })?;
        Some(found)
    }

    fn scan(&self, prefix: &str, matcher: &Matcher, wanted: bool) -> Option<RoaringBitmap> {
        let from = if prefix.is_empty() { 0 } else { self.symbols.find_value(prefix)?.0 };
        let (mut union, mut values) = (RoaringBitmap::new(), self.symbols.values());
        self.each(from, |value, list| {
            let value = values.get(value)?;
            if !value.starts_with(prefix) {
                return Some(false);
            }
            if matcher.matches(value) == wanted {
                union |= list.items(self.items)?;
            }
            Some(true)
        })?;
        Some(union)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_format_document_holds() {
        let mut writer = PostingsWriter::default();
        for (item, (name, pod)) in (0..).zip([(0, 2), (0, 3), (1, 2)]) {
            writer.add(0, name, item);
            writer.add(1, pod, item);
        }
        let mut bytes = Vec::new();
        writer.put(2, &mut bytes);
        let text: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let document = include_str!("../../docs/format.md");
        let example = document.split("Three items with the labels").nth(1).unwrap();
        let example = example.split("```").nth(1).unwrap();
        let words = example.lines().flat_map(|line| {
            line.split_whitespace()
                .take_while(|word| word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
        });
        assert_eq!(words.collect::<Vec<_>>(), text);
    }
}
