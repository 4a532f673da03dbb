//! Segments.

use super::tables::Layout;
use super::{Cursor, Found, Pairs, Read, body, family, labels_text, postings, salted};

/// What the manifest says of a segment.
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) level: u64,
    pub(crate) length: u64,
    pub(crate) checksum: u64,
    pub(crate) times: (i64, i64),
}

pub(crate) fn read(bytes: &[u8], salt: u64, entry: &Entry, found: &mut Found) -> Read<()> {
    if bytes.len() as u64 != entry.length || bytes.len() < 52 {
        return Err("another length".into());
    }
    let (before, trailer) = bytes.split_at(bytes.len() - 12);
    let mut trailer = Cursor::new(trailer);
    let (length, checksum) = (trailer.u32()? as usize, trailer.u32()?);
    let start = before.len().checked_sub(length).ok_or("the footer is too long")?;
    let footer = &before[start..];
    if trailer.rest() != b"PGSG" || salted(salt, &[footer]) != checksum {
        return Err("the footer does not verify".into());
    }
    if u64::from(checksum) != entry.checksum {
        return Err("another footer".into());
    }
    let mut footer = Cursor::new(footer);
    let level = footer.varint()?;
    let counts = [footer.varint()?, footer.varint()?, footer.varint()?, footer.varint()?];
    if level != entry.level || (footer.signed()?, footer.signed()?) != entry.times {
        return Err("the manifest says something else".into());
    }
    let mut sections = Vec::new();
    for _ in 0..5 {
        let (offset, length, checksum) = (footer.size()?, footer.size()?, footer.varint()?);
        let end = offset.checked_add(length).ok_or("a section is too long")?;
        let section = bytes.get(offset..end).ok_or("a section is cut off")?;
        if u64::from(salted(salt, &[section])) != checksum {
            return Err("a section does not verify".into());
        }
        sections.push(Cursor::new(section));
    }
    footer.end()?;
    let [times, symbols, layouts, items, lists] = sections.as_mut_slice() else {
        return Err("sections".into());
    };

    let mut columns = Vec::new();
    for _ in 0..times.varint()? {
        let length = times.size()?;
        columns.push(body::times(times.take(length)?)?);
    }
    times.end()?;
    let names: Vec<String> = (0..symbols.varint()?).map(|_| symbols.text()).collect::<Read<_>>()?;
    let mut before = Vec::new();
    let values: Vec<String> = postings::blocks(symbols, |cursor, is_first| {
        let shared = if is_first { 0 } else { cursor.size()? };
        before.truncate(shared);
        let length = cursor.size()?;
        before.extend_from_slice(cursor.take(length)?);
        String::from_utf8(before.clone()).map_err(|_| "no text".into())
    })?;
    symbols.end()?;
    if !names.is_sorted_by(|a, b| a < b) || !values.is_sorted_by(|a, b| a < b) {
        return Err("symbols do not rise".into());
    }
    let value =
        |cursor: &mut Cursor<'_>| Read::Ok(values.get(cursor.size()?).ok_or("no such value")?.clone());
    let name = |cursor: &mut Cursor<'_>| Read::Ok(names.get(cursor.size()?).ok_or("no such name")?.clone());
    let layouts_known: Vec<Layout> =
        (0..layouts.varint()?).map(|_| Layout::read(layouts, value)).collect::<Read<_>>()?;
    layouts.end()?;

    let (mut seen_items, mut seen_chunks, mut before) = (0, 0, None);
    let mut wanted = postings::Postings::default();
    let mut samples = 0_u64;
    let records = postings::blocks(items, |cursor, _| {
        let length = cursor.size()?;
        Ok(cursor.take(length)?.to_vec())
    })?;
    for (number, record) in records.iter().enumerate() {
        let mut item = Cursor::new(record);
        let kind = item.u8()?;
        let is_histogram = match kind {
            0 | 2 => false,
            1 => true,
            _ => return Err("no kind of item".into()),
        };
        let mut labels = Pairs::new();
        for _ in 0..item.varint()? {
            labels.push((name(&mut item)?, value(&mut item)?));
        }
        let own = Some((labels.clone(), kind));
        if !labels.is_sorted_by(|a, b| a.0 < b.0) || before >= own {
            return Err("labels do not rise".into());
        }
        before = own;
        seen_items += 1;
        if is_histogram {
            wanted.histograms.insert(number);
        }
        for (name, value) in labels.iter().filter(|(name, _)| !is_histogram || name != "__name__") {
            wanted.add(name, value, number);
        }
        let (mut time, mut end) = (0_i64, 0_u64);
        for _ in 0..item.varint()? {
            let layout = if is_histogram { Some(item.size()?) } else { None };
            let layout = match layout {
                Some(layout) => Some(layouts_known.get(layout).ok_or("no such layout")?),
                None => None,
            };
            let first = time.checked_add(item.signed()?).ok_or("a time overflows")?;
            let last = first.checked_add_unsigned(item.varint()?).ok_or("a time overflows")?;
            let offset = end.checked_add_signed(item.signed()?).ok_or("an offset overflows")?;
            let length = item.varint()?;
            end = offset.checked_add(length).ok_or("an offset overflows")?;
            time = last;
            seen_chunks += 1;
            let chunk = bytes.get(offset as usize..end as usize).ok_or("a chunk is cut off")?;
            let mut chunk = Cursor::new(chunk);
            let checksum = chunk.u32()?;
            if salted(salt, &[chunk.rest()]) != checksum {
                return Err("a chunk does not verify".into());
            }
            let kind = chunk.u8()?;
            let column = columns.get(chunk.size()?).ok_or("no such time column")?;
            let (start, rows) = (chunk.size()?, chunk.size()?);
            let rows = start..start.checked_add(rows).ok_or("rows overflow")?;
            let times = column.get(rows).ok_or("no such rows")?;
            if (times.first(), times.last()) != (Some(&first), Some(&last)) {
                return Err("other times than the directory's".into());
            }
            *found.kinds.entry(kind).or_default() += 1;
            match (layout, kind) {
                (None, 0 | 5 | 6) => {
                    let values = body::samples(kind, chunk.rest(), times.len())?;
                    let labels = labels_text(&labels);
                    for (time, value) in times.iter().zip(values) {
                        samples += 1;
                        found.add_sealed(entry.number, &labels, *time, value);
                    }
                }
                (Some(layout), 2..=4) => {
                    for column in 0..layout.columns.len() {
                        let own = layout.series(&labels, column);
                        let (name, value) =
                            own.iter().find(|(name, _)| name == "__name__").ok_or("no name")?;
                        wanted.add(name, value, number);
                    }
                    let rows = family::rows(kind, chunk.rest(), times.len(), layout)
                        .map_err(|wrong| format!("family of kind {kind}: {wrong}"))?;
                    for column in 0..layout.columns.len() {
                        let labels = labels_text(&layout.series(&labels, column));
                        for (time, row) in times.iter().zip(&rows) {
                            if let Some(bits) = row[column] {
                                samples += 1;
                                let value = super::float_text(bits, 0);
                                found.add_sealed(entry.number, &labels, *time, value);
                            }
                        }
                    }
                }
                _ => return Err(format!("kind {kind} does not belong to such an item")),
            }
        }
        item.end()?;
    }
    items.end()?;
    if postings::read(lists, &names, &values)? != wanted {
        return Err("the postings are not those of the items".into());
    }
    found.lists += wanted.lists.len();
    if (counts[0], counts[2], counts[3]) != (seen_items, samples, seen_chunks) {
        return Err(format!("the footer counts {counts:?}"));
    }
    Ok(())
}
