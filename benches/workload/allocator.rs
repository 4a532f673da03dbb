//! How much memory is in use, told by the allocator.
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait; this one counts and hands on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, with a count of what is in use.
pub(crate) struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn add(bytes: usize) {
    let used = USED.fetch_add(bytes, Ordering::Relaxed).wrapping_add(bytes);
    MOST.fetch_max(used, Ordering::Relaxed);
}

// SAFETY: every call is handed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size);
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// Bytes in use.
pub(crate) fn used() -> f64 {
    USED.load(Ordering::Relaxed) as f64
}

/// The most bytes that were in use at once since [`forget_most`].
#[allow(dead_code, reason = "not all that count ask for it")]
pub(crate) fn most() -> f64 {
    MOST.load(Ordering::Relaxed) as f64
}

/// Begins anew to look for the most bytes in use.
#[allow(dead_code, reason = "not all that count ask for it")]
pub(crate) fn forget_most() {
    MOST.store(USED.load(Ordering::Relaxed), Ordering::Relaxed);
}
