//! A list that grows by pages: a long one has no room to spare, and none of it is ever moved. Places may be empty.

/// Things of a page.
const PAGE: usize = 1024;

/// Things by their number.
#[derive(Clone, Debug)]
pub(super) struct Paged<T> {
    pages: Vec<Vec<Option<T>>>,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T> Paged<T> {
    /// Puts a thing at a place that is empty, or behind the last one.
    pub(super) fn put(&mut self, number: usize, thing: T) {
        let length = self.len();
        if number < length {
            if let Some(place) = self.place_mut(number) {
                *place = Some(thing);
            }
            return;
        }
        match self.pages.last_mut().filter(|page| page.len() < PAGE) {
            Some(page) => page.push(Some(thing)),
            None => {
                // The first page of a small list grows as it is filled.
                let room = if self.pages.is_empty() { 0 } else { PAGE };
                let mut page = Vec::with_capacity(room);
                page.push(Some(thing));
                self.pages.push(page);
            }
        }
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        let full = self.pages.len().saturating_sub(1).saturating_mul(PAGE);
        self.pages.last().map_or(0, |page| full.saturating_add(page.len()))
    }

    #[inline]
    pub(super) fn get(&self, number: usize) -> Option<&T> {
        self.pages.get(number / PAGE)?.get(number % PAGE)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.place_mut(number)?.as_mut()
    }

    #[inline]
    fn place_mut(&mut self, number: usize) -> Option<&mut Option<T>> {
        self.pages.get_mut(number / PAGE)?.get_mut(number % PAGE)
    }

    /// Takes a thing out: its place is empty.
    pub(super) fn take(&mut self, number: usize) -> Option<T> {
        self.place_mut(number)?.take()
    }

    /// There is no such place any more as the last one.
    pub(super) fn pop(&mut self) {
        let Some(page) = self.pages.last_mut() else { return };
        page.pop();
        if page.is_empty() {
            self.pages.pop();
        } else if page.len() < page.capacity() / 4 {
            page.shrink_to(page.len().saturating_mul(2));
        }
    }

    /// Bytes of memory, but for what the things hold elsewhere.
    pub(super) fn byte_size(&self) -> usize {
        let things: usize = self.pages.iter().map(Vec::capacity).sum();
        let pages = self.pages.capacity().saturating_mul(size_of::<Vec<Option<T>>>());
        things.saturating_mul(size_of::<Option<T>>()).saturating_add(pages)
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
            list.put(number, Box::new(number));
        }
        for number in 0..5000 {
            **list.get_mut(number).unwrap() += 1;
            assert_eq!(list.get(number), Some(&Box::new(number + 1)));
        }
        assert_eq!((list.len(), list.get_mut(5000)), (5000, None));
        assert!(list.byte_size() < 5 * PAGE * size_of::<usize>() + 500);
    }

    #[test]
    fn a_place_whose_thing_was_taken_out_takes_another_one() {
        let mut list = Paged::default();
        (0..2050_u32).for_each(|number| list.put(number as usize, Box::new(number)));
        assert_eq!((list.take(7), list.take(7), list.get(7)), (Some(Box::new(7)), None, None));
        list.put(7, Box::new(77));
        assert_eq!((list.get(7), list.len()), (Some(&Box::new(77)), 2050));
        let full = list.byte_size();
        (0..1500).for_each(|_| list.pop());
        assert_eq!((list.len(), list.get(549).is_some(), list.get(550)), (550, true, None));
        assert!(list.byte_size() < full / 2);
    }
}
