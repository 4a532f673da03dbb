//! A list that grows by pages: a long one has no room to spare, and none of it is ever moved.

/// Things of a page.
const PAGE: usize = 1024;

/// Things by their number.
#[derive(Clone, Debug)]
pub(super) struct Paged<T> {
    pages: Vec<Vec<T>>,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T> Paged<T> {
    pub(super) fn push(&mut self, thing: T) {
        match self.pages.last_mut().filter(|page| page.len() < PAGE) {
            Some(page) => page.push(thing),
            None => {
                // The first page of a small list grows as it is filled.
                let room = if self.pages.is_empty() { 0 } else { PAGE };
                let mut page = Vec::with_capacity(room);
                page.push(thing);
                self.pages.push(page);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        let full = self.pages.len().saturating_sub(1).saturating_mul(PAGE);
        self.pages.last().map_or(0, |page| full.saturating_add(page.len()))
    }

    #[inline]
    pub(super) fn get(&self, number: usize) -> Option<&T> {
        self.pages.get(number / PAGE)?.get(number % PAGE)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.pages.get_mut(number / PAGE)?.get_mut(number % PAGE)
    }

    /// Bytes of memory, but for what the things hold elsewhere.
    pub(super) fn byte_size(&self) -> usize {
        let things: usize = self.pages.iter().map(Vec::capacity).sum();
        let pages = self.pages.capacity().saturating_mul(size_of::<Vec<T>>());
        things.saturating_mul(size_of::<T>()).saturating_add(pages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_keep_their_numbers_over_pages() {
        let mut list = Paged::default();
        for number in 0..5000_usize {
            assert_eq!((list.len(), list.get(number)), (number, None));
            list.push(number);
        }
        for number in 0..5000 {
            *list.get_mut(number).unwrap() += 1;
            assert_eq!(list.get(number), Some(&(number + 1)));
        }
        assert_eq!((list.len(), list.get_mut(5000)), (5000, None));
        assert!(list.byte_size() < 5 * PAGE * size_of::<usize>() + 500);
    }
}
