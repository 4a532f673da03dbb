//! Go's `sort.Sort`: not stable, so that where equal elements end up depends on its very steps, and Prometheus's answers
//! with it. The pattern-defeating quicksort of Go 1.26, after `sort/zsortinterface.go`.

/// Sorts `items` by `less`, which need not be a strict order.
pub(crate) fn sort<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let length = items.len();
    if length > 1 {
        Sorter { items, less }.sort(0, length, bit_length(length));
    }
}

/// Up to this length elements are inserted one by one.
const INSERTION_LENGTH: usize = 12;
/// From this length on the pivot is a median of medians, and nearly sorted elements are shifted into place.
const LONG: usize = 50;
/// How many swaps choosing a pivot takes among elements that fall throughout.
const SWAPS_IF_DECREASING: u32 = 12;
/// How many elements may be shifted until a range counts as unsorted.
const SHIFTS: usize = 5;

const fn bit_length(length: usize) -> u32 {
    usize::BITS.saturating_sub(length.leading_zeros())
}

/// What choosing a pivot showed about a range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hint {
    Unknown,
    Increasing,
    Decreasing,
}

struct Sorter<'a, T, F> {
    items: &'a mut [T],
    less: F,
}

impl<T, F: Fn(&T, &T) -> bool> Sorter<'_, T, F> {
    fn less(&self, a: usize, b: usize) -> bool {
        match (self.items.get(a), self.items.get(b)) {
            (Some(a), Some(b)) => (self.less)(a, b),
            _ => false,
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a.max(b) < self.items.len() {
            self.items.swap(a, b);
        }
    }

    /// Sorts `a..b`; after `limit` unbalanced partitions by heap. Calls itself for the shorter part only.
    fn sort(&mut self, mut a: usize, mut b: usize, mut limit: u32) {
        let (mut balanced, mut partitioned) = (true, true);
        loop {
            let length = b.saturating_sub(a);
            if length <= INSERTION_LENGTH {
                return self.insertion_sort(a, b);
            }
            if limit == 0 {
                return self.heap_sort(a, b);
            }
            if !balanced {
                self.break_patterns(a, b);
                limit -= 1;
            }
            let (mut pivot, mut hint) = self.choose_pivot(a, b);
            if hint == Hint::Decreasing {
                if let Some(range) = self.items.get_mut(a..b) {
                    range.reverse();
                }
                pivot = (b - 1) - (pivot - a);
                hint = Hint::Increasing;
            }
            if balanced && partitioned && hint == Hint::Increasing && self.partial_insertion_sort(a, b) {
                return;
            }
            // Nothing here is below the pivot of the part before; if this pivot equals it, all equal ones come first.
            if a > 0 && !self.less(a - 1, pivot) {
                a = self.partition_equal(a, b, pivot);
                continue;
            }
            let (middle, already) = self.partition(a, b, pivot);
            partitioned = already;
            let (left, right) = (middle - a, b - middle);
            if left < right {
                balanced = left >= length / 8;
                self.sort(a, middle, limit);
                a = middle + 1;
            } else {
                balanced = right >= length / 8;
                self.sort(middle + 1, b, limit);
                b = middle;
            }
        }
    }

    fn insertion_sort(&mut self, a: usize, b: usize) {
        for end in a.saturating_add(1)..b {
            self.sink(end, a);
        }
    }

    /// Moves the element at `at` down to where it belongs, not below `floor`.
    fn sink(&mut self, mut at: usize, floor: usize) {
        while at > floor {
            let before = at.saturating_sub(1);
            if !self.less(at, before) {
                break;
            }
            self.swap(at, before);
            at = before;
        }
    }

    fn heap_sort(&mut self, a: usize, b: usize) {
        let length = b.saturating_sub(a);
        for root in (0..=length.saturating_sub(1) / 2).rev() {
            self.sift_down(root, length, a);
        }
        for end in (0..length).rev() {
            self.swap(a, a.saturating_add(end));
            self.sift_down(0, end, a);
        }
    }

    /// Restores the heap of `length` elements from `first` on, whose element at `root` is new.
    fn sift_down(&mut self, mut root: usize, length: usize, first: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= length {
                return;
            }
            if child + 1 < length && self.less(first + child, first + child + 1) {
                child += 1;
            }
            if !self.less(first + root, first + child) {
                return;
            }
            self.swap(first + root, first + child);
            root = child;
        }
    }

    /// Puts what is less than the pivot before it; where the pivot ended, and whether nothing had to move.
    fn partition(&mut self, a: usize, b: usize, pivot: usize) -> (usize, bool) {
        self.swap(a, pivot);
        let (mut i, mut j) = (a + 1, b - 1);
        let mut untouched = true;
        loop {
            while i <= j && self.less(i, a) {
                i += 1;
            }
            while i <= j && !self.less(j, a) {
                j -= 1;
            }
            if i > j {
                break;
            }
            self.swap(i, j);
            i += 1;
            j -= 1;
            untouched = false;
        }
        self.swap(j, a);
        (j, untouched)
    }

    /// Puts what equals the pivot first, when nothing is less; where the rest begins.
    fn partition_equal(&mut self, a: usize, b: usize, pivot: usize) -> usize {
        self.swap(a, pivot);
        let (mut i, mut j) = (a + 1, b - 1);
        loop {
            while i <= j && !self.less(a, i) {
                i += 1;
            }
            while i <= j && self.less(a, j) {
                j -= 1;
            }
            if i > j {
                return i;
            }
            self.swap(i, j);
            i += 1;
            j -= 1;
        }
    }

    /// Sorts a range that is nearly sorted; false if it is not.
    fn partial_insertion_sort(&mut self, a: usize, b: usize) -> bool {
        let mut i = a + 1;
        for _ in 0..SHIFTS {
            while i < b && !self.less(i, i - 1) {
                i += 1;
            }
            if i == b {
                return true;
            }
            if b - a < LONG {
                return false;
            }
            self.swap(i, i - 1);
            if i - a >= 2 {
                self.sink(i - 1, 0);
            }
            if b - i >= 2 {
                for at in i + 1..b {
                    if !self.less(at, at - 1) {
                        break;
                    }
                    self.swap(at, at - 1);
                }
            }
        }
        false
    }

    /// Scatters three elements by a generator that the length alone seeds.
    fn break_patterns(&mut self, a: usize, b: usize) {
        let length = b.saturating_sub(a);
        if length < 8 {
            return;
        }
        let mut random = length as u64;
        let mask = (1_u64 << bit_length(length)) - 1;
        let middle = a + length / 4 * 2;
        for at in middle - 1..=middle + 1 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let other = usize::try_from(random & mask).unwrap_or(0);
            let other = if other >= length { other - length } else { other };
            self.swap(at, a + other);
        }
    }

    fn choose_pivot(&self, a: usize, b: usize) -> (usize, Hint) {
        let length = b.saturating_sub(a);
        let quarter = length / 4;
        let (mut i, mut j, mut k) = (a + quarter, a + quarter * 2, a + quarter * 3);
        let mut swaps = 0;
        if length >= 8 {
            if length >= LONG {
                i = self.median(i - 1, i, i + 1, &mut swaps);
                j = self.median(j - 1, j, j + 1, &mut swaps);
                k = self.median(k - 1, k, k + 1, &mut swaps);
            }
            j = self.median(i, j, k, &mut swaps);
        }
        let hint = match swaps {
            0 => Hint::Increasing,
            SWAPS_IF_DECREASING => Hint::Decreasing,
            _ => Hint::Unknown,
        };
        (j, hint)
    }

    fn median(&self, a: usize, b: usize, c: usize, swaps: &mut u32) -> usize {
        let mut ordered = |a: usize, b: usize| {
            if self.less(b, a) {
                *swaps = swaps.saturating_add(1);
                (b, a)
            } else {
                (a, b)
            }
        };
        let (a, b) = ordered(a, b);
        let (b, _) = ordered(b, c);
        ordered(a, b).1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn elements_end_up_sorted_and_none_is_lost(mut items: Vec<u8>) {
            let mut expected = items.clone();
            expected.sort_unstable();
            sort(&mut items, |a, b| a < b);
            prop_assert_eq!(items, expected);
        }

        #[test]
        fn an_order_that_contradicts_itself_loses_nothing(mut items: Vec<u8>) {
            let mut expected = items.clone();
            sort(&mut items, |a, b| a.wrapping_mul(*b) % 3 == 0);
            items.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(items, expected);
        }
    }

    #[test]
    fn patterns_that_are_hard_for_a_quicksort_are_sorted() {
        for length in [13, 49, 50, 51, 200, 3000] {
            let patterns: [&dyn Fn(usize) -> usize; 6] = [
                &|i| i,
                &|i| length - i,
                &|i| i % 7,
                &|i| (i * 7919) % 1009,
                &|i| if i % 2 == 0 { i } else { length - i },
                &|i| i.min(length - i),
            ];
            for pattern in patterns {
                let mut items: Vec<usize> = (0..length).map(pattern).collect();
                sort(&mut items, |a, b| a < b);
                assert!(items.is_sorted(), "{length}");
            }
        }
    }

    #[test]
    fn equal_elements_stand_where_go_leaves_them() {
        // Made with Go 1.26: sort.Sort by the first number of pairs.
        let mut items: Vec<(usize, usize)> = (0..60).map(|i| (i * 7919 % 1009 % 4, i)).collect();
        sort(&mut items, |a, b| a.0 < b.0);
        let order: Vec<usize> = items.into_iter().map(|(_, index)| index).collect();
        assert_eq!(order, GO_ORDER);
    }

    const GO_ORDER: [usize; 60] = [
        24, 38, 57, 29, 34, 5, 1, 53, 43, 52, 10, 48, 20, 19, 0, 15, 14, 46, 18, 13, 47, 42, 9, 23, 51, 37,
        4, 33, 28, 56, 32, 31, 45, 27, 26, 59, 36, 3, 22, 55, 8, 41, 50, 17, 12, 16, 7, 44, 11, 49, 21, 40,
        30, 6, 54, 39, 25, 2, 58, 35,
    ];
}
