//! Sixteen samples of a series as a few bits each.
//!
//! ```text
//! group  head    u8       0 to 64: how many bits a step of k has;  bit 7: steps of time change;  127: as rows
//!        least   varint   zigzag: the smallest step of k
//!        change  u8       how many bits, if bit 7 is set;  then the smallest, varint zigzag: changes of the step of time
//!        steps   16 times as many bits: how much more than the smallest
//!        changes the same, if bit 7 is set
//! 127    length  varint   of the rows that follow, which no steps of one scale could tell
//! ```
//!
//! Fields stand most significant bit first; sixteen of them fill whole bytes.

use crate::codec::bits::{BitReader, BitWriter};
use crate::codec::varint;

/// Samples of a group.
pub(super) const GROUP: usize = 16;

const CHANGES: u8 = 0x80;
const AS_ROWS: u8 = 0x7f;

/// Sixteen numbers as what they are more than the smallest.
struct Fields<'a> {
    numbers: &'a [i64; GROUP],
    least: i64,
    width: u32,
}

impl<'a> Fields<'a> {
    fn of(numbers: &'a [i64; GROUP]) -> Self {
        let least = numbers.iter().copied().min().unwrap_or(0);
        let most = numbers.iter().copied().max().unwrap_or(0);
        let width = u64::BITS.saturating_sub((most.wrapping_sub(least) as u64).leading_zeros());
        Self { numbers, least, width }
    }

    fn put(&self, into: &mut BitWriter) {
        for number in self.numbers {
            into.put(number.wrapping_sub(self.least) as u64, self.width);
        }
    }
}

/// Appends a group of samples: how far k goes with each, and by how much each step of time is longer than the one before.
/// `false`: as rows they are no longer than `limit`, and nothing was done.
pub(super) fn put_group(
    steps: &[i64; GROUP],
    changes: &[i64; GROUP],
    limit: usize,
    into: &mut Vec<u8>,
) -> bool {
    let steps = Fields::of(steps);
    let changes = Some(Fields::of(changes)).filter(|fields| fields.width > 0 || fields.least != 0);
    let start = into.len();
    let flag = if changes.is_some() { CHANGES } else { 0 };
    into.push(steps.width as u8 | flag);
    varint::put_signed(into, steps.least);
    if let Some(changes) = &changes {
        into.push(changes.width as u8);
        varint::put_signed(into, changes.least);
    }
    let mut bits = BitWriter::default();
    steps.put(&mut bits);
    changes.iter().for_each(|changes| changes.put(&mut bits));
    into.extend_from_slice(bits.bytes());
    let is_shorter = into.len().saturating_sub(start) <= limit;
    if !is_shorter {
        into.truncate(start);
    }
    is_shorter
}

/// Appends a group as the rows that it was.
pub(super) fn put_rows(rows: &[u8], into: &mut Vec<u8>) {
    into.push(AS_ROWS);
    varint::put_bytes(into, rows);
}

/// A group of samples.
pub(super) enum Group<'a> {
    Steps(GroupSteps<'a>),
    Rows(&'a [u8]),
}

/// Steps of k, and changes of the step of time, from the first to the last.
pub(super) struct GroupSteps<'a> {
    steps: (i64, u32, BitReader<'a>),
    changes: Option<(i64, u32, BitReader<'a>)>,
}

impl<'a> Group<'a> {
    /// Takes a group from the front of `bytes`. `None`: damaged.
    pub(super) fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first()?;
        *bytes = rest;
        if *head == AS_ROWS {
            return varint::take_bytes(bytes).map(Self::Rows);
        }
        let width = u32::from(head & !CHANGES);
        let least = varint::take_signed(bytes)?;
        let mut change = None;
        if head & CHANGES != 0 {
            let (width, rest) = bytes.split_first()?;
            *bytes = rest;
            change = Some((varint::take_signed(bytes)?, u32::from(*width)));
        }
        let mut fields = |width: u32| {
            let length = (width as usize).checked_mul(GROUP / 8).filter(|_| width <= 64)?;
            let (fields, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Some(BitReader::new(fields))
        };
        let steps = (least, width, fields(width)?);
        let changes = match change {
            Some((least, width)) => Some((least, width, fields(width)?)),
            None => None,
        };
        Some(Self::Steps(GroupSteps { steps, changes }))
    }
}

impl GroupSteps<'_> {
    /// The next step of k, and by how much the step of time is longer than the one before.
    #[inline]
    pub(super) fn next(&mut self) -> Option<(i64, i64)> {
        let take = |(least, width, fields): &mut (i64, u32, BitReader<'_>)| {
            Some(least.wrapping_add(fields.take(*width)? as i64))
        };
        let step = take(&mut self.steps)?;
        let change = match &mut self.changes {
            Some(changes) => take(changes)?,
            None => 0,
        };
        Some((step, change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers() -> impl Strategy<Value = [i64; GROUP]> {
        prop_oneof![
            Just([0; GROUP]),
            any::<[i64; GROUP]>(),
            (any::<i64>(), proptest::array::uniform16(0_i64..300))
                .prop_map(|(least, more)| more.map(|more| least.wrapping_add(more))),
        ]
    }

    proptest! {
        #[test]
        fn groups_come_back(groups in proptest::collection::vec((numbers(), numbers()), 0..5)) {
            let mut bytes = Vec::new();
            for (steps, changes) in &groups {
                prop_assert!(put_group(steps, changes, usize::MAX, &mut bytes));
                let length = bytes.len();
                prop_assert!(!put_group(steps, changes, 1, &mut bytes));
                prop_assert_eq!(bytes.len(), length);
                put_rows(b"rows", &mut bytes);
            }
            let mut rest = bytes.as_slice();
            for (steps, changes) in &groups {
                let Some(Group::Steps(mut group)) = Group::take(&mut rest) else { panic!("no steps") };
                for (step, change) in steps.iter().zip(changes) {
                    prop_assert_eq!(group.next(), Some((*step, *change)));
                }
                prop_assert!(matches!(Group::take(&mut rest), Some(Group::Rows(b"rows"))));
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_a_group_or_none(bytes: Vec<u8>) {
            if let Some(Group::Steps(mut group)) = Group::take(&mut bytes.as_slice()) {
                for _ in 0..GROUP {
                    prop_assert!(group.next().is_some());
                }
            }
        }
    }

    #[test]
    fn small_steps_take_two_bytes_for_every_bit_of_them() {
        let mut bytes = Vec::new();
        let steps = std::array::from_fn(|index| 70 + index as i64 % 8);
        assert!(put_group(&steps, &[0; GROUP], usize::MAX, &mut bytes));
        assert_eq!(bytes.len(), 3 + 2 * 3);
    }
}
