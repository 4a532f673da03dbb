//! Numbers by number: what a file of the log defines at once mostly follows each other in both.

/// Numbers of a block.
const BLOCK: usize = 16;
/// Stands for no number.
const NONE: u32 = u32::MAX;

/// Numbers below [`u32::MAX`], each at a place of its own.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    blocks: Vec<Block>,
    /// One more than the last place that was ever set.
    length: usize,
}

#[derive(Debug)]
enum Block {
    /// At the first so many places these numbers, one after the other.
    Run(u32, u8),
    Each(Box<[u32; BLOCK]>),
}

impl Block {
    #[inline]
    fn get(&self, place: usize) -> Option<u32> {
        match self {
            Self::Run(first, count) if place < usize::from(*count) => first.checked_add(place as u32),
            Self::Run(..) => None,
            Self::Each(numbers) => numbers.get(place).copied().filter(|number| *number != NONE),
        }
    }

    fn set(&mut self, place: usize, number: u32) {
        if let Self::Run(first, count) = self {
            if place == usize::from(*count) && (place == 0 || first.checked_add(place as u32) == Some(number))
            {
                (*first, *count) = (if place == 0 { number } else { *first }, count.saturating_add(1));
                return;
            }
            let each = std::array::from_fn(|place| self.get(place).unwrap_or(NONE));
            *self = Self::Each(Box::new(each));
        }
        if let Self::Each(numbers) = self
            && let Some(slot) = numbers.get_mut(place)
        {
            *slot = number;
        }
    }
}

impl Numbers {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<u32> {
        self.blocks.get(place / BLOCK)?.get(place % BLOCK)
    }

    pub(super) fn set(&mut self, place: usize, number: u32) {
        let block = place / BLOCK;
        if self.blocks.len() <= block {
            self.blocks.resize_with(block.saturating_add(1), || Block::Run(0, 0));
        }
        if let Some(block) = self.blocks.get_mut(block) {
            block.set(place % BLOCK, number);
        }
        self.length = self.length.max(place.saturating_add(1));
    }

    /// There is no number any more at a place.
    pub(super) fn take_out(&mut self, place: usize) {
        if self.get(place).is_some()
            && let Some(block) = self.blocks.get_mut(place / BLOCK)
        {
            block.set(place % BLOCK, NONE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn a_number_stays_where_it_was_set(
            runs in proptest::collection::vec((0_usize..100, 0_u32..1000, 0_usize..40, any::<bool>()), 0..20),
        ) {
            let (mut numbers, mut expected) = (Numbers::default(), HashMap::new());
            for (start, first, count, is_set) in runs {
                for (place, number) in (start..start + count).zip(first..) {
                    if is_set {
                        numbers.set(place, number);
                        expected.insert(place, number);
                    } else {
                        numbers.take_out(place);
                        expected.remove(&place);
                    }
                }
                for place in 0..160 {
                    prop_assert_eq!(numbers.get(place), expected.get(&place).copied());
                }
            }
        }
    }

    #[test]
    fn numbers_that_follow_each_other_take_a_byte_each() {
        let mut numbers = Numbers::default();
        (0..100_000).for_each(|place| numbers.set(place, place as u32 + 7));
        assert_eq!((numbers.len(), numbers.get(99_999)), (100_000, Some(100_006)));
        assert!(numbers.blocks.iter().all(|block| matches!(block, Block::Run(_, 16))));
        assert_eq!(size_of::<Block>(), 16);
    }
}
