//! Records in blocks, and postings.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cursor, Read};

/// Reads all records of a section that come in blocks; each is told whether it is the first of its block.
pub(crate) fn blocks<T>(
    cursor: &mut Cursor<'_>,
    mut record: impl FnMut(&mut Cursor<'_>, bool) -> Read<T>,
) -> Read<Vec<T>> {
    let count = cursor.size()?;
    let lengths: Vec<usize> = (0..count.div_ceil(16)).map(|_| cursor.size()).collect::<Read<_>>()?;
    let mut records = Vec::new();
    for length in lengths {
        let mut block = Cursor::new(cursor.take(length)?);
        for place in 0..(count - records.len()).min(16) {
            records.push(record(&mut block, place == 0)?);
        }
        block.end()?;
    }
    Ok(records)
}

/// Items by name and value.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Postings {
    pub(crate) histograms: BTreeSet<usize>,
    pub(crate) lists: BTreeMap<(String, String), BTreeSet<usize>>,
}

impl Postings {
    pub(crate) fn add(&mut self, name: &str, value: &str, item: usize) {
        self.lists.entry((name.to_owned(), value.to_owned())).or_default().insert(item);
    }
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn list(cursor: &mut Cursor<'_>, base: &mut i64) -> Read<BTreeSet<usize>> {
    let head = cursor.varint()?;
    let rest = head >> 2;
    let mut items = BTreeSet::new();
    match head & 3 {
        0 => {
            *base += zigzag(rest);
            items.insert(*base as usize);
        }
        1 => {
            *base += cursor.signed()?;
            items.extend(*base as usize..=*base as usize + rest as usize + 1);
        }
        2 => {
            *base += cursor.signed()?;
            let mut item = *base as usize;
            items.insert(item);
            for _ in 0..rest + 1 {
                item += cursor.size()? + 1;
                items.insert(item);
            }
        }
        _ => {
            let mut bytes = Cursor::new(cursor.take(rest as usize)?);
            roaring(&mut bytes, &mut items)?;
            bytes.end()?;
        }
    }
    if items.is_empty() { Err("an empty list".into()) } else { Ok(items) }
}

/// A roaring bitmap in its portable serialisation.
fn roaring(cursor: &mut Cursor<'_>, into: &mut BTreeSet<usize>) -> Read<()> {
    let cookie = cursor.u32()?;
    let (containers, runs) = if cookie == 12346 {
        (cursor.u32()? as usize, Vec::new())
    } else if cookie & 0xffff == 12347 {
        let containers = (cookie >> 16) as usize + 1;
        (containers, cursor.mask(containers.div_ceil(8) * 8)?)
    } else {
        return Err("no cookie".into());
    };
    let mut heads = Vec::new();
    for _ in 0..containers {
        heads.push((usize::from(cursor.u16()?) << 16, usize::from(cursor.u16()?) + 1));
    }
    if runs.is_empty() || containers >= 4 {
        cursor.take(4 * containers)?;
    }
    for (number, (high, count)) in heads.into_iter().enumerate() {
        let before = into.len();
        if runs.get(number).is_some_and(|is_run| *is_run) {
            for _ in 0..cursor.u16()? {
                let (start, more) = (usize::from(cursor.u16()?), usize::from(cursor.u16()?));
                into.extend(high + start..=high + start + more);
            }
        } else if count <= 4096 {
            for _ in 0..count {
                into.insert(high + usize::from(cursor.u16()?));
            }
        } else {
            let bits = cursor.mask(1 << 16)?;
            into.extend(bits.iter().enumerate().filter(|(_, bit)| **bit).map(|(low, _)| high + low));
        }
        if into.len() != before + count {
            return Err("a container holds another number of items".into());
        }
    }
    Ok(())
}

fn optional(cursor: &mut Cursor<'_>) -> Read<Option<BTreeSet<usize>>> {
    match cursor.u8()? {
        0 => Ok(None),
        1 => list(cursor, &mut 0).map(Some),
        _ => Err("neither there nor not".into()),
    }
}

pub(crate) fn read(cursor: &mut Cursor<'_>, names: &[String], texts: &[String]) -> Read<Postings> {
    let mut postings = Postings { histograms: optional(cursor)?.unwrap_or_default(), ..Postings::default() };
    for name in names {
        let count = cursor.varint()?;
        let union = optional(cursor)?;
        let length = cursor.size()?;
        let mut entries = Cursor::new(cursor.take(length)?);
        let (mut next, mut base, mut all) = (0, 0, BTreeSet::new());
        for _ in 0..count {
            let value = next + entries.size()?;
            next = value + 1;
            let items = list(&mut entries, &mut base)?;
            all.extend(items.iter().copied());
            let value = texts.get(value).ok_or("no such value")?;
            postings.lists.insert((name.clone(), value.clone()), items);
        }
        entries.end()?;
        if union.is_some_and(|union| union != all) {
            return Err("the union is another one".into());
        }
    }
    cursor.end()?;
    Ok(postings)
}
