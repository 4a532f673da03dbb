//! A slow reader of a store's folder, written from `src/docs/format.md` and nothing else.

mod body;
mod bytes;
mod family;
mod log;
mod postings;
mod rans;
mod segment;
mod tables;

use std::collections::BTreeMap;
use std::path::Path;

pub(crate) use bytes::{Cursor, Read, crc32c};

/// Samples by series and time; each as text that states every bit.
pub(crate) type Content = BTreeMap<String, BTreeMap<i64, String>>;

/// What a folder holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) content: Content,
    /// How many segments of each level there are.
    pub(crate) levels: BTreeMap<u64, usize>,
    /// How many chunks of each kind there are.
    pub(crate) kinds: BTreeMap<u8, usize>,
    /// How many lists of postings there are.
    pub(crate) lists: usize,
    /// How many frames of each kind there are.
    pub(crate) frames: BTreeMap<u8, usize>,
    /// How many entries of each form there are, and rows of each sort.
    pub(crate) forms: BTreeMap<&'static str, usize>,
    /// What was deleted, and the number from which on segments do not have it.
    pub(crate) tombstones: Vec<(u64, Tombstone)>,
    /// Bytes behind the end of the log.
    pub(crate) torn: usize,
    /// Why, file, and whether it is acknowledged.
    pub(crate) losses: Vec<(u64, String, bool)>,
}

/// What was deleted: first and last time, and matchers: op, name, value.
#[derive(Debug)]
pub(crate) struct Tombstone {
    times: (i64, i64),
    matchers: Vec<(u8, String, String)>,
}

impl Tombstone {
    pub(crate) fn read(bytes: &[u8]) -> Read<Self> {
        let mut cursor = Cursor::new(bytes);
        let times = (cursor.signed()?, cursor.signed()?);
        let mut matchers = Vec::new();
        for _ in 0..cursor.varint()? {
            let op = cursor.u8()?;
            if op > 1 {
                return Err("patterns are not for this reader".into());
            }
            matchers.push((op, cursor.text()?, cursor.text()?));
        }
        cursor.end()?;
        Ok(Self { times, matchers })
    }

    /// Whether a sample of the series with these labels, as text, was deleted.
    pub(crate) fn hides(&self, labels: &str, time: i64) -> bool {
        let matches = |(op, name, value): &(u8, String, String)| {
            let has = |pair: String| {
                labels == pair || labels.starts_with(&format!("{pair},")) || {
                    labels.ends_with(&format!(",{pair}")) || labels.contains(&format!(",{pair},"))
                }
            };
            let equal = if value.is_empty() {
                !labels.starts_with(&format!("{name}=")) && !labels.contains(&format!(",{name}="))
            } else {
                has(format!("{name}={value:?}"))
            };
            equal == (*op == 0)
        };
        self.times.0 <= time && time <= self.times.1 && self.matchers.iter().all(matches)
    }
}

/// A label set: names and values.
pub(crate) type Pairs = Vec<(String, String)>;

pub(crate) fn labels_text(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    pairs.join(",")
}

pub(crate) fn float_text(bits: u64, start: i64) -> String {
    format!("{bits:016x} {start}")
}

impl Found {
    /// Adds a sample, unless its series has one at that time.
    fn add(&mut self, labels: &str, time: i64, value: String) {
        self.content.entry(labels.to_owned()).or_default().entry(time).or_insert(value);
    }

    /// Adds a sample of a segment, unless it was deleted.
    fn add_sealed(&mut self, segment: u64, labels: &str, time: i64, value: String) {
        let hides =
            |(before, tombstone): &(u64, Tombstone)| segment < *before && tombstone.hides(labels, time);
        if !self.tombstones.iter().any(hides) {
            self.add(labels, time, value);
        }
    }

    fn count(&mut self, form: &'static str) {
        *self.forms.entry(form).or_default() += 1;
    }
}

struct Header {
    store: u64,
    number: u64,
    salt: u64,
}

fn header(bytes: &[u8], magic: &[u8; 4]) -> Read<Header> {
    let mut cursor = Cursor::new(bytes);
    let head = cursor.take(40)?;
    if crc32c(&[&head[..36]]) != u32::from_le_bytes(head[36..].try_into().unwrap()) {
        return Err("the header does not verify".into());
    }
    let mut cursor = Cursor::new(head);
    if cursor.take(4)? != magic || cursor.u16()? != 1 || cursor.u16()? != 0 {
        return Err("no header of version 1".into());
    }
    let header = Header { store: cursor.u64()?, number: cursor.u64()?, salt: cursor.u64()? };
    if cursor.u32()? != 0 {
        return Err("reserved bytes".into());
    }
    Ok(header)
}

/// The checksum under a salt.
fn salted(salt: u64, parts: &[&[u8]]) -> u32 {
    let salt = salt.to_le_bytes();
    let mut all: Vec<&[u8]> = vec![&salt];
    all.extend(parts);
    crc32c(&all)
}

#[expect(clippy::disallowed_methods, reason = "a test reads files")]
fn file(folder: &Path, name: &str) -> Read<Vec<u8>> {
    std::fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"))
}

/// Reads a whole store.
pub(crate) fn read_store(folder: &Path) -> Read<Found> {
    let mut found = Found::default();
    let bytes = file(folder, "MANIFEST")?;
    let own = header(&bytes, b"PGMF")?;
    let mut cursor = Cursor::new(&bytes[40..]);
    let (length, checksum) = (cursor.u32()?, cursor.u32()?);
    let payload = cursor.rest();
    if payload.len() != length as usize || salted(own.salt, &[payload]) != checksum {
        return Err("MANIFEST does not verify".into());
    }
    let mut cursor = Cursor::new(payload);
    let _next = cursor.varint()?;
    let mut logs = Vec::new();
    for _ in 0..cursor.varint()? {
        let (number, first, length) = (cursor.varint()?, cursor.varint()?, cursor.varint()?);
        let end = if length == 0 { None } else { Some((length, cursor.varint()?)) };
        logs.push((number, first, end));
    }
    let mut segments = Vec::new();
    for _ in 0..cursor.varint()? {
        let (number, level) = (cursor.varint()?, cursor.varint()?);
        let (length, checksum) = (cursor.varint()?, cursor.varint()?);
        let times = (cursor.signed()?, cursor.signed()?);
        segments.push(segment::Entry { number, level, length, checksum, times });
    }
    for _ in 0..cursor.varint()? {
        let (before, length) = (cursor.varint()?, cursor.size()?);
        found.tombstones.push((before, Tombstone::read(cursor.take(length)?)?));
    }
    for _ in 0..cursor.varint()? {
        let (_from, _until) = (cursor.signed()?, cursor.signed()?);
        let (_bytes, _frames) = (cursor.varint()?, cursor.varint()?);
        let (why, acknowledged) = (cursor.varint()?, cursor.varint()? != 0);
        found.losses.push((why, cursor.text()?, acknowledged));
    }
    if cursor.end().is_err() {
        let _lag = cursor.varint()?;
    }
    cursor.end()?;
    for entry in segments {
        let name = format!("seg/{:08}.seg", entry.number);
        let bytes = file(folder, &name)?;
        let head = header(&bytes, b"PGSG")?;
        if (head.store, head.number) != (own.store, entry.number) {
            return Err(format!("{name} is another file"));
        }
        *found.levels.entry(entry.level).or_default() += 1;
        segment::read(&bytes, head.salt, &entry, &mut found).map_err(|wrong| format!("{name}: {wrong}"))?;
    }
    for (number, first, end) in logs {
        let name = format!("wal/{number:08}.wal");
        let bytes = file(folder, &name)?;
        let head = header(&bytes, b"PGWL")?;
        if (head.store, head.number) != (own.store, number) {
            return Err(format!("{name} is another file"));
        }
        log::read(&bytes, head.salt, first, end, &mut found).map_err(|wrong| format!("{name}: {wrong}"))?;
    }
    Ok(found)
}
