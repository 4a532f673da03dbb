//! Texts of a segment: names of labels, and everything else.
//!
//! ```text
//! symbols  names   how many varint, then each, rising: text
//!          values  records in blocks, see `blocks`, rising:
//!                  bytes that it shares with the one before it in its block varint, not for the first of a block
//!                  what comes behind those, text
//! ```
//!
//! Both are numbered from 0. So numbers are in the order of the texts that they stand for.

use std::cmp::Ordering;
use std::sync::Arc;

use hashbrown::HashMap;

use super::super::backing::FilePart;
use super::blocks::{BLOCK, BlockWriter, Blocks};
use crate::codec::varint;

/// Texts that are gathered, numbered as they come.
#[derive(Debug, Default)]
pub(super) struct TextWriter {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
}

impl TextWriter {
    pub(super) fn number(&mut self, text: &Arc<str>) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let next = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.clone());
        self.numbers.insert(text.clone(), next);
        next
    }

    /// The texts in order, and the number that each has there, by the one that it got.
    fn sorted(self) -> (Vec<Arc<str>>, Vec<u32>) {
        let Self { numbers, mut texts } = self;
        texts.sort_unstable();
        let mut places = vec![0; texts.len()];
        for (place, text) in (0..).zip(&texts) {
            let number = numbers.get(text).and_then(|number| places.get_mut(*number as usize));
            if let Some(slot) = number {
                *slot = place;
            }
        }
        (texts, places)
    }
}

/// Writes the section, and answers which numbers names and values have in it.
pub(super) fn put_symbols(names: TextWriter, values: TextWriter, into: &mut Vec<u8>) -> (Vec<u32>, Vec<u32>) {
    let (names, name_numbers) = names.sorted();
    varint::put(into, names.len() as u64);
    for name in names {
        varint::put_bytes(into, name.as_bytes());
    }
    let (values, value_numbers) = values.sorted();
    let (mut blocks, mut before) = (BlockWriter::default(), &[][..]);
    for value in &values {
        let value = value.as_bytes();
        blocks.push(|is_first, into| {
            let shared = value.iter().zip(before).take_while(|(a, b)| a == b).count();
            if !is_first {
                varint::put(into, shared as u64);
            }
            varint::put_bytes(into, value.get(if is_first { 0 } else { shared }..).unwrap_or_default());
        });
        before = value;
    }
    blocks.put(into);
    (name_numbers, value_numbers)
}

/// The texts of a segment. `None` from its functions: the section does not decode.
#[derive(Debug)]
pub(super) struct Symbols {
    names: Vec<Arc<str>>,
    values: Blocks,
}

impl Symbols {
    pub(super) fn read(section: FilePart) -> Option<Self> {
        let mut rest = &*section;
        let count = usize::try_from(varint::take(&mut rest)?).ok().filter(|count| *count <= rest.len())?;
        let mut names: Vec<Arc<str>> = Vec::with_capacity(count);
        for _ in 0..count {
            let name: Arc<str> = std::str::from_utf8(varint::take_bytes(&mut rest)?).ok()?.into();
            if names.last().is_some_and(|before| *before >= name) {
                return None;
            }
            names.push(name);
        }
        let at = section.len().checked_sub(rest.len())?;
        Some(Self { names, values: Blocks::read(section, at)? })
    }

    pub(super) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    pub(super) fn name(&self, number: u64) -> Option<&Arc<str>> {
        self.names.get(usize::try_from(number).ok()?)
    }

    /// The number of a name, if it has one.
    pub(super) fn find_name(&self, name: &str) -> Option<u32> {
        let place = self.names.binary_search_by(|own| (**own).cmp(name)).ok()?;
        u32::try_from(place).ok()
    }

    pub(super) fn value_count(&self) -> u32 {
        self.values.count()
    }

    /// Values one after the other.
    pub(super) fn values(&self) -> Values<'_> {
        Values { values: &self.values, next: 0, rest: &[], text: Vec::new() }
    }

    /// The number of the first value that is not below `text`, and whether it is `text`.
    pub(super) fn find_value(&self, text: &str) -> Option<(u32, bool)> {
        let (mut low, mut high) = (0, self.values.len());
        while low < high {
            let middle = low.midpoint(high);
            let first = varint::take_bytes(&mut self.values.block(middle)?.0)?;
            if first <= text.as_bytes() { low = middle.checked_add(1)? } else { high = middle }
        }
        let Some(block) = low.checked_sub(1) else { return Some((0, false)) };
        let start = block.checked_mul(BLOCK)?;
        let end = start.checked_add(BLOCK)?.min(self.values.count());
        let mut values = self.values();
        for number in start..end {
            match values.get(number)?.cmp(text) {
                Ordering::Less => {}
                Ordering::Equal => return Some((number, true)),
                Ordering::Greater => return Some((number, false)),
            }
        }
        Some((end, false))
    }

    /// Whether the values rise. Reading them takes that for granted.
    pub(super) fn verify(&self) -> Option<()> {
        let (mut values, mut before) = (self.values(), String::new());
        for number in 0..self.value_count() {
            let value = values.get(number)?;
            if number > 0 && *before >= *value {
                return None;
            }
            value.clone_into(&mut before);
        }
        Some(())
    }
}

/// Goes through values; cheap where numbers rise.
pub(super) struct Values<'a> {
    values: &'a Blocks,
    /// The number behind that of `text`.
    next: u32,
    rest: &'a [u8],
    text: Vec<u8>,
}

impl Values<'_> {
    pub(super) fn get(&mut self, number: u32) -> Option<&str> {
        if number >= self.values.count() {
            return None;
        }
        let block = number / BLOCK;
        let is_in_reach =
            self.next.checked_sub(1).is_some_and(|known| known / BLOCK == block && known <= number);
        if !is_in_reach {
            self.rest = self.values.block(block)?.0;
            self.next = block.checked_mul(BLOCK)?;
        }
        while self.next <= number {
            let shared = match self.next % BLOCK {
                0 => 0,
                _ => usize::try_from(varint::take(&mut self.rest)?).ok()?,
            };
            if shared > self.text.len() {
                return None;
            }
            self.text.truncate(shared);
            self.text.extend_from_slice(varint::take_bytes(&mut self.rest)?);
            self.next = self.next.checked_add(1)?;
        }
        std::str::from_utf8(&self.text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::backing::FileBytes;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn texts_come_back_in_order_and_are_found(
            names in prop::collection::btree_set("[a-c]{1,3}", 0..6),
            values in prop::collection::btree_set("[aü]{0,6}[bé]{0,2}", 0..80),
            other in "[aü]{0,6}[bé]{0,2}",
        ) {
            let (mut name_writer, mut value_writer) = (TextWriter::default(), TextWriter::default());
            for name in names.iter().rev() {
                name_writer.number(&Arc::from(name.as_str()));
            }
            for value in values.iter().rev() {
                value_writer.number(&Arc::from(value.as_str()));
            }
            let mut bytes = Vec::new();
            let (_, numbers) = put_symbols(name_writer, value_writer, &mut bytes);
            let wanted: Vec<u32> = (0..values.len() as u32).rev().collect();
            prop_assert_eq!(numbers, wanted);
            let length = bytes.len() as u64;
            let section = FileBytes::held(Arc::new(bytes)).part(0..length).unwrap();
            let symbols = Symbols::read(section).unwrap();
            prop_assert!(symbols.verify().is_some());
            let read: BTreeSet<String> = symbols.names().iter().map(|name| name.to_string()).collect();
            prop_assert_eq!(&read, &names);
            for (number, value) in values.iter().enumerate() {
                let mut values_read = symbols.values();
                prop_assert_eq!(values_read.get(number as u32), Some(value.as_str()));
                prop_assert_eq!(symbols.find_value(value), Some((number as u32, true)));
            }
            let below = values.range(..other.clone()).count() as u32;
            prop_assert_eq!(symbols.find_value(&other), Some((below, values.contains(&other))));
        }
    }
}
